"""Genomes and models that older versions wrote load, and predict the very same outputs."""

from __future__ import annotations

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from make_fixtures import FIXTURES, RULES, example_inputs

from blur.files.genomes import load_genome
from blur.files.versions import FORMAT_VERSION, MIGRATIONS, migrate
from blur.models.files import load_model, save_model
from blur.models.fit import predict_outputs

pytestmark = pytest.mark.usefixtures("no_type_checks")  # a state that is to be read is made of shapes, not of arrays

TOLERANCE = 0.0 if "BLUR_TEST_OPTIMISED" in os.environ else 1e-6
"""Files were made with optimised programs; the tests' own round otherwise."""

FILES = [(version, name) for version in range(1, FORMAT_VERSION + 1) for name in RULES]


def fixture(version: int, name: str) -> Path:
    return FIXTURES / f"v{version}" / name


def test_every_older_version_has_a_migration() -> None:
    assert list(MIGRATIONS) == list(range(1, FORMAT_VERSION))


@pytest.mark.parametrize(("version", "name"), FILES)
def test_a_model_of_any_version_predicts_what_it_predicted(version: int, name: str) -> None:
    model = load_model(fixture(version, f"model_{name}.safetensors"))
    assert model.rule == RULES[name]
    assert model.steps == (None if version == 1 else 3)
    outputs = predict_outputs(model, example_inputs()[:7])
    np.testing.assert_allclose(outputs, np.load(fixture(version, f"outputs_{name}.npy")), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("version", "name"), FILES)
def test_a_genome_of_any_version_is_the_genome_of_its_model(version: int, name: str) -> None:
    file = load_genome(fixture(version, f"genome_{name}.safetensors"))
    assert (file.rule, file.steps) == (RULES[name], 3)
    assert file.card["data"] == {"settings": [{"steps": 3, "batch_size": 20}]}
    genome = load_model(fixture(version, f"model_{name}.safetensors")).genome
    jax.tree.map(np.testing.assert_array_equal, file.genome, genome)


@pytest.mark.parametrize("name", RULES)
def test_a_model_of_version_1_is_saved_as_one_of_today(tmp_path: Path, name: str) -> None:
    model = load_model(fixture(1, f"model_{name}.safetensors"))
    again = load_model(save_model(tmp_path / "again.safetensors", model))
    assert (again.rule, again.steps, again.labels) == (model.rule, model.steps, model.labels)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(again.genome), jax.tree.leaves(model.genome))


@pytest.mark.parametrize("data", [None, [], {"settings": None}, {"settings": [None, 3, {"unroll": 2}]}])
def test_migration_leaves_what_it_does_not_know(data: object) -> None:
    header, tensors = migrate({"format_version": 1, "data": data}, {})
    assert tensors == {}
    assert header["format_version"] == FORMAT_VERSION
    expected = {"settings": [None, 3, {"steps": 2}]} if isinstance(data, dict) and data["settings"] else data
    assert header["data"] == expected
