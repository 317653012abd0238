"""Predictions of every example from those before it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch, batch_spec
from blur.core.inner_loop import check_steps, unroll
from blur.core.rule import Genome, UpdateRule


def predict_prefixes(
    rule: UpdateRule, genome: Genome, key: Key[Array, ""], examples: Batch, steps: int = 1
) -> Float[Array, "batch outputs"]:
    """Row n is the prediction of example n by a fresh learner that was shown examples 0 … n − 1, `steps` times.

    One call for any rule: a `vmap` over triangular weights, as weight 0 removes an example. Where prefixes of weight 0
    leave a learner as it was, row 0 is the prediction of an untrained one.

    Raises:
      TypeError: the examples are no `Batch`.
      ValueError: `steps` is not a whole number of at least 1, or examples that weigh something are not finite (values
        that are being traced are not looked at).

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from blur.core.episode import make_batch
      >>> from blur.rules.in_context.constructed import gradient_descent
      >>> rule = blur.LinearAttention(inputs=1)
      >>> genome = gradient_descent(rule, step_size=1.0)
      >>> examples = make_batch(jnp.ones((3, 1)), 2 * jnp.ones((3, 1)))
      >>> print(abs(blur.predict_prefixes(rule, genome, jax.random.key(0), examples)[:, 0]))
      [0. 2. 2.]
    """
    check_steps(steps)
    _check_examples(examples)
    count = examples.weight.shape[0]
    start = rule.init_state(genome, key, batch_spec(examples, steps))

    def predict_next(weight: Float[Array, "batch"], inputs: Float[Array, "inputs"]) -> Float[Array, "outputs"]:
        state, _ = unroll(rule, genome, start, examples._replace(weight=weight), steps)
        return rule.predict(genome, state, inputs[None])[0]

    before = jnp.tri(count, k=-1, dtype=examples.weight.dtype) * examples.weight
    return jax.vmap(predict_next)(before, examples.inputs)


def _check_examples(examples: Batch) -> None:
    """Raises TypeError unless they are a `Batch`, ValueError if one that weighs something is known not to be finite."""
    if not isinstance(examples, Batch):
        raise TypeError(
            f"examples is a {type(examples).__name__}; expected a Batch, as make_batch(inputs, targets) makes"
        )
    if any(isinstance(leaf, jax.core.Tracer) for leaf in examples):
        return
    shown = np.asarray(examples.weight) != 0
    for name, values in (("inputs", examples.inputs), ("targets", examples.targets)):
        if bad := int(np.sum(~np.isfinite(np.asarray(values)[shown]))):
            raise ValueError(
                f"the {name} {values.shape} hold {bad} values that are NaN or infinite; give them weight 0"
            )
