"""A genome at work on one's own data: train a network with it, predict with the network."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from numpy.typing import ArrayLike, NDArray

from blur.core.episode import Batch, make_batch, make_spec
from blur.core.inner_loop import unroll as run_inner_steps
from blur.core.rule import Genome, UpdateRule
from blur.data.arrays import check_lengths, checked_inputs, checked_targets
from blur.data.standardise import Standardisation, measure
from blur.support.renamed import renamed_arguments

DEFAULT_BATCH = 128
"""Examples per inner step, where there are as many."""

CHUNK_NUMBERS = 2**24
"""Input numbers that are on the device at once, in training and in predicting."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A network that a genome has trained; made by `train`, saved by `save_model`.

    Attributes:
      rule: the update rule.
      genome: its meta-parameters.
      state: the learned state.
      shape: of one example's input, as the user gives it: `(features,)` or an image's `(height, width, …)`.
      inputs: statistics of the training inputs.
      labels: the classes in the order of the outputs; None in regression.
      targets: statistics of the training targets in regression; None in classification.
      batch_size: examples per inner step, which the state's shapes may depend on.
      steps: inner steps of the training; None in files that do not say it.

    Examples:
      >>> file = blur.load_genome("sgd")
      >>> model = blur.train(file.rule, file.genome, [[0.0, 0.0], [1.0, 1.0]] * 16, ["no", "yes"] * 16, steps=30)
      >>> model.labels, model.shape
      (('no', 'yes'), (2,))
    """

    rule: UpdateRule
    genome: Genome
    state: PyTree
    shape: tuple[int, ...]
    inputs: Standardisation
    labels: tuple[Any, ...] | None
    targets: Standardisation | None
    batch_size: int
    steps: int | None = None

    @property
    def features(self) -> int:
        """Numbers per example."""
        return math.prod(self.shape)

    @property
    def outputs(self) -> int:
        """Numbers per prediction: one per class, or the targets' width."""
        return len(self.labels or ()) if self.targets is None else len(self.targets.mean)


@renamed_arguments(unroll="steps")
def train(
    rule: UpdateRule,
    genome: Genome,
    inputs: ArrayLike,
    labels: ArrayLike,
    *,
    steps: int = 50,
    batch_size: int | None = None,
    seed: int = 0,
) -> Model:
    """Trains a fresh network with a genome on arrays; see `predict_in_context` for rules that learn in context.

    Inputs are standardised: feature vectors feature by feature, images with one mean and one standard deviation for all
    pixels. The examples are shuffled anew in every epoch. Integer, boolean and string labels are classes, presented as
    ±1 one-hot targets; floating-point labels are regression targets, standardised too.

    Args:
      rule: the update rule; a trained genome works with other hidden sizes: `dataclasses.replace(rule, hidden=(128,))`.
      genome: its meta-parameters.
      inputs: `[examples, features]` or images `[examples, height, width, …]`.
      labels: `[examples]` classes, or `[examples]` or `[examples, outputs]` floating-point targets.
      steps: inner steps.
      batch_size: examples per inner step; by default 128, or all examples where there are fewer.
      seed: decides the initial network and the order of the examples.

    Raises:
      ValueError: arrays that do not fit each other, are empty or not finite; sizes that are not positive; or training
        diverged; or a rule that learns in context.

    Examples:
      >>> inputs = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 8
      >>> labels = ["no", "yes", "yes", "yes"] * 8
      >>> file = blur.load_genome("sgd")
      >>> model = blur.train(file.rule, file.genome, inputs, labels, steps=30)
      >>> print(blur.predict(model, [[0.0, 0.0], [1.0, 1.0]]))
      ['no' 'yes']
    """
    if rule.in_context:
        raise ValueError(
            f"{type(rule).__name__} learns in context, from all pairs at once and as they are, but training shuffles "
            "and rescales them; use blur.predict_in_context(rule, genome, inputs, targets, queries, steps=…)"
        )
    examples, labels = checked_inputs(inputs, "training data"), checked_targets(labels, "training data")
    check_lengths("training data", examples, labels)
    batch_size = min(DEFAULT_BATCH, len(examples)) if batch_size is None else batch_size
    if steps < 1 or not 1 <= batch_size <= len(examples):
        raise ValueError(
            f"steps is {steps} and batch_size {batch_size}; expected at least 1, and no more than the "
            f"{len(examples)} examples in a batch"
        )
    input_statistics = _input_statistics(examples)
    targets, classes, target_statistics = _targets(labels)
    flat = input_statistics.apply(examples.reshape(len(examples), -1)).astype(np.float32)
    state = _learn_all(rule, genome, flat, targets, steps, batch_size, seed)
    shape = examples.shape[1:]
    return Model(rule, genome, state, shape, input_statistics, classes, target_statistics, batch_size, steps)


def predict(model: Model, inputs: ArrayLike) -> NDArray:
    """Labels in classification, targets in regression, of many examples or of one.

    Args:
      model: what `train` or `load_model` returned.
      inputs: `[examples, *model.shape]`, or one example `model.shape`, which gives a prediction without the first axis.

    Raises:
      ValueError: inputs of another shape, or not finite.

    Examples:
      >>> file = blur.load_genome("sgd")
      >>> inputs = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 8
      >>> model = blur.train(file.rule, file.genome, inputs, [0, 1, 1, 1] * 8, steps=30)
      >>> print(blur.predict(model, [1.0, 1.0]))
      1
    """
    outputs = predict_outputs(model, inputs)
    if model.targets is None:
        return np.asarray(model.labels)[np.argmax(outputs, axis=-1), ...]
    values = model.targets.undo(outputs).astype(np.float32)
    return values[..., 0] if model.outputs == 1 else values


def predict_outputs(model: Model, inputs: ArrayLike) -> NDArray[np.float32]:
    """The network's outputs `[examples, outputs]` (`[outputs]` for one example), before labels are made of them."""
    inputs = np.asarray(inputs)
    single = inputs.shape == model.shape
    examples = checked_inputs(inputs[None] if single else inputs, "data to predict")
    if examples.shape[1:] != model.shape:
        raise ValueError(f"inputs have shape {inputs.shape}, expected {('examples', *model.shape)} or {model.shape}")
    flat = model.inputs.apply(examples.reshape(len(examples), -1)).astype(np.float32)
    size = max(1, CHUNK_NUMBERS // model.features)
    chunks = [flat[start : start + size] for start in range(0, len(flat), size)]
    outputs = np.concatenate([_outputs(model.rule, model.genome, model.state, chunk) for chunk in chunks])
    return outputs[0] if single else outputs


def _input_statistics(examples: NDArray) -> Standardisation:
    """Per feature for vectors, common to all pixels for images; `[features]`, float32."""
    statistics = measure(examples, 0 if examples.ndim == 2 else None)
    return jax.tree.map(lambda s: np.broadcast_to(s.astype(np.float32), math.prod(examples.shape[1:])), statistics)


def _targets(labels: NDArray) -> tuple[NDArray[np.float32], tuple[Any, ...] | None, Standardisation | None]:
    """Targets `[examples, outputs]`, and either the classes or the targets' statistics."""
    if labels.dtype.kind == "f":
        statistics = jax.tree.map(lambda s: s.astype(np.float32), measure(labels))
        return statistics.apply(labels).astype(np.float32), None, statistics
    classes, indices = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"all labels are {classes[0]!r}; expected at least two classes")
    return (
        np.where(np.arange(len(classes)) == indices[:, None], 1, -1).astype(np.float32),
        tuple(classes.tolist()),
        None,
    )


def _learn_all(
    rule: UpdateRule,
    genome: Genome,
    inputs: NDArray[np.float32],
    targets: NDArray[np.float32],
    steps: int,
    batch_size: int,
    seed: int,
) -> PyTree:
    """The state after all inner steps, which run in chunks that fit the device."""
    order = _shuffled_epochs(np.random.default_rng(seed), len(inputs), steps * batch_size).reshape(steps, batch_size)
    spec = make_spec(inputs.shape[1], targets.shape[1], batch_size, steps)
    state = rule.init_state(genome, jax.random.key(seed), spec)
    chunk = max(1, CHUNK_NUMBERS // (batch_size * inputs.shape[1]))
    for start in range(0, steps, chunk):
        rows = order[start : start + chunk]
        state = _learn(rule, genome, state, make_batch(jnp.asarray(inputs[rows]), jnp.asarray(targets[rows])))
    finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if not all(finite):
        raise ValueError(
            f"training diverged within {steps} inner steps; use fewer, another batch size or another genome"
        )
    return state


def _shuffled_epochs(generator: np.random.Generator, examples: int, count: int) -> NDArray[np.int64]:
    """`count` indices: permutations of all examples, one after the other."""
    epochs = [generator.permutation(examples) for _ in range(-(-count // examples))]
    return np.concatenate(epochs)[:count]


@partial(jax.jit, static_argnames="rule")
def _learn(rule: UpdateRule, genome: Genome, state: PyTree, support: Batch) -> PyTree:
    return run_inner_steps(rule, genome, state, support)[0]


@partial(jax.jit, static_argnames="rule")
def _outputs(rule: UpdateRule, genome: Genome, state: PyTree, inputs: jax.Array) -> jax.Array:
    return rule.predict(genome, state, inputs)


def describe_fit(predicted: NDArray, labels: NDArray) -> str:
    """Accuracy of classes, or the root mean squared error of real values."""
    if np.shape(predicted) != np.shape(labels):
        predicted = predicted.reshape(labels.shape)
    if labels.dtype.kind == "f":
        return f"root mean squared error {np.sqrt(np.mean((predicted - labels) ** 2)):.4g}"
    return f"accuracy {np.mean(predicted == labels):.4f}"
