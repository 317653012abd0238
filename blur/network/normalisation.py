"""Normalisation of pre-activations over the batch, and of synapses over their sources."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.network.synapses import Synapse
from blur.rule import Batch, Genome, Phase
from blur.state import State

EPSILON = 1e-5
"""Added to the variance of a batch."""

SYNAPSE_EPSILON = 1e-9
"""Added to the squared norm of a neuron's synapses (Sandler et al. 2021)."""


StatisticsRule = Literal["support", "query"]
"""What normalises a prediction: statistics of the last support batch, or of the query batch itself."""


class Statistics(NamedTuple):
    """Mean and (biased) variance of a layer's pre-activations over a batch; neurons may have states or not."""

    mean: Float[Array, "*states neurons"]
    variance: Float[Array, "*states neurons"]


def batch_statistics(z: Float[Array, "*states batch neurons"], weight: Float[Array, "batch"]) -> Statistics:
    """Weighted by example: mean = Σ_b w_b z_b / Σ w, variance = Σ_b w_b (z_b − mean)² / Σ w."""
    share = (weight / jnp.maximum(jnp.sum(weight), jnp.finfo(weight.dtype).tiny))[:, None]
    mean = jnp.sum(share * z, axis=-2)
    return Statistics(mean, jnp.sum(share * (z - mean[..., None, :]) ** 2, axis=-2))


def normalise(
    z: Float[Array, "*states batch neurons"],
    statistics: Statistics,
    gain: Float[Array, "*#states #neurons"],
    shift: Float[Array, "*#states #neurons"],
) -> Float[Array, "*states batch neurons"]:
    """N(z) = gain (z − mean) / √(variance + ε) + shift."""
    scale = gain * jax.lax.rsqrt(statistics.variance + EPSILON)
    offset = shift - scale * statistics.mean
    return scale[..., None, :] * z + offset[..., None, :]


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
        factor = genome["rescale_to"] if self.rescale else 1.0
        squared = jnp.sum(synapse.forward**2, axis=1)
        if synapse.bias is not None:
            squared += synapse.bias**2
        scale = factor * jax.lax.rsqrt(squared + SYNAPSE_EPSILON)
        backward = synapse.backward
        if backward is not None:
            squared_back = jnp.sum(backward**2, axis=1, keepdims=True)
            backward = backward * (factor * jax.lax.rsqrt(squared_back + SYNAPSE_EPSILON))
        bias = None if synapse.bias is None else synapse.bias * scale
        return Synapse(synapse.forward * scale[:, None], bias, backward)


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
