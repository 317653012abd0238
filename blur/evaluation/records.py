"""The records of an evaluation: the scores of one learner under one condition."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from blur.core.rule import StatisticsRule
from blur.evaluation.cost import StepCost
from blur.evaluation.curves import Curves
from blur.evaluation.plan import Condition
from blur.evaluation.statistics import bootstrap_interval
from blur.evaluation.tuning import Metric, Tuned, finite_or_none
from blur.support.renamed import renamed_fields

Ends = tuple[float | None, float | None]
Verdict = Literal["better", "worse", "equal"]


@renamed_fields(unroll="steps")
@dataclasses.dataclass(frozen=True)
class EvaluationRecord:
    """One learner under one condition, scored on test episodes after the last inner step. All values fit JSON.

    Intervals cover the draw of episodes and initial networks from this test set. They hold for this one genome: another
    seed of meta-training, or another test set, may differ by more.

    Attributes:
      learner: its name. The name of a baseline starts with its optimiser, and has `+bn` for batch normalisation.
      kind: `learner`, or `baseline`.
      task, resolution, hidden, steps, batch: the condition; a resolution of None is the task's own.
      network: widths of this learner's hidden layers; baselines with as many synapses are wider than `hidden`.
      statistics: the batch statistics that normalised the predictions.
      episodes, seed: number and seed of the test episodes, which all learners played.
      diverged: episodes that ended with a loss that is not finite.
      metric: the compared score: `accuracy` for a classification, `loss` for a regression.
      accuracy_mean, accuracy_ci95: share of correct queries, and the bootstrap interval of its mean; None for a
        regression.
      loss_mean, loss_ci95: cross-entropy in nats, or squared error; None if an episode diverged.
      best_baseline: the baseline that did best on *validation* episodes.
      paired_difference_mean, paired_difference_ci95: this learner's metric minus the best baseline's on the same
        episodes.
      verdict: `better` or `worse` than the best baseline if the interval excludes 0, else `equal`. Losses without an
        interval are compared by the number of episodes that diverged.
      differences_ci95: the same intervals against every baseline, by its name.
      verdicts: the verdicts of those intervals, by the baseline's name.
      parameters: numbers in the synapses, over all states and directions.
      flop_per_step, seconds_per_step: costs of one inner step on this machine.
      tuning: a baseline's winning hyper-parameters, and the whole grid with its validation scores; None for a learner.
      curve_mean, curve_ci95: the metric after each inner step.
    """

    learner: str
    kind: Literal["learner", "baseline"]
    task: str
    resolution: int | None
    hidden: tuple[int, ...]
    network: tuple[int, ...]
    steps: int
    batch: int
    statistics: StatisticsRule
    episodes: int
    seed: int
    diverged: int
    metric: Metric
    accuracy_mean: float | None
    accuracy_ci95: Ends | None
    loss_mean: float | None
    loss_ci95: Ends
    best_baseline: str
    paired_difference_mean: float | None
    paired_difference_ci95: Ends
    verdict: Verdict
    differences_ci95: dict[str, Ends]
    verdicts: dict[str, Verdict]
    parameters: int | None
    flop_per_step: float | None
    seconds_per_step: float
    tuning: dict[str, Any] | None
    curve_mean: tuple[float | None, ...]
    curve_ci95: tuple[tuple[float | None, ...], tuple[float | None, ...]]

    @property
    def condition(self) -> Condition:
        """The condition, which all records of one comparison share."""
        return Condition(self.task, self.resolution, self.hidden, self.steps, self.batch)


@dataclasses.dataclass(frozen=True)
class Scored:
    """A learner with its curves on the test episodes."""

    name: str
    network: tuple[int, ...]
    curves: Curves
    parameters: int | None
    cost: StepCost


def make_record(
    scored: Scored,
    tuned: Tuned | None,
    *,
    baselines: Sequence[Scored],
    best: Scored,
    condition: Condition,
    metric: Metric,
    statistics: StatisticsRule,
    seed: int,
) -> EvaluationRecord:
    """Means, intervals, and paired differences to the baselines. A record with `tuned` is of a baseline."""
    curve = getattr(scored.curves, metric)
    differences = {other.name: curve[:, -1] - getattr(other.curves, metric)[:, -1] for other in baselines}
    intervals = {name: _mean_and_ends(difference, seed) for name, difference in differences.items()}
    verdicts = {
        other.name: verdict(intervals[other.name][1], metric, (_diverged(scored), _diverged(other)))
        for other in baselines
    }
    accuracy_mean, accuracy_ends = _mean_and_ends(scored.curves.accuracy[:, -1], seed)
    loss_mean, loss_ends = _mean_and_ends(scored.curves.loss[:, -1], seed)
    low, high = bootstrap_interval(curve, seed=seed)
    return EvaluationRecord(
        learner=scored.name,
        kind="learner" if tuned is None else "baseline",
        task=condition.task,
        resolution=condition.resolution,
        hidden=condition.hidden,
        steps=condition.steps,
        batch=condition.batch_size,
        network=scored.network,
        statistics=statistics,
        episodes=len(curve),
        seed=seed,
        diverged=_diverged(scored),
        metric=metric,
        accuracy_mean=accuracy_mean if metric == "accuracy" else None,
        accuracy_ci95=accuracy_ends if metric == "accuracy" else None,
        loss_mean=loss_mean,
        loss_ci95=loss_ends,
        best_baseline=best.name,
        paired_difference_mean=intervals[best.name][0],
        paired_difference_ci95=intervals[best.name][1],
        verdict=verdicts[best.name],
        differences_ci95={name: ends for name, (_, ends) in intervals.items()},
        verdicts=verdicts,
        parameters=scored.parameters,
        flop_per_step=scored.cost.flop,
        seconds_per_step=scored.cost.seconds,
        tuning=None if tuned is None else tuned.to_json(),
        curve_mean=tuple(map(finite_or_none, curve.mean(axis=0))),
        curve_ci95=(tuple(map(finite_or_none, low)), tuple(map(finite_or_none, high))),
    )


def by_condition(records: Iterable[EvaluationRecord]) -> Iterator[list[EvaluationRecord]]:
    """Groups the records by condition. Records of one condition must be neighbours."""
    for _, group in itertools.groupby(records, key=lambda record: record.condition):
        yield list(group)


def ranked(records: Iterable[EvaluationRecord]) -> list[EvaluationRecord]:
    """Sorts by mean, best first. Learners that diverged have no mean and come last."""

    def rank(record: EvaluationRecord) -> tuple[bool, float]:
        mean = record.accuracy_mean if record.metric == "accuracy" else record.loss_mean
        return mean is None, (mean or 0.0) * (-1 if record.metric == "accuracy" else 1)

    return sorted(records, key=rank)


def verdict(ends: Ends, metric: Metric, diverged: tuple[int, int] = (0, 0)) -> Verdict:
    """Compares a learner with another one: higher accuracy is better, lower loss is better.

    A difference of losses without an interval is decided by the number of episodes that diverged.

    Args:
      ends: the interval of the paired difference.
      metric: the score of the difference.
      diverged: numbers of episodes that diverged: the learner's, and the other one's.
    """
    low, high = ends
    if low is None or high is None:
        return "worse" if diverged[0] > diverged[1] else "better" if diverged[0] < diverged[1] else "equal"
    if low <= 0 <= high:
        return "equal"
    return "better" if (low > 0) == (metric == "accuracy") else "worse"


def _diverged(scored: Scored) -> int:
    return int(np.sum(~np.isfinite(scored.curves.loss[:, -1])))


def _mean_and_ends(values: Float[np.ndarray, "episodes"], seed: int) -> tuple[float | None, Ends]:
    low, high = bootstrap_interval(values, seed=seed)
    return finite_or_none(values.mean()), (finite_or_none(float(low)), finite_or_none(float(high)))
