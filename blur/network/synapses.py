"""Dense synapses between consecutive layers, and how they start."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch, Spec
from blur.core.phases import Phase
from blur.core.rule import Genome
from blur.core.state import State
from blur.network.noise import normal_noise
from blur.network.weights.dual import empty_dual
from blur.network.weights.flat import flat


class Synapse(NamedTuple):
    """The synapses between layer ℓ (I neurons) and layer ℓ+1 (O neurons), each with `c` states.

    Attributes:
      forward: w, `[c, I, O]`; or the same as `FlatWeights` or `DualWeights`. In a change, `[c, I, O]`, `FlatWeights` or
        `Factors`.
      bias: the synapses of the bias neuron (1 in every state), `[c, O]`; None without bias.
      backward: v, `[c, O, I]`; None where it is the transpose of `forward`, or never read (into the input layer).
    """

    forward: Any
    bias: Float[Array, "states outputs"] | None
    backward: Float[Array, "states outputs inputs"] | None


Synapses = tuple[Synapse, ...]

MOST_NEURONS = 1_000_000
"""In one layer; a file may ask for any number."""


def check_widths(hidden: tuple[int, ...]) -> None:
    """Raises ValueError unless every hidden layer has 1 to `MOST_NEURONS` neurons."""
    if any(not 1 <= width <= MOST_NEURONS for width in hidden):
        raise ValueError(f"hidden is {hidden}; every hidden layer needs at least one neuron, {MOST_NEURONS} at most")


@dataclasses.dataclass(frozen=True)
class DenseSynapses(Phase):
    """Owns the state field `synapses`: layers of `hidden` neurons between the batch's inputs and outputs.

    They start as s·N(0, 1/fan-in), where the fan-in of a forward synapse counts the bias
    neuron and that of a backward synapse is the number of neurons above. The scales s (all forward synapses, the last
    layer's on top, and backward synapses) belong to the genome.

    A `symmetric` start adds transposes to the backward synapses, v_ji^c += Σ_d B^{dc} w_ij^d with `backward_mix` B in
    the genome: then feedback need not align with the forward synapses before it is of use.

    Attributes:
      hidden: neurons of each hidden layer.
      states: states of a synapse: those of a neuron, or 1 to serve all of them.
      separate_backward: whether backward synapses are their own, not the transpose of the forward ones.
      bias: whether each layer hears a bias neuron.
      symmetric: whether separate backward synapses start near transposes of the forward ones.
      flat_input: store the forward synapses of the input as one matrix (`blur.network.weights.flat`), which is
        faster; phases that need them state by state refuse it.
      dual_steps: store them in dual form instead (`blur.network.weights.dual`), with room for this many inner
        steps; None for not.
    """

    hidden: tuple[int, ...]
    states: int
    separate_backward: bool = True
    bias: bool = True
    symmetric: bool = False
    flat_input: bool = False
    dual_steps: int | None = None

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """Scales of 1; with a symmetric start B = 1, and backward synapses of their own at a tenth."""
        names = ["forward_scale", "output_scale"] + ["backward_scale"] * self.separate_backward
        genome = {name: jnp.ones(()) for name in names}
        if not (self.symmetric and self.separate_backward):
            return genome
        return genome | {"backward_scale": jnp.full((), 0.1), "backward_mix": jnp.eye(self.states)}

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """Adds `synapses`."""
        sizes = (spec.inputs.shape[-1], *self.hidden, spec.targets.shape[-1])
        keys = jax.random.split(key, len(sizes) - 1)
        synapses = [
            self._draw(genome, keys[index], shape, index, last=index == len(sizes) - 2, spec=spec)
            for index, shape in enumerate(pairwise(sizes))
        ]
        return state.replace(synapses=tuple(synapses))

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Does nothing: other phases read and change the synapses."""
        return state

    def _draw(
        self, genome: Genome, key: Array, shape: tuple[int, int], index: int, *, last: bool, spec: Spec | Batch
    ) -> Synapse:
        (sources, targets), (batch, _), dtype = shape, spec.inputs.shape, spec.inputs.dtype
        forward_key, bias_key, backward_key = jax.random.split(key, 3)
        scale = genome["forward_scale"] * (genome["output_scale"] if last else 1) / math.sqrt(sources + self.bias)

        def draw(key: Array, scale: Array | float, *shape: int) -> Array:
            shape = (self.states, *shape)
            return (scale * normal_noise(key, math.prod(shape), dtype)).astype(dtype).reshape(shape)

        bias = draw(bias_key, scale, targets) if self.bias else None
        if index == 0 and self.dual_steps is not None:
            start = flat(draw(forward_key, 1.0, sources, targets))
            return Synapse(empty_dual(start, scale, self.dual_steps, batch), bias, None)
        forward = draw(forward_key, scale, sources, targets)
        if index == 0 and self.flat_input:
            return Synapse(flat(forward), bias, None)
        if not self.separate_backward or index == 0:
            return Synapse(forward, bias, None)
        backward_scale = genome["backward_scale"] / math.sqrt(targets)
        backward = draw(backward_key, backward_scale, targets, sources)
        if self.symmetric:
            backward += jnp.einsum("dc,dio->coi", genome["backward_mix"], forward)
        return Synapse(forward, bias, backward)
