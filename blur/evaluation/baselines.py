"""Fair baselines: optimisers of networks of the learner's size, tuned for each condition."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from blur.core.episode import Kind, Spec
from blur.core.rule import Genome, StatisticsRule
from blur.evaluation.cost import count_parameters
from blur.evaluation.curves import Block, Play, play_all
from blur.evaluation.plan import Condition, EvaluationPlan
from blur.evaluation.tuning import STEP, Grid, Metric, Point, Trial, Tuned, rounded, tune
from blur.rules.optax_mlp import OptaxMLP

SCALES = (0.0, 0.1, 1.0)
"""Initial output scales. With a small scale, the outputs of a fresh network are small beside its targets."""

BIAS_SCALES = (0.0, 1.0)
"""Standard deviations of initial hidden biases, in regression: with few inputs they spread the kinks."""

MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95)
DECAYS = (0.0, 1.0)
"""0: a constant rate. 1: a rate that falls linearly to zero at the end of the life."""


class Variant(NamedTuple):
    """A baseline of a plan: an optimiser with or without batch normalisation, wide or as wide as the learner."""

    optimizer: str
    batch_norm: bool
    wide: bool

    @property
    def name(self) -> str:
        """The optimiser's name, with `+bn` and `wide` if they apply."""
        return self.optimizer + "+bn" * self.batch_norm + " wide" * self.wide


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A rule with a name, and the grid on which its genome is tuned."""

    name: str
    rule: OptaxMLP
    grid: Grid


def variants(plan: EvaluationPlan) -> list[Variant]:
    """Every optimiser of the plan without and with batch normalisation, at the sizes that the plan asks for."""
    wide = [size == "synapses" for size in plan.baseline_sizes]
    return [Variant(*variant) for variant in itertools.product(plan.baselines, (False, True), wide)]


def make_baselines(
    plan: EvaluationPlan,
    condition: Condition,
    spec: Spec,
    kind: Kind,
    synapses: int | None,
    statistics: StatisticsRule = "support",
) -> list[Baseline]:
    """The plan's baselines under one condition.

    A wide baseline has about `synapses` parameters. It needs that number and a hidden layer. Without them, a plan with
    both baseline sizes gets the baselines of the learners' width alone.
    """
    widens = synapses is not None and bool(condition.hidden)
    baselines = []
    for variant in variants(plan):
        if variant.wide and not widens and "width" in plan.baseline_sizes:
            continue
        rule = OptaxMLP(
            hidden=condition.hidden,
            optimizer=variant.optimizer,
            batch_norm=variant.batch_norm,
            statistics=statistics,
            decay_steps="life",
            loss="cross_entropy" if kind == "classification" else "l2",
        )
        rule = with_synapses(rule, spec, synapses) if variant.wide else rule
        baselines.append(Baseline(variant.name, rule, initial_grid(variant.optimizer, kind)))
    return baselines


def initial_grid(optimizer: str, kind: Kind) -> Grid:
    """Learning rates × output scales × decays (× momenta) (× bias scales, in regression).

    Rates are half decades apart: 0.01 to 10 for SGD and momentum, 3e-4 to 0.3 for other optimisers.
    """
    top = {"sgd": 1.0, "momentum": 1.0}.get(optimizer, -0.5)
    rates = tuple(rounded(10**top * STEP**-power) for power in reversed(range(7)))
    grid = {"learning_rate": rates, "output_scale": SCALES, "decay": DECAYS}
    grid |= {"momentum": MOMENTA} if optimizer == "momentum" else {}
    return grid | ({"bias_scale": BIAS_SCALES} if kind == "regression" else {})


def with_synapses(rule: OptaxMLP, spec: Spec, synapses: int | None) -> OptaxMLP:
    """The rule with the narrowest hidden layers, all of one width, that give at least `synapses` parameters.

    A network that has so many parameters already stays as it is.

    Raises:
      ValueError: the number is unknown, or the rule has no hidden layer.
    """
    if synapses is None or not rule.hidden:
        raise ValueError("no learner has synapses to count; expected baseline sizes of 'width' only")

    def parameters(width: int) -> int:
        wide = dataclasses.replace(rule, hidden=(width,) * len(rule.hidden))
        return count_parameters(wide, wide.init_genome(jax.random.key(0)), spec) or 0

    low, high = min(rule.hidden) - 1, min(rule.hidden)
    while parameters(high) < synapses:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(middle) < synapses else (low, middle)
    return dataclasses.replace(rule, hidden=(high,) * len(rule.hidden))


def genome_of(point: Point, rule: OptaxMLP) -> Genome:
    """The rule's default genome with the values of a grid point."""
    return rule.init_genome(jax.random.key(0)) | {name: jnp.asarray(value) for name, value in point.items()}


def tune_baseline(
    baseline: Baseline, play: Play, validation: Callable[[int], Block], metric: Metric, episodes: int
) -> Tuned:
    """The best point of the baseline's grid on validation episodes."""

    def measure(points: Sequence[Point], episodes: int) -> list[Trial]:
        genomes = [genome_of(point, baseline.rule) for point in points]
        curves = play_all(play, genomes, validation, episodes)
        return [
            Trial(point, float(np.mean(curve.accuracy[:, -1])), float(np.mean(curve.loss[:, -1])), episodes)
            for point, curve in zip(points, curves, strict=True)
        ]

    return tune(measure, baseline.grid, metric, episodes)
