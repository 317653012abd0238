"""The cache of an evaluation: results in a folder. An interrupted evaluation continues from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from blur.evaluation.cost import StepCost
from blur.evaluation.curves import Curves
from blur.evaluation.records import Scored
from blur.evaluation.tuning import Tuned
from blur.files.config import config_hash
from blur.files.tensors import GenomeFileError, read_tensor_file, write_tensor_file

Result = tuple[Scored, Tuned | None]
"""The scores of a learner, or of a baseline with its tuning."""

KIND = "scores"


def cached_result(folder: Path, key: Mapping[str, Any], compute: Callable[[], Result]) -> Result:
    """Reads the result with this key from the folder. If there is no readable one, computes the result and adds it.

    Args:
      folder: the cache.
      key: everything that decides the scores, as JSON values.
      compute: plays the episodes.
    """
    path = score_file(folder, key)
    try:
        header, tensors = read_tensor_file(path, KIND)
        if header["key"] == _plain(key):
            return _result(header, Curves(tensors["accuracy"], tensors["loss"]))
    except (FileNotFoundError, GenomeFileError, LookupError):
        pass
    scored, tuned = compute()
    header = {
        "key": _plain(key),
        "name": scored.name,
        "network": scored.network,
        "parameters": scored.parameters,
        "cost": scored.cost,
        "tuned": None if tuned is None else tuned.to_json(),
    }
    write_tensor_file(path, KIND, header, scored.curves._asdict())
    return scored, tuned


def score_file(folder: Path, key: Mapping[str, Any]) -> Path:
    """The file of the result with this key."""
    return folder / f"{config_hash(_plain(key))}.safetensors"


def _plain(key: Mapping[str, Any]) -> Any:
    """The key as JSON reads it back: tuples are lists."""
    return json.loads(json.dumps(key))


def _result(header: Mapping[str, Any], curves: Curves) -> Result:
    tuned = None if header["tuned"] is None else Tuned.from_json(header["tuned"])
    cost = StepCost(*header["cost"])
    return Scored(header["name"], tuple(header["network"]), curves, header["parameters"], cost), tuned
