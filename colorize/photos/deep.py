"""Gray photos of 9 to 16 bits, kept at 16 bits: their levels in sRGB.

ImageCms converts only pictures of 8 bits. The curve of a color profile (ICC.1:2022, section 10) is read here instead.
It is used only if it gives the same 8-bit levels as ImageCms.
"""

import struct

import numpy as np
from PIL import Image as Pillow

from colorize.sharding import conversion, depth, profiles

_GRAY, _RED, _CURVE, _PARAMETRIC = b"kTRC", b"rTRC", b"curv", b"para"
_PARAMETERS = (1, 3, 4, 5, 7)  # of the functions that a parametric curve may have
_MAX_TAGS, _MAX_POINTS = 100, 1 << 16
_WHITE = 65_535


def separate(photo: Pillow.Image, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Convert a loaded gray picture of 9 to 16 bits, and turn it upright. Conversions are added to the notes.

    Returns:
        (H, W) uint16 sRGB, and (H, W) uint16 alpha or None; None for both if only ImageCms can convert its profile.
    """
    turn, profile = conversion.metadata_of(photo)
    table, done = to_srgb(profile) if profile else (None, None)
    if done == profiles.CONVERTED and table is None:
        return None
    notes.remove(depth.REDUCED)
    levels, alpha = depth.scale(photo, np.uint16)
    if turn is not None:
        notes.append(conversion.TURNED)
        levels, alpha = _turned(levels, turn), None if alpha is None else _turned(alpha, turn)
    if alpha is not None and not alpha.any():
        alpha = None
        notes.append(conversion.EMPTY_ALPHA)
    notes += [done] if done else []
    return levels if table is None else table[levels], alpha


def _turned(levels: np.ndarray, turn: Pillow.Transpose) -> np.ndarray:
    return np.asarray(Pillow.fromarray(levels).transpose(turn))


def to_srgb(profile: bytes) -> tuple[np.ndarray | None, str | None]:
    """Table from all gray 16-bit levels of a profile to those of sRGB.

    Returns:
        (65536,) uint16, or None if the levels stay as they are, or if only ImageCms can convert them; and the note of
        `profiles.apply`.
    """
    gray = Pillow.fromarray(np.arange(256, dtype=np.uint8)[None])
    converted, done = profiles.apply(gray, profile)
    if done != profiles.CONVERTED:
        return None, done
    try:
        linear = _curve(profile)
    except Exception:  # almost any exception, if the profile has another form
        return None, done
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    table = np.rint(encoded * _WHITE).astype(np.uint16)
    difference = np.rint(table[:: _WHITE // 255, None] / 257) - np.asarray(converted)[0]  # (256, 3)
    return (table if np.abs(difference).max() <= 1 else None), done


def _curve(profile: bytes) -> np.ndarray:
    """Relative luminance of all 16-bit levels, (65536,) in [0, 1]. Raises an exception if there is no gray curve."""
    (count,) = struct.unpack_from(">I", profile, 128)
    tags = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * min(count, _MAX_TAGS)])
    starts = {name: start for name, start, _ in tags}
    start = starts.get(_GRAY) or starts[_RED]
    levels = np.linspace(0, 1, _WHITE + 1)
    kind = profile[start : start + 4]
    if kind == _CURVE:
        (points,) = struct.unpack_from(">I", profile, start + 8)
        values = np.array(struct.unpack_from(f">{min(points, _MAX_POINTS)}H", profile, start + 12))
        if points < 2:
            return levels ** (values[0] / 256 if points else 1)
        return np.interp(levels, np.linspace(0, 1, points), values / _WHITE)
    if kind != _PARAMETRIC:
        raise ValueError("no curve")
    (function,) = struct.unpack_from(">H", profile, start + 8)
    parameters = [value / 65536 for value in struct.unpack_from(f">{_PARAMETERS[function]}i", profile, start + 12)]
    gamma, a, b, c, d, e, f = _completed(function, parameters)
    return np.where(levels >= d, (np.maximum(a * levels + b, 0)) ** gamma + e, c * levels + f).clip(0, 1)


def _completed(function: int, given: list[float]) -> tuple[float, ...]:
    """The seven parameters of the most general function, for which the others are special cases."""
    gamma, a, b, c, d, e, f = (*given, *[0.0] * (7 - len(given)))
    if function == 0:
        return gamma, 1, 0, 0, 0, 0, 0
    if function in (1, 2):  # the constant part c holds on both sides of the break at -b / a
        return gamma, a, b, 0, -b / a, c, c
    return gamma, a, b, c, d, e, f
