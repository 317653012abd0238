"""The base class of the forward and the backward sweep."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.rule import Genome
from blur.network.activations import Activation
from blur.network.batch_norm import Statistics, normalise, normalise_batch
from blur.network.layerwise import LayerwisePhase
from blur.network.synapse_norm import SynapseNormalisation
from blur.network.synapses import Synapse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep(LayerwisePhase):
    """A phase in which layers hear one another through synapses, one after the other.

    Genome: `transform` [states, states], `keep` f, `update` η; with normalisation `gain` and `shift` [states].

    Attributes:
      states: states k of a neuron.
      activation: σ of hidden layers, a name in `ACTIVATIONS` or a function on `[states, batch, neurons]`.
      normalise: whether the pre-activations of hidden layers are normalised over the batch.
      synapse_view: normalises synapses while the sweep reads them; None to read them as they are.
      transform_scale: standard deviation of a random transform.
    """

    states: int
    activation: str | Activation = "relu_tanh"
    normalise: bool = False
    synapse_view: SynapseNormalisation | None = None
    transform_scale: float = 0.3

    def init_layer_genome(self, key: Key[Array, ""]) -> Genome:
        """Random transform, f = η = 1, gain 1 and shift 0."""
        transform = self.transform_scale * jax.random.normal(key, (self.states, self.states))
        genome = {"transform": transform, "keep": jnp.ones(()), "update": jnp.ones(())}
        if self.normalise:
            genome |= {"gain": jnp.ones(self.states), "shift": jnp.zeros(self.states)}
        return genome | (self.synapse_view.init_genome() if self.synapse_view else {})

    def view(self, genome: Genome, synapse: Synapse) -> Synapse:
        """The synapses that this sweep reads: normalised if there is a `synapse_view`."""
        return self.synapse_view(genome, synapse) if self.synapse_view else synapse

    def normalised(
        self,
        genome: Genome,
        z: Float[Array, "states batch neurons"],
        weight: Float[Array, "batch"],
        statistics: Statistics | None = None,
    ) -> tuple[Float[Array, "states batch neurons"], Statistics]:
        """N(z) with one learned gain and shift per state, and its statistics: the given ones, or those of z."""
        gain, shift = genome["gain"][:, None], genome["shift"][:, None]
        if statistics is None:
            return normalise_batch(z, weight, gain, shift)
        return normalise(z, statistics, gain, shift), statistics
