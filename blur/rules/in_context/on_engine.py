"""Linear attention on the engine of multi-state neurons: a Hebbian write without memory, then a forward read.

An inner step of both rules here is the same chain,

    w ← f̃ w − (η/N) Σ_i x_i r_iᵀ          hebbian, apply            (i over the context: N = Σ_i weight_i)
    r_j ← f r_j + wᵀ x_j                    forward                   (j over context and queries)

- *Data space*, (f̃, f) = (0, 1): synapses forget, neurons remember. That is a layer of linear attention on the tokens
  (x, r): the synapse is written with values times keys and read with queries.
- *Weight space*, (f̃, f) = (1, 0) plus the data: synapses remember, r starts each step from the target. That is gradient
  descent on 1/(2N) Σ_i ‖W x_i − y_i‖², where W = −wᵀ.

Both leave r = y − W_t x. One engine is BLUR with learned numbers, SGD with two states, and attention with f̃ = 0.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch, Spec
from blur.core.parts import nameable
from blur.core.phases import Chain, Phase, chain
from blur.core.rule import Genome
from blur.core.state import State
from blur.network.forward import Forward
from blur.network.hebbian import ApplyChange, Hebbian
from blur.network.synapses import DenseSynapses
from blur.rules.in_context.tokens import check_queries


@dataclasses.dataclass(frozen=True)
class PresentPairs(Phase):
    """Makes `neurons` of two layers: x below, and above the residual r, which starts as the target.

    Owns the state field `residual` [batch, outputs].
    """

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """Adds `residual`, before anything is presented.

        Raises:
          ValueError: the context is empty, or its inputs and targets do not fit each other.
        """
        _check_pairs(spec)
        return state.replace(residual=jnp.zeros(spec.targets.shape, spec.targets.dtype))

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """neurons ← (x, y) in the first step, (x, r) afterwards.

        Raises:
          ValueError: the context has other shapes than the one that the state was made for.
        """
        expected = (len(state.residual), _width(state)), state.residual.shape
        if (batch.inputs.shape, batch.targets.shape) != expected:
            raise ValueError(
                f"the context has inputs {batch.inputs.shape} and targets {batch.targets.shape}, but the state is for "
                f"{expected[0]} and {expected[1]}; expected the shapes that init_state was given"
            )
        residual = jnp.where(state.step == 0, batch.targets, state.residual)
        return state.replace(neurons=(batch.inputs[None], residual[None]))

    def read(self, genome: Genome, state: State, batch: Batch) -> State:
        """neurons ← (x, 0): of a query only x is known.

        Raises:
          ValueError: there is no query, or queries have another width than the context.
        """
        check_queries(batch.inputs, _width(state))
        return state.replace(neurons=(batch.inputs[None], None))


def _width(state: State) -> int:
    """Numbers of x."""
    width: int = state.synapses[0].forward.shape[1]
    return width


def _check_pairs(spec: Spec | Batch) -> None:
    """Raises ValueError unless there is at least one pair, and every x has a y and a weight."""
    x, y, weight = (leaf.shape for leaf in (spec.inputs, spec.targets, spec.weight))
    if len(x) != 2 or len(y) != 2 or not x[:1] == y[:1] == weight or 0 in (*x, *y):
        raise ValueError(
            f"the context has inputs {x} and targets {y} with weights {weight}; expected [n, inputs] and [n, outputs] "
            "with [n], nothing empty"
        )


@dataclasses.dataclass(frozen=True)
class PresentTargets(Phase):
    """Sets the upper layer of `neurons` to the target: the data stay as they are."""

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """neurons ← (x, y)."""
        return state.replace(neurons=(state.neurons[0], batch.targets[None]))

    def read(self, genome: Genome, state: State, batch: Batch) -> State:
        """Nothing: a query has no target."""
        return state


@dataclasses.dataclass(frozen=True)
class SumSynapses(Phase):
    """Reads with the sum of all steps' synapses: where x stays, r ← r + w_tᵀ x layer by layer is r + (Σ_t w_t)ᵀ x.

    Owns the state field `written`, that sum.
    """

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """Adds `written`, which is zero."""
        return state.replace(written=jax.tree.map(jnp.zeros_like, state.synapses))

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """written ← written + w."""
        return state.replace(written=jax.tree.map(jnp.add, state.written, state.synapses))

    def read(self, genome: Genome, state: State, batch: Batch) -> State:
        """w ← written."""
        return state.replace(synapses=state.written)


@dataclasses.dataclass(frozen=True)
class KeepResidual(Phase):
    """Remembers the upper layer of `neurons` as `residual`."""

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """residual ← r."""
        return state.replace(residual=state.neurons[1][0])


@nameable
def prediction(state: State) -> Float[Array, "batch outputs"]:
    """−(upper layer): W x of a query, whose r is −W x."""
    outputs: Array = -state.neurons[1][0]
    return outputs


def data_space() -> Chain:
    """Attention on the engine: synapses live for one step, the residuals carry what was learned.

    A query may be part of the batch, with weight 0 and target 0: its `residual` is −(prediction). A query that comes
    later is predicted with the sum of all layers' writes. Descent starts from W = 0. To start from W_0, give the
    context the targets y − W_0 x; a query in the batch then has the target −W_0 x, and a later one needs W_0 x added.
    """
    return _chain({"written": SumSynapses()})


def weight_space() -> Chain:
    """Gradient descent on the engine: the same phases, but synapses live on, and the data are presented anew.

    `data_space` says how to start from W_0; the same holds here.
    """
    return _chain({"targets": PresentTargets()})


def engine_genome(step_size: float | Float[Array, ""], *, keep_synapses: bool) -> Genome:
    """The genome of both chains: η; f̃ = 1 for `weight_space` and 0 for `data_space`; every other number is 1."""
    one = jnp.ones(())
    return {
        "synapses": {"forward_scale": 0 * one, "output_scale": one},
        "hebbian": {"pre": one[None, None], "post": one[None, None], "update": -jnp.asarray(step_size, one.dtype)},
        "apply": {"keep": one * keep_synapses},
        "forward": {"transform": one[None, None], "keep": one, "update": one},
    }


def _chain(between: dict[str, Phase]) -> Chain:
    phases: dict[str, Phase] = {
        "present": PresentPairs(),
        "synapses": DenseSynapses((), states=1, separate_backward=False, bias=False),
        "hebbian": Hebbian(states=1, reference_batch=1.0),
        "apply": ApplyChange(),
        **between,
        "forward": Forward(states=1, last_activation="identity"),
        "remember": KeepResidual(),
    }
    made = chain(**phases, read=("present", *between, "forward"), output=prediction)
    return dataclasses.replace(made, in_context=True)
