"""Normalisation of synapses over their sources."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from blur.core.episode import Batch
from blur.core.phases import Phase
from blur.core.rule import Genome
from blur.core.state import State
from blur.network.synapses import Synapse

SYNAPSE_EPSILON = 1e-9
"""Added to the squared norm of a neuron's synapses (Sandler et al. 2021)."""


@dataclasses.dataclass(frozen=True)
class SynapseNormalisation:
    """Scales the synapses that arrive at each target neuron, per state, to unit Euclidean norm.

    w ← w / √(Σ_sources w² + 1e-9), times the genome's `rescale_to` if `rescale`. The bias counts as a source.
    """

    rescale: bool = False

    def init_genome(self) -> Genome:
        """`rescale_to` = 1, if it is used."""
        return {"rescale_to": jnp.ones(())} if self.rescale else {}

    def __call__(self, genome: Genome, synapse: Synapse) -> Synapse:
        """The normalised synapses."""
        synapse.weights.need("arrays", "normalisation of synapses")
        factor, forward = genome["rescale_to"] if self.rescale else 1.0, synapse.weights.dense()
        squared = jnp.sum(forward**2, axis=1)
        if synapse.bias is not None:
            squared += synapse.bias**2
        scale = factor * jax.lax.rsqrt(squared + SYNAPSE_EPSILON)
        backward = synapse.backward
        if backward is not None:
            squared_back = jnp.sum(backward**2, axis=1, keepdims=True)
            backward = backward * (factor * jax.lax.rsqrt(squared_back + SYNAPSE_EPSILON))
        bias = None if synapse.bias is None else synapse.bias * scale
        return Synapse(forward * scale[:, None], bias, backward)


@dataclasses.dataclass(frozen=True)
class NormaliseSynapses(Phase):
    """Normalises the synapses themselves, not only their use in a sweep, at the start of a step."""

    rescale: bool = False

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """See `SynapseNormalisation`."""
        return SynapseNormalisation(self.rescale).init_genome()

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Changes `synapses`."""
        normalisation = SynapseNormalisation(self.rescale)
        return state.replace(synapses=tuple(normalisation(genome, synapse) for synapse in state.synapses))
