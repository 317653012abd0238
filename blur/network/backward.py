"""The backward sweep: every hidden layer hears the one above."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Key

from blur.core.episode import Batch
from blur.core.rule import Genome
from blur.core.state import State
from blur.network.activations import find_activation
from blur.network.mixing import Activity, mix
from blur.network.sweep import Sweep
from blur.network.synapses import Synapse
from blur.network.weights.dense import as_weights

Combine = Literal["additive", "gated", "multiplicative", "multiplicative_second_state", "replace"]

SCALED = ("additive", "gated")
"""Ways to combine that multiply u by η."""


def combine(mode: Combine, genome: Genome, layer: Activity, arriving: Activity) -> Activity:
    """The pre-activations of a layer with activity a, at which u arrives from above.

    `additive` f a + η u; `gated` f a + η (β + γᵀa) u, as a derivative φ′(a) gates an error in backpropagation;
    `multiplicative` f a u; `multiplicative_second_state` f (a¹, a² u², …); `replace` u. `arriving` is η u for a mode in
    `SCALED`, else u.
    """
    keep: Array = genome["keep"]
    if mode in SCALED:
        if mode == "gated":
            arriving = (genome["gate_bias"][:, None, None] + mix(layer, genome["gate"])) * arriving
        return keep * layer + arriving
    if mode == "multiplicative":
        return keep * layer * arriving
    if mode == "multiplicative_second_state":
        return keep * jnp.concatenate([layer[:1], layer[1:] * arriving[1:]])
    return arriving


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backward(Sweep):
    """a_i^c ← σ(N(f a_i^c + η Σ_{j,d} v_ji^c μ^{dc} a_j^d)), layer by layer downwards to the first hidden one.

    Genome: that of `Sweep`, whose `transform` is μ; if `gated`, `gate` γ [states, states] and `gate_bias` β [states].

    Attributes (and those of `Sweep`):
      combine: how a layer and the input from above make pre-activations, see `combine`.
    """

    combine: Combine = "additive"

    symbols: ClassVar[Mapping[str, str]] = {"transform": "μ", "keep": "f", "update": "η", "gate": "γ", "gate_bias": "β"}

    def init_layer_genome(self, key: Key[Array, ""]) -> Genome:
        """That of `Sweep`; gates are open: γ = 0, β = 1."""
        genome = super().init_layer_genome(key)
        if self.combine != "gated":
            return genome
        return genome | {"gate": jnp.zeros((self.states, self.states)), "gate_bias": jnp.ones(self.states)}

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Sets the hidden layers of `neurons`; input and output stay."""
        layers = list(state.neurons)
        genomes = self.layer_genomes(genome, state)
        for index in range(len(layers) - 2, 0, -1):
            arriving = self._arriving(genomes[index], layers[index + 1], state.synapses[index])
            z = combine(self.combine, genomes[index], layers[index], arriving)
            if self.normalise:
                z, _ = self.normalised(genomes[index], z, batch.weight)
            layers[index] = find_activation(self.activation)(z)
        return state.replace(neurons=tuple(layers))

    def _arriving(self, genome: Genome, above: Activity, synapse: Synapse) -> Activity:
        synapse = self.view(genome, synapse)
        transform = (genome["update"] if self.combine in SCALED else 1.0) * genome["transform"]
        if synapse.backward is None:
            return synapse.weights.send_back(above, transform)
        return as_weights(synapse.backward).send(above, transform)
