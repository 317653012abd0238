"""Image tasks: disjoint splits, standardised inputs, ±1 labels, reproducible episodes."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blur.data.arrays import from_arrays
from blur.tasks.images import Pools, image_task, make_image_task

SPLITS = ("train", "validation", "test")
DIGITS = make_image_task("digits")


def numbered(count: int = 400) -> np.ndarray:
    """One-pixel images whose value is their own number."""
    return np.arange(count, dtype=np.float32).reshape(-1, 1, 1)


NUMBERED = image_task(
    from_arrays(numbered(), np.arange(400) % 10, test_inputs=numbered(100) + 400, test_targets=np.arange(100) % 10)
)
SAMPLE = jax.jit(
    lambda task, key, split: task.sample(key, steps=6, batch_size=50, split=split, query_size=40), static_argnums=2
)


def identities(inputs: jax.Array) -> set[int]:
    """The numbers of examples of `NUMBERED`, from what a learner sees of them."""
    values = np.asarray(inputs) * np.asarray(NUMBERED.input_statistics.std) + np.asarray(NUMBERED.input_statistics.mean)
    return set(np.rint(values).astype(int).ravel().tolist())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), split=st.sampled_from(SPLITS))
def test_no_query_example_is_in_the_support(seed: int, split: str) -> None:
    episode = SAMPLE(NUMBERED, jax.random.key(seed), split)
    support, query = identities(episode.support.inputs), identities(episode.query.inputs)
    assert len(support) == 300  # 6 × 50 without replacement
    assert len(query) == 40
    assert not support & query
    assert max(support) < 400
    assert (min(query) >= 400) if split == "test" else (max(query) < 400)


def test_queries_of_different_splits_never_meet() -> None:
    seen = {split: set() for split in SPLITS}
    for seed in range(60):
        for split in SPLITS:
            seen[split] |= identities(SAMPLE(NUMBERED, jax.random.key(seed), split).query.inputs)
    assert {split: len(ids) for split, ids in seen.items()} == {"train": 350, "validation": 50, "test": 100}
    assert not seen["train"] & seen["validation"]
    assert not (seen["train"] | seen["validation"]) & seen["test"]


@given(count=st.integers(20, 3000))
def test_pools_divide_the_training_examples(count: int) -> None:
    pools = Pools.divide(count, 7)
    assert pools.meta_train + pools.validation == count
    assert min(pools) >= 2
    ranges = [pools.query(split) for split in SPLITS]
    assert [place for pool in ranges for place in pool] == list(range(count + 7))


def test_labels_stay_with_their_images() -> None:
    episode = SAMPLE(NUMBERED, jax.random.key(0), "train")
    values = np.asarray(episode.support.inputs) * float(NUMBERED.input_statistics.std) + float(
        NUMBERED.input_statistics.mean
    )
    np.testing.assert_array_equal(np.rint(values[..., 0]).astype(int) % 10, np.argmax(episode.support.targets, axis=-1))


def test_labels_are_plus_minus_one_hot() -> None:
    targets = np.asarray(SAMPLE(DIGITS, jax.random.key(0), "train").support.targets)
    assert targets.shape == (6, 50, 10)
    np.testing.assert_array_equal(np.sum(targets == 1, axis=-1), 1)
    np.testing.assert_array_equal(np.sum(targets == -1, axis=-1), 9)


@pytest.mark.parametrize("resolution", [None, 5, 4, 16])
def test_meta_train_images_are_standardised(resolution: int | None) -> None:
    task = DIGITS.with_resolution(resolution)
    meta_train = task.batch(jnp.arange(task.pools.meta_train)).inputs
    assert meta_train.shape[-1] == task.inputs == (resolution or 8) ** 2
    np.testing.assert_allclose(np.mean(meta_train), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(meta_train), 1, rtol=1e-5)


def test_validation_and_test_images_do_not_enter_the_statistics() -> None:
    images = np.random.default_rng(0).normal(size=(80, 2, 2))
    labels = np.arange(80) % 2
    tests = {"test_targets": labels[:9]}
    near = image_task(from_arrays(images, labels, test_inputs=images[:9], **tests))
    far = image_task(from_arrays(images, labels, test_inputs=images[:9] + 100, **tests))
    assert near.input_statistics.mean == far.input_statistics.mean
    assert near.input_statistics.std == far.input_statistics.std


def test_features_are_standardised_one_by_one_and_constants_vanish() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3)) * [1, 100, 0] + [5, 0, 7]
    targets = 30 * rng.normal(size=200) + 1000
    task = image_task(from_arrays(features, targets))
    assert (task.kind, task.inputs, task.outputs) == ("regression", 3, 1)
    batch = task.batch(jnp.arange(task.pools.meta_train))
    np.testing.assert_allclose(np.mean(batch.inputs, axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(batch.inputs, axis=0), [1, 1, 0], atol=1e-5)
    np.testing.assert_allclose(np.mean(batch.targets), 0, atol=1e-4)
    np.testing.assert_allclose(np.std(batch.targets), 1, rtol=1e-4)


@pytest.mark.parametrize("constant", [0.1, 1 / 3, -1e6 / 7])
def test_constants_that_are_not_exact_in_binary_vanish(constant: float) -> None:
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.normal(size=300), np.full(300, constant)])
    task = image_task(from_arrays(features, features))
    assert (task.input_statistics.std[1], task.target_statistics.std[1]) == (1, 1)
    batch = task.batch(jnp.arange(task.pools.meta_train))
    np.testing.assert_allclose(batch.inputs[:, 1], 0, atol=abs(constant) * 1e-6)
    np.testing.assert_allclose(batch.targets[:, 1], 0, atol=abs(constant) * 1e-6)


def test_the_whole_test_set_can_be_the_query() -> None:
    episode = NUMBERED.sample(jax.random.key(1), steps=1, batch_size=5, split="test", query_size=100)
    assert identities(episode.query.inputs) == set(range(400, 500))


def test_a_small_pool_is_gone_through_again() -> None:
    episode = jax.jit(lambda task, key: task.sample(key, steps=6, batch_size=100))(NUMBERED, jax.random.key(0))
    query, support = identities(episode.query.inputs), identities(episode.support.inputs)
    assert len(query) == 100  # the default: as many as a batch
    assert support == set(range(400)) - query - identities(NUMBERED.batch(jnp.arange(350, 400)).inputs)
    assert len(support) == 250


def test_every_episode_divides_the_meta_train_pool_anew() -> None:
    first, second = (identities(SAMPLE(NUMBERED, jax.random.key(seed), "train").query.inputs) for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize(("split", "most"), [("train", 175), ("validation", 50), ("test", 100)])
def test_a_query_beyond_its_pool_is_refused(split: str, most: int) -> None:
    with pytest.raises(ValueError, match=f"query_size is {most + 1}, but a {split} query may have {most} examples"):
        NUMBERED.sample(jax.random.key(0), steps=1, batch_size=1, split=split, query_size=most + 1)


def test_the_same_key_gives_the_same_bits_and_another_key_another_episode() -> None:
    first, again, other = (SAMPLE(DIGITS, jax.random.key(seed), "train") for seed in (4, 4, 5))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first.support.inputs, other.support.inputs)
    assert not np.array_equal(first.query.inputs, other.query.inputs)


def test_vmap_over_keys_gives_the_episodes_of_each_key() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda key: SAMPLE(DIGITS, key, "test"))(keys)
    for index, key in enumerate(keys):
        alone = SAMPLE(DIGITS, key, "test")
        np.testing.assert_array_equal(together.support.targets[index], alone.support.targets)
        np.testing.assert_allclose(together.query.inputs[index], alone.query.inputs, rtol=1e-5, atol=1e-5)


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    assert sum(DIGITS.pools) == 1797
    ours = sorted(row.tobytes() for row in np.asarray(DIGITS.examples).reshape(1797, -1))
    assert ours == sorted(row.tobytes() for row in load_digits().data.astype(np.uint8))


def test_the_seed_assigns_the_pools() -> None:
    assert not np.array_equal(DIGITS.examples, make_image_task("digits", seed=1).examples)
    np.testing.assert_array_equal(DIGITS.examples, make_image_task("digits").examples)


def test_the_provenance_is_plain() -> None:
    record = json.loads(json.dumps(DIGITS.with_resolution(4).provenance))
    assert record["name"] == "digits"
    assert record["resolution"] == 4
    assert len(record["sha256"]) == 64
    assert record["pools"] == {"meta_train": 1259, "validation": 179, "test": 359}


def test_double_precision_on_request() -> None:
    with jax.enable_x64(True):
        batch = DIGITS.batch(jnp.arange(3))
        assert batch.inputs.dtype == batch.targets.dtype == jnp.float64


@pytest.mark.parametrize("resolution", [0, -3])
def test_an_impossible_resolution_is_named(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"resolution {resolution} cannot be had from examples of shape 8x8x1"):
        DIGITS.with_resolution(resolution)


def test_features_have_no_resolution() -> None:
    with pytest.raises(ValueError, match="resolution 4 cannot be had from examples of shape 3"):
        image_task(from_arrays(np.zeros((30, 3)), np.arange(30) % 2), resolution=4)
