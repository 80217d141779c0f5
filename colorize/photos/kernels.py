"""The loops over the pixels of a photo, compiled by Numba: from gray levels and ab to the pixels of the result.

`colorize.photos.join` describes the method. The functions do not hold Python's global lock, so that threads can work
side by side. Numbers are float32, and each operation rounds as IEEE 754 says, so the results do not depend on the
processor. The constants are arguments (`levels.Formula`): Numba keeps compiled code in files, and would not notice that
a constant of another module has changed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from colorize.photos.levels import Formula, Slopes, Tables

_HALF, _ZERO, _TOP = np.float32(0.5), np.float32(0), np.float32(255)
_RED, _GREEN, _BLUE = (np.float32(share) for share in (0.299, 0.587, 0.114))  # luma, BT.601
_TO_CB, _TO_CR = (np.float32(0.5 / (1 - share)) for share in (0.114, 0.299))
_CENTER = np.float32(128.5)  # the middle of Cb and Cr, plus 0.5 for rounding


_part = numba.njit(nogil=True)  # compiled as a part of its callers


def _compiled(function: Callable, fastmath: bool | set[str] = False) -> Callable:
    """Compile at the first call; later processes load the code from a file, if there is a folder to write to."""
    plain = numba.njit(nogil=True, fastmath=fastmath)(function)
    try:
        kept = numba.njit(nogil=True, fastmath=fastmath, cache=True)(function)
    except RuntimeError:  # neither the folder of this file nor the home folder can be written
        return plain

    @functools.wraps(function)
    def call(*arguments: object) -> object:
        try:
            return kept(*arguments)
        except Exception:  # a damaged file raises almost any exception, a full disk an OSError
            return plain(*arguments)

    return call


@_compiled
def gray_levels(rgb: np.ndarray, shares: np.ndarray, gray: np.ndarray, out: np.ndarray) -> None:
    """Write the gray level of 16 bits with the same L as each pixel.

    Args:
        rgb: (rows, W, 3) uint8.
        shares, gray: the tables of `levels.gray_of_color`.
        out: (rows, W) uint16.
    """
    for row in range(rgb.shape[0]):
        for column in range(rgb.shape[1]):
            r, g, b = rgb[row, column, 0], rgb[row, column, 1], rgb[row, column, 2]
            out[row, column] = gray[int(shares[0, r] + shares[1, g] + shares[2, b])]


@_compiled
def write_rgb(
    gray: np.ndarray, tables: Tables, formula: Formula, slopes: Slopes, srgb: np.ndarray, out: np.ndarray
) -> int:
    """Write R, G and B of rows of a photo.

    Args:
        gray: (rows, W) uint8 or uint16 levels.
        tables: the tables of `levels.of_gray`.
        formula: the constants.
        slopes: the slopes of these rows.
        srgb: (entries,) the sRGB level of every index.
        out: (rows, W, 3) uint8 or uint16.

    Returns:
        the number of pixels whose chroma was reduced.
    """
    rows, width = gray.shape
    values, index, positions = _work(width)
    level = np.empty(width, np.int32)
    num_fitted = 0
    for row in range(rows):
        level[:] = gray[row]
        _interpolate(slopes, row, values)
        num_fitted += _color(level, tables, formula, values, index, positions)
        for column in range(width):
            for channel in range(3):
                out[row, column, channel] = srgb[np.uint32(index[channel, column])]
    return num_fitted


@_compiled
def write_planes(
    gray: np.ndarray,
    shift: int,
    tables: Tables,
    formula: Formula,
    slopes: Slopes,
    srgb: np.ndarray,
    planes: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> int:
    """Write Y of rows of a photo, and Cb and Cr at half size.

    Args:
        gray: (rows, W) uint8 or uint16 levels.
        shift: number of bits by which the sum of four levels is shifted, so that it is a level of the tables.
        tables, formula, slopes: as for `write_rgb`, at half size.
        srgb: (entries,) float32, the sRGB level, 0 to 255, of every index.
        planes: Y, (2 h, 2 w) uint8, and Cb and Cr, (h, w) uint8; h and w are half of the rows and of W, rounded up. The
            last row and column of an odd photo are repeated in Y.

    Returns:
        the number of pixels of half size whose chroma was reduced.
    """
    luma, blue, red = planes
    height, width = blue.shape
    values, index, positions = _work(width)
    level, offset = np.empty(width, np.int32), np.empty(width, np.float32)
    of_level, of_gray = _TOP / np.float32(len(tables[0]) - 1), _TOP / np.float32(_largest(gray))
    num_fitted = 0
    for row in range(height):
        first, second = gray[2 * row], gray[min(2 * row + 1, len(gray) - 1)]
        _sum_squares(first, second, shift, level)
        _interpolate(slopes, row, values)
        num_fitted += _color(level, tables, formula, values, index, positions)
        _look_up(srgb, index, values)
        for column in range(width):
            r, g, b = values[0, column], values[1, column], values[2, column]
            y = r * _RED + g * _GREEN + b * _BLUE
            blue[row, column] = _byte((b - y) * _TO_CB + _CENTER)
            red[row, column] = _byte((r - y) * _TO_CR + _CENTER)
            offset[column] = y - np.float32(level[column]) * of_level + _HALF
        _add_offset(first, of_gray, offset, luma[2 * row])
        _add_offset(second, of_gray, offset, luma[2 * row + 1])
    return num_fitted


@_part
def _largest(gray: np.ndarray) -> int:
    return 255 if gray.itemsize == 1 else 65535


@_part
def _work(width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays for a row: values (5, W) float32, index (3, W) int32, positions (W + 1,) int32."""
    return np.empty((5, width), np.float32), np.empty((3, width), np.int32), np.empty(width + 1, np.int32)


@_part
def _sum_squares(first: np.ndarray, second: np.ndarray, shift: int, level: np.ndarray) -> None:
    """Two rows of gray levels -> one level per square of four pixels."""
    for column in range(len(first) // 2):
        left, right = 2 * column, 2 * column + 1
        total = np.int32(first[left]) + np.int32(first[right]) + np.int32(second[left]) + np.int32(second[right])
        level[column] = total >> shift
    if len(first) % 2:
        level[-1] = (2 * (np.int32(first[-1]) + np.int32(second[-1]))) >> shift


@_part
def _add_offset(gray: np.ndarray, of_gray: np.float32, offset: np.ndarray, luma: np.ndarray) -> None:
    """Write the luma of a row: gray levels plus the offset of each square, which contains 0.5 for rounding."""
    for column in range(len(gray) // 2):
        luma[2 * column] = _byte(np.float32(gray[2 * column]) * of_gray + offset[column])
        luma[2 * column + 1] = _byte(np.float32(gray[2 * column + 1]) * of_gray + offset[column])
    if len(gray) % 2:
        luma[-2:] = _byte(np.float32(gray[-1]) * of_gray + offset[-1])


@_part
def _byte(value: np.float32) -> np.uint8:
    """Limit a value to 0 to 255 and truncate it; the way through int32 is faster than the direct one."""
    return np.uint8(np.int32(max(min(value, _TOP), _ZERO)))


@_part
def _look_up(table: np.ndarray, index: np.ndarray, values: np.ndarray) -> None:
    """Write the entry of the table for each index, (3, W), to `values[:3]`."""
    for channel in range(3):
        for column in range(index.shape[1]):
            values[channel, column] = table[np.uint32(index[channel, column])]


@_part
def _interpolate(slopes: Slopes, row: int, values: np.ndarray) -> None:
    """Write the slopes of a row to `values[:2]`, by linear interpolation between two rows."""
    above, share = slopes.above[row], slopes.share[row]
    below = min(above + 1, slopes.values.shape[1] - 1)
    for of in range(2):
        first, second = slopes.values[of, above], slopes.values[of, below]
        for column in range(len(first)):
            values[of, column] = first[column] + (second[column] - first[column]) * share


@_part
def _color(
    level: np.ndarray, tables: Tables, formula: Formula, values: np.ndarray, index: np.ndarray, positions: np.ndarray
) -> int:
    """Write the indices of R, G and B, (3, W), of a row with its slopes in `values[:2]`; return the number fitted.

    `values`, (5, W), becomes: slopes of X and of Z, f, linear light, and the factor of the pixels that are fitted.
    """
    f, light = values[2], values[3]
    for column in range(len(level)):  # by itself, because the next loop is faster without reading tables
        f[column], light[column] = tables[0][np.uint32(level[column])], tables[1][np.uint32(level[column])]
    for column in range(len(level)):
        x, z = _from_light(f[column], light[column], values[0, column], values[1, column], formula)
        _write_index(light[column] + formula.offset, x, z, formula, index, column)
    count = 0
    for column in range(len(level)):  # without a branch: each position is written, and kept if it is outside
        positions[count] = column
        # An index that is negative or too large has a bit that no index of the table has.
        bits = index[0, column] | index[1, column] | index[2, column]
        count += int(np.uint32(bits) >= np.uint32(formula.entries))
    if count:
        _fit(formula, values, index, positions[:count])
    return count


@_part
def _fit(formula: Formula, values: np.ndarray, index: np.ndarray, positions: np.ndarray) -> None:
    """Reduce the chroma of pixels of a row to the largest that sRGB can show, and write their indices.

    By bisection, as in `cielab.fit_to_gamut`, of all pixels at once, so that the processor can work on several.
    """
    count = len(positions)
    for number in range(count):  # move the values of these pixels to the start of the row
        for which in range(4):
            values[which, number] = values[which, positions[number]]
        values[4, number] = _ZERO
    slope_x, slope_z, f, light, factor = values[0], values[1], values[2], values[3], values[4]
    step = _HALF
    for _ in range(formula.bisections):
        for number in range(count):
            trial = factor[number] + step
            y = light[number]
            x, z = _from_light(f[number], y, slope_x[number] * trial, slope_z[number] * trial, formula)
            r, g, b = _rgb(y - formula.middle, x, z, formula)
            is_inside = max(max(abs(r), abs(g)), abs(b)) <= formula.reach
            factor[number] = trial if is_inside else factor[number]
        step *= _HALF
    for number in range(count):
        part, y = factor[number], light[number]
        x, z = _from_light(f[number], y, slope_x[number] * part, slope_z[number] * part, formula)
        _write_index(y + formula.offset, x, z, formula, index, positions[number])


@_part
def _from_light(
    f: np.float32, light: np.float32, slope_x: np.float32, slope_z: np.float32, formula: Formula
) -> tuple[np.float32, np.float32]:
    """X - Y and Z - Y of a color: cubes of f, with the straight line of CIELAB below its knee."""
    f_x, f_z = f + slope_x, f + slope_z
    cube_x, cube_z = max(f_x, formula.knee), max(f_z, formula.knee)
    x = cube_x * cube_x * cube_x + (f_x - cube_x) * formula.line
    z = cube_z * cube_z * cube_z + (f_z - cube_z) * formula.line
    return x - light, z - light


@_part
def _rgb(
    light: np.float32, x: np.float32, z: np.float32, formula: Formula
) -> tuple[np.float32, np.float32, np.float32]:
    """Linear R, G and B of Y, X - Y and Z - Y; the rows of the matrix sum to 1."""
    from_x, from_z = formula.from_x, formula.from_z
    r = light + (x * from_x[0] + z * from_z[0])
    g = light + (x * from_x[1] + z * from_z[1])
    b = light + (x * from_x[2] + z * from_z[2])
    return r, g, b


@_part
def _write_index(
    light: np.float32, x: np.float32, z: np.float32, formula: Formula, index: np.ndarray, column: int
) -> None:
    r, g, b = _rgb(light, x, z, formula)
    index[0, column], index[1, column], index[2, column] = np.int32(r), np.int32(g), np.int32(b)


# --- decoding --------------------------------------------------------------------------------------------------------

# 2 ** x for x in [-0.5, 0.5]: the Taylor polynomial of degree 5, whose relative error is at most 3e-6
_POWERS = tuple(np.float32(math.log(2) ** n / math.factorial(n)) for n in range(6))
_LOWEST = np.float32(-126)  # the smallest exponent of float32 without denormal numbers, which are slow
_MANTISSA = np.int32(23)  # bits of the mantissa of float32, below the exponent
_SIGN, _ALL_OTHERS = np.int32(31), np.int32(0x7FFFFFFF)  # position of the sign of float32, and all bits below it
_SMALLEST = np.int32(-0x80000000)


def _annealed_mean(logits: np.ndarray, scale: np.float32, bins: np.ndarray, ab: np.ndarray) -> np.float32:
    """Write the annealed mean of each pixel, as `gamut.annealed_mean` in a third of the time.

    The sums are reordered, so that a processor adds several numbers at once: the last digits depend on the processor,
    as those of the network do.

    Args:
        logits: (n, Q) float32.
        scale: log2(e) / temperature.
        bins: (Q, 2) float32, the centers of the bins.
        ab: (n, 2) float32.

    Returns:
        a number that is NaN or infinite if a logit is.
    """
    p0, p1, p2, p3, p4, p5 = _POWERS
    a, b = bins[:, 0].copy(), bins[:, 1].copy()
    bits, largest_bits = np.empty(len(bins), np.int32), np.empty(1, np.int32)
    weights, check = bits.view(np.float32), _ZERO
    for pixel in range(len(logits)):
        row = logits[pixel]
        largest_bits[0] = _largest_of(row.view(np.int32))
        largest = largest_bits.view(np.float32)[0]
        for q in range(len(bins)):
            less = row[q] - largest
            check += less
            x = max(less * scale, _LOWEST)
            whole = np.int32(x - _HALF)  # x is at most 0, so this rounds to the nearest whole number
            part = x - np.float32(whole)
            weights[q] = p0 + part * (p1 + part * (p2 + part * (p3 + part * (p4 + part * p5))))
            bits[q] += whole << _MANTISSA  # times 2 ** whole
        total, sum_a, sum_b = _ZERO, _ZERO, _ZERO
        for q in range(len(bins)):
            total += weights[q]
            sum_a += weights[q] * a[q]
            sum_b += weights[q] * b[q]
        ab[pixel, 0], ab[pixel, 1] = sum_a / total, sum_b / total
    return check


@_part
def _largest_of(bits: np.ndarray) -> np.int32:
    """The bits of the largest float32, of the bits (n,) int32: processors compare several whole numbers at once."""
    largest = _SMALLEST
    for q in range(len(bits)):
        largest = max(largest, _ordered(bits[q]))
    return _ordered(largest)


@_part
def _ordered(bits: np.int32) -> np.int32:
    """Whole numbers in the order of the float32 numbers with these bits; applied twice, it gives the bits again."""
    return bits ^ ((bits >> _SIGN) & _ALL_OTHERS)


annealed_mean = _compiled(_annealed_mean, fastmath={"reassoc", "nsz", "contract"})
