"""Measurements of a learner on tasks: predictions, sensitivities and losses, task by task.

The measures are those of von Oswald et al. (ICML 2023, §3 and App. A.8). As there, a loss is half a squared error.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from blur.core.episode import Episode, Split, episode_spec
from blur.core.inner_loop import train_on
from blur.core.rule import Genome, UpdateRule
from blur.support.renamed import renamed_arguments
from blur.tasks.task import Task

KEY = jax.random.key(0)
"""The key of initial states. Learners in context have no random start."""

AT_ONCE = 20_000
"""The number of tasks that are in memory at a time."""


@renamed_arguments(layers="steps")
@functools.partial(jax.jit, static_argnames=("count", "context", "steps", "split"))
def draw_tasks(
    task: Task, key: Key[Array, ""], count: int, *, context: int, steps: int, split: Split = "test"
) -> Episode:
    """Draws `count` episodes of `context` pairs and `steps` inner steps, stacked along a leading axis."""

    def draw(key: Key[Array, ""]) -> Episode:
        return task.sample(key, steps=steps, batch_size=context, split=split)

    return jax.vmap(draw)(jax.random.split(key, count))


@functools.partial(jax.jit, static_argnames="rule")
def predictions(rule: UpdateRule, genome: Genome, tasks: Episode) -> Float[Array, "tasks queries outputs"]:
    """Outputs for the queries of every task, after learning from the task's context."""

    def predict(episode: Episode) -> Array:
        return rule.predict(genome, train_on(rule, genome, KEY, episode), episode.query.inputs)

    return jax.vmap(predict)(tasks)


@functools.partial(jax.jit, static_argnames="rule")
def sensitivities(rule: UpdateRule, genome: Genome, tasks: Episode) -> Float[Array, "tasks inputs"]:
    """∂f(x_q)/∂x_q of the first output, at the first query of every task."""

    def slope(episode: Episode) -> Array:
        state = train_on(rule, genome, KEY, episode)
        return jax.grad(lambda x: rule.predict(genome, state, x[None])[0, 0])(episode.query.inputs[0])

    return jax.vmap(slope)(tasks)


@functools.partial(jax.jit, static_argnames="rule")
def losses_by_layer(rule: UpdateRule, genome: Genome, tasks: Episode) -> Float[Array, "tasks layers"]:
    """The loss on every task after each inner step; after each layer, if one inner step is all layers."""

    def curve(episode: Episode) -> Array:
        x, y = episode.query.inputs, episode.query.targets
        state = rule.init_state(genome, KEY, episode_spec(episode))
        outputs = rule.predict_by_step(genome, state, episode.support, x, episode.steps)
        return jnp.mean(jnp.sum((outputs - y) ** 2, axis=-1), axis=-1) / 2

    return jax.vmap(curve)(tasks)


def half_squared_errors(outputs: Float[Array, "tasks queries outputs"], tasks: Episode) -> Float[Array, "tasks"]:
    """½ ‖f − y‖² of every task, as a mean over its queries."""
    return jnp.mean(jnp.sum((outputs - tasks.query.targets) ** 2, axis=-1), axis=-1) / 2


Learners = Mapping[str, tuple[UpdateRule, Genome]]
"""Rules with their genomes, by name."""


@renamed_arguments(layers="steps")
def losses_of(
    learners: Learners,
    task: Task,
    key: Key[Array, ""],
    count: int,
    *,
    context: int,
    steps: int,
    split: Split = "test",
) -> dict[str, Float[np.ndarray, "tasks"]]:
    """The losses of all learners on the same `count` tasks. At most `AT_ONCE` tasks are in memory at a time."""
    losses: dict[str, list[np.ndarray]] = {name: [] for name in learners}
    for index, start in enumerate(range(0, count, AT_ONCE)):
        size = min(AT_ONCE, count - start)
        tasks = draw_tasks(task, jax.random.fold_in(key, index), size, context=context, steps=steps, split=split)
        for name, (rule, genome) in learners.items():
            losses[name].append(np.asarray(half_squared_errors(predictions(rule, genome, tasks), tasks)))
    return {name: np.concatenate(parts) for name, parts in losses.items()}
