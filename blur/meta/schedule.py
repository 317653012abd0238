"""The setting of every meta-step of a run, and the number of meta-steps per dispatch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from blur.meta.setting import Setting

CHUNK_SECONDS = 1.0
"""The intended duration of a chunk; signals are handled after it."""

CHUNK_CAPACITY = 1000
"""The most meta-steps of a chunk."""


def draw_settings(settings: Sequence[Setting], periods: Sequence[int], meta_steps: int, seed: int) -> np.ndarray:
    """Index of the setting of every meta-step, `[meta_steps]`; drawn by weight, for a whole period at a time."""
    weights = np.array([setting.weight for setting in settings], dtype=float)
    portion = weights / np.array(periods)  # the weights are shares of meta-steps, not of periods
    drawn = np.random.default_rng(seed).choice(len(settings), size=meta_steps, p=portion / portion.sum())
    return np.repeat(drawn, np.asarray(periods)[drawn])[:meta_steps]


def same_setting(drawn: np.ndarray, start: int, stop: int) -> list[tuple[int, int, int]]:
    """The stretches `(setting, first, length)` of meta-steps `start … stop − 1` that stay on one setting."""
    changes = start + 1 + np.flatnonzero(np.diff(drawn[start:stop]))
    edges = [start, *(int(change) for change in changes), stop]
    return [(int(drawn[first]), first, last - first) for first, last in itertools.pairwise(edges)]


def next_length(length: int, done: int, seconds: float) -> int:
    """Meta-steps of the next chunk, given that `done` of them took `seconds`; at most 8 times `length`."""
    wanted = int(done * CHUNK_SECONDS / max(seconds, 1e-6))
    return max(1, min(wanted, 8 * length, CHUNK_CAPACITY))
