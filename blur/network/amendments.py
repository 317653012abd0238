"""Amendments of a pending change of the synapses, between `Hebbian` and `ApplyChange`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch
from blur.core.phases import Phase
from blur.core.rule import Genome
from blur.core.state import State
from blur.network.synapses import Synapse, need


def amend(state: State, *synapses: Synapse) -> State:
    """The state with other synapses in its pending change, one for each layer."""
    return state.replace(change=state.change._replace(synapses=synapses))


def tie_directions(synapse: Synapse) -> Synapse:
    """Backward synapses become the transpose of the forward array: v_ji^c = w_ij^c. For synapses and for changes."""
    if synapse.backward is None:
        return synapse
    return synapse._replace(backward=jnp.swapaxes(cast(Array, synapse.forward), 1, 2))


def tie_states(synapse: Synapse) -> Synapse:
    """All states of a synapse become its first."""
    tied: Synapse = jax.tree.map(lambda w: jnp.broadcast_to(w[:1], w.shape), synapse)
    return tied


@dataclasses.dataclass(frozen=True)
class TieDirections(Phase):
    """Backward synapses change as the forward ones do: transposes that start equal stay equal."""

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Amends `change`."""
        need((synapse for synapse in state.synapses if synapse.backward is not None), "arrays", "tying directions")
        return amend(state, *map(tie_directions, state.change.synapses))


@dataclasses.dataclass(frozen=True)
class TieStates(Phase):
    """All states of a synapse change as the first does."""

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Amends `change`."""
        need(state.synapses, "arrays", "tying states")
        return amend(state, *map(tie_states, state.change.synapses))


@dataclasses.dataclass(frozen=True)
class Oja(Phase):
    """Adds Oja's decay: Δ_ij^c −= |η̃| m w_ij^c Σ_batch (Σ_d μ̃^{cd} a_j^d)², which bounds a Hebbian synapse.

    With `from_weights` the decay is |η̃| m w_ij^c Σ_i (w_ij^c)² instead, the sum running over the synapses that arrive
    at j in the same direction (the original also sums over blocks of its square matrix that no neuron reads).

    Attributes:
      strength: m.
      learned: whether m is multiplied by the absolute value of the genome's `multiplier`.
      from_weights: which form.
    """

    strength: float = 1.0
    learned: bool = False
    from_weights: bool = False

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """`multiplier` = 1, if it is learned."""
        return {"multiplier": jnp.ones(())} if self.learned else {}

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Amends `change`."""
        need(state.synapses, "arrays", "Oja's decay")
        strength = self.strength * (jnp.abs(genome["multiplier"]) if self.learned else 1.0)
        return amend(
            state,
            *(
                self._decay(strength * jnp.abs(update), synapse, change, targets, state.change.weight)
                for synapse, change, targets, update in zip(
                    state.synapses, state.change.synapses, state.change.targets, state.change.update, strict=True
                )
            ),
        )

    def _decay(
        self,
        strength: Array,
        synapse: Synapse,
        change: Synapse,
        targets: tuple[Array, Array | None],
        weight: Float[Array, "batch"],
    ) -> Synapse:
        up = strength * self._power(targets[0], weight, synapse.weights.dense(), synapse.bias)
        down = None
        if synapse.backward is not None and targets[1] is not None:
            down = strength * self._power(targets[1], weight, synapse.backward, None)
        decays = Synapse(up[:, None], None if change.bias is None else up, None if down is None else down[:, None])
        decayed: Synapse = jax.tree.map(lambda delta, w, decay: delta - w * decay, change, synapse, decays)
        return decayed

    def _power(
        self, target: Array, weight: Array, weights: Array, bias: Array | None
    ) -> Float[Array, "states targets"]:
        if not self.from_weights:
            return jnp.einsum("b,cbn->cn", weight, target**2)
        return jnp.sum(weights**2, axis=1) + (0 if bias is None else bias**2)


@dataclasses.dataclass(frozen=True)
class Decay(Phase):
    """Δ ← Δ (1 + |r| t)^(−|p|) in inner step t = 0, 1, …: step sizes decay as a power of time.

    Genome: `rate` r, `power` p.
    """

    symbols: ClassVar[Mapping[str, str]] = {"rate": "r", "power": "p"}

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """r = 0.1, p = 0.5."""
        return {"rate": jnp.full((), 0.1), "power": jnp.full((), 0.5)}

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Amends `change`."""
        factor = (1 + jnp.abs(genome["rate"]) * state.step) ** -jnp.abs(genome["power"])
        layers = zip(state.synapses, state.change.synapses, strict=True)
        return amend(state, *(_scaled(*layer, factor) for layer in layers))


def _scaled(synapse: Synapse, change: Synapse, factor: Float[Array, ""]) -> Synapse:
    """A layer's change times a factor."""
    forward = synapse.weights.scaled(change.forward, factor)
    return Synapse(forward, *jax.tree.map(lambda delta: factor * delta, (change.bias, change.backward)))
