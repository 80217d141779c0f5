"""Every kind of archive member that a hostile or careless hand may pack, and what becomes of it: one table.

Each is sharded next to a sound image: listed under a harmless label, left out and counted, or the archive is refused
in one line. Nothing is ever written outside the folder of the shards.
"""

import csv
import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorize.archives import containers
from colorize.data.split import Split
from colorize.layout import Folders
from colorize.runtime import DataError
from colorize.sharding import build

SOURCE = "{path: odd, splits: {train: {glob: '*'}, val: {glob: '*'}, test: {glob: '*'}}}"


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


SOUND, ODD = png(0), png(1)
Member = tarfile.TarInfo | zipfile.ZipInfo


# --- members, each with its content ----------------------------------------------------------------------------------


def in_tar(name: str, content: bytes = ODD, **fields) -> list[tuple[Member, bytes]]:
    info = tarfile.TarInfo(name)
    for field, value in {"size": len(content), **fields}.items():
        setattr(info, field, value)
    return [(info, content)]


def special(kind: bytes, target: str = "") -> list[tuple[Member, bytes]]:
    return in_tar("odd.png", b"", type=kind, linkname=target)


def in_zip(name: str, content: bytes = ODD, mode: int = 0o100644, **fields) -> list[tuple[Member, bytes]]:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    for field, value in fields.items():
        setattr(info, field, value)
    return [(info, content)]


def pack(path: Path, members: list[tuple[Member, bytes]], format: int) -> None:
    if isinstance(members[0][0], tarfile.TarInfo):
        with tarfile.open(path, "w", format=format) as archive:
            for info, content in [*in_tar("sound.png", SOUND), *members]:
                archive.addfile(info, io.BytesIO(content))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for info, content in [*in_zip("sound.png", SOUND), *members]:
                archive.writestr(info, content)


def patched(path: Path, signature: bytes, at: int, value: bytes) -> None:
    """Overwrite a field of the last header with this signature."""
    data = bytearray(path.read_bytes())
    start = data.rindex(signature) + at
    data[start : start + len(value)] = value
    path.write_bytes(data)


# --- the table -------------------------------------------------------------------------------------------------------

LONG = "folder/" * 50 + "odd.png"  # 357 characters
NAMES = {
    "absolute": "/etc/passwd.png",
    "upwards": "../../../escape.png",
    "backslashes": "..\\..\\escape.png",
    "leading dash": "-rf.png",
    "newline": "two\nlines.png",
    "carriage return": "two\rlines.png",
    "quotes and commas": 'a","b\';--.png',
    "markup": '"><img src=x onerror=alert(1)>.png',
    "terminal codes": "\x1b[2J\x1b]0;owned\x07.png",
    "unicode": "päivää/日本語/🙂.png",
    "357 characters": LONG,
    "spaces and dots": " . .. ...png",
    "no name but an ending": ".png",
}
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LISTED = {f"{kind}, zip": (in_zip(name), name) for kind, name in NAMES.items()}
LISTED |= {f"{kind}, {format}": (in_tar(name), name) for format in ("gnu", "pax") for kind, name in NAMES.items()}
LISTED["NUL in the name, zip"] = (in_zip("odd.png\0.txt"), "odd.png")
LISTED["not UTF-8, tar"] = (in_tar("caf\udce9.png"), "caf\\xe9.png")

LEFT_OUT = {  # members beside the sound one: how they are counted
    "symbolic link, tar": (special(tarfile.SYMTYPE, "/etc/passwd"), {"symbolic link": 1}),
    "symbolic link, zip": (in_zip("odd.png", b"/etc/passwd", mode=0o120777), {"symbolic link": 1}),
    "hard link": (special(tarfile.LNKTYPE, "../../outside"), {"hard link": 1}),
    "character device": (special(tarfile.CHRTYPE), {"device or pipe": 1}),
    "block device": (special(tarfile.BLKTYPE), {"device or pipe": 1}),
    "pipe": (special(tarfile.FIFOTYPE), {"device or pipe": 1}),
    "unknown type": (special(b"Z"), {"member of type 'Z'": 1}),
    "folder, tar": (special(tarfile.DIRTYPE), {}),
    "folder, zip": (in_zip("odd.png/", b""), {}),
    "resource fork of macOS, zip": (in_zip("__MACOSX/._sound.png", b"\0\5\x16\7"), {"resource fork of macOS": 1}),
    "resource fork of macOS, tar": (in_tar("./._sound.png", b"\0\5\x16\7"), {"resource fork of macOS": 1}),
    "two of one name, tar": (in_tar("sound.png", SOUND), {"repeated name": 1}),
}


def shard(path: Path, settings) -> tuple[Path, dict]:
    """Shard the archive; of everything in it each split takes all."""
    Path("sources").mkdir()
    Path("sources/odd.yaml").write_text(SOURCE.replace("path: odd", f"path: {path.resolve()}"))
    section = settings.shard.model_copy(update={"max_leaked": None, "max_reject_fraction": 1.0})
    folders = Folders(Path("out"))
    return folders.shards("train", "odd"), build.shard("odd", section, folders)


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Path:
    """Where the archive goes; the work is done in an empty folder beside it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("COLORIZE_PROCS", "1")
    return tmp_path / "archive"


def table(folder: Path) -> list[str]:
    with (folder / "images.csv").open(newline="", encoding="utf-8") as file:
        return [row["source"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("kind", LISTED)
def test_odd_names_are_labels_and_nothing_else(archive, settings, kind):
    members, name = LISTED[kind]
    pack(archive, members, FORMATS["pax" if kind.endswith("pax") else "gnu"])
    folder, manifests = shard(archive, settings)
    assert table(folder) == sorted([name, "sound.png"])
    pixels = {name: np.asarray(Image.open(io.BytesIO(ODD))), "sound.png": np.asarray(Image.open(io.BytesIO(SOUND)))}
    split = Split(folder)
    for row, listed in enumerate(table(folder)):
        assert np.array_equal(split.images(np.array([row]))[0], pixels[listed])
    assert "\x1b" not in build.describe(manifests)
    assert {path.name for path in archive.parent.iterdir()} == {"archive", "work"}
    assert {path.name for path in Path().iterdir()} == {"sources", "out", ".state"}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_is_no_regular_file_is_left_out_counted_and_shown(archive, settings, kind):
    members, expected = LEFT_OUT[kind]
    pack(archive, members, tarfile.GNU_FORMAT)
    folder, manifests = shard(archive, settings)
    assert table(folder) == ["sound.png"]
    assert manifests["train"]["skipped"] == expected
    for what, count in expected.items():
        assert f"odd: files skipped in archive: {count} ({what})" in build.describe(manifests)


def test_files_that_no_split_asks_for_are_counted(archive, settings):
    pack(archive, [*in_zip("a.txt", b"x"), *in_zip("photos.zip", b"PK\x03\x04")], 0)
    Path("sources").mkdir()
    splits = "{train: {glob: '*.png'}, val: {glob: '*.png'}, test: {glob: '*.png'}}"
    Path("sources/odd.yaml").write_text(f"{{path: {archive}, splits: {splits}}}")
    manifests = build.shard("odd", settings.shard.model_copy(update={"max_leaked": None}), Folders(Path("out")))
    assert manifests["train"]["skipped"] == {"in no split": 2}
    assert manifests["train"]["endings"] == {".txt": 1, ".zip": 1}
    line = "odd: files skipped in archive: 2 (in no split); left out: 2 files (.txt 1, .zip 1)"
    assert line in build.describe(manifests).splitlines()


# --- archives that are refused as a whole ----------------------------------------------------------------------------


def sparse(path: Path) -> None:
    info = tarfile.TarInfo("odd.png")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1000000000000"}
    pack(path, [(info, b"")], tarfile.PAX_FORMAT)


def sparse_of_old(path: Path) -> None:
    pack(path, special(tarfile.GNUTYPE_SPARSE), tarfile.GNU_FORMAT)


def encrypted(path: Path) -> None:
    pack(path, in_zip("odd.png"), 0)
    patched(path, b"PK\x01\x02", 8, b"\x01")


def of_other_compression(path: Path) -> None:
    pack(path, in_zip("odd.png", compress_type=zipfile.ZIP_LZMA), 0)


def holding_more_than_it_claims(path: Path) -> None:
    pack(path, in_zip("odd.png", bytes(50_000_000), compress_type=zipfile.ZIP_DEFLATED), 0)
    patched(path, b"PK\x01\x02", 24, struct.pack("<I", 1000))


def overlapping(path: Path) -> None:
    """Two names for one compressed stream: the trick by which 42 kB become terabytes."""
    pack(path, [*in_zip("odd.png"), *in_zip("odd2.png")], 0)
    offset = zipfile.ZipFile(path).getinfo("odd.png").header_offset
    patched(path, b"PK\x01\x02", 42, struct.pack("<I", offset + 1))


def of_an_endless_name(path: Path) -> None:
    info = tarfile.TarInfo("odd.png")
    info.pax_headers = {"path": "x" * 2_000_000}
    pack(path, [(info, b"")], tarfile.PAX_FORMAT)


def reaching_past_its_end(path: Path) -> None:
    pack(path, in_tar("odd.png"), tarfile.GNU_FORMAT)
    path.write_bytes(path.read_bytes()[: 512 * 4])


def compressed_as_a_whole(path: Path) -> None:
    pack(path, in_tar("odd.png"), tarfile.GNU_FORMAT)
    path.write_bytes(b"\x1f\x8b\x08" + zlib.compress(path.read_bytes()))


REFUSED = {
    sparse: "a sparse member",
    sparse_of_old: "a sparse member",
    encrypted: "encrypted",
    of_other_compression: "neither stored nor compressed with deflate",
    holding_more_than_it_claims: "does not match its checksum",
    overlapping: "overlap",
    of_an_endless_name: "an extended header of",
    reaching_past_its_end: "truncated",
    compressed_as_a_whole: "cannot be unpacked",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_archives_that_cannot_be_trusted_are_refused_in_one_line(archive, settings, make, expect_one_line):
    make(archive)
    with expect_one_line(DataError, archive, REFUSED[make]):
        shard(archive, settings)
    assert not list(Path("out").rglob("manifest.json"))


def test_a_member_that_claims_more_than_any_image_holds_is_counted_and_not_unpacked(archive, settings):
    pack(archive, in_zip("odd.png", bytes(1_000_000), compress_type=zipfile.ZIP_DEFLATED), 0)
    patched(archive, b"PK\x01\x02", 24, struct.pack("<I", containers.MAX_INFLATED + 1))
    _, manifests = shard(archive, settings)
    assert manifests["train"]["rejected"] == {"too large": {"images": 1, "first": ["odd.png"]}}
