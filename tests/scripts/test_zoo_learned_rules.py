"""The recipes of the genomes that ship, at a reduced size."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from zoo import learned_rules as zoo

import blur
from blur.core.genome import check_same_genome, genome_shapes
from blur.meta.meta_training import make_outer

SCRIPT = Path(zoo.__file__)


def reduced(recipe):
    """The recipe on tiny networks and digits, with two stages of two meta-steps."""
    training = blur.MetaTraining(meta_steps=2, candidates=1, validation_episodes=2)

    def stage(old):
        parts = tuple(
            dataclasses.replace(part, task="digits", resolution=3, hidden=(4,), steps=2 + number, batch_size=8)
            for number, part in enumerate(old.mixture[:2])
        )
        return zoo.Stage(parts, dataclasses.replace(training, seed=old.training.seed))

    return dataclasses.replace(recipe, stages=tuple(map(stage, recipe.stages[:2])))


def test_the_same_recipe_gives_the_same_file(tmp_path):
    recipe = reduced(zoo.RECIPES["mnist-k4-deep"])
    first = zoo.make("toy", recipe, tmp_path / "1", tmp_path / "runs1").read_bytes()
    assert zoo.make("toy", recipe, tmp_path / "2", tmp_path / "runs2").read_bytes() == first
    assert zoo.make("toy", recipe, tmp_path / "3", tmp_path / "runs1").read_bytes() == first  # both runs are there
    assert str(tmp_path).encode() not in first
    file = blur.load_genome(tmp_path / "1" / "toy.safetensors")
    assert file.steps == 3
    assert file.card["command"] == "python scripts/zoo/learned_rules.py toy"
    stages = file.card["meta_training"]["stages"]
    assert [stage["settings"] for stage in stages] == [[0, 1], [2, 1]]
    assert [stage["init"] is None for stage in stages] == [True, False]
    assert file.card["metrics"] == stages[-1]["validation"]
    last = blur.load_genome(tmp_path / "runs1" / "toy" / "stage2" / "genome.safetensors").genome
    jax.tree.map(np.testing.assert_array_equal, file.genome, last)


def test_another_recipe_does_not_continue_a_run(tmp_path):
    runs = tmp_path / "runs" / "sgd" / "stage1"
    runs.mkdir(parents=True)
    (runs / "config.json").write_text(json.dumps({"settings": []}), encoding="utf-8")
    recipe = dataclasses.replace(zoo.RECIPES["sgd"], stages=reduced(zoo.RECIPES["boolean-k2"]).stages)
    with pytest.raises(ValueError, match=r"holds a run with .* or choose another folder"):
        zoo.make("sgd", recipe, tmp_path, tmp_path / "runs")


def test_sgd_is_the_exact_genome(tmp_path):
    path = zoo.make("sgd", zoo.RECIPES["sgd"], tmp_path, tmp_path)
    file = blur.load_genome(path)
    assert file.rule == blur.TwoStateSGD()
    jax.tree.map(np.testing.assert_array_equal, file.genome, blur.TwoStateSGD().init_genome(jax.random.key(0)))


@pytest.mark.parametrize("name", zoo.RECIPES)
def test_every_stage_of_a_recipe_goes_on_from_the_one_before(name):
    recipe = zoo.RECIPES[name]
    own = genome_shapes(recipe.rule)
    for number, stage in enumerate(recipe.stages):
        make_outer(stage.training)
        assert stage.mixture
        for part in stage.mixture:
            check_same_genome(own, genome_shapes(recipe.rule.with_hidden(part.hidden)), names=(name, str(number)))
    assert recipe.minutes > 0 or not recipe.stages


def test_an_unknown_name_is_refused():
    refused = subprocess.run([sys.executable, SCRIPT, "mnist-k9"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "mnist-k4-deep" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("name", zoo.RECIPES)
def test_what_ships_was_made_by_its_recipe_and_tested(name):
    recipe, file = zoo.RECIPES[name], blur.load_genome(name)
    assert file.rule == recipe.rule
    assert file.card["description"] == recipe.description
    trained = file.card.get("meta_training", {}).get("stages", [])
    assert [(s["meta_steps"], s["learning_rate"], s["seed"]) for s in trained] == [
        (stage.training.meta_steps, stage.training.learning_rate, stage.training.seed) for stage in recipe.stages
    ]
    assert not recipe.stages or file.card["metrics"]["test"]["results"]
