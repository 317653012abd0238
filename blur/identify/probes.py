"""What a learner does on tasks: predictions, sensitivities, losses and spectra, task by task.

The measures are those of von Oswald et al. (ICML 2023, §3 and App. A.8); losses are halved squared errors as there.
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
from blur.tasks.task import Task

KEY = jax.random.key(0)
"""Of learners whose start is not random."""


AT_ONCE = 20_000
"""Tasks that are computed together."""


@functools.partial(jax.jit, static_argnames=("count", "context", "layers", "split"))
def draw_tasks(
    task: Task, key: Key[Array, ""], count: int, *, context: int, layers: int, split: Split = "test"
) -> Episode:
    """`count` episodes, stacked along a leading axis, of `context` pairs and `layers` inner steps."""

    def draw(key: Key[Array, ""]) -> Episode:
        return task.sample(key, steps=layers, batch_size=context, split=split)

    return jax.vmap(draw)(jax.random.split(key, count))


@functools.partial(jax.jit, static_argnames="rule")
def predictions(rule: UpdateRule, genome: Genome, tasks: Episode) -> Float[Array, "tasks queries outputs"]:
    """Outputs on every task's queries after learning from its context."""

    def predict(episode: Episode) -> Array:
        return rule.predict(genome, train_on(rule, genome, KEY, episode), episode.query.inputs)

    return jax.vmap(predict)(tasks)


@functools.partial(jax.jit, static_argnames="rule")
def sensitivities(rule: UpdateRule, genome: Genome, tasks: Episode) -> Float[Array, "tasks inputs"]:
    """∂f(x_q)/∂x_q of the first output at every task's first query."""

    def slope(episode: Episode) -> Array:
        state = train_on(rule, genome, KEY, episode)
        return jax.grad(lambda x: rule.predict(genome, state, x[None])[0, 0])(episode.query.inputs[0])

    return jax.vmap(slope)(tasks)


@functools.partial(jax.jit, static_argnames="rule")
def losses_by_layer(rule: UpdateRule, genome: Genome, tasks: Episode) -> Float[Array, "tasks layers"]:
    """Loss on every task after each inner step, or after each layer where one step is all layers."""

    def curve(episode: Episode) -> Array:
        x, y = episode.query.inputs, episode.query.targets
        state = rule.init_state(genome, KEY, episode_spec(episode))
        outputs = rule.predict_by_step(genome, state, episode.support, x, episode.steps)
        return jnp.mean(jnp.sum((outputs - y) ** 2, axis=-1), axis=-1) / 2

    return jax.vmap(curve)(tasks)


def half_squared_errors(outputs: Float[Array, "tasks queries outputs"], tasks: Episode) -> Float[Array, "tasks"]:
    """½ ‖f − y‖² of every task, averaged over its queries."""
    return jnp.mean(jnp.sum((outputs - tasks.query.targets) ** 2, axis=-1), axis=-1) / 2


Learners = Mapping[str, tuple[UpdateRule, Genome]]
"""Rules with their genomes, by name."""


def losses_of(
    learners: Learners,
    task: Task,
    key: Key[Array, ""],
    count: int,
    *,
    context: int,
    layers: int,
    split: Split = "test",
) -> dict[str, Float[np.ndarray, "tasks"]]:
    """Every learner's loss on the same `count` tasks, which need not fit in memory together."""
    losses: dict[str, list[np.ndarray]] = {name: [] for name in learners}
    for index, start in enumerate(range(0, count, AT_ONCE)):
        size = min(AT_ONCE, count - start)
        tasks = draw_tasks(task, jax.random.fold_in(key, index), size, context=context, layers=layers, split=split)
        for name, (rule, genome) in learners.items():
            losses[name].append(np.asarray(half_squared_errors(predictions(rule, genome, tasks), tasks)))
    return {name: np.concatenate(parts) for name, parts in losses.items()}
