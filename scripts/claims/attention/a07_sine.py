"""A7: a perceptron and a layer of linear attention solve sine regression as gradient descent on features does.

Two things differ from the published experiment. The baseline's step size is learned with its features; it was 0.01. The
inputs x ~ U(−5, 5) are rescaled to U(−√3, √3), which has variance 1.
"""

from __future__ import annotations

import dataclasses
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from harness.claim import Claim, Finding, at_most, reported
from harness.figures import panels, smooth

from attention.common import CONTEXT, SOURCE, TEST_KEY, Trained, Training, train
from blur.core.episode import Batch, Episode
from blur.core.inner_loop import train_on
from blur.identify.likeness import likeness
from blur.identify.probes import draw_tasks, half_squared_errors, predictions
from blur.rules.in_context.transformer import Attend, Descend, Embed, Perceptron, Transformer
from blur.tasks import Sine

TASK = Sine(fixed_support=True, low=0.1, high=0.5)
"""Amplitudes as published. Amplitude and phase are independent here, so the family is larger."""

FEATURES = (Embed(40), Perceptron(160))
ATTENTION = Transformer(1, 1, (*FEATURES, Attend(initial_scale=0.3)))
DESCENT = Transformer(1, 1, (*FEATURES, Descend()))


RECIPE = Training(4000, tasks=256, rate=1e-2)


@dataclasses.dataclass(frozen=True)
class Preset:
    """Training of both models, and test tasks."""

    training: Training
    tasks: int


def measure(preset: Preset) -> Finding:
    """Trains both models and compares them on the same tasks."""
    models = {
        "attention": train(ATTENTION, preset.training, task=TASK),
        "gradient descent": train(DESCENT, preset.training, task=TASK),
    }
    drawn = draw_tasks(TASK, TEST_KEY, preset.tasks, context=CONTEXT, steps=1)
    losses = {
        name: float(half_squared_errors(predictions(*model.learner, drawn), drawn).mean())
        for name, model in models.items()
    }
    zero = float(half_squared_errors(jnp.zeros_like(drawn.query.targets), drawn).mean())
    alike = likeness(models["attention"].learner, models["gradient descent"].learner, drawn)
    ratio = losses["attention"] / losses["gradient descent"]
    checks = [
        reported("loss of a prediction of zero", zero),
        reported("loss of features + gradient descent", losses["gradient descent"]),
        reported("loss of features + linear attention", losses["attention"]),
        at_most("|log₁₀(attention / gradient descent)|", abs(float(np.log10(ratio))), 0.1),
        at_most("attention / zero", losses["attention"] / zero, 0.1),
        reported("cosine of sensitivities (agreement of signs)", alike.cosine),
        reported("prediction difference", alike.prediction_difference),
        reported("seconds of training, both", sum(model.seconds for model in models.values())),
    ]
    return Finding(checks, picture(models, drawn))


def picture(models: dict[str, Trained], drawn: Episode):
    """Losses while training, and predictions on two tasks."""
    figure, (curves, *tasks) = panels(["Loss while training", "A test task", "Another"])
    grid = jnp.linspace(-np.sqrt(3), np.sqrt(3), 200)[:, None]
    for name, model in models.items():
        losses = smooth(model.losses)
        curves.plot(losses, label=f"features + {name}, {model.seconds:.0f} s")
        for index, axes in enumerate(tasks):
            episode = jax.tree.map(lambda leaf, index=index: leaf[index], drawn)
            state = train_on(model.rule, model.genome, jax.random.key(0), episode)
            axes.plot(grid, model.rule.predict(model.genome, state, grid), label=name)
    context = cast(Batch, drawn.support)
    for index, axes in enumerate(tasks):
        axes.plot(context.inputs[index], context.targets[index], "k.", label="context")
        axes.set(xlabel="x")
        axes.legend(fontsize=8)
    curves.set(xlabel="meta-steps", yscale="log")
    curves.legend(fontsize=8)
    return figure


CLAIM = Claim(
    id="A7",
    statement="A perceptron and one layer of linear attention solve sine regression as well as gradient descent on "
    "learned features does",
    source=f"{SOURCE}, §4 and Fig. 4",
    measure=measure,
    quick=Preset(RECIPE, tasks=10_000),
    full=Preset(Training(20_000, tasks=2048, rate=1e-2), tasks=100_000),
)
