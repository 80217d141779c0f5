"""Run stages and the command line on what comes from outside, with limits of time and memory."""

import contextlib
import http.server
import itertools
import os
import re
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from tests.helpers import processes

SPLITS = "splits: {train: {glob: 'train/*'}, val: {glob: 'val/*'}, test: {glob: 'test/*'}}\n"
ALL = "splits: {train: {glob: '*'}, val: {glob: '*'}, test: {glob: '*'}}\n"  # every split has all images

Answer = Callable[[http.server.BaseHTTPRequestHandler], object]


def stage(project: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """What `python -m stages.<script>` does in a project."""
    return processes.call(f"stages.{script}", *arguments, folder=project, **environment)


def colorize(folder: Path, model: Path, *photos: str, **environment: str) -> subprocess.CompletedProcess:
    """What `python -m colorize` does with photos of a folder; the results are in its subfolder `out`."""
    line = (*photos, "--out", "out", "--model", str(model))
    return processes.call("colorize.__main__", *line, folder=folder, **environment)


def results(folder: Path) -> set[str]:
    """Names of the results in the subfolder `out`, without their endings."""
    return {path.stem for path in (folder / "out").glob("*.*")}


def assert_one_line(done: subprocess.CompletedProcess, code: int, *words: str) -> None:
    """A program ended with this exit code and with one printable line on stderr, which contains these words."""
    assert (done.returncode, done.stderr[:7], done.stderr.count("\n")) == (code, "error: ", 1), done.stderr[-2000:]
    assert done.stderr.rstrip("\n").isprintable()
    for word in words:
        assert word in done.stderr, done.stderr


def change(project: Path, key: str, value: object) -> None:
    """Replace a value in params.yaml, such as `train.lr`."""
    path = project / "params.yaml"
    values = yaml.safe_load(path.read_text())
    section = values
    *parents, last = key.split(".")
    for name in parents:
        section = section[name]
    section[last] = value
    write(path, yaml.safe_dump(values, sort_keys=False))


def write(path: Path, content: str | bytes) -> None:
    """Write a file of a project, whose files are hard links to those of other projects."""
    path.unlink(missing_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def linked_copy(project: Path, folder: Path) -> Path:
    """A copy of a project whose files are hard links; a test replaces files, and never changes them."""
    return shutil.copytree(project, folder, copy_function=os.link)


@contextlib.contextmanager
def limited(kind: int, more: int) -> Iterator[None]:
    """Let this process and the children that it starts in the block use only little more of a resource.

    Args:
        kind: `resource.RLIMIT_AS` (memory), `RLIMIT_NOFILE` (open files) or `RLIMIT_FSIZE` (length of each file).
        more: bytes or files beyond those that this process uses now.
    """
    used = {
        resource.RLIMIT_AS: lambda: int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10,
        resource.RLIMIT_NOFILE: lambda: _first_free(more) - more,
        resource.RLIMIT_FSIZE: lambda: 0,
    }
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (used[kind]() + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def _first_free(count: int) -> int:
    """The number of open files below which so many numbers are free."""
    taken = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    free = (number for number in itertools.count() if number not in taken)
    return next(itertools.islice(free, count, None))


@contextlib.contextmanager
def cpu_seconds() -> Iterator[Callable[[], float]]:
    """Yields a function that returns the CPU time of the children which have ended since."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    yield lambda: used() - before


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Run a web server that answers every request in the same way; yields the address of a file."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):  # the client has read enough
                answer(self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/tiny.zip"
        finally:
            server.shutdown()
            thread.join()


def head(request: http.server.BaseHTTPRequestHandler, status: str, *lines: str) -> None:
    """Send the status line and the header lines of an answer, without any check."""
    text = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, "Connection: close", ""))
    request.wfile.write(text.encode("latin-1"))
