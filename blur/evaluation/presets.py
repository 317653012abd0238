"""Named comparisons: plans that are evaluated one after the other into one table."""

from __future__ import annotations

from typing import NamedTuple

from blur.evaluation.plan import EvaluationPlan
from blur.tasks.boolean import FUNCTIONS


class Preset(NamedTuple):
    """A description in a few words, and the plans."""

    description: str
    plans: tuple[EvaluationPlan, ...]


def _plan(
    task: str = "mnist",
    *,
    resolution: tuple[int, ...] = (10,),
    hidden: tuple[int, ...] = (64,),
    depth: tuple[int, ...] = (1,),
    steps: tuple[int, ...] = (10,),
    batch_size: tuple[int, ...] = (128,),
) -> EvaluationPlan:
    """A plan whose baselines have the learners' width: rules are compared on equal networks."""
    return EvaluationPlan(
        tasks=(task,),
        resolutions=resolution,
        hidden=hidden,
        depths=depth,
        steps=steps,
        batch_sizes=batch_size,
        baseline_sizes=("width",),
    )


PRESETS: dict[str, Preset] = {
    "mnist": Preset("MNIST at 10×10 and 28×28", (_plan(resolution=(10, 28)),)),
    "depth": Preset("MNIST 10×10 with 1, 2, 4, 5 and 10 hidden layers", (_plan(depth=(1, 2, 4, 5, 10)),)),
    "horizon": Preset(
        "MNIST 10×10, 10, 50 and 200 steps, 1 and 4 hidden layers", (_plan(depth=(1, 4), steps=(10, 50, 200)),)
    ),
    "transfer": Preset(
        "Fashion-MNIST 28×28, 10 and 50 steps, and digits",
        (_plan("fashion_mnist", resolution=(28,), steps=(10, 50)), _plan("digits", resolution=())),
    ),
    "batch": Preset("MNIST 10×10, batches of 16, 128 and 512", (_plan(batch_size=(16, 128, 512)),)),
    "width": Preset("MNIST 10×10, hidden layers of 32, 64, 128 and 512", (_plan(hidden=(32, 64, 128, 512)),)),
    "boolean": Preset(
        f"{len(FUNCTIONS)} functions of the plane: xor, or, and, …",
        tuple(_plan(name, resolution=()) for name in FUNCTIONS),
    ),
    "zoo": Preset(
        "every axis for one genome: resolutions, data, depths, numbers of steps, batches and widths",
        (
            _plan(resolution=(10, 28)),
            _plan("fashion_mnist", resolution=(28,)),
            _plan(depth=(2, 4, 5, 10)),
            _plan(depth=(1, 4), steps=(50, 200)),
            _plan(resolution=(28,), steps=(50,)),
            _plan(batch_size=(16, 512)),
            _plan(hidden=(32, 128, 512)),
        ),
    ),
}
"""Presets by name: one hidden layer of 64 and 10 steps of 128 examples, unless the description says otherwise."""
