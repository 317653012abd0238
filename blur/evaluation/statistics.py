"""Intervals for means over episodes. They cover the draw of episodes from a test set, not the choice of that set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

RESAMPLES = 10_000
LEVEL = 0.95


class Interval(NamedTuple):
    """Both ends of a confidence interval; arrays for intervals at many points."""

    low: Float[np.ndarray, "*points"]
    high: Float[np.ndarray, "*points"]


def bootstrap_interval(values: Float[np.ndarray, "episodes *points"], *, seed: int = 0) -> Interval:
    """The 95 % percentile bootstrap interval of the mean over episodes (Efron & Tibshirani 1993, §13.3).

    There are 10,000 resamples. All points share them, and so do all calls with one seed. A point with a value that is
    not finite has an interval of NaNs. For a *paired* difference, pass the differences of two learners by episode.

    Raises:
      ValueError: fewer than two episodes.
    """
    values = np.asarray(values, np.float64)
    episodes = values.shape[0]
    if episodes < 2:
        raise ValueError(f"{episodes} episodes have no interval; expected at least 2")
    counts = np.random.default_rng(seed).multinomial(episodes, np.full(episodes, 1 / episodes), size=RESAMPLES)
    flat = values.reshape(episodes, -1)
    finite = np.isfinite(flat).all(axis=0)
    means = counts @ np.where(finite, flat, 0.0) / episodes
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Interval(*(np.where(finite, end, np.nan).reshape(values.shape[1:]) for end in (low, high)))
