"""Figures: labels that do not overlap, tidy axes, PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blur.support.atomic import write_file

GREY = "#555555"


def literal(text: str) -> str:
    """The text with dollars escaped, which matplotlib would take for mathematics."""
    return text.replace("$", r"\$")


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """The nearest positions in the same order, no two closer than `gap` (pool adjacent violators)."""
    order = np.argsort(positions, kind="stable")
    blocks: list[list[float]] = []  # [sum of offsets, count] of labels that touch each other
    for rank, index in enumerate(order):
        blocks.append([positions[index] - rank * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    offsets = [total / count for total, count in blocks for _ in range(int(count))]
    placed = np.empty(len(positions))
    placed[order] = np.asarray(offsets) + gap * np.arange(len(positions))
    return placed.tolist()


def tidy(axes: Axes, grid: Literal["x", "y"] = "y") -> None:
    """Leaves the left and lower edge of a plot, and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def save_png(figure: Figure, path: str | Path) -> Path:
    """Writes a figure as a PNG."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    return write_file(path, image.getvalue())
