"""A8: from unpaired tokens, a two-layer model learns to copy paired tokens together, then descends.

The published measure is a mean, over all tokens, of the sensitivity to the *next* token. For an x the next token is its
own y, but for a y it is the x of the next pair. Here both cases are measured apart. A head that scores positions alone
copies with one offset for all tokens, so a head that gives every x its y also gives every y the x of another pair.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from harness.claim import Check, Claim, Finding, at_least, at_most, reported
from harness.figures import panels, smooth
from matplotlib.figure import Figure

from attention.common import CONTEXT, INPUTS, SOURCE, TASK, TEST_KEY, Trained, Training, attention, train
from blur.identify.probes import draw_tasks, losses_of
from blur.rules.in_context.inspection import copy_sensitivities
from blur.rules.in_context.transformer import Attend, Transformer

RULE = Transformer(
    INPUTS, 1, (Attend("softmax", initial_scale=0.3), Attend(initial_scale=0.3)), tokens="alternating", positions=10
)
RECIPE = Training(5000, tasks=512, rate=3e-3)


LARGE = 5.0
"""Copying is a sensitivity of at least so many times the sensitivity to the other tokens, without the own one."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """Training, whether the model of paired tokens is trained now, and test tasks for losses and for sensitivities."""

    training: Training
    retrain: bool
    tasks: int
    sensitivity_tasks: int


def over_others(sizes: np.ndarray, offset: int, *, first: int = 0, stride: int = 2) -> float:
    """Sensitivity of tokens `first`, `first + stride`, … to the token `offset` places on / that to all others."""
    tokens = np.array([k for k in range(first, len(sizes), stride) if 0 <= k + offset < len(sizes)])
    wanted = sizes[tokens, tokens + offset]
    others = sizes[tokens].sum(1) - sizes[tokens, tokens] - wanted
    return float(wanted.mean() / (others.mean() / (len(sizes) - 2)))


def copying(sizes: np.ndarray, untrained: np.ndarray) -> list[Check]:
    """Both directions of the claim, the published measure, and the copying of a y to the next pair's x."""
    checks = []
    for name, offset, first in (("x to its y", 1, 0), ("y to its x", -1, 1)):
        ratio = over_others(sizes, offset, first=first)
        checks.append(at_least(f"sensitivity of {name} / to other tokens", ratio, LARGE))
        before = over_others(untrained, offset, first=first)
        checks.append(reported(f"the same before training ({name})", before))
    return [
        *checks,
        at_least("of any token to the next / to other tokens (published)", over_others(sizes, 1, stride=1), LARGE),
        reported("of y to the next pair's x / to other tokens", over_others(sizes, 1, first=1)),
    ]


def measure(preset: Preset) -> Finding:
    """Trains on unpaired tokens, compares with the model of paired tokens, and measures the first layer's copying."""
    trained = train(RULE, preset.training)
    learners = {"unpaired": trained.learner, "paired": attention(1, retrain=preset.retrain)}
    losses = {
        name: float(values.mean())
        for name, values in losses_of(learners, TASK, TEST_KEY, preset.tasks, context=CONTEXT, steps=1).items()
    }
    drawn = draw_tasks(TASK, TEST_KEY, preset.sensitivity_tasks, context=CONTEXT, steps=1)
    sizes = np.asarray(copy_sensitivities(RULE, trained.genome, drawn))
    untrained = np.asarray(copy_sensitivities(RULE, RULE.init_genome(jax.random.key(1)), drawn))
    checks = [
        reported("loss of one layer on paired tokens", losses["paired"], "0.2047 is the published line"),
        reported("loss of two layers on unpaired tokens", losses["unpaired"]),
        at_most("unpaired / paired", losses["unpaired"] / losses["paired"], 1.05),
        *copying(sizes, untrained),
        reported("seconds of training", trained.seconds),
    ]
    return Finding(checks, picture(trained, losses["paired"], sizes))


def picture(trained: Trained, paired: float, sizes: np.ndarray) -> Figure:
    """Losses while training, and sensitivities token by token."""
    figure, (curve, image) = panels(["Loss while training", "‖∂t_k/∂e_j‖ in the first layer, without own"])
    curve.plot(smooth(trained.losses))
    curve.axhline(paired, color="black", linewidth=0.8, label="paired tokens, one layer")
    curve.set(xlabel="meta-steps")
    curve.legend(fontsize=8)
    shown = image.imshow(sizes * (1 - np.eye(len(sizes))), cmap="Purples")
    image.grid(False)
    image.set(xlabel="token j: x₁, y₁, x₂, …", ylabel="token k")
    figure.colorbar(shown, ax=image, shrink=0.8)
    return figure


CLAIM = Claim(
    id="A8",
    statement="From unpaired tokens x₁, y₁, x₂, … a two-layer model learns to copy paired tokens together, to an x "
    "its y and to a y its x, then does as well as one layer on paired tokens",
    source=f"{SOURCE}, §5 and Fig. 5",
    measure=measure,
    quick=Preset(RECIPE, retrain=False, tasks=40_000, sensitivity_tasks=200),
    full=Preset(Training(20_000, tasks=2048, rate=3e-3), retrain=True, tasks=400_000, sensitivity_tasks=1000),
)
