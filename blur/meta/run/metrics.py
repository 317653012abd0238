"""The metrics of a run: lines of metrics.jsonl, arrays, and the learning curve."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

MetricsLine = dict[str, Any]
"""A line of metrics.jsonl about a meta-step (counted from 1) or a validation after it; lists run over candidates."""

CONFIG, METRICS, CHECKPOINTS = "config.json", "metrics.jsonl", "checkpoints"


def metrics_lines(number: int, first: int, length: int, metrics: Any) -> list[MetricsLine]:
    """One line per meta-step of a stretch on setting `number`, from metrics `[candidates, CHUNK_CAPACITY]`."""
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


def history(lines: list[MetricsLine]) -> dict[str, np.ndarray]:
    """The lines as arrays.

    Returns:
      `meta_step` and `setting` `[meta-steps]`; `fitness`, `accuracy` and `diverged` `[meta-steps, candidates]`;
      `validation_step` `[validations]`; `validation_fitness` and `validation_accuracy` `[validations, candidates]`.
    """
    steps = [line for line in lines if "fitness" in line]
    validations = [line for line in lines if "validation_fitness" in line]
    names = ("meta_step", "setting", "fitness", "accuracy", "diverged")
    arrays = {name: np.array([line[name] for line in steps]) for name in names}
    arrays["validation_step"] = np.array([line["meta_step"] for line in validations])
    for name in ("validation_fitness", "validation_accuracy"):
        arrays[name] = np.array([line[name] for line in validations])
    return arrays


def plot_learning_curve(path: Path, arrays: dict[str, np.ndarray], fitness_name: str) -> None:
    """Draws the fitness of every candidate over meta-steps (running mean of 2 %), with validations as dots."""
    from matplotlib.figure import Figure

    from blur.support.figures import save_png

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    window = max(1, len(arrays["meta_step"]) // 50)
    for candidate, fitness in enumerate(arrays["fitness"].T):
        smooth = np.convolve(fitness, np.ones(window) / window, mode="valid")
        (line,) = axes.plot(arrays["meta_step"][window - 1 :], smooth, alpha=0.6, label=f"candidate {candidate}")
        axes.plot(arrays["validation_step"], arrays["validation_fitness"][:, candidate], "o-", color=line.get_color())
    axes.set(xlabel="meta-step", ylabel=fitness_name, title="meta-training (dots: validation episodes)")
    axes.legend()
    save_png(figure, path)


def to_text(lines: list[MetricsLine]) -> str:
    """The text of metrics.jsonl for these lines."""
    plain = [{name: _hide_nan(value) for name, value in line.items()} for line in lines]
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in plain)


def from_text(text: str) -> list[MetricsLine]:
    """The inverse of `to_text`; an unfinished last line is left out."""
    plain = [json.loads(line) for line in text.split("\n")[:-1]]
    return [{name: _restore_nan(value) for name, value in line.items()} for line in plain]


def _hide_nan(value: Any) -> Any:
    """NaN and infinity have no JSON form: null."""
    if isinstance(value, list):
        return [_hide_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _restore_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_restore_nan(item) for item in value]
    return math.nan if value is None else value
