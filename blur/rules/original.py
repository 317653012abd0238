"""Networks, genomes and synapses of the original BLUR implementation (Sandler et al., ICML 2021), in and out.

The original keeps a genome as a dictionary of arrays (`neuron/transform`, `synapse/transform/pre`, …) with a leading
axis over species, and both directions of a synapse layer in one square matrix over [inputs, bias, outputs].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Key

from blur.core.episode import Batch, Spec
from blur.core.genome import genome_shapes
from blur.core.phases import Chain, ChainRule, Phase, chain, every
from blur.core.rule import Genome, UpdateRule
from blur.core.state import State
from blur.network.activations import ACTIVATIONS, Activation
from blur.network.amendments import Oja, TieDirections, TieStates, tie_directions, tie_states
from blur.network.backward import Backward, Combine
from blur.network.ends import Feedback, FeedbackFunction, PresentInput, Readout, Remember, present_target
from blur.network.forward import Forward
from blur.network.hebbian import ApplyChange, Hebbian
from blur.network.synapse_norm import NormaliseSynapses, SynapseNormalisation
from blur.network.synapses import DenseSynapses, Synapse, check_widths
from blur.support.errors import check_choice

Arrays = Mapping[str, ArrayLike]


@dataclasses.dataclass(frozen=True)
class OriginalNetwork(ChainRule):
    """A network of the original implementation, its options under their original names where they have one.

    Attributes:
      hidden: neurons of each hidden layer.
      states: states k of neurons and synapses.
      forward_activation, backward_activation, last_layer_activation: σ of the sweeps.
      backward_update: how the backward sweep changes a layer (`replace` is the original's `none`).
      symmetric_in_out_synapses: backward synapses start and change as the forward ones do.
      symmetric_states_synapses: all states of a synapse start and change as the first does.
      oja: the Oja term, or None.
      normalize_synapses: synapses are normalised at the start of a step.
      normalize_in_activations: they are normalised in use only.
      rescale: either normalisation multiplies by the genome's `rescale_to`.
      synapse_saturation_eps: ε of the exponential saturation, or None.
      synapse_activation: applied to every synapse after its change.
      forward_synapse_update: synapses also change between the sweeps, with a genome of their own.
      use_forward_activations_for_synapse_update: the lower layer enters the Hebbian term as it was before the backward
        sweep.
      zero_out_neurons: neurons start every step at rest.
      supervised_every: feedback, backward sweep and synapse update happen in every n-th step only.
      feedback: what the output layer becomes.
      per_layer: number of synapse layers that have a genome of their own, or None.

    Raises:
      ValueError: an unknown name, or an impossible width.
    """

    hidden: tuple[int, ...]
    states: int
    forward_activation: str | Activation = "relu_tanh"
    backward_activation: str | Activation = "relu_tanh"
    last_layer_activation: str | Activation = "tanh"
    backward_update: Combine = "additive"
    symmetric_in_out_synapses: bool = False
    symmetric_states_synapses: bool = False
    oja: Oja | None = None
    normalize_synapses: bool = False
    normalize_in_activations: bool = False
    rescale: bool = False
    synapse_saturation_eps: float | None = None
    synapse_activation: str = "identity"
    forward_synapse_update: bool = False
    use_forward_activations_for_synapse_update: bool = False
    zero_out_neurons: bool = True
    supervised_every: int | None = None
    feedback: FeedbackFunction = present_target
    per_layer: int | None = None

    def __post_init__(self) -> None:
        check_widths(self.hidden)
        check_choice("backward_update", self.backward_update, get_args(Combine))
        for field in ("forward_activation", "backward_activation", "last_layer_activation", "synapse_activation"):
            if isinstance(name := getattr(self, field), str):
                check_choice(field, name, ACTIVATIONS)

    @cached_property
    def chain(self) -> Chain:
        """One network step of the original, as phases."""
        view = SynapseNormalisation(self.rescale) if self.normalize_in_activations else None
        phases: dict[str, Phase] = {
            "synapses": DenseSynapses(hidden=self.hidden, states=self.states),
            "input": PresentInput(None if self.zero_out_neurons else self.states),
        }
        if self.normalize_synapses:
            phases["normalise"] = NormaliseSynapses(self.rescale)
        phases["forward"] = Forward(
            states=self.states,
            activation=self.forward_activation,
            last_activation=self.last_layer_activation,
            synapse_view=view,
            per_layer=self.per_layer,
        )
        if self.forward_synapse_update:
            phases |= {f"forward_{name}": phase for name, phase in self._synapse_update("neurons").items()}
        if self.use_forward_activations_for_synapse_update:
            phases["remember"] = Remember("forward_neurons")
        supervised: dict[str, Phase] = {
            "feedback": Feedback(self.feedback, states=self.states),
            "backward": Backward(
                states=self.states,
                activation=self.backward_activation,
                combine=self.backward_update,
                synapse_view=view,
                per_layer=self.per_layer,
            ),
            **self._synapse_update("forward_neurons" if self.use_forward_activations_for_synapse_update else "neurons"),
        }
        if self.supervised_every is None:
            phases |= supervised
        else:
            phases["supervised"] = every(self.supervised_every, **supervised)
        read = tuple(name for name in ("input", "normalise", "forward") if name in phases)
        return chain(**phases, read=read, output=Readout())

    def _synapse_update(self, lower: str) -> dict[str, Phase]:
        phases: dict[str, Phase] = {"hebbian": Hebbian(states=self.states, lower=lower, per_layer=self.per_layer)}
        if self.symmetric_in_out_synapses:
            phases["tie_directions"] = TieDirections()
        if self.symmetric_states_synapses:
            phases["tie_states"] = TieStates()
        if self.oja is not None:
            phases["oja"] = self.oja
        phases["apply"] = ApplyChange(
            activation=self.synapse_activation,
            saturation_epsilon=self.synapse_saturation_eps,
            per_layer=self.per_layer,
        )
        return phases

    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """See `Chain.init_state`; synapses start tied where they change tied."""
        state = super().init_state(genome, key, spec)
        return state.replace(synapses=tuple(self.tie(synapse) for synapse in state.synapses))

    def tie(self, synapse: Synapse) -> Synapse:
        """The synapse with the symmetries that this network keeps."""
        if self.symmetric_in_out_synapses:
            synapse = tie_directions(synapse)
        return tie_states(synapse) if self.symmetric_states_synapses else synapse


def backprop_network(hidden: tuple[int, ...], **changes: Any) -> OriginalNetwork:
    """The original's `backprop_network_spec`: two states, multiplicative backward sweep, all synapses tied."""
    options: dict[str, Any] = {
        "states": 2,
        "backward_update": "multiplicative_second_state",
        "symmetric_in_out_synapses": True,
        "symmetric_states_synapses": True,
        "forward_activation": "identity",
        "backward_activation": "identity",
        "last_layer_activation": "identity",
    }
    return OriginalNetwork(hidden, **(options | changes))


def from_original(network: OriginalNetwork, arrays: Arrays, species: int = 0) -> Genome:
    """The genome of one species of an original dictionary, for this network. Differentiable in `arrays`.

    Args:
      network: decides which arrays are read, and where they go.
      arrays: `neuron/transform` [species, 2k, 2k], `neuron/keep` [] or [species], `synapse/transform/pre`
        [species, k, k], …; with a genome per layer, a leading axis over layers.
      species: which one.

    Raises:
      ValueError: an array is missing, or has another shape than the network wants.
    """

    def fill(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> Array:
        phase, field = path[-2].key, path[-1].key
        if phase == "synapses":
            return jnp.ones(leaf.shape, leaf.dtype)
        name = _original_name(phase, field)
        if name not in arrays:
            raise ValueError(f"the dictionary has no array {name!r}, only {sorted(arrays)}")
        value = jnp.asarray(arrays[name])
        if field == "transform":
            k = network.states
            value = value[..., :k, k:] if phase == "forward" else value[..., k:, :k]
        return _one_species(name, value, leaf, species, layered=network.per_layer is not None)

    return jax.tree_util.tree_map_with_path(fill, genome_shapes(network))


def to_original(network: UpdateRule, genome: Genome) -> dict[str, np.ndarray]:
    """The original's dictionary of one genome: matrices with a species axis of 1, numbers as they are.

    It has every field; those that this network does not use have the original's defaults, and a missing genome of the
    forward-time synapse update is that of the other one, as in the original.

    Raises:
      ValueError: the rule is not an `OriginalNetwork`; or both sweeps share a number in the original, but not in this
        genome.
    """
    if not isinstance(network, OriginalNetwork):
        raise ValueError(
            f"the rule is {type(network).__name__}; only genomes of OriginalNetwork have the original's dictionary"
        )
    arrays: dict[str, np.ndarray] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(genome):
        phase, field = path[-2].key, path[-1].key
        if phase == "synapses":
            continue
        name, value = _original_name(phase, field), np.asarray(leaf)
        if field == "transform":
            value = _square(phase, value)
        if value.ndim >= 2:
            value = np.expand_dims(value, -3)
        if name == "neuron/transform":
            value = value + arrays.get(name, 0)
        elif name in arrays and not np.array_equal(arrays[name], value):
            raise ValueError(f"the original has one {name}, but the genome has {arrays[name]} and {value}")
        arrays[name] = value
    unused = {name: np.asarray(value, np.float32) for name, value in _DEFAULTS.items()}
    arrays = unused | arrays
    copied = {name.replace("synapse/", "forward_synapse/", 1): name for name in arrays if name.startswith("synapse/")}
    return {copy: arrays[name] for copy, name in copied.items()} | arrays


_DEFAULTS = {
    "neuron/norm_multiplier": 1.0,
    "neuron/norm_shift": 0.0,
    "synapse/transform/ojas_multiplier": 1.0,
    "synapse/synapse_init_std": 0.1,
    "synapse/synapse_init_xavier_std": 0.0,
    "synapse/saturation": 1.0,
    "synapse/rescale_to": 1.0,
}
"""The original's defaults of the fields that not every network uses."""

_NAMES = {
    "pre": "transform/pre",
    "post": "transform/post",
    "multiplier": "transform/ojas_multiplier",
}


def _original_name(phase: str, field: str) -> str:
    if phase in ("forward", "backward") and field != "rescale_to":
        return f"neuron/{field}"
    part = "forward_synapse" if phase.startswith("forward_") else "synapse"
    return f"{part}/{_NAMES.get(field, field)}"


def _one_species(name: str, value: Array, leaf: jax.ShapeDtypeStruct, species: int, *, layered: bool) -> Array:
    own = len(leaf.shape)
    if layered and value.ndim < own:
        value = jnp.broadcast_to(value, leaf.shape)
    if value.ndim == own + 1:
        value = value[:, species] if layered else value[species]
    if value.shape != leaf.shape:
        raise ValueError(f"{name} has shape {value.shape} for one species, but the network expects {leaf.shape}")
    return value.astype(jnp.promote_types(value.dtype, leaf.dtype))


def _square(phase: str, block: np.ndarray) -> np.ndarray:
    k = block.shape[-1]
    square = np.zeros((*block.shape[:-2], 2 * k, 2 * k), block.dtype)
    rows, columns = (slice(k), slice(k, None)) if phase == "forward" else (slice(k, None), slice(k))
    square[..., rows, columns] = block
    return square
