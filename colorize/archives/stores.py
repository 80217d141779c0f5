"""Connections to object stores through obstore, and its errors in one line.

obstore reads keys and endpoints from the environment. Its errors are many lines long, and can contain a signature: a
message is therefore never a part of them, but one of the sentences below.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from colorize import runtime
from colorize.runtime import DataError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RETRIES = 5  # of a request that fails because of the network, or that the server answers with 5xx or 429
BACKOFF_S = 1.0  # pause before the first retry; doubles with each retry
TIMEOUT_S = (10, 60)  # limits for connecting and for the time between two reads
REQUEST_S = 600  # limit of a whole request; bytes that have arrived are kept, and a request without any is an error

_PACKAGE = "obstore>=0.12,<0.13"  # as in pyproject.toml
_KEYS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true for a public bucket",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true if it is public",
}
_NO_OBJECT = "no such object or bucket; correct the address (a folder ends with `/`)"
_REASONS = (  # pattern in an error text of obstore, which is many lines long and can contain secrets; reason and remedy
    (r"NoSuchBucket|ContainerNotFound|bucket does not exist", "no such bucket; correct the address"),
    (
        r"169\.254\.169\.254|/latest/api/token|metadata\.google\.internal|source: MissingAccount",
        "no keys are set; {keys}",
    ),
    (
        r"without LOCATION|PermanentRedirect|AuthorizationHeaderMalformed",
        "the bucket is elsewhere; set AWS_REGION",
    ),
    (r"ExpiredToken|TokenRefreshRequired|RequestTimeTooSkewed", "the keys have expired, or the clock is wrong; {keys}"),
    (r"status code: 40[13]|InvalidAccessKeyId", "access denied; {keys}"),
    (r"non-partial|Requested \S+, got", "the server sends other bytes than requested; download the file yourself"),
    (r"dns error", "the name of the server is unknown; check the address, the endpoint and the network"),
    (r"ConnectionRefused", "the server refuses the connection; check the endpoint, or try again later"),
    (r"InvalidCertificate", "the certificate of the server is not trusted; check the endpoint"),
    (r"TimedOut|timed out|kind: Timeout", "the server does not answer; check the network, and run again to resume"),
    (r"HTTP error", "the connection failed; check the network, and run again to resume"),
)


def connect(url: str) -> tuple[ObjectStore, str]:
    """The store of an object, and the name of the object there.

    Raises:
        DataError: obstore is not installed, or the address or a setting in the environment is wrong.
    """
    store = obstore(url).store
    classes = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    with explained(url):
        if scheme in classes:
            if not key and not url.endswith("/"):
                raise DataError(f"{url}: this is a bucket; to list all its objects, end the address with `/`")
            return classes[scheme](bucket, **_options()), key
        if "?" in key or "#" in key:
            raise DataError(f"{runtime.without_secrets(url)}: an address with a query cannot be read; remove it")
        return store.HTTPStore(f"{scheme}://{bucket}", **_options()), unquote(key)


def _options() -> dict[str, Any]:
    backoff = {"init_backoff": timedelta(seconds=BACKOFF_S), "max_backoff": timedelta(seconds=16), "base": 2}
    return {
        "retry_config": {"max_retries": RETRIES, "backoff": backoff},
        "client_options": {
            "allow_http": True,  # only an endpoint or an address that the user gives can be http
            "connect_timeout": timedelta(seconds=TIMEOUT_S[0]),
            "read_timeout": timedelta(seconds=TIMEOUT_S[1]),
            "timeout": timedelta(seconds=REQUEST_S),
        },
    }


def obstore(url: str = "") -> ModuleType:
    """The package obstore, imported when it is needed.

    Raises:
        DataError: it is not installed; names the address that needs it.
    """
    try:
        return importlib.import_module("obstore")
    except ModuleNotFoundError:
        raise DataError(f"{url}: needs the package obstore; run `pip install '{_PACKAGE}'`") from None


def changed(url: str) -> DataError:
    """The error for an object that is no longer the one that was listed."""
    return DataError(f"{url}: the object has changed since it was listed; run again to use the new one")


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Raise errors of obstore as one line without secrets.

    Raises:
        DataError: the block raised an error of obstore. Other errors are not changed.
    """
    exceptions = obstore().exceptions
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{url}: {_NO_OBJECT}") from None
    except exceptions.PreconditionError:
        raise changed(url) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise DataError(f"{url}: access denied; {_keys(url)}") from None
    except (ValueError, exceptions.InvalidPathError):
        raise DataError(f"{url}: a name contains `//`, `/./` or `/../`, which cannot be read; rename it") from None
    except exceptions.NotSupportedError:
        raise DataError(f"{url}: the server cannot send a part of a file; download the file yourself") from None
    except BaseException as error:
        if isinstance(error, exceptions.BaseError) or type(error).__name__ == "PanicException":
            raise DataError(f"{url}: {_reason(str(error), url)}") from None
        raise


def _reason(text: str, url: str) -> str:
    for pattern, reason in _REASONS:
        if re.search(pattern, text):
            return reason.format(keys=_keys(url))
    code = re.search(r"status code: (\d{3})", text) or re.search(r"<Code>(\w+)</Code>", text)
    answer = f"the store answers {code[1]}" if code else "the store cannot be opened"
    return f"{answer}; check the address, the keys and the endpoint"


def _keys(url: str) -> str:
    return _KEYS.get(url.partition("://")[0], "the file must be readable without a password")
