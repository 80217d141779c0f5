"""Addresses of archives and objects: which schemes there are, and no secrets in them."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from colorize.runtime import without_secrets

SCHEMES = ("https", "http", "s3", "gs", "az")
BUCKET_SCHEMES = ("s3", "gs", "az")  # Amazon S3 and compatible stores, Google Cloud Storage, Azure Blob Storage

_SECRET_KEY = re.compile(
    r"x-(amz|goog)-.*|.*(signature|token|password|secret|credential|api_?key|access_?key(_?id)?|accessid)|sig|auth"
)


def is_url(text: str) -> bool:
    """Whether a text is the address of an object or of several objects, and not a local path."""
    return text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def is_bucket(url: str) -> bool:
    """Whether an address leads into a bucket, and not to a web server."""
    return url.startswith(tuple(f"{scheme}://" for scheme in BUCKET_SCHEMES))


def names_many(url: str) -> bool:
    """Whether an address names the objects of a folder, or those that match a pattern, and not one object."""
    return is_bucket(url) and re.search(r"[*\[]|/$", url) is not None


def check(url: str) -> None:
    """Check an address that a user wrote into a file.

    Raises:
        ValueError: it has another scheme, characters that cannot be printed, or holds a user name, a password, a
            signature or a token. The message does not contain the address.
    """
    if not is_url(url):
        raise ValueError(f"expected an address that starts with {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
    if not url.isprintable() or (not is_bucket(url) and " " in url):
        raise ValueError("the address contains a character that no address can have; correct it")
    if without_secrets(url) != url.partition("?")[0]:  # it removes user names too
        place = "environment variables (docs/data.md lists them)" if is_bucket(url) else "~/.netrc"
        raise ValueError(f"the address contains a user name or password, which others can read; put it into {place}")
    if is_bucket(url) and "?" in url:
        raise ValueError("the address of an object has no query (`?`); put keys into environment variables")
    if any(_SECRET_KEY.fullmatch(name.lower()) for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)):
        raise ValueError(
            "the address contains a signature or token, which others can read; use s3://, gs:// or az:// with keys in "
            "environment variables, or download the file yourself"
        )
