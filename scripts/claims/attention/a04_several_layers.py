"""A4: trained stacks of linear attention beat gradient descent and match GD++."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from harness.claim import Check, Claim, Finding, at_most, reported, timed
from harness.figures import panels, smooth
from matplotlib.axes import Axes

from attention.common import (
    ATTENTION,
    CONTEXT,
    FULL_RECIPES,
    ONE_STEP_LOSS,
    RECIPES,
    SOURCE,
    TASK,
    TEST_KEY,
    Training,
    steps_in_weights,
    steps_until,
    train,
    tuned_descent,
    tuned_plus_plus,
)
from blur.core.rule import Genome
from blur.identify.likeness import likeness
from blur.identify.probes import Learners, draw_tasks, losses_by_layer, losses_of

PUBLISHED = {2: (0.15883, 0.11158, 0.11312), 5: (0.10961, 0.06539, 0.06783)}
"""Losses of gradient descent, GD++ and the trained model, measured with the authors' code on their own test tasks."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """Training by number of layers, test tasks, and the limit of seconds by number of layers."""

    recipes: dict[int, Training]
    tasks: int
    seconds: dict[int, float] = dataclasses.field(default_factory=dict)


def measure_depth(layers: int, preset: Preset, axes: tuple[Axes, Axes]) -> list[Check]:
    """Trains and compares learners of one depth, and draws their curves."""
    start = time.perf_counter()
    trained, count = train(ATTENTION, preset.recipes[layers]), preset.tasks
    learners: Learners = {
        "GD": tuned_descent(layers),
        "GD++": tuned_plus_plus(layers),
        "trained": trained.learner,
    }
    losses = {
        name: float(values.mean())
        for name, values in losses_of(learners, TASK, TEST_KEY, count, context=CONTEXT, steps=layers).items()
    }
    drawn = draw_tasks(TASK, TEST_KEY, min(count, 4000), context=CONTEXT, steps=layers)
    alike = likeness(learners["trained"], learners["GD++"], drawn)
    curve = smooth(trained.losses)
    steps = np.linspace(0, len(trained.losses), len(curve))
    axes[0].plot(steps, curve, label=f"{layers} layers, {trained.seconds:.0f} s")
    for (name, (rule, genome)), style in zip(learners.items(), (":", "--", "-"), strict=True):
        by_layer = np.asarray(losses_by_layer(rule, genome, drawn)).mean(0)
        axes[1].plot(range(1, layers + 1), by_layer, style, marker=".", label=f"{name}, {layers} layers")
    published = PUBLISHED[layers]
    words = steps_in_words(learners["GD++"][1], trained.genome)
    return [
        reported(f"L={layers}: loss of tuned GD", losses["GD"], f"{published[0]} (published code)"),
        reported(f"L={layers}: loss of tuned GD++", losses["GD++"], f"{published[1]} (published code)"),
        reported(f"L={layers}: loss of the trained model", losses["trained"], f"{published[2]} (published code)"),
        reported(f"L={layers}: η and γ of tuned GD++", *words),
        at_most(f"L={layers}: trained / GD++", losses["trained"] / losses["GD++"], 1.05),
        at_most(f"L={layers}: trained / GD", losses["trained"] / losses["GD"], 0.8),
        reported(
            f"L={layers}: cosine of sensitivities to GD++", alike.cosine, "0.997 at 2, 0.996 at 5 (published code)"
        ),
        reported(f"L={layers}: prediction difference to GD++", alike.prediction_difference),
        reported(
            f"L={layers}: meta-steps until the loss is below one step's", steps_until(trained.losses, ONE_STEP_LOSS)
        ),
        timed(f"L={layers}: seconds, with training", time.perf_counter() - start, preset.seconds.get(layers)),
    ]


def steps_in_words(descent: Genome, trained: Genome) -> tuple[str, str]:
    """η and γ of GD++, and η and γ in the trained weights."""
    size, shrinkage = steps_in_weights(trained)
    found = f"{float(descent['step_size']):.2f}, {float(descent['shrinkage']):.3f}"
    return found, f"{size:.2f}, {shrinkage:.3f} in the trained weights"


def measure(preset: Preset) -> Finding:
    """Every depth of the preset."""
    figure, axes = panels(["Loss while training", "Loss after each layer, 4,000 test tasks"])
    checks = []
    for layers in preset.recipes:
        checks += measure_depth(layers, preset, (axes[0], axes[1]))
    axes[0].set(xlabel="meta-steps", ylim=(0.04, 0.3))
    axes[1].set(xlabel="layer", yscale="log", xticks=range(1, 6))
    for one in axes:
        one.legend(fontsize=7)
    return Finding(checks, figure)


CLAIM = Claim(
    id="A4",
    statement="Trained stacks of 2 and 5 tied layers beat gradient descent and match GD++",
    source=f"{SOURCE}, §3 and Fig. 3",
    measure=measure,
    quick=Preset({layers: RECIPES[layers] for layers in (2, 5)}, tasks=100_000, seconds={2: 300, 5: 900}),
    full=Preset({layers: FULL_RECIPES[layers] for layers in (2, 5)}, tasks=1_000_000),
)
