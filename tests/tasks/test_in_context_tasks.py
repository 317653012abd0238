"""In-context regression: the laws have their moments, contexts are fixed, distractors and shifts do what they say."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from blur.tasks import GaussianRegression, InContextRegression, Task
from blur.tasks.contexts import centred_uniform


def sample(task, episodes=2000, **sizes):
    sizes = {"steps": 2, "batch_size": 10, **sizes}
    return jax.jit(jax.vmap(lambda key: task.sample(key, **sizes)))(jax.random.split(jax.random.key(0), episodes))


def gaussian(d=3, **options):
    return GaussianRegression(jnp.eye(d), jnp.eye(d), **options)


def test_the_context_is_one_batch_and_the_query_another():
    episode = sample(InContextRegression(4), episodes=3)
    assert isinstance(InContextRegression(4), Task)
    assert episode.steps == 2
    assert episode.support.inputs.shape == (3, 10, 4)
    assert episode.query.targets.shape == (3, 1, 1)
    assert sample(InContextRegression(4, queries=5), episodes=3).query.inputs.shape == (3, 5, 4)
    same = (episode.support.inputs[:, :, None] == episode.query.inputs[:, None]).all(-1)
    assert not same.any()


def test_targets_are_one_linear_function_of_each_episode():
    episode = sample(InContextRegression(4), episodes=20)
    weights = jax.vmap(lambda x, y: jnp.linalg.lstsq(x, y)[0])(episode.support.inputs, episode.support.targets)
    assert jnp.allclose(episode.query.inputs @ weights, episode.query.targets, atol=1e-5)
    assert jnp.min(jnp.abs(weights[0] - weights[1])) > 1e-4


def test_inputs_and_weights_have_the_published_moments():
    task = InContextRegression(10, input_range=2.0, weight_scale=3.0)
    episode = sample(task)
    x = episode.support.inputs
    assert jnp.max(jnp.abs(x)) < 1
    assert jnp.abs(jnp.mean(x)) < 0.005
    assert jnp.abs(jnp.mean(x**2) - 4 / 12) < 0.002
    assert jnp.abs(jnp.mean(episode.query.targets**2) / (9 * 10 * 4 / 12) - 1) < 0.1


@pytest.mark.parametrize("shape", [(7,), (3, 5), (4, 2)])
def test_centred_uniform_fills_its_shape(shape):
    drawn = centred_uniform(jax.random.key(0), shape)
    assert drawn.shape == shape
    assert len(set(drawn.ravel().tolist())) == drawn.size


def test_centred_uniform_is_uniform():
    drawn = centred_uniform(jax.random.key(1), (200_000,))
    counts = jnp.histogram(drawn, bins=10, range=(-0.5, 0.5))[0]
    assert jnp.max(jnp.abs(counts - 20_000)) < 5 * 20_000**0.5
    assert jnp.abs(jnp.corrcoef(drawn[:100_000], drawn[100_000:])[0, 1]) < 0.02


def test_mixed_contexts_have_the_norm_asked_for_and_three_shapes():
    episode = sample(InContextRegression(10, law="mixed", input_range=3.0))
    x, query = episode.support.inputs, episode.query.inputs
    assert jnp.allclose(jnp.linalg.norm(x, axis=(1, 2)), 3.0, rtol=1e-5)
    assert jnp.abs(jnp.median(jnp.sum(query**2, axis=(1, 2))) / 0.9 - 1) < 0.2  # divided as the context's ten were
    positive = jnp.mean(jnp.all(x > 0, axis=(1, 2)))  # the exponential ones
    assert jnp.abs(positive - 1 / 3) < 0.05


def test_mixed_targets_are_linear_in_the_inputs():
    episode = sample(InContextRegression(4, law="mixed"), episodes=20)
    weights = jax.vmap(lambda x, y: jnp.linalg.lstsq(x, y)[0])(episode.support.inputs, episode.support.targets)
    assert jnp.allclose(episode.query.inputs @ weights, episode.query.targets, atol=1e-4)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_distractors_replace_so_many_labels_of_the_context_alone(count):
    clean, noisy = sample(InContextRegression(4)), sample(InContextRegression(4, distractors=count))
    assert jnp.array_equal(clean.support.inputs, noisy.support.inputs)
    assert jnp.array_equal(clean.query.targets, noisy.query.targets)
    changed = jnp.sum(clean.support.targets != noisy.support.targets, axis=1)
    assert jnp.all(changed == count)


def test_gaussian_regression_has_the_covariances_and_the_noise_asked_for():
    root = jnp.array([[2.0, 0.0], [1.0, 0.5]])
    task = GaussianRegression(root, 3 * jnp.eye(2), noise=0.5)
    episode = sample(task, episodes=4000, steps=1)
    x = episode.support.inputs.reshape(-1, 2)
    assert jnp.allclose(x.T @ x / len(x), root @ root.T, atol=0.1)
    expected = 9 * jnp.trace(root @ root.T) + 0.25
    assert jnp.abs(jnp.mean(episode.query.targets**2) / expected - 1) < 0.1
    quiet = sample(GaussianRegression(root, jnp.eye(2)), episodes=5)
    residual = jax.vmap(lambda x, y: jnp.linalg.lstsq(x, y)[1])(quiet.support.inputs, quiet.support.targets)
    assert jnp.max(residual) < 1e-6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: GaussianRegression(jnp.eye(3), jnp.eye(2)),
            r"shape \(3, 3\) and weight_root \(2, 2\); expected \[d, d\]",
        ),
        (lambda: GaussianRegression(jnp.ones((3, 2)), jnp.eye(3)), r"covariance_root has shape \(3, 2\)"),
        (lambda: gaussian(hidden=0), "hidden is 0"),
        (lambda: gaussian(queries=0), "queries is 0"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_a_gaussian_task_that_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_hidden_targets_are_not_linear_but_of_order_the_inputs():
    episode = sample(gaussian(hidden=20), episodes=500)
    residual = jax.vmap(lambda x, y: jnp.linalg.lstsq(x, y)[1])(episode.support.inputs, episode.support.targets)
    assert jnp.min(residual) > 1e-3
    assert jnp.abs(jnp.mean(episode.support.targets**2) / 3 - 1) < 0.15


@pytest.mark.parametrize(
    ("options", "message"),
    [({"inputs": 0}, "inputs is 0"), ({"queries": 0}, "queries is 0"), ({"distractors": -1}, "distractors is -1")],
)
def test_sizes_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InContextRegression(**options)


@pytest.mark.usefixtures("no_type_checks")
def test_an_unknown_law_is_refused():
    with pytest.raises(ValueError, match="law is 'cauchy'; expected one of uniform, mixed"):
        InContextRegression(law="cauchy")


def test_more_distractors_than_pairs_are_refused():
    with pytest.raises(ValueError, match="11 distractors do not fit in a context of 10"):
        InContextRegression(distractors=11).sample(jax.random.key(0), steps=1, batch_size=10)
