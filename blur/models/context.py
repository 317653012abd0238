"""Predictions of rules that learn in context, for a user's own pairs."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from blur.core.episode import Batch, Episode, make_batch
from blur.core.inner_loop import check_steps, train_on
from blur.core.rule import Genome, UpdateRule
from blur.data.arrays import check_lengths, checked_inputs, checked_targets
from blur.support.errors import short


def predict_in_context(
    rule: UpdateRule,
    genome: Genome,
    inputs: ArrayLike,
    targets: ArrayLike,
    queries: ArrayLike,
    *,
    steps: int,
    weight: ArrayLike | None = None,
) -> NDArray[np.floating]:
    """What a rule that learns in context predicts for queries, after `steps` looks at one context of pairs.

    All numbers are used as they are, in the genome's floating-point type: they should be on the scale that the genome
    was meta-trained on, which its card tells. A transformer may fail on pairs of another scale.

    Args:
      rule: `LinearAttention`, `Transformer`, or any rule whose examples make one batch.
      genome: its meta-parameters.
      inputs: of the context, `[pairs, features]`.
      targets: of the context, `[pairs]` or `[pairs, outputs]` floating-point numbers.
      queries: `[queries, features]`.
      steps: inner steps; of `LinearAttention` its layers, `load_genome(…).steps` as in meta-training; of
        `Transformer` 1.
      weight: of the pairs, `[pairs]`, not negative; 1 by default. Pairs of weight 0 are ignored; their values may be
        NaN.

    Returns:
      `[queries]` or `[queries, outputs]`, as the targets; of the genome's type.

    Raises:
      ValueError: arrays that do not fit each other or the rule, are empty, masked or not finite; `steps` is not a whole
        number of at least 1; or a prediction is not finite.
      TypeError: `rule` is not an update rule.

    Examples:
      >>> from blur.rules.in_context.constructed import gradient_descent
      >>> rule = blur.LinearAttention(inputs=1)
      >>> genome = gradient_descent(rule, step_size=1.0)  # from W = 0, one step gives W = mean of x y
      >>> x, y = [[1.0], [-1.0]], [2.0, -2.0]
      >>> print(blur.predict_in_context(rule, genome, x, y, [[3.0]], steps=1))
      [6.]
    """
    if not isinstance(rule, UpdateRule):
        raise TypeError(f"rule is a {type(rule).__name__}; expected an update rule, such as load_genome(…).rule")
    check_steps(steps)
    dtype = jnp.result_type(float, *jax.tree.leaves(genome))
    context = _context(rule, inputs, targets, weight, dtype)
    asked = checked_inputs(_rows(queries, "queries", context.inputs.shape[1]), "queries")
    outputs = np.asarray(_in_context(rule, genome, context, jnp.asarray(asked, dtype), int(steps)))
    if not np.isfinite(outputs).all():
        largest = float(jnp.abs(context.inputs).max())
        raise ValueError(
            f"predictions are not finite after {steps} inner steps on inputs up to {largest:.3g}; "
            "bring them to the scale of the genome's meta-training, or take fewer steps"
        )
    return outputs if np.ndim(targets) == 2 else outputs[:, 0]


def _context(
    rule: UpdateRule, inputs: ArrayLike, targets: ArrayLike, weight: ArrayLike | None, dtype: np.dtype
) -> Batch:
    """Checked pairs of this type; those of weight 0 hold zeros."""
    examples, values = _rows(inputs, "inputs", rule.inputs), _real_targets(rule, targets)
    check_lengths("context", examples, values)
    weights = _pair_weights(weight, len(examples))
    shown = weights[:, None] != 0
    examples = checked_inputs(np.where(shown, examples, 0), "context")
    values = checked_targets(np.where(shown, values, 0), "context")
    return make_batch(*(jnp.asarray(array, dtype) for array in (examples, values, weights)))


def _rows(values: ArrayLike, name: str, width: int | None) -> NDArray:
    """Numbers `[n, width]`, n ≥ 1, of any width where it is None; not yet checked to be finite."""
    array = _unmasked(values, name)
    if array.ndim != 2 or 0 in array.shape or width not in (None, array.shape[1]) or array.dtype.kind not in "uifb":
        raise ValueError(
            f"{name} have shape {array.shape} and type {array.dtype}; expected numbers "
            f"[n, {'inputs' if width is None else width}] for this rule, n ≥ 1"
        )
    return array


def _real_targets(rule: UpdateRule, targets: ArrayLike) -> NDArray:
    """Floating-point numbers `[n, outputs]`, not yet checked to be finite; `[n]` is one output."""
    array, outputs = _unmasked(targets, "targets"), rule.outputs
    rows = array[:, None] if array.ndim == 1 else array
    if rows.ndim != 2 or 0 in rows.shape or outputs not in (None, rows.shape[1]) or array.dtype.kind != "f":
        raise ValueError(
            f"targets have shape {array.shape} and type {array.dtype}; expected floating-point numbers "
            f"{'[n] or ' if outputs in (None, 1) else ''}[n, {outputs or 'outputs'}] for this rule, n ≥ 1"
        )
    return rows


def _pair_weights(weight: ArrayLike | None, count: int) -> NDArray:
    """Weights `[count]`; ones by default."""
    array = np.ones(count) if weight is None else _unmasked(weight, "weight")
    if array.shape != (count,) or array.dtype.kind not in "uifb":
        raise ValueError(f"weight has shape {array.shape} and type {array.dtype}; expected numbers ({count},)")
    if not (np.isfinite(array).all() and (array >= 0).all() and array.any()):
        raise ValueError(f"weight is {short(array.tolist())}; expected finite numbers ≥ 0, at least one above 0")
    return array


def _unmasked(values: ArrayLike, name: str) -> NDArray:
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name} are a masked array; expected a plain one, and pairs to leave out by weight= of 0")
    return np.asarray(values)


@partial(jax.jit, static_argnames=("rule", "steps"))
def _in_context(rule: UpdateRule, genome: Genome, context: Batch, queries: jax.Array, steps: int) -> jax.Array:
    state = train_on(rule, genome, jax.random.key(0), Episode(context, context, steps=steps))
    return rule.predict(genome, state, queries)
