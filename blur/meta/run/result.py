"""The result of a run."""

from __future__ import annotations

import dataclasses

import numpy as np

from blur.core.rule import Genome
from blur.meta.run.best import Best
from blur.meta.run.metrics import MetricsLine, history


@dataclasses.dataclass(frozen=True)
class MetaTrainResult:
    """The best genome of a run, its scores, and the run's metrics.

    Attributes:
      genome: the best genome on the validation episodes.
      fitness: its fitness on them.
      accuracy: its accuracy on them; NaN in regression.
      candidate: the number of the candidate that it came from.
      meta_step: the number of meta-steps before it was found.
      history: the metrics of all meta-steps; see `blur.meta.run.metrics.history`.
    """

    genome: Genome
    fitness: float
    accuracy: float
    candidate: int
    meta_step: int
    history: dict[str, np.ndarray]


def make_result(best: Best, lines: list[MetricsLine]) -> MetaTrainResult:
    """The result of a finished run."""
    return MetaTrainResult(
        best.genome,
        float(best.fitness),
        float(best.accuracy),
        int(best.candidate),
        int(best.meta_step),
        history(lines),
    )
