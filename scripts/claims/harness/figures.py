"""Figures of claims: rows of axes, smooth curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blur.support.figures import tidy


def panels(titles: Sequence[str], *, columns: int | None = None, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A figure with axes in rows of `columns`, by default in one row; each row is `height` inches high."""
    columns = columns or len(titles)
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(4.4 * columns, height * rows), layout="constrained")
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(len(titles))]
    for one, title in zip(axes, titles, strict=True):
        one.set_title(title, loc="left", fontsize=10)
        tidy(one)
    return figure, axes


def smooth(values: np.ndarray, window: int = 25) -> np.ndarray:
    """Running mean."""
    window = max(1, min(window, len(values) // 4))
    return np.convolve(values, np.ones(window) / window, mode="valid")
