"""B9: meta-trained on xor and or, a genome learns other functions of the plane."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from harness.claim import Claim, Finding, reported
from harness.figures import panels
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import blur
from blur.core.episode import Episode
from blur.core.inner_loop import train_on
from blur.evaluation.baselines import genome_of
from blur.evaluation.plan import Learner
from blur.meta import MetaTraining, Setting
from blur.tasks.boolean import FUNCTIONS
from learned_rules.common import (
    SOURCE,
    Group,
    LearningPreset,
    baseline_of,
    baselines_in,
    best_baseline,
    compare,
    load_task,
    not_below,
    place,
    score,
    scores,
    shipped_or_trained,
    tuning_of,
)

TRAINED = ("xor", "or")
CLAIMED = ("and", "and_not", "nxor", "circle", "two_moons", "concentric_circles")
EXTENT = 1.2
"""Pictures show this part of the plane in all four directions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(LearningPreset):
    """Genomes and functions.

    Attributes:
      genomes: names or files of genomes, with their numbers of states. A genome that does not exist is meta-trained
        now. The verdicts are about the first one.
      training: the meta-training of such genomes.
      functions: keys of `FUNCTIONS`; the functions in `CLAIMED` have a verdict.
      picture: points per side of the pictures.
    """

    resolution: int | None = None
    genomes: dict[str, int] = dataclasses.field(default_factory=lambda: {"boolean-k2": 2, "boolean-k4": 4})
    training: MetaTraining
    functions: tuple[str, ...]
    picture: int = 100


def measure(preset: Preset) -> Finding:
    """Measures the accuracy on every function, and draws decisions."""
    learners = [learner_of(name, states, preset) for name, states in preset.genomes.items()]
    first, others = learners[0].name, learners[1:]
    groups = compare(preset, learners, [preset.plan(tasks=preset.functions)])
    checks = [check for group in groups for check in not_below(group, first) if task_of(group) in CLAIMED]
    checks += [
        reported(f"{place(group[first])}: {first}", score(group[first]), scores(*baselines_in(group)))
        for group in groups
        if task_of(group) not in CLAIMED
    ]
    checks += [
        reported(f"{place(group[other.name])}: {other.name}", score(group[other.name]), scores(*baselines_in(group)))
        for other in others
        for group in groups
    ]
    return Finding(checks, draw(preset, learners[0], groups))


def learner_of(name: str, states: int, preset: Preset) -> Learner:
    """The genome of this name; without one, a genome that is meta-trained now."""
    rule = blur.Bidirectional(hidden=(preset.width,), states=states)
    settings = [Setting(rule, load_task(function, None, None), preset.steps, preset.batch_size) for function in TRAINED]
    return shipped_or_trained(name, settings, preset.training)


def task_of(group: Group) -> str:
    """The function of a group of records."""
    return next(iter(group.values())).task


def draw(preset: Preset, learner: Learner, groups: list[Group]) -> Figure:
    """Decisions of two networks per function: one learned with the genome, one with the best tuned baseline."""
    pairs = [(group[learner.name], best_baseline(group)) for group in groups]
    titles = [f"{record.task}\n{record.learner} {score(record):.3f}" for pair in pairs for record in pair]
    columns = min(6, len(titles))
    figure, axes = panels(titles, columns=columns)
    figure.set_size_inches(2.4 * columns, 2.8 * -(-len(titles) // columns))
    own = learner._replace(rule=learner.rule.with_hidden((preset.width,)))
    for index, (record, tuned) in enumerate(pairs):
        rule = baseline_of(preset, tuned).rule
        baseline = Learner(tuned.learner, rule, genome_of(tuning_of(tuned).best.point, rule))
        draw_decisions(axes[2 * index], own, record.task, preset)
        draw_decisions(axes[2 * index + 1], baseline, record.task, preset)
    return figure


def draw_decisions(axes: Axes, learner: Learner, function: str, preset: Preset) -> None:
    """The sign of the output, shaded by its size; the query's true points are white, its false points black."""
    task = load_task(function, None, None)
    episode = task.sample(jax.random.key(0), steps=preset.steps, batch_size=preset.batch_size, split="test")
    side = np.linspace(-EXTENT, EXTENT, preset.picture)
    outputs = decisions(learner, episode, side)
    axes.contourf(side, side, np.tanh(outputs), levels=np.linspace(-1, 1, 21), cmap="PuOr_r", alpha=0.7)
    axes.contour(side, side, outputs, levels=[0.0], colors="black", linewidths=1)
    inputs, targets = np.asarray(episode.query.inputs), np.asarray(episode.query.targets)[:, 0]
    for sign, colour in ((1, "white"), (-1, "black")):
        axes.plot(*inputs[targets == sign].T, "o", color=colour, markeredgecolor="black", markersize=2.5)
    axes.set(xticks=[], yticks=[], aspect="equal")


def decisions(learner: Learner, episode: Episode, side: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n n"]:
    """Outputs on a square of the plane after learning from an episode."""
    points = jnp.stack(jnp.meshgrid(jnp.asarray(side), jnp.asarray(side)), axis=-1).reshape(-1, 2)

    @jax.jit
    def run(genome: object) -> jax.Array:
        state = train_on(learner.rule, genome, jax.random.key(1), episode)
        return learner.rule.predict(genome, state, points)

    return np.asarray(run(learner.genome)).reshape(len(side), len(side))


CLAIM = Claim(
    id="B9",
    statement="Meta-trained on xor and or, a genome learns and, and-not, nxor, circles and moons, at least as well as "
    "tuned SGD",
    source=f"{SOURCE}, §4",
    measure=measure,
    quick=Preset(
        baselines=("sgd",),
        training=MetaTraining(meta_steps=1000, candidates=2, learning_rate=2e-2),
        functions=(*TRAINED, *CLAIMED),
    ),
    full=Preset(
        training=MetaTraining(meta_steps=4000, candidates=4, learning_rate=2e-2),
        functions=tuple(FUNCTIONS),
        episodes=400,
    ),
)
