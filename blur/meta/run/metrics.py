"""The metrics of a run: lines of metrics.jsonl, arrays, and the learning curve."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

Record = dict[str, Any]
"""A line of metrics.jsonl: of a meta-step (counted from 1) or of a validation after it; lists run over candidates."""


CONFIG, METRICS, CHECKPOINTS = "config.json", "metrics.jsonl", "checkpoints"


def history(records: list[Record]) -> dict[str, np.ndarray]:
    """Records as arrays.

    Returns:
      `meta_step` and `setting` `[meta-steps]`; `fitness`, `accuracy` and `diverged` `[meta-steps, candidates]`;
      `validation_step` `[looks]`; `validation_fitness` and `validation_accuracy` `[looks, candidates]`.
    """
    steps = [record for record in records if "fitness" in record]
    looks = [record for record in records if "validation_fitness" in record]
    names = ("meta_step", "setting", "fitness", "accuracy", "diverged")
    arrays = {name: np.array([record[name] for record in steps]) for name in names}
    arrays["validation_step"] = np.array([record["meta_step"] for record in looks])
    for name in ("validation_fitness", "validation_accuracy"):
        arrays[name] = np.array([record[name] for record in looks])
    return arrays


def plot_learning_curve(path: Path, arrays: dict[str, np.ndarray], fitness_name: str) -> None:
    """Draws the fitness of every candidate over meta-steps (running mean of 2 %), and what validation says."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    window = max(1, len(arrays["meta_step"]) // 50)
    for candidate, fitness in enumerate(arrays["fitness"].T):
        smooth = np.convolve(fitness, np.ones(window) / window, mode="valid")
        (line,) = axes.plot(arrays["meta_step"][window - 1 :], smooth, alpha=0.6, label=f"candidate {candidate}")
        axes.plot(arrays["validation_step"], arrays["validation_fitness"][:, candidate], "o-", color=line.get_color())
    axes.set(xlabel="meta-step", ylabel=fitness_name, title="meta-training (dots: validation episodes)")
    axes.legend()
    temporary = path.with_name(f".{path.name}.tmp.png")
    figure.savefig(temporary, dpi=120)
    temporary.replace(path)


def _line(record: Record) -> str:
    return json.dumps({name: _hide_nan(value) for name, value in record.items()}, allow_nan=False) + "\n"


def _hide_nan(value: Any) -> Any:
    """NaN and infinity have no JSON form: null."""
    if isinstance(value, list):
        return [_hide_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _restore_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_restore_nan(item) for item in value]
    return math.nan if value is None else value


def _records(number: int, first: int, length: int, metrics: Any) -> list[Record]:
    """One record per meta-step of a stretch."""
    fitness, accuracy, diverged = (np.asarray(leaf)[:, :length].T.tolist() for leaf in metrics)
    return [
        {
            "meta_step": first + i + 1,
            "setting": number,
            "fitness": fitness[i],
            "accuracy": accuracy[i],
            "diverged": diverged[i],
        }
        for i in range(length)
    ]
