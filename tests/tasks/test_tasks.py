"""The table of tasks, and what every task promises."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from blur.tasks import TASKS, BooleanTask, LinearRegression, make_task

OFFLINE = [name for name in TASKS if name not in ("mnist", "fashion_mnist")]


@pytest.mark.parametrize("name", OFFLINE)
def test_every_task_keeps_its_promises(name: str) -> None:
    task = make_task(name)
    sample = jax.jit(lambda task, key: task.sample(key, steps=3, batch_size=4, split="validation", query_size=5))
    first, again = sample(task, jax.random.key(0)), sample(make_task(name), jax.random.key(0))
    assert task.name == name
    stream = (4,) if name == "in_context_regression" else (3, 4)
    assert first.steps == (3 if len(stream) == 1 else None)
    assert first.support.inputs.shape == (*stream, task.inputs)
    assert first.support.targets.shape == (*stream, task.outputs)
    assert first.support.weight.shape == stream
    assert first.query.inputs.shape == (5, task.inputs)
    assert first.query.targets.shape == (5, task.outputs)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(first))
    if task.kind == "classification":
        assert set(np.unique(first.support.targets).tolist()) <= {-1.0, 1.0}
    jax.tree.map(np.testing.assert_array_equal, first, again)
    other = sample(task, jax.random.key(1))
    assert not np.array_equal(first.support.inputs, other.support.inputs)
    assert not np.array_equal(first.query.inputs, other.query.inputs)


@pytest.mark.parametrize("name", ["linear_regression", "two_moons", "digits"])
def test_splits_of_one_key_are_different_episodes(name: str) -> None:
    task, key = make_task(name), jax.random.key(0)
    train, validation = (
        jax.jit(lambda task, key, split=split: task.sample(key, steps=2, batch_size=8, split=split))(task, key)
        for split in ("train", "validation")
    )
    assert not np.array_equal(train.support.inputs, validation.support.inputs)
    assert not np.array_equal(train.query.inputs, validation.query.inputs)


def test_vmap_over_keys() -> None:
    task, keys = LinearRegression(3), jax.random.split(jax.random.key(0), 4)

    def sample(key):
        return task.sample(key, steps=2, batch_size=5)

    episodes = jax.jit(jax.vmap(sample))(keys)
    assert episodes.support.inputs.shape == (4, 2, 5, 3)
    np.testing.assert_allclose(episodes.query.inputs[2], jax.jit(sample)(keys[2]).query.inputs, rtol=1e-5)


def test_tasks_compare_by_value_and_hash() -> None:
    assert LinearRegression(3, noise=0.1) == LinearRegression(3, noise=0.1)
    assert hash(BooleanTask(("xor",))) == hash(BooleanTask(("xor",)))
    assert BooleanTask(("xor",)) != BooleanTask(("or",))


def test_images_come_at_any_resolution() -> None:
    assert make_task("digits", resolution=5).inputs == 25


def test_a_file_is_a_task(tmp_path) -> None:
    np.savez(tmp_path / "mine.npz", x=np.zeros((40, 7)), y=np.arange(40) % 2)
    task = make_task(str(tmp_path / "mine.npz"))
    assert (task.name, task.inputs, task.outputs) == ("mine", 7, 2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("xro", {}, "there is no task 'xro'; did you mean xor"),
        ("linear_regresion", {}, "did you mean linear_regression"),
        ("zzzz", {}, "there is no task 'zzzz'; there are digits, mnist"),
        ("xor", {"resolution": 4}, "task 'xor' has no images, so it cannot have resolution 4"),
    ],
)
def test_mistakes_are_one_line(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make_task(name, **options)
    assert "\n" not in str(caught.value)
