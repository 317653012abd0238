"""The objective: gradients against differences, and what diverged episodes count."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meta_toys import LinearDescent, LinearTask, linear_setting, sign_setting

from blur.meta.objective import Objective, Score, average, finite_episodes, play, population_scores
from blur.meta.outer.gradient import meta_gradient
from blur.meta.setting import Setting


def one_diverged() -> Score:
    """Three episodes of two genomes, one of them NaN."""
    loss = jnp.array([[1.0, jnp.nan, 3.0], [2.0, 5.0, 2.0]])
    return Score(loss, jnp.full((2, 3), 4.0), jnp.zeros((2, 3)))


@pytest.mark.parametrize("remat", [True, False])
def test_gradient_equals_central_differences(remat):
    with jax.enable_x64(True):
        task = LinearTask(jnp.asarray(1.0, jnp.float64), jnp.asarray(0.0, jnp.float64))
        setting = Setting(LinearDescent(), task, steps=4, batch_size=8)
        run = jax.jit(functools.partial(meta_gradient, Objective(episodes=3, remat=remat)))
        key = jax.random.key(1)

        def fitness(log_rate: float) -> float:
            return float(run(setting, {"log_rate": jnp.asarray(log_rate, jnp.float64)}, key)[1].fitness)

        slope = run(setting, {"log_rate": jnp.asarray(-1.0, jnp.float64)}, key)[0]["log_rate"]
        difference = (fitness(-1.0 + 1e-5) - fitness(-1.0 - 1e-5)) / 2e-5
        np.testing.assert_allclose(slope, difference, rtol=1e-8)
        assert abs(difference) > 0.1


def test_penalised_episode_gets_the_worst_finite_loss():
    scores = one_diverged()
    fitness = average(scores, finite_episodes(scores), "penalise")
    np.testing.assert_allclose(fitness, [(1 + 5 + 3) / 3, 3.0], rtol=1e-6)


def test_penalty_is_at_least_the_loss_of_an_output_of_zero():
    scores = Score(jnp.array([[jnp.inf, 0.5]]), jnp.array([[4.0, 4.0]]), jnp.zeros((1, 2)))
    np.testing.assert_allclose(average(scores, finite_episodes(scores), "penalise"), [2.25])


def test_skipped_episode_does_not_count():
    scores = one_diverged()
    np.testing.assert_allclose(average(scores, finite_episodes(scores), "skip"), [2.0, 3.0])


def test_skip_gives_a_lost_genome_the_mean_of_the_others():
    scores = Score(jnp.array([[jnp.nan, jnp.nan], [1.0, 2.0]]), jnp.full((2, 2), 4.0), jnp.zeros((2, 2)))
    np.testing.assert_allclose(average(scores, finite_episodes(scores), "skip"), [1.5, 1.5])


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf, 1e30])
def test_what_counts_as_diverged(loss):
    scores = Score(jnp.array([loss, 10.0]), jnp.ones(2), jnp.zeros(2))
    np.testing.assert_array_equal(finite_episodes(scores), [False, True])


@given(
    losses=st.lists(st.floats(width=32), min_size=6, max_size=6),
    policy=st.sampled_from(["penalise", "skip", "raise"]),
)
@settings(max_examples=50, deadline=None)
def test_average_is_always_finite(losses, policy):
    scores = Score(jnp.array(losses, jnp.float32).reshape(2, 3), jnp.ones((2, 3)), jnp.zeros((2, 3)))
    fitness = average(scores, finite_episodes(scores), policy)
    assert np.all(np.isfinite(fitness))


@pytest.mark.parametrize("mapping", ["map", "vmap"])
@pytest.mark.parametrize(("policy", "divisor"), [("penalise", 8), ("skip", None)])
def test_gradient_of_a_diverged_episode_is_zero(policy, divisor, mapping):
    setting, key, genome = linear_setting(poison=0.4), jax.random.key(5), {"log_rate": jnp.asarray(-1.0)}
    slope, metrics = meta_gradient(Objective(episodes=8, nan_policy=policy, mapping=mapping), setting, genome, key)

    def alone(key: jax.Array) -> jax.Array:
        episode_key, learner_key = jax.random.split(key)
        episode = setting.sample(episode_key)
        return jax.grad(lambda genome: play(Objective(), setting, genome, learner_key, episode)[0])(genome)["log_rate"]

    slopes = np.array(jax.vmap(alone)(jax.random.split(key, 8)))
    finite = np.isfinite(slopes)
    assert 0 < finite.sum() < 8
    assert metrics.diverged == (~finite).sum()
    np.testing.assert_allclose(slope["log_rate"], slopes[finite].sum() / (divisor or finite.sum()), rtol=1e-5)
    assert np.isfinite(metrics.fitness)


def test_a_shared_backward_pass_gives_the_sum_of_the_gradients():
    genome, key = {"log_rate": jnp.asarray(-1.0)}, jax.random.key(0)
    own, shared = (
        meta_gradient(Objective(episodes=5, mapping=mapping), linear_setting(), genome, key)
        for mapping in ("map", "vmap")
    )
    np.testing.assert_allclose(own[0]["log_rate"], shared[0]["log_rate"], rtol=1e-5)
    np.testing.assert_allclose(own[1].fitness, shared[1].fitness, rtol=1e-6)


def test_all_genomes_play_the_same_episodes():
    genomes = {"log_rate": jnp.array([-1.0, -2.0, -1.0])}
    scores = population_scores(Objective(episodes=2), linear_setting(), genomes, jax.random.key(0))
    assert scores.loss.shape == (3, 2)
    np.testing.assert_array_equal(scores.loss[0], scores.loss[2])
    assert np.all(scores.loss[0] != scores.loss[1])
    assert scores.loss[0, 0] != scores.loss[0, 1]


def test_a_loop_and_vmap_agree():
    genomes = {"log_rate": jnp.linspace(-3, -1, 11)}  # eleven: not a multiple of what a loop takes at once
    loop, at_once = (
        population_scores(Objective(episodes=2, mapping=mapping), linear_setting(), genomes, jax.random.key(0))
        for mapping in ("map", "vmap")
    )
    np.testing.assert_allclose(loop.loss, at_once.loss, rtol=1e-5)


def test_accuracy_of_a_classification():
    setting = sign_setting()
    scores = population_scores(Objective(), setting, {"log_rate": jnp.array([0.0, -20.0])}, jax.random.key(0))
    assert scores.accuracy[0, 0] > 0.9
    np.testing.assert_allclose(scores.chance, np.log(2), rtol=1e-6)
    regression = population_scores(Objective(), linear_setting(), {"log_rate": jnp.array([-1.0])}, jax.random.key(0))
    assert np.isnan(regression.accuracy).all()


def test_error_rate_has_no_gradient():
    with pytest.raises(ValueError, match=r"'accuracy' is piecewise constant and has no gradient; choose .*CMA_ES"):
        Objective("accuracy").check_differentiable()


def test_unknown_fitness_names_the_nearest():
    with pytest.raises(ValueError, match="fitness is 'crossentropy'; did you mean 'cross_entropy'"):
        Objective("crossentropy")


@pytest.mark.parametrize("fitness", ["cross_entropy", "accuracy", "l2_class_weighted"])
def test_classes_fitness_is_refused_in_regression(fitness):
    genomes = {"log_rate": jnp.array([-1.0])}
    with pytest.raises(ValueError, match=f"fitness '{fitness}' needs a classification task, but toy_linear is regress"):
        population_scores(Objective(fitness), linear_setting(), genomes, jax.random.key(0))


@pytest.mark.parametrize("name", ["steps", "batch_size", "weight"])
@pytest.mark.usefixtures("no_type_checks")
def test_settings_sizes_are_positive(name):
    with pytest.raises(ValueError, match=f"{name}( of a setting)? is 0; expected"):
        dataclasses.replace(linear_setting(), **{name: 0})
