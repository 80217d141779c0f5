"""Hide the warnings of Pillow, which warns about large images and odd metadata, in any number of threads.

`warnings.catch_warnings` alone is not enough: it saves and restores the filters of the whole process. If two threads
overlap, the one that leaves last restores the filters of the other one, and all later warnings stay hidden.
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator

_lock = threading.Lock()
_saved = contextlib.ExitStack()  # restores the filters when it is closed
_inside: list[int] = []  # identifiers of the threads that are inside `silence`


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Hide warnings. The first thread that enters saves the filters, and the last one that leaves restores them."""
    with _lock:
        if not _inside:
            _saved.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _inside.append(threading.get_ident())
    try:
        yield
    finally:
        with _lock:
            _inside.remove(threading.get_ident())
            if not _inside:
                _saved.close()
