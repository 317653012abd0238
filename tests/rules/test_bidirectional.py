"""The bidirectional rule: what must hold for any genome, and what its options mean."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blur.core.episode import Batch, Episode, make_batch
from blur.core.inner_loop import episode_loss, learning_curve, train_on, unroll
from blur.core.losses import accuracy, cross_entropy
from blur.core.state import State
from blur.meta import MetaTraining, Setting, meta_train
from blur.meta.objective import Objective
from blur.meta.run.best import validate
from blur.network.backward import Backward, combine
from blur.network.hebbian import ApplyChange
from blur.rules.bidirectional import Bidirectional
from blur.tasks.regression import LinearRegression

RULE = Bidirectional(hidden=(6, 5), states=3, transform_scale=0.6, initial_update=-0.05, reference_fan_in=6.0)


def examples(key, *shape):
    labels = jax.random.randint(key, shape, 0, 4)
    return make_batch(jax.random.normal(key, (*shape, 7)), 2 * jax.nn.one_hot(labels, 4) - 1)


def start(rule, seed=0, batch=8):
    genome = rule.init_genome(jax.random.key(seed))
    return genome, rule.init_state(genome, jax.random.key(seed + 1), examples(jax.random.key(2), batch))


STEP = jax.jit(lambda rule, genome, state, batch: rule.step(genome, state, batch), static_argnums=0)
PREDICT = jax.jit(lambda rule, genome, state, inputs: rule.predict(genome, state, inputs), static_argnums=0)


def assert_close(ours, theirs, atol=1e-6):
    def close(one, other):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=atol * max(1, float(jnp.max(jnp.abs(other)))))

    jax.tree.map(close, ours, theirs)


@settings(max_examples=8, deadline=None)
@given(
    states=st.integers(2, 5),
    hidden=st.lists(st.integers(1, 6), max_size=3),
    normalise=st.sampled_from(["none", "forward", "both"]),
    synapses=st.sampled_from(["separate", "tied"]),
    layered=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_a_step_keeps_structure_shapes_and_dtypes(states, hidden, normalise, synapses, layered, seed):
    rule = Bidirectional(
        tuple(hidden), states, normalise=normalise, synapses=synapses, per_layer=len(hidden) + 1 if layered else None
    )
    genome, state = start(rule, seed)
    after = jax.eval_shape(rule.step, genome, state, examples(jax.random.key(0), 8))
    before = jax.eval_shape(lambda tree: tree, state)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    assert jax.tree.leaves(after) == jax.tree.leaves(before)
    assert jax.eval_shape(rule.predict, genome, state, jnp.ones((3, 7))).shape == (3, 4)


def test_weight_zero_removes_an_example_from_sums_and_statistics():
    genome, state = start(RULE)
    batch = examples(jax.random.key(3), 8)
    weighted = STEP(RULE, genome, state, Batch(batch.inputs, batch.targets, jnp.ones(8).at[5:].set(0)))
    shortened = STEP(RULE, genome, state, make_batch(batch.inputs[:5], batch.targets[:5]))
    assert_close(weighted.synapses, shortened.synapses)
    assert_close(weighted.statistics, shortened.statistics)


def test_with_a_reference_batch_a_doubled_batch_changes_the_same():
    genome, state = start(RULE)
    batch = examples(jax.random.key(3), 8)
    twice = make_batch(jnp.tile(batch.inputs, (2, 1)), jnp.tile(batch.targets, (2, 1)))
    assert_close(STEP(RULE, genome, state, batch).synapses, STEP(RULE, genome, state, twice).synapses)


def test_without_one_the_change_is_the_sum_over_the_batch():
    rule = dataclasses.replace(RULE, reference_batch=None, normalise="none")
    genome, state = start(rule)
    batch = examples(jax.random.key(3), 8)
    twice = make_batch(jnp.tile(batch.inputs, (2, 1)), jnp.tile(batch.targets, (2, 1)))
    changes = [
        jax.tree.map(jnp.subtract, STEP(rule, genome, state, b).synapses, state.synapses) for b in (batch, twice)
    ]
    assert_close(jax.tree.map(lambda change: 2 * change, changes[0]), changes[1])


def test_support_statistics_classify_single_examples_and_query_statistics_do_not():
    genome, state = start(RULE)
    state = STEP(RULE, genome, state, examples(jax.random.key(3), 8))
    inputs = examples(jax.random.key(4), 6).inputs
    alone = jnp.concatenate([PREDICT(RULE, genome, state, row[None]) for row in inputs])
    assert_close(PREDICT(RULE, genome, state, inputs), alone, atol=1e-5)
    transductive = dataclasses.replace(RULE, statistics="query")
    genome, state = start(transductive)
    together = PREDICT(transductive, genome, state, inputs)
    assert jnp.max(jnp.abs(together[:1] - PREDICT(transductive, genome, state, inputs[:1]))) > 1e-3


def test_normalised_pre_activations_have_the_learned_gain_and_shift():
    rule = dataclasses.replace(RULE, activation="identity", hidden=(6,), per_layer=None)
    genome, state = start(rule)
    genome["forward"] |= {"gain": jnp.array([1.0, 2.0, 3.0]), "shift": jnp.array([0.0, -1.0, 0.5])}
    phases = rule.chain.reader
    hidden = phases.apply(genome, state, examples(jax.random.key(3), 64)).neurons[1]
    np.testing.assert_allclose(jnp.mean(hidden, axis=1), jnp.tile(genome["forward"]["shift"][:, None], 6), atol=1e-4)
    np.testing.assert_allclose(jnp.std(hidden, axis=1), jnp.tile(genome["forward"]["gain"][:, None], 6), rtol=1e-2)


def test_tied_synapses_equal_separate_ones_that_start_transposed_and_share_transposed_transforms():
    separate = dataclasses.replace(RULE, normalise="forward", per_layer=None, reference_fan_in=None)
    tied = dataclasses.replace(separate, synapses="tied")
    genome, state = start(separate)
    hebbian = genome["hebbian"]
    # v = wᵀ stays true if v's pre transform is w's post transform transposed, and the other way round.
    genome["hebbian"] = hebbian | {"backward_pre": hebbian["post"].T, "backward_post": hebbian["pre"].T}
    transposed = tuple(
        s if s.backward is None else s._replace(backward=s.forward.swapaxes(1, 2)) for s in state.synapses
    )
    batch = examples(jax.random.key(3), 8)
    ours = STEP(separate, genome, state.replace(synapses=transposed), batch)
    theirs = STEP(tied, genome, state.replace(synapses=tuple(s._replace(backward=None) for s in transposed)), batch)
    assert_close([s.forward for s in ours.synapses], [s.forward for s in theirs.synapses])
    assert_close(ours.synapses[1].backward, ours.synapses[1].forward.swapaxes(1, 2))


@pytest.mark.parametrize("per_layer", [3, "ends"])
def test_a_genome_per_layer_that_is_the_same_everywhere_equals_a_shared_one(per_layer):
    shared, layered = (dataclasses.replace(RULE, per_layer=value) for value in (None, per_layer))
    genome, state = start(shared)
    copies = {
        name: part if name in ("synapses", "decay") else jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), part)
        for name, part in genome.items()
    }
    batch = examples(jax.random.key(3), 8)
    assert_close(STEP(shared, genome, state, batch).synapses, STEP(layered, copies, state, batch).synapses)


@pytest.mark.parametrize(
    ("layers", "expected"), [(1, ["last"]), (2, ["first", "last"]), (4, ["first", "between", "between", "last"])]
)
def test_genomes_of_the_ends_serve_any_depth(layers, expected):
    phase = ApplyChange(per_layer="ends")
    names = np.array(["first", "between", "last"])
    assert phase.layer_genomes(names, State(synapses=(None,) * layers)) == expected


def changes(rule, step=0):
    """What one step adds to every synapse."""
    genome, state = start(RULE)
    genome = {name: part for name, part in genome.items() if name != "decay" or rule.decay}
    after = STEP(rule, genome, state.replace(step=jnp.asarray(step)), examples(jax.random.key(3), 8))
    return jax.tree.map(jnp.subtract, after.synapses, state.synapses)


def test_with_a_reference_fan_in_changes_are_divided_by_the_number_of_sources():
    plain, scaled = changes(dataclasses.replace(RULE, reference_fan_in=None)), changes(RULE)
    for one, other in zip(plain, scaled, strict=True):
        factor = 6 / one.forward.shape[1]
        assert_close(jax.tree.map(lambda delta, f=factor: f * delta, one.forward), other.forward, atol=1e-5)
        assert_close(one.bias, other.bias)
        if one.backward is not None:
            assert_close(one.backward * 6 / one.backward.shape[1], other.backward, atol=1e-5)


@pytest.mark.parametrize(("reference", "expected"), [(6.0, 1), (21.0, 3)])
def test_biases_learn_as_fast_as_the_inputs_beside_them_where_these_are_few(reference, expected):
    plain, scaled = (changes(dataclasses.replace(RULE, reference_fan_in=each)) for each in (None, reference))
    for factor, one, other in zip((expected, 1, 1), plain, scaled, strict=True):  # 7 inputs
        assert_close(factor * one.bias, other.bias, atol=1e-5)


def test_changes_decay_as_a_power_of_time():
    plain, decayed = changes(dataclasses.replace(RULE, decay=False), step=30), changes(RULE, step=30)
    assert_close(jax.tree.map(lambda delta: delta * 4**-0.5, plain), decayed, atol=1e-5)  # (1 + 0.1 · 30)^−½


def test_a_gate_multiplies_what_arrives_by_a_mixture_of_the_neurons_states():
    rng = np.random.default_rng(0)
    gate, bias, layer, arriving = (rng.normal(size=shape) for shape in ((3, 3), 3, (3, 8, 5), (3, 8, 5)))
    genome = {"gate": gate, "gate_bias": bias, "keep": np.array(0.7)}
    found = combine("gated", jax.tree.map(jnp.asarray, genome), jnp.asarray(layer), jnp.asarray(arriving))
    opening = bias[:, None, None] + np.einsum("dc,dbn->cbn", gate, layer)
    np.testing.assert_allclose(found, 0.7 * layer + opening * arriving, rtol=1e-4, atol=1e-5)
    genome = Backward(states=3, combine="gated").init_genome(jax.random.key(0))
    assert_close(*(combine(mode, genome, jnp.asarray(layer), jnp.asarray(arriving)) for mode in ("gated", "additive")))


def test_a_symmetric_start_mixes_transposes_into_backward_synapses():
    genome = RULE.init_genome(jax.random.key(0))
    mixing = jax.random.normal(jax.random.key(4), (3, 3))
    genome["synapses"] |= {"backward_scale": jnp.zeros(()), "backward_mix": mixing}
    state = RULE.init_state(genome, jax.random.key(1), examples(jax.random.key(2), 8))
    for synapse in state.synapses[1:]:
        assert_close(synapse.backward, jnp.einsum("dc,dio->coi", mixing, synapse.forward))
    without = dataclasses.replace(RULE, symmetric=False).init_genome(jax.random.key(0))["synapses"]
    assert set(without) == {"forward_scale", "output_scale", "backward_scale"}


def test_a_genome_per_layer_cannot_change_depth():
    rule = dataclasses.replace(RULE, per_layer=2)
    genome, state = start(rule)
    with pytest.raises(ValueError, match="a genome for each of 2 synapse layers, but the network has 3"):
        rule.step(genome, state, examples(jax.random.key(0), 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"states": 1}, "states is 1, but feedback needs at least 2"),
        ({"hidden": (4, 0)}, "at least one neuron"),
        ({"hidden": (10**9,)}, "1000000 at most"),
        ({"activation": "rellu"}, "activation is 'rellu'; did you mean 'relu'"),
        ({"last_activation": "nope"}, "last_activation is 'nope'; expected one of identity, relu_tanh"),
        ({"normalise": "backward"}, "normalise is 'backward'; .*expected one of none, forward, both"),
        ({"statistics": "suport"}, "statistics is 'suport'; did you mean 'support'"),
        ({"per_layer": "end"}, "per_layer is 'end'; expected None, 'ends' or a number of at least 1"),
        ({"per_layer": 0}, "per_layer is 0; expected None, 'ends' or"),
        ({"synapses": "seperate"}, "synapses is 'seperate'; did you mean 'separate'"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_impossible_networks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Bidirectional(**options)


def test_inputs_of_another_width_are_refused_with_both_numbers():
    genome, state = start(RULE)
    with pytest.raises(ValueError, match="the inputs have 9 numbers, but the network is for 7"):
        RULE.predict(genome, state, jnp.ones((2, 9)))


def test_meta_gradients_equal_central_differences_in_float64():
    rule = dataclasses.replace(RULE, hidden=(5,), activation="tanh")
    with jax.enable_x64(True):
        wide = functools.partial(jax.tree.map, lambda leaf: leaf.astype(jnp.float64))
        genome = wide(rule.init_genome(jax.random.key(0)))
        episode = Episode(wide(examples(jax.random.key(3), 3, 8)), wide(examples(jax.random.key(4), 8)))

        @jax.jit
        def loss(genome):
            return episode_loss(rule, genome, jax.random.key(5), episode, cross_entropy, remat=True)[0]

        direction = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size, dtype=float)).reshape(leaf.shape), genome)
        shifted = [jax.tree.map(lambda g, d, s=s: g + s * d, genome, direction) for s in (1e-6, -1e-6)]
        numeric = (loss(shifted[0]) - loss(shifted[1])) / 2e-6
        analytic = sum(
            jnp.vdot(g, d)
            for g, d in zip(jax.tree.leaves(jax.grad(loss)(genome)), jax.tree.leaves(direction), strict=True)
        )
        assert abs(numeric - analytic) < 1e-7 * max(1, abs(analytic))


def test_rematerialising_does_not_change_the_gradient():
    rule = dataclasses.replace(RULE, hidden=(5,))
    genome = rule.init_genome(jax.random.key(0))
    episode = Episode(examples(jax.random.key(3), 3, 8), examples(jax.random.key(4), 8))
    gradients = [
        jax.jit(jax.grad(lambda g, r=r: episode_loss(rule, g, jax.random.key(5), episode, cross_entropy, remat=r)[0]))(
            genome
        )
        for r in (True, False)
    ]
    assert_close(*gradients, atol=1e-5)


def test_a_fixed_batch_equals_a_stream_of_its_copies():
    genome, state = start(RULE)
    batch = examples(jax.random.key(3), 8)
    stream = jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), batch)
    fixed, seen = unroll(RULE, genome, state, batch, steps=4, observe=lambda state: state.step)
    streamed, _ = unroll(RULE, genome, state, stream)
    assert_close(fixed.synapses, streamed.synapses)
    assert seen.tolist() == [1, 2, 3, 4]


def test_a_learning_curve_ends_where_the_episode_does():
    genome = RULE.init_genome(jax.random.key(0))
    episode = Episode(examples(jax.random.key(3), 5, 8), examples(jax.random.key(4), 20))
    curve = learning_curve(RULE, genome, jax.random.key(6), episode, accuracy)
    state = train_on(RULE, genome, jax.random.key(6), episode)
    outputs = RULE.predict(genome, state, episode.query.inputs)
    assert curve.shape == (5,)
    assert curve[-1] == accuracy(outputs, episode.query.targets, episode.query.weight)


def test_a_genome_meta_trained_on_linear_regression_beats_the_random_one_it_started_as_fivefold():
    setting = Setting(Bidirectional(hidden=(8,), states=2), LinearRegression(3), steps=5, batch_size=16)
    config = MetaTraining(meta_steps=400, candidates=1, learning_rate=2e-2, validation_every=400, remat=False)
    random = setting.rule.init_genome(jax.random.key(0))
    trained = meta_train(setting, config, init=random, progress=False).genome

    def loss(genome):
        one = jax.tree.map(lambda leaf: leaf[None], genome)
        return validate(Objective(episodes=config.validation_episodes), setting, one, jax.random.key(7))[0][0]

    assert loss(trained) < loss(random) / 5
    assert loss(trained) < 0.2  # an output of zero has 1, the variance of the targets
