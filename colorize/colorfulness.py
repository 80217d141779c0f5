"""How colourful a picture is, in one number."""

import numpy as np


def colorfulness(rgb: np.ndarray) -> float:
    """Colourfulness M3 of Hasler and Suesstrunk, "Measuring colourfulness in natural images" (2003), eq. 9 to 11.

    The opponent channels rg = R - G and yb = (R + G) / 2 - B are *signed*, as in the paper; code that takes absolute
    values first gives other numbers. All sums are of whole numbers, hence exact and the same on every machine.

    Args:
        rgb: (H, W, 3) uint8 sRGB.

    Returns:
        0 for gray, about 15 slightly, 45 averagely, 109 extremely colourful.
    """
    red, green, blue = rgb.reshape(-1, 3).T.astype(np.int32)  # (N,) each
    rg, yb_doubled = (red - green).astype(np.float64), (red + green - 2 * blue).astype(np.float64)
    count = len(red)
    mean_rg, mean_yb = rg.sum() / count, yb_doubled.sum() / (2 * count)
    variance = rg @ rg / count - mean_rg**2 + yb_doubled @ yb_doubled / (4 * count) - mean_yb**2
    return float(np.sqrt(max(variance, 0.0)) + 0.3 * np.hypot(mean_rg, mean_yb))
