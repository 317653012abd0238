"""B3: from random genomes, meta-training by gradient and by CMA-ES finds rules that learn MNIST."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from harness.claim import Check, Claim, Finding, above, reported
from harness.figures import panels, smooth
from matplotlib.axes import Axes

import blur
from blur.evaluation.plan import Learner
from blur.meta import MetaTraining, MetaTrainResult
from blur.support.figures import literal
from learned_rules.common import SOURCE, Group, LearningPreset, baselines_in, compare, meta_train_seeds, score, scores

LEARNED = 0.5
"""A rule with a higher test accuracy has learned; chance is 0.1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(LearningPreset):
    """Ways of meta-training by name, and the number of seeds of each. A seed starts from one random genome."""

    ways: Mapping[str, MetaTraining]
    seeds: int


def measure(preset: Preset) -> Finding:
    """Meta-trains every seed of every way, and compares all genomes on the same test episodes."""
    rule = blur.Bidirectional(hidden=(preset.width,))
    setting = preset.setting(rule)
    runs = {way: meta_train_seeds(setting, config, preset.seeds) for way, config in preset.ways.items()}
    learners = [
        Learner(f"{way}, seed {seed}", rule, result.genome)
        for way, results in runs.items()
        for seed, result in enumerate(results)
    ]
    (group,) = compare(preset, learners, [preset.plan()])
    figure, (curves, points) = panels(["Accuracy while meta-training", "Test accuracy of every seed"])
    draw_runs(curves, runs)
    draw_scores(points, runs, group)
    return Finding([check for way in runs for check in of_way(way, group, preset)], figure)


def of_way(way: str, group: Group, preset: Preset) -> list[Check]:
    """The mean over seeds against tuned SGD, and the number of seeds that learned."""
    own = scores_of(way, group)
    sgd = score(group["sgd"])
    seeds = f"of {preset.seeds} seeds"
    return [
        above(f"{way}: mean over seeds − sgd", own.mean() - sgd, 0.0, f"{own.mean():.3f}, sgd {sgd:.3f}"),
        reported(f"{way}: accuracy by seed", ", ".join(f"{value:.3f}" for value in own)),
        reported(f"{way}: seeds above {LEARNED}", f"{np.sum(own > LEARNED)} {seeds}"),
        *(
            reported(f"{way}: seeds above {other.learner}", f"{np.sum(own > score(other))} {seeds}", scores(other))
            for other in baselines_in(group)
        ),
    ]


def scores_of(way: str, group: Group) -> np.ndarray:
    """Test accuracies of all seeds of a way."""
    return np.array([score(record) for name, record in group.items() if name.startswith(f"{way}, seed ")])


def draw_runs(axes: Axes, runs: Mapping[str, list[MetaTrainResult]]) -> None:
    """Accuracy over the course of meta-training, one colour per way."""
    for index, (way, results) in enumerate(runs.items()):
        for seed, result in enumerate(results):
            values = smooth(result.history["accuracy"][:, 0])
            share = np.linspace(0, 1, len(values))
            axes.plot(share, values, color=f"C{index}", alpha=0.6, linewidth=1, label=way if seed == 0 else None)
    lengths = ", ".join(f"{len(results[0].history['meta_step']):,} of {way}" for way, results in runs.items())
    axes.set(xlabel=f"share of the meta-steps ({lengths})", ylim=(0, 1))
    axes.legend(fontsize=8)


def draw_scores(axes: Axes, runs: Mapping[str, object], group: Group) -> None:
    """A point per seed, a line per baseline."""
    for index, way in enumerate(runs):
        scores = scores_of(way, group)
        axes.plot(np.full(len(scores), index), scores, "o", color=f"C{index}", alpha=0.7)
    for record in baselines_in(group):
        style = "-" if "+bn" in record.learner else "--"
        axes.axhline(score(record), color="0.5", linestyle=style, linewidth=1)
        axes.annotate(literal(record.learner), (len(runs) - 0.6, score(record)), fontsize=7, va="bottom")
    axes.set(xticks=range(len(runs)), xticklabels=list(runs), xlim=(-0.5, len(runs)), ylim=(0, 1))


CLAIM = Claim(
    id="B3",
    statement="From random genomes, gradient meta-training finds rules that learn MNIST; so does CMA-ES",
    source=f"{SOURCE}, §4",
    measure=measure,
    quick=Preset(
        baselines=("sgd",),
        seeds=3,
        ways={
            "gradient": MetaTraining(meta_steps=800, candidates=1, learning_rate=2e-2),
            "CMA-ES": MetaTraining(outer="CMA_ES", meta_steps=500, population=32),
        },
    ),
    full=Preset(
        seeds=10,
        ways={
            "gradient": MetaTraining(meta_steps=4000, candidates=1, learning_rate=2e-2),
            "CMA-ES": MetaTraining(outer="CMA_ES", meta_steps=4000, population=64, episodes=2),
        },
    ),
)
