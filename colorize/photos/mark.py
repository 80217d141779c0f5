"""The mark in a result: that a model made its colors, which model, with which parameters, and from which file.

The mark is XMP with the word of the IPTC for a picture that a model made in part. It survives a new name of the file,
and most programs that change metadata. Results of versions that wrote only texts into PNGs are recognized too.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from colorize import runtime
from colorize.photos import xmp

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
SOFTWARE, SOURCE = "Software", "Source SHA-256"  # PNG texts, also those of earlier versions
SIGNATURE, COMMENT = "colorize", "Colors predicted by a neural network"  # their values; COMMENT is that of "Comment"

_KEYS = {  # field of a mark -> property in its XMP
    "source_sha256": "colorize:SourceSHA256",
    "model": "colorize:Model",
    "model_sha256": "colorize:ModelSHA256",
    "temperature": "colorize:Temperature",
    "size": "colorize:Size",
    "strength": "colorize:Strength",
    "version": "colorize:Version",
}
_TOOL = "let-there-be-color"
_HASH = re.compile(r"[0-9a-f]{64}")
_MAX_PARTS = 1000  # segments, chunks or entries that are examined
_MAX_TEXT = 4096  # bytes of a PNG text

_XMP_IN_JPEG, _XMP_IN_PNG, _XMP_IN_TIFF = b"http://ns.adobe.com/xap/1.0/\0", b"XML:com.adobe.xmp", 700
_APP1, _SCAN = 0xE1, 0xDA


@dataclass(frozen=True)
class Mark:
    """What a result says about itself."""

    source_sha256: str  # of the file of the photo; empty if the photo was an array
    model: str  # name of the model, such as `unet`
    model_sha256: str  # of its weights
    temperature: float | None  # None for a regression
    size: int | None  # short side of the network's input, pixels; None if the size of the photo decided
    strength: float  # factor of the predicted ab
    version: str  # of this package


def to_xmp(mark: Mark | None, kept: xmp.Properties) -> bytes:
    """An XMP packet with the mark and with properties of the photo; empty if there are neither."""
    properties = dict(kept)
    if mark is not None:
        properties[xmp.SOURCE_TYPE] = (SOURCE_TYPE,)
        properties[xmp.TOOL] = (f"{_TOOL} {mark.version}",)
        for field, key in _KEYS.items():
            value = getattr(mark, field)
            if value not in (None, ""):
                properties[key] = xmp.clean([str(value)])
    return xmp.write(properties) if properties else b""


def from_xmp(packet: bytes) -> Mark | None:
    """The mark in an XMP packet; None if there is none."""
    if xmp.OWN.encode() not in packet:
        return None
    try:
        found = xmp.parse(packet)
    except ValueError:
        return None
    if _KEYS["model"] not in found and _KEYS["source_sha256"] not in found:
        return None
    texts = {field: found.get(key, ("",))[0] for field, key in _KEYS.items()}
    hashes = {name: texts[name] if _HASH.fullmatch(texts[name]) else "" for name in ("source_sha256", "model_sha256")}
    size, strength = _number(texts["size"]), _number(texts["strength"])
    return Mark(
        **hashes,
        model=texts["model"],
        temperature=_number(texts["temperature"]),
        size=None if size is None else int(size),
        strength=1.0 if strength is None else strength,
        version=texts["version"],
    )


def _number(text: str) -> float | None:
    try:
        number = float(text[:40])
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read(path: Path) -> Mark | None:
    """Read the mark of a file, without decoding its pixels.

    Returns:
        The mark; None for a file without a mark, of another kind than those that `save` writes, or that cannot be read.
    """
    try:
        with runtime.open_regular(path) as file:
            return read_from(file)
    except (OSError, ValueError):  # ValueError: a name with a null character
        return None


def read_from(file: BinaryIO) -> Mark | None:
    """Like `read`, for an open file."""
    head = file.read(16)
    try:
        if head[:2] == b"\xff\xd8":
            return _first_mark(_packets_in_jpeg(file))
        if head[:8] == b"\x89PNG\r\n\x1a\n":
            return _in_png(file)
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _first_mark(_packets_in_webp(file))
        if head[:4] in (b"II*\0", b"MM\0*"):
            return _first_mark(_packets_in_tiff(file, "<" if head[:2] == b"II" else ">"))
    except (struct.error, LookupError, zlib.error):  # the file is damaged
        pass
    return None


def _first_mark(packets: Iterator[bytes]) -> Mark | None:
    return next((mark for mark in map(from_xmp, packets) if mark is not None), None)


def _packets_in_jpeg(file: BinaryIO) -> Iterator[bytes]:
    position = 2
    for _ in range(_MAX_PARTS):
        file.seek(position)
        prefix, marker, length = struct.unpack(">BBH", file.read(4))
        if prefix != 0xFF or marker == _SCAN or length < 2:
            return
        if marker == _APP1 and file.read(min(len(_XMP_IN_JPEG), length - 2)) == _XMP_IN_JPEG:
            yield file.read(length - 2 - len(_XMP_IN_JPEG))
        position += 2 + length


def _packets_in_webp(file: BinaryIO) -> Iterator[bytes]:
    position = 12
    for _ in range(_MAX_PARTS):
        file.seek(position)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind == b"XMP " and length <= xmp.MAX_BYTES:
            yield file.read(length)
        position += 8 + length + length % 2


def _packets_in_tiff(file: BinaryIO, order: str) -> Iterator[bytes]:
    file.seek(4)
    file.seek(struct.unpack(order + "I", file.read(4))[0])
    (count,) = struct.unpack(order + "H", file.read(2))
    entries = file.read(12 * min(count, _MAX_PARTS))
    for tag, _, length, start in struct.iter_unpack(order + "HHII", entries):
        if tag == _XMP_IN_TIFF and 4 < length <= xmp.MAX_BYTES:
            file.seek(start)
            yield file.read(length)


def _in_png(file: BinaryIO) -> Mark | None:
    """The mark in the chunks before the pixels."""
    texts: dict[bytes, bytes] = {}
    position = 8
    for _ in range(_MAX_PARTS):
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind in (b"IDAT", b"IEND"):
            break
        if kind == b"iTXt" and length <= xmp.MAX_BYTES:
            keyword, _, rest = file.read(length).partition(b"\0")
            mark = from_xmp(_international_text(rest)) if keyword == _XMP_IN_PNG else None
            if mark is not None:
                return mark
        elif kind == b"tEXt" and length <= _MAX_TEXT:
            keyword, _, text = file.read(length).partition(b"\0")
            texts[keyword] = text
        position += 12 + length
    if texts.get(SOFTWARE.encode()) != SIGNATURE.encode():
        return None
    source = texts.get(SOURCE.encode(), b"").decode("latin-1")
    return Mark(source if _HASH.fullmatch(source) else "", "", "", None, None, 1.0, "")


def _international_text(rest: bytes) -> bytes:
    """The text of a chunk iTXt behind its keyword: two bytes for the compression, language, keyword, text."""
    text = rest[2:].split(b"\0", 2)[2]
    return zlib.decompressobj().decompress(text, xmp.MAX_BYTES) if rest[0] else text


def parse(content: bytes) -> Mark | None:
    """Like `read`, for the content of a file."""
    return read_from(io.BytesIO(content))
