"""Workloads of the benchmark: networks and episodes of fixed sizes, and the operations that they need."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from blur.core.episode import Episode, Kind, Spec, make_batch, make_spec
from blur.core.losses import LOSSES, Loss
from blur.rules.bidirectional import Bidirectional
from blur.rules.optax_mlp import OptaxMLP

Mode = Literal["forward", "gradient"]
"""`forward`: the loss of an episode. `gradient`: its gradient in the genome, by reverse mode with recomputed steps."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """An episode of one size, and the rule that plays it.

    Attributes:
      name: its name in tables.
      sizes: neurons of each layer, from inputs to outputs; one output means the sign of x₁ x₂ (or of x₁), in ±1.
      states: states k of neurons and synapses.
      batch: examples per inner step, and in the query.
      steps: inner steps T.
      gradient_only: whether only the gradient is timed.
    """

    name: str
    sizes: tuple[int, ...]
    states: int = 4
    batch: int = 128
    steps: int = 10
    gradient_only: bool = False

    @property
    def spec(self) -> Spec:
        """Shapes of a batch, and the length of an episode."""
        return make_spec(self.sizes[0], self.sizes[-1], self.batch, self.steps)

    @property
    def rule(self) -> Bidirectional:
        """The bidirectional rule as published, without the additions of this package."""
        return Bidirectional(
            hidden=self.sizes[1:-1],
            states=self.states,
            activation="relu_tanh",
            reference_fan_in=None,
            per_layer=None,
            gated=False,
            symmetric=False,
            decay=False,
        )

    @property
    def sgd(self) -> OptaxMLP:
        """Plain SGD on a multilayer perceptron with the same layers, by automatic differentiation."""
        return OptaxMLP(hidden=self.sizes[1:-1], optimizer="sgd", loss=self.loss_name)

    @property
    def kind(self) -> Kind:
        """Classification into as many classes as outputs; with one output, regression of ±1."""
        return "classification" if self.sizes[-1] > 1 else "regression"

    @property
    def loss_name(self) -> str:
        """Its name in `blur.core.losses.LOSSES`."""
        return "cross_entropy" if self.kind == "classification" else "l2"

    @property
    def loss(self) -> Loss:
        """Cross-entropy, or l2 in regression."""
        return LOSSES[self.loss_name]


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("small", (64, 128, 10)),
        Workload("wide", (784, 256, 128, 10)),
        Workload("shallow", (100, 64, 10)),
        Workload("deep", (100, 64, 64, 64, 64, 10)),
        Workload("boolean", (2, 20, 1), states=2, batch=512, steps=5, gradient_only=True),
    )
}
"""Workloads by name."""


def random_episode(workload: Workload, key: Key[Array, ""]) -> Episode:
    """Gaussian inputs; random labels, or with one output the product of the first two signs (xor)."""
    input_key, label_key = jax.random.split(key)
    shape = (workload.steps + 1, workload.batch)
    inputs = jax.random.normal(input_key, (*shape, workload.sizes[0]))
    if workload.kind == "classification":
        labels = jax.random.randint(label_key, shape, 0, workload.sizes[-1])
        targets = 2 * jax.nn.one_hot(labels, workload.sizes[-1], dtype=inputs.dtype) - 1
    else:
        targets = jnp.prod(jnp.sign(inputs[..., :2]), axis=-1, keepdims=True)
    batches = make_batch(inputs, targets)
    support, query = (
        jax.tree.map(lambda leaf, part=part: leaf[part], batches) for part in (slice(workload.steps), workload.steps)
    )
    return Episode(support, query)


def flop(workload: Workload, mode: Mode, population: int = 1) -> int:
    """Floating-point operations of the matrix products that the algorithm needs; nothing else is counted.

    With k states, a batch of B, and synapse layers of I sources and O targets, first, second, …:

      forward    2 B k Σ_all I O        (the input, that carries one state, crosses in one product with all k of w)
      backward   2 B k Σ_second… I O    (into hidden layers only; the output's two states are mixed to k before)
      Hebbian    2 B k Σ_all I O        of forward synapses
               + 2 B k Σ_second… I O    of backward synapses

    in each of T steps, and the query's forward sweep once more; ×3 with the gradient (two products for each one's
    derivatives; that a step is recomputed is a choice of the implementation); × the population.
    """
    layers = [sources * targets for sources, targets in pairwise(workload.sizes)]
    product = 2 * workload.batch * workload.states
    step = 2 * product * (sum(layers) + sum(layers[1:]))
    query = product * sum(layers)
    return (workload.steps * step + query) * (3 if mode == "gradient" else 1) * population
