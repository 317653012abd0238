"""Backpropagation and SGD as a genome: two-state neurons on the same engine."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import jax.numpy as jnp
from jaxtyping import Array, Key

from blur.core.phases import Chain, ChainRule, chain
from blur.core.rule import Genome
from blur.network.activations import WithDerivative
from blur.network.backward import Backward
from blur.network.ends import Feedback, LossGradient, PresentInput, Readout
from blur.network.forward import Forward
from blur.network.hebbian import ApplyChange, Hebbian
from blur.network.synapses import DenseSynapses


@dataclasses.dataclass(frozen=True)
class TwoStateSGD(ChainRule):
    """The two-state network whose starting genome is exactly backpropagation with SGD on the mean loss of a batch.

    State 1 of a neuron is its value φ(z), state 2 its derivative φ′(z). Feedback multiplies state 2 of the (linear)
    output by ∂loss/∂prediction, the backward sweep multiplies state 2 of each hidden neuron by Σ_j w_ij a_j², which
    makes it ∂loss/∂z, and the synapse changes by −rate · mean_batch a_i¹ a_j². Every one of these choices is a
    number of the genome, so meta-training may start from SGD and leave it.

    Attributes:
      hidden: neurons of each hidden layer.
      activation: φ of hidden layers, a name in `ACTIVATIONS`.
      loss: name of the inner loss in `LOSSES`, of which SGD descends the gradient.
      learning_rate: of the starting genome.

    Examples:
      >>> import jax
      >>> genome = blur.TwoStateSGD(hidden=(8,), learning_rate=0.3).init_genome(jax.random.key(0))
      >>> print(genome["hebbian"]["update"])
      -0.3
    """

    hidden: tuple[int, ...] = (64,)
    activation: str = "relu"
    loss: str = "cross_entropy"
    learning_rate: float = 0.1

    @cached_property
    def chain(self) -> Chain:
        """The phases: those of `Bidirectional`, with one synapse state and no separate backward synapses."""
        return chain(
            synapses=DenseSynapses(hidden=self.hidden, states=1, separate_backward=False),
            input=PresentInput(),
            forward=Forward(
                states=2, activation=WithDerivative(self.activation), last_activation=WithDerivative("identity")
            ),
            feedback=Feedback(LossGradient(self.loss)),
            backward=Backward(states=2, activation="identity", combine="multiplicative_second_state"),
            hebbian=Hebbian(states=2, synapse_states=1, reference_batch=1.0),
            apply=ApplyChange(),
            read=("input", "forward"),
            output=Readout(),
        )

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """The genome of exact SGD; nothing in it is random."""
        one = jnp.ones(())
        return {
            "synapses": {"forward_scale": one, "output_scale": one},
            "forward": {"transform": jnp.array([[1.0, 1.0], [0.0, 0.0]]), "keep": one, "update": one},
            "backward": {"transform": jnp.eye(2), "keep": one, "update": one},
            "hebbian": {
                "pre": jnp.array([[1.0], [0.0]]),
                "post": jnp.array([[0.0, 1.0]]),
                "update": jnp.array(-self.learning_rate),
            },
            "apply": {"keep": one},
        }
