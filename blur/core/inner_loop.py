"""The inner loop: one life of a learner on one episode, and how well it went."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from blur.core.episode import Batch, Episode, Stream, episode_spec
from blur.core.losses import Loss
from blur.core.rule import Genome, UpdateRule
from blur.support.errors import short

UNROLL_UP_TO = 8
"""In-context rules with at most this many steps compile without a loop, which halves the time of their gradients."""

Observe = Callable[[PyTree], Any]

SAVED_NAME = "saved"
"""Values of this `jax.ad_checkpoint.checkpoint_name` are stored where a rematerialised step is not computed again."""

SEGMENTS_ABOVE = 100
"""Rematerialised lives of more steps store the state once per segment of √T steps, not once per step."""


def unroll(
    rule: UpdateRule,
    genome: Genome,
    state: PyTree,
    support: Batch | Stream,
    steps: int | None = None,
    *,
    observe: Observe | None = None,
    remat: bool = False,
) -> tuple[PyTree, Any]:
    """Runs inner steps in one `lax.scan`.

    Args:
      rule: what learns.
      genome: its meta-parameters.
      state: where it starts.
      support: a stream `[T, B, …]` or `Stream`, one batch per step, or one batch `[B, …]` if `steps` is given.
      steps: number of steps on a fixed batch, which stays a constant of the scan and is never tiled.
      observe: `observe(state)` is evaluated after each step and stacked along a leading axis.
      remat: recompute inner steps in the backward pass of a gradient instead of storing what they compute, but for
        their states and matrix products: less memory and, on CPUs, less time. Above `SEGMENTS_ABOVE` steps, states are
        stored once per segment of √T steps: memory grows with √T, at the price of one more forward pass.

    Returns:
      The last state, and the stacked observations (None without `observe`).

    Examples:
      >>> import jax
      >>> from blur.core.episode import episode_spec
      >>> rule = blur.TwoStateSGD(hidden=(8,))
      >>> genome = rule.init_genome(jax.random.key(0))
      >>> episode = blur.make_task("xor").sample(jax.random.key(1), steps=2, batch_size=8)
      >>> start = rule.init_state(genome, jax.random.key(2), episode_spec(episode))
      >>> end, seen = blur.unroll(rule, genome, start, episode.support, observe=lambda state: state.step)
      >>> print(seen)
      [1 2]
    """
    stream, length = _stream(support, steps)

    def body(carry: PyTree, piece: Any) -> tuple[PyTree, Any]:
        batch = support.source.batch(piece) if isinstance(support, Stream) else support if steps is not None else piece
        carry = rule.step(genome, carry, batch)
        return carry, None if observe is None else observe(carry)

    check_life(rule, length, f"{length} inner steps")
    written_out = rule.in_context and steps is not None and 0 < length <= UNROLL_UP_TO
    scan = functools.partial(jax.lax.scan, unroll=written_out)
    if not remat:
        return scan(body, state, stream, length=length)
    policy = jax.checkpoint_policies.save_only_these_names(SAVED_NAME)
    step = jax.checkpoint(body, prevent_cse=False, policy=policy)
    return (scan if length <= SEGMENTS_ABOVE else _scan_in_segments)(step, state, stream, length)


def check_life(rule: UpdateRule, steps: int, given: str) -> None:
    """Raises ValueError, which starts with `given`, if so many steps are more than the rule has room for."""
    if rule.max_steps is not None and steps > rule.max_steps:
        field = f", or raise its {rule.steps_field}" if rule.steps_field else ""
        raise ValueError(f"{given}, but the rule has room for {rule.max_steps}; take fewer{field}")


def check_steps(steps: Any) -> None:
    """Raises ValueError unless `steps` is a whole number of at least 1."""
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"steps is {short(steps)}; expected a whole number of at least 1")


def _stream(support: Batch | Stream, steps: int | None) -> tuple[Any, int]:
    """The array that the scan runs over (None for a fixed batch), and the number of steps."""
    if isinstance(support, Stream):
        if steps is not None:
            raise ValueError(f"steps is {steps}, but a stream has {len(support.indices)} batches; expected steps=None")
        return support.indices, len(support.indices)
    return (support, len(support.weight)) if steps is None else (None, steps)


def _scan_in_segments(step: Callable[..., Any], state: PyTree, stream: Any, length: int) -> tuple[PyTree, Any]:
    """A scan in segments of √length steps, which a gradient computes again as a whole; the rest is scanned after."""
    size = math.isqrt(length)
    whole = length - length % size

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def segment(carry: PyTree, batches: Any) -> tuple[PyTree, Any]:
        return jax.lax.scan(step, carry, batches, length=size)

    segments = jax.tree.map(lambda leaf: leaf[:whole].reshape(-1, size, *leaf.shape[1:]), stream)
    state, seen = jax.lax.scan(segment, state, segments, length=whole // size)
    state, rest = jax.lax.scan(step, state, jax.tree.map(lambda leaf: leaf[whole:], stream), length=length - whole)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), seen)
    return state, jax.tree.map(lambda *parts: jnp.concatenate(parts), flat, rest)


def train_on(rule: UpdateRule, genome: Genome, key: Key[Array, ""], episode: Episode, *, remat: bool = False) -> PyTree:
    """The state of a fresh learner after the episode's support."""
    state = rule.init_state(genome, key, episode_spec(episode))
    return unroll(rule, genome, state, episode.support, episode.steps, remat=remat)[0]


def episode_loss(
    rule: UpdateRule,
    genome: Genome,
    key: Key[Array, ""],
    episode: Episode,
    loss: Loss,
    *,
    remat: bool = False,
) -> tuple[Float[Array, ""], Float[Array, "query outputs"]]:
    """Loss on the query after learning from the support, and the outputs there.

    L(genome) = loss(predict(genome, s_T, x_query), y_query), s_{t+1} = step(genome, s_t, support_t); differentiable in
    the genome.
    """
    state = train_on(rule, genome, key, episode, remat=remat)
    outputs = rule.predict(genome, state, episode.query.inputs)
    return loss(outputs, episode.query.targets, episode.query.weight), outputs


def learning_curve(
    rule: UpdateRule, genome: Genome, key: Key[Array, ""], episode: Episode, metric: Loss
) -> Float[Array, "steps"]:
    """The metric on the query after each inner step (`[T]`; the untrained learner is not included).

    Examples:
      >>> import jax
      >>> from blur.core.losses import accuracy
      >>> rule = blur.TwoStateSGD(hidden=(8,))
      >>> genome = rule.init_genome(jax.random.key(0))
      >>> episode = blur.make_task("xor").sample(jax.random.key(1), steps=2, batch_size=8)
      >>> blur.learning_curve(rule, genome, jax.random.key(2), episode, accuracy).shape
      (2,)
    """

    def score(state: PyTree) -> Float[Array, ""]:
        outputs = rule.predict(genome, state, episode.query.inputs)
        return metric(outputs, episode.query.targets, episode.query.weight)

    state = rule.init_state(genome, key, episode_spec(episode))
    curve: Array = unroll(rule, genome, state, episode.support, episode.steps, observe=score)[1]
    return curve
