"""A9: two heads of softmax attention linearise themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
from harness.claim import Check, Claim, Finding, at_most, reported
from harness.figures import panels, smooth
from matplotlib.figure import Figure

from attention.common import (
    CONTEXT,
    INPUTS,
    ONE_STEP_LOSS,
    SOURCE,
    TASK,
    TEST_KEY,
    Trained,
    Training,
    interval_of_mean,
    train,
    tuned_descent,
)
from blur.identify.likeness import likeness
from blur.identify.probes import draw_tasks, half_squared_errors, predictions
from blur.rules.in_context.transformer import Attend, Transformer

RULES = {
    f"{heads} head{'s' * (heads > 1)}": Transformer(INPUTS, 1, (Attend("softmax", heads=heads, initial_scale=0.3),))
    for heads in (1, 2)
}
RECIPE = Training(2000, tasks=1024)

CLOSE = 0.1
"""A step of gradient descent approximates predictions if its error is at most this share of their mean square."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """Training of both models, and test tasks."""

    training: Training
    tasks: int


def approximation_errors(outputs: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(f − g)² / E f² of every task: the error of a step g of gradient descent as an approximation of the model f.

    A step from W = 0 is linear in its size, so g is the tuned step times the factor with the least error.
    """
    factor = np.sum(outputs * steps) / np.sum(steps**2)
    return (outputs - factor * steps) ** 2 / np.mean(outputs**2)


def measure(preset: Preset) -> Finding:
    """Approximates the predictions of both models by a step of gradient descent, on the same tasks."""
    models = {name: train(rule, preset.training) for name, rule in RULES.items()}
    descent = tuned_descent(1)
    drawn = draw_tasks(TASK, TEST_KEY, preset.tasks, context=CONTEXT, steps=1)
    steps = np.asarray(predictions(*descent, drawn))[:, 0, 0]
    outputs = {name: np.asarray(predictions(*model.learner, drawn))[:, 0, 0] for name, model in models.items()}
    errors = {name: approximation_errors(values, steps) for name, values in outputs.items()}
    intervals = {name: interval_of_mean(values) for name, values in errors.items()}
    checks: list[Check] = []
    for name, model in models.items():
        loss = half_squared_errors(predictions(*model.learner, drawn), drawn).mean()
        interval = "{:.4f} to {:.4f}".format(*intervals[name])
        checks += [
            reported(f"{name}: loss", float(loss), f"{ONE_STEP_LOSS:.6f} is one step's"),
            reported(f"{name}: error of the nearest step, of E f²", errors[name].mean()),
            reported(f"{name}: that error's 95 % interval", interval),
            reported(f"{name}: E (f − tuned step)²", float(np.mean((outputs[name] - steps) ** 2))),
            reported(f"{name}: cosine of sensitivities", likeness(model.learner, descent, drawn).cosine),
        ]
    difference = interval_of_mean(errors["2 heads"] - errors["1 head"])
    highest = float(intervals["2 heads"].high)
    checks += [
        at_most("2 heads: error of the nearest step, upper end of its 95 % interval", highest, CLOSE),
        at_most("2 heads' error − 1 head's: upper end of its 95 % interval", float(difference.high), 0.0),
        reported("seconds of training, both", sum(model.seconds for model in models.values())),
    ]
    return Finding(checks, picture(models, steps, outputs))


def picture(models: dict[str, Trained], steps: np.ndarray, outputs: dict[str, np.ndarray]) -> Figure:
    """Losses while training, and predictions task by task."""
    figure, (curves, *scatters) = panels(["Loss while training", "1 head against one step", "2 heads against one step"])
    for (name, model), axes in zip(models.items(), scatters, strict=True):
        curves.plot(smooth(model.losses), label=name)
        axes.plot(steps[:2000], outputs[name][:2000], ".", markersize=2)
        axes.axline((0, 0), slope=1, color="black", linewidth=0.8)
        axes.set(xlabel="prediction of gradient descent", ylabel="of softmax attention", xlim=(-2, 2), ylim=(-2, 2))
    curves.axhline(ONE_STEP_LOSS, color="black", linewidth=0.8, label="one step of gradient descent")
    curves.set(xlabel="meta-steps", ylim=(0.19, 0.45))
    curves.legend(fontsize=8)
    return figure


CLAIM = Claim(
    id="A9",
    statement="Softmax attention with two heads linearises itself to approximate a step of gradient descent; one head "
    "cannot",
    source=f"{SOURCE}, App. A.9",
    measure=measure,
    quick=Preset(RECIPE, tasks=20_000),
    full=Preset(Training(10_000), tasks=20_000),
)
