"""B7: a genome meta-trained on MNIST works on other data sets, and with more steps than in its training."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
from harness.claim import Check, Claim, Finding, at_least, reported
from harness.figures import panels
from jaxtyping import Float
from matplotlib.figure import Figure

import blur
from blur.data.array_cache import cached_file
from blur.evaluation.plan import Condition, EvaluationPlan, Learner, read_learner
from blur.reports.figures import LEARNER_COLOURS, OPTIMIZER_COLOURS, OTHER_COLOUR
from blur.support.figures import literal
from learned_rules.common import (
    SOURCE,
    Group,
    LearningPreset,
    baselines_in,
    best_baseline,
    compare,
    curve_of,
    curves_on_test,
    margin,
    mean_curve,
    not_below,
    score,
    sides,
)

COLLAPSE = 0.02
"""The largest loss of accuracy from the trained number of steps to any later step."""

BEYOND = 4
"""The length of the test for collapse, in multiples of the trained number of steps."""

Images = tuple[str, int | None]
"""A data set and the side of its images; None for their own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(LearningPreset):
    """A genome and its tests.

    Attributes:
      genome: its name or file.
      data: data sets with resolutions.
      optional_data: data sets that are left out if they are not prepared.
      lives: numbers of inner steps; the first is that of the training.
    """

    genome: str = "mnist-k4-deep"
    data: tuple[Images, ...] = (("mnist", 10), ("fashion_mnist", 10), ("fashion_mnist", 28), ("digits", None))
    optional_data: tuple[Images, ...] = (("emnist/letters", 10),)
    lives: tuple[int, ...]


def measure(preset: Preset) -> Finding:
    """Tests all data sets and numbers of steps. Verdicts are about the first number, and about later steps."""
    learner = read_learner(preset.genome)
    trained = blur.load_genome(preset.genome).steps
    there = [images for images in preset.optional_data if is_prepared(images[0], preset.data_dir)]
    plans = [plan_on(preset, *images) for images in (*preset.data, *there)]
    groups = compare(preset, [learner], plans)
    by_data = [groups[start : start + len(preset.lives)] for start in range(0, len(groups), len(preset.lives))]
    checks = [check for on_data in by_data for check in of_data(on_data, learner.name)]
    if trained is not None:
        checks += [beyond(preset, learner, on_data[0][learner.name].condition, trained) for on_data in by_data]
    absent = [name for name, _ in preset.optional_data if name not in [found for found, _ in there]]
    checks += [reported(f"{name}: left out", "not prepared here") for name in absent]
    return Finding(checks, draw(by_data, learner.name, trained))


def plan_on(preset: Preset, task: str, resolution: int | None) -> EvaluationPlan:
    """The evaluation on one data set."""
    return preset.plan(tasks=(task,), resolutions=sides(resolution), steps=preset.lives)


def of_data(groups: list[Group], name: str) -> list[Check]:
    """The checks on one data set: verdicts at the first number of steps, margins at the others."""
    return not_below(groups[0], name) + [margin(group[name], best_baseline(group)) for group in groups[1:]]


def beyond(preset: Preset, learner: Learner, condition: Condition, trained: int) -> Check:
    """Expects that accuracy falls by at most `COLLAPSE` after the trained number of steps."""
    condition = condition._replace(steps=BEYOND * trained)
    (curves,) = curves_on_test(preset, learner.rule, [learner.genome], condition, preset.episodes)
    place = f"{condition.network_and_data}, T={condition.steps}"
    name = f"{place}: lowest accuracy after the trained {trained} steps − that at {trained}"
    return at_least(name, loss_beyond(mean_curve(curves), trained), -COLLAPSE)


def loss_beyond(curve: Float[np.ndarray, "steps"], trained: int) -> float:
    """The lowest accuracy after a step − the accuracy at that step."""
    return float(curve[trained:].min() - curve[trained - 1])


def is_prepared(name: str, data_dir: str | None) -> bool:
    """Whether a data set needs no download: it is in the cache, or tensorflow-datasets has prepared it."""
    own = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    folders = [Path(folder).expanduser() / name for folder in (data_dir, own) if folder]
    return cached_file(name).is_file() or any(folder.is_dir() for folder in folders)


def draw(by_data: list[list[Group]], name: str, trained: int | None) -> Figure:
    """The genome's longest curve on every data set, and the final accuracies of baselines by number of steps."""
    records = [group[name] for groups in by_data for group in groups]
    titles = list(dict.fromkeys(record.condition.network_and_data for record in records))
    figure, axes = panels(titles, columns=min(2, len(titles)))
    for one, groups in zip(axes, by_data, strict=True):
        longest = max((group[name] for group in groups), key=lambda record: record.steps)
        one.plot(range(1, longest.steps + 1), curve_of(longest), color=LEARNER_COLOURS[0], linewidth=2.6, label=name)
        for first in baselines_in(groups[0]):
            ends = [group[first.learner] for group in groups]
            colour = OPTIMIZER_COLOURS.get(first.learner.split("+")[0], OTHER_COLOUR)
            style = "o-" if "+bn" in first.learner else "o--"
            label = f"{literal(first.learner)}, tuned for each length"
            one.plot([end.steps for end in ends], [score(end) for end in ends], style, color=colour, label=label)
        if trained is not None:
            one.axvline(trained, color="0.6", linewidth=1)
        one.set(xlabel="inner steps (vertical: the trained number)", ylabel="test accuracy")
        if longest.steps > 20:
            one.set_xscale("log")
        one.legend(fontsize=7)
    return figure


CLAIM = Claim(
    id="B7",
    statement="A genome meta-trained on MNIST 10×10 alone works on other data sets, at least as well as tuned SGD, and "
    "does not collapse beyond the trained number of steps",
    source=f"{SOURCE}, §4",
    measure=measure,
    quick=Preset(baselines=("sgd", "adam"), episodes=50, lives=(10, 50)),
    full=Preset(lives=(10, 20, 50, 200)),
)
