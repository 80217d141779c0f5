"""The color difference CIEDE2000.

Source: Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data,
and mathematical observations" (2005). Comments give the numbers of its equations.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_POWER = 25.0**7


def ciede2000(lab_1: Tensor, lab_2: Tensor) -> Tensor:
    """CIEDE2000 with kL = kC = kH = 1.

    Args:
        lab_1: (..., 3, H, W), floating point.
        lab_2: the same shape.

    Returns:
        (..., H, W), at least 0: about 1 is just noticeable.
    """
    (L_1, a_1, b_1), (L_2, a_2, b_2) = lab_1.unbind(-3), lab_2.unbind(-3)
    stretch = 1.5 - 0.5 * _saturation((torch.hypot(a_1, b_1) + torch.hypot(a_2, b_2)) / 2)  # 1 + G, eq. 4
    a_1, a_2 = a_1 * stretch, a_2 * stretch  # eq. 5
    chroma_1, chroma_2 = torch.hypot(a_1, b_1), torch.hypot(a_2, b_2)  # eq. 6
    chroma = (chroma_1 + chroma_2) / 2
    hue_1, hue_2 = (torch.remainder(torch.atan2(b, a), 2 * math.pi) for a, b in ((a_1, b_1), (a_2, b_2)))  # eq. 7
    arc, hue = _arc(hue_1, hue_2)
    hue_step = 2 * (chroma_1 * chroma_2).sqrt() * torch.sin(arc / 2)  # eq. 11; 0 if a color is gray, whatever its hue
    L_squared = ((L_1 + L_2) / 2 - 50).square()
    L_term = (L_2 - L_1) / (1 + 0.015 * L_squared / (20 + L_squared).sqrt())  # eq. 18
    chroma_term = (chroma_2 - chroma_1) / (1 + 0.045 * chroma)  # eq. 19
    hue_term = hue_step / (1 + 0.015 * chroma * _hue_weight(hue))  # eq. 20
    rotated = _rotation(hue, chroma) * chroma_term * hue_term
    squared = L_term.square() + chroma_term.square() + hue_term.square() + rotated
    return squared.clamp_min(0).sqrt()  # eq. 22; rounding can give less than 0


def _saturation(chroma: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7)), in eq. 4 and 17."""
    squared = chroma * chroma
    seventh = squared * squared * squared * chroma
    return (seventh / (seventh + _POWER)).sqrt()


def _arc(hue_1: Tensor, hue_2: Tensor) -> tuple[Tensor, Tensor]:
    """Length and middle of the shorter arc between two hues in [0, 2 pi), eq. 10 and 14; the middle is in [0, 3 pi)."""
    difference = hue_2 - hue_1
    is_far = difference.abs() > math.pi
    shorter = torch.where(is_far, difference - difference.sign() * (2 * math.pi), difference)
    middle = (hue_1 + hue_2) / 2
    return shorter, torch.where(is_far, middle + math.pi, middle)


def _hue_weight(hue: Tensor) -> Tensor:
    """T, eq. 15."""
    degree = math.pi / 180
    low = 1 - 0.17 * torch.cos(hue - 30 * degree) + 0.24 * torch.cos(2 * hue)
    return low + 0.32 * torch.cos(3 * hue + 6 * degree) - 0.20 * torch.cos(4 * hue - 63 * degree)


def _rotation(hue: Tensor, chroma: Tensor) -> Tensor:
    """R_T, eq. 16, 17 and 21."""
    degrees = torch.remainder(hue * (180 / math.pi), 360)
    angle = (math.pi / 3) * torch.exp(-((degrees - 275) / 25).square())  # 2 delta theta, in radians
    return -2 * _saturation(chroma) * torch.sin(angle)
