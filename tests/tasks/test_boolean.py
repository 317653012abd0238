"""Truth tables, shapes in the plane, and mixtures of functions."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from blur.tasks.boolean import FUNCTIONS, BooleanTask

TRUTH = {  # (first, second) positive: (no, no), (no, yes), (yes, no), (yes, yes)
    "xor": (-1, 1, 1, -1),
    "nxor": (1, -1, -1, 1),
    "or": (-1, 1, 1, 1),
    "and": (-1, -1, -1, 1),
    "nand": (1, 1, 1, -1),
    "and_not": (-1, 1, -1, -1),
}


def query(name: str, seed: int = 0, size: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    episode = BooleanTask((name,)).sample(jax.random.key(seed), steps=1, batch_size=1, query_size=size)
    return np.asarray(episode.query.inputs), np.asarray(episode.query.targets[:, 0])


@pytest.mark.parametrize("name", list(TRUTH))
def test_truth_tables(name: str) -> None:
    x, y = query(name)
    row = 2 * (x[:, 0] > 0) + (x[:, 1] > 0)
    np.testing.assert_array_equal(y, np.array(TRUTH[name])[row])
    assert set(row.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_every_function_has_both_values_within_the_plane(name: str) -> None:
    for seed in range(5):
        x, y = query(name, seed)
        assert set(np.unique(y).tolist()) == {-1.0, 1.0}
        assert 0.04 < np.mean(y > 0) < 0.96
        assert np.abs(x).max() < 1.35


@pytest.mark.parametrize("name", ["random_xor", "circle", "square", "angular_slice"])
def test_random_functions_differ_between_episodes_but_not_within(name: str) -> None:
    truth = [np.mean(query(name, seed)[1] > 0) for seed in range(4)]
    assert len(set(truth)) == 4
    episode = BooleanTask((name,)).sample(jax.random.key(0), steps=8, batch_size=500, query_size=500)
    support, labels = np.asarray(episode.support.inputs.reshape(-1, 2)), np.asarray(episode.support.targets.ravel())
    distance = np.sum((support[None] - np.asarray(episode.query.inputs)[:, None]) ** 2, axis=-1)
    nearest = labels[np.argmin(distance, axis=1)]
    assert np.mean(nearest == episode.query.targets[:, 0]) > 0.93


def test_a_circle_separates_its_inside() -> None:
    x, y = query("circle")
    centre = x[y > 0].mean(axis=0)
    radius = np.sqrt(np.sum((x - centre) ** 2, axis=1))
    assert radius[y > 0].max() < radius[y < 0].min() + 0.15


def test_concentric_circles_have_their_radii() -> None:
    x, y = query("concentric_circles")
    radius = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(radius[y > 0].mean(), 0.4, atol=0.01)
    np.testing.assert_allclose(radius[y < 0].mean(), 0.8, atol=0.01)


def test_two_moons_mirror_each_other() -> None:
    x, y = query("two_moons")
    upper, lower = x[y > 0], x[y < 0]
    np.testing.assert_allclose(upper.mean(axis=0), -lower.mean(axis=0), atol=0.05)
    on_arc = np.linalg.norm(1.5 * upper + [0.5, 0.25], axis=1)
    np.testing.assert_allclose(on_arc.mean(), 1, atol=0.02)
    assert upper[:, 1].mean() > lower[:, 1].mean() + 0.3


def test_a_mixture_draws_each_function() -> None:
    task = BooleanTask(("xor", "or"))
    keys = jax.random.split(jax.random.key(0), 200)
    episodes = jax.vmap(lambda k: task.sample(k, steps=1, batch_size=1, query_size=32))(keys)
    x, y = np.asarray(episodes.query.inputs), np.asarray(episodes.query.targets[..., 0])
    row = 2 * (x[..., 0] > 0) + (x[..., 1] > 0)
    agree = {name: (np.array(TRUTH[name])[row] == y).all(axis=1) for name in task.functions}
    assert (agree["xor"] | agree["or"]).all()
    assert 0.35 < agree["xor"].mean() < 0.65
    assert task.name == "xor+or"
    assert BooleanTask().name == "boolean"


def test_single_outputs() -> None:
    task = BooleanTask(("or",))
    assert (task.kind, task.inputs, task.outputs) == ("classification", 2, 1)


@pytest.mark.parametrize("functions", [(), ("xor", "xnor")])
def test_unknown_functions_are_named(functions: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="expected one or more of xor, nxor"):
        BooleanTask(functions)
