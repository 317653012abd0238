"""Model files: a loaded model predicts exactly as the saved one did; damaged files give one clear line."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blur.files.genomes import GenomeFileError, load_genome
from blur.models.files import load_model, save_model
from blur.models.fit import Model, predict_outputs, train
from blur.rules.bidirectional import Bidirectional
from blur.rules.optax_mlp import OptaxMLP

GENERATOR = np.random.default_rng(0)
INPUTS = GENERATOR.normal(size=(40, 3, 2))
CLASSES = np.array(["no", "yes"])[(INPUTS.sum((1, 2)) > 0).astype(int)]


def train_small(rule=OptaxMLP(hidden=(4,), optimizer="adam"), labels=CLASSES) -> Model:  # noqa: B008 (frozen)
    return train(rule, rule.init_genome(jax.random.key(0)), INPUTS, labels, steps=3, batch_size=20)


@pytest.mark.parametrize(
    "rule",
    [Bidirectional(hidden=(4,)), OptaxMLP(hidden=(4,), optimizer="adam", batch_norm=True)],
    ids=lambda rule: type(rule).__name__,
)
@pytest.mark.parametrize("labels", [CLASSES, CLASSES == "yes", INPUTS.mean((1, 2))], ids=["text", "bool", "float"])
def test_round_trip_is_exact(tmp_path: Path, rule: Any, labels: np.ndarray) -> None:
    model = train_small(rule, labels)
    restored = load_model(save_model(tmp_path / "m.safetensors", model))
    assert (restored.rule, restored.shape, restored.labels) == (model.rule, model.shape, model.labels)
    assert (restored.batch_size, restored.outputs) == (model.batch_size, model.outputs)
    np.testing.assert_array_equal(predict_outputs(restored, INPUTS), predict_outputs(model, INPUTS))
    np.testing.assert_array_equal(jax.random.key_data(restored.state.key), jax.random.key_data(model.state.key))
    assert restored.state.key.dtype == model.state.key.dtype


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    first = save_model(tmp_path / "a.safetensors", train_small()).read_bytes()
    assert save_model(tmp_path / "b.safetensors", train_small()).read_bytes() == first


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_model_can_be_copied_and_pickled(copied: Any) -> None:
    model = train_small(Bidirectional(hidden=(4,)))
    made = copied(model)
    assert (made.rule, made.labels, made.steps) == (model.rule, model.labels, model.steps)
    np.testing.assert_array_equal(predict_outputs(made, INPUTS), predict_outputs(model, INPUTS))


def rewrite(path: Path, changes: dict[str, Any], tensors: dict[str, np.ndarray] | None = None) -> None:
    """Changes header entries and tensors of a model file."""
    data = path.read_bytes()
    outer = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header = json.loads(outer["__metadata__"]["blur"]) | changes
    path.write_bytes(
        safetensors.numpy.save({**safetensors.numpy.load(data), **(tensors or {})}, {"blur": json.dumps(header)})
    )


@pytest.mark.parametrize(
    ("changes", "tensors", "message"),
    [
        ({"shape": []}, {}, r"has shape \[\], .*expected positive integers"),
        ({"shape": [3, -2]}, {}, "expected positive integers"),
        ({"shape": [True, 6]}, {}, "expected positive integers"),
        ({"shape": [10**9, 10**9]}, {}, "too large"),
        ({"outputs": "2"}, {}, "expected positive integers"),
        ({"batch_size": None}, {}, "expected positive integers"),
        ({"labels": ["no"]}, {}, "expected 2 integers, booleans or strings"),
        ({"labels": [[], {}]}, {}, "expected 2 integers, booleans or strings"),
        ({"labels": None}, {}, "lacks the tensor 'targets/mean'"),
        ({"shape": [7]}, {}, r"'inputs/mean' has shape \(6,\), expected \(7,\)"),
        ({"rule": {"type": "evil"}}, {}, "unknown type 'evil'"),
        ({}, {"inputs/std": np.zeros(6, np.float32)}, "standard deviations that are not positive"),
        ({}, {"state/key": np.zeros(3, np.uint32)}, r"'state/key' has shape \(3,\), expected \(2,\)"),
        ({}, {"state/step": np.zeros((), np.float32)}, "'state/step' has dtype float32, expected int32"),
    ],
)
def test_every_bad_file_gives_one_line(tmp_path: Path, changes: dict, tensors: dict, message: str) -> None:
    path = save_model(tmp_path / "m.safetensors", train_small())
    rewrite(path, changes, tensors)
    with pytest.raises(GenomeFileError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_genomes_and_models_are_not_confused(tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.safetensors", train_small())
    with pytest.raises(GenomeFileError, match="not a genome file: its format is 'model'"):
        load_genome(path)


def test_a_model_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    model = train_small()
    broken = dataclasses.replace(model, genome=jax.tree.map(lambda x: x * jnp.nan, model.genome))
    with pytest.raises(GenomeFileError, match="not finite"):
        load_model(save_model(tmp_path / "m.safetensors", broken))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return save_model(tmp_path_factory.mktemp("models") / "m.safetensors", train_small()).read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_raise_anything_else(tmp_path: Path, content: bytes, data: st.DataObject) -> None:
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        load_model(path)
    except GenomeFileError as error:
        assert "\n" not in str(error)
