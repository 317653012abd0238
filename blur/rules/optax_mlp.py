"""Gradient descent on a multilayer perceptron: any optax optimiser as an update rule, the baseline of comparisons."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from blur.core.episode import Batch, Spec
from blur.core.losses import LOSSES, NOT_DIFFERENTIABLE
from blur.core.rule import Genome, StatisticsRule, UpdateRule
from blur.core.state import State
from blur.network.activations import ACTIVATIONS
from blur.network.batch_norm import Statistics, batch_statistics, normalise
from blur.support.errors import check_choice, check_width

OPTIMIZERS = (
    *("sgd", "momentum", "adam", "adamw", "nadam", "nadamw", "amsgrad", "adabelief", "adamax", "adamaxw"),
    *("adagrad", "rmsprop", "yogi", "lamb", "lars", "lion", "novograd", "fromage", "sm3", "sign_sgd", "signum"),
    "optimistic_gradient_descent",
)
"""Names of optimisers: `momentum` is optax's `sgd` with heavy-ball momentum, all others are optax's own."""

EPSILON_ROOT = 1e-16
"""Added under the root of Adam-like optimisers: without it the meta-gradient through a zero gradient is NaN."""


Layer = dict[str, Array]
"""`weights [in, out]` and `bias [out]`; a normalised hidden layer has `gain` and `shift` instead of a bias."""


@dataclasses.dataclass(frozen=True)
class OptaxMLP(UpdateRule):
    """A multilayer perceptron trained by an optax optimiser: one inner step is one optimiser step.

    Hidden layers compute φ(x W + b) or, normalised, φ(gain · (x W − mean)/√(variance + 1e-5) + shift), the last layer
    x W + b. Weights start as N(0, g / fan-in), g = 2 for ReLU and 1 elsewhere (He et al. 2015; LeCun et al. 1998),
    hidden biases and shifts as N(0, s²), the last bias at 0, gains at 1. The optimiser trains all of them.

    The genome holds `learning_rate`, `output_scale` (multiplies the last layer's initial weights), `bias_scale` (s
    above; where it is 0, the kinks of all ReLUs on a one-dimensional input are at one point), for the optimiser
    `momentum` also `momentum`, and with `decay_steps` also `decay`: the share of the rate that is gone after so many
    steps, 1 being linear decay to zero. Each may be varied by `vmap` or differentiated.

    Attributes:
      hidden: widths of the hidden layers; () is a linear model.
      optimizer: one of `OPTIMIZERS`.
      activation: of hidden layers, one of `ACTIVATIONS`.
      batch_norm: normalise the pre-activations of hidden layers over the batch (Ioffe & Szegedy 2015).
      statistics: what normalises a prediction: the statistics of the last support batch, as its step saw them, or the
        query batch's own.
      decay_steps: T of the rate learning_rate · max(0, 1 − decay · t / T) in inner step t; `life` for the length of the
        life, whatever it is; None for a constant rate.
      loss: what is minimised on each support batch, a differentiable one of `LOSSES`.

    Raises:
      ValueError: an unknown name, a width or `decay_steps` below 1.

    Examples:
      >>> import jax
      >>> rule = blur.OptaxMLP(hidden=(64,), optimizer="momentum", batch_norm=True)
      >>> sorted(rule.init_genome(jax.random.key(0)))
      ['bias_scale', 'learning_rate', 'momentum', 'output_scale']
    """

    hidden: tuple[int, ...] = (64,)
    optimizer: str = "sgd"
    activation: str = "relu"
    batch_norm: bool = False
    statistics: StatisticsRule = "support"
    decay_steps: int | Literal["life"] | None = None
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("statistics", self.statistics, ("support", "query"))
        check_choice("loss", self.loss, tuple(name for name in LOSSES if name not in NOT_DIFFERENTIABLE))
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden is {self.hidden}; expected widths of at least 1")
        if isinstance(self.decay_steps, int) and self.decay_steps < 1:
            raise ValueError(
                f"decay_steps is {self.decay_steps}; expected at least 1, 'life', or None for a constant rate"
            )

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """Customary: rate 0.1 (SGD, momentum) or 1e-3, momentum 0.9, output scale 1, bias scale 0, decay 1."""
        genome = {
            "learning_rate": jnp.asarray(0.1 if self.optimizer in ("sgd", "momentum") else 1e-3),
            "output_scale": jnp.asarray(1.0),
            "bias_scale": jnp.asarray(0.0),
        }
        if self.optimizer == "momentum":
            genome["momentum"] = jnp.asarray(0.9)
        if self.decay_steps is not None:
            genome["decay"] = jnp.asarray(1.0)
        return genome

    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """Fields: `synapses` (a tuple of layers), `optimizer`, `statistics` (per hidden layer), `step`, `key`.

        With `decay_steps="life"` also `life`, the number of inner steps.

        Raises:
          ValueError: the rate decays over the life, but the spec does not say how long that is.
        """
        key, init_key = jax.random.split(key)
        widths = (spec.inputs.shape[-1], *self.hidden, spec.targets.shape[-1])
        synapses = self._init_synapses(init_key, widths, spec.inputs.dtype, genome)
        normalised = self.hidden if self.batch_norm else ()
        ones = [jnp.ones(width, spec.inputs.dtype) for width in normalised]
        step = jnp.zeros((), jnp.int32)
        return State(
            **({"life": _length(spec)} if self.decay_steps == "life" else {}),
            synapses=synapses,
            optimizer=self._optimizer(genome, step, 1).init(synapses),
            statistics=tuple(Statistics(jnp.zeros_like(one), one) for one in ones),
            step=step,
            key=key,
        )

    def step(self, genome: Genome, state: State, batch: Batch) -> State:
        """One optimiser step on the weighted mean loss of the batch.

        Raises:
          ValueError: the inputs or the targets have another width than the network.
        """
        check_width("targets", batch.targets.shape[-1], state.synapses[-1]["bias"].shape[-1])

        def batch_loss(synapses: tuple[Layer, ...]) -> tuple[Array, tuple[Statistics, ...]]:
            outputs, statistics = self._forward(synapses, batch.inputs, batch.weight, None)
            return LOSSES[self.loss](outputs, batch.targets, batch.weight), statistics

        gradient, statistics = jax.grad(batch_loss, has_aux=True)(state.synapses)
        optimizer = self._optimizer(genome, state.step, state.life if self.decay_steps == "life" else self.decay_steps)
        updates, memory = optimizer.update(gradient, state.optimizer, state.synapses)
        return state.replace(
            synapses=optax.apply_updates(state.synapses, updates),
            optimizer=memory,
            statistics=statistics,
            step=state.step + 1,
        )

    def predict(
        self, genome: Genome, state: State, inputs: Float[Array, "batch inputs"]
    ) -> Float[Array, "batch outputs"]:
        """The network's outputs (logits under cross-entropy).

        Raises:
          ValueError: the inputs have another width than the network.
        """
        weight = jnp.ones(inputs.shape[:-1], inputs.dtype)
        statistics = state.statistics if self.statistics == "support" else None
        return self._forward(state.synapses, inputs, weight, statistics)[0]

    def _init_synapses(
        self, key: Key[Array, ""], widths: tuple[int, ...], dtype: jnp.dtype, genome: Genome
    ) -> tuple[Layer, ...]:
        shapes = list(itertools.pairwise(widths))
        sizes = [fan_in * fan_out for fan_in, fan_out in shapes]
        draws = jax.random.normal(key, (sum(sizes),), dtype)  # all layers in one draw, which compiles faster
        biases = jnp.asarray(genome["bias_scale"], dtype) * jax.random.normal(
            jax.random.fold_in(key, 1), (sum(self.hidden),), dtype
        )
        last = len(shapes) - 1
        layers = []
        for index, (fan_in, fan_out) in enumerate(shapes):
            start = sum(sizes[:index])
            deviation = math.sqrt((2 if self.activation == "relu" and index < last else 1) / fan_in)
            weights = deviation * draws[start : start + sizes[index]].reshape(fan_in, fan_out)
            first = sum(widths[1 : index + 1])
            bias = biases[first : first + fan_out]
            if index == last:
                scale = jnp.asarray(genome["output_scale"], dtype)
                layers.append({"weights": scale * weights, "bias": jnp.zeros(fan_out, dtype)})
            elif self.batch_norm:
                layers.append({"weights": weights, "gain": jnp.ones(fan_out, dtype), "shift": bias})
            else:
                layers.append({"weights": weights, "bias": bias})
        return tuple(layers)

    def _forward(
        self,
        synapses: tuple[Layer, ...],
        inputs: Float[Array, "batch inputs"],
        weight: Float[Array, "batch"],
        statistics: tuple[Statistics, ...] | None,
    ) -> tuple[Float[Array, "batch outputs"], tuple[Statistics, ...]]:
        """Outputs and the statistics that normalised them: the given ones or, for None, the batch's own."""
        check_width("inputs", inputs.shape[-1], synapses[0]["weights"].shape[0])
        x, used = inputs, []
        for index, layer in enumerate(synapses[:-1]):
            x = x @ layer["weights"]
            if self.batch_norm:
                used.append(batch_statistics(x, weight) if statistics is None else statistics[index])
                x = normalise(x, used[-1], layer["gain"], layer["shift"])
            else:
                x = x + layer["bias"]
            x = ACTIVATIONS[self.activation](x)
        return x @ synapses[-1]["weights"] + synapses[-1]["bias"], tuple(used)

    def _optimizer(
        self, genome: Genome, step: Int[Array, ""], decay_steps: Int[Array, ""] | int | None
    ) -> optax.GradientTransformation:
        rate = genome["learning_rate"]
        if self.decay_steps is not None:
            rate = rate * jnp.maximum(0, 1 - genome["decay"] * step / decay_steps).astype(rate.dtype)
        if self.optimizer == "momentum":
            return optax.sgd(rate, momentum=genome["momentum"])
        make = getattr(optax, self.optimizer)
        smooth = {"eps_root": EPSILON_ROOT} if "eps_root" in inspect.signature(make).parameters else {}
        return make(rate, **smooth)


def _length(spec: Spec | Batch) -> Int[Array, ""]:
    """How many inner steps the life has."""
    if spec.steps is None:
        raise ValueError(
            "decay_steps is 'life', but the length of the life is not known; pass a Spec with steps to init_state, as "
            "episode_spec makes it"
        )
    return jnp.asarray(spec.steps, jnp.int32)
