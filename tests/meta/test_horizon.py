"""The length of a life reaches `init_state` in every outer loop: a rule whose rate decays with t/T, step by step."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from meta_toys import Decaying, linear_setting

from blur.core.episode import Episode
from blur.meta.chunk import compiled_chunk
from blur.meta.meta_training import MetaTraining, make_outer
from blur.meta.objective import Objective, population_scores
from blur.meta.outer.gradient import meta_gradient
from blur.meta.outer.truncated import step_keys
from blur.meta.run.state import initial_run_state, run_keys

STEPS = 6
SETTING = dataclasses.replace(linear_setting(steps=STEPS), rule=Decaying(start=-1.0))
KEY = jax.random.key(2)


def weights_after(episode: Episode, log_rate: float) -> np.ndarray:
    """Gradient descent in NumPy at the rates exp(log_rate) (1 − t/T)."""
    x, y = np.asarray(episode.support.inputs), np.asarray(episode.support.targets)
    weights = np.zeros((3, 1))
    for t in range(STEPS):
        weights -= np.exp(log_rate) * (1 - t / STEPS) * x[t].T @ (x[t] @ weights - y[t]) / len(x[t])
    return weights


def loss_after(episode: Episode, log_rate: float) -> float:
    """The l2 loss of these weights on the query."""
    outputs = np.asarray(episode.query.inputs) @ weights_after(episode, log_rate)
    return float(np.mean((outputs - episode.query.targets) ** 2))


def episode_of(key: jax.Array) -> Episode:
    """The only episode of a meta-step with this key."""
    return SETTING.draw(jax.random.split(key, 1)[0])[1]


@pytest.mark.parametrize("mapping", ["map", "vmap"])
def test_gradients_know_the_length_of_a_life(mapping):
    slope, metrics = meta_gradient(Objective(mapping=mapping), SETTING, {"log_rate": jnp.asarray(-1.0)}, KEY)
    episode = episode_of(KEY)
    np.testing.assert_allclose(metrics.fitness, loss_after(episode, -1.0), rtol=1e-4)
    difference = (loss_after(episode, -1 + 1e-4) - loss_after(episode, -1 - 1e-4)) / 2e-4
    np.testing.assert_allclose(slope["log_rate"], difference, rtol=1e-3)


@pytest.mark.parametrize("mapping", ["map", "vmap"])
def test_populations_know_the_length_of_a_life(mapping):
    rates = np.array([-1.0, -0.5, -2.0], np.float32)
    scores = population_scores(Objective(mapping=mapping), SETTING, {"log_rate": jnp.asarray(rates)}, KEY)
    expected = [loss_after(episode_of(KEY), rate) for rate in rates]
    np.testing.assert_allclose(scores.loss[:, 0], expected, rtol=1e-4)


def test_truncated_lives_know_the_length_of_the_whole_life():
    outer = make_outer(MetaTraining("NoiseReuseES", population=4, truncation=2, learning_rate=1e-9, mapping="vmap"))
    keys = run_keys(seed=3, candidates=1)
    start = initial_run_state([SETTING], outer, keys, None)
    chunk = compiled_chunk(outer, "vmap", None)
    state, inner, _ = chunk(SETTING, start.states, start.inner_states[0], keys.steps, 0, STEPS // 2)
    rates = (state.mean + state.pert)[0, :, 0]
    lives = outer._life_keys(step_keys(keys.steps[0], 0, born=0)[2])
    expected = [weights_after(SETTING.sample(life[0, 0]), rate) for life, rate in zip(lives, rates, strict=True)]
    np.testing.assert_allclose(inner.weights[0, :, 0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(inner.horizon, STEPS)
