"""The ends of a network: a phase presents the input, another feeds the target back, a readout makes the prediction."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch, Spec
from blur.core.losses import LOSSES
from blur.core.parts import nameable
from blur.core.phases import Phase
from blur.core.rule import Genome
from blur.core.state import State
from blur.network.mixing import Activity
from blur.support.errors import check_width

FeedbackFunction = Callable[[Activity, Float[Array, "batch outputs"]], Activity]


@dataclasses.dataclass(frozen=True)
class PresentInput(Phase):
    """Makes the field `neurons`: the first layer has the input in state 1, all other neurons are at rest.

    Attributes:
      persistent_states: None to start every step with neurons at rest; else the number of states of neurons that keep
        their values from step to step (then the batch size is part of the state, and `Feedback` must fill all states).
    """

    persistent_states: int | None = None

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """Adds `neurons`, all zero, if they persist."""
        if self.persistent_states is None:
            return state
        sizes = [spec.inputs.shape[-1], *(synapse.forward.shape[-1] for synapse in state.synapses)]
        states = [1, *[self.persistent_states] * len(state.synapses)]
        batch, dtype = spec.inputs.shape[0], spec.inputs.dtype
        return state.replace(neurons=tuple(jnp.zeros((k, batch, n), dtype) for k, n in zip(states, sizes, strict=True)))

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """neurons ← (x, …): further layers keep their values if they persist, else they are at rest (None).

        Raises:
          ValueError: the inputs have another width than the network.
        """
        fan_in = state.synapses[0].forward.shape[1]
        check_width("inputs", batch.inputs.shape[-1], fan_in)
        rest = state.neurons[1:] if self.persistent_states is not None else (None,) * len(state.synapses)
        return state.replace(neurons=(batch.inputs[None], *rest))

    def read(self, genome: Genome, state: State, batch: Batch) -> State:
        """As `apply`; but a batch of another size than the persistent neurons' starts at rest."""
        if self.persistent_states is not None and state.neurons[-1].shape[1] != batch.inputs.shape[0]:
            return PresentInput().apply(genome, state, batch)
        return self.apply(genome, state, batch)


@nameable
def present_target(output: Activity, targets: Float[Array, "batch outputs"]) -> Activity:
    """(prediction, target) in states 1 and 2; no error is computed."""
    return jnp.stack([output[0], targets])


@dataclasses.dataclass(frozen=True)
class LossGradient:
    """State 2 ← state 2 · ∂loss/∂prediction, per example; with (φ, φ′) neurons this starts backpropagation."""

    loss: str = "cross_entropy"

    def __call__(self, output: Activity, targets: Float[Array, "batch outputs"]) -> Activity:
        """(prediction, φ′ · ∂ℓ/∂prediction), where ℓ is one example's loss."""

        def example_loss(prediction: Array, target: Array) -> Array:
            return LOSSES[self.loss](prediction[None], target[None], jnp.ones(1, prediction.dtype))

        return jnp.stack([output[0], output[1] * jax.vmap(jax.grad(example_loss))(output[0], targets)])


@dataclasses.dataclass(frozen=True)
class Feedback(Phase):
    """Replaces the output layer with a function of its activity and the targets.

    Attributes:
      function: `(activity, targets) → activity` of the output layer; the backward sweep sends the result.
      states: number of states up to which zeros are added to the result; None adds none.
    """

    function: FeedbackFunction = present_target
    states: int | None = None

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Sets the last of `neurons`.

        Raises:
          ValueError: the targets have another width than the network's outputs.
        """
        check_width("targets", batch.targets.shape[-1], state.neurons[-1].shape[-1])
        output = self.function(state.neurons[-1], batch.targets)
        if self.states is not None:
            output = jnp.pad(output, ((0, self.states - output.shape[0]), (0, 0), (0, 0)))
        return state.replace(neurons=(*state.neurons[:-1], output))


@dataclasses.dataclass(frozen=True)
class Remember(Phase):
    """Copies the field `neurons` to another field, for a later phase of the same step."""

    field: str

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """state.field ← neurons."""
        return state.replace(**{self.field: state.neurons})


@dataclasses.dataclass(frozen=True)
class Readout:
    """The prediction: `scale` times the first state of the output neurons, `[batch, outputs]`."""

    scale: float = 1.0

    def __call__(self, state: State) -> Float[Array, "batch outputs"]:
        """The outputs."""
        outputs: Array = self.scale * state.neurons[-1][0]
        return outputs
