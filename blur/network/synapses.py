"""Synapses between consecutive layers, and how they start."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch, Spec
from blur.core.phases import Phase
from blur.core.rule import Genome
from blur.core.state import State
from blur.network.noise import normal_noise
from blur.network.weights.base import Capability, Stored, StoredChange, Weights
from blur.network.weights.connection import Connected, Connection
from blur.network.weights.dense import as_weights
from blur.network.weights.dual import empty_dual
from blur.network.weights.flat import flat


class Synapse(NamedTuple):
    """The synapses between layer ℓ (I neurons) and layer ℓ+1 (O neurons), each with `c` states.

    Attributes:
      forward: w: an array `[c, I, O]`, or another form of storage (`blur.network.weights`). In a change, what
        `Weights.propose` makes.
      bias: the synapses of the bias neuron (1 in every state), `[c, O]`; None without bias.
      backward: v, `[c, O, I]`; None where it is the transpose of `forward`, or never read (into the input layer).
    """

    forward: Stored | StoredChange
    bias: Float[Array, "states outputs"] | None
    backward: Float[Array, "states outputs inputs"] | None

    @property
    def weights(self) -> Weights:
        """`forward` with the methods that every storage has; not for a change."""
        return as_weights(self.forward)


Synapses = tuple[Synapse, ...]


def need(synapses: Iterable[Synapse], capability: Capability, purpose: str) -> None:
    """Raises ValueError if the storage of some forward synapses lacks a capability. `purpose` is what needs it."""
    for synapse in synapses:
        synapse.weights.need(capability, purpose)


MOST_NEURONS = 1_000_000
"""The most neurons of a layer; a file that asks for more is refused."""


def check_widths(hidden: tuple[int, ...]) -> None:
    """Raises ValueError unless every hidden layer has 1 to `MOST_NEURONS` neurons."""
    if any(not 1 <= width <= MOST_NEURONS for width in hidden):
        raise ValueError(f"hidden is {hidden}; every hidden layer needs at least one neuron, {MOST_NEURONS} at most")


@dataclasses.dataclass(frozen=True)
class DenseSynapses(Phase):
    """Owns the state field `synapses`: layers of `hidden` neurons between the batch's inputs and outputs.

    Synapses start as s·N(0, 1/fan-in). The fan-in of a forward synapse counts the bias neuron, the fan-in of a backward
    synapse is the number of neurons above. The scales s belong to the genome: one for all forward synapses, one for the
    last layer on top of it, one for backward synapses.

    A `symmetric` start adds transposes to the backward synapses, v_ji^c += Σ_d B^{dc} w_ij^d with `backward_mix` B in
    the genome: feedback is then of use before it has aligned with the forward synapses.

    Attributes:
      hidden: neurons of each hidden layer. A `Connection` such as `Convolution(channels=4, size=3, image=(8, 8, 1))`
        stands for a layer that hears the one below through it: biases are one per neuron, and feedback returns through
        the transpose, whatever `separate_backward` is.
      states: states of a synapse: those of a neuron, or 1 to serve all of them.
      separate_backward: whether backward synapses are their own, not the transpose of the forward ones.
      bias: whether each layer hears a bias neuron.
      symmetric: whether separate backward synapses start near transposes of the forward ones.
      flat_input: whether the forward synapses of the input are one matrix (`blur.network.weights.flat`), which is
        faster; phases that need arrays refuse it.
      dual_steps: None, or the inner steps that the dual form of these synapses has room for
        (`blur.network.weights.dual`).

    Raises:
      ValueError: a `Connection` does not fit the layer below.
    """

    hidden: tuple[int | Connection, ...]
    states: int
    separate_backward: bool = True
    bias: bool = True
    symmetric: bool = False
    flat_input: bool = False
    dual_steps: int | None = None

    symbols: ClassVar[Mapping[str, str]] = {"backward_mix": "B"}

    def __post_init__(self) -> None:
        check_widths(tuple(layer for layer in self.hidden if isinstance(layer, int)))

    @property
    def layer_widths(self) -> tuple[int, ...] | None:
        """`hidden`; None where a layer is a `Connection`, whose size is its own."""
        widths = tuple(layer for layer in self.hidden if isinstance(layer, int))
        return widths if len(widths) == len(self.hidden) else None

    @property
    def max_steps(self) -> int | None:
        """`dual_steps`."""
        return self.dual_steps

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """Scales of 1; with a symmetric start B = 1, and backward synapses of their own at a tenth."""
        names = ["forward_scale", "output_scale"] + ["backward_scale"] * self.separate_backward
        genome = {name: jnp.ones(()) for name in names}
        if not (self.symmetric and self.separate_backward):
            return genome
        return genome | {"backward_scale": jnp.full((), 0.1), "backward_mix": jnp.eye(self.states)}

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """Adds `synapses`."""
        layers = (*self.hidden, spec.targets.shape[-1])
        below = (spec.inputs.shape[-1], *map(neurons, self.hidden))
        keys = jax.random.split(key, len(layers))
        synapses = [
            self._draw(genome, keys[index], sources, layer, first=index == 0, last=index == len(layers) - 1, spec=spec)
            for index, (sources, layer) in enumerate(zip(below, layers, strict=True))
        ]
        return state.replace(synapses=tuple(synapses))

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Does nothing: other phases read and change the synapses."""
        return state

    def _draw(
        self,
        genome: Genome,
        key: Array,
        sources: int,
        layer: int | Connection,
        *,
        first: bool,
        last: bool,
        spec: Spec | Batch,
    ) -> Synapse:
        """The synapses of one layer."""
        connection = None if isinstance(layer, int) else fitting(layer, sources)
        fan_in, dtype = sources if connection is None else connection.fan_in, spec.inputs.dtype
        forward_key, bias_key, backward_key = jax.random.split(key, 3)
        scale = genome["forward_scale"] * (genome["output_scale"] if last else 1) / math.sqrt(fan_in + self.bias)
        bias = self._noise(bias_key, scale, (neurons(layer),), dtype) if self.bias else None
        if connection is not None:
            array = self._noise(forward_key, scale, connection.weights_shape, dtype)
            return Synapse(Connected(array, connection), bias, None)
        shape = sources, neurons(layer)
        if first and self.dual_steps is not None:
            start = flat(self._noise(forward_key, 1.0, shape, dtype))
            return Synapse(empty_dual(start, scale, self.dual_steps, spec.inputs.shape[0]), bias, None)
        forward = self._noise(forward_key, scale, shape, dtype)
        if first:
            return Synapse(flat(forward) if self.flat_input else forward, bias, None)
        return Synapse(forward, bias, self._backward(genome, backward_key, forward) if self.separate_backward else None)

    def _backward(self, genome: Genome, key: Array, forward: Array) -> Float[Array, "states outputs inputs"]:
        _, sources, targets = forward.shape
        scale = genome["backward_scale"] / math.sqrt(targets)
        backward = self._noise(key, scale, (targets, sources), forward.dtype)
        if self.symmetric:
            backward += jnp.einsum("dc,dio->coi", genome["backward_mix"], forward)
        return backward

    def _noise(self, key: Array, scale: Array | float, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """s·N(0, 1) for all states."""
        shape = (self.states, *shape)
        return (scale * normal_noise(key, math.prod(shape), dtype)).astype(dtype).reshape(shape)


def neurons(layer: int | Connection) -> int:
    """Neurons of a layer."""
    return layer if isinstance(layer, int) else layer.targets


def fitting(connection: Connection, sources: int) -> Connection:
    """The connection, if it fits the layer below.

    Raises:
      ValueError: it does not.
    """
    if connection.sources != sources:
        raise ValueError(f"{connection} hears {connection.sources} neurons, but the layer below has {sources}")
    return connection
