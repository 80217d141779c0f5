"""Damage to files: to their structure (segments and chunks, with right lengths and checksums), and to raw bytes."""

import random
import struct
from collections.abc import Callable

from tests.fuzz import samples

_SIDES = (0, 1, 8, 15, 16, 17, 32, 64, 300, 7000, 40_000, 65_535)
_MARKERS = bytes.fromhex("00 01 02 c0 c1 c2 c3 c8 c9 cc d0 d1 d2 d3 d4 d5 d6 d7 d8 d9 dc dd de e1 e2 f0 fe ff")


# --- raw bytes -------------------------------------------------------------------------------------------------------


def raw(data: bytes, rng: random.Random) -> bytes:
    """One edit that knows nothing of the format."""
    if not data:
        return data
    at = rng.choice(
        (rng.randrange(len(data)), rng.randrange(min(len(data), 64)), len(data) - 1 - rng.randrange(min(len(data), 64)))
    )
    count = rng.choice((1, 1, 2, 4, 12, 100))
    kind = rng.choice(("flip", "flip", "byte", "insert", "delete", "repeat", "cut", "append"))
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == "byte":
        return data[:at] + rng.choice((b"\0", b"\xff", b"\x7f", rng.randbytes(1))) + data[at + 1 :]
    if kind == "insert":
        return data[:at] + rng.choice((rng.randbytes(count), b"\xff" * count, bytes(count))) + data[at:]
    if kind == "delete":
        return data[:at] + data[at + count :]
    if kind == "repeat":
        return data[: at + count] + data[at:]
    return data[:at] if kind == "cut" else data + rng.choice((rng.randbytes(count), bytes(count), data))


def _overwritten(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def _rearranged(parts: list[bytes], pool: list[bytes], rng: random.Random) -> list[bytes]:
    """Parts of a file with one moved, repeated, dropped, or one of another file put in."""
    at, to = rng.randrange(len(parts)), rng.randrange(len(parts) + 1)
    kind = rng.choice(("move", "repeat", "drop", "foreign", "foreign"))
    part = rng.choice(pool) if kind == "foreign" else parts[at]
    rest = parts[:at] + parts[at + 1 :] if kind in ("move", "drop") else list(parts)
    return rest if kind == "drop" else [*rest[:to], part, *rest[to:]]


# --- JPEG ------------------------------------------------------------------------------------------------------------


def _segments(data: bytes) -> tuple[list[bytes], bytes]:
    """Segments before the first scan, and all from there on."""
    parts, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4]) if data[at + 1] != 0xFF else 1
        parts.append(data[at : at + length])
        at += max(length, 1)
    return parts, data[at:]


def _jpeg_pool() -> list[bytes]:
    pool = [samples.segment(0xE1, samples.exif(value)) for value in (1, 3, 6, 9)]
    pool += [samples.segment(0xE1, samples.XMP % value) for value in (1, 6)]
    profile = samples.foreign_profile()
    for count in (1, 2, 3):
        parts = [profile[n * len(profile) // count : (n + 1) * len(profile) // count] for n in range(count)]
        pool += [samples.segment(0xE2, b"ICC_PROFILE\0" + bytes((n + 1, count)) + part) for n, part in enumerate(parts)]
    frame = b"\x08\x00\x20\x00\x20\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00"
    return [
        *pool,
        samples.segment(0xFE, b"x" * 300),
        samples.segment(0xC0, frame),
        samples.segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"),
        *(samples.segment(marker, content) for marker, content in samples.SHORT_SEGMENTS),
    ]


def jpeg(data: bytes, rng: random.Random) -> bytes:
    """One edit of the segments, of a length, of the frame, or in the scans."""
    parts, scans = _segments(data)
    kind = rng.choice(("arrange", "arrange", "marker", "length", "frame", "content", "scan", "fill"))
    if not parts or kind == "scan":
        return data[: len(data) - len(scans)] + raw(scans, rng)
    at = rng.randrange(len(parts))
    if kind == "arrange":
        parts = _rearranged(parts, _jpeg_pool(), rng)
    elif kind == "marker":
        parts.insert(at, b"\xff" + bytes([rng.choice(_MARKERS)]) + rng.choice((b"", b"", b"\0\0", b"\0\1", b"\0\2")))
    elif kind == "fill":
        parts.insert(at, rng.choice((b"\xff" * rng.choice((1, 3, 70)), b"\0", rng.randbytes(2))))
    elif kind == "length" and len(parts[at]) >= 4:
        length = max(0, min(65535, int.from_bytes(parts[at][2:4]) + rng.choice((-3, -1, 1, 2, 40, -20))))
        parts[at] = parts[at][:2] + struct.pack(">H", rng.choice((length, length, 0, 1, 65535))) + parts[at][4:]
    elif kind == "frame":
        frames = [n for n, part in enumerate(parts) if part[1:2] in (b"\xc0", b"\xc1", b"\xc2") and len(part) > 9]
        side = struct.pack(">H", rng.choice(_SIDES))
        edits = [(4, bytes([rng.choice((8, 12, 16))])), (9, bytes([rng.choice((1, 2, 3, 4))])), (5, side), (7, side)]
        for n in frames[:1]:
            parts[n] = _overwritten(parts[n], *rng.choice(edits))
    else:
        parts[at] = parts[at][:4] + raw(parts[at][4:], rng)
    return data[:2] + b"".join(parts) + scans


# --- PNG and RIFF ----------------------------------------------------------------------------------------------------


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _png_pool() -> list[bytes]:
    pool = [(b"gAMA", struct.pack(">I", value)) for value in (0, 45455, 55556, 100_000, 2**31)]
    pool += [
        (b"cHRM", struct.pack(">8I", *values))
        for values in ((0,) * 8, (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    ]
    pool += [
        (b"sRGB", b"\0"),
        (b"tRNS", bytes(6)),
        (b"tRNS", bytes(2)),
        (b"tRNS", b"\0" * 9),
        (b"eXIf", samples.exif(3)[6:]),
    ]
    pool += [
        (b"IHDR", struct.pack(">IIBBBBB", *fields)) for fields in ((48, 40, 8, 2, 0, 0, 0), (16, 16, 8, 0, 0, 0, 0))
    ]
    pool += [
        (b"tEXt", b"Comment\0words"),
        (b"IDAT", b""),
        (b"IEND", b""),
        (b"acTL", struct.pack(">II", 2, 0)),
        (b"DDAT", b"x"),
    ]
    return [samples.chunk(*pair) for pair in pool]


def png(data: bytes, rng: random.Random) -> bytes:
    """One edit of the chunks, their checksums right again but for some."""
    chunks = _chunks(data)
    if not chunks:
        return data
    kind, at = (
        rng.choice(("arrange", "arrange", "header", "content", "split", "length", "name")),
        rng.randrange(len(chunks)),
    )
    name, content = chunks[at]
    parts = [samples.chunk(*pair) for pair in chunks]
    if kind == "arrange":
        parts = _rearranged(parts, _png_pool(), rng)
    elif kind == "header" and chunks[0][0] == b"IHDR" and len(chunks[0][1]) == 13:
        side, bits = struct.pack(">I", rng.choice(_SIDES)), bytes([rng.choice((1, 2, 4, 8, 16))])
        edits = [
            (0, side),
            (4, side),
            (8, bits),
            (9, bytes([rng.choice((0, 2, 3, 4, 6))])),
            (12, bytes([rng.randrange(3)])),
        ]
        parts[0] = samples.chunk(b"IHDR", _overwritten(chunks[0][1], *rng.choice(edits)))
    elif kind == "split" and len(content) > 1 and name == b"IDAT":
        cut = rng.randrange(1, len(content))
        parts[at : at + 1] = [samples.chunk(name, content[:cut]), samples.chunk(name, content[cut:])]
    elif kind == "length":
        parts[at] = struct.pack(">I", max(0, len(content) + rng.choice((-1, 1, 4, 100)))) + parts[at][4:]
    elif kind == "name":
        parts[at] = samples.chunk(bytes([name[0] ^ rng.choice((0, 32))]) + name[1:3] + bytes([name[3] ^ 32]), content)
    else:
        parts[at] = samples.chunk(name, raw(content, rng)) if rng.random() < 0.8 else raw(parts[at], rng)
    return data[:8] + b"".join(parts)


def riff(data: bytes, rng: random.Random) -> bytes:
    """One edit of the chunks of a WebP, its whole length right again."""
    parts, at = [], 12
    while at + 8 <= len(data):
        length = 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        parts.append(data[at : at + length + length % 2])
        at += length + length % 2
    if not parts:
        return data
    if rng.random() < 0.5:
        parts = _rearranged(parts, [b"XMP \x04\0\0\0abcd", b"EXIF\x02\0\0\0MM", b"ALPH\x02\0\0\0\0\0"], rng)
    else:
        at = rng.randrange(len(parts))
        parts[at] = parts[at][:8] + raw(parts[at][8:], rng)
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


# --- tar -------------------------------------------------------------------------------------------------------------

_FIELDS = (0, 100, 124, 135, 136, 148, 156, 257, 263, 345)  # of a header
_ODD = (b"\0", b" ", b"7777777", b"\x80", b"\xff" * 8, b"-1", b"5", b"L", b"x", b"g", b"S", b"00000000010\0")


def tar(data: bytes, rng: random.Random) -> bytes:
    """One edit of the blocks, or of a field of one."""
    blocks = [data[at : at + 512] for at in range(0, len(data), 512)]
    if len(blocks) > 1 and rng.random() < 0.4:
        return b"".join(_rearranged(blocks, [bytes(512), *blocks], rng))
    at = rng.randrange(0, max(len(data), 1), 512) + rng.choice(_FIELDS)
    return _overwritten(data, at, rng.choice(_ODD)) if at < len(data) else data


# --- any file --------------------------------------------------------------------------------------------------------


def structured(data: bytes) -> Callable[[bytes, random.Random], bytes]:
    """The edit that knows the format."""
    if data[:2] == b"\xff\xd8":
        return jpeg
    if data[:4] == b"\x89PNG":
        return png
    if data[257:262] == b"ustar":
        return tar
    return riff if data[:4] == b"RIFF" else raw


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A file after one to three edits, most of them of its structure."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = (structured(data) if rng.random() < 0.7 else raw)(data, rng)
    return data
