"""Archives are listed as Python's own modules list them, read in place, and refused when damaged."""

import io
import os
import pickle
import resource
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from colorize.archives import containers
from colorize.runtime import DataError
from tests.helpers import rights

LONG = "/".join(["a folder with a long name"] * 12) + "/picture.jpg"  # 323 characters
NAMES = [
    "plain.jpg",
    "data_256/a/airfield/00000001.jpg",
    "folder/" + "x" * 95 + ".jpg",  # over 100 characters in all: ustar needs its prefix
    LONG,
    "päivää/日本語/🙂.jpg",
    "../../escape.jpg",
    "two\nlines.jpg",
    "dots...and spaces .jpg",
]
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def content_of(name: str) -> bytes:
    """Bytes that differ from member to member, also in length."""
    return name.encode() * (1 + len(name) % 30)


def write_tar(path, names, format, **fields):
    with tarfile.open(path, "w", format=format) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(content_of(name))
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content_of(name)))
    return path


def write_zip(path, names, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in names:
            archive.writestr(name, content_of(name))
    return path


def read_all(path) -> dict[str, bytes]:
    with containers.Reader(path) as reader:
        return {entry.name: bytes(reader.read(entry)) for entry in containers.scan(path).entries}


def expect_refusal(path, *words):
    with pytest.raises(DataError) as caught:
        containers.scan(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize("format", FORMATS)
def test_tar_members_agree_with_tarfile(tmp_path, format):
    names = [name for name in NAMES if not (format == "ustar" and name == LONG)]
    path = write_tar(tmp_path / "a.tar", names, FORMATS[format], mtime=1.5)
    with tarfile.open(path) as archive:
        expected = sorted((member.name, member.offset_data, member.size) for member in archive.getmembers())
    assert [entry[:3] for entry in containers.scan(path).entries] == expected
    assert read_all(path) == {name: content_of(name) for name in names}


def test_listing_spans_batches_of_headers(tmp_path):
    names = [f"{number:06d}.jpg" for number in range(9000)]
    path = write_tar(tmp_path / "a.tar", names, tarfile.USTAR_FORMAT)
    assert [entry.name for entry in containers.scan(path).entries] == names


@pytest.mark.parametrize("format", ["gnu", "pax"])
def test_sizes_beyond_octal_are_understood(tmp_path, format):
    """9 GiB: base 256 in GNU tars, a pax record otherwise; the file is a hole of that length."""
    size = 9 << 30
    info = tarfile.TarInfo("huge.bin")
    info.size = size
    head = info.tobuf(FORMATS[format])
    last = tarfile.TarInfo("last.jpg").tobuf(FORMATS[format])
    path = tmp_path / "huge.tar"
    with path.open("wb") as file:
        file.write(head)
        file.seek(len(head) + size)
        file.write(last + bytes(1024))
    assert [(entry.name, entry.size) for entry in containers.scan(path).entries] == [
        ("huge.bin", size),
        ("last.jpg", 0),
    ]


def test_pax_global_header_is_no_member(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "of the whole archive"}) as archive:
        archive.addfile(tarfile.TarInfo("empty.jpg"))
    assert [entry.name for entry in containers.scan(path).entries] == ["empty.jpg"]


def test_names_that_are_not_utf8_become_printable_labels(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("caf\xe9.jpg"))
    assert [entry.name for entry in containers.scan(path).entries] == ["caf\\xe9.jpg"]


def test_links_and_devices_are_left_out_and_counted(tmp_path):
    path = tmp_path / "a.tar"
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    with tarfile.open(path, "w") as archive:
        for number, kind in enumerate(kinds):
            info = tarfile.TarInfo(f"special{number}")
            info.type, info.linkname = kind, "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("real.jpg"))
    listing = containers.scan(path)
    assert [entry.name for entry in listing.entries] == ["real.jpg"]
    assert listing.skipped == {"symbolic link": 1, "hard link": 1, "device or pipe": 2}


def test_of_members_with_one_name_the_last_counts(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for content in (b"old", b"newer"):
            info = tarfile.TarInfo("a.jpg")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert read_all(path) == {"a.jpg": b"newer"}
    assert containers.scan(path).skipped == {"repeated name": 1}


def test_every_damaged_tar_header_is_refused(tmp_path):
    """Whichever byte of a header is flipped, no listing comes out; tarfile would stop and say nothing."""
    names = [f"{number}.jpg" for number in range(4)]
    path = write_tar(tmp_path / "a.tar", names, tarfile.USTAR_FORMAT)
    whole = path.read_bytes()
    offsets = [entry.offset - 512 for entry in containers.scan(path).entries]
    for offset in offsets:
        for byte in (0, 50, 124, 130, 156, 257, 400):
            damaged = bytearray(whole)
            damaged[offset + byte] ^= 0x11
            path.write_bytes(damaged)
            expect_refusal(path, f"(byte {offset})")


def test_wiped_headers_are_not_taken_for_the_end(tmp_path):
    path = write_tar(tmp_path / "a.tar", ["1.jpg", "2.jpg", "3.jpg"], tarfile.USTAR_FORMAT)
    whole = bytearray(path.read_bytes())
    second = containers.scan(path).entries[1].offset - 512
    whole[second : second + 1024] = bytes(1024)
    path.write_bytes(whole)
    expect_refusal(path, f"(byte {second})", "a header is missing", "download it again")


def test_truncated_tars_are_refused_wherever_they_are_cut(tmp_path):
    path = write_tar(tmp_path / "a.tar", ["1.jpg", LONG, "3.jpg"], tarfile.PAX_FORMAT)
    whole = path.read_bytes()
    end = max(entry.offset for entry in containers.scan(path).entries) + 512 + 1024  # the last member and the end mark
    for length in range(256, end, 256):
        path.write_bytes(whole[:length])
        expect_refusal(path, "download it again")
    path.write_bytes(whole[:end])  # without the padding to 10,240 bytes
    assert len(containers.scan(path).entries) == 3


def test_negative_size_is_refused_instead_of_looping(tmp_path):
    header = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"-00000001000"
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * 32)
    path = tmp_path / "a.tar"
    path.write_bytes(header + bytes(1024))
    expect_refusal(path, "size")


def test_a_size_of_twelve_digits_without_an_end_is_read_whole(tmp_path):
    """As tars before ustar write sizes from 8 GiB on; a digit short would be an eighth of it."""
    header = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"000000000007"
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * 32)
    path = tmp_path / "a.tar"
    path.write_bytes(header + b"content".ljust(512, b"\0") + bytes(1024))
    assert read_all(path) == {"a.jpg": b"content"}


def test_a_name_like_a_folders_with_content_is_a_file(tmp_path):
    path = write_tar(tmp_path / "a.tar", ["empty", "full"], tarfile.USTAR_FORMAT)
    with tarfile.open(path, "w") as archive:
        for name, content in (("empty/", b""), ("full/", b"content")):
            info = tarfile.TarInfo()
            info.name, info.size = name, len(content)
            archive.addfile(info, io.BytesIO(content))
    assert read_all(path) == {"full/": b"content"}


@pytest.mark.parametrize("kind", ["member", "end mark"])
def test_an_extended_header_without_its_member_tells_of_a_loss(tmp_path, kind):
    """Here it says nothing of name or size, so only that it waits for a member gives the loss away."""
    path = write_tar(tmp_path / "a.tar", ["1.jpg", "2.jpg"], tarfile.PAX_FORMAT, mtime=1.5)
    whole, (first, second) = path.read_bytes(), containers.scan(path).entries
    lost = first if kind == "member" else second
    path.write_bytes(whole[: lost.offset - 512] + whole[lost.offset + 512 :])
    expect_refusal(path, "the member between them is missing" if kind == "member" else "the end mark is missing")


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_tars_are_refused_with_the_remedy(tmp_path, mode):
    path = tmp_path / "a.tar"
    with tarfile.open(path, mode) as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    expect_refusal(path, "compressed as a whole with", "unpack it")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"x" * 2000])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    expect_refusal(path)


def test_missing_archives_are_refused(tmp_path):
    expect_refusal(tmp_path / "none.zip", "No such file")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_members_agree_with_zipfile(tmp_path, compression):
    path = write_zip(tmp_path / "a.zip", NAMES, compression)
    with zipfile.ZipFile(path) as archive:
        expected = {name: archive.read(name) for name in archive.namelist()}
    assert read_all(path) == expected
    assert [entry.name for entry in containers.scan(path).entries] == sorted(NAMES)


def test_zip_that_was_added_to_is_read_by_its_last_directory(tmp_path):
    path = write_zip(tmp_path / "a.zip", NAMES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.jpg", b"more")
    assert read_all(path)["more.jpg"] == b"more"


def test_flipped_bytes_in_a_zip_member_are_noticed(tmp_path):
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = write_zip(tmp_path / "a.zip", ["a.jpg"], compression)
        damaged = bytearray(path.read_bytes())
        damaged[40] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.jpg"):
            read_all(path)


def test_truncated_zip_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", NAMES)
    path.write_bytes(path.read_bytes()[:-30])
    expect_refusal(path, "download it again")


def test_zip_member_without_a_name_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["a"])
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 28], data[directory + 32] = 0, 1  # length of the name, of the comment
    path.write_bytes(data)
    expect_refusal(path, "without a name")


def test_entries_of_a_zip_are_not_read_from_what_is_no_zip_any_more(tmp_path):
    """Read as a tar, it would hand out headers for pixels, and no checksum would be looked at."""
    path = write_zip(tmp_path / "a.zip", ["a.jpg"], zipfile.ZIP_STORED)
    (entry,) = containers.scan(path).entries
    path.write_bytes(b"Q" + path.read_bytes()[1:])
    with containers.Reader(path) as reader, pytest.raises(DataError, match="no longer the zip"):
        reader.read(entry)


def test_encrypted_zip_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["a.jpg"])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    expect_refusal(path, "encrypted")


def test_zip_with_other_compression_is_refused(tmp_path):
    expect_refusal(
        write_zip(tmp_path / "a.zip", ["a.jpg"], zipfile.ZIP_LZMA), "neither stored nor compressed with deflate"
    )


def test_zip_bomb_unpacks_no_more_than_it_announces(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(5_000_000))
    (entry,) = containers.scan(path).entries
    with containers.Reader(path) as reader:
        tracemalloc.start()
        with pytest.raises(DataError, match="checksum"):
            reader.read(entry._replace(size=100))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()
        with pytest.raises(DataError, match="the limit is 268,435,456"):
            reader.read(entry._replace(size=containers.MAX_INFLATED + 1))


def test_symbolic_links_in_a_zip_are_left_out_and_counted(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["a.jpg"])
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert containers.scan(path).skipped == {"symbolic link": 1}


def test_folder_is_walked_sorted_and_links_are_followed_but_never_in_circles(tmp_path):
    folder = tmp_path / "photos"
    for name in ("b.jpg", "a/2.jpg", "a/1.jpg", "a-b.jpg", "two\nlines.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content_of(name))
    (folder / "link.jpg").symlink_to("b.jpg")
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "far.jpg").write_bytes(content_of("c/far.jpg"))
    (folder / "c").symlink_to(tmp_path / "disk")
    (folder / "loop").symlink_to(folder)
    (folder / "a" / "up").symlink_to("..")
    (folder / "lost.jpg").symlink_to("nowhere")
    (folder / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "also.jpg").symlink_to("pipe.jpg")
    listing = containers.scan(folder)
    names = ["a-b.jpg", "a/1.jpg", "a/2.jpg", "b.jpg", "c/far.jpg", "link.jpg", "two\nlines.jpg"]
    assert [entry.name for entry in listing.entries] == names
    assert listing.skipped == {"broken link": 2, "device, pipe or socket": 2, "link to a folder above it": 2}
    assert read_all(folder) == {name: content_of("b.jpg" if name == "link.jpg" else name) for name in names}


def test_links_that_multiply_are_refused(tmp_path, monkeypatch):
    """Each of ten folders has two links to the next one: 1,024 ways lead to the last one."""
    monkeypatch.setattr(containers, "MAX_REPEATED", 50)
    for level in range(11):
        (tmp_path / f"photos/{level:02d}").mkdir(parents=True)
    for level in range(10):
        for name in ("a", "b"):
            (tmp_path / f"photos/{level:02d}/{name}").symlink_to(tmp_path / f"photos/{level + 1:02d}")
    with pytest.raises(DataError, match=r"photos: links lead more than 50 times to folders that are listed already"):
        containers.scan(tmp_path / "photos")


def test_a_folder_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "MAX_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.jpg").touch()
    with pytest.raises(DataError, match=r"more than 3 files; name a smaller folder, or put the images into tars"):
        containers.scan(tmp_path)


def test_file_name_that_no_table_can_hold_is_named(tmp_path):
    (tmp_path / "photos").mkdir()
    with open(os.fsencode(tmp_path / "photos") + b"/caf\xe9.jpg", "wb"):  # noqa: PTH123 - Path takes no bytes
        pass
    expect_refusal(tmp_path / "photos", "rename")


def test_entries_and_errors_travel_between_processes(tmp_path):
    entries = containers.scan(write_tar(tmp_path / "a.tar", NAMES, tarfile.PAX_FORMAT)).entries
    assert pickle.loads(pickle.dumps(entries)) == entries


def test_archive_that_shrank_since_it_was_listed_is_noticed(tmp_path):
    path = write_tar(tmp_path / "a.tar", ["1.jpg", "2.jpg"], tarfile.USTAR_FORMAT)
    entries = containers.scan(path).entries
    path.write_bytes(path.read_bytes()[:700])
    with containers.Reader(path) as reader, pytest.raises(DataError, match="shorter"):
        reader.read(entries[1])


def test_views_outlive_their_reader(tmp_path):
    path = write_tar(tmp_path / "a.tar", ["1.jpg"], tarfile.USTAR_FORMAT)
    with containers.Reader(path) as reader:
        view = reader.read(containers.scan(path).entries[0])
    assert bytes(view) == content_of("1.jpg")


def test_a_file_that_may_not_be_read_is_told_from_one_that_is_gone(tmp_path, monkeypatch):
    for name in ("closed", "gone"):
        (tmp_path / name).write_bytes(b"x")
    entries = containers.scan(tmp_path).entries
    (tmp_path / "closed").chmod(0)
    (tmp_path / "gone").unlink()
    monkeypatch.chdir(tmp_path)  # so that a user without rights needs no right to the folders above
    tmp_path.chmod(0o755)
    with containers.Reader(Path()) as reader, rights.without_rights():
        with pytest.raises(containers.UnreadableFile, match="closed: Permission denied; make the file readable"):
            reader.read(entries[0])
        with pytest.raises(DataError, match="run again") as caught:
            reader.read(entries[1])
    assert not isinstance(caught.value, containers.UnreadableFile)


def test_a_process_without_free_file_handles_is_not_the_fault_of_a_file(tmp_path, monkeypatch):
    (tmp_path / "photo").write_bytes(b"x")
    (entry,) = containers.scan(tmp_path).entries
    with containers.Reader(tmp_path) as reader:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(DataError, match="Too many open files") as caught:
                reader.read(entry)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not isinstance(caught.value, containers.UnreadableFile)
