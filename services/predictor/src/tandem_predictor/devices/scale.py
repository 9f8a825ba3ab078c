"""The numbers of --normalize."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """(v - mean) / std; each is one number, or one for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def scale(text: str) -> Scale:
    """`127/128`, or `M:M:M/S:S:S`; raises ValueError saying what is expected."""
    try:
        mean, std = (tuple(float(part) for part in half.split(":")) for half in text.split("/"))
    except ValueError:
        mean = std = ()
    if not all(len(half) in (1, 3) and all(map(math.isfinite, half)) for half in (mean, std)) or 0 in std:
        raise ValueError("MEAN/STD, each a number or three joined by `:`, as in 127/128, and no STD of 0")
    return Scale(mean, std)


def checked(text: str) -> str:
    """The parser of --normalize; raises ValueError."""
    if text:
        scale(text)
    return text
