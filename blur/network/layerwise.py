"""Phases that sweep over layers, with one genome for all layers or one per layer."""

from __future__ import annotations

import dataclasses

import jax
from jaxtyping import Array, Key

from blur.rule import Genome, Phase
from blur.state import State


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerwisePhase(Phase):
    """A phase whose genome is shared by all layers, or has a leading axis over `per_layer` synapse layers.

    Attributes:
      per_layer: None for one genome shared by all layers, else the number of synapse layers that each have their own.
    """

    per_layer: int | None = None

    def init_layer_genome(self, key: Key[Array, ""]) -> Genome:
        """The genome of one layer."""
        raise NotImplementedError

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """One genome, or `per_layer` of them stacked."""
        if self.per_layer is None:
            return self.init_layer_genome(key)
        return jax.vmap(self.init_layer_genome)(jax.random.split(key, self.per_layer))

    def layer_genomes(self, genome: Genome, state: State) -> list[Genome]:
        """The genome of each synapse layer of the state, in order."""
        layers = len(state.synapses)
        if self.per_layer is None:
            return [genome] * layers
        if self.per_layer != layers:
            raise ValueError(
                f"{type(self).__name__} has a genome for each of {self.per_layer} synapse layers, but the network has "
                f"{layers}; use a shared genome (per_layer=None) to change the depth"
            )
        return [jax.tree.map(lambda leaf, index=index: leaf[index], genome) for index in range(layers)]
