"""Every option of the original network, alone and together, against its equations in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from original_toys import synapse_from_original
from square_reference import step

from blur.core.episode import make_batch
from blur.network import Oja
from blur.rules.original import OriginalNetwork, from_original

K, SIZES, BATCH, STEPS = 3, (4, 5, 3, 2), 6, 3

# What the engine is asked for, and the same for the reference.
CASES = {
    "normalised_in_use": ({"normalize_in_activations": True}, {"normalize_in_activations": True}),
    "rescaled_in_use": (
        {"normalize_in_activations": True, "rescale": True},
        {"normalize_in_activations": True, "rescale": True},
    ),
    "normalised_state": ({"normalize_synapses": True}, {"normalize_synapses": True}),
    "oja_activities": ({"oja": Oja(strength=0.3)}, {"oja": "activities", "oja_strength": 0.3}),
    "oja_weights": ({"oja": Oja(strength=0.3, from_weights=True)}, {"oja": "weights", "oja_strength": 0.3}),
    "synapse_activation": ({"synapse_activation": "tanh"}, {"synapse_activation": np.tanh}),
    "tied_states": ({"symmetric_states_synapses": True}, {"symmetric_states": True}),
    "tied_and_saturated": (
        {"symmetric_in_out_synapses": True, "synapse_saturation_eps": 0.2},
        {"symmetric_in_out": True, "saturation_eps": 0.2},
    ),
    "replace": ({"backward_update": "replace"}, {"backward_update": "replace"}),
    "second_state": (
        {"backward_update": "multiplicative_second_state"},
        {"backward_update": "multiplicative_second_state"},
    ),
    "genome_per_layer": ({"per_layer": 3}, {"per_layer": True}),
    "persistent_supervised_forward": (
        {
            "zero_out_neurons": False,
            "supervised_every": 2,
            "use_forward_activations_for_synapse_update": True,
            "oja": Oja(strength=0.1),
        },
        {"persistent": True, "supervised_every": 2, "use_forward": True, "oja": "activities", "oja_strength": 0.1},
    ),
}


def original_genome(rng, layers):
    """The original's dictionary for one species: a genome for each of `layers`, or one if that is None."""
    lead = () if layers is None else (layers,)
    return {
        "neuron/transform": 0.5 * rng.standard_normal((*lead, 1, 2 * K, 2 * K)),
        "neuron/keep": np.array(0.9),
        "neuron/update": np.array(0.7),
        "synapse/transform/pre": 0.5 * rng.standard_normal((*lead, 1, K, K)),
        "synapse/transform/post": 0.5 * rng.standard_normal((*lead, 1, K, K)),
        "synapse/keep": np.array(0.95),
        "synapse/update": np.array(-0.05),
        "synapse/saturation": np.array(0.8),
        "synapse/rescale_to": np.array(1.3),
    }


def reference_genome(original, layer):
    def of_layer(name):
        array = original[name]
        return array[layer, 0] if array.ndim == 4 else array[0]

    transform = of_layer("neuron/transform")
    return {
        "nu": transform[:K, K:],
        "mu": transform[K:, :K],
        "keep": original["neuron/keep"],
        "update": original["neuron/update"],
        "pre": of_layer("synapse/transform/pre"),
        "post": of_layer("synapse/transform/post"),
        "synapse_keep": original["synapse/keep"],
        "synapse_update": original["synapse/update"],
        "saturation": original["synapse/saturation"],
        "rescale_to": original["synapse/rescale_to"],
    }


@pytest.mark.parametrize("case", CASES)
def test_the_engine_equals_the_equations(case):
    engine_options, reference_options = CASES[case]
    rng = np.random.default_rng(sum(map(ord, case)))
    network = OriginalNetwork(SIZES[1:-1], K, **engine_options)
    original = original_genome(rng, network.per_layer)
    squares = [0.4 * rng.standard_normal((i + 1 + o, i + 1 + o, K)) for i, o in itertools.pairwise(SIZES)]
    xs = rng.standard_normal((STEPS, BATCH, SIZES[0]))
    ys = np.sign(rng.standard_normal((STEPS, BATCH, SIZES[-1])))

    with jax.enable_x64(True):
        genome = from_original(network, original)
        state = network.init_state(genome, jax.random.key(0), make_batch(xs[0], ys[0]))
        synapses = tuple(
            network.tie(synapse_from_original(jnp.asarray(s), i)) for s, i in zip(squares, SIZES, strict=False)
        )
        state = state.replace(synapses=synapses)
        neurons = []
        for x, y in zip(xs, ys, strict=True):
            inside = jax.jit(network.chain.phases.apply)(genome, state, make_batch(x, y))
            neurons.append(inside.neurons)
            state = inside.only(state).replace(step=state.step + 1)

    if reference_options.get("symmetric_in_out"):
        for square, inputs in zip(squares, SIZES, strict=False):
            square[inputs + 1 :, : inputs + 1] = square[: inputs + 1, inputs + 1 :].transpose(1, 0, 2)
    if reference_options.get("symmetric_states"):
        squares = [np.broadcast_to(square[..., :1], square.shape).copy() for square in squares]
    layers = [np.zeros((BATCH, size, K)) for size in SIZES]
    genomes = [reference_genome(original, layer) for layer in range(len(squares))]
    options = {"activation": lambda z: np.maximum(np.tanh(z), 0), "last": np.tanh} | reference_options
    for index in range(STEPS):
        layers, squares = step(options, genomes, layers, squares, xs[index], ys[index], index)
        for ours, theirs in zip(neurons[index], layers, strict=True):
            np.testing.assert_allclose(ours, np.moveaxis(theirs, -1, 0)[: ours.shape[0]], rtol=1e-10, atol=1e-12)
    for ours, square, inputs in zip(state.synapses, squares, SIZES, strict=False):
        theirs = synapse_from_original(square, inputs)
        for part in ("forward", "bias", "backward"):
            np.testing.assert_allclose(getattr(ours, part), getattr(theirs, part), rtol=1e-10, atol=1e-12)
