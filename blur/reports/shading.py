"""Colours of table cells, from matplotlib's maps."""

from __future__ import annotations

import math

from matplotlib import colormaps
from matplotlib.colors import to_hex

DIVERGING = "PuOr_r"
"""For −1 to 1; colour-blind readers can tell its ends apart."""

SEQUENTIAL = "YlGnBu"
"""For 0 to 1."""


def shade(value: float, colours: str) -> str | None:
    """A style with the value's colour and a readable text colour; None for NaN."""
    if math.isnan(value):
        return None
    red, green, blue, _ = colour = colormaps[colours]((value + 1) / 2 if colours == DIVERGING else value)
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2  # of sRGB, nearly
    return f"background:{to_hex(colour)};color:{'#111' if luminance > 0.2 else '#fff'}"
