"""Many devices: how they divide the work of a meta-step, and how their results are combined.

Every device runs the same program. The axes of a mesh are named after what they divide (`candidates`, `population`,
`episodes`). A device takes its part of the work with `local_slice`; `gather` and `sum_over` combine the small results.
Without a mesh, or where the mesh lacks the axis, the three return their arguments: one device computes the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

Axis = Literal["candidates", "population", "episodes"]
"""The kinds of work that a mesh divides."""


def training_mesh(devices: int | None, candidates: int, axis: Axis, count: int) -> Mesh | None:
    """The mesh that meta-steps run on, None for one device.

    Candidates are independent, so the mesh divides them first, as evenly as it can; `axis` is divided by the rest.

    Args:
      devices: how many devices to use. By default all devices of all hosts; on one CPU host, the largest number of
        cores that divides the work.
      candidates: genomes that are meta-trained side by side.
      axis: the axis that is divided within a candidate's meta-step.
      count: the length of that axis.

    Raises:
      ValueError: JAX sees fewer devices, or the work does not divide evenly.
    """
    there = jax.device_count()
    if devices is None:
        cores = jax.default_backend() == "cpu" and jax.process_count() == 1
        devices = _most_that_fit(there, candidates, count) if cores else there
    if not 1 <= devices <= there:
        raise ValueError(f"{devices} devices were asked for, but JAX sees {there}; expected a number from 1 to {there}")
    if devices < there and jax.process_count() > 1:
        raise ValueError(f"{devices} of {there} devices were asked for, but with several hosts all of them take part")
    parts = math.gcd(candidates, devices)
    if count * parts % devices:
        fitting = _most_that_fit(devices - 1, candidates, count)
        fewer = f"--devices {fitting}" if jax.process_count() == 1 else f"{fitting} devices in all"
        raise ValueError(
            f"{_work(candidates, axis, count)} cannot be divided evenly over {devices} devices; expected a multiple of "
            f"{devices // parts} (--{axis}), or {fewer}"
        )
    if devices == 1:
        return None
    return Mesh(np.array(jax.devices()[:devices]).reshape(parts, -1), ("candidates", axis))


def _most_that_fit(devices: int, candidates: int, count: int) -> int:
    """The largest number up to `devices` that the work divides over."""
    return max(n for n in range(1, devices + 1) if count * math.gcd(candidates, n) % n == 0)


def validation_mesh(mesh: Mesh | None, episodes: int) -> Mesh | None:
    """The same devices, dividing validation episodes as far as possible; devices that are left compute copies."""
    if mesh is None:
        return None
    return Mesh(mesh.devices.reshape(math.gcd(episodes, mesh.size), -1), ("episodes", "copies"))


def on_mesh(function: Callable[..., Any], mesh: Mesh | None, in_specs: Any, out_specs: Any) -> Callable[..., Any]:
    """`function` as the program of every device of a mesh (`jax.shard_map`); without a mesh, `function` itself."""
    if mesh is None:
        return function
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def replicate(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Copies all arrays to every device of a mesh; without a mesh, returns `tree`."""
    if mesh is None:
        return tree
    sharding = NamedSharding(mesh, P())

    def copies(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)  # a task's numbers may be Python's
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(copies(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        values = np.asarray(leaf)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    return jax.tree.map(copies, tree)


def to_local(tree: PyTree) -> PyTree:
    """Copies replicated arrays to this process' default device."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), tree)


def local_slice(tree: PyTree, axis: Axis) -> PyTree:
    """This device's part of the leading axis of all leaves."""
    parts = _devices_along(axis)
    if parts == 1:
        return tree

    def own(leaf: jax.Array) -> jax.Array:
        size = leaf.shape[0] // parts
        return jax.lax.dynamic_slice_in_dim(leaf, jax.lax.axis_index(axis) * size, size)

    return jax.tree.map(own, tree)


def gather(tree: PyTree, axis: Axis) -> PyTree:
    """The inverse of `local_slice`: every device receives all parts, in order."""
    if _devices_along(axis) == 1:
        return tree
    return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, axis, tiled=True), tree)


def sum_over(tree: PyTree, axis: Axis) -> PyTree:
    """The sum of every leaf over the devices along an axis."""
    return tree if _devices_along(axis) == 1 else jax.lax.psum(tree, axis)


def broadcast_first(tree: PyTree, axis: Axis) -> PyTree:
    """Broadcasts device 0's leaves, so rounding cannot make devices drift apart."""
    if _devices_along(axis) == 1:
        return tree
    first = jax.lax.axis_index(axis) == 0
    return jax.lax.psum(jax.tree.map(lambda leaf: jnp.where(first, leaf, 0), tree), axis)


def _devices_along(axis: Axis) -> int:
    """How many devices divide an axis in the program that is being traced."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.shape[axis] if axis in mesh.manual_axes else 1


def _work(candidates: int, axis: Axis, count: int) -> str:
    """The work that has to divide, in words."""
    amount = f"a population of {count}" if axis == "population" else f"{count} episode{'s' * (count > 1)}"
    return amount if candidates == 1 else f"{candidates} candidates × {amount}"
