"""The dual form of synapses: their start and all changes since, read as attention over the examples.

Synapses whose only change is w ← f̃ w + xᵀ p are, after t steps, w_t = f̃ᵗ w_0 + Σ_s f̃^(t−1−s) x_sᵀ p_s. What
arrives through it, x w_t = f̃ᵗ x w_0 + Σ_s f̃^(t−1−s) (x x_sᵀ) p_s, needs w_0 and the Gram matrices x x_sᵀ alone: linear
attention with the examples' inputs as keys and the Hebbian factors p_s as values. In a population that shares
episodes, w_0 and all Gram matrices are the same for every genome, so that genomes which are played together
(`blur.meta.population`) share the products with the inputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from blur.network.mixing import Activity
from blur.network.weights.base import Capability, Leaf, Pair, Transforms, Weights
from blur.network.weights.flat import FlatWeights, by_state, mixed_by_state, post_side_by_side, single_state

NO_DUAL_FORM = "changes synapses in a way that has no dual form; use dual_steps=None"


class Factors(NamedTuple):
    """A change of synapses as an outer product xᵀ p that is not carried out.

    Attributes:
      inputs: x, `[batch, I]`.
      post: p, `[batch, c·O]`; η̃ and the examples' weights are in it.
    """

    inputs: Float[Array, "batch inputs"]
    post: Float[Array, "batch states_outputs"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DualWeights(Weights):
    """Synapses `[c, I, O]` of a layer that carries one state, in dual form; it has room for S steps.

    Attributes:
      start: w_0 but for its scale: the same for all genomes.
      scale: f̃ᵗ times the scale of w_0, `[]`; NaN once there is no more room.
      inputs: x_s, `[S, batch, I]`.
      factors: p_s, `[S, batch, c·O]`.
      decays: f̃^(t−1−s), `[S]`; 0 where nothing is stored yet.
      count: t, `[]`, an integer.
    """

    start: FlatWeights
    scale: Leaf
    inputs: Leaf
    factors: Leaf
    decays: Leaf
    count: Leaf

    refusals: ClassVar[Mapping[Capability, str]] = {"elementwise": NO_DUAL_FORM, "arrays": NO_DUAL_FORM}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, I, O): the shape of the dense array."""
        return self.start.shape

    def connect(self, mixed: Float[Array, "states batch inputs"]) -> Float[Array, "states batch outputs"]:
        """See `Weights.connect`."""
        return jnp.einsum("cbi,cio->cbo", mixed, self.dense())

    def heard_by(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch states_outputs"]:
        """x w_t, `[batch, c·O]`: the first 2ⁿ ≥ t stored steps are attended to."""
        rooms = _rooms(len(self.decays))
        room = jnp.searchsorted(jnp.array(rooms), jnp.minimum(self.count, rooms[-1]))
        learned: Array = jax.lax.switch(room, [_attend(size) for size in rooms], x, self)
        return self.scale * self.start.heard_by(x) + learned

    def send(self, activity: Activity, transform: Float[Array, "states states"]) -> Activity:
        """See `FlatWeights.send`."""
        return mixed_by_state(self.heard_by(single_state(activity)), transform, self.start.states)

    def propose(self, pair: Pair, transforms: Transforms) -> Factors:
        """See `Weights.propose`: the factors of the sum."""
        return Factors(single_state(pair.pre), post_side_by_side(pair, transforms))

    def scaled(self, change: Factors, factor: Float[Array, ""]) -> Factors:
        """See `Weights.scaled`: one of the factors is multiplied."""
        return change._replace(post=factor * change.post)

    def commit(self, keep: Float[Array, ""], change: Factors) -> DualWeights:
        """f̃ w + xᵀ p.

        Raises:
          ValueError: the batch has another size than the state was made for.
        """
        given, batch = len(change.inputs), self.inputs.shape[1]
        if given != batch:
            raise ValueError(f"a batch of {given} examples, but the dual form has room for {batch} in every step")
        at = self.count
        room = len(self.decays)
        return DualWeights(
            self.start,
            jnp.where(at < room, keep * self.scale, jnp.nan),
            self.inputs.at[at].set(change.inputs),
            self.factors.at[at].set(change.post),
            (keep * self.decays).at[at].set(1),
            at + 1,
        )

    def dense(self) -> Float[Array, "states inputs outputs"]:
        """w_t as an array."""
        learned = jnp.einsum("s,sbi,sbn->in", self.decays, self.inputs, self.factors)
        return by_state(self.scale * self.start.matrix + learned, self.start.states)


def empty_dual(start: FlatWeights, scale: Array, steps: int, batch: int) -> DualWeights:
    """scale · start, with room for `steps` changes."""
    inputs, columns = start.matrix.shape
    dtype = start.matrix.dtype
    return DualWeights(
        start,
        jnp.asarray(scale, dtype),
        jnp.zeros((steps, batch, inputs), dtype),
        jnp.zeros((steps, batch, columns), dtype),
        jnp.zeros(steps, dtype),
        jnp.zeros((), jnp.int32),
    )


def _rooms(steps: int) -> list[int]:
    """0, 1, 2, 4, … and `steps`: how many stored steps are looked at together."""
    return [0, *(2**n for n in range(steps.bit_length()) if 2**n < steps), steps]


def _attend(size: int) -> Callable[[Array, DualWeights], Array]:
    """Σ_s decay_s (x x_sᵀ) p_s over the first `size` steps."""

    def attend(x: Array, weights: DualWeights) -> Array:
        keys, values = (a[:size].reshape(-1, a.shape[-1]) for a in (weights.inputs, weights.factors))
        decays = jnp.repeat(weights.decays[:size], weights.inputs.shape[1])
        return (decays * (x @ keys.T)) @ values

    return attend


class Operations(NamedTuple):
    """Multiply-adds per genome in the products of one layer with its inputs, over an episode."""

    dense: float
    dual: float


def count_operations(*, inputs: int, outputs: int, states: int, batch: int, steps: int, genomes: int) -> Operations:
    """What both forms need on T steps and a query of the same batch size, forward only.

    Dense: (2 T + 1) B I k O. Dual: for `genomes` that share episodes, ((T + 1) B I k O + T (T + 1)/2 B² I)/genomes, and
    T (T + 1)/2 B² k O for each of them.
    """
    wide = states * outputs
    pairs = steps * (steps + 1) / 2 * batch**2
    shared = (steps + 1) * batch * inputs * wide + pairs * inputs
    return Operations((2 * steps + 1) * batch * inputs * wide, shared / genomes + pairs * wide)


DUAL_COST = 2.4
"""Time of one operation in dual form, relative to the dense form (`blur benchmark --dual`)."""

DUAL_AT_ONCE = 4
"""Members of a population that a loop on a CPU plays together in dual form: they share products with the inputs."""


def dual_is_faster(*, inputs: int, outputs: int, states: int, batch: int, steps: int) -> bool:
    """Whether the dual form of a layer's synapses needs so few operations that it should take less time."""
    operations = count_operations(
        inputs=inputs, outputs=outputs, states=states, batch=batch, steps=steps, genomes=DUAL_AT_ONCE
    )
    return DUAL_COST * operations.dual <= operations.dense
