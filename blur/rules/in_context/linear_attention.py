"""Linear self-attention as an update rule: one layer over the context is one inner step.

Tokens are pairs e_i = (x_i, y_i); a query starts as (x, −W_0 x). Over a context E with weights w_i,

    e ← e + λ Σ_h P_h V_h (Σ_i w_i e_i e_iᵀ / Σ_i w_i) K_hᵀ Q_h e                         (one layer)

for every token of the context and for every query. A query attends to the context; no token attends to a query. The
prediction is −(y entries) of the query. With the right matrices a layer is a step of gradient descent (von Oswald et
al., ICML 2023, Prop. 1); see `blur.rules.in_context.constructed`.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from blur.core.episode import Batch, Spec
from blur.core.genome import check_same_genome, genome_shapes
from blur.core.losses import at_least_tiny
from blur.core.rule import Genome, UpdateRule
from blur.rules.in_context.tokens import (
    Tokens,
    attend,
    check_context,
    check_damping,
    check_initial_scale,
    check_queries,
    present,
    random_heads,
)
from blur.support.errors import check_sizes


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AttentionState:
    """The layers so far, as a map of tokens: `e @ transform`, then attention to `context`.

    The layers are linear in a token, so all but the last are kept as one matrix, the accumulated fast weights.

    Attributes:
      transform: product of all layers but the last, acting on row vectors.
      context: the tokens that the last layer attends to.
      weight: their weights, Σ = 1 (or 0 where nothing weighs anything).
      step: how many layers there were.
    """

    transform: Float[Array, "width width"]
    context: Float[Array, "context width"]
    weight: Float[Array, "context"]
    step: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class LinearAttention(UpdateRule):
    """A stack of linear self-attention layers; `Episode.steps` on one fixed batch, the context, is its depth.

    Genome: `projection` P [heads, width, key_size], `value` V, `key` K, `query` Q [heads, key_size, width], where
    width = inputs + outputs; with `layers`, all with a leading axis over layers; with `start`, W_0 [outputs, inputs].

    The context is read anew in every step, through the layers before. On a stream of batches each layer therefore has
    a context of its own: the constructed genome then is gradient descent on minibatches.

    Every layer is linear in a token, so one matrix holds all of them. `blur.rules.in_context.transformer.Transformer`
    can clip tokens between layers (`clip`), which is not linear.

    Attributes:
      inputs: numbers of x.
      outputs: numbers of y.
      layers: None for one genome in all layers, as many as there are steps; else the number of layers that each have
        their own.
      heads: attention heads.
      key_size: of keys, queries and values; None for the tokens' width.
      targets_only: layers change only the y entries of tokens.
      damping: λ.
      start: whether the genome has a W_0, else it is 0.
      initial_scale: all matrices of a random genome are drawn from N(0, initial_scale / fan-in).

    Raises:
      ValueError: a size is below 1, `initial_scale` is negative or not finite, or `damping` is not finite.

    Examples:
      >>> import jax
      >>> rule = blur.LinearAttention(inputs=10)
      >>> jax.tree.map(jax.numpy.shape, rule.init_genome(jax.random.key(0)))["key"]
      (1, 11, 11)
    """

    inputs: int
    outputs: int = 1
    layers: int | None = None
    heads: int = 1
    key_size: int | None = None
    targets_only: bool = False
    damping: float = 1.0
    start: bool = False
    initial_scale: float = 0.1

    def __post_init__(self) -> None:
        names = ("inputs", "outputs", "layers", "heads", "key_size")
        check_sizes(**{name: getattr(self, name) for name in names})
        check_initial_scale(self.initial_scale)
        check_damping(self.damping)

    steps_field = "layers"

    @property
    def width(self) -> int:
        """Numbers of a token."""
        return self.inputs + self.outputs

    @property
    def max_steps(self) -> int | None:
        """The number of layers, if each has its own genome."""
        return self.layers

    @property
    def in_context(self) -> bool:
        """True: every inner step reads the whole context."""
        return True

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """Random matrices; W_0 = 0."""
        depth = () if self.layers is None else (self.layers,)
        genome = random_heads(key, self.heads, self.key_size, self.width, self.initial_scale, depth)
        return genome | ({"start": jnp.zeros((self.outputs, self.inputs))} if self.start else {})

    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Spec | Batch) -> AttentionState:
        """No layer yet.

        Raises:
          ValueError: the context is empty, its sizes or types are not the genome's, or the genome is not this rule's.
        """
        check_same_genome(genome_shapes(self), genome, names=("the rule's", "the one given"))
        check_context(genome, spec, self.inputs, self.outputs)
        count, dtype = spec.inputs.shape[0], spec.inputs.dtype
        return AttentionState(
            jnp.eye(self.width, dtype=dtype),
            jnp.zeros((count, self.width), dtype),
            jnp.zeros(count, dtype),
            jnp.zeros((), jnp.int32),
        )

    def step(self, genome: Genome, state: AttentionState, batch: Batch) -> AttentionState:
        """One more layer, over the context `batch` as the layers before it have left it.

        Raises:
          ValueError: see `init_state`; or there is no further layer. Where the number of steps is traced and
            `unroll` did not count it, the result is NaN instead.
        """
        check_context(genome, batch, self.inputs, self.outputs)
        self._check_depth(state.step + 1)
        tokens = jnp.concatenate(present(batch.weight, batch.inputs, batch.targets), axis=-1)

        def deeper() -> tuple[Array, Array]:
            transform = self._last_layer(genome, state, state.transform)
            return transform, tokens @ transform

        transform, context = jax.lax.cond(state.step > 0, deeper, lambda: (state.transform, tokens))
        total = at_least_tiny(jnp.sum(batch.weight))
        return AttentionState(transform, context, batch.weight / total, state.step + 1)

    def predict(
        self, genome: Genome, state: AttentionState, inputs: Float[Array, "batch inputs"]
    ) -> Float[Array, "batch outputs"]:
        """−(y entries) of the queries (x, −W_0 x) after all layers.

        Raises:
          ValueError: the queries' width is not the genome's, or there were more steps than layers.
        """
        check_queries(inputs, self.inputs)
        y = -inputs @ genome["start"].T if self.start else jnp.zeros((inputs.shape[0], self.outputs), inputs.dtype)
        queries = jnp.concatenate([inputs, y], axis=-1)
        return -self._last_layer(genome, state, queries @ state.transform)[:, self.inputs :]

    def fast_weights(self, genome: Genome, state: AttentionState) -> Float[Array, "width width"]:
        """The matrix that takes a token (a row vector) through all layers so far."""
        return self._last_layer(genome, state, state.transform)

    def _last_layer(self, genome: Genome, state: AttentionState, tokens: Tokens) -> Tokens:
        """Tokens after the last layer's attention to its context."""
        self._check_depth(state.step)
        update = self.damping * attend(self._layer(genome, state.step - 1), state.context, state.weight, tokens)
        if self.targets_only:
            update = update.at[:, : self.inputs].set(0)
        return tokens + update

    def _layer(self, genome: Genome, index: Int[Array, ""]) -> Genome:
        """The matrices of a layer; before the first layer, those of the first."""
        matrices = {name: genome[name] for name in ("projection", "value", "key", "query")}
        if self.layers is None:
            return matrices
        return jax.tree.map(lambda leaf: leaf.at[jnp.maximum(index, 0)].get(mode="fill", fill_value=jnp.nan), matrices)

    def _check_depth(self, steps: Int[Array, ""]) -> None:
        """Raises ValueError if so many steps are more than there are layers, as far as that is known."""
        if self.layers is not None and not isinstance(steps, jax.core.Tracer) and int(steps) > self.layers:
            raise ValueError(
                f"{steps} inner steps, but the rule has {self.layers} layers of their own; expected no more steps than "
                "layers, or a rule of layers=None"
            )
