"""Grid search that widens until the best point is inside the grid."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from blur.evaluation.curves import BLOCK

Metric = Literal["accuracy", "loss"]
Point = dict[str, float]
"""A value for every hyper-parameter."""

Grid = Mapping[str, tuple[float, ...]]
"""Ascending values of every hyper-parameter."""

STEP = math.sqrt(10)
"""Ratio of neighbours on logarithmic axes."""

MAX_EXTENSIONS = 6
FINALISTS = 0.125
"""The share of the points that is measured on all episodes. One block of episodes screens all points before."""

FEWEST_FINALISTS = 8


def rounded(value: float) -> float:
    """Four significant digits, so that the reported value is exactly the value that was tried."""
    return float(f"{value:.4g}")


BEYOND: dict[str, dict[str, Callable[[float, int], float]]] = {
    "learning_rate": {
        "low": lambda rate, steps: rounded(rate * STEP**-steps),
        "high": lambda rate, steps: rounded(rate * STEP**steps),
    },
    "output_scale": {"high": lambda scale, steps: rounded(scale * STEP**steps)},
    "momentum": {"high": lambda momentum, steps: rounded(1 - (1 - momentum) * STEP**-steps)},
}
"""The value `steps` steps beyond an open end of an axis. Other ends are closed, such as momentum 0."""


class Trial(NamedTuple):
    """A point and its means over validation episodes, after the last inner step."""

    point: Point
    accuracy: float
    loss: float
    episodes: int


Measure = Callable[[Sequence[Point], int], list[Trial]]
"""`(points, episodes) -> trials`, on the same episodes for all points."""


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The result of a grid search.

    Attributes:
      best: the winner among the trials on all episodes.
      trials: every point that was tried, once, from the measurement with the most episodes.
      extensions: how often the grid was widened.
      at_edge: the axes with the winner at an open end; empty unless the grid was widened `MAX_EXTENSIONS` times.
    """

    best: Trial
    trials: tuple[Trial, ...]
    extensions: int
    at_edge: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The winner, and the whole grid with its scores."""
        return {
            "best": self.best.point,
            "validation_accuracy": finite_or_none(self.best.accuracy),
            "validation_loss": finite_or_none(self.best.loss),
            "validation_episodes": self.best.episodes,
            "grid_extensions": self.extensions,
            "at_edge": list(self.at_edge),
            "grid": [
                {
                    **trial.point,
                    "accuracy": finite_or_none(trial.accuracy),
                    "loss": finite_or_none(trial.loss),
                    "episodes": trial.episodes,
                }
                for trial in self.trials
            ],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Tuned:
        """The inverse of `to_json`; scores that were not finite are NaN."""

        def score(value: float | None) -> float:
            return math.nan if value is None else value

        def trial(entry: Mapping[str, Any]) -> Trial:
            point = {name: value for name, value in entry.items() if name not in ("accuracy", "loss", "episodes")}
            return Trial(point, score(entry["accuracy"]), score(entry["loss"]), entry["episodes"])

        best = Trial(
            saved["best"],
            score(saved["validation_accuracy"]),
            score(saved["validation_loss"]),
            saved["validation_episodes"],
        )
        trials = tuple(map(trial, saved["grid"]))
        return cls(best, trials, saved["grid_extensions"], tuple(saved["at_edge"]))


def tune(measure: Measure, grid: Grid, metric: Metric, episodes: int) -> Tuned:
    """Searches a grid by successive halving with common random numbers (Jamieson & Talwalkar 2016).

    One block of episodes screens all points; the best eighth is measured on all episodes. While the winner is at an
    open end of the grid, the grid grows there by two values. Finally the learning rate is refined: the winner's
    neighbours at half a grid step (a factor 10^¼) are measured too.
    """
    screened: dict[tuple[float, ...], Trial] = {}
    final: dict[tuple[float, ...], Trial] = {}
    for extensions in range(MAX_EXTENSIONS + 1):
        _measure_new(measure, grid_points(grid), screened, min(BLOCK, episodes))
        finalists = sorted(screened.values(), key=lambda trial: cost(trial, metric))
        finalists = finalists[: max(FEWEST_FINALISTS, math.ceil(FINALISTS * len(finalists)))]
        _measure_new(measure, [trial.point for trial in finalists], final, episodes)
        best = min(final.values(), key=lambda trial: cost(trial, metric))
        if not open_edges(grid, best.point) or extensions == MAX_EXTENSIONS:
            break
        grid = widened(grid, best.point)
    _measure_new(measure, _refinements(best.point), final, episodes)
    best = min(final.values(), key=lambda trial: cost(trial, metric))
    return Tuned(best, tuple((screened | final).values()), extensions, tuple(open_edges(grid, best.point)))


def cost(trial: Trial, metric: Metric) -> tuple[float, ...]:
    """The cost, which the best trial minimises: −accuracy, then loss; or loss alone."""
    loss = trial.loss if math.isfinite(trial.loss) else math.inf
    return (-trial.accuracy, loss) if metric == "accuracy" else (loss,)


def grid_points(grid: Grid) -> list[Point]:
    """All combinations."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def open_edges(grid: Grid, point: Point) -> dict[str, str]:
    """The axes on which a point is at an open end, with that end: `low` or `high`."""
    ends = {
        name: "low" if point[name] <= values[0] else "high"
        for name, values in grid.items()
        if point[name] <= values[0] or point[name] >= values[-1]
    }
    return {name: end for name, end in ends.items() if end in BEYOND.get(name, {})}


def widened(grid: Grid, point: Point) -> Grid:
    """The grid with two more values beyond each open end at which the point is."""
    wider = dict(grid)
    for name, end in open_edges(grid, point).items():
        values, beyond = grid[name], BEYOND[name][end]
        if end == "low":
            wider[name] = (beyond(values[0], 2), beyond(values[0], 1), *values)
        else:
            wider[name] = (*values, beyond(values[-1], 1), beyond(values[-1], 2))
    return wider


def finite_or_none(value: float) -> float | None:
    """The value, or None for NaN and infinity, which JSON does not have."""
    return float(value) if math.isfinite(value) else None


def _refinements(point: Point) -> list[Point]:
    if "learning_rate" not in point:
        return []
    return [point | {"learning_rate": rounded(point["learning_rate"] * STEP**power)} for power in (-0.5, 0.5)]


def _measure_new(
    measure: Measure, points: Sequence[Point], trials: dict[tuple[float, ...], Trial], episodes: int
) -> None:
    """Measures the points without a trial, and adds their trials."""
    new = [point for point in points if tuple(point.values()) not in trials]
    trials.update({tuple(trial.point.values()): trial for trial in measure(new, episodes)} if new else {})
