"""Regression tasks: their laws in closed form, and their episodes."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import legendre as numpy_legendre

from blur.tasks.regression import INPUT_LAWS, LinearRegression, Polynomial, Sine, covariance_spectrum, legendre


def support_arrays(task, *, steps=1, batch_size=20_000, seed=0, split="train"):
    episode = task.sample(jax.random.key(seed), steps=steps, batch_size=batch_size, split=split, query_size=64)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), episode.support)
    return np.asarray(flat.inputs), np.asarray(flat.targets), episode


@pytest.mark.parametrize("condition", [1.0, 10.0, 100.0])
def test_the_spectrum_has_the_condition_number_and_mean_one(condition: float) -> None:
    spectrum = np.asarray(covariance_spectrum(8, condition))
    np.testing.assert_allclose(spectrum[0] / spectrum[-1], condition, rtol=1e-5)
    np.testing.assert_allclose(spectrum.mean(), 1, rtol=1e-6)
    np.testing.assert_allclose(spectrum[1:] / spectrum[:-1], condition ** (-1 / 7), rtol=1e-5)


@pytest.mark.parametrize("rotate", [False, True])
def test_the_law_has_exactly_that_covariance(rotate: bool) -> None:
    task = LinearRegression(6, rotate=rotate, condition=50.0, input_scale=3.0)
    mixing = np.asarray(task.draw_law(jax.random.key(4)).mixing, np.float64)
    covariance = mixing @ mixing.T
    spectrum = np.asarray(covariance_spectrum(6, 50.0))
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance)[::-1], 9 * spectrum, rtol=1e-4)
    assert (np.abs(covariance - np.diag(np.diag(covariance))).max() > 0.1) == rotate


@pytest.mark.parametrize("law", list(INPUT_LAWS))
def test_inputs_follow_the_covariance(law: str) -> None:
    inputs, _, _ = support_arrays(LinearRegression(4, input_law=law, condition=10.0))
    covariance = inputs.T @ inputs / len(inputs)
    np.testing.assert_allclose(covariance, np.diag(np.asarray(covariance_spectrum(4, 10.0))), atol=0.06)


def test_input_laws_are_what_their_names_say() -> None:
    uniform, _, _ = support_arrays(LinearRegression(1, input_scale=12**-0.5))
    assert abs(uniform).max() <= 0.5
    assert abs(uniform).max() > 0.499
    signs, _, _ = support_arrays(LinearRegression(2, input_law="rademacher"))
    assert set(np.unique(signs).tolist()) == {-1.0, 1.0}
    normal, _, _ = support_arrays(LinearRegression(1, input_law="normal"))
    np.testing.assert_allclose(np.mean(normal**4), 3, atol=0.2)


def test_targets_are_linear_in_the_inputs_of_support_and_query() -> None:
    inputs, targets, episode = support_arrays(LinearRegression(5, 2, rotate=True, condition=4.0), batch_size=100)
    weights, *_ = np.linalg.lstsq(inputs, targets, rcond=None)
    np.testing.assert_allclose(episode.query.inputs @ weights, episode.query.targets, atol=1e-4)
    assert weights.shape == (5, 2)


def test_noise_has_its_standard_deviation_in_support_and_query() -> None:
    _, noisy, episode = support_arrays(LinearRegression(3, noise=0.5))
    _, exact, exact_episode = support_arrays(LinearRegression(3))
    np.testing.assert_allclose(np.std(noisy - exact), 0.5, rtol=0.03)
    np.testing.assert_allclose(np.std(episode.query.targets - exact_episode.query.targets), 0.5, rtol=0.4)


def test_sparse_weights() -> None:
    task = LinearRegression(12, 2, nonzero=3)
    keys = jax.random.split(jax.random.key(0), 500)
    weights = np.asarray(jax.vmap(lambda k: task.draw_law(k).weights)(keys))
    np.testing.assert_array_equal((weights != 0).sum(axis=1), 3)
    np.testing.assert_allclose(np.mean(weights**2) * 12, 1, rtol=0.1)
    np.testing.assert_allclose((weights != 0).mean(axis=0), 3 / 12, atol=0.08)


@pytest.mark.parametrize(
    "task", [LinearRegression(10), LinearRegression(10, nonzero=2, condition=10.0), Polynomial(0), Polynomial(5)]
)
def test_targets_have_variance_one(task) -> None:
    keys = jax.random.split(jax.random.key(0), 3000)
    targets = jax.vmap(lambda k: task.sample(k, steps=1, batch_size=8).support.targets)(keys)
    np.testing.assert_allclose(jnp.mean(targets**2), 1, rtol=0.12)


def test_legendre_polynomials_agree_with_numpy() -> None:
    with jax.enable_x64(True):
        x = np.linspace(-1, 1, 11)
        values = np.asarray(legendre(jnp.asarray(x), 6))
        expected = [np.sqrt(2 * k + 1) * numpy_legendre.legval(x, np.eye(7)[k]) for k in range(7)]
        np.testing.assert_allclose(values, np.stack(expected, axis=-1), rtol=1e-12, atol=1e-12)


def test_a_polynomial_of_the_degree_fits_each_episode() -> None:
    inputs, targets, episode = support_arrays(Polynomial(3), batch_size=50)
    fit = np.polynomial.Polynomial.fit(inputs[:, 0], targets[:, 0], 3)
    np.testing.assert_allclose(fit(np.asarray(episode.query.inputs[:, 0])), episode.query.targets[:, 0], atol=1e-4)


def test_a_sine_of_the_frequency_fits_each_episode() -> None:
    inputs, targets, episode = support_arrays(Sine(), batch_size=50)

    def features(x):
        return np.concatenate([np.sin(5 * x / np.sqrt(3)), np.cos(5 * x / np.sqrt(3))], axis=1)

    weights, *_ = np.linalg.lstsq(features(inputs), targets, rcond=None)
    np.testing.assert_allclose(features(episode.query.inputs) @ weights, episode.query.targets, atol=1e-4)
    amplitude = np.linalg.norm(weights)
    assert 0.1 <= amplitude <= 2.0
    assert weights[1, 0] >= 0  # sin φ ≥ 0 as φ is in [0, π]


def test_a_fixed_support_is_one_batch_for_all_steps() -> None:
    episode = Sine(fixed_support=True).sample(jax.random.key(0), steps=7, batch_size=5)
    assert episode.steps == 7
    assert episode.support.inputs.shape == (5, 1)
    assert episode.query.inputs.shape == (5, 1)


def test_numbers_can_vary_without_recompiling() -> None:
    @jax.jit
    @chex.assert_max_traces(n=1)
    def targets(task, key):
        return task.sample(key, steps=2, batch_size=3).support.targets

    for noise in (0.0, 0.1, 0.2):
        targets(LinearRegression(4, noise=noise), jax.random.key(0))
    with pytest.raises(AssertionError, match="traced"):
        targets(LinearRegression(5), jax.random.key(0))  # another size is another program


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearRegression(0), "inputs=0"),
        (lambda: LinearRegression(3, nonzero=4), "nonzero=4; expected between 1 and inputs=3"),
        (lambda: LinearRegression(3, input_law="cauchy"), "'cauchy' is unknown; expected one of uniform"),
        (lambda: Polynomial(-1), "degree=-1"),
        (lambda: Sine().sample(jax.random.key(0), steps=0, batch_size=1), "steps is 0"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_options_are_named(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
