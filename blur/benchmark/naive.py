"""The naive reference: the bidirectional rule written with plain einsums, in the layout of the original.

A synapse layer is one square array `[n, n, k]` over its inputs, the bias neuron and its outputs. It holds both
directions, and also blocks that no neuron reads. A layer of neurons is an array `[batch, neurons, k]` with all states,
zeros included. The reference computes `Bidirectional` with the options of a workload, and no other options.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.benchmark.workloads import Workload
from blur.core.episode import Batch, Episode, as_arrays, episode_spec
from blur.core.rule import Genome
from blur.network.batch_norm import EPSILON
from blur.network.synapses import Synapse

LayerStates = Float[Array, "_batch _neurons states"]
Square = Float[Array, "_all _all states"]


class Moments(NamedTuple):
    """Mean and variance of a hidden layer's pre-activations over a batch."""

    mean: Float[Array, "neurons states"]
    variance: Float[Array, "neurons states"]


def naive_loss(workload: Workload, genome: Genome, key: Key[Array, ""], episode: Episode) -> Float[Array, ""]:
    """The value of `episode_loss` for the workload's rule, from the same initial synapses; differentiable."""
    synapses = workload.rule.init_state(genome, key, episode_spec(episode)).synapses
    squares = tuple(square(synapse) for synapse in synapses)
    hidden = workload.sizes[1:-1]
    moments = tuple(Moments(jnp.zeros((n, workload.states)), jnp.ones((n, workload.states))) for n in hidden)

    def step(carry: tuple[Any, Any], batch: Batch) -> tuple[tuple[Any, Any], None]:
        layers, moments = sweep_up(workload, genome, carry[0], batch.inputs, batch.weight, None)
        layers = sweep_down(workload, genome, carry[0], layers, batch)
        return (update(workload, genome, carry[0], layers, batch.weight), moments), None

    (squares, moments), _ = jax.lax.scan(step, (squares, moments), as_arrays(episode.support))
    layers, _ = sweep_up(workload, genome, squares, episode.query.inputs, episode.query.weight, moments)
    outputs = workload.rule.readout_scale * layers[-1][..., 0]
    return workload.loss(outputs, episode.query.targets, episode.query.weight)


def square(synapse: Synapse) -> Square:
    """The square array of a synapse layer. Only this function depends on the engine's storage of synapses."""
    forward = synapse.weights.dense()
    states, sources, targets = forward.shape
    whole = jnp.zeros((sources + 1 + targets, sources + 1 + targets, states), forward.dtype)
    whole = whole.at[:sources, sources + 1 :].set(jnp.moveaxis(forward, 0, -1))
    if synapse.bias is not None:
        whole = whole.at[sources, sources + 1 :].set(synapse.bias.T)
    if synapse.backward is None:  # into the inputs, which receive nothing
        return whole
    return whole.at[sources + 1 :, :sources].set(jnp.moveaxis(synapse.backward, 0, -1))


def sweep_up(
    workload: Workload,
    genome: Genome,
    squares: tuple[Square, ...],
    inputs: Float[Array, "batch inputs"],
    weight: Float[Array, "batch"],
    stored: tuple[Moments, ...] | None,
) -> tuple[list[LayerStates], tuple[Moments, ...]]:
    """All layers after the forward sweep, and their moments: the stored moments, else the moments of the batch."""
    at_rest = jnp.zeros((*inputs.shape, workload.states - 1), inputs.dtype)
    layers, moments = [jnp.concatenate([inputs[..., None], at_rest], axis=-1)], []
    own = genome["forward"]
    for index, (synapse, sources) in enumerate(zip(squares, workload.sizes[:-1], strict=True)):
        heard = with_bias(layers[-1])
        z = own["update"] * jnp.einsum(
            "bik,kc,ijc->bjc", heard, own["transform"], synapse[: sources + 1, sources + 1 :]
        )
        if index == len(squares) - 1:
            layers.append(jnp.tanh(z))
        else:
            moments.append(batch_moments(z, weight) if stored is None else stored[index])
            layers.append(activate(own, z, moments[-1]))
    return layers, tuple(moments)


def sweep_down(
    workload: Workload, genome: Genome, squares: tuple[Square, ...], layers: list[LayerStates], batch: Batch
) -> list[LayerStates]:
    """All layers after the backward sweep, which presents the targets and sends feedback to the hidden layers."""
    shown = [layers[-1][..., 0], batch.targets, *[jnp.zeros_like(batch.targets)] * (workload.states - 2)]
    layers, own = [*layers[:-1], jnp.stack(shown, axis=-1)], genome["backward"]
    for index in range(len(squares) - 1, 0, -1):
        sources = workload.sizes[index]
        arriving = jnp.einsum(
            "bjk,kc,jic->bic", layers[index + 1], own["transform"], squares[index][sources + 1 :, :sources]
        )
        z = own["keep"] * layers[index] + own["update"] * arriving
        layers[index] = activate(own, z, batch_moments(z, batch.weight))
    return layers


def update(
    workload: Workload,
    genome: Genome,
    squares: tuple[Square, ...],
    layers: list[LayerStates],
    weight: Float[Array, "batch"],
) -> tuple[Square, ...]:
    """w ← f̃ w + η̃ H, where H is the Hebbian sum over the whole square, for all pairs of neurons."""
    own, keep = genome["hebbian"], genome["apply"]["keep"]
    share = weight * (workload.rule.reference_batch or 1.0) / jnp.sum(weight)
    changed = []
    for synapse, below, above in zip(squares, layers[:-1], layers[1:], strict=True):
        heard = with_bias(below)
        pre = jnp.concatenate([heard @ own["pre"], above @ own["backward_pre"]], axis=1)
        post = jnp.concatenate([heard @ own["backward_post"].T, above @ own["post"].T], axis=1)
        hebbian = jnp.einsum("b,bic,bjc->ijc", share, pre, post)
        changed.append(keep * synapse + own["update"] * hebbian)
    return tuple(changed)


def activate(own: Genome, z: LayerStates, moments: Moments) -> LayerStates:
    """max(tanh(gain (z − mean) / √(variance + ε) + shift), 0)."""
    normalised = (z - moments.mean) / jnp.sqrt(moments.variance + EPSILON)
    return jnp.maximum(jnp.tanh(own["gain"] * normalised + own["shift"]), 0)


def batch_moments(z: LayerStates, weight: Float[Array, "batch"]) -> Moments:
    """Weighted mean and biased variance over the batch."""
    share = weight[:, None, None] / jnp.sum(weight)
    mean = jnp.sum(share * z, axis=0)
    return Moments(mean, jnp.sum(share * (z - mean) ** 2, axis=0))


def with_bias(layer: LayerStates) -> LayerStates:
    """The layer and the bias neuron, which is 1 in every state."""
    ones = jnp.ones((layer.shape[0], 1, layer.shape[2]), layer.dtype)
    return jnp.concatenate([layer, ones], axis=1)
