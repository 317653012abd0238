"""The optax baselines: exact against hand-written steps, weights, decay, normalisation, meta-gradients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blur.core.episode import Batch, Episode, make_batch
from blur.core.inner_loop import episode_loss, train_on, unroll
from blur.core.losses import LOSSES, cross_entropy, squared_error
from blur.network.activations import ACTIVATIONS
from blur.rules.optax_mlp import OPTIMIZERS, OptaxMLP

KEY = jax.random.key(0)


def random_batch(key, size=8, inputs=5, outputs=3, dtype=jnp.float32):
    input_key, label_key = jax.random.split(key)
    labels = jax.random.randint(label_key, (size,), 0, outputs)
    targets = 2 * jax.nn.one_hot(labels, outputs, dtype=dtype) - 1
    return make_batch(jax.random.normal(input_key, (size, inputs), dtype), targets)


def random_episode(key, steps=4, **sizes):
    *keys, query_key = jax.random.split(key, steps + 1)
    support = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[random_batch(k, **sizes) for k in keys])
    return Episode(support, random_batch(query_key, **sizes))


def plain_forward(layers, x, activation, statistics=None):
    for index, layer in enumerate(layers[:-1]):
        x = x @ layer["weights"] + layer.get("bias", 0)
        if "gain" in layer:
            mean, variance = (x.mean(0), x.var(0)) if statistics is None else statistics[index]
            x = layer["gain"] * (x - mean) / jnp.sqrt(variance + 1e-5) + layer["shift"]
        x = ACTIVATIONS[activation](x)
    return x @ layers[-1]["weights"] + layers[-1]["bias"]


def largest_difference(tree, other):
    return max(
        float(jnp.max(jnp.abs(a - b))) for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    )


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "l2"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_steps_equal_autodiff_and_optax(optimizer, loss, batch_norm):
    by_hand = {
        "sgd": optax.sgd(0.3),
        "momentum": optax.sgd(0.3, momentum=0.7),
        "adam": optax.adam(0.3, eps_root=1e-16),
    }[optimizer]
    with jax.enable_x64(True):
        key = jax.random.key(1)
        rule = OptaxMLP(hidden=(7, 6), optimizer=optimizer, activation="tanh", batch_norm=batch_norm, loss=loss)
        genome = rule.init_genome(key) | {"learning_rate": jnp.asarray(0.3)}
        genome |= {"momentum": jnp.asarray(0.7)} if optimizer == "momentum" else {}
        batches = [random_batch(k, dtype=jnp.float64) for k in jax.random.split(key, 3)]
        state = rule.init_state(genome, key, batches[0])
        layers, memory = state.synapses, by_hand.init(state.synapses)
        for batch in batches:

            def batch_loss(layers, batch=batch):
                return LOSSES[loss](plain_forward(layers, batch.inputs, "tanh"), batch.targets, batch.weight)

            updates, memory = by_hand.update(jax.grad(batch_loss)(layers), memory, layers)
            layers = optax.apply_updates(layers, updates)
            state = rule.step(genome, state, batch)
        assert largest_difference(state.synapses, layers) <= 1e-12
        assert state.synapses[0]["weights"].dtype == jnp.float64
        assert int(state.step) == 3


@pytest.mark.parametrize("batch_norm", [False, True])
def test_weight_zero_removes_an_example_exactly(batch_norm):
    with jax.enable_x64(True):
        key = jax.random.key(2)
        rule = OptaxMLP(hidden=(6,), optimizer="momentum", batch_norm=batch_norm)
        genome = rule.init_genome(key)
        whole = random_batch(key, size=9, dtype=jnp.float64)
        masked = whole._replace(weight=whole.weight.at[5:].set(0.0), inputs=whole.inputs.at[5:].multiply(1e3))
        few = jax.tree.map(lambda leaf: leaf[:5], whole)
        states = [rule.step(genome, rule.init_state(genome, key, few), batch) for batch in (masked, few)]
        assert largest_difference(states[0].replace(key=0), states[1].replace(key=0)) <= 1e-12


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.lists(st.integers(1, 5), max_size=2), st.booleans())
def test_state_keeps_its_shapes_and_dtypes(size, inputs, outputs, hidden, batch_norm):
    rule = OptaxMLP(hidden=tuple(hidden), optimizer="adam", batch_norm=batch_norm)
    genome, batch = rule.init_genome(KEY), random_batch(KEY, size=size, inputs=inputs, outputs=outputs)
    state = rule.init_state(genome, KEY, batch)
    after = jax.eval_shape(rule.step, genome, state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert [(a.shape, a.dtype) for a in jax.tree.leaves(after)] == [(a.shape, a.dtype) for a in jax.tree.leaves(state)]
    assert rule.predict(genome, state, batch.inputs).shape == (size, outputs)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns_under_scan(optimizer):
    rule = OptaxMLP(hidden=(), optimizer=optimizer)
    batch = random_batch(KEY)
    genome = rule.init_genome(KEY) | {"learning_rate": jnp.asarray(0.05)}
    state = rule.init_state(genome, KEY, batch)
    untrained = cross_entropy(rule.predict(genome, state, batch.inputs), batch.targets, batch.weight)
    loss, _ = jax.jit(lambda: episode_loss(rule, genome, KEY, Episode(batch, batch, steps=30), cross_entropy))()
    assert loss < untrained


@pytest.mark.parametrize("optimizer", ["adam", "amsgrad"])
def test_meta_gradients_through_dead_synapses_are_finite(optimizer):
    rule = OptaxMLP(hidden=(8,), optimizer=optimizer)
    batch = random_batch(KEY)
    batch = batch._replace(inputs=batch.inputs.at[:, 0].set(0.0))  # the gradient of its synapses is exactly 0
    episode = Episode(batch, batch, steps=3)
    loss_gradient = jax.jit(jax.grad(lambda genome: episode_loss(rule, genome, KEY, episode, cross_entropy)[0]))
    gradient = loss_gradient(rule.init_genome(KEY))
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(gradient))
    assert float(gradient["learning_rate"]) != 0


def test_vmap_over_genomes_equals_one_by_one():
    rule = OptaxMLP(hidden=(6,), optimizer="momentum", batch_norm=True, decay_steps=4)
    genomes = {
        "learning_rate": jnp.asarray([0.01, 0.1, 1.0]),
        "momentum": jnp.asarray([0.0, 0.5, 0.9]),
        "output_scale": jnp.asarray([1.0, 0.1, 0.0]),
        "bias_scale": jnp.asarray([0.0, 0.5, 1.0]),
        "decay": jnp.asarray([0.0, 0.5, 1.0]),
    }
    episode = random_episode(KEY)

    def final_loss(genome):
        return episode_loss(rule, genome, KEY, episode, cross_entropy)[0]

    together = jax.vmap(final_loss)(genomes)
    alone = [final_loss(jax.tree.map(lambda leaf, i=i: leaf[i], genomes)) for i in range(3)]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert len(set(np.asarray(together).tolist())) == 3


def test_output_scale_multiplies_the_last_initial_weights_alone():
    rule = OptaxMLP(hidden=(6,))
    genome = rule.init_genome(KEY)
    full, small = (
        rule.init_state(genome | {"output_scale": jnp.asarray(s)}, KEY, random_batch(KEY)) for s in (1.0, 0.1)
    )
    np.testing.assert_allclose(small.synapses[1]["weights"], 0.1 * full.synapses[1]["weights"], rtol=1e-6)
    np.testing.assert_array_equal(small.synapses[0]["weights"], full.synapses[0]["weights"])


@pytest.mark.parametrize(("batch_norm", "field"), [(False, "bias"), (True, "shift")])
def test_bias_scale_is_the_deviation_of_hidden_biases_alone(batch_norm, field):
    rule = OptaxMLP(hidden=(2000,), batch_norm=batch_norm)
    genome = rule.init_genome(KEY)
    plain, spread = (
        rule.init_state(genome | {"bias_scale": jnp.asarray(s)}, KEY, random_batch(KEY)).synapses for s in (0.0, 2.0)
    )
    assert not np.any(plain[0][field])
    assert float(jnp.std(spread[0][field])) == pytest.approx(2, rel=0.05)
    np.testing.assert_array_equal(spread[0]["weights"], plain[0]["weights"])
    np.testing.assert_array_equal(spread[1]["weights"], plain[1]["weights"])
    assert not np.any(spread[1]["bias"])


def test_initial_weights_have_the_stated_variance():
    spec = Batch(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, 400), (1, 300), (1,))))
    for activation, gain in (("relu", 2), ("tanh", 1)):
        rule = OptaxMLP(hidden=(300,), activation=activation)
        first, last = rule.init_state(rule.init_genome(KEY), KEY, spec).synapses
        assert float(jnp.var(first["weights"])) * 400 / gain == pytest.approx(1, rel=0.02)
        assert float(jnp.var(last["weights"])) * 300 == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_linear_decay_scales_each_step_and_ends_at_zero(decay):
    constant, linear = OptaxMLP(hidden=()), OptaxMLP(hidden=(), decay_steps=4)
    genome, batch = constant.init_genome(KEY), random_batch(KEY)
    state = constant.init_state(genome, KEY, batch)
    for t in range(6):
        at_t = state.replace(step=jnp.asarray(t))
        whole = constant.step(genome, at_t, batch).synapses[0]["weights"] - state.synapses[0]["weights"]
        slower = linear.step(genome | {"decay": jnp.asarray(decay)}, at_t, batch).synapses[0]["weights"]
        np.testing.assert_allclose(slower - state.synapses[0]["weights"], max(0, 1 - decay * t / 4) * whole, atol=1e-6)


def test_support_statistics_predict_single_examples_and_query_statistics_do_not():
    episode = random_episode(KEY)
    for statistics, independent in (("support", True), ("query", False)):
        rule = OptaxMLP(hidden=(6, 6), batch_norm=True, statistics=statistics)
        genome = rule.init_genome(KEY)
        state = train_on(rule, genome, KEY, episode)
        together = rule.predict(genome, state, episode.query.inputs)
        alone = jnp.concatenate([rule.predict(genome, state, x[None]) for x in episode.query.inputs])
        assert np.allclose(together, alone, atol=1e-5) == independent


def test_support_statistics_are_those_of_the_last_batch():
    rule = OptaxMLP(hidden=(6,), batch_norm=True)
    genome, episode = rule.init_genome(KEY), random_episode(KEY)
    state = rule.init_state(genome, KEY, random_batch(KEY))
    before, _ = unroll(rule, genome, state, jax.tree.map(lambda leaf: leaf[:-1], episode.support))
    after = rule.step(genome, before, jax.tree.map(lambda leaf: leaf[-1], episode.support))
    z = episode.support.inputs[-1] @ before.synapses[0]["weights"]
    np.testing.assert_allclose(after.statistics[0].mean, z.mean(0), atol=1e-6)
    np.testing.assert_allclose(after.statistics[0].variance, z.var(0), rtol=1e-5)
    expected = plain_forward(after.synapses, episode.query.inputs, "relu", after.statistics)
    np.testing.assert_allclose(rule.predict(genome, after, episode.query.inputs), expected, atol=1e-6)


def test_a_linear_model_reaches_least_squares():
    inputs = jax.random.normal(KEY, (20, 3))
    targets = inputs @ jnp.asarray([[1.0], [-2.0], [0.5]]) + 3
    batch = make_batch(inputs, targets)
    rule = OptaxMLP(hidden=(), loss="l2")
    loss, _ = episode_loss(rule, rule.init_genome(KEY), KEY, Episode(batch, batch, steps=300), squared_error)
    assert float(loss) < 1e-6


def test_rules_are_hashable_and_compare_by_value():
    assert OptaxMLP(hidden=(3,)) == OptaxMLP(hidden=(3,))
    assert len({OptaxMLP(), OptaxMLP(), OptaxMLP(batch_norm=True)}) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "chain"}, "optimizer is 'chain'; expected one of sgd, momentum, adam"),
        ({"activation": "step"}, "activation is 'step'"),
        ({"statistics": "batch"}, "statistics is 'batch'; expected one of support, query"),
        ({"loss": "accuracy"}, "loss is 'accuracy'; expected one of cross_entropy, l2"),
        ({"hidden": (4, 0)}, "hidden is .4, 0.; expected widths of at least 1"),
        ({"decay_steps": 0}, "decay_steps is 0; expected at least 1"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_configurations_are_one_clear_line(fields, message):
    with pytest.raises(ValueError, match=message):
        OptaxMLP(**fields)
