"""A6: out of distribution, trained attention fails as gradient descent does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from claim import Check, Claim, Finding, at_most, main, reported
from figures import panels
from in_context import ATTENTION, CONTEXT, INPUTS, SOURCE, TEST_KEY, attention, tuned_descent, tuned_plus_plus
from matplotlib.axes import Axes

from blur.evaluation.in_context import Learners, interpolate, losses_of
from blur.rules.constructed_attention import gradient_descent
from blur.tasks import InContextRegression

LIMIT = 0.05
"""Of |log₁₀(loss of the trained model / loss of gradient descent)|."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """Whether models are trained anew, test tasks per point, and points per curve."""

    retrain: bool
    tasks: int
    points: int


@dataclasses.dataclass(frozen=True)
class Shift:
    """A family of shifted tasks: what varies, over which values, how far the claim reaches, and the task at a value."""

    label: str
    values: tuple
    reach: float
    task: Callable[[Any], InContextRegression]


def shifts(points: int) -> list[Shift]:
    """Input scale, weight scale, other input laws, noisy labels."""
    inputs = tuple(np.linspace(0.5, 2.0, points).tolist())
    wide = tuple(np.linspace(0.5, 5.0, points).tolist())
    return [
        Shift("input scale", inputs, 1.0, lambda scale: InContextRegression(INPUTS, input_range=scale)),
        Shift("weight scale", wide, np.inf, lambda scale: InContextRegression(INPUTS, weight_scale=scale)),
        Shift(
            "Frobenius norm, other input laws",
            wide,
            1.0,
            lambda norm: InContextRegression(INPUTS, law="mixed", input_range=norm),
        ),
        Shift("noisy labels of 10", (0, 2, 4, 6, 8), np.inf, lambda k: InContextRegression(INPUTS, distractors=k)),
    ]


def measure_shift(
    shift: Shift, learners: Learners, layers: int, count: int, axes: Axes | None
) -> dict[str, np.ndarray]:
    """Mean loss of every learner over the family."""
    means: dict[str, list[float]] = {name: [] for name in learners}
    for value in shift.values:
        losses = losses_of(learners, shift.task(value), TEST_KEY, count, context=CONTEXT, layers=layers)
        for name in learners:
            means[name].append(float(losses[name].mean()))
    if axes is not None:
        for (name, values), width in zip(means.items(), (6, 3.5, 1.2), strict=True):  # they lie on each other
            axes.plot(shift.values, values, linewidth=width, label=name)
        axes.set(xlabel=shift.label, yscale="log")
        axes.legend(fontsize=8)
    return {name: np.array(values) for name, values in means.items()}


def measure(preset: Preset) -> Finding:
    """One layer against gradient descent, with a verdict; two layers against GD++, reported."""
    families = shifts(preset.points)
    figure, axes = panels([f"Loss against {shift.label}" for shift in families])
    descent = tuned_descent(1)
    trained = attention(1, retrain=preset.retrain)
    middle = interpolate(ATTENTION, trained[1], gradient_descent(ATTENTION, descent[1]["step_size"]))
    one: Learners = {"trained": trained, "GD": descent, "interpolated": (ATTENTION, middle)}
    two: Learners = {"trained": attention(2, retrain=preset.retrain), "GD++": tuned_plus_plus(2)}
    checks: list[Check] = []
    for shift, one_axes in zip(families, axes, strict=True):
        found = measure_shift(shift, one, 1, preset.tasks, one_axes)
        distance = np.abs(np.log10(found["trained"] / found["GD"]))
        inside = np.array(shift.values) <= shift.reach
        name = shift.label + (f" ≤ {shift.reach:g}" if np.isfinite(shift.reach) else "")
        checks.append(
            at_most(f"1 layer, {name}: largest |log₁₀ loss ratio| to GD", float(distance[inside].max()), LIMIT)
        )
        if not inside.all():
            checks.append(
                reported(f"1 layer, {shift.label} up to {shift.values[-1]:g}: the same", float(distance.max()))
            )
        deep = measure_shift(shift, two, 2, preset.tasks, None)
        apart = float(np.abs(np.log10(deep["trained"] / deep["GD++"]))[inside].max())
        checks.append(reported(f"2 layers, {name}: the same to GD++", apart))
    return Finding(checks, figure)


CLAIM = Claim(
    id="A6",
    statement="Out of distribution – input scale, weight scale, other input laws, noisy labels – trained attention and "
    "gradient descent fail alike",
    source=f"{SOURCE}, §3 and App. A.2, A.9",
    measure=measure,
    quick=Preset(retrain=False, tasks=10_000, points=10),
    full=Preset(retrain=True, tasks=20_000, points=40),
)

if __name__ == "__main__":
    main(CLAIM)
