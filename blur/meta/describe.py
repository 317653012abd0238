"""A setting as JSON values, for the files of a run."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blur.files.config import Known, to_config
from blur.meta.setting import Setting


def _describe(setting: Setting, known: Known) -> dict[str, Any]:
    """A setting as JSON values; of its task, what it is called, all small fields and where its data come from."""
    task = setting.task
    plain = {name: _as_json(value) for name, value in vars(task).items() if _is_small(value)}
    return {
        "rule": to_config(setting.rule, known, "rule"),
        "task": {
            **plain,
            **getattr(task, "provenance", {}),
            **{name: getattr(task, name) for name in ("name", "kind", "inputs", "outputs")},
        },
        "steps": setting.steps,
        "batch_size": setting.batch_size,
        "weight": setting.weight,
    }


SMALL_ARRAY = 16
"""Entries of the largest array of a task that is written down; larger ones are data."""


def _is_small(value: Any) -> bool:
    """Whether a task's field is a number, a text, None, or a few of them."""
    if isinstance(value, tuple | list):
        return len(value) <= SMALL_ARRAY and all(map(_is_small, value))
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return value.size <= SMALL_ARRAY and (value.dtype == bool or jnp.issubdtype(value.dtype, jnp.number))
    return value is None or isinstance(value, bool | int | float | str)


def _as_json(value: Any) -> Any:
    """A small value as JSON; numbers that are not finite as text."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _as_json(np.asarray(value).tolist())
    if isinstance(value, tuple | list):
        return [_as_json(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
