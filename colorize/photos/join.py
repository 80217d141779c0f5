"""Join the L of a photo with predicted ab, at full size: the fast form of the plain formula.

The plain formula is: enlarge ab bilinearly to the size of the photo, `cielab.rgb_to_lab` for L, `cielab.fit_to_gamut`,
`cielab.lab_to_rgb`. tests/photos/test_join.py has it, and compares: the result is within one 8-bit level everywhere.

Here, each pixel needs one value of the photo, its gray level, and all functions of this level are tables:

- A gray photo has 256 or 65,536 levels. Of a color photo, L is expressed as a gray level of 16 bits.
- X is the cube of f(L) + a / 500, Z that of f(L) - b / 200, with the straight line of CIELAB below its knee. All is
  scaled so that linear light is at once the index into a table of sRGB levels (levels.py).
- A color is outside sRGB exactly if one of its three indices is outside this table. Only these pixels are fitted.

Threads take bands of the photo, and work in strips that fit into the processor's cache; NumPy releases Python's global
lock. Every number depends only on its own pixel, and each operation rounds as IEEE 754 says, so the bytes of a result
do not depend on bands, strips and threads.

Two layouts: RGB, and planes of YCbCr with chroma at half size, which a JPEG of 4:2:0 stores. For the planes, colors are
computed at half size only. The luma of a pixel is its gray level plus an offset, the difference between the luma of the
color and the gray level of the same L. So the decoded photo keeps L as well as if full-size RGB had been encoded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize.photos import levels
from colorize.photos.photo import without_color

# Pixels at a time. Smaller strips fit into the cache, but threads wait more often for Python's global lock.
_STRIP = 1 << 16
_BAND = 1 << 20  # the task of a thread; the pixels outside sRGB of a band are fitted together
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
_LARGEST_AB = 256.0  # twice the largest of sRGB


class Planes(NamedTuple):
    """YCbCr of full range (JFIF, BT.601), as `simplejpeg.encode_jpeg_yuv_planes` takes it."""

    Y: np.ndarray  # (H, W) uint8: the upper left part of an array of even sides, because the encoder reads all of it
    Cb: np.ndarray  # (ceil(H / 2), ceil(W / 2)) uint8
    Cr: np.ndarray  # (ceil(H / 2), ceil(W / 2)) uint8


class Joined(NamedTuple):
    """A photo in color; one of `rgb` and `planes` is None."""

    rgb: np.ndarray | None  # (H, W, 3) uint8, or uint16 for a photo of uint16
    planes: Planes | None
    fitted_fraction: float  # fraction of pixels whose chroma was reduced; of the pixels of half size for planes


def join(
    pixels: np.ndarray,
    ab: Tensor,
    layout: str = "rgb",
    advance: Callable[[int], None] = lambda rows: None,
    threads: int | None = None,
) -> Joined:
    """Join the L of a photo with predicted ab.

    Args:
        pixels: sRGB: (H, W, 3) uint8, (H, W) uint8 or (H, W) uint16.
        ab: (2, h, w) float32, CIELAB units, on any device; covers the whole photo.
        layout: `rgb`, or `yuv420` for planes with chroma at half size.
        advance: called after each band with the number of its rows, by the calling thread.
        threads: number of threads; by default, as many as torch uses.

    Returns:
        the photo in color.
    """
    height = len(pixels)
    pixels = np.ascontiguousarray(without_color(pixels))
    job = _Planes(pixels, ab) if layout == "yuv420" else _Rgb(pixels, ab)
    threads = threads or torch.get_num_threads()
    rows = min(job.band_rows, -(-job.height // threads))
    tops = range(0, job.height, rows)
    threads = min(threads, len(tops))
    num_fitted = 0
    with ThreadPoolExecutor(threads) as pool:  # starts its threads with the first task
        each = (pool.map if threads > 1 else map)(lambda top: job.band(top, top + rows), tops)
        for top, fitted in zip(tops, each, strict=True):
            num_fitted += fitted
            advance(min((top + rows) * job.step, height) - top * job.step)
    return Joined(job.rgb, job.planes, num_fitted / (job.height * job.width))


class _Local(threading.local):
    """Arrays that each thread has for itself."""

    def __init__(self, strip: int, band: int):
        self.work = levels.Work(strip)
        self.channels = np.empty((3, band), np.int32)


class _Job:
    """What both layouts share: from gray levels and ab to indices of R, G and B."""

    def __init__(self, pixels: np.ndarray, ab: Tensor, step: int, num_levels: int, bits: int):
        self.step = step  # side of a pixel of the job, in pixels of the photo
        self.height, self.width = (-(-side // step) for side in pixels.shape[:2])
        self._pixels = pixels
        self._scale = levels.Scale.of(levels.ENTRIES[bits])
        self._tables = levels.of_gray(num_levels, self._scale.entries)
        self._enlarge = _RowEnlarger(ab, self.height, self.width, self._scale)
        self.band_rows = min(self.height, max(1, _BAND // self.width))
        self._rows = min(self.band_rows, max(1, _STRIP // self.width))  # of a strip
        self._local = _Local(self._rows * self.width, self.band_rows * self.width)

    def band(self, top: int, bottom: int) -> int:
        """Join rows `top` to `bottom`; return the number of pixels whose chroma was reduced."""
        bottom = min(bottom, self.height)
        gray = self._gray(top * self.step, bottom * self.step)
        level = self._level(gray)
        channels = self._local.channels[:, : len(level)]
        num_fitted = self._color(level, top, bottom, channels)
        self._write(gray, level, channels, top, bottom)
        return num_fitted

    def _level(self, gray: np.ndarray) -> np.ndarray:
        """Rows of gray levels, (rows, W) -> (N,), the level of each pixel of the job."""
        raise NotImplementedError

    def _write(self, gray: np.ndarray, level: np.ndarray, channels: np.ndarray, top: int, bottom: int) -> None:
        """Write rows `top` to `bottom` of the result."""
        raise NotImplementedError

    def _gray(self, top: int, bottom: int) -> np.ndarray:
        """Gray levels of rows `top` to `bottom` of the photo, (rows, W) uint8 or uint16."""
        pixels = self._pixels[top:bottom]
        return pixels if pixels.ndim == 2 else _gray_levels(pixels)

    def _color(self, level: np.ndarray, top: int, bottom: int, channels: np.ndarray) -> int:
        """Compute indices of R, G and B, (3, N), for the levels of rows `top` to `bottom`; return the number fitted."""
        work, outside = self._local.work, []
        for row in range(top, bottom, self._rows):
            last = min(row + self._rows, bottom)
            start, stop = (row - top) * self.width, (last - top) * self.width
            index, values = work.index[: stop - start], work.values[:, : stop - start]
            np.copyto(index, level[start:stop])
            for table, out in zip(self._tables, values, strict=False):  # the first two
                np.take(table, index, out=out, mode="clip")
            self._enlarge(row, last, values[2:])
            strip = channels[:, start:stop]
            np.copyto(strip, levels.to_light(values, self._scale, work), casting="unsafe")
            # An index that is negative or too large has a bit that no index of the table has.
            is_outside = (strip[0] | strip[1] | strip[2]).view(np.uint32) >= self._scale.entries
            if is_outside.any():
                found = np.flatnonzero(is_outside)
                outside.append((found + start, values[:, found]))
        return self._fit(outside, channels) if outside else 0

    def _fit(self, outside: Sequence[tuple[np.ndarray, np.ndarray]], channels: np.ndarray) -> int:
        """Reduce the chroma of pixels, given by positions (N,) and values (4, N), and write their indices."""
        work = self._local.work
        positions, values = (np.concatenate(part, axis=-1) for part in zip(*outside, strict=True))
        for start in range(0, len(positions), work.size):
            part = values[:, start : start + work.size]
            part[2:] *= levels.largest_chroma(part, self._scale, work)
            channels[:, positions[start : start + work.size]] = levels.to_light(part, self._scale, work).astype(
                np.int32
            )
        return len(positions)


class _Rgb(_Job):
    """RGB of 8 bits, or of 16 bits if the photo has 16 bits."""

    planes = None

    def __init__(self, pixels: np.ndarray, ab: Tensor):
        is_gray8 = pixels.ndim == 2 and pixels.dtype == np.uint8
        bits = 8 * pixels.dtype.itemsize
        super().__init__(pixels, ab, 1, 256 if is_gray8 else levels.DEEP + 1, bits)
        self._levels = levels.rounded(self._scale.entries, (1 << bits) - 1)
        self.rgb = np.empty((self.height, self.width, 3), pixels.dtype)

    def _level(self, gray: np.ndarray) -> np.ndarray:
        return gray.ravel()

    def _write(self, gray: np.ndarray, level: np.ndarray, channels: np.ndarray, top: int, bottom: int) -> None:
        out, size = self.rgb[top:bottom].reshape(-1), self._rows * self.width
        for start in range(0, len(level), size):
            strip = channels[:, start : start + size]
            index = self._local.work.index[: strip.size]
            for number, channel in enumerate(strip):  # faster than the whole transposed array at once
                index[number::3] = channel
            np.take(self._levels, index, out=out[3 * start : 3 * start + strip.size], mode="clip")


class _Planes(_Job):
    """YCbCr with chroma at half size; 8 bits."""

    rgb = None

    def __init__(self, pixels: np.ndarray, ab: Tensor):
        # the level of a pixel of half size is the sum of four levels, of 16 bits their mean
        is_gray8 = pixels.ndim == 2 and pixels.dtype == np.uint8
        num_levels = 4 * 255 + 1 if is_gray8 else levels.DEEP + 1
        super().__init__(pixels, ab, 2, num_levels, 8)
        self._levels = levels.luma_levels(self._scale.entries)
        self._to_luma = np.float32(255 / (num_levels - 1))
        self._luma = np.empty((2 * self.height, 2 * self.width), np.uint8)
        whole = self._luma[: pixels.shape[0], : pixels.shape[1]]
        self.planes = Planes(whole, *np.empty((2, self.height, self.width), np.uint8))

    def _level(self, gray: np.ndarray) -> np.ndarray:
        total = _sums_of_four(_even(gray))
        return (total if gray.dtype == np.uint8 else total >> 2).ravel()

    def _write(self, gray: np.ndarray, level: np.ndarray, channels: np.ndarray, top: int, bottom: int) -> None:
        gray = _even(gray)
        for row in range(top, bottom, self._rows):
            last = min(row + self._rows, bottom)
            start, stop = (row - top) * self.width, (last - top) * self.width
            offset = self._write_chroma(level[start:stop], channels[:, start:stop], row, last)
            self._luma[2 * row : 2 * last] = _with_offset(gray[2 * (row - top) : 2 * (last - top)], offset)

    def _write_chroma(self, level: np.ndarray, channels: np.ndarray, top: int, bottom: int) -> np.ndarray:
        """Write Cb and Cr of rows `top` to `bottom`; return their luma less the gray level, (rows, width), 0 to 255."""
        n, work = len(level), self._local.work
        index, rgb, (luma, t) = work.index[:n], work.rgb[:, :n], work.t[:, :n]
        luma[:] = 0
        for channel, share, out in zip(channels, _LUMA, rgb, strict=True):
            np.copyto(index, channel)
            np.take(self._levels, index, out=out, mode="clip")
            np.multiply(out, share, out=t)
            np.add(luma, t, out=luma)
        for plane, color, share in ((self.planes.Cb, rgb[2], _LUMA[2]), (self.planes.Cr, rgb[0], _LUMA[0])):
            np.subtract(color, luma, out=color)
            np.multiply(color, 0.5 / (1 - share), out=color)
            np.add(color, np.float32(128.5), out=color)
            np.minimum(color, np.float32(255), out=color)  # the largest Cb is 255.5
            np.copyto(plane[top:bottom], color.reshape(bottom - top, -1), casting="unsafe")
        np.multiply(level, self._to_luma, out=t)
        return np.subtract(luma, t, out=luma).reshape(bottom - top, -1)


def _gray_levels(rgb: np.ndarray) -> np.ndarray:
    """(rows, W, 3) uint8 -> (rows, W) uint16: the gray level of 16 bits with the same L."""
    shares, gray = levels.gray_of_color()
    total = np.take(shares[0], rgb[..., 0], mode="clip")
    for share, channel in zip(shares[1:], (rgb[..., 1], rgb[..., 2]), strict=True):
        total += np.take(share, channel, mode="clip")
    return np.take(gray, total.astype(np.intp), mode="clip")


def _even(gray: np.ndarray) -> np.ndarray:
    """Repeat the last row or column if the number of rows or columns is odd."""
    odd = tuple((0, side % 2) for side in gray.shape)
    return np.pad(gray, odd, mode="edge") if any(side % 2 for side in gray.shape) else gray


def _sums_of_four(gray: np.ndarray) -> np.ndarray:
    """(2 h, 2 w) -> (h, w), the sum of the four levels of each square."""
    rows = np.add(gray[0::2], gray[1::2], dtype=np.uint16 if gray.dtype == np.uint8 else np.uint32)
    return rows[:, 0::2] + rows[:, 1::2]


def _with_offset(gray: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Luma of 8 bits, (2 h, 2 w), of gray levels plus the offset of each square, (h, w) float32 in levels of 8 bits."""
    if gray.dtype == np.uint16:
        offset = np.repeat(offset + np.float32(0.5), 2, axis=1)[:, None]
        rows = gray.reshape(len(offset), 2, -1) * np.float32(255 / levels.DEEP) + offset
        return rows.clip(0, 255).astype(np.uint8).reshape(gray.shape)
    offset = np.rint(offset)  # gray levels are whole numbers, so nothing is lost
    more, less = (_twice(change.clip(0, 255).astype(np.uint8))[:, None] for change in (offset, -offset))
    rows = gray.reshape(len(offset), 2, -1)
    rows = np.minimum(rows, 255 - more)  # in 8 bits, which are fast
    rows += more
    np.maximum(rows, less, out=rows)
    rows -= less
    return rows.reshape(gray.shape)


def _twice(values: np.ndarray) -> np.ndarray:
    """(h, w) uint8 -> (h, 2 w), each value twice."""
    return (values.astype(np.uint16) * np.uint16(257)).view(np.uint8)


class _RowEnlarger:
    """Bilinear enlarging to (H, W) that computes only the requested rows; gives the slopes of f in units of a scale."""

    def __init__(self, ab: Tensor, height: int, width: int, scale: levels.Scale):
        rows = min(ab.shape[1], height)  # a photo smaller than the output: average, do not enlarge
        ab = ab.float()
        ab = ab * (_LARGEST_AB / ab.abs().amax(dim=0).clamp_min(_LARGEST_AB))  # keeps the hue; else cubes overflow
        wide = torch.nn.functional.interpolate(ab[None], (rows, width), mode="bilinear", antialias=True)[0]
        slopes = np.array([scale.f / 500, scale.f / -200], np.float32)
        self._rows = wide.cpu().numpy() * slopes[:, None, None]
        self._steps = np.diff(self._rows, axis=1, append=self._rows[:, -1:])  # to the next row
        # As in F.interpolate: the center of row i is at i + 0.5, and the border rows are repeated.
        position = ((np.arange(height) + 0.5) * rows / height - 0.5).clip(0, rows - 1)  # (H,)
        self._above = position.astype(int)
        self._share = (position - self._above).astype(np.float32)

    def __call__(self, top: int, bottom: int, out: np.ndarray) -> None:
        """Write the slopes of X and of Z for rows `top` to `bottom`, (2, N)."""
        rows = out.reshape(2, bottom - top, -1)
        for row, (above, share) in enumerate(zip(self._above[top:bottom], self._share[top:bottom], strict=True)):
            np.multiply(self._steps[:, above], share, out=rows[:, row])
            rows[:, row] += self._rows[:, above]
