"""The forward sweep: every layer hears the one below."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch, Spec
from blur.core.rule import Genome, StatisticsRule
from blur.core.state import State
from blur.network.activations import Activation, find_activation
from blur.network.batch_norm import Statistics
from blur.network.mixing import Activity
from blur.network.sweep import Sweep
from blur.network.synapses import Synapse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forward(Sweep):
    """a_j^c ← σ(N(f a_j^c + η Σ_{i,d} w_ij^c ν^{dc} a_i^d)), layer by layer upwards; a bias neuron is 1 in every state.

    Genome: that of `Sweep`, whose `transform` is ν.

    Attributes (and those of `Sweep`):
      last_activation: σ of the output layer.
      statistics: which statistics `predict` uses: those of the last `support` batch, which the state keeps, so that a
        single example can be classified; or those of the `query` batch itself (transduction).
    """

    last_activation: str | Activation = "tanh"
    statistics: StatisticsRule = "support"

    symbols: ClassVar[Mapping[str, str]] = {"transform": "ν", "keep": "f", "update": "η"}

    @property
    def prediction_statistics(self) -> StatisticsRule | None:
        """`statistics`, if pre-activations are normalised."""
        return self.statistics if self.normalise else None

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """Adds `statistics` of the hidden layers (mean 0, variance 1 before the first batch)."""
        if not self._keeps_statistics:
            return state
        sizes = [synapse.forward.shape[-1] for synapse in state.synapses[:-1]]
        shapes = [(self.states, size) for size in sizes]
        return state.replace(
            statistics=tuple(
                Statistics(jnp.zeros(s, spec.inputs.dtype), jnp.ones(s, spec.inputs.dtype)) for s in shapes
            )
        )

    @property
    def _keeps_statistics(self) -> bool:
        return self.normalise and self.statistics == "support"

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Sets `neurons`, and `statistics` if the state keeps them."""
        return self._sweep(genome, state, batch, stored=None)

    def read(self, genome: Genome, state: State, batch: Batch) -> State:
        """Sets `neurons`, normalised with the stored statistics."""
        return self._sweep(genome, state, batch, stored=state.statistics if self._keeps_statistics else None)

    def _sweep(self, genome: Genome, state: State, batch: Batch, stored: tuple[Statistics, ...] | None) -> State:
        layers, statistics = [state.neurons[0]], []
        last = len(state.synapses) - 1
        for index, (layer_genome, synapse) in enumerate(
            zip(self.layer_genomes(genome, state), state.synapses, strict=True)
        ):
            z = self._pre_activation(layer_genome, layers[-1], synapse, state.neurons[index + 1])
            if self.normalise and index < last:
                z, used = self.normalised(layer_genome, z, batch.weight, None if stored is None else stored[index])
                statistics.append(used)
            layers.append(find_activation(self.last_activation if index == last else self.activation)(z))
        state = state.replace(neurons=tuple(layers))
        return state.replace(statistics=tuple(statistics)) if self._keeps_statistics else state

    def _pre_activation(
        self, genome: Genome, below: Activity, synapse: Synapse, before: Activity | None
    ) -> Float[Array, "states batch neurons"]:
        synapse = self.view(genome, synapse)
        transform = genome["update"] * genome["transform"]
        z = synapse.weights.send(below, transform)
        if synapse.bias is not None:
            z += (jnp.sum(transform, axis=0)[:, None] * synapse.bias)[:, None]
        return z if before is None else z + genome["keep"] * before
