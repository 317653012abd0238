"""A8: from unpaired tokens, a two-layer model learns to copy what belongs together, then descends."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from claim import Claim, Finding, at_least, at_most, main, reported
from in_context import CONTEXT, INPUTS, SOURCE, TASK, TEST_KEY, Training, attention, panels, smooth, train

from blur.evaluation.in_context import copy_sensitivities, draw_tasks, losses_of
from blur.rules.transformer import Attend, Transformer

RULE = Transformer(
    INPUTS, 1, (Attend("softmax", initial_scale=0.3), Attend(initial_scale=0.3)), tokens="alternating", positions=10
)
RECIPE = Training(5000, tasks=512, rate=3e-3)


LARGE = 5.0
"""A sensitivity to the paired token that many times that to others counts as copying."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """Training, and test tasks for losses and for sensitivities."""

    training: Training
    tasks: int
    sensitivity_tasks: int


def paired_over_others(sizes: np.ndarray, first: int) -> tuple[float, float]:
    """Mean sensitivity of tokens `first`, `first + 2`, … to the other token of their pair, and to all other pairs'."""
    tokens = np.arange(first, len(sizes), 2)
    paired = sizes[tokens, tokens ^ 1]
    others = sizes[tokens].sum(1) - sizes[tokens, tokens] - paired
    return float(paired.mean()), float(others.mean() / (len(sizes) - 2))


def measure(preset: Preset) -> Finding:
    """Trains on unpaired tokens, compares with the model of paired ones, and looks at what the first layer copies."""
    trained = train(RULE, preset.training)
    learners = {"unpaired": trained.learner, "paired": attention(1, retrain=False)}
    losses = {
        name: float(values.mean())
        for name, values in losses_of(learners, TASK, TEST_KEY, preset.tasks, context=CONTEXT, layers=1).items()
    }
    drawn = draw_tasks(TASK, TEST_KEY, preset.sensitivity_tasks, context=CONTEXT, layers=1)
    sizes = np.asarray(copy_sensitivities(RULE, trained.genome, drawn))
    untrained = np.asarray(copy_sensitivities(RULE, RULE.init_genome(jax.random.key(1)), drawn))
    checks = [
        reported("loss of one layer on paired tokens", losses["paired"], "0.2047 is the published line"),
        reported("loss of two layers on unpaired tokens", losses["unpaired"]),
        at_most("unpaired / paired", losses["unpaired"] / losses["paired"], 1.05),
    ]
    totals = np.zeros(2)
    for name, first in (("x to its y", 0), ("y to its x", 1)):
        paired, others = paired_over_others(sizes, first)
        before = paired_over_others(untrained, first)
        totals += paired, others
        copied = "copied" if paired >= LARGE * others else "not copied; one way is enough to descend"
        checks.append(reported(f"sensitivity of {name} / to a token of another pair", paired / others, copied))
        checks.append(reported(f"the same before training ({name})", before[0] / before[1]))
    checks.append(at_least("all tokens: to the paired token / to one of another pair", totals[0] / totals[1], LARGE))
    checks.append(reported("seconds of training", trained.seconds))
    figure, (curve, image) = panels(["Loss while training", "‖∂t_k/∂e_j‖ in the first layer, without own"])
    curve.plot(smooth(trained.losses))
    curve.axhline(losses["paired"], color="black", linewidth=0.8, label="paired tokens, one layer")
    curve.set(xlabel="meta-steps")
    curve.legend(fontsize=8)
    shown = image.imshow(sizes * (1 - np.eye(len(sizes))), cmap="Purples")
    image.grid(False)
    image.set(xlabel="token j: x₁, y₁, x₂, …", ylabel="token k")
    figure.colorbar(shown, ax=image, shrink=0.8)
    return Finding(checks, figure)


CLAIM = Claim(
    id="A8",
    statement="From unpaired tokens x₁, y₁, x₂, … a two-layer model learns to copy paired tokens together, then does "
    "as well as one layer on paired tokens",
    source=f"{SOURCE}, §5 and Fig. 5",
    measure=measure,
    quick=Preset(RECIPE, tasks=40_000, sensitivity_tasks=200),
    full=Preset(Training(20_000, tasks=2048, rate=3e-3), tasks=400_000, sensitivity_tasks=1000),
)

if __name__ == "__main__":
    main(CLAIM)
