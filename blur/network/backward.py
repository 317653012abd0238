"""The backward sweep: every hidden layer hears the one above."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from blur.network.activations import Activation, find_activation
from blur.network.layers import Layer, cross, cross_back
from blur.network.layerwise import LayerwisePhase
from blur.network.normalisation import SynapseNormalisation, batch_statistics, normalisation_genome, normalise
from blur.network.synapses import Synapse
from blur.rule import Batch, Genome
from blur.state import State

Combine = Literal["additive", "multiplicative", "multiplicative_second_state", "replace"]


def combine(mode: Combine, genome: Genome, layer: Layer, arriving: Layer) -> Layer:
    """How what arrives from above (η u) changes a layer a.

    `additive` f a + η u; `multiplicative` f a u; `multiplicative_second_state` f (a¹, a² u², …); `replace` u.
    """
    if mode == "additive":
        return genome["keep"] * layer + genome["update"] * arriving
    if mode == "multiplicative":
        return genome["keep"] * layer * arriving
    if mode == "multiplicative_second_state":
        return genome["keep"] * jnp.concatenate([layer[:1], layer[1:] * arriving[1:]])
    return arriving


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backward(LayerwisePhase):
    """a_i^c ← σ(N(f a_i^c + η Σ_{j,d} v_ji^c μ^{dc} a_j^d)), layer by layer downwards to the first hidden one.

    Genome: `transform` μ [states, states], `keep` f, `update` η; with normalisation `gain` and `shift` [states].

    Attributes:
      states: states k of a neuron.
      activation: σ, a name in `ACTIVATIONS` or a function on `[states, batch, neurons]`.
      combine: how what arrives changes a layer: see `combine`.
      normalise: whether the result is normalised over the batch before σ.
      synapse_view: how synapses are read, if not as they are.
      transform_scale: standard deviation of a random μ.
    """

    states: int
    activation: str | Activation = "relu_tanh"
    combine: Combine = "additive"
    normalise: bool = False
    synapse_view: SynapseNormalisation | None = None
    transform_scale: float = 0.3

    def init_layer_genome(self, key: Key[Array, ""]) -> Genome:
        """Random μ, f = η = 1."""
        transform = self.transform_scale * jax.random.normal(key, (self.states, self.states))
        genome = {"transform": transform, "keep": jnp.ones(()), "update": jnp.ones(())}
        genome |= normalisation_genome(self.states) if self.normalise else {}
        return genome | (self.synapse_view.init_genome() if self.synapse_view else {})

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Sets the hidden layers of `neurons`; input and output stay."""
        layers = list(state.neurons)
        genomes = self.layer_genomes(genome, state)
        for index in range(len(layers) - 2, 0, -1):
            arriving = self._arriving(genomes[index], layers[index + 1], state.synapses[index])
            z = combine(self.combine, genomes[index], layers[index], arriving)
            if self.normalise:
                z = normalise(genomes[index], z, batch_statistics(z, batch.weight))
            layers[index] = find_activation(self.activation)(z)
        return state.replace(neurons=tuple(layers))

    def _arriving(self, genome: Genome, above: Layer, synapse: Synapse) -> Layer:
        if self.synapse_view:
            synapse = self.synapse_view(genome, synapse)
        if synapse.backward is None:
            return cross_back(above, genome["transform"], synapse.forward)
        return cross(above, genome["transform"], synapse.backward)
