"""The description of a run as JSON values, for its files."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blur.core.genome import tree_digest
from blur.core.rule import Genome
from blur.files.config import Known, from_config, to_config
from blur.meta.meta_training import MetaTraining, run_size
from blur.meta.setting import Setting


def describe_run(
    settings: Sequence[Setting], config: MetaTraining, init: Genome | None, known: Known
) -> dict[str, Any]:
    """The resolved configuration of a run, and a digest of its initial genome."""
    return {
        "settings": [describe_setting(setting, known) for setting in settings],
        "meta_training": {**dataclasses.asdict(config), **run_size(config)._asdict()},
        "init": None if init is None else tree_digest(init),
    }


def describe_setting(setting: Setting, known: Known) -> dict[str, Any]:
    """A setting: its rule, its sizes, and its task's name, widths, small fields and source of data."""
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


def with_current_names(description: dict[str, Any], known: Known) -> dict[str, Any]:
    """A stored description of a run with the names of this version: `unroll` of a setting is `steps` now, and so on."""
    return {**description, "settings": [_current_setting(setting, known) for setting in description["settings"]]}


def _current_setting(stored: dict[str, Any], known: Known) -> dict[str, Any]:
    new_names: dict[str, str] = Setting.RENAMED_FIELDS  # type: ignore[attr-defined]
    setting = {new_names.get(name, name): value for name, value in stored.items()}
    try:
        return {**setting, "rule": to_config(from_config(setting["rule"], known), known)}
    except ValueError:  # another rule: the comparison names the difference
        return setting


def fitness_label(config: MetaTraining) -> str:
    """The name of the quantity that is minimised."""
    return "1 − accuracy" if config.fitness == "accuracy" else config.fitness or "fitness"


SMALL_ARRAY = 16
"""The most entries of an array that is part of a description; larger arrays are data."""


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
