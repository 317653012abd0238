"""A convolutional layer of which only the forward map is written: SGD on it is exact, and a BLUR genome learns."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

import blur
from blur.core.episode import make_batch
from blur.core.losses import cross_entropy
from blur.core.phases import chain
from blur.network import Convolution, DenseSynapses, Oja, Readout
from blur.rules.two_state_sgd import TwoStateSGD

RATE, STEPS = 0.1, 5
IMAGE = (4, 5, 2)
LAYERS = (Convolution(channels=3, size=3, image=IMAGE), 7, Convolution(channels=2, size=2, image=(7, 1, 1)))


def with_layers(rule, hidden):
    """The rule's chain with other hidden layers."""
    phases = dict(rule.chain.phases.named)
    phases["synapses"] = dataclasses.replace(phases["synapses"], hidden=hidden)
    return chain(**phases, read=("input", "forward"), output=rule.chain.output)


def random_batches(dtype=jnp.float32, inputs=40, outputs=3):
    x = jax.random.normal(jax.random.key(1), (STEPS, 6, inputs), dtype)
    labels = jax.random.randint(jax.random.key(2), (STEPS, 6), 0, outputs)
    return make_batch(x, 2 * jax.nn.one_hot(labels, outputs, dtype=dtype) - 1)


def outputs(parameters, x):
    """The same network in plain JAX."""
    for (weights, bias), layer in zip(parameters, (*LAYERS, None), strict=True):
        if isinstance(layer, Convolution):
            images = x.reshape(len(x), *layer.image)
            maps = jax.lax.conv_general_dilated(
                images, weights, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            z = maps.reshape(len(x), -1) + bias
        else:
            z = x @ weights + bias
        x = jnp.tanh(z)
    return z


def test_two_state_sgd_on_convolutions_equals_autodiff():
    with jax.enable_x64(True):
        rule = with_layers(TwoStateSGD(activation="tanh"), LAYERS)
        genome = TwoStateSGD(learning_rate=RATE).init_genome(jax.random.key(0))
        genome = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), genome)
        batches = random_batches(jnp.float64)
        state = rule.init_state(genome, jax.random.key(3), jax.tree.map(lambda leaf: leaf[0], batches))
        parameters = [tuple(leaf[0] for leaf in jax.tree.leaves(synapse)) for synapse in state.synapses]
        step, predict = jax.jit(rule.step), jax.jit(rule.predict)
        gradient = jax.jit(jax.grad(lambda p, batch: cross_entropy(outputs(p, batch.inputs), *batch[1:])))
        for batch in (jax.tree.map(lambda leaf, at=at: leaf[at], batches) for at in range(STEPS)):
            assert jnp.max(jnp.abs(predict(genome, state, batch.inputs) - outputs(parameters, batch.inputs))) < 1e-10
            state = step(genome, state, batch)
            slopes = gradient(parameters, batch)
            assert all(jnp.max(jnp.abs(slope)) > 1e-4 for slope in jax.tree.leaves(slopes))
            parameters = jax.tree.map(lambda p, slope: p - RATE * slope, parameters, slopes)
            for ours, theirs in zip(*map(jax.tree.leaves, (state.synapses, parameters)), strict=True):
                assert jnp.max(jnp.abs(ours[0] - theirs)) < 1e-10


def digits():
    """Images and labels to learn from, and others."""
    found = load_digits()
    x, y = found.images.astype(np.uint8), found.target
    return (x[:600], y[:600]), (x[600:], y[600:])


def test_a_genome_that_was_learned_on_dense_layers_learns_on_a_convolution(tmp_path):
    file = blur.load_genome("mnist-k4")
    rule = with_layers(file.rule, (Convolution(channels=4, size=3, image=(8, 8, 1)), 32))
    (x, y), (test_x, test_y) = digits()
    model = blur.train(rule, file.genome, x, y, batch_size=64, steps=20)
    assert model.state.synapses[0].forward.array.shape == (4, 3, 3, 1, 4)
    assert model.state.synapses[0].forward.shape == (4, 64, 256)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(model.state.synapses))
    found = blur.predict(model, test_x)
    assert np.mean(found == test_y) > 0.8
    again = blur.load_model(blur.save_model(tmp_path / "model.safetensors", model))
    assert again.rule == rule
    np.testing.assert_array_equal(blur.predict(again, test_x), found)


def test_a_step_keeps_every_shape_and_has_a_gradient_in_the_genome():
    rule = with_layers(blur.Bidirectional(states=3), (LAYERS[0], 5, Convolution(channels=2, size=2, image=(5, 1, 1))))
    genome = rule.init_genome(jax.random.key(0))
    batch = jax.tree.map(lambda leaf: leaf[0], random_batches())

    def loss(genome):
        start = rule.init_state(genome, jax.random.key(1), batch)
        end = rule.step(genome, start, batch)
        before, after = (jax.tree.map(jax.typeof, state) for state in (start, end))
        assert jax.tree.structure(before) == jax.tree.structure(after)
        assert jax.tree.leaves(before) == jax.tree.leaves(after)
        return jnp.mean(rule.predict(genome, end, batch.inputs) ** 2)

    slopes = jax.jit(jax.grad(loss))(genome)
    for name in ("pre", "post", "update"):
        assert jnp.all(jnp.isfinite(slopes["hebbian"][name])) and jnp.any(slopes["hebbian"][name] != 0)


def test_a_convolution_is_saved_as_configuration(tmp_path):
    rule = with_layers(TwoStateSGD(), LAYERS)
    genome = rule.init_genome(jax.random.key(0))
    assert blur.load_genome(blur.save_genome(tmp_path / "rule.safetensors", rule, genome)).rule == rule


def test_a_convolution_on_another_image_is_one_clear_error():
    rule = with_layers(TwoStateSGD(), LAYERS)
    batch = jax.tree.map(lambda leaf: leaf[0], random_batches(inputs=41))
    with pytest.raises(ValueError, match=r"image=\(4, 5, 2\)\) hears 40 neurons, but the layer below has 41$"):
        rule.init_state(rule.init_genome(jax.random.key(0)), jax.random.key(0), batch)
    with pytest.raises(ValueError, match="has a size below 1"):
        Convolution(channels=0, size=3, image=(8, 8, 1))


def test_phases_that_read_synapses_one_by_one_refuse_a_convolution():
    phases = dict(TwoStateSGD().chain.phases.named)
    phases["synapses"] = DenseSynapses(LAYERS, states=1, separate_backward=False)
    apply = phases.pop("apply")
    rule = chain(**phases, oja=Oja(), apply=apply, read=("input", "forward"), output=Readout())
    genome = rule.init_genome(jax.random.key(0))
    batch = jax.tree.map(lambda leaf: leaf[0], random_batches())
    with pytest.raises(ValueError, match="Oja's decay needs one synapse for each pair of neurons; give DenseSynapses"):
        jax.eval_shape(rule.step, genome, rule.init_state(genome, jax.random.key(0), batch), batch)
