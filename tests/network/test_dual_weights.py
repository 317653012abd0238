"""The dual form of synapses equals the dense one, and is refused where it would not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blur.core.episode import Episode, episode_spec, make_batch
from blur.core.inner_loop import episode_loss, train_on, unroll
from blur.core.losses import cross_entropy
from blur.core.phases import chain
from blur.meta import Setting
from blur.meta.objective import Objective, population_scores
from blur.network.amendments import Oja, TieStates
from blur.network.ends import Readout
from blur.network.hebbian import ApplyChange
from blur.network.synapse_norm import NormaliseSynapses
from blur.network.weights.dual import count_operations
from blur.rules.bidirectional import Bidirectional
from blur.rules.optax_mlp import OptaxMLP
from blur.tasks import make_task

STEPS = 5
DENSE = Bidirectional(hidden=(6,), states=3)
DUAL = dataclasses.replace(DENSE, dual_steps=STEPS)


def random_episode(dtype=jnp.float32, steps=STEPS):
    x_key, y_key, w_key = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(x_key, (steps + 1, 8, 12), dtype)
    y = 2 * jax.nn.one_hot(jax.random.randint(y_key, (steps + 1, 8), 0, 4), 4, dtype=dtype) - 1
    weight = (jax.random.uniform(w_key, (steps + 1, 8)) > 0.2).astype(dtype)
    batches = make_batch(x, y, weight)
    return Episode(*(jax.tree.map(lambda leaf, part=part: leaf[part], batches) for part in (slice(steps), steps)))


def random_genome(dtype=jnp.float32):
    genome = DENSE.init_genome(jax.random.key(1))
    genome["apply"]["keep"] = jnp.full_like(genome["apply"]["keep"], 0.9)
    genome["hebbian"]["update"] = jnp.full_like(genome["hebbian"]["update"], -0.05)
    return jax.tree.map(lambda leaf: leaf.astype(dtype), genome)


def loss(rule, genome, episode, remat=False):
    return episode_loss(rule, genome, jax.random.key(2), episode, cross_entropy, remat=remat)


def test_the_dual_form_equals_the_dense_one_in_float32():
    (ours, outputs), (theirs, expected) = (loss(rule, random_genome(), random_episode()) for rule in (DUAL, DENSE))
    assert abs(ours - theirs) < 1e-5
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_the_dual_form_and_its_gradient_equal_the_dense_ones_in_float64():
    with jax.enable_x64(True):
        genome, episode = random_genome(jnp.float64), random_episode(jnp.float64)
        ours, theirs = (
            jax.value_and_grad(lambda g, rule=rule: loss(rule, g, episode, remat=True)[0])(genome)
            for rule in (DUAL, DENSE)
        )
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_the_synapses_themselves_come_back_dense():
    with jax.enable_x64(True):
        genome, episode = random_genome(jnp.float64), random_episode(jnp.float64)
        ours, theirs = (train_on(rule, genome, jax.random.key(2), episode).synapses[0] for rule in (DUAL, DENSE))
        np.testing.assert_allclose(ours.forward.dense(), theirs.forward.dense(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(ours.bias, theirs.bias, rtol=1e-10, atol=1e-12)


def test_room_for_more_steps_than_are_lived_changes_nothing():
    roomy = dataclasses.replace(DENSE, dual_steps=16)
    outputs, expected = (loss(rule, random_genome(), random_episode())[1] for rule in (roomy, DUAL))
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_a_population_scores_the_same_in_both_forms():
    setting = Setting(Bidirectional(hidden=(5,), states=2), make_task("digits"), steps=4, batch_size=6)
    keys = jax.random.split(jax.random.key(3), 6)
    population = jax.vmap(setting.rule.init_genome)(keys)
    dual, plain = (
        population_scores(Objective(storage=storage, mapping=mapping), setting, population, jax.random.key(4))
        for storage, mapping in (("dual", "map"), ("dense", "vmap"))
    )
    np.testing.assert_allclose(dual.loss, plain.loss, rtol=1e-5)


def test_a_longer_life_than_there_is_room_for_is_one_clear_error():
    with pytest.raises(ValueError, match=r"6 inner steps, but .* room for 5; take fewer, or raise its dual_steps$"):
        loss(DUAL, random_genome(), random_episode(steps=6))
    with pytest.raises(ValueError, match="steps is 6, but the rule has room for 5"):
        Setting(DUAL, make_task("digits"), steps=6)
    with pytest.raises(ValueError, match="dual_steps is 0"):
        dataclasses.replace(DENSE, dual_steps=0)


def test_a_batch_of_another_size_is_one_clear_error():
    genome, episode = random_genome(), random_episode()
    state = DUAL.init_state(genome, jax.random.key(2), episode_spec(episode))
    single = jax.tree.map(lambda leaf: leaf[0, :1], episode.support)
    with pytest.raises(ValueError, match="a batch of 1 examples, but the dual form has room for 8"):
        DUAL.step(genome, state, single)


def test_a_life_that_goes_on_without_room_is_never_silently_wrong():
    genome, episode = random_genome(), random_episode()
    state = DUAL.init_state(genome, jax.random.key(2), episode_spec(episode))
    for _ in range(2):
        state, _ = unroll(DUAL, genome, state, episode.support)
    assert jnp.all(jnp.isnan(DUAL.predict(genome, state, episode.query.inputs)))


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("oja", Oja()),
        ("tie", TieStates()),
        ("normalise", NormaliseSynapses()),
        ("apply", ApplyChange(activation="tanh")),
    ],
)
def test_options_without_a_dual_form_are_refused(name, phase):
    phases = {"synapses": None, **dict(DUAL.chain.phases.named)}
    apply = phases.pop("apply")
    phases = {**phases, name: phase} if name == "apply" else {**phases, name: phase, "apply": apply}
    rule = chain(**phases, read=("input", "forward"), output=Readout())
    with pytest.raises(ValueError, match="no dual form; use dual_steps=None"):
        loss(rule, rule.init_genome(jax.random.key(0)), random_episode())


def test_operations_are_those_of_the_products():
    inputs, outputs, states, batch, steps, genomes = 7, 5, 3, 4, 6, 2
    dense_count = dual = 0
    for step in range(steps + 1):  # the last is the query
        product = batch * inputs * states * outputs
        dense_count += product * (2 if step < steps else 1)
        dual += product / genomes
        for _ in range(step):
            dual += batch * batch * inputs / genomes + batch * batch * states * outputs
    counted = count_operations(inputs=inputs, outputs=outputs, states=states, batch=batch, steps=steps, genomes=genomes)
    assert counted == (dense_count, dual)


def test_wide_layers_and_short_lives_of_small_batches_choose_the_dual_form():
    task = make_task("digits")
    rule = Bidirectional(hidden=(256,))
    short, long = (Setting(rule, task, steps=steps, batch_size=8) for steps in (2, 200))
    assert rule.for_population(short.spec, "auto") == (dataclasses.replace(rule, dual_steps=2), 4)
    assert rule.for_population(long.spec, "auto") == (rule, None)
    assert rule.for_population(long.spec, "dual").rule.dual_steps == 200
    assert rule.for_population(short.spec, "dense").rule is rule
    with pytest.raises(ValueError, match="OptaxMLP has no dual form"):
        OptaxMLP().for_population(short.spec, "dual")
