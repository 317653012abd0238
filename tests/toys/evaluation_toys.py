"""Small tasks for the tests of the evaluation."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from blur.core.episode import Episode, make_batch


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Blobs:
    """Two classes around ±(1, 0, 0), in test episodes moved by `test_shift`; or the sum of the inputs to regress."""

    test_shift: jax.Array
    kind: str = dataclasses.field(default="classification", metadata={"static": True})
    name: str = dataclasses.field(default="blobs", metadata={"static": True})
    inputs: int = dataclasses.field(default=3, metadata={"static": True})

    @property
    def outputs(self):
        return 2 if self.kind == "classification" else 1

    def examples(self, key, shape, shift):
        label_key, noise_key = jax.random.split(key)
        labels = jax.random.bernoulli(label_key, shape=shape)
        noise = jax.random.normal(noise_key, (*shape, 3))
        x = noise + (2.0 * labels[..., None] - 1) * jnp.asarray([1.0, 0.0, 0.0]) + shift
        one_hot = 2.0 * jax.nn.one_hot(labels.astype(int), 2) - 1
        return make_batch(x, one_hot if self.kind == "classification" else x.sum(-1, keepdims=True))

    def sample(self, key, *, steps, batch_size, split="train", query_size=None):
        support_key, query_key = jax.random.split(key)
        shift = self.test_shift if split == "test" else 0.0
        return Episode(
            self.examples(support_key, (steps, batch_size), 0.0),
            self.examples(query_key, (query_size or batch_size,), shift),
        )


def make_blobs(kind="classification", shift=0.0):
    """What `evaluate` takes in the place of `make_task`."""
    return lambda name, *, resolution, data_dir: Blobs(jnp.asarray(shift), kind, name)
