"""Tasks on a Dask cluster, as an executor like a pool of local processes.

COLORIZE_DASK is the address of the scheduler. Tasks must be safe to run twice: if a worker is lost, Dask runs its tasks
on another one; if the scheduler is lost, its workers end too, and all unfinished tasks are sent to the new scheduler.
Tasks leave their results in files that the coordinator and all workers share, so nothing that is finished is lost.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colorize.runtime import terminal
from colorize.runtime.errors import DataError, ParameterError, UserError, first_line

if TYPE_CHECKING:
    import distributed

_WAIT_S = 300.0  # seconds to wait for a lost scheduler
_CONNECT_S = 3.0  # seconds for one attempt


class Killed(DataError):
    """A task was given up, because each worker that ran it was killed."""


@functools.cache
def code_digest() -> str:
    """SHA-256 of the source files of the package from which this process runs."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def executor(address: str) -> Iterator[Executor]:
    """An executor whose tasks run on a Dask cluster; tasks that are not finished when the block ends are canceled.

    Args:
        address: address of the scheduler, such as `tcp://scheduler:8786`.

    Raises:
        ParameterError: the package for Dask is missing.
        DataError: the scheduler cannot be reached.
    """
    try:
        import distributed
    except ImportError:
        raise ParameterError(
            "COLORIZE_DASK is set, but the package for Dask is missing; run `pip install distributed`"
        ) from None
    _silence_loggers()
    cluster = _Cluster(distributed, address)
    try:
        yield cluster
    finally:
        cluster.shutdown(cancel_futures=True)


def _silence_loggers() -> None:
    """Print no warnings of the cluster's packages: they have tracebacks of 30 lines, and the same errors are raised."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("asyncio", "distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


class _Cluster(Executor):
    """Sends tasks to a scheduler, and sends them again when the connection was lost."""

    def __init__(self, dask: Any, address: str):
        self._dask, self._address = dask, address
        self._tasks: dict[Future, tuple[Callable, tuple]] = {}  # unfinished
        self._sent: dict[Future, distributed.Future] = {}
        self._lock = threading.RLock()
        self._lost = threading.Event()
        self._is_closed = False
        self._client = self._connect()
        self._keeper = threading.Thread(target=self._keep_connected, name="cluster", daemon=True)
        self._keeper.start()

    def submit(self, function: Callable, /, *arguments: Any) -> Future:  # type: ignore[override]  # no keywords
        """Run `function(*arguments)` on a worker."""
        task: Future = Future()
        with self._lock:
            self._tasks[task] = (function, arguments)
            if not self._lost.is_set():
                self._send(task)
        return task

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel the unfinished tasks and disconnect."""
        del wait, cancel_futures
        with self._lock:
            self._is_closed = True
            self._tasks.clear()
            self._sent.clear()
        self._lost.set()
        self._keeper.join()
        self._disconnect()

    def _connect(self) -> distributed.Client:
        try:
            client = self._dask.Client(self._address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise DataError(
                f"COLORIZE_DASK={self._address}: no scheduler answers ({first_line(error)}); start one with "
                "`dask scheduler`, or unset the variable"
            ) from None
        if not client.scheduler_info()["workers"]:
            terminal.note(f"waiting for workers of {self._address}")
        return client

    def _disconnect(self) -> None:
        with contextlib.suppress(Exception):  # the scheduler may be gone, in any way
            self._client.close(timeout=_CONNECT_S)

    def _send(self, task: Future) -> None:
        function, arguments = self._tasks[task]
        try:
            sent = self._client.submit(call, code_digest(), function, arguments, pure=False, retries=0)
        except Exception:
            self._lost.set()
            return
        self._sent[task] = sent
        sent.add_done_callback(functools.partial(self._finish, task))

    def _finish(self, task: Future, sent: distributed.Future) -> None:
        """Pass the result of a task on; a thread of the client calls this."""
        error = sent.exception() if sent.status == "error" else None
        result, is_lost = None, sent.status not in ("finished", "error")  # cancelled, because the scheduler has gone
        if sent.status == "finished":
            try:
                result = sent.result()
            except Exception:
                is_lost = True
        with self._lock:
            if self._sent.get(task) is not sent:  # sent again, or shut down
                return
            if is_lost:
                self._lost.set()
                return
            del self._sent[task], self._tasks[task]
        if error is None:
            task.set_result(result)
        else:
            task.set_exception(self._translate(error))

    def _translate(self, error: BaseException) -> BaseException:
        if isinstance(error, UserError):
            return error
        if isinstance(error, self._dask.KilledWorker):
            return Killed("each worker that ran it was killed")
        return DataError(f"a task failed on {self._address}: {type(error).__name__}: {first_line(Exception(error))}")

    def _keep_connected(self) -> None:
        """Connect again when the scheduler was lost, and send the unfinished tasks again; the work of a thread."""
        while True:
            self._lost.wait()
            if self._is_closed:
                return
            terminal.note(f"lost the scheduler {self._address}; trying to reach it again")
            with self._lock:
                self._sent.clear()
            self._disconnect()  # without the lock, which the callbacks of the client need
            if not self._reconnect():
                return
            with self._lock:
                self._lost.clear()
                for task in list(self._tasks):
                    self._send(task)

    def _reconnect(self) -> bool:
        """Try to connect for some minutes; if this fails, let all tasks fail."""
        until = time.monotonic() + _WAIT_S
        while not self._is_closed:
            try:
                self._client = self._connect()
            except DataError as error:
                if time.monotonic() > until:
                    self._fail(error)
                    return False
                time.sleep(1)
            else:
                return True
        return False

    def _fail(self, error: DataError) -> None:
        with self._lock:
            tasks, self._tasks = list(self._tasks), {}
        for task in tasks:
            task.set_exception(DataError(f"{error}; finished shards are kept for the next run"))


def call(code: str, function: Callable, arguments: tuple) -> Any:
    """Run a task on a worker.

    Raises:
        DataError: the worker has other code than the coordinator.
    """
    if code_digest() != code:
        import distributed

        raise DataError(
            f"the worker {distributed.get_worker().address} has other code; update its files and start it again"
        )
    return function(*arguments)
