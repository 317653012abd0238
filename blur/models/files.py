"""Model files: a network that a genome has trained, with all that is needed to predict."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from blur.core.episode import Spec, make_spec
from blur.core.genome import genome_shapes
from blur.core.rule import UpdateRule
from blur.data.standardise import Standardisation
from blur.files.config import Known
from blur.files.genomes import check_suffix, library_versions, restore_rule, rule_config
from blur.files.tensors import MAX_FILE_BYTES, GenomeFileError, read_tensor_file, restore_tensors, write_tensor_file
from blur.models.fit import Model
from blur.support.errors import one_line, short


def save_model(path: str | Path, model: Model, *, known: Known | None = None) -> Path:
    """Writes a model file (`*.safetensors`), whole or not at all. The same model gives the same bytes.

    Raises:
      TypeError: the rule's configuration needs `known`, see `save_genome`.
      ValueError: the path has another suffix, or the model is too large.

    Examples:
      >>> file = blur.load_genome("sgd")
      >>> model = blur.train(file.rule, file.genome, [[0.0, 0.0], [1.0, 1.0]] * 16, ["no", "yes"] * 16, steps=30)
      >>> path = blur.save_model("model.safetensors", model)
      >>> path.name
      'model.safetensors'
    """
    check_suffix(path, "model")
    header = {
        "rule": rule_config(model.rule, known),
        "shape": list(model.shape),
        "outputs": model.outputs,
        "labels": None if model.labels is None else list(model.labels),
        "batch_size": model.batch_size,
        "steps": model.steps,
        "versions": library_versions(),
    }
    tree = {"genome": model.genome, "state": model.state, "inputs": model.inputs}
    if model.targets is not None:
        tree["targets"] = model.targets
    return write_tensor_file(path, "model", header, tree)


def load_model(path: str | Path, *, rule: UpdateRule | None = None, known: Known | None = None) -> Model:
    """Reads a model file.

    Args:
      path: the file.
      rule: used instead of the rule that the file describes.
      known: classes and functions in the rule's configuration that are not in `blur.rules.RULES`, by name.

    Raises:
      FileNotFoundError: there is no such file.
      GenomeFileError: the file cannot be used; a `ValueError`.

    Examples:
      >>> file = blur.load_genome("sgd")
      >>> model = blur.train(file.rule, file.genome, [[0.0, 0.0], [1.0, 1.0]] * 16, ["no", "yes"] * 16, steps=30)
      >>> loaded = blur.load_model(blur.save_model("model.safetensors", model))
      >>> print(blur.predict(loaded, [1.0, 1.0]))
      yes
    """
    header, tensors = read_tensor_file(path, "model")
    shape, outputs, batch_size, steps = _checked_sizes(header, path)
    labels = _checked_labels(header.get("labels"), outputs, path)
    rule = rule or restore_rule(header.get("rule"), known, path)
    spec = _model_spec(rule, make_spec(math.prod(shape), outputs, batch_size, steps), labels is None, path)
    tree = restore_tensors(spec, tensors, path)
    inputs = _restore_statistics(tree["inputs"], path)
    targets = _restore_statistics(tree["targets"], path) if labels is None else None
    return Model(rule, tree["genome"], tree["state"], shape, inputs, labels, targets, batch_size, steps)


def _restore_statistics(statistics: Standardisation, path: str | Path) -> Standardisation:
    if not (statistics.std > 0).all():
        raise GenomeFileError(f"{path} has standard deviations that are not positive")
    return jax.tree.map(np.asarray, statistics)


def _checked_sizes(header: dict[str, Any], path: str | Path) -> tuple[tuple[int, ...], int, int, int | None]:
    """The shape of one input, the number of outputs, the batch size and the steps: positive, not absurd."""
    shape, steps = header.get("shape"), header.get("steps")
    counts: list[Any] = [header.get("outputs"), header.get("batch_size"), 1 if steps is None else steps]
    given = f"shape {short(shape)}, outputs, batch_size and steps {short([*counts[:2], steps])}"
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size > 0 for size in shape + counts):
        raise GenomeFileError(f"{path} has {given}; expected positive integers")
    if max(math.prod(shape), *counts) > MAX_FILE_BYTES:
        raise GenomeFileError(f"{path} has {given}: too large")
    return tuple(shape), counts[0], counts[1], steps


def _checked_labels(labels: Any, outputs: int, path: str | Path) -> tuple[Any, ...] | None:
    """The classes, one per output, or None in regression."""
    if labels is None:
        return None
    if not isinstance(labels, list) or len(labels) != outputs or not all(isinstance(x, int | str) for x in labels):
        raise GenomeFileError(f"{path} has labels {short(labels)}, expected {outputs} integers, booleans or strings")
    return tuple(labels)


def _model_spec(rule: UpdateRule, batch: Spec, regression: bool, path: str | Path) -> PyTree:
    """Shapes and dtypes of everything in the file; nothing is computed."""
    try:
        genome = genome_shapes(rule)
        state = jax.eval_shape(lambda genome, key: rule.init_state(genome, key, batch), genome, jax.random.key(0))
    except Exception as error:  # a rule rebuilt from hostile values
        raise GenomeFileError(f"{path}: the rule makes no state: {one_line(error)}") from error
    spec = {"genome": genome, "state": state, "inputs": _statistics_spec(batch.inputs.shape[1])}
    return {**spec, "targets": _statistics_spec(batch.targets.shape[1])} if regression else spec


def _statistics_spec(features: int) -> Standardisation:
    return Standardisation(*[jax.ShapeDtypeStruct((features,), jnp.float32)] * 2)
