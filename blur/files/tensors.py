"""The common form of genome and model files: safetensors with one JSON header, read with suspicion.

The header is the metadata entry `"blur"`, the tensors are the leaves of a pytree under their paths
(`genome/forward/nu`).
A file is data. Nothing in it is executed, imported or unpickled, and sizes are checked before memory is allocated. A
file that cannot be used raises `GenomeFileError` with one line.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import PyTree

from blur.core.genome import flatten_tensors, is_key, named_leaves
from blur.files.versions import FORMAT_VERSION, migrate, version_problem
from blur.support.atomic import write_file
from blur.support.errors import one_line, short

MAX_FILE_BYTES = 256 * 2**20
"""Of a whole file."""

MAX_HEADER_BYTES = 2**20
"""Of the header of a file."""

MAX_HEADER_DEPTH = 40
"""Nesting of lists and objects in the JSON header."""

METADATA_KEY = "blur"
"""The entry of a file's metadata that holds the JSON header."""


class GenomeFileError(ValueError):
    """A genome or model file that cannot be used; the message says why in one line.

    Examples:
      >>> from pathlib import Path
      >>> size = Path("broken.safetensors").write_bytes(b"nonsense")
      >>> try:
      ...     blur.load_genome("broken.safetensors")
      ... except blur.GenomeFileError as error:
      ...     print(error)
      broken.safetensors is not a safetensors file, or is cut off (8 bytes)
    """


def write_tensor_file(path: str | Path, kind: str, header: dict[str, Any], tree: PyTree) -> Path:
    """Writes a header and the leaves of a pytree; the same values give the same bytes.

    Raises:
      ValueError: the file would exceed `MAX_FILE_BYTES`, or the header is not made of finite JSON values.
    """
    header = {"format": kind, "format_version": FORMAT_VERSION, **header}
    text = json.dumps(header, sort_keys=True, ensure_ascii=False, allow_nan=False)
    data = safetensors.numpy.save(flatten_tensors(tree), {METADATA_KEY: text})
    header_bytes = struct.unpack("<Q", data[:8])[0]
    if len(data) > MAX_FILE_BYTES or header_bytes > MAX_HEADER_BYTES:
        raise ValueError(
            f"{path} would have {len(data)} bytes, {header_bytes} of them header; "
            f"the limits are {MAX_FILE_BYTES} and {MAX_HEADER_BYTES}"
        )
    return write_file(path, data)


def read_tensor_file(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the tensors by name, in the form of `FORMAT_VERSION`: older files are migrated.

    Raises:
      FileNotFoundError: there is no such file.
      GenomeFileError: it is not a file of this kind, its version is unknown here, or it is damaged.
    """
    path = Path(path)
    data = _read_bytes(path)
    header = _parse_header(path, data)
    if header.get("format") != kind:
        raise GenomeFileError(f"{path} is not a {kind} file: its format is {short(header.get('format'))}")
    if problem := version_problem(header):
        raise GenomeFileError(f"{path} {problem}")
    try:
        tensors = safetensors.numpy.load(data)
    except Exception as error:  # whatever the parser makes of hostile bytes
        raise GenomeFileError(f"{path} is damaged: {one_line(error)}") from error
    return migrate(header, tensors)


def restore_tensors(spec: PyTree, tensors: dict[str, np.ndarray], source: str | Path) -> PyTree:
    """A pytree of the structure, shapes and dtypes of `spec` from tensors by name.

    Floating-point tensors of another precision are converted; all must be finite.

    Args:
      spec: `jax.ShapeDtypeStruct`s, as `jax.eval_shape` returns them.
      tensors: what `flatten_tensors` made.
      source: what error messages call the origin.

    Raises:
      GenomeFileError: naming the first leaf that is missing, unexpected, misshapen, of another dtype or not finite.
    """
    expected = dict(named_leaves(spec))
    if missing := sorted(set(expected) - set(tensors)):
        raise GenomeFileError(f"{source} lacks the tensor {missing[0]!r} ({len(missing)} missing)")
    if surplus := sorted(set(tensors) - set(expected)):
        raise GenomeFileError(f"{source} has the unexpected tensor {short(surplus[0])} ({len(surplus)} unexpected)")
    leaves = [_restore_leaf(name, leaf, tensors[name], source) for name, leaf in expected.items()]
    return jax.tree.unflatten(jax.tree.structure(spec), leaves)


def _read_bytes(path: Path) -> bytes:
    """The whole file, after a look at its kind and size."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not path.is_file():
        raise GenomeFileError(f"{path} is not a file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise GenomeFileError(f"{path} has {path.stat().st_size} bytes, more than the limit of {MAX_FILE_BYTES}")
    with path.open("rb") as stream:
        return stream.read(MAX_FILE_BYTES + 1)


def _parse_header(path: Path, data: bytes) -> dict[str, Any]:
    """The JSON object in the metadata of a safetensors file."""
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if not 2 <= length <= len(data) - 8:
        raise GenomeFileError(f"{path} is not a safetensors file, or is cut off ({len(data)} bytes)")
    if length > MAX_HEADER_BYTES:
        raise GenomeFileError(f"{path} has a header of {length} bytes, more than the limit of {MAX_HEADER_BYTES}")
    outer = _parse_json(path, data[8 : 8 + length])
    metadata = outer.get("__metadata__")
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise GenomeFileError(f"{path} is a safetensors file, but not blur's: its metadata has no {METADATA_KEY!r}")
    return _parse_json(path, text.encode("utf-8", "replace"))


def _parse_json(path: Path, text: bytes) -> dict[str, Any]:
    """An object of finite JSON values, nested no deeper than `MAX_HEADER_DEPTH`."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise GenomeFileError(f"{path} has a header that is not JSON: {one_line(error)}") from error
    if not isinstance(value, dict):
        raise GenomeFileError(f"{path} has a header that is a {type(value).__name__}, expected an object")
    level: list[Any] = [value]
    for _ in range(MAX_HEADER_DEPTH):
        level = [child for parent in level for child in _children(parent)]
    if level:
        raise GenomeFileError(f"{path} has a header nested deeper than {MAX_HEADER_DEPTH}")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _restore_leaf(name: str, spec: jax.ShapeDtypeStruct, tensor: np.ndarray, source: str | Path) -> jax.Array:
    """One leaf, checked."""
    if is_key(spec):
        data = _restore_leaf(name, jax.eval_shape(jax.random.key_data, spec), tensor, source)
        return jax.random.wrap_key_data(data)
    if tensor.shape != spec.shape:
        raise GenomeFileError(f"{source}: tensor {name!r} has shape {tensor.shape}, expected {spec.shape}")
    is_float = jnp.issubdtype(spec.dtype, jnp.floating) and np.issubdtype(tensor.dtype, np.floating)
    if tensor.dtype != spec.dtype and not is_float:
        raise GenomeFileError(f"{source}: tensor {name!r} has dtype {tensor.dtype}, expected {spec.dtype}")
    with np.errstate(over="ignore"):
        value = tensor.astype(spec.dtype)
    if is_float and not np.isfinite(value).all():
        count = int((~np.isfinite(value)).sum())
        raise GenomeFileError(f"{source}: tensor {name!r} has {count} of {value.size} entries that are not finite")
    return jnp.asarray(value)
