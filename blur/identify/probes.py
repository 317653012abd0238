"""What a learner does on tasks: predictions, sensitivities, losses and spectra, task by task.

The measures are those of von Oswald et al. (ICML 2023, §3 and App. A.8); losses are halved squared errors as there.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch, Episode, Split, batch_spec
from blur.core.inner_loop import train_on, unroll
from blur.core.rule import Genome, UpdateRule
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.tokens import present
from blur.rules.in_context.transformer import Transformer
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
        return task.sample(key, unroll=layers, batch_size=context, split=split)

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
    """Loss on every task after each inner step; of a `Transformer`, a step of which is all layers, after each layer."""

    def curve(episode: Episode) -> Array:
        x, y = episode.query.inputs, episode.query.targets
        if isinstance(rule, Transformer):
            outputs = rule.predict_by_layer(genome, train_on(rule, genome, KEY, episode), x)
            return jnp.mean(jnp.sum((outputs - y) ** 2, axis=-1), axis=-1) / 2

        def loss(state: object) -> Array:
            return jnp.mean(jnp.sum((rule.predict(genome, state, x) - y) ** 2, axis=-1)) / 2

        state = rule.init_state(genome, KEY, batch_spec(episode))
        return unroll(rule, genome, state, episode.support, episode.steps, observe=loss)[1]

    return jax.vmap(curve)(tasks)


@functools.partial(jax.jit, static_argnames="rule")
def spectra_by_layer(
    rule: LinearAttention, genome: Genome, tasks: Episode
) -> Float[Array, "tasks layers_and_end inputs"]:
    """Eigenvalues, ascending, of H = Σ_i w_i x_i x_iᵀ / Σ w of the context before each layer and after the last.

    Raises:
      TypeError: the rule is no `LinearAttention`.
    """
    _check_rule(rule, LinearAttention)

    def spectrum(context: Array, weight: Array) -> Array:
        x = context[:, : rule.inputs]
        return jnp.linalg.eigvalsh((weight[:, None] * x).T @ x)

    def spectra(episode: Episode) -> Array:
        support = cast(Batch, episode.support)
        start = rule.init_state(genome, KEY, batch_spec(episode))
        state, before = unroll(
            rule, genome, start, support, episode.steps, observe=lambda state: spectrum(state.context, state.weight)
        )
        tokens = jnp.concatenate(present(support.weight, support.inputs, support.targets), axis=-1)
        after = spectrum(tokens @ rule.fast_weights(genome, state), state.weight)
        return jnp.concatenate([before, after[None]])

    return jax.vmap(spectra)(tasks)


def _check_rule(rule: UpdateRule, expected: type[UpdateRule]) -> None:
    """Raises TypeError unless the rule is of this kind."""
    if not isinstance(rule, expected):
        raise TypeError(f"the rule is a {type(rule).__name__}; expected a {expected.__name__}")


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


@functools.partial(jax.jit, static_argnames="rule")
def copy_sensitivities(rule: Transformer, genome: Genome, tasks: Episode) -> Float[Array, "tokens tokens"]:
    """Mean over tasks of ‖∂t_k/∂e_j‖: context token k after the first layer, token j before it, Frobenius norm.

    Raises:
      TypeError: the rule is no `Transformer`.
    """
    _check_rule(rule, Transformer)

    def sizes(episode: Episode) -> Array:
        tokens, weight = rule.sequence(cast(Batch, episode.support))
        slopes = jax.jacrev(lambda e: rule.through(genome, e, weight)[1])(tokens)  # [k, width, j, width]
        return jnp.sqrt(jnp.sum(slopes**2, axis=(1, 3)))

    return jnp.mean(jax.lax.map(sizes, tasks), axis=0)
