"""Checkpoints of a run: pytrees of arrays and keys, written whole or not at all by orbax.

All processes call these functions together, on one file system. Each writes the parts of divided arrays that are on its
devices. Another number of devices restores them as its template divides them.
"""

from __future__ import annotations

import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from blur.core.genome import is_key

MAX_CHECKPOINTS = 2
"""The number of checkpoints that stay in the folder."""


class Checkpoints:
    """The checkpoints in a folder.

    Leaves are stored by number, random keys as their data; `restore` puts them into the structure of a template.
    """

    def __init__(self, folder: Path):
        logging.getLogger("absl").setLevel(logging.WARNING)
        options = ocp.CheckpointManagerOptions(max_to_keep=MAX_CHECKPOINTS, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(folder.resolve(), options=options)

    def latest(self) -> int | None:
        """The meta-step of the newest checkpoint, None if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, tree: PyTree) -> None:
        """Writes `tree` as the checkpoint of a meta-step; does nothing if there is one already."""
        if step not in self._manager.all_steps():
            self._manager.save(step, args=ocp.args.StandardSave(_to_numbers(tree)))

    def restore(self, step: int, template: PyTree) -> PyTree:
        """The checkpoint of a meta-step, in the structure of `template`.

        Raises:
          ValueError: the checkpoint does not fit the template, or cannot be read.
        """
        numbers = _to_numbers(template)
        try:
            stored = self._manager.restore(step, args=ocp.args.StandardRestore(numbers))
        except Exception as error:  # orbax raises many kinds
            raise ValueError(
                f"the checkpoint of meta-step {step} does not fit this run: {_first_line(error)}"
            ) from error
        for name, expected in numbers.items():
            if stored[name].shape != expected.shape or stored[name].dtype != expected.dtype:
                raise ValueError(
                    f"the checkpoint of meta-step {step} does not fit this run: {name} is {stored[name].dtype}"
                    f"{stored[name].shape}, expected {expected.dtype}{expected.shape}"
                )
        return _from_numbers(stored, template)

    def close(self) -> None:
        """Closes the manager of orbax."""
        self._manager.close()


def _to_numbers(tree: PyTree) -> dict[str, np.ndarray | jax.Array]:
    """Leaves by number; those that are divided over devices stay divided."""
    leaves = [jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in jax.tree.leaves(tree)]
    return {f"leaf_{i:04d}": np.asarray(leaf) if leaf.is_fully_replicated else leaf for i, leaf in enumerate(leaves)}


def _from_numbers(numbers: dict[str, np.ndarray | jax.Array], template: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(template)
    values = [jnp.asarray(numbers[name]) for name in sorted(numbers)]
    restored = [
        jax.random.wrap_key_data(value, impl=jax.random.key_impl(leaf)) if is_key(leaf) else value
        for leaf, value in zip(leaves, values, strict=True)
    ]
    return jax.tree.unflatten(structure, restored)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
