"""The engine against the original implementation's golden arrays (claim B2)."""

import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from original_toys import synapse_from_original

from blur.core.episode import make_batch
from blur.core.losses import accuracy, class_weighted_squared_error, frequency_weight, squared_error
from blur.network.activations import WithDerivative
from blur.network.amendments import Oja
from blur.rules.original import OriginalNetwork, backprop_network, from_original, to_original

CASES = {
    "bp_linear": backprop_network((5,)),
    "bp_sigmoid": backprop_network(
        (5,), forward_activation=WithDerivative("sigmoid"), last_layer_activation=WithDerivative("sigmoid")
    ),
    "add4": OriginalNetwork((5,), 4),
    "add4_symio": OriginalNetwork((5,), 4, symmetric_in_out_synapses=True),
    "add4_mult": OriginalNetwork((5,), 4, backward_update="multiplicative"),
    "add4_oja": OriginalNetwork((5,), 4, oja=Oja(strength=0.2, learned=True)),
    "add4_norm_rescale": OriginalNetwork((5,), 4, normalize_synapses=True, rescale=True),
    "add4_satexp": OriginalNetwork((5,), 4, synapse_saturation_eps=0.1),
    "add4_fwdsyn": OriginalNetwork((5,), 4, forward_synapse_update=True),
    "add4_useforward": OriginalNetwork((5,), 4, use_forward_activations_for_synapse_update=True),
    "add4_nozero": OriginalNetwork((5,), 4, zero_out_neurons=False),
    "add4_superv2": OriginalNetwork((5,), 4, supervised_every=2),
}
SIZES = (6, 5, 3)
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def golden():
    folder = os.environ.get("BLUR_REFERENCE_DIR")
    if folder is None:
        pytest.skip("BLUR_REFERENCE_DIR is not set: the original's golden arrays are not here")
    with np.load(Path(folder) / "blur_original_golden.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def relative_error(got, want):
    return np.max(np.abs(np.asarray(got) - want)) / max(np.max(np.abs(want)), 1e-30)


def case_arrays(golden, case, prefix=""):
    start = f"{case}/{prefix}"
    return {name[len(start) :]: value for name, value in golden.items() if name.startswith(start)}


def initial_state(network, genome, arrays):
    x, y = arrays["x0"][0, 0], arrays["y0"][0, 0]
    state = network.init_state(genome, jax.random.key(0), make_batch(x, y))
    synapses = tuple(synapse_from_original(arrays[f"synapse_init/{i}"][0, 0], SIZES[i]) for i in range(2))
    return state.replace(synapses=jax.tree.map(jnp.asarray, synapses))


@functools.partial(jax.jit, static_argnums=(0, 3))
def run(network, genome, arrays, steps):
    """The states after each step, with their neurons, and the state that reads the last batch."""
    state, seen = initial_state(network, genome, arrays), []
    for t in range(steps):
        inside = network.chain.phases.apply(genome, state, make_batch(arrays[f"x{t}"][0, 0], arrays[f"y{t}"][0, 0]))
        seen.append(inside)
        state = inside.only(state).replace(step=state.step + 1)
    return seen, network.chain.read(genome, state, jnp.asarray(arrays["x3"][0, 0]))


def data(arrays):
    return {name: value for name, value in arrays.items() if name[0] in "xy" or name.startswith("synapse_init")}


def check_layers(neurons, arrays, prefix):
    for index, layer in enumerate(neurons):
        want = np.moveaxis(arrays[f"{prefix}/layer{index}"][0, 0], -1, 0)
        assert relative_error(layer, want[: layer.shape[0]]) < TOLERANCE, (prefix, index)
        assert np.all(want[layer.shape[0] :] == 0)


def check_synapses(synapses, arrays, prefix):
    for index, synapse in enumerate(synapses):
        want = synapse_from_original(arrays[f"{prefix}/synapse{index}"][0, 0], SIZES[index])
        for part in ("forward", "bias", "backward"):
            assert relative_error(getattr(synapse, part), getattr(want, part)) < TOLERANCE, (prefix, index, part)


@pytest.mark.parametrize("case", CASES)
def test_states_synapses_and_scores_equal_the_original(golden, case):
    network, arrays = CASES[case], case_arrays(golden, case)
    genome = from_original(network, case_arrays(golden, case, "genome/"))
    states, read = run(network, genome, data(arrays), 3)
    for state, prefix in ((states[0], "after1"), (states[2], "after3")):
        check_layers(state.neurons, arrays, prefix)
        check_synapses(state.synapses, arrays, prefix)
    check_layers(read.neurons, arrays, "val")
    outputs, targets, ones = read.neurons[-1][0], jnp.asarray(arrays["y3"][0, 0]), jnp.ones(7)
    assert relative_error(-squared_error(outputs, targets, ones), arrays["val/l2_score"]) < TOLERANCE
    weighted = -class_weighted_squared_error(outputs, targets, ones)
    assert relative_error(weighted, arrays["val/l2_score_per_species_weighted"]) < TOLERANCE
    assert relative_error(accuracy(outputs, targets, ones), arrays["val/accuracy_onehot"]) < TOLERANCE
    assert relative_error(frequency_weight(targets), arrays["val/weight_by_frequency"][0, 0]) < TOLERANCE


def meta_gradient(network, golden, case, steps):
    """In float64: two correct float32 versions may differ by more than the tolerance where terms cancel."""
    arrays, original = case_arrays(golden, case), case_arrays(golden, case, "genome/")

    def meta_loss(original, arrays):
        _, read = run(network, from_original(network, original), arrays, steps)
        return squared_error(read.neurons[-1][0], arrays["y3"][0, 0], jnp.ones(7))

    with jax.enable_x64(True):
        original, arrays = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (original, data(arrays)))
        return jax.tree.map(np.asarray, jax.jit(jax.grad(meta_loss))(original, arrays))


@pytest.mark.parametrize("case", CASES)
def test_meta_gradients_equal_the_original(golden, case):
    gradient = meta_gradient(CASES[case], golden, case, 3)
    expected = case_arrays(golden, case, "metagrad/")
    assert expected
    for name, want in expected.items():
        assert relative_error(gradient[name], want) < TOLERANCE, name


@pytest.mark.parametrize("case", ["add4", "bp_sigmoid"])
def test_the_original_training_graph_makes_one_update_less_than_it_has_steps(golden, case):
    network, arrays = CASES[case], case_arrays(golden, case)
    genome = from_original(network, case_arrays(golden, case, "genome/"))
    states, read = run(network, genome, data(arrays), 2)
    check_synapses(states[-1].synapses, arrays, "build_graph3")
    check_layers(read.neurons, arrays, "build_graph3")
    gradient = meta_gradient(network, golden, case, 2)
    for name, want in case_arrays(golden, case, "build_graph3/metagrad/").items():
        # The original's float32 sum for bp_sigmoid's synapse/keep cancels: its own error is 1.1e-5.
        assert relative_error(gradient[name], want) < 2 * TOLERANCE, name


@pytest.mark.parametrize("case", CASES)
def test_export_gives_back_what_was_imported(golden, case):
    network, original = CASES[case], case_arrays(golden, case, "genome/")
    exported = to_original(network, from_original(network, original))
    assert set(exported) == set(original)
    used = {name for name in exported if name in case_arrays(golden, case, "metagrad/")}
    assert {"neuron/transform", "synapse/transform/pre", "synapse/update"} <= used
    for name in used:
        np.testing.assert_array_equal(exported[name], original[name], err_msg=name)
