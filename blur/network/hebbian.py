"""How synapses change: a Hebbian phase proposes, amendments edit the proposal, `ApplyChange` commits it."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch
from blur.core.rule import Genome
from blur.core.state import State
from blur.network.activations import find_activation
from blur.network.layerwise import LayerwisePhase
from blur.network.mixing import Layer, mix, mix_side_by_side, mixes_after, moments, outer
from blur.network.synapses import Synapse, Synapses
from blur.network.weights.dual import Factors, is_dual, refuse_dual, remember
from blur.network.weights.flat import FlatWeights, is_flat


class Change(NamedTuple):
    """A pending change of all synapses (the field `change`).

    Attributes:
      synapses: η̃ H for each layer; `backward` is None where there are no backward synapses.
      targets: for each layer the mixed target activities of the forward and the backward synapses, as Oja's term
        needs them: `[synapse_states, batch, outputs]` and `[synapse_states, batch, inputs]` or None.
      update: η̃ for each layer.
      weight: what each example counted in H: its weight in the batch, scaled to the reference batch.
    """

    synapses: Synapses
    targets: tuple[tuple[Array, Array | None], ...]
    update: tuple[Float[Array, ""], ...]
    weight: Float[Array, "batch"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hebbian(LayerwisePhase):
    """Proposes η̃ H, H_ij^c = Σ_batch (Σ_e a_i^e ν̃^{ec}) (Σ_d μ̃^{cd} a_j^d); the same for v with pre and post swapped.

    Genome: `pre` ν̃ [states, synapse_states], `post` μ̃ [synapse_states, states], `update` η̃; with
    `separate_backward`, `backward_pre` and `backward_post` for the backward synapses.

    Attributes:
      states: states k of a neuron.
      synapse_states: states of a synapse, k or 1.
      separate_backward: whether backward synapses have transforms of their own.
      reference_batch: None to sum over the batch; else the mean over the batch times this number, so that one genome
        serves any batch size.
      reference_fan_in: None for η̃ as it is; else η̃ · reference_fan_in / fan-in, so that one genome serves any width and
        image size: what arrives at a neuron then changes by as much, however many synapses bring it (as in the
        maximal-update parametrisation, Yang & Hu 2021). A bias keeps η̃; but beside fewer inputs than that it is scaled
        as they are, so that with one or two of them it does not stay behind.
      lower: the field that holds the activities of the lower layers (see `Remember`).
      transform_scale: standard deviation of random transforms.
      initial_update: η̃ of a random genome.
    """

    states: int
    synapse_states: int | None = None
    separate_backward: bool = False
    reference_batch: float | None = None
    reference_fan_in: float | None = None
    lower: str = "neurons"
    transform_scale: float = 0.3
    initial_update: float = -1e-3

    def init_layer_genome(self, key: Key[Array, ""]) -> Genome:
        """Random transforms."""
        synapse_states = self.synapse_states or self.states
        shapes = {"pre": (self.states, synapse_states), "post": (synapse_states, self.states)}
        if self.separate_backward:
            shapes |= {"backward_pre": shapes["pre"], "backward_post": shapes["post"]}
        keys = jax.random.split(key, len(shapes))
        genome = {
            name: self.transform_scale * jax.random.normal(k, shape)
            for k, (name, shape) in zip(keys, shapes.items(), strict=True)
        }
        return genome | {"update": jnp.full((), self.initial_update)}

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Makes the field `change`."""
        weight = batch.weight
        if self.reference_batch is not None:
            weight = weight * self.reference_batch / jnp.maximum(jnp.sum(weight), jnp.finfo(weight.dtype).tiny)
        genomes = self.layer_genomes(genome, state)
        lower, upper = getattr(state, self.lower)[:-1], state.neurons[1:]
        bias_scales = (max(1.0, self._scale(lower[0])), *[1.0] * (len(genomes) - 1))
        layers = zip(genomes, lower, upper, state.synapses, bias_scales, strict=True)
        changes, targets = zip(*(self._propose(*layer, weight) for layer in layers), strict=True)
        update = tuple(layer_genome["update"] for layer_genome in genomes)
        return state.replace(change=Change(changes, targets, update, weight))

    def _propose(
        self,
        genome: Genome,
        below: Layer,
        above: Layer,
        synapse: Synapse,
        bias_scale: float,
        weight: Float[Array, "batch"],
    ) -> tuple[Synapse, tuple[Array, Array | None]]:
        pre, post = genome["update"] * self._scale(below) * genome["pre"], genome["post"].T
        target = mix(above, post)
        weighted = weight[:, None] * above
        bias = None
        if synapse.bias is not None:
            bias_pre = genome["update"] * bias_scale * jnp.sum(genome["pre"], axis=0)
            bias = bias_pre[:, None] * (post[: len(above)].T @ jnp.sum(weighted, axis=1))
        if is_dual(synapse.forward) or is_flat(synapse.forward):
            factors = Factors(below[0], mix_side_by_side(weighted, pre[0] * post))
            change = factors if is_dual(synapse.forward) else FlatWeights(factors.outer(), synapse.forward.states)
            return Synapse(change, bias, None), (target, None)
        if synapse.backward is None:
            return Synapse(outer(below, pre, weight, above, post), bias, None), (target, None)
        prefix = "backward_" if self.separate_backward else ""
        back_pre = genome["update"] * self._scale(above) * genome[prefix + "pre"]
        back_post = genome[prefix + "post"].T
        back_target = mix(below, back_post)
        if mixes_after(below, above, states=pre.shape[1]):
            found = moments(below, weighted)
            e, d = found.shape[:2]
            forward = jnp.einsum("ec,dc,edoi->cio", pre[:e], post[:d], found)
            backward = jnp.einsum("dc,ec,edoi->coi", back_pre[:d], back_post[:e], found)
        else:
            forward = outer(below, pre, weight, above, post)
            backward = outer(above, back_pre, weight, below, back_post)
        return Synapse(forward, bias, backward), (target, back_target)

    def _scale(self, sources: Layer) -> float:
        """What η̃ of synapses that come from a layer is multiplied by."""
        return 1.0 if self.reference_fan_in is None else self.reference_fan_in / sources.shape[-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApplyChange(LayerwisePhase):
    """w ← φ(f̃ w + Δ); with saturation w ← φ(w + ((f̃ − 1) w + Δ) exp(−|w| (ε + |s|))), where Δ is the pending change.

    Genome: `keep` f̃ and, with saturation, `saturation` s.

    Attributes:
      activation: φ, applied to every synapse.
      saturation_epsilon: ε of the exponential saturation; None for none.
    """

    activation: str = "identity"
    saturation_epsilon: float | None = None

    def init_layer_genome(self, key: Key[Array, ""]) -> Genome:
        """f̃ = 1, s = 1."""
        genome = {"keep": jnp.ones(())}
        return genome if self.saturation_epsilon is None else genome | {"saturation": jnp.ones(())}

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Changes `synapses`."""
        activation = find_activation(self.activation)
        if self.activation != "identity" or self.saturation_epsilon is not None:
            refuse_dual(state.synapses, "an activation or saturation of synapses")

        def commit(layer_genome: Genome, weights: Any, change: Any) -> Any:
            if is_dual(weights):
                return remember(weights, layer_genome["keep"], change)
            if self.saturation_epsilon is None:
                return activation(layer_genome["keep"] * weights + change)
            damping = jnp.exp(-jnp.abs(weights) * (self.saturation_epsilon + jnp.abs(layer_genome["saturation"])))
            return activation(weights + ((layer_genome["keep"] - 1) * weights + change) * damping)

        synapses = [
            jax.tree.map(functools.partial(commit, layer_genome), synapse, change, is_leaf=is_dual)
            for layer_genome, synapse, change in zip(
                self.layer_genomes(genome, state), state.synapses, state.change.synapses, strict=True
            )
        ]
        return state.replace(synapses=tuple(synapses))
