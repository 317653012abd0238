"""How synapses change: a Hebbian phase proposes, amendments edit the proposal, `ApplyChange` commits it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch
from blur.core.losses import at_least_tiny
from blur.core.rule import Genome
from blur.core.state import State
from blur.network.activations import find_activation
from blur.network.layerwise import LayerwisePhase
from blur.network.mixing import mix
from blur.network.synapses import Synapse, Synapses, need
from blur.network.weights.base import Pair, Transforms, Weights
from blur.network.weights.dense import as_weights


class Change(NamedTuple):
    """A pending change of all synapses (the field `change`).

    Attributes:
      synapses: η̃ H for each layer; `backward` is None where there are no backward synapses.
      targets: for each layer the mixed target activities of the forward and the backward synapses, which Oja's term
        reads: `[synapse_states, batch, outputs]`, and `[synapse_states, batch, inputs]` or None.
      update: η̃ for each layer.
      weight: factor of each example in H: its weight in the batch, scaled to the reference batch.
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
        image size: the input of a neuron then changes by as much for any fan-in (as in the maximal-update
        parametrisation, Yang & Hu 2021). Biases keep η̃; the first layer's bias rate is
        η̃ · max(1, reference_fan_in / fan-in), so it keeps pace when inputs are few.
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

    symbols: ClassVar[Mapping[str, str]] = {
        "pre": "ν̃",
        "post": "μ̃",
        "backward_pre": "ν̃",
        "backward_post": "μ̃",
        "update": "η̃",
    }

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
            weight = weight * self.reference_batch / at_least_tiny(jnp.sum(weight))
        genomes = self.layer_genomes(genome, state)
        pairs = [Pair(*both, weight) for both in zip(getattr(state, self.lower)[:-1], state.neurons[1:], strict=True)]
        bias_scales = (max(1.0, self._scale(state.synapses[0].weights)), *[1.0] * (len(genomes) - 1))
        layers = zip(genomes, pairs, state.synapses, bias_scales, strict=True)
        changes, targets = zip(*(self._propose(*layer) for layer in layers), strict=True)
        update = tuple(layer_genome["update"] for layer_genome in genomes)
        return state.replace(change=Change(changes, targets, update, weight))

    def _propose(
        self, genome: Genome, pair: Pair, synapse: Synapse, bias_scale: float
    ) -> tuple[Synapse, tuple[Array, Array | None]]:
        """The change of one layer, and what `Change.targets` holds of it."""
        weights = synapse.weights
        transforms = self._transforms(genome, "", self._scale(weights))
        target = mix(pair.post, transforms.post)
        bias = None if synapse.bias is None else self._bias(genome, pair, transforms.post, bias_scale)
        if synapse.backward is None:
            return Synapse(weights.propose(pair, transforms), bias, None), (target, None)
        backward = as_weights(synapse.backward)
        prefix = "backward_" if self.separate_backward else ""
        back_transforms = self._transforms(genome, prefix, self._scale(backward))
        back_target = mix(pair.pre, back_transforms.post)
        up, down = weights.propose_both(pair, transforms, backward, back_transforms)
        return Synapse(up, bias, down), (target, back_target)

    def _bias(
        self, genome: Genome, pair: Pair, post: Float[Array, "states synapse_states"], scale: float
    ) -> Float[Array, "synapse_states outputs"]:
        weighted = pair.weighted
        pre: Array = genome["update"] * scale * jnp.sum(genome["pre"], axis=0)
        return pre[:, None] * (post[: len(weighted)].T @ jnp.sum(weighted, axis=1))

    def _transforms(self, genome: Genome, prefix: str, scale: float) -> Transforms:
        return Transforms(genome["update"] * scale * genome[prefix + "pre"], genome[prefix + "post"].T)

    def _scale(self, weights: Weights) -> float:
        """The factor of η̃ for synapses with this fan-in."""
        return 1.0 if self.reference_fan_in is None else self.reference_fan_in / weights.fan_in


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

    symbols: ClassVar[Mapping[str, str]] = {"keep": "f̃", "saturation": "s"}

    def init_layer_genome(self, key: Key[Array, ""]) -> Genome:
        """f̃ = 1, s = 1."""
        genome = {"keep": jnp.ones(())}
        return genome if self.saturation_epsilon is None else genome | {"saturation": jnp.ones(())}

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Changes `synapses`."""
        is_linear = self.activation == "identity" and self.saturation_epsilon is None
        if not is_linear:
            need(state.synapses, "elementwise", "an activation or saturation of synapses")
        layers = zip(self.layer_genomes(genome, state), state.synapses, state.change.synapses, strict=True)
        return state.replace(synapses=tuple(self._commit(*layer, is_linear=is_linear) for layer in layers))

    def _commit(self, genome: Genome, synapse: Synapse, change: Synapse, *, is_linear: bool) -> Synapse:
        update = functools.partial(self._update, genome)
        weights = synapse.weights
        forward = weights.commit(genome["keep"], change.forward) if is_linear else weights.map(update, change.forward)
        bias, backward = jax.tree.map(update, (synapse.bias, synapse.backward), (change.bias, change.backward))
        return Synapse(forward, bias, backward)

    def _update(self, genome: Genome, weight: Array, change: Array) -> Array:
        """A new value of an array of synapses."""
        activation = find_activation(self.activation)
        if self.saturation_epsilon is None:
            return activation(genome["keep"] * weight + change)
        damping = jnp.exp(-jnp.abs(weight) * (self.saturation_epsilon + jnp.abs(genome["saturation"])))
        return activation(weight + ((genome["keep"] - 1) * weight + change) * damping)
