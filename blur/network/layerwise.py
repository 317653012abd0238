"""Phases that sweep over layers, with one genome for all layers or one per layer."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
from jaxtyping import Array, Key

from blur.core.phases import Phase
from blur.core.rule import Genome
from blur.core.state import State
from blur.support.errors import short

PerLayer = int | Literal["ends"] | None
"""None: one genome for all layers. `ends`: one for the first synapse layer, one for the last, one for all between, at
any depth. A number: one for each of so many synapse layers."""

FIRST, BETWEEN, LAST = range(3)


def check_per_layer(per_layer: PerLayer) -> None:
    """Raises ValueError unless this is None, `ends` or a number of layers."""
    if per_layer not in (None, "ends") and not (type(per_layer) is int and per_layer > 0):
        raise ValueError(f"per_layer is {short(per_layer)}; expected None, 'ends' or a number of at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerwisePhase(Phase):
    """A phase with one genome for all layers, or with several, stacked along a leading axis.

    Attributes:
      per_layer: which layers share a genome, see `PerLayer`.
    """

    per_layer: PerLayer = None

    def init_layer_genome(self, key: Key[Array, ""]) -> Genome:
        """The genome of one layer."""
        raise NotImplementedError

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """One genome, or the stacked genomes of all layers."""
        if self.per_layer is None:
            return self.init_layer_genome(key)
        count = LAST + 1 if self.per_layer == "ends" else self.per_layer
        return jax.vmap(self.init_layer_genome)(jax.random.split(key, count))

    def layer_genomes(self, genome: Genome, state: State) -> list[Genome]:
        """The genome of each synapse layer of the state, in order."""
        layers = len(state.synapses)
        if self.per_layer is None:
            return [genome] * layers
        if self.per_layer == "ends":
            places = ([FIRST] + [BETWEEN] * (layers - 2) + [LAST])[-layers:]
        elif self.per_layer == layers:
            places = list(range(layers))
        else:
            raise ValueError(
                f"{type(self).__name__} has a genome for each of {self.per_layer} synapse layers, but the network has "
                f"{layers}; use a shared genome (per_layer=None) to change the depth"
            )
        return [jax.tree.map(lambda leaf, place=place: leaf[place], genome) for place in places]
