"""Episodes from a data set: images of any resolution, or feature vectors, that stay on the device."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num, Shaped

from blur.core.episode import Batch, Episode, Kind, Split, Stream, as_arrays, make_batch
from blur.data.arrays import Dataset
from blur.data.datasets import load_dataset
from blur.data.resize import resize
from blur.data.standardise import Standardisation, divisor, measure
from blur.support.errors import check_sizes
from blur.support.renamed import renamed_arguments
from blur.tasks.sampling import draw_disjoint, draw_indices, split_key

_CHUNK = 2_000  # images resized at once while statistics are computed


class Pools(NamedTuple):
    """Numbers of examples per pool; the pools follow each other in the task's arrays in this order."""

    meta_train: int
    validation: int
    test: int

    @classmethod
    def divide(cls, train: int, test: int) -> Pools:
        """One eighth of the training examples for validation, the rest for meta-training."""
        return cls(train - train // 8, train // 8, test)

    def query(self, split: Split) -> range:
        """Where the query of a split's episodes comes from."""
        start = {"train": 0, "validation": self.meta_train, "test": self.meta_train + self.validation}[split]
        return range(start, start + {"train": self.meta_train, "validation": self.validation, "test": self.test}[split])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ImageTask:
    """Episodes of images, or of feature vectors, from one data set. Made by `make_image_task` or `image_task`.

    One eighth of the training examples is the validation pool, the rest the meta-train pool; which ones is drawn by a
    seed. While meta-training (`train`), every episode divides the meta-train pool anew into two parts, one for its
    support and one for its query; a fixed division would let a genome learn the images of its queries. For `validation`
    and `test` the support comes from the meta-train pool, and the query from the validation pool or the test set.

    Within an episode, examples are drawn without replacement. A support that needs more examples than its part holds
    (10 batches of 128 out of 1,131 digits) goes through that part again in a new order, as epochs do.

    Inputs are resized by exact area averaging to `resolution`², flattened and standardised: images with the mean and
    standard deviation of all meta-train pixels at that resolution, feature vectors with those of each feature. Class
    targets are ±1 one-hot; real targets are standardised with the meta-train mean and standard deviation of each.

    Attributes:
      examples: images `[n, h, w, c]`, uint8 or float32, or features `[n, f]`, float32, in the order of the pools.
      targets: class numbers `[n]`, int32, or real targets `[n, outputs]`, float32, in their own units.
      input_statistics: as above, scalar or `[f]`.
      target_statistics: `[outputs]`; 0 and 1 for classes.
      name: the data set's.
      classes: the classes' names, none for regression.
      pools: sizes of the pools.
      resolution: side of the images as the learner sees them; None for feature vectors and for images as they are.
      sha256: hash of the data set's contents.
    """

    examples: Num[Array, "n *example"]
    targets: Num[Array, "n *outputs"]
    input_statistics: Standardisation
    target_statistics: Standardisation
    name: str = dataclasses.field(metadata={"static": True})
    classes: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    pools: Pools = dataclasses.field(metadata={"static": True})
    resolution: int | None = dataclasses.field(metadata={"static": True})
    sha256: str = dataclasses.field(metadata={"static": True})

    @property
    def kind(self) -> Kind:
        """Classification where there are classes, else regression."""
        return "classification" if self.classes else "regression"

    @property
    def inputs(self) -> int:
        """Height × width × channels as the learner sees them, or the number of features."""
        if self.resolution is None:
            return int(np.prod(self.examples.shape[1:]))
        return self.resolution**2 * self.examples.shape[-1]

    @property
    def outputs(self) -> int:
        """One per class, or per real target."""
        return len(self.classes) or self.targets.shape[-1]

    @property
    def provenance(self) -> dict[str, Any]:
        """The description of the data for records: plain values, ready for JSON."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "kind": self.kind,
            "classes": len(self.classes),
            "resolution": self.resolution,
            "pools": self.pools._asdict(),
        }

    @renamed_arguments(unroll="steps")
    def sample(
        self,
        key: Key[Array, ""],
        *,
        steps: int,
        batch_size: int,
        split: Split = "train",
        query_size: int | None = None,
    ) -> Episode:
        """A random episode; see `Task.sample` and `stream`."""
        episode = self.stream(key, steps=steps, batch_size=batch_size, split=split, query_size=query_size)
        return dataclasses.replace(episode, support=as_arrays(episode.support))

    @renamed_arguments(unroll="steps")
    def stream(
        self,
        key: Key[Array, ""],
        *,
        steps: int,
        batch_size: int,
        split: Split = "train",
        query_size: int | None = None,
    ) -> Episode:
        """The same episode, whose support is a `Stream` from this task.

        The default query size is `batch_size`, or all that the split has for queries where that is less.

        Raises:
          ValueError: `query_size` exceeds the query pool (while meta-training, half the meta-train pool; its examples
            are never repeated), or a size is below 1.
        """
        key = split_key(key, split)
        pool = self.pools.query(split)
        most = len(pool) // 2 if split == "train" else len(pool)
        query_size = min(batch_size, most) if query_size is None else query_size
        check_sizes(steps=steps, batch_size=batch_size, query_size=query_size)
        if query_size > most:
            raise ValueError(
                f"{self.name}: query_size is {query_size}, but a {split} query may have {most} examples at most"
            )
        if split == "train":
            query, support = draw_disjoint(key, len(pool), query_size, steps * batch_size)
        else:
            support_key, query_key = jax.random.split(key)
            support = draw_indices(support_key, self.pools.meta_train, steps * batch_size)
            query = draw_indices(query_key, len(pool), query_size) + pool.start
        return Episode(Stream(support.reshape(steps, batch_size), self), self.batch(query))

    def batch(self, indices: Shaped[Array, "*batch"]) -> Batch:
        """The examples with these places in the task's arrays, as the learner sees them."""
        return make_batch(self.as_inputs(self.examples[indices]), self.as_targets(self.targets[indices]))

    def as_inputs(self, examples: Num[Array, "..."]) -> Float[Array, "... inputs"]:
        """Examples as the data set stores them, `[…, h, w, c]` or `[…, f]`, as inputs of the learner, `[…, inputs]`.

        They are resized, flattened and standardised.
        """
        return self.input_statistics.apply(_as_features(examples, self.examples.ndim - 1, self.resolution))

    def as_targets(self, targets: Num[Array, "..."]) -> Float[Array, "... outputs"]:
        """Targets as the data set stores them, `[…]` or `[…, outputs]`, as targets of the learner, `[…, outputs]`.

        Classes become ±1 one-hot, real targets are standardised.
        """
        if self.classes:
            return 2 * jax.nn.one_hot(targets, len(self.classes)) - 1
        return self.target_statistics.apply(targets)

    def with_resolution(self, resolution: int | None) -> ImageTask:
        """The same task with images of another resolution; their statistics are computed anew.

        Raises:
          ValueError: the task has no images, or the resolution is below 1.
        """
        if resolution is not None and (self.examples.ndim != 4 or resolution < 1):
            shape = "x".join(map(str, self.examples.shape[1:]))
            raise ValueError(f"{self.name}: resolution {resolution} cannot be had from examples of shape {shape}")
        statistics = _input_statistics(self.examples[: self.pools.meta_train], resolution)
        return dataclasses.replace(self, resolution=resolution, input_statistics=statistics)


def make_image_task(
    name_or_path: str | os.PathLike[str],
    resolution: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> ImageTask:
    """Loads a data set (see `load_dataset`) and makes a task of it (see `image_task`)."""
    return image_task(load_dataset(name_or_path, data_dir), resolution, seed)


def image_task(dataset: Dataset, resolution: int | None = None, seed: int = 0) -> ImageTask:
    """A task on a data set, with the training examples assigned to their pools by `seed`.

    Raises:
      ValueError: a resolution is asked for, but the data set has no images.
    """
    count = len(dataset.train_inputs)
    pools = Pools.divide(count, len(dataset.test_inputs))
    order = np.random.default_rng(seed).permutation(count)
    meta_train = dataset.train_targets[order[: pools.meta_train]]
    none = Standardisation(jnp.zeros(()), jnp.ones(()))
    outputs = len(dataset.classes) or meta_train.shape[-1]
    target_statistics = none if dataset.classes else _as_floats(measure(meta_train))
    task = ImageTask(
        examples=jnp.asarray(np.concatenate([dataset.train_inputs[order], dataset.test_inputs])),
        targets=jnp.asarray(np.concatenate([dataset.train_targets[order], dataset.test_targets])),
        input_statistics=none,
        target_statistics=jax.tree.map(lambda s: jnp.broadcast_to(s, (outputs,)), target_statistics),
        name=dataset.name,
        classes=dataset.classes,
        pools=pools,
        resolution=None,
        sha256=dataset.sha256,
    )
    return task.with_resolution(resolution)


def _as_features(examples: Num[Array, "..."], axes: int, resolution: int | None) -> Float[Array, "... inputs"]:
    """The last `axes` axes resized, if they are an image, and flattened."""
    values = examples.astype(jnp.result_type(float))
    if resolution is not None:
        values = resize(values, resolution)
    return values.reshape(*values.shape[: values.ndim - axes], -1)


def _input_statistics(examples: Num[Array, "n *example"], resolution: int | None) -> Standardisation:
    """Mean and standard deviation of all pixels, or of each feature."""
    if examples.ndim == 2:
        return _as_floats(measure(np.asarray(examples)))

    @jax.jit
    def moments(chunk: Array) -> tuple[Array, Array]:
        values = _as_features(chunk, 3, resolution)
        return jnp.sum(values), jnp.sum(values**2)

    chunks = [moments(examples[start : start + _CHUNK]) for start in range(0, len(examples), _CHUNK)]
    total, squares = np.sum(np.array(chunks, dtype=np.float64), axis=0)
    size = len(examples) * _as_features(examples[:1], 3, resolution).size
    mean = total / size
    variance = max(squares / size - mean**2, 0.0)
    return _as_floats(Standardisation(mean, divisor(mean, variance**0.5)))


def _as_floats(statistics: Standardisation) -> Standardisation:
    """Statistics as JAX arrays of the default type."""
    return jax.tree.map(lambda s: jnp.asarray(s, jnp.result_type(float)), statistics)
