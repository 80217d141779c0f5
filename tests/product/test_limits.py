"""Whatever could take forever, flood a disk or fill the memory has a limit, and a message that names what is wrong."""

import gzip
import hashlib
import os
import resource
import shutil
import signal
import socket
import tarfile
import time
import zlib
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.helpers import outside, processes
from tests.helpers.outside import assert_one_line, head
from tests.helpers.waiting import until

TRAIN = ("train", "tiny", "regression", "0")
GROUP = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
SIZE = 300_000  # bytes of the archive that a server should send


# --- other processes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"WORLD_SIZE": "64", "RANK": "0"}])
def test_variables_that_a_cluster_left_are_named_at_once(small_project, changes):
    done = outside.stage(small_project, *TRAIN, **{**GROUP, **changes})
    assert_one_line(done, 2, "WORLD_SIZE=", "`torchrun` did not start this process", "unset")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_waits_for_other_processes_says_so_and_obeys(
    small_project, tmp_path, monkeypatch, number, code
):
    monkeypatch.setattr("colorize.training.distributed._SILENT_S", 0.2, raising=False)
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = {"MASTER_PORT": str(silent.getsockname()[1]), "TORCHELASTIC_RUN_ID": "x"}
        pid = processes.start(small_project, TRAIN, log, **{**GROUP, **port})
        try:
            silent.settimeout(10)
            silent.accept()[0].close()  # it has begun to wait
            until(log.exists)
            os.kill(pid, number) if _says(log, "waiting for the other") else os.kill(pid, signal.SIGKILL)
        finally:
            ended = processes.wait(pid)
    assert (ended, "waiting for the other" in log.read_text()) == (code, True)


def _says(log: Path, words: str) -> bool:
    """Whether a text appears in a log within five seconds."""
    for _ in range(500):
        if words in log.read_text():
            return True
        signal.sigtimedwait([], 0.01)
    return False


# --- files -----------------------------------------------------------------------------------------------------------


def zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 20 << 30)


@pytest.mark.parametrize("make", [os.mkfifo, zero, sparse])
def test_a_photo_without_an_end_does_not_cost_the_photo_behind_it(tmp_path, model, monkeypatch, make):
    monkeypatch.setattr(processes, "HANGS_AFTER_S", 20)
    make(tmp_path / "a.png")
    Image.new("RGB", (32, 32), (9, 99, 200)).save(tmp_path / "b.png")
    with outside.limited(resource.RLIMIT_AS, 1 << 30):
        done = outside.colorize(tmp_path, model, "a.png", "b.png")
    assert (done.returncode, outside.results(tmp_path)) == (3, {"b"}), done.stderr
    assert "a.png: " in done.stderr and "Traceback" not in done.stderr


def many_records(kind: bytes = b"x", records: int = 200_000) -> bytes:
    """A tar with a pax header of a megabyte: copying the rest after each record moves 100 GB."""
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 5 * records
    body = b"5 a=\n" * records
    return header.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


@pytest.mark.parametrize("content", [many_records(), many_records(b"g")])
def test_a_pax_header_of_many_records_takes_no_time(small_project, content):
    outside.write(small_project / "data/raw/tiny.zip", content + bytes(1024))
    with outside.cpu_seconds() as used:
        done = outside.stage(small_project, "shard", "tiny")
        assert used() < 2
    assert_one_line(done, 3, "tiny.zip")


@pytest.mark.parametrize("flood", [b"\xff", b"\xff\xd0"])
def test_a_photo_of_fill_bytes_takes_no_time(tmp_path, model, monkeypatch, flood):
    monkeypatch.setattr(processes, "HANGS_AFTER_S", 20)
    Image.new("L", (64, 64), 99).save(tmp_path / "plain.jpg")
    outside.colorize(tmp_path, model, "plain.jpg")  # the first photo after an installation takes seconds
    shutil.rmtree(tmp_path / "out")
    plain = (tmp_path / "plain.jpg").read_bytes()
    (tmp_path / "long.jpg").write_bytes(plain[:2] + flood * (20_000_000 // len(flood)) + plain[2:])
    with outside.cpu_seconds() as used:
        done = outside.colorize(tmp_path, model, "long.jpg", "plain.jpg")
        assert used() < 3, done.stderr
    assert "plain" in outside.results(tmp_path) and "Traceback" not in done.stderr


@pytest.mark.parametrize("sides", [{"smallest": 600, "largest": 700}, {"smallest": 48, "largest": 10**9}])
def test_crops_larger_than_every_tile_are_refused(small_project, sides):
    values = yaml.safe_load((small_project / "sources/objects.yaml").read_text())
    values["sample"] |= sides
    outside.write(small_project / "sources/objects.yaml", yaml.safe_dump(values))
    outside.change(small_project, "datasets", ["tiny", "objects"])
    done = outside.stage(small_project, "shard", "objects")
    assert_one_line(done, 2, "sources/objects.yaml: sample.")


def test_more_shards_than_open_files_are_one_line(small_project):
    with outside.limited(resource.RLIMIT_NOFILE, 8):
        done = outside.stage(small_project, *TRAIN, COLORIZE_CACHE="stream")
    assert_one_line(done, 3, "`ulimit -n`")


# --- downloads -------------------------------------------------------------------------------------------------------


def download(project: Path, answer: outside.Answer, size: int | None = SIZE) -> processes.subprocess.CompletedProcess:
    """What the stage says when a server answers in this way."""
    (project / "data/raw/tiny.zip").unlink()
    with outside.serving(answer) as url:
        archive = {"url": url, "sha256": hashlib.sha256(b"").hexdigest()} | ({"bytes": size} if size else {})
        text = yaml.safe_dump({"archives": {"tiny.zip": archive}}) + outside.SPLITS
        outside.write(project / "sources/tiny.yaml", text)
        return outside.stage(project, "shard", "tiny", no_proxy="*")


@pytest.mark.parametrize("lines", [(), ("Content-Length: ²",)])
def test_a_download_ends_at_the_length_of_the_file(small_project, monkeypatch, lines):
    monkeypatch.setattr("colorize.archives.download.BACKOFF_S", 0.001)
    sent = 0

    def endless(request) -> None:
        nonlocal sent
        head(request, "200 OK", *lines)
        for _ in range(640):
            sent += request.wfile.write(bytes(100_000))

    done = download(small_project, endless)
    assert_one_line(done, 3, "tiny.zip")
    assert 0 < sent < 30_000_000  # what the system buffers
    assert not list((small_project / "data/raw").glob("tiny.zip.part"))


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_download_is_not_unpacked(small_project, monkeypatch, encoding, pack):
    monkeypatch.setattr("colorize.archives.download.BACKOFF_S", 0.001)
    body = pack(bytes(20_000_000))

    def bomb(request) -> None:
        head(request, "200 OK", f"Content-Encoding: {encoding}")
        request.wfile.write(body)

    with outside.limited(resource.RLIMIT_FSIZE, 5_000_000):
        done = download(small_project, bomb, len(body))
    assert_one_line(done, 3, "sha256 is")  # the bytes themselves were stored


def drip_headers(request) -> bytes:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    return b"x"


def drip_body(request) -> bytes:
    head(request, "200 OK", f"Content-Length: {SIZE}")
    return b"x"


def drip_chunks(request) -> bytes:
    head(request, "200 OK", "Transfer-Encoding: chunked")
    return b"1\r\nx\r\n"


@pytest.mark.parametrize("begin", [drip_headers, drip_body, drip_chunks])
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(small_project, monkeypatch, begin):
    for name, value in {"BACKOFF_S": 0.001, "STALL_S": 0.3, "ATTEMPTS": 2}.items():
        monkeypatch.setattr(f"colorize.archives.download.{name}", value, raising=False)

    def drip(request) -> None:
        drop, end = begin(request), time.monotonic() + 30
        while time.monotonic() < end:
            request.wfile.write(drop)
            time.sleep(0.02)

    assert_one_line(download(small_project, drip), 3, "the server sends less than 65,536 bytes in", "2 attempts failed")


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_server_that_asks_for_a_day_is_named_at_once(small_project, monkeypatch, status):
    monkeypatch.setattr("colorize.archives.download.BACKOFF_S", 0.001)
    asked: list[str] = []

    def busy(request) -> None:
        asked.append(request.path)
        head(request, status, "Retry-After: 86400", "Content-Length: 0")

    done = download(small_project, busy)
    assert_one_line(done, 3, status, "asks to wait 86,400 seconds")
    assert len(asked) == 1
