"""Work as a user who may read only what the modes of the files allow."""

import contextlib
import os
from collections.abc import Iterator

_NOBODY = 65_534  # by convention, the user without rights


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """Give up the rights of root, who may read every file; other users stay what they are."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
