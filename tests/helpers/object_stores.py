"""Object stores on the loopback: a real S3 server (moto), and a store with one object that misbehaves on demand."""

import contextlib
import hashlib
import http.server
import logging
import re
import threading
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from urllib.parse import quote

import pytest

REMEDY = "`make scale` installs what the tests of object stores need"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDOFTHETESTS",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
    "AWS_REGION": "us-east-1",
}


class Store:
    """A running S3 server; `put` writes an object of the bucket."""

    bucket = "photographs"

    def __init__(self, endpoint: str):
        self.endpoint = endpoint
        self._request("")  # creates the bucket

    def put(self, name: str, data: bytes = b"") -> None:
        self._request(quote(name), data)

    def url(self, name: str = "") -> str:
        return f"s3://{self.bucket}/{name}"

    def _request(self, path: str, data: bytes | None = None) -> None:
        headers = {"Content-Type": "application/octet-stream", "Authorization": "AWS anyone:anything"}
        address = f"{self.endpoint}/{self.bucket}/{path}".removesuffix("/" if not path else "")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(urllib.request.Request(address, data, headers, method="PUT"), timeout=30).close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Store]:
    """One S3 server for all tests of a process."""
    pytest.importorskip("obstore", reason=f"obstore is not installed; {REMEDY}")
    server_of = pytest.importorskip("moto.server", reason=f"moto is not installed; {REMEDY}")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_of.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Store(f"http://{host}:{port}")
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch) -> Store:
    """The S3 server; the environment variables lead to it."""
    set_keys(monkeypatch, s3_server.endpoint)
    return s3_server


def set_keys(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Make an endpoint and keys of its own the only ones in the environment."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)


class OddStore(http.server.ThreadingHTTPServer):
    """Answers every request with one object, wherever it is asked for; attributes change how.

    Attributes:
        data: the bytes of the object.
        etag: its ETag; None: it has none.
        requests: method and range of each request so far.
        conditions: the header If-Match of each GET so far.
        status: of all answers, with `body`, if it is not 200.
        replaced_after: the ETag changes after so many requests.
        cuts: so many answers to GET end after `cut_at` bytes.
        longer: so many bytes are sent after the range; if it is negative, the answer ends early.
        shift: bytes by which ranges begin early, as the header says.
        has_ranges: whether ranges are respected.
    """

    daemon_threads = True
    etag, status, body, replaced_after, cuts, cut_at = '"first"', 200, "", 10**6, 0, 1000
    longer, shift, has_ranges = 0, 0, True

    def __init__(self, data: bytes):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data, self.requests, self.conditions = data, [], []
        self.endpoint = f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        store, wanted = self.server, self.headers.get("Range")
        store.requests.append((self.command, wanted))
        if self.command == "GET":
            store.conditions.append(self.headers.get("If-Match"))
        if store.status != 200:
            return self._answer(store.status, store.body.encode(), {})
        data, etag = store.data, store.etag if len(store.requests) <= store.replaced_after else '"second"'
        headers = {"Last-Modified": formatdate(0, usegmt=True), **({"ETag": etag} if etag else {})}
        if not wanted or not store.has_ranges:
            return self._answer(200, data, headers)
        start, end = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", wanted).groups())
        headers["Content-Range"] = f"bytes {start - store.shift}-{end}/{len(data)}"
        self._answer(206, (data + bytes(10))[start - store.shift : end + 1 + store.longer * (start < end)], headers)

    def do_HEAD(self):
        self.do_GET()

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.cuts:
            self.server.cuts -= 1
            body, self.close_connection = body[: self.server.cut_at], True
        with contextlib.suppress(OSError):  # the reader may have ended
            self.wfile.write(body)

    def log_message(self, *_):
        """Stay quiet."""


@pytest.fixture
def odd_store(monkeypatch) -> Iterator[OddStore]:
    """A store that misbehaves on demand; the environment variables of S3 lead to it."""
    pytest.importorskip("obstore", reason=f"obstore is not installed; {REMEDY}")
    data = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(250))  # 8,000 bytes
    with OddStore(data) as store:
        set_keys(monkeypatch, store.endpoint)
        thread = threading.Thread(target=store.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield store
        store.shutdown()
        thread.join()
