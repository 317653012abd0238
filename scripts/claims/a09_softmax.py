"""A9: two heads of softmax attention linearise themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
from claim import Check, Claim, Finding, at_most, main, reported
from in_context import (
    CONTEXT,
    INPUTS,
    ONE_STEP_LOSS,
    SOURCE,
    TASK,
    TEST_KEY,
    Training,
    panels,
    smooth,
    train,
    tuned_descent,
)

from blur.evaluation.in_context import draw_tasks, likeness, losses_of, predictions
from blur.evaluation.statistics import bootstrap_interval
from blur.rules.transformer import Attend, Transformer

RULES = {
    f"{heads} head{'s' * (heads > 1)}": Transformer(INPUTS, 1, (Attend("softmax", heads=heads, initial_scale=0.3),))
    for heads in (1, 2)
}


RECIPE = Training(2000, tasks=1024)


@dataclasses.dataclass(frozen=True)
class Preset:
    """Training of both models, and test tasks."""

    training: Training
    tasks: int


def measure(preset: Preset) -> Finding:
    """How far both models' predictions are from those of a tuned step of gradient descent, on the same tasks."""
    models = {name: train(rule, preset.training) for name, rule in RULES.items()}
    descent = tuned_descent(1)
    drawn = draw_tasks(TASK, TEST_KEY, preset.tasks, context=CONTEXT, layers=1)
    steps = np.asarray(predictions(*descent, drawn))
    outputs = {name: np.asarray(predictions(*model.learner, drawn)) for name, model in models.items()}
    errors = {name: ((values - steps) ** 2)[:, 0, 0] for name, values in outputs.items()}
    losses = losses_of(
        {name: model.learner for name, model in models.items()}, TASK, TEST_KEY, preset.tasks, context=CONTEXT, layers=1
    )
    interval = bootstrap_interval((errors["2 heads"] - errors["1 head"])[:4000])
    checks: list[Check] = []
    for name, model in models.items():
        alike = likeness(model.learner, descent, drawn)
        checks += [
            reported(f"{name}: loss", float(losses[name].mean()), f"{ONE_STEP_LOSS:.6f} is one step's"),
            reported(f"{name}: squared distance to the step of gradient descent", float(errors[name].mean())),
            reported(f"{name}: cosine of sensitivities", alike.cosine),
        ]
    checks += [
        at_most(
            "two heads' squared distance / one head's", float(errors["2 heads"].mean() / errors["1 head"].mean()), 1.0
        ),
        at_most("upper end of the 95 % interval of the paired difference", float(interval.high), 0.0),
        reported("seconds of training, both", sum(model.seconds for model in models.values())),
    ]
    figure, (curves, *scatters) = panels(["Loss while training", "1 head against one step", "2 heads against one step"])
    for (name, model), axes in zip(models.items(), scatters, strict=True):
        curves.plot(smooth(model.losses), label=name)
        axes.plot(steps[:2000, 0, 0], outputs[name][:2000, 0, 0], ".", markersize=2)
        axes.axline((0, 0), slope=1, color="black", linewidth=0.8)
        axes.set(xlabel="prediction of gradient descent", ylabel="of softmax attention", xlim=(-2, 2), ylim=(-2, 2))
    curves.axhline(ONE_STEP_LOSS, color="black", linewidth=0.8, label="one step of gradient descent")
    curves.set(xlabel="meta-steps", ylim=(0.19, 0.45))
    curves.legend(fontsize=8)
    return Finding(checks, figure)


CLAIM = Claim(
    id="A9",
    statement="Softmax attention with two heads linearises itself to approximate a step of gradient descent; one head "
    "cannot",
    source=f"{SOURCE}, App. A.9",
    measure=measure,
    quick=Preset(RECIPE, tasks=20_000),
    full=Preset(Training(10_000), tasks=20_000),
)

if __name__ == "__main__":
    main(CLAIM)
