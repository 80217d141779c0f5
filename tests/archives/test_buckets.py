"""Objects in buckets are listed and copied whole, in the version that was listed; and no secret gets anywhere."""

import hashlib
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from types import SimpleNamespace

import pytest

from colorize import runtime
from colorize.archives import buckets, disk, stores
from colorize.runtime import DataError
from colorize.sharding import sources
from tests.helpers.object_stores import KEYS, REMEDY

_FETCH_SLOWLY = """
import sys
from pathlib import Path
from colorize import runtime
from colorize.archives import buckets

buckets.REQUESTED = 4096
wanted, = buckets.list_objects(sys.argv[1])
runtime.run(lambda: buckets.fetch(wanted, Path(sys.argv[2])), [])
"""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(stores, "BACKOFF_S", 0.001)


def names(objects: list[buckets.Object]) -> list[str]:
    return [found.url for found in objects]


def files(folder) -> list[str]:
    """Names of the files in a folder, without those of locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


# --- listing ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_listed_with_all_below_it_sorted_by_name(s3):
    for name in ("all/b.tar", "all/a/1.tar", "all/", "all/a/", "allotment/c.tar", "all.tar"):
        s3.put(name, b"12345" if name.endswith(".tar") else b"")
    s3.put("all/empty.tar")
    listed = buckets.list_objects(s3.url("all/"))
    assert names(listed) == [s3.url(f"all/{name}") for name in ("a/1.tar", "b.tar", "empty.tar")]
    assert [found.size for found in listed] == [5, 5, 0]
    assert listed[0].etag == buckets.list_objects(s3.url("all/a/1.tar"))[0].etag


def test_a_pattern_stays_within_its_folder(s3):
    for name in ("00.tar", "01.tar", "02.tar", "02.json", "_tmp/03.tar", "deep/er/04.tar"):
        s3.put(f"pattern/{name}", b"x")
    assert names(buckets.list_objects(s3.url("pattern/*.tar"))) == [s3.url(f"pattern/0{n}.tar") for n in range(3)]
    assert names(buckets.list_objects(s3.url("pattern/0[12].*"))) == [
        s3.url(f"pattern/{name}") for name in ("01.tar", "02.json", "02.tar")
    ]
    assert names(buckets.list_objects(s3.url("pattern/*/er/*"))) == [s3.url("pattern/deep/er/04.tar")]


@pytest.mark.parametrize("name", ["a b+c.tar", "100%25.tar", "zürich#1.tar", "x=1&y@z.tar"])
def test_odd_names_are_listed_and_fetched(s3, tmp_path, name):
    s3.put(f"odd/{name}", name.encode())
    (found,) = buckets.list_objects(s3.url(f"odd/{name}"))
    assert found in buckets.list_objects(s3.url("odd/"))
    buckets.fetch(found, tmp_path / "file")
    assert (tmp_path / "file").read_text() == name


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://photographs/none.tar", ["no such object"]),
        ("s3://photographs/none/", ["no object"]),
        ("s3://photographs/none*.tar", ["no object"]),
        ("s3://photographs", ["end the address with `/`"]),
        ("s3://other-bucket/", ["no such bucket"]),
        ("s3://other-bucket/a.tar", ["no such object or bucket"]),
        ("s3://photographs/a//b.tar", ["`//`", "rename"]),
        ("s3://photographs/a.tar?x=1", ["no query"]),
        ("s3://user:hunter2@photographs/a.tar", ["user name or password", "environment"]),
        ("https://h/a.tar?X-Amz-Signature=hunter2", ["signature", "environment"]),
        ("ftp://h/a.tar", ["s3://"]),
        ("s3://photographs/a\nb", ["character"]),
    ],
)
def test_what_cannot_be_listed_is_one_line(s3, address, words):
    with pytest.raises(DataError) as caught:
        buckets.list_objects(address)
    message = str(caught.value)
    assert message.isprintable() and "hunter2" not in message
    assert all(word in message for word in words)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:1", ["refuses the connection", "endpoint"]),
        ("nonsense", ["cannot be opened", "endpoint"]),
        ("http://no-host.invalid", ["name of the server"]),
    ],
)
def test_wrong_endpoint_is_one_line(s3, monkeypatch, capfd, expect_one_line, endpoint, words):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with expect_one_line(DataError, "s3://photographs/a.tar", *words):
        buckets.list_objects(s3.url("a.tar"))
    assert capfd.readouterr().err == ""


def test_missing_keys_are_named(s3, monkeypatch, expect_one_line):
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")  # where a machine of Amazon gets its keys
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    for address, name in ((s3.url("a.tar"), "AWS"), ("az://container/a.tar", "AZURE")):
        with expect_one_line(DataError, "no keys", f"set {name}_", f"{name}_SKIP_SIGNATURE"):
            buckets.list_objects(address)


@pytest.mark.parametrize(("status", "words"), [(403, "AWS_ACCESS_KEY_ID"), (404, "no such object"), (400, "400")])
def test_refusals_are_not_repeated(odd_store, expect_one_line, status, words):
    odd_store.status, odd_store.body = status, "<Error><Message>Signature=hunter2</Message></Error>"
    with expect_one_line(DataError, words):
        buckets.list_objects("s3://bucket/a.tar")
    assert len(odd_store.requests) == 1


def test_errors_of_the_server_are_repeated(odd_store, expect_one_line):
    odd_store.status = 503
    with expect_one_line(DataError, "503"):
        buckets.list_objects("s3://bucket/a.tar")
    assert len(odd_store.requests) == stores.RETRIES + 1


def test_missing_package_is_one_line_with_the_command(monkeypatch, repo, expect_one_line):
    monkeypatch.setitem(sys.modules, "obstore", None)
    (wanted,) = tomllib.loads((repo / "pyproject.toml").read_text())["project"]["optional-dependencies"]["buckets"]
    with expect_one_line(DataError, "s3://bucket/a.tar", f"pip install '{wanted}'"):
        buckets.list_objects("s3://bucket/a.tar")


def test_other_stores_and_web_servers_have_objects_too(odd_store, tmp_path, monkeypatch):
    account = f'{{"gcs_base_url": "{odd_store.endpoint}", "disable_oauth": true, "client_email": "", '
    account += '"private_key": "", "private_key_id": ""}'
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", account)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", odd_store.endpoint)
    for address in ("gs://bucket/a b.tar", "az://container/a b.tar", f"{odd_store.endpoint}/folder/a%20b.tar"):
        (found,) = buckets.list_objects(address)
        assert found == (address, len(odd_store.data), odd_store.etag)
        buckets.fetch(found, tmp_path / "a.tar")
        assert (tmp_path / "a.tar").read_bytes() == odd_store.data
        (tmp_path / "a.tar").unlink()


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_server_without_strong_etags_is_refused(odd_store, expect_one_line, etag):
    odd_store.etag = etag
    with expect_one_line(DataError, "ETag", "archives"):
        buckets.list_objects(f"{odd_store.endpoint}/a.tar")


# --- fetching --------------------------------------------------------------------------------------------------------


def test_an_object_is_copied_by_several_requests_and_replaces_the_file(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "REQUESTED", 1000)
    data = os.urandom(2500)
    s3.put("several.tar", data)
    path = tmp_path / "new folder" / "several.tar"
    for _ in range(2):
        buckets.fetch(*buckets.list_objects(s3.url("several.tar")), path)
        assert path.read_bytes() == data
        assert files(path.parent) == ["several.tar"]


def test_a_killed_transfer_continues_where_it_ended(s3, tmp_path, repo):
    data = os.urandom(1 << 21)
    s3.put("killed.tar", data)
    path, part = tmp_path / "killed.tar", tmp_path / "killed.tar.part"
    process = subprocess.Popen([sys.executable, "-c", _FETCH_SLOWLY, s3.url("killed.tar"), path], cwd=repo)
    while not part.exists() or part.stat().st_size < 20_000:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    inode, have = part.stat().st_ino, part.stat().st_size
    assert 0 < have < len(data) and not path.exists()
    buckets.fetch(*buckets.list_objects(s3.url("killed.tar")), path)
    assert path.read_bytes() == data
    assert path.stat().st_ino == inode  # the same file was continued
    assert files(tmp_path) == ["killed.tar"]


def test_a_part_of_another_version_is_not_continued(odd_store, tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "REQUESTED", 1000)
    (wanted,) = buckets.list_objects("s3://bucket/a.tar")
    odd_store.replaced_after = 4
    with pytest.raises(DataError, match="changed"):
        buckets.fetch(wanted, tmp_path / "a.tar")
    assert (tmp_path / "a.tar.part").read_bytes() == odd_store.data[:3000]
    odd_store.data = odd_store.data[::-1]
    buckets.fetch(*buckets.list_objects("s3://bucket/a.tar"), tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == odd_store.data


def test_an_object_replaced_before_the_transfer_is_noticed(s3, tmp_path, expect_one_line):
    s3.put("replaced.tar", b"first")
    (wanted,) = buckets.list_objects(s3.url("replaced.tar"))
    s3.put("replaced.tar", b"other")
    with expect_one_line(DataError, s3.url("replaced.tar"), "changed", "run again"):
        buckets.fetch(wanted, tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


@pytest.mark.parametrize("after", [2, 3, 9], ids=["between two requests", "and later", "during the last request"])
def test_an_object_replaced_during_the_transfer_is_noticed(odd_store, tmp_path, monkeypatch, expect_one_line, after):
    """The store ignores If-Match, as far as it can: only its ETag changes."""
    monkeypatch.setattr(buckets, "REQUESTED", 1000)
    (wanted,) = buckets.list_objects("s3://bucket/a.tar")
    odd_store.replaced_after = after
    with expect_one_line(DataError, "changed", "run again"):
        buckets.fetch(wanted, tmp_path / "a.tar")
    assert len(odd_store.requests) == after + 1
    assert not (tmp_path / "a.tar").exists()


def test_cut_connections_and_short_answers_are_continued(odd_store, tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "PIECE", 100)
    (wanted,) = buckets.list_objects("s3://bucket/a.tar")
    odd_store.cuts, odd_store.longer = 8, -1  # more often than obstore itself tries again
    buckets.fetch(wanted, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == odd_store.data
    assert len(odd_store.conditions) > 8 and set(odd_store.conditions) == {wanted.etag}


def test_a_connection_that_stays_cut_is_given_up_and_kept_for_resuming(odd_store, tmp_path, expect_one_line):
    (wanted,) = buckets.list_objects("s3://bucket/a.tar")
    odd_store.cuts, odd_store.cut_at = 10**6, 0
    with expect_one_line(DataError, "connection cut", "resume"):
        buckets.fetch(wanted, tmp_path / "a.tar")
    assert files(tmp_path) == ["a.tar.part", "a.tar.part.json"]


@pytest.mark.parametrize("change", [{"longer": 10}, {"shift": 1}, {"has_ranges": False}], ids=str)
def test_other_bytes_than_requested_are_never_kept(odd_store, tmp_path, monkeypatch, expect_one_line, change):
    monkeypatch.setattr(buckets, "REQUESTED", 1000)
    (wanted,) = buckets.list_objects("s3://bucket/a.tar")
    (tmp_path / "a.tar.part").write_bytes(odd_store.data[:1000])
    runtime.write_json(tmp_path / "a.tar.part.json", wanted._asdict())
    vars(odd_store).update(change)
    with expect_one_line(DataError, "s3://bucket/a.tar", "yourself"):
        buckets.fetch(wanted, tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()
    assert (tmp_path / "a.tar.part").read_bytes() == odd_store.data[:1000]


def test_too_small_a_disk_is_noticed_before_the_transfer(odd_store, tmp_path, monkeypatch, expect_one_line):
    (wanted,) = buckets.list_objects("s3://bucket/a.tar")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=7))
    with expect_one_line(DataError, "disk full", "7 are free"):
        buckets.fetch(wanted, tmp_path / "a.tar")
    assert len(odd_store.requests) == 1


def test_a_file_that_cannot_be_written_is_one_line(odd_store, tmp_path, expect_one_line):
    (wanted,) = buckets.list_objects("s3://bucket/a.tar")
    (tmp_path / "a.tar.part").mkdir()
    with expect_one_line(DataError, tmp_path / "a.tar"):
        buckets.fetch(wanted, tmp_path / "a.tar")


# --- processes -------------------------------------------------------------------------------------------------------


def test_forked_workers_fetch_what_their_parent_has_listed(s3, tmp_path):
    """obstore's threads do not survive a fork: in a worker of a process that has used it, it hangs."""
    for number in range(4):
        s3.put(f"workers/{number}.tar", bytes([number]) * 1000)
    listed = buckets.list_objects(s3.url("workers/"))
    buckets.fetch(listed[0], tmp_path / "0.tar")
    with runtime.executor(2) as pool:
        list(pool.map(buckets.fetch, listed, [tmp_path / f"{number}.tar" for number in range(4)], timeout=60))
    assert [(tmp_path / f"{number}.tar").read_bytes() for number in range(4)] == [bytes([n]) * 1000 for n in range(4)]


def test_a_stalled_transfer_ends_at_once_when_its_process_is_terminated(repo, tmp_path, monkeypatch):
    pytest.importorskip("obstore", reason=f"obstore is not installed; {REMEDY}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.getsockname()[1]}"}.items():
            monkeypatch.setenv(name, value)
        script = "from colorize import runtime\nfrom colorize.archives import buckets\n"
        script += "runtime.run(lambda: print(buckets.list_objects('s3://bucket/a.tar')), [])"
        process = subprocess.Popen([sys.executable, "-c", script], cwd=repo, stderr=subprocess.PIPE)
        with server.accept()[0]:  # now the request waits for an answer
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.communicate(timeout=30)[1] == b""
    assert process.returncode == 143
    assert time.monotonic() - began < 5


def test_secrets_get_nowhere(s3, tmp_path, monkeypatch, capfd, repo):
    """Not into objects, files, messages and output, of transfers that end well and of those that fail."""
    secret, token = KEYS["AWS_SECRET_ACCESS_KEY"], "token-of-the-tests"
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    s3.put("secret.tar", os.urandom(20_000))
    listed = buckets.list_objects(s3.url("secret.tar"))
    traces = [str(listed), pickle.dumps(listed).decode("latin1")]
    command = [sys.executable, "-c", _FETCH_SLOWLY, s3.url("secret.tar"), tmp_path / "secret.tar"]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=True)
    s3.put("secret.tar", b"replaced")
    for wanted in (*listed, listed[0]._replace(url=s3.url("missing.tar"))):
        with pytest.raises(DataError) as caught:
            buckets.fetch(wanted, tmp_path / "failed.tar")
        traces += [str(caught.value), repr(pickle.dumps(caught.value))]
    written = [path.read_text(errors="replace") for path in tmp_path.iterdir()]
    traces += [done.stdout, done.stderr, *capfd.readouterr(), *written]
    assert len(written) >= 3
    for hidden in (secret, token, KEYS["AWS_ACCESS_KEY_ID"], "Signature"):
        assert not any(hidden in trace for trace in traces)


def test_progress_is_shown_in_mebibytes_and_not_by_workers(s3, tmp_path, monkeypatch):
    s3.put("progress.tar", bytes(3 << 20))
    (wanted,) = buckets.list_objects(s3.url("progress.tar"))
    monkeypatch.setenv("COLORIZE_PROGRESS", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "shard")
    steps = []
    monkeypatch.setattr(runtime.terminal._Records, "advance", lambda self, n: steps.append((self._total, n)))
    with runtime.executor(1) as pool:
        pool.submit(buckets.fetch, wanted, tmp_path / "in worker.tar").result(60)
    assert not (tmp_path / "shard.json").exists()
    buckets.fetch(wanted, tmp_path / "here.tar")
    assert sum(n for _, n in steps) == 3 and {total for total, _ in steps} == {3}
    assert re.fullmatch(r"\{\}", (tmp_path / "shard.json").read_text())


# --- archives in buckets ---------------------------------------------------------------------------------------------


def in_bucket(store, name: str, data: bytes, **values) -> sources.Source:
    store.put(name, data)
    archive = {"url": store.url(name), "md5": hashlib.md5(data).hexdigest(), **values}
    return sources.Source.model_validate({"archives": {"a.tar": archive}, "fractions": {"val": 0, "test": 0}})


def test_archive_in_a_bucket_is_downloaded_and_verified(s3, tmp_path, real_layouts):
    data = real_layouts["val_256.tar"]
    source = in_bucket(s3, "archives/val.tar", data, bytes=len(data))
    sources.locate(source, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.tar.lock", "a.tar", "a.tar.verified"]


@pytest.mark.parametrize(
    ("values", "words"), [({"md5": "0" * 32}, ["md5", "0" * 32]), ({"bytes": 7}, ["3 bytes", "expected 7"])]
)
def test_wrong_archive_in_a_bucket_is_refused_and_deleted(s3, tmp_path, expect_one_line, values, words):
    source = in_bucket(s3, "archives/wrong.tar", b"abc", **values)
    with expect_one_line(DataError, s3.url("archives/wrong.tar"), *words):
        sources.locate(source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".a.tar.lock"]
