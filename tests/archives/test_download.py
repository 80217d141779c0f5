"""Archives come whole and verified through a real server on the loopback, however it behaves."""

import contextlib
import hashlib
import http.server
import json
import os
import re
import threading
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from colorize.archives import disk, download
from colorize.runtime import DataError
from colorize.sharding import sources
from tests.helpers.listing import list_images

TRACKED = Path(__file__).parents[2] / "sources"
TINY = "tiny-imagenet-200.zip"


# --- a server that misbehaves on demand ------------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; cuts the first `cuts` answers after `cut_at` bytes, starts ranges `shift` bytes early."""

    daemon_threads = True
    has_ranges, cuts, cut_at, status, shift = True, 0, 10_000, 200, 0
    redirect = None  # where every answer sends the client
    raw = None  # header lines and body of every answer, instead of those of a file

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.ranges = files, []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.ranges.append(wanted)
        if server.raw is not None:
            lines, body = server.raw
            self.wfile.write("".join(f"{line}\r\n" for line in [*lines, "Connection: close", ""]).encode("latin-1"))
            with contextlib.suppress(ConnectionError):  # the client has read enough
                self.wfile.write(body)
            self.close_connection = True
            return None
        if server.redirect is not None and self.path != server.redirect:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            return self.end_headers()
        data = server.files.get(self.path[1:])
        if data is None or server.status != 200:
            return self.send_error(404 if data is None else server.status)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.has_ranges else 0
        start = max(0, start - server.shift)
        if start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if server.cuts > 0:
            server.cuts -= 1
            body = body[: server.cut_at]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_):
        """Stay quiet."""


@contextlib.contextmanager
def serve(files: dict[str, bytes]):
    with Server(files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(monkeypatch, real_layouts):
    monkeypatch.setattr(download, "BACKOFF_S", 0.001)
    monkeypatch.setattr(download, "PIECE", 1000)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve(real_layouts) as running:
        yield running


def served(server: Server, name: str) -> sources.Source:
    """A tracked source with addresses, lengths and checksums of the served archives."""
    values = yaml.safe_load((TRACKED / f"{name}.yaml").read_text())
    for file, archive in values["archives"].items():
        data = server.files[file]
        archive |= {"url": server.url(file), "bytes": len(data), "md5": hashlib.md5(data).hexdigest()}
    return sources.Source.model_validate(values)


def changed(source: sources.Source, **values) -> sources.Source:
    """The source with other values for its first archive."""
    name, archive = next(iter(source.archives.items()))
    return source.model_copy(update={"archives": {name: archive.model_copy(update=values)}})


# --- downloads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny_imagenet", "places365"])
def test_missing_archives_are_downloaded_and_listed(server, tmp_path, name):
    source = served(server, name)
    paths = sources.locate(source, tmp_path / "raw")
    assert {part.file: Path(part.path).read_bytes() for part in paths} == {
        file: server.files[file] for file in source.files
    }
    assert not list((tmp_path / "raw").glob("*.part"))
    assert set(list_images(source, paths).splits) == {"train", "val", "test"}


def test_found_archives_are_not_downloaded_again(server, tmp_path):
    source = served(server, "tiny_imagenet")
    (tmp_path / TINY).write_bytes(server.files[TINY])
    assert [part.path for part in sources.locate(source, tmp_path)] == [str(tmp_path / TINY)]
    assert server.ranges == []


def test_cut_downloads_are_resumed_where_they_ended(server, tmp_path):
    server.cuts = 2
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert (tmp_path / TINY).read_bytes() == server.files[TINY]
    assert server.ranges == [None, "bytes=10000-", "bytes=20000-"]


def test_download_is_resumed_by_the_next_run(server, tmp_path):
    (tmp_path / f"{TINY}.part").write_bytes(server.files[TINY][:5000])
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert (tmp_path / TINY).read_bytes() == server.files[TINY]
    assert server.ranges == ["bytes=5000-"]


def test_server_without_ranges_starts_again(server, tmp_path):
    server.has_ranges, server.cuts = False, 2
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert (tmp_path / TINY).read_bytes() == server.files[TINY]


def test_answer_with_another_range_is_not_appended(server, tmp_path):
    server.shift = 100
    (tmp_path / f"{TINY}.part").write_bytes(server.files[TINY][:5000])
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert (tmp_path / TINY).read_bytes() == server.files[TINY]


def test_whole_part_of_an_interrupted_run_is_taken(server, tmp_path):
    (tmp_path / f"{TINY}.part").write_bytes(server.files[TINY])
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert (tmp_path / TINY).read_bytes() == server.files[TINY]


@pytest.mark.parametrize("known_size", [True, False])
def test_part_longer_than_the_file_is_thrown_away(server, tmp_path, known_size):
    (tmp_path / f"{TINY}.part").write_bytes(server.files[TINY] + b"more")
    source = served(server, "tiny_imagenet")
    sources.locate(source if known_size else changed(source, bytes=None), tmp_path)
    assert (tmp_path / TINY).read_bytes() == server.files[TINY]


def test_connection_that_stays_cut_is_given_up_and_kept_for_resuming(server, tmp_path, expect_one_line):
    server.cuts, server.cut_at = 10**6, 0
    (tmp_path / f"{TINY}.part").write_bytes(server.files[TINY][:5000])
    with expect_one_line(DataError, "resume", "5,000", tmp_path / TINY):
        sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert len(server.ranges) == download.ATTEMPTS
    assert (tmp_path / f"{TINY}.part").stat().st_size == 5000


def test_passing_trouble_of_the_server_is_waited_out(server, tmp_path, monkeypatch):
    server.status = 503
    monkeypatch.setattr(download.time, "sleep", lambda _: setattr(server, "status", 200))
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert len(server.ranges) == 2


def test_wrong_checksum_is_refused_and_the_part_deleted(server, tmp_path, expect_one_line):
    source = changed(served(server, "tiny_imagenet"), md5="0" * 32)
    found = hashlib.md5(server.files[TINY]).hexdigest()
    with expect_one_line(DataError, found, "0" * 32, TINY):
        sources.locate(source, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


def test_part_of_another_version_ends_in_a_refusal_and_a_fresh_start(server, tmp_path, expect_one_line):
    (tmp_path / f"{TINY}.part").write_bytes(b"x" * 5000)
    with expect_one_line(DataError, "md5"):
        sources.locate(served(server, "tiny_imagenet"), tmp_path)
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert (tmp_path / TINY).read_bytes() == server.files[TINY]


def test_wrong_length_is_refused_before_the_transfer(server, tmp_path, expect_one_line):
    source = changed(served(server, "tiny_imagenet"), bytes=123)
    with expect_one_line(DataError, f"{len(server.files[TINY]):,}", "123"):
        sources.locate(source, tmp_path)
    assert not (tmp_path / TINY).exists()


def test_missing_file_on_the_server_is_refused_at_once(server, tmp_path, expect_one_line):
    source = changed(served(server, "tiny_imagenet"), url=server.url("elsewhere.zip"))
    with expect_one_line(DataError, "404", "by hand"):
        sources.locate(source, tmp_path)
    assert len(server.ranges) == 1


@pytest.mark.parametrize(("wish", "expected"), [("7", 7), ("0", 0), ("soon", 0), ("-5", 0), ("²", 0), (None, 0)])
def test_the_pause_that_a_server_asks_for_is_made(server, tmp_path, monkeypatch, capsys, wish, expected):
    data, pauses = server.files[TINY], []
    server.raw = ["HTTP/1.1 429 Too Many Requests", *([f"Retry-After: {wish}"] if wish else [])], b""
    monkeypatch.setattr(download.time, "sleep", lambda seconds: (pauses.append(seconds), setattr(server, "raw", None)))
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert (tmp_path / TINY).read_bytes() == data
    assert [round(pause) for pause in pauses] == [expected]
    assert ("the server answers 429 Too Many Requests; tries again in 7 seconds" in capsys.readouterr().err) is (
        expected == 7
    )


@pytest.mark.parametrize("wish", ["86400", "Fri, 31 Dec 2999 23:59:59 GMT"])
def test_a_server_that_asks_for_a_long_pause_is_named(server, tmp_path, expect_one_line, wish):
    server.raw = ["HTTP/1.1 503 Service Unavailable", f"Retry-After: {wish}"], b""
    with expect_one_line(DataError, "503 Service Unavailable", "asks to wait ", "run again to resume"):
        sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert len(server.ranges) == 1


def test_a_body_longer_than_announced_is_not_written(server, tmp_path, expect_one_line):
    server.raw = ["HTTP/1.1 200 OK"], bytes(4_000_000)
    source = served(server, "tiny_imagenet")
    with expect_one_line(DataError, "sends more than", f"{source.archives[TINY].bytes:,}", "the announced length"):
        sources.locate(source, tmp_path)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_compressed_body_is_not_unpacked(server, tmp_path, expect_one_line, encoding):
    """4 MB of zeros are 4 kB in gzip, so the length tells nothing."""
    body = zlib.compress(bytes(4_000_000), wbits=31 if encoding == "gzip" else 15)
    server.raw = ["HTTP/1.1 200 OK", f"Content-Encoding: {encoding}"], body
    with expect_one_line(DataError, f"the server compresses the file with {encoding}", "by hand"):
        sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert (tmp_path / f"{TINY}.part").stat().st_size == len(body)


def test_a_compressed_body_is_stored_as_it_is(server, tmp_path):
    """Servers declare .tar.gz files as gzip-encoded; a checksum is that of the file."""
    data = server.files[TINY]
    server.raw = ["HTTP/1.1 200 OK", "Content-Encoding: gzip", f"Content-Length: {len(data)}"], data
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert (tmp_path / TINY).read_bytes() == data


def test_a_body_of_unknown_length_leaves_half_of_the_disk(server, tmp_path, monkeypatch, expect_one_line):
    server.raw = ["HTTP/1.1 200 OK"], bytes(50_000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=20_000))
    with expect_one_line(DataError, "more than 10,000 bytes", "announces no length"):
        sources.locate(changed(served(server, "tiny_imagenet"), bytes=None), tmp_path)


@pytest.mark.parametrize("length", ["²", "1" * 5000, "-1", "0x10", "٣"])
def test_a_length_that_is_no_number_is_ignored(server, tmp_path, length):
    data = server.files[TINY]
    for header in ("Content-Length", "X-Length"):
        server.raw = (["HTTP/1.1 200 OK", f"{header}: {length}".encode().decode("latin-1")], data)
        sources.locate(changed(served(server, "tiny_imagenet"), bytes=None), tmp_path / header)
        assert (tmp_path / header / TINY).read_bytes() == data


@pytest.mark.parametrize("host", ["[::1", "a..b", "a" * 70 + ".com", "h:99999", "%00"])
@pytest.mark.parametrize("is_redirect", [True, False])
def test_an_address_without_a_valid_host_is_refused_at_once(server, tmp_path, expect_one_line, host, is_redirect):
    source = served(server, "tiny_imagenet")
    if is_redirect:
        server.redirect = f"http://{host}/{TINY}"
    else:
        source = changed(source, url=f"http://{host}/{TINY}")
    with expect_one_line(DataError, "not valid", "by hand"):
        sources.locate(source, tmp_path)
    assert len(server.ranges) == is_redirect


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/a.zip", "data:,x", "gopher://x", "file:/etc"]
)
def test_a_way_out_of_http_is_refused_at_once(server, tmp_path, expect_one_line, target):
    server.redirect = target
    with expect_one_line(DataError, "not http or https", "by hand"):
        sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert len(server.ranges) == 1
    assert not (tmp_path / TINY).exists()


def test_messages_show_no_query_and_no_password(server, tmp_path):
    source = changed(served(server, "tiny_imagenet"), url=server.url("elsewhere.zip?token=hunter2"))
    messages = []
    for redirect in ("ftp://user:hunter2@127.0.0.1/a.zip?Signature=hunter2", None):
        server.redirect = redirect
        with pytest.raises(DataError) as caught:
            sources.locate(source, tmp_path)
        messages.append(str(caught.value))
    assert "ftp://127.0.0.1/a.zip" in messages[0] and "404" in messages[1]
    assert all(server.url("elsewhere.zip") in message and "hunter2" not in message for message in messages)


def test_a_redirect_within_http_is_followed(server, tmp_path):
    server.redirect = f"/moved/{TINY}"
    server.files[server.redirect[1:]] = server.files[TINY]
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    assert (tmp_path / TINY).read_bytes() == server.files[TINY]


def test_sha256_is_as_good_as_md5(server, tmp_path, expect_one_line):
    digest = hashlib.sha256(server.files[TINY]).hexdigest()
    sources.locate(changed(served(server, "tiny_imagenet"), md5=None, sha256=digest), tmp_path)
    other = tmp_path / "other"
    with expect_one_line(DataError, "sha256"):
        sources.locate(changed(served(server, "tiny_imagenet"), md5=None, sha256="0" * 64), other)


def test_too_small_a_disk_is_noticed_before_the_transfer(server, tmp_path, monkeypatch, expect_one_line):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=7))
    with expect_one_line(DataError, "disk full", "7 are free"):
        sources.locate(served(server, "tiny_imagenet"), tmp_path)


def test_two_runs_at_once_download_once(server, tmp_path):
    source = served(server, "tiny_imagenet")
    runs = [threading.Thread(target=sources.locate, args=(source, tmp_path)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert (tmp_path / TINY).read_bytes() == server.files[TINY]
    assert len(server.ranges) == 1


# --- archives that are there already ---------------------------------------------------------------------------------


def test_verified_archive_is_not_hashed_again_until_it_changes(server, tmp_path, monkeypatch):
    source = served(server, "tiny_imagenet")
    sources.locate(source, tmp_path)
    hashed = []
    monkeypatch.setattr(download, "_hash", lambda path, algorithm: hashed.append(path) or source.archives[TINY].md5)
    sources.locate(source, tmp_path)
    assert hashed == []
    os.utime(tmp_path / TINY, ns=(1, 1))
    sources.locate(source, tmp_path)
    sources.locate(source, tmp_path)
    assert hashed == [tmp_path / TINY]


def test_damaged_archive_of_the_right_length_is_refused(server, tmp_path, expect_one_line):
    source = served(server, "tiny_imagenet")
    damaged = bytearray(server.files[TINY])
    damaged[100] ^= 1
    (tmp_path / TINY).write_bytes(damaged)
    with expect_one_line(DataError, tmp_path / TINY, source.archives[TINY].md5, "delete"):
        sources.locate(source, tmp_path)


def test_own_cut_of_a_published_archive_is_used(tmp_path, real_layouts):
    """The real description of Tiny ImageNet and a small archive in its layout."""
    (tmp_path / TINY).write_bytes(real_layouts[TINY])
    source = sources.load("tiny_imagenet", TRACKED)
    paths = sources.locate(source, tmp_path)
    assert len(list_images(source, paths).splits["train"]) == 6


def test_marker_is_plain_json(server, tmp_path):
    sources.locate(served(server, "tiny_imagenet"), tmp_path)
    marker = json.loads((tmp_path / f"{TINY}.verified").read_text())
    assert marker["bytes"] == len(server.files[TINY]) and "md5" in marker
