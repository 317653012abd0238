"""A genome as HTML: small matrices as pictures with their numbers, scalars as a table, large arrays as a summary."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from blur.core.genome import flatten_tensors
from blur.core.rule import Genome
from blur.reports.html import Markup, element, scrolling_table
from blur.reports.shading import DIVERGING, shade

LARGEST_SIDE = 12
"""The longest side of a matrix that is shown number by number."""

MOST_MATRICES = 16
"""The most matrices of one array that are shown."""


def genome_pictures(genome: Genome, symbols: Mapping[str, str]) -> Markup:
    """All arrays of a genome, whatever its structure. `symbols` are shown beside their names."""
    arrays = dict(sorted(flatten_tensors(genome).items(), key=lambda item: item[1].ndim < 2))  # matrices first
    scalars = {name: array for name, array in arrays.items() if array.size == 1}
    matrices = {name: array for name, array in arrays.items() if array.size > 1 and is_small(array)}
    large = {name: array for name, array in arrays.items() if array.size > 1 and not is_small(array)}
    parts = (
        [element("div", *(_figure(*item, symbols) for item in matrices.items()), class_="pictures")] if matrices else []
    )
    if scalars:
        rows = [_row(_label(name, symbols), f"{array.item():.4g}") for name, array in scalars.items()]
        parts.append(scrolling_table(*rows, caption="Scalars"))
    if large:
        rows = [_row(_label(name, symbols), _statistics(array)) for name, array in large.items()]
        parts.append(scrolling_table(*rows, caption="Arrays too large to show number by number"))
    return element("div", *parts)


def is_small(array: np.ndarray) -> bool:
    """Whether an array is shown with all its numbers."""
    sides, matrices = array.shape[-2:], math.prod(array.shape[:-2])
    return array.size > 0 and max(sides, default=1) <= LARGEST_SIDE and matrices <= MOST_MATRICES


def _figure(name: str, array: np.ndarray, symbols: Mapping[str, str]) -> Markup:
    """One picture per matrix of the array; a vector is a row."""
    matrices = array.reshape(-1, *(array.shape[-2:] if array.ndim > 1 else (1, array.size)))
    return element("figure", element("figcaption", _label(name, symbols)), *map(_picture, matrices))


def _picture(matrix: Float[np.ndarray, "rows columns"]) -> Markup:
    """Numbers on colours from −max|·| to max|·|."""
    limit = float(np.max(np.abs(matrix), initial=0.0)) or 1.0
    rows = [
        element("tr", *(element("td", f"{value:.2g}", style=shade(value / limit, DIVERGING)) for value in row))
        for row in matrix.astype(float)
    ]
    return scrolling_table(*rows, class_="matrix")


def _label(name: str, symbols: Mapping[str, str]) -> Markup:
    symbol = [element("b", symbols[name]), " "] if name in symbols else []
    return element("span", *symbol, element("code", name))


def _row(label: Markup, value: str) -> Markup:
    return element("tr", element("th", label, scope="row"), element("td", value))


def _statistics(array: np.ndarray) -> str:
    shape = "×".join(map(str, array.shape))
    if not array.size:
        return shape
    numbers = array.astype(float)
    return (
        f"{shape}: mean {numbers.mean():.3g}, deviation {numbers.std():.3g}, {numbers.min():.3g} to {numbers.max():.3g}"
    )
