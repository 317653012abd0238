"""B8: normalising activations in the forward *and* the backward sweep is what makes a genome generalise."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, get_args

import numpy as np
from harness.claim import Check, Claim, Finding, above, reported
from harness.figures import panels
from jaxtyping import Float
from matplotlib.figure import Figure

import blur
from blur.evaluation.plan import Condition
from blur.meta import MetaTraining, MetaTrainResult
from blur.rules.bidirectional import Normalise
from learned_rules.common import SOURCE, LearningPreset, curves_on_test, mean_curve, meta_train_seeds

ARMS: tuple[Normalise, ...] = get_args(Normalise)
"""none, forward, both."""

Scores = dict[Normalise, Float[np.ndarray, "seeds conditions"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(LearningPreset):
    """The meta-training of every arm, and the conditions of the tests.

    Attributes:
      training: the meta-training, with one budget for every arm.
      activations: every arm is meta-trained with each activation, and keeps the best one on validation. Without
        normalisation, an arm may need a bounded activation.
      seeds: the number of seeds of meta-training, per arm and activation.
      shifts: changes of the condition of meta-training, by name.
    """

    training: MetaTraining
    activations: tuple[str, ...] = ("gelu", "tanh")
    seeds: int = 3
    shifts: dict[str, dict[str, object]] = dataclasses.field(
        default_factory=lambda: {
            "28×28": {"resolution": 28},
            "Fashion-MNIST": {"task": "fashion_mnist"},
            "4 hidden layers": {"hidden": 4},
            "50 steps": {"steps": 50},
        }
    )

    @property
    def trained(self) -> Condition:
        """The condition of meta-training."""
        return Condition(self.task, self.resolution, (self.width,), self.steps, self.batch_size)

    def shifted(self, changes: dict[str, object]) -> Condition:
        """The condition with some changes; `hidden` is a number of layers."""
        layers = changes.get("hidden")
        widths = {"hidden": (self.width,) * layers} if isinstance(layers, int) else {}
        return self.trained._replace(**{**changes, **widths})  # type: ignore[arg-type]


def measure(preset: Preset) -> Finding:
    """Mean accuracy over shifted conditions, over the seeds of every arm."""
    conditions = {"as trained": preset.trained}
    conditions |= {name: preset.shifted(changes) for name, changes in preset.shifts.items()}
    trained = {arm: best_runs(arm, preset) for arm in ARMS}
    scores: Scores = {arm: scores_of(trained[arm], preset, list(conditions.values())) for arm in ARMS}
    checks = comparisons(scores)
    checks += [reported(f"{arm}: activation", runs.rule.activation) for arm, runs in trained.items()]
    for place, name in enumerate(conditions):
        checks += [reported(f"{arm}: {name}", words(values[:, place])) for arm, values in scores.items()]
    return Finding(checks, draw(scores, list(conditions)))


class Runs(NamedTuple):
    """Meta-training of one rule, under several seeds."""

    rule: blur.Bidirectional
    results: list[MetaTrainResult]

    @property
    def fitness(self) -> float:
        """The fitness on validation episodes, as a mean over seeds."""
        return float(np.mean([result.fitness for result in self.results]))


def best_runs(arm: Normalise, preset: Preset) -> Runs:
    """The runs with the arm's best activation on validation."""
    rules = [
        blur.Bidirectional(hidden=(preset.width,), normalise=arm, activation=activation)
        for activation in preset.activations
    ]
    runs = [Runs(rule, meta_train_seeds(preset.setting(rule), preset.training, preset.seeds)) for rule in rules]
    return min(runs, key=lambda each: each.fitness)


def scores_of(runs: Runs, preset: Preset, conditions: list[Condition]) -> Float[np.ndarray, "seeds conditions"]:
    """Test accuracies of the genomes of one arm."""
    genomes = [result.genome for result in runs.results]
    tests = [curves_on_test(preset, runs.rule, genomes, condition, preset.episodes) for condition in conditions]
    return np.array([[mean_curve(curves)[-1] for curves in test] for test in tests]).T


def comparisons(scores: Scores) -> list[Check]:
    """Expects `both` to generalise better than either other arm; a seed's score is its mean over shifts."""
    means = {arm: values[:, 1:].mean(axis=1) for arm, values in scores.items()}
    both = means["both"]
    checks = []
    for other in ("none", "forward"):
        name = f"mean over shifts and seeds: both − {other}"
        note = f"both {words(both)}, {other} {words(means[other])}"
        checks.append(above(name, both.mean() - means[other].mean(), 0.0, note))
        checks.append(reported(f"worst seed of both − best seed of {other}", float(both.min() - means[other].max())))
    return checks


def words(values: Float[np.ndarray, "seeds"]) -> str:
    """Mean and range over seeds."""
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


def draw(scores: Scores, conditions: list[str]) -> Figure:
    """A point per seed and condition, a bar at the mean."""
    figure, (axes,) = panels(["Test accuracy by what is normalised; a point per seed of meta-training"], height=4.5)
    figure.set_figwidth(1.6 * len(conditions) + 2)
    for index, (arm, values) in enumerate(scores.items()):
        places = np.arange(len(conditions)) + (index - 1) * 0.22
        axes.plot(np.repeat(places, len(values)), values.T.ravel(), "o", color=f"C{index}", alpha=0.6, markersize=5)
        axes.plot(places, values.mean(axis=0), "_", color=f"C{index}", markersize=18, markeredgewidth=3, label=arm)
    axes.set(xticks=range(len(conditions)), xticklabels=conditions, ylim=(0, 1), ylabel="test accuracy")
    axes.legend()
    return figure


CLAIM = Claim(
    id="B8",
    statement="Normalising activations of the forward and of the backward sweep is what makes a genome generalise",
    source=f"{SOURCE}, §3",
    measure=measure,
    quick=Preset(training=MetaTraining(meta_steps=500, candidates=1, learning_rate=2e-2), episodes=40),
    full=Preset(training=MetaTraining(meta_steps=4000, candidates=1, learning_rate=2e-2), seeds=6),
)
