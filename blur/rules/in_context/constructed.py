"""Attention weights that compute gradient descent, and a rule whose genome holds their free numbers alone.

With L(W) = 1/(2N) Σ_i ‖W x_i − y_i‖², a layer with K = Q = (I_x 0), V = (0 0; W_0 −I_y) and P = (0 0; 0 η I_y) takes
y_j to y_j − ΔW x_j, where ΔW = −(η/N) Σ_i (W_0 x_i − y_i) x_iᵀ is a step of gradient descent. The data change, not the
model: L(W_0 + ΔW; x, y) = L(W_0; x, y − ΔW x). So a stack of L layers is L steps (von Oswald et al., ICML
2023, Prop. 1 and App. A.1). Here N = Σ_i w_i.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch, Spec
from blur.core.genome import check_same_genome, genome_shapes
from blur.core.rule import Genome, UpdateRule
from blur.rules.in_context.linear_attention import AttentionState, LinearAttention

StepSizes = Float[Array, "*layers"] | float
"""One number, or one for each layer of a rule with `layers`."""


def gradient_descent(rule: LinearAttention, step_size: StepSizes, initial_weights: ArrayLike | None = None) -> Genome:
    """The genome of `rule` that is gradient descent on L, one step per layer, from W = `initial_weights`.

    Args:
      rule: the attention; its further heads, if there are any, get zeros.
      step_size: η.
      initial_weights: W_0, [outputs, inputs]; 0 by default. Another one needs a rule with `start`.

    Raises:
      ValueError: `key_size` is less than the tokens' width, there are step sizes but not one for each layer, or W_0 has
        another shape or no place in the genome.
    """
    _check_per_layer(rule, step_size=step_size)
    zero = jnp.zeros((rule.outputs, rule.inputs), jnp.result_type(float, step_size))
    start = zero if initial_weights is None else jnp.asarray(initial_weights)
    if start.shape != (rule.outputs, rule.inputs):
        raise ValueError(
            f"initial_weights has shape {start.shape}, but the rule has {rule.outputs} outputs and {rule.inputs} "
            f"inputs; expected ({rule.outputs}, {rule.inputs})"
        )
    if initial_weights is not None and not rule.start:
        raise ValueError("initial_weights needs a rule with start=True: queries have to start at −W_0 x")
    value = jnp.zeros((rule.width, rule.width), start.dtype)
    value = value.at[rule.inputs :].set(jnp.hstack([start, -jnp.eye(rule.outputs, dtype=start.dtype)]))
    genome = _genome(rule, value, jnp.zeros_like(jnp.asarray(step_size)), step_size)
    return genome | ({"start": start} if rule.start else {})


def gd_plus_plus(rule: LinearAttention, step_size: StepSizes, shrinkage: StepSizes) -> Genome:
    """The genome of GD++: with every step of gradient descent from W = 0, x_j ← (I − γ H) x_j, H = (1/N) Σ_i x_i x_iᵀ.

    The eigenvalues of H then go from λ to λ (1 − γ λ)², which brings them together (von Oswald et al., §4).

    Args:
      rule: the attention; its further heads, if there are any, get zeros.
      step_size: η.
      shrinkage: γ.

    Raises:
      ValueError: `key_size` is less than the tokens' width, there are several η or γ but not one for each layer, or the
        rule changes targets only.
    """
    _check_per_layer(rule, step_size=step_size, shrinkage=shrinkage)
    if rule.targets_only:
        raise ValueError("GD++ changes the inputs too, but the rule has targets_only=True; expected targets_only=False")
    dtype = jnp.result_type(float, step_size, shrinkage)
    sign = jnp.concatenate([jnp.ones(rule.inputs, dtype), -jnp.ones(rule.outputs, dtype)])
    genome = _genome(rule, jnp.diag(sign), -jnp.asarray(shrinkage), step_size)
    return genome | ({"start": jnp.zeros((rule.outputs, rule.inputs), dtype)} if rule.start else {})


def _check_per_layer(rule: LinearAttention, **numbers: StepSizes) -> None:
    """Raises ValueError unless each is one number, or one for each of the rule's layers where it has them."""
    expected = "()" if rule.layers is None else f"() or ({rule.layers},)"
    for name, value in numbers.items():
        if jnp.shape(value) not in ((), (rule.layers,)):
            raise ValueError(
                f"{name} has shape {jnp.shape(value)}, but the rule has layers={rule.layers}; expected shape {expected}"
            )


def _genome(rule: LinearAttention, value: Array, input_gain: ArrayLike, target_gain: ArrayLike) -> Genome:
    """K = Q = (I_x 0), the given V, and P = diag(input_gain I_x, target_gain I_y), in the first head."""
    size, width = rule.key_size or rule.width, rule.width
    if size < width:
        raise ValueError(f"key_size is {size}, but tokens have {width} numbers; expected at least {width}")
    dtype = jnp.result_type(value, jnp.asarray(input_gain), jnp.asarray(target_gain), jnp.float32)
    gains = jnp.stack(jnp.broadcast_arrays(jnp.asarray(input_gain, dtype), jnp.asarray(target_gain, dtype)), axis=-1)
    diagonal = jnp.repeat(gains, jnp.array([rule.inputs, rule.outputs]), axis=-1, total_repeat_length=width)
    projection = diagonal[..., None] * jnp.eye(width, dtype=dtype)
    only_inputs = jnp.diag((jnp.arange(width) < rule.inputs).astype(dtype))
    matrices = {"projection": projection, "value": value, "key": only_inputs, "query": only_inputs}
    return {name: _placed(rule, name, matrix.astype(dtype), size) for name, matrix in matrices.items()}


def _placed(rule: LinearAttention, name: str, matrix: Array, size: int) -> Array:
    """A matrix as the first head of every layer, padded with zeros to the rule's sizes."""
    rows, columns = (rule.width, size) if name == "projection" else (size, rule.width)
    depth = () if rule.layers is None else (rule.layers,)
    head = jnp.zeros((*depth, rows, columns), matrix.dtype)
    head = head.at[..., : rule.width, : rule.width].set(matrix)
    return jnp.zeros((*depth, rule.heads, rows, columns), matrix.dtype).at[..., 0, :, :].set(head)


@dataclasses.dataclass(frozen=True)
class GradientDescentAttention(UpdateRule):
    """Constructed attention with free step sizes, so that meta-training tunes gradient descent itself.

    Genome: `step_size` η and, with `plus_plus`, `shrinkage` γ; one number each, or one for each of `attention.layers`.

    Attributes:
      attention: the rule whose weights are constructed.
      plus_plus: GD++ in place of gradient descent.
      initial_step_size: η of the starting genome; γ starts at 0.
    """

    attention: LinearAttention
    plus_plus: bool = False
    initial_step_size: float = 1.0

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """Gradient descent; nothing in it is random."""
        shape = () if self.attention.layers is None else (self.attention.layers,)
        genome = {"step_size": jnp.full(shape, self.initial_step_size)}
        return genome | ({"shrinkage": jnp.zeros(shape)} if self.plus_plus else {})

    @property
    def inputs(self) -> int:  # type: ignore[override]
        """Numbers of x."""
        return self.attention.inputs

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """Numbers of y."""
        return self.attention.outputs

    @property
    def max_steps(self) -> int | None:
        """See `LinearAttention.max_steps`."""
        return self.attention.max_steps

    @property
    def in_context(self) -> bool:
        """True: every inner step reads the whole context."""
        return True

    def weights(self, genome: Genome) -> Genome:
        """The genome of `attention` that these numbers stand for."""
        if self.plus_plus:
            return gd_plus_plus(self.attention, genome["step_size"], genome["shrinkage"])
        return gradient_descent(self.attention, genome["step_size"])

    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Spec | Batch) -> AttentionState:
        """See `LinearAttention.init_state`."""
        check_same_genome(genome_shapes(self), genome, names=("the rule's", "the one given"))
        return self.attention.init_state(self.weights(genome), key, spec)

    def step(self, genome: Genome, state: AttentionState, batch: Batch) -> AttentionState:
        """See `LinearAttention.step`."""
        return self.attention.step(self.weights(genome), state, batch)

    def predict(
        self, genome: Genome, state: AttentionState, inputs: Float[Array, "batch inputs"]
    ) -> Float[Array, "batch outputs"]:
        """See `LinearAttention.predict`."""
        return self.attention.predict(self.weights(genome), state, inputs)
