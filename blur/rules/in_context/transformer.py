"""Transformers that learn in context: attention, perceptrons and embeddings in any order, over one context.

An inner step reads the whole context and keeps every layer's view of it. A prediction passes queries through the
layers, where they attend to these views. (In `LinearAttention` a step is one layer; here layers may differ.)

Perceptron, embedding and softmax are written here and not taken from a library of layers: each takes a few lines as a
pure function of a genome, and genomes are pytrees of named arrays that are meta-trained, checked and saved alike.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from blur.core.episode import Batch, Spec, Stream
from blur.core.genome import check_same_genome, genome_shapes
from blur.core.inner_loop import unroll
from blur.core.losses import at_least_tiny
from blur.core.rule import Genome, UpdateRule
from blur.rules.in_context.tokens import (
    attend,
    check_context,
    check_damping,
    check_initial_scale,
    check_queries,
    present,
    random_heads,
    random_matrix,
)
from blur.support.errors import check_choice, check_sizes, short

Tokens = Float[Array, "tokens _width"]
"""Their width may differ from layer to layer."""

View = tuple[Float[Array, "context _width"], Float[Array, "context"]]
"""The context as a layer finds it, and the tokens' weights."""


class Layer(abc.ABC):
    """A layer of a transformer. Subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def init_genome(self, key: Key[Array, ""], width: int) -> Genome:
        """Random matrices for tokens of `width` numbers."""

    @abc.abstractmethod
    def apply(self, genome: Genome, tokens: Tokens, view: View) -> Tokens:
        """Tokens after this layer; they attend to the context alone."""


@dataclasses.dataclass(frozen=True)
class Attend(Layer):
    """e ← e + λ Σ_h P_h V_h E a_h(e), with linear scores a = w (EᵀK_hᵀ Q_h e) / Σw or with softmax.

    Softmax: a_i ∝ w_i exp((K_h e_i)·(Q_h e) / √key_size).

    Attributes:
      kind: of the scores.
      heads: attention heads.
      key_size: None for the tokens' width.
      initial_scale: matrices are drawn from N(0, initial_scale / fan-in).
      damping: λ.
      targets_only: numbers at the end of a token that are its target; only these change. None changes all numbers.

    Raises:
      ValueError: a size is below 1, the kind unknown, `initial_scale` negative or not finite, or `damping` not finite.
    """

    kind: Literal["linear", "softmax"] = "linear"
    heads: int = 1
    key_size: int | None = None
    initial_scale: float = 0.1
    damping: float = 1.0
    targets_only: int | None = None

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, ("linear", "softmax"))
        check_sizes(heads=self.heads, key_size=self.key_size, targets_only=self.targets_only)
        check_initial_scale(self.initial_scale)
        check_damping(self.damping)

    def init_genome(self, key: Key[Array, ""], width: int) -> Genome:
        """`projection`, `value`, `key` and `query`, as in `LinearAttention`."""
        return random_heads(key, self.heads, self.key_size, width, self.initial_scale)

    def apply(self, genome: Genome, tokens: Tokens, view: View) -> Tokens:
        """Tokens plus `damping` times what they read from the context; an empty context leaves them as they are."""
        update = self.damping * self._read(genome, tokens, view)
        if self.targets_only is not None:
            update = update.at[:, : -self.targets_only].set(0)
        return tokens + update

    def _read(self, genome: Genome, tokens: Tokens, view: View) -> Tokens:
        """Σ_h P_h V_h E a_h(e) for every token e."""
        context, weight = view
        if self.kind == "linear":
            return attend(genome, context, weight / at_least_tiny(jnp.sum(weight)), tokens)
        keys = jnp.einsum("cd,hkd->hck", context, genome["key"]) / jnp.sqrt(genome["key"].shape[1])
        scores = jnp.einsum("td,hkd,hck->htc", tokens, genome["query"], keys, optimize="optimal")
        values = jnp.einsum("cd,hkd,hek->hce", context, genome["value"], genome["projection"], optimize="optimal")
        return jnp.einsum("htc,hce->te", weighted_softmax(scores, weight), values)


@dataclasses.dataclass(frozen=True)
class Descend(Layer):
    """One step of gradient descent on the last `outputs` numbers of the tokens, linear in all others, from W = 0.

    The constructed layer of `blur.rules.in_context.constructed` on learned features. Genome: `step_size`.
    """

    outputs: int = 1
    initial_step_size: float = 0.1

    def __post_init__(self) -> None:
        check_sizes(outputs=self.outputs)

    def init_genome(self, key: Key[Array, ""], width: int) -> Genome:
        """The step size."""
        return {"step_size": jnp.full((), self.initial_step_size)}

    def apply(self, genome: Genome, tokens: Tokens, view: View) -> Tokens:
        """y_j ← y_j − η Σ_i w_i y_i (x_i·x_j) / Σw."""
        context, weight = view
        x, y = context[:, : -self.outputs], context[:, -self.outputs :]
        scores = tokens[:, : -self.outputs] @ x.T * (weight / at_least_tiny(jnp.sum(weight)))
        return tokens.at[:, -self.outputs :].add(-genome["step_size"] * scores @ y)


@dataclasses.dataclass(frozen=True)
class Perceptron(Layer):
    """e ← e + B gelu(A e + a) + b, with `hidden` units."""

    hidden: int

    def __post_init__(self) -> None:
        check_sizes(hidden=self.hidden)

    def init_genome(self, key: Key[Array, ""], width: int) -> Genome:
        """Variance 1 / fan-in; biases of 0."""
        first, second = jax.random.split(key)
        return {
            "in": random_matrix(first, (self.hidden, width), 1.0),
            "in_bias": jnp.zeros(self.hidden),
            "out": random_matrix(second, (width, self.hidden), 1.0),
            "out_bias": jnp.zeros(width),
        }

    def apply(self, genome: Genome, tokens: Tokens, view: View) -> Tokens:
        """Tokens plus the perceptron's output."""
        hidden = jax.nn.gelu(tokens @ genome["in"].T + genome["in_bias"])
        moved: Array = tokens + hidden @ genome["out"].T + genome["out_bias"]
        return moved


@dataclasses.dataclass(frozen=True)
class Embed(Layer):
    """e ← A e, with `width` numbers."""

    width: int

    def __post_init__(self) -> None:
        check_sizes(width=self.width)

    def init_genome(self, key: Key[Array, ""], width: int) -> Genome:
        """Variance 1 / fan-in."""
        return {"matrix": random_matrix(key, (self.width, width), 1.0)}

    def apply(self, genome: Genome, tokens: Tokens, view: View) -> Tokens:
        """A e for every token e, `width` numbers each."""
        embedded: Array = tokens @ genome["matrix"].T
        return embedded


class TransformerState(NamedTuple):
    """The context as every layer found it.

    Attributes:
      views: the context's tokens before each layer.
      weight: the tokens' weights.
    """

    views: tuple[Float[Array, "context _width"], ...]
    weight: Float[Array, "context"]


@dataclasses.dataclass(frozen=True)
class Transformer(UpdateRule):
    """A stack of layers over a context of pairs; the prediction is −(last `outputs` numbers) of a query's token.

    Genome: those of the layers, under their numbers; of `tied` ones, that of the first. The context is the batch of the
    last inner step, so one step (`Episode.steps = 1`) is all that it takes.

    Attributes:
      inputs: numbers of x.
      outputs: numbers of y.
      layers: in order.
      tokens: `paired`, (x, y) in the context and (x, 0) as a query; or `alternating`, (x_1, 0), (0, y_1), (x_2, 0), …
        and the query last.
      positions: numbers of a sinusoidal position that is put in front of every token; even. Pairs of weight 0 have no
        position, so that a masked context is a shorter one; contexts may be of any length, but a genome knows only the
        positions of its meta-training.
      clip: tokens are clipped to ±clip after every layer; None for no clipping.
      tied: all layers, which are equal, share one genome.

    Raises:
      ValueError: a size is below 1, `positions` is odd or negative, `clip` is not positive, `tokens` is unknown, or
        there is no layer or one that does not fit the others.

    Examples:
      >>> import jax
      >>> from blur.rules.in_context.transformer import Attend, Perceptron
      >>> rule = blur.Transformer(inputs=1, layers=(Perceptron(16), Attend("softmax", heads=2)))
      >>> sorted(rule.init_genome(jax.random.key(0))["1"])
      ['key', 'projection', 'query', 'value']
    """

    inputs: int
    outputs: int = 1
    layers: tuple[Layer, ...] = (Attend(),)
    tokens: Literal["paired", "alternating"] = "paired"
    positions: int = 0
    clip: float | None = None
    tied: bool = False

    def __post_init__(self) -> None:
        check_sizes(inputs=self.inputs, outputs=self.outputs)
        check_choice("tokens", self.tokens, ("paired", "alternating"))
        if self.positions < 0 or self.positions % 2:
            raise ValueError(f"positions is {self.positions}; expected an even number, 0 for none")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip is {self.clip}; expected a positive number, or None for no clipping")
        self._check_layers()

    @property
    def in_context(self) -> bool:
        """True: every inner step reads the whole context."""
        return True

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """Every layer's."""
        width, genome = self.positions + self.inputs + self.outputs, {}
        for index, layer in enumerate(self.layers[:1] if self.tied else self.layers):
            genome[str(index)] = layer.init_genome(jax.random.fold_in(key, index), width)
            width = layer.width if isinstance(layer, Embed) else width
        return genome

    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Spec | Batch) -> TransformerState:
        """A context that weighs nothing.

        Raises:
          ValueError: the context is empty, its sizes or types are not the genome's, or the genome is not this rule's.
        """
        check_same_genome(genome_shapes(self), genome, names=("the rule's", "the one given"))
        check_context(genome, spec, self.inputs, self.outputs)
        leaves = spec.inputs, spec.targets, spec.weight
        after = jax.eval_shape(lambda genome, *batch: self._read(genome, Batch(*batch)), genome, *leaves)
        empty: TransformerState = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), after)
        return empty

    def step(self, genome: Genome, state: TransformerState, batch: Batch) -> TransformerState:
        """Reads the context `batch` and forgets the one before."""
        check_context(genome, batch, self.inputs, self.outputs)
        return self._read(genome, batch)

    def predict(
        self, genome: Genome, state: TransformerState, inputs: Float[Array, "batch inputs"]
    ) -> Float[Array, "batch outputs"]:
        """Passes queries through all layers.

        Raises:
          ValueError: the queries' width is not the genome's.
        """
        return self.predict_by_layer(genome, state, inputs)[-1]

    def predict_by_layer(
        self, genome: Genome, state: TransformerState, inputs: Float[Array, "batch inputs"]
    ) -> Float[Array, "layers batch outputs"]:
        """The predictions if each layer were the last: −(last `outputs` numbers) of the queries' tokens.

        Raises:
          ValueError: the queries' width is not the genome's.
        """
        check_queries(inputs, self.inputs)
        places = jnp.full(inputs.shape[0], jnp.sum(state.weight != 0))  # after the context
        tokens = self._positioned(jnp.pad(inputs, ((0, 0), (0, self.outputs))), places)
        outputs = []
        for index, layer in enumerate(self.layers):
            tokens = self._applied(genome, index, layer, tokens, (state.views[index], state.weight))
            outputs.append(-tokens[:, -self.outputs :])
        return jnp.stack(outputs)

    def predict_by_step(
        self,
        genome: Genome,
        state: TransformerState,
        support: Batch | Stream,
        inputs: Float[Array, "batch inputs"],
        steps: int | None = None,
    ) -> Float[Array, "layers batch outputs"]:
        """`predict_by_layer` after the last step: one step is all layers."""
        state, _ = unroll(self, genome, state, support, steps)
        return self.predict_by_layer(genome, state, inputs)

    def sequence(self, batch: Batch) -> tuple[Tokens, Float[Array, "tokens"]]:
        """The context's tokens before the first layer, and their weights."""
        x, y = present(batch.weight, batch.inputs, batch.targets)
        if self.tokens == "paired":
            tokens, weight = jnp.concatenate([x, y], axis=-1), batch.weight
        else:
            x, y = jnp.pad(x, ((0, 0), (0, self.outputs))), jnp.pad(y, ((0, 0), (self.inputs, 0)))
            tokens = jnp.stack([x, y], axis=1).reshape(-1, x.shape[-1])
            weight = jnp.repeat(batch.weight, 2)
        return self._positioned(tokens, jnp.cumsum(weight != 0) - 1), weight

    def through(self, genome: Genome, tokens: Tokens, weight: Float[Array, "tokens"]) -> tuple[Tokens, ...]:
        """A context before each layer, and after the last."""
        views = [tokens]
        for index, layer in enumerate(self.layers):
            views.append(self._applied(genome, index, layer, views[-1], (views[-1], weight)))
        return tuple(views)

    def _read(self, genome: Genome, batch: Batch) -> TransformerState:
        tokens, weight = self.sequence(batch)
        return TransformerState(self.through(genome, tokens, weight)[:-1], weight)

    def _applied(self, genome: Genome, index: int, layer: Layer, tokens: Tokens, view: View) -> Tokens:
        tokens = layer.apply(genome["0" if self.tied else str(index)], tokens, view)
        return tokens if self.clip is None else jnp.clip(tokens, -self.clip, self.clip)

    def _check_layers(self) -> None:
        """Raises ValueError unless there are layers, and they fit each other and the outputs."""
        if not self.layers:
            raise ValueError("a transformer without layers cannot learn; expected at least one")
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise ValueError(f"a layer is {short(layer)}; expected layers such as Attend() or Perceptron(40)")
            if isinstance(layer, Descend) and layer.outputs != self.outputs:
                raise ValueError(
                    f"Descend has {layer.outputs} outputs, but the transformer {self.outputs}; make them equal"
                )
            if isinstance(layer, Attend) and layer.targets_only not in (None, self.outputs):
                raise ValueError(
                    f"Attend has targets_only={layer.targets_only}, but the transformer {self.outputs} outputs; make "
                    "them equal"
                )
            if isinstance(layer, Embed) and layer.width < self.outputs:
                raise ValueError(
                    f"Embed has width {layer.width}, but there are {self.outputs} outputs to be read from it"
                )
        if self.tied and (len(set(self.layers)) > 1 or isinstance(self.layers[0], Embed)):
            raise ValueError(f"tied layers are {short(self.layers)}; expected equal ones that keep the tokens' width")

    def _positioned(self, tokens: Tokens, places: Int[Array, "tokens"]) -> Tokens:
        """Tokens with their sinusoidal positions in front (Vaswani et al. 2017, §3.5)."""
        if not self.positions:
            return tokens
        rates = 10_000.0 ** (-jnp.arange(0, self.positions, 2) / self.positions)
        angles = places[:, None] * rates
        encoded = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(len(places), -1)
        return jnp.concatenate([encoded.astype(tokens.dtype), tokens], axis=-1)


def weighted_softmax(
    scores: Float[Array, "*heads context"], weight: Float[Array, "context"]
) -> Float[Array, "*heads context"]:
    """w_i exp(s_i) / Σ_j w_j exp(s_j); 0 where nothing weighs anything."""
    largest = jnp.max(jnp.where(weight > 0, scores, jnp.finfo(scores.dtype).min), axis=-1, keepdims=True)
    shares = weight * jnp.exp(jnp.where(weight > 0, scores - jax.lax.stop_gradient(largest), 0))
    return shares / at_least_tiny(jnp.sum(shares, axis=-1, keepdims=True))
