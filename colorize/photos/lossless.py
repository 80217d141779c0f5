"""Write PNG (W3C, third edition) and TIFF (6.0) with 8 or 16 bits per channel, compressed in several threads.

Pillow writes neither with 16 bits in color, and compresses in one thread. Here the rows are divided into strips, which
are compressed independently. The file does not depend on the number of threads.
"""

from __future__ import annotations

import functools
import itertools
import struct
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from colorize import runtime
from colorize.photos import exif

_LEVEL = 1  # of zlib: photos become up to 7 % larger than at level 4, in about two thirds of the time
_STRIP = 1 << 20  # bytes of a strip before its compression
_MAX_LENGTH = 1 << 32  # bytes of a TIFF

_PNG = b"\x89PNG\r\n\x1a\n"
_RGB, _RGB_ALPHA = 2, 6  # color types of PNG
_AVERAGE = 3  # filter of PNG: the difference from the mean of the pixels on the left and above; the best for noise
_ADLER = 65_521

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262  # tags of TIFF
_STARTS, _CHANNELS, _ROWS, _LENGTHS, _PREDICTOR, _EXTRA = 273, 277, 278, 279, 317, 338
_DEFLATE, _IS_RGB, _HORIZONTAL, _UNASSOCIATED_ALPHA = 8, 2, 2, 2

_Packed = TypeVar("_Packed")


def encode_png(
    rgb: np.ndarray, alpha: np.ndarray | None, chunks: Iterable[tuple[bytes, bytes]], threads: int | None = None
) -> bytes:
    """Encode a PNG.

    Args:
        rgb: (H, W, 3) uint8 or uint16.
        alpha: (H, W) of the same type, or None.
        chunks: type and content of the chunks before the pixels.
        threads: that compress. Default: one per core.

    Returns:
        the file.
    """
    height, width = rgb.shape[:2]
    bits, kind = 8 * rgb.itemsize, _RGB if alpha is None else _RGB_ALPHA
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    pack = functools.partial(_pack_png, rgb, alpha)
    strips = _in_strips(pack, height, _row_length(rgb, alpha), threads)
    checksum = 1
    for _, part, length in strips:
        checksum = _joined(checksum, part, length)
    pixels = [packed for packed, *_ in strips]
    pixels[0] = b"\x78\x5e" + pixels[0]  # header of zlib: a window of 32 KiB
    pixels[-1] += struct.pack(">I", checksum)
    parts = [(b"IHDR", head), *chunks, *((b"IDAT", part) for part in pixels), (b"IEND", b"")]
    return b"".join([_PNG, *(piece for kind, content in parts for piece in _chunk(kind, content))])


def _chunk(kind: bytes, content: bytes) -> tuple[bytes, bytes, bytes]:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I4s", len(content), kind), content, struct.pack(">I", checksum)


def _pack_png(rgb: np.ndarray, alpha: np.ndarray | None, start: int, stop: int) -> tuple[bytes, int, int]:
    """Compress rows: the compressed bytes, and Adler's checksum and the length of the bytes before compression."""
    first = max(start - 1, 0)
    rows = _rows(rgb, alpha, first, stop, ">")  # (rows, bytes)
    filtered = np.empty((stop - start, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _AVERAGE
    current = rows[start - first :]
    above = rows[:-1] if start else np.concatenate([np.zeros_like(rows[:1]), rows[:-1]])
    left, step = np.zeros_like(current), rows.shape[1] // rgb.shape[1]
    left[:, step:] = current[:, :-step]
    np.subtract(current, (left & above) + ((left ^ above) >> 1), out=filtered[:, 1:])  # the mean without overflow
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(filtered.data) + packer.flush(zlib.Z_FINISH if stop == len(rgb) else zlib.Z_FULL_FLUSH)
    return packed, zlib.adler32(filtered.data), filtered.size


def _joined(checksum: int, following: int, length: int) -> int:
    """Adler's checksum (RFC 1950) of two parts, from those of the parts and the length of the second one."""
    low = checksum & 0xFFFF
    high = (checksum >> 16) + (following >> 16) + length * (low - 1)
    return (high % _ADLER) << 16 | (low + (following & 0xFFFF) - 1) % _ADLER


def encode_tiff(rgb: np.ndarray, alpha: np.ndarray | None, block: exif.Block, threads: int | None = None) -> bytes:
    """Encode a TIFF.

    Args:
        rgb: (H, W, 3) uint8 or uint16.
        alpha: (H, W) of the same type, or None.
        block: EXIF and all other entries but those of the picture, which are added to it.
        threads: that compress. Default: one per core.

    Returns:
        the file.

    Raises:
        runtime.ParameterError: the file would be longer than 4 GiB.
    """
    height, width = rgb.shape[:2]
    channels, row_length = 3 + (alpha is not None), _row_length(rgb, alpha)
    strips = _in_strips(functools.partial(_pack_tiff, rgb, alpha, block.order), height, row_length, threads)
    for tag, number in {
        **{_WIDTH: width, _LENGTH: height, _ROWS: _rows_per_strip(height, row_length)},
        **{_COMPRESSION: _DEFLATE, _PHOTOMETRIC: _IS_RGB, _CHANNELS: channels, _PREDICTOR: _HORIZONTAL},
        **({_EXTRA: _UNASSOCIATED_ALPHA} if alpha is not None else {}),
    }.items():
        block.put(tag, exif.LONG if tag in (_WIDTH, _LENGTH, _ROWS) else exif.SHORT, [number])
    block.put(_BITS, exif.SHORT, [8 * rgb.itemsize] * channels)
    block.put(_LENGTHS, exif.LONG, [len(strip) for strip in strips])
    block.put(_STARTS, exif.LONG, [0] * len(strips))
    *starts, end = itertools.accumulate(map(len, strips), initial=len(block.tobytes()))
    if end >= _MAX_LENGTH:
        raise runtime.ParameterError(
            "the result would be longer than 4 GiB, the limit of TIFF: choose png as the format"
        )
    block.replace(_STARTS, starts)
    return b"".join([block.tobytes(), *strips])


def _pack_tiff(rgb: np.ndarray, alpha: np.ndarray | None, order: str, start: int, stop: int) -> bytes:
    """Compress rows after replacing each pixel by its difference from the one on the left."""
    levels = _with_alpha(rgb, alpha, start, stop)
    differences = levels.copy()
    differences[:, 1:] -= levels[:, :-1]
    return zlib.compress(_in_order(differences, order).data, _LEVEL)


# --- strips ----------------------------------------------------------------------------------------------------------


def _in_strips(pack: Callable[[int, int], _Packed], height: int, row_length: int, threads: int | None) -> list[_Packed]:
    """Results of `pack` for each strip; it is called with the first row and the row behind the last one."""
    rows = _rows_per_strip(height, row_length)
    starts = range(0, height, rows)
    stops = [min(start + rows, height) for start in starts]
    workers = min(threads or runtime.processes(), len(starts))
    if workers == 1:
        return list(map(pack, starts, stops))
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(pack, starts, stops))


def _rows_per_strip(height: int, row_length: int) -> int:
    return min(max(_STRIP // row_length, 1), height)


def _row_length(rgb: np.ndarray, alpha: np.ndarray | None) -> int:
    """Bytes of a row."""
    return rgb.shape[1] * (3 + (alpha is not None)) * rgb.itemsize


def _with_alpha(rgb: np.ndarray, alpha: np.ndarray | None, start: int, stop: int) -> np.ndarray:
    """(rows, W, 3 or 4) levels of some rows."""
    return rgb[start:stop] if alpha is None else np.dstack([rgb[start:stop], alpha[start:stop]])


def _rows(rgb: np.ndarray, alpha: np.ndarray | None, start: int, stop: int, order: str) -> np.ndarray:
    """(rows, bytes) of some rows in a byte order."""
    levels = np.ascontiguousarray(_with_alpha(rgb, alpha, start, stop))
    return _in_order(levels, order).view(np.uint8).reshape(len(levels), -1)


def _in_order(levels: np.ndarray, order: str) -> np.ndarray:
    """The levels in a byte order, "<" or ">"."""
    return levels.astype(f"{order}{levels.dtype.kind}{levels.itemsize}", copy=False)
