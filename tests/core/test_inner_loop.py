"""The inner loop: what a gradient stores does not change it."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blur.core import inner_loop
from blur.core.episode import Episode, Stream, as_arrays, episode_spec, make_batch
from blur.core.inner_loop import episode_loss, unroll
from blur.core.losses import cross_entropy
from blur.meta import Setting
from blur.meta.objective import Objective, population_scores
from blur.rules.bidirectional import Bidirectional
from blur.tasks import make_task

RULE = Bidirectional(hidden=(4,), states=2, initial_update=-0.1)


def repeated(steps):
    batch = make_batch(jax.random.normal(jax.random.key(0), (6, 3)), jax.random.normal(jax.random.key(1), (6, 2)))
    return Episode(batch, batch, steps)


def stream(steps):
    batch = repeated(1).support
    return Episode(jax.tree.map(lambda leaf: jnp.stack([leaf] * steps), batch), batch)


@pytest.mark.parametrize(("make", "steps"), [(repeated, 11), (stream, 9)])  # segments of 3, with a rest and without
def test_meta_gradients_in_segments_equal_those_that_store_everything(make, steps, monkeypatch):
    with jax.enable_x64(True):
        to_double = lambda tree: jax.tree.map(lambda leaf: leaf.astype(jnp.float64), tree)  # noqa: E731
        genome, episode = to_double(RULE.init_genome(jax.random.key(2))), make(steps)
        episode = dataclasses.replace(episode, support=to_double(episode.support), query=to_double(episode.query))

        def slope(remat):
            loss = lambda g: episode_loss(RULE, g, jax.random.key(3), episode, cross_entropy, remat=remat)[0]  # noqa: E731
            return jax.jit(jax.grad(loss))(genome)

        expected, by_step = slope(False), slope(True)
        monkeypatch.setattr(inner_loop, "SEGMENTS_ABOVE", 5)
        for found in (by_step, slope(True)):
            chex.assert_trees_all_close(found, expected, rtol=1e-9, atol=1e-13)


def test_segments_observe_every_step_in_order(monkeypatch):
    monkeypatch.setattr(inner_loop, "SEGMENTS_ABOVE", 5)
    genome, episode = RULE.init_genome(jax.random.key(2)), repeated(11)
    state = RULE.init_state(genome, jax.random.key(3), episode_spec(episode))
    _, seen = unroll(RULE, genome, state, episode.support, 11, observe=lambda s: s.step, remat=True)
    np.testing.assert_array_equal(seen, np.arange(1, 12))


def test_memory_of_a_long_rematerialised_gradient_grows_with_the_root_of_its_length():
    genome = RULE.init_genome(jax.random.key(2))

    def temporary(steps):
        episode = repeated(steps)
        slope = jax.grad(lambda g: episode_loss(RULE, g, jax.random.key(3), episode, cross_entropy, remat=True)[0])
        return jax.jit(slope).lower(genome).compile().memory_analysis().temp_size_in_bytes

    assert temporary(10_000) < 6 * temporary(400)  # a root: 5 times; step by step: 25 times


def test_a_stream_is_read_as_the_arrays_it_stands_for():
    setting = Setting(dataclasses.replace(RULE, hidden=(5,)), make_task("digits"), steps=4, batch_size=6)
    genome, key = setting.rule.init_genome(jax.random.key(0)), jax.random.key(1)
    arrays, stream = setting.sample(key), setting.stream(key)
    assert isinstance(stream.support, Stream)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, as_arrays(stream.support), arrays.support))
    assert episode_spec(stream) == episode_spec(arrays)
    loss = jax.jit(lambda episode: episode_loss(setting.rule, genome, key, episode, cross_entropy)[0])
    ours, theirs = loss(stream), loss(arrays)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_stream_knows_its_own_length():
    setting = Setting(dataclasses.replace(RULE, hidden=(5,)), make_task("digits"), steps=4, batch_size=6)
    genome, stream = setting.rule.init_genome(jax.random.key(0)), setting.stream(jax.random.key(1))
    with pytest.raises(ValueError, match="steps is 2, but a stream has 4 batches"):
        unroll(setting.rule, genome, None, stream.support, 2)


def test_memory_of_a_long_life_without_gradient_hardly_depends_on_its_length():
    rule = dataclasses.replace(RULE, hidden=(5,))

    def temporary(steps):
        setting = Setting(rule, make_task("digits"), steps=steps, batch_size=128)
        population = jax.vmap(rule.init_genome)(jax.random.split(jax.random.key(0), 2))
        scores = jax.jit(lambda population, key: population_scores(Objective(), setting, population, key))
        compiled = scores.lower(population, jax.random.key(1)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    whole = 10_000 * 128 * 64 * 4
    assert temporary(10_000) < whole / 10  # some numbers per example to draw it, none of its inputs
