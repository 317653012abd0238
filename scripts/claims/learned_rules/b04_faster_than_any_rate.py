"""B4: the genome learns faster than SGD with any rate and momentum, and than Adam, at its trained number of steps."""

from __future__ import annotations

import dataclasses

import numpy as np
from harness.claim import Check, Claim, Finding, reported
from harness.figures import panels
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from blur.evaluation.baselines import genome_of
from blur.evaluation.plan import read_learner
from blur.evaluation.records import EvaluationRecord
from learned_rules.common import (
    SOURCE,
    LearningPreset,
    baseline_of,
    baselines_in,
    clearly_above,
    compare,
    curve_of,
    curves_on_test,
    mean_curve,
    score,
    tuning_of,
)

GENOME_COLOUR = "#D55E00"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(LearningPreset):
    """The genome, a name or a file, and the number of test episodes for the curve of a grid point."""

    genome: str = "mnist-k4"
    grid_episodes: int


@dataclasses.dataclass(frozen=True)
class GridCurves:
    """Mean learning curves of all points of a baseline's grid, and their learning rates."""

    curves: Float[np.ndarray, "points steps"]
    rates: Float[np.ndarray, "points"]


def measure(preset: Preset) -> Finding:
    """Compares the genome with tuned baselines, and with every point of their grids."""
    learner = read_learner(preset.genome)
    (group,) = compare(preset, [learner], [preset.plan()])
    record, baselines = group[learner.name], baselines_in(group)
    (own,) = curves_on_test(preset, learner.rule, [learner.genome], record.condition, preset.grid_episodes)
    figure, axes = panels([baseline.learner for baseline in baselines], columns=2)
    checks = clearly_above(group, learner.name)
    for baseline, one in zip(baselines, axes, strict=True):
        grid = grid_curves(preset, baseline)
        draw_grid(one, grid, mean_curve(own), learner.name, baseline)
        checks += of_grid(record, baseline, grid, mean_curve(own))
    return Finding(checks, figure)


def grid_curves(preset: Preset, record: EvaluationRecord) -> GridCurves:
    """Plays every point of a baseline's grid on the test episodes."""
    rule = baseline_of(preset, record).rule
    points = [trial.point for trial in tuning_of(record).trials]
    genomes = [genome_of(point, rule) for point in points]
    curves = curves_on_test(preset, rule, genomes, record.condition, preset.grid_episodes)
    return GridCurves(np.stack([mean_curve(curve) for curve in curves]), np.array([p["learning_rate"] for p in points]))


def of_grid(
    record: EvaluationRecord, baseline: EvaluationRecord, grid: GridCurves, own: Float[np.ndarray, "steps"]
) -> list[Check]:
    """What the curves say beyond the verdict at the end: the grid point that is best in hindsight, and speed."""
    name = baseline.learner
    best = float(np.nanmax(grid.curves[:, -1]))
    return [
        reported(f"{name}: genome − best of {len(grid.rates)} grid points in hindsight", float(own[-1]) - best),
        reported(
            f"{name}: inner steps of the genome until the tuned baseline's final {score(baseline):.3f}",
            steps_until(record, score(baseline)),
            f"of {record.steps}",
        ),
    ]


def steps_until(record: EvaluationRecord, level: float) -> float:
    """Inner steps until the mean curve reaches a level; infinity if it never does."""
    reached = np.flatnonzero(curve_of(record) >= level)
    return float(reached[0] + 1) if len(reached) else float("inf")


def draw_grid(
    axes: Axes, grid: GridCurves, own: Float[np.ndarray, "steps"], name: str, baseline: EvaluationRecord
) -> None:
    """A thin line per grid point, dark for small rates; the tuned baseline and the genome are thick."""
    steps = np.arange(1, len(own) + 1)
    ranks = np.unique(np.log10(grid.rates), return_inverse=True)[1]
    colours = colormaps["viridis"](ranks / max(ranks.max(), 1))
    for curve, colour in zip(grid.curves, colours, strict=True):
        axes.plot(steps, curve, color=colour, linewidth=0.5, alpha=0.4)
    axes.plot(steps, curve_of(baseline), "k--", linewidth=1.5, label=f"tuned {score(baseline):.3f}")
    axes.plot(steps, own, color=GENOME_COLOUR, linewidth=2.6, label=f"{name} {own[-1]:.3f}")
    axes.set(xlabel="inner steps", ylabel="test accuracy", ylim=(0, 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(
        fontsize=7, loc="lower right", title=f"{len(grid.rates)} grid points, dark: small rates", title_fontsize=7
    )


CLAIM = Claim(
    id="B4",
    statement="The genome learns faster than SGD with any learning rate and momentum, and than Adam, with and without "
    "batch normalisation, at the trained number of steps",
    source=f"{SOURCE}, §4",
    measure=measure,
    quick=Preset(grid_episodes=8),
    full=Preset(grid_episodes=100, episodes=400),
)
