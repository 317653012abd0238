"""BLUR: the bidirectional learned update rule (Sandler et al., ICML 2021)."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, Literal, get_args

from blur.core.episode import Batch, Spec
from blur.core.phases import Chain, ChainRule, chain
from blur.core.rule import PopulationForm, StatisticsRule, Storage
from blur.network.activations import ACTIVATIONS
from blur.network.amendments import Decay
from blur.network.backward import Backward
from blur.network.ends import Feedback, PresentInput, Readout
from blur.network.forward import Forward
from blur.network.hebbian import ApplyChange, Hebbian
from blur.network.layerwise import PerLayer, check_per_layer
from blur.network.synapses import DenseSynapses, check_widths
from blur.network.weights.dual import DUAL_AT_ONCE, dual_is_faster
from blur.support.errors import check_choice

Normalise = Literal["none", "forward", "both"]
SynapseRule = Literal["separate", "tied"]


@dataclasses.dataclass(frozen=True)
class Bidirectional(ChainRule):
    """Neurons of k states, swept forward by inputs and backward by predictions and targets, and Hebbian synapses.

    No loss and no gradient enters an inner step. The output layer is shown prediction and target; the genome decides
    how the backward sweep uses them. A genome has some hundreds of numbers. All neurons share them, and so do all
    layers between the ends:

      forward   a_j ← σ(N(f a_j + η Σ_i w_ij ν a_i))
      backward  a_i ← σ(N(f a_i + η g Σ_j v_ji μ a_j)), g = β + γᵀ a_i, from (prediction, target, 0, …) on
      synapses  w_ij ← f̃ w_ij + η̃_t Σ_batch (ν̃ᵀ a_i)(μ̃ a_j), and v_ji likewise with transforms of its own

    The genomes of the zoo belong to this rule. Other networks are other chains of the same phases (`blur.network`).

    Attributes:
      hidden: neurons of each hidden layer.
      states: states k of a neuron and of a synapse.
      activation: σ of hidden layers, both ways.
      last_activation: σ of the output layer.
      normalise: which sweeps are normalised over the batch, N.
      statistics: those used to predict: of the last `support` batch, or of the `query` batch itself.
      synapses: `separate` backward synapses, or `tied` to the forward ones.
      reference_batch: None for Hebbian sums over the batch; else means times this number, for any batch size.
      reference_fan_in: None for η̃ as it is; else η̃ is divided by the fan-in and times this number, for any width.
      per_layer: None for one genome for all layers; `ends` for one at the input, one at the output and one for all
        between; else the number of synapse layers that each have their own.
      gated: whether feedback is gated by the neuron that it arrives at; else g = 1.
      symmetric: whether backward synapses start near transposes of the forward ones.
      decay: whether η̃_t = η̃ (1 + r t)^−p decays over the inner steps t; else it is η̃.
      readout_scale: outputs = scale · prediction state: logits in classification. In regression a last tanh bounds
        outputs by ±scale, so targets should be of order one; last_activation="identity" with scale 1 has no bound.
      transform_scale: standard deviation of the transforms ν, μ, ν̃, μ̃ of a random genome.
      initial_update: η̃ of a random genome.
      dual_steps: None, or the most inner steps of a life whose input synapses are stored in dual form: the same numbers
        with fewer operations where layers are wide, lives short and populations share episodes, see
        `blur.network.weights.dual`.

    Raises:
      ValueError: an unknown name, too few states, or an impossible width.

    Examples:
      >>> import jax
      >>> rule = blur.Bidirectional(hidden=(8,), states=2)
      >>> sum(array.size for array in jax.tree.leaves(rule.init_genome(jax.random.key(0))))
      141
      >>> rule.with_hidden((16, 16)).hidden
      (16, 16)
    """

    hidden: tuple[int, ...] = (64,)
    states: int = 4
    activation: str = "gelu"
    last_activation: str = "tanh"
    normalise: Normalise = "both"
    statistics: StatisticsRule = "support"
    synapses: SynapseRule = "separate"
    reference_batch: float | None = 128.0
    reference_fan_in: float | None = 64.0
    per_layer: PerLayer = "ends"
    gated: bool = True
    symmetric: bool = True
    decay: bool = True
    readout_scale: float = 4.0
    transform_scale: float = 0.15
    initial_update: float = -1e-3
    dual_steps: int | None = None

    def __post_init__(self) -> None:
        if self.states < 2:
            raise ValueError(f"states is {self.states}, but feedback needs at least 2: one prediction, one target")
        check_widths(self.hidden)
        check_per_layer(self.per_layer)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("last_activation", self.last_activation, ACTIVATIONS)
        check_choice("normalise", self.normalise, get_args(Normalise))
        check_choice("statistics", self.statistics, get_args(StatisticsRule))
        check_choice("synapses", self.synapses, get_args(SynapseRule))
        if self.dual_steps is not None and self.dual_steps < 1:
            raise ValueError(f"dual_steps is {self.dual_steps}; expected at least 1, or None for the dense form")

    steps_field = "dual_steps"

    def for_population(self, spec: Spec | Batch, storage: Storage) -> PopulationForm:
        """Takes the dual form where `storage` asks for it or where it should be faster; its members share products."""
        rule = self
        if storage != "dense" and spec.steps is not None and (storage == "dual" or self.dual_is_faster(spec)):
            rule = dataclasses.replace(self, dual_steps=spec.steps)
        return PopulationForm(rule, None if rule.dual_steps is None else DUAL_AT_ONCE)

    def dual_is_faster(self, spec: Spec | Batch) -> bool:
        """Whether the dual form of the input's synapses should take less time, by its number of operations."""
        (batch, inputs), outputs = spec.inputs.shape, (*self.hidden, spec.targets.shape[-1])[0]
        return dual_is_faster(inputs=inputs, outputs=outputs, states=self.states, batch=batch, steps=spec.steps or 0)

    @cached_property
    def chain(self) -> Chain:
        """The phases: synapses, input, forward, feedback, backward, hebbian, apply."""
        sweep: dict[str, Any] = {
            "states": self.states,
            "activation": self.activation,
            "per_layer": self.per_layer,
            "transform_scale": self.transform_scale,
        }
        separate = self.synapses == "separate"
        return chain(
            synapses=DenseSynapses(
                hidden=self.hidden,
                states=self.states,
                separate_backward=separate,
                symmetric=self.symmetric,
                flat_input=True,
                dual_steps=self.dual_steps,
            ),
            input=PresentInput(),
            forward=Forward(
                **sweep,
                last_activation=self.last_activation,
                normalise=self.normalise != "none",
                statistics=self.statistics,
            ),
            feedback=Feedback(),
            backward=Backward(
                **sweep, combine="gated" if self.gated else "additive", normalise=self.normalise == "both"
            ),
            hebbian=Hebbian(
                states=self.states,
                separate_backward=separate,
                reference_batch=self.reference_batch,
                reference_fan_in=self.reference_fan_in,
                per_layer=self.per_layer,
                transform_scale=self.transform_scale,
                initial_update=self.initial_update,
            ),
            **({"decay": Decay()} if self.decay else {}),
            apply=ApplyChange(per_layer=self.per_layer),
            read=("input", "forward"),
            output=Readout(self.readout_scale),
        )
