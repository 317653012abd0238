"""The claims about learned update rules: their verdicts, and every one at the smallest size on digits."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import run
from harness.claim import Claim, DataPreset, Finding, examine, reported
from learned_rules import (
    b03_random_genomes,
    b04_faster_than_any_rate,
    b05_image_size,
    b06_depth,
    b07_transfer,
    b08_normalisation,
    b09_boolean,
    common,
)
from matplotlib.figure import Figure
from report_toys import make_record

import blur
from blur.evaluation import baselines, tuning
from blur.evaluation import evaluate as evaluation
from blur.evaluation.cost import StepCost
from blur.evaluation.curves import Curves
from blur.meta.meta_training import make_outer

SCRIPTS = (
    b03_random_genomes,
    b04_faster_than_any_rate,
    b05_image_size,
    b06_depth,
    b07_transfer,
    b08_normalisation,
    b09_boolean,
)
TINY = {
    "task": "digits",
    "resolution": 3,
    "width": 4,
    "steps": 2,
    "batch_size": 8,
    "baselines": ("sgd",),
    "episodes": 5,
    "tuning_episodes": 4,
}
TRAINING = blur.MetaTraining(meta_steps=2, candidates=1, validation_episodes=2)


@pytest.fixture
def small_grids(monkeypatch):
    """Two rates, and for momentum two momenta, which are never widened; nothing is timed."""

    def grid(optimizer, kind):
        axes = {"learning_rate": (0.1, 1.0), "output_scale": (0.0,), "decay": (0.0,)}
        return axes | ({"momentum": (0.5, 0.9)} if optimizer == "momentum" else {})

    monkeypatch.setattr(baselines, "initial_grid", grid)
    monkeypatch.setattr(tuning, "MAX_EXTENSIONS", 0)
    monkeypatch.setattr(evaluation, "step_cost", lambda *_: StepCost(None, 0.0))


@pytest.fixture
def made_up(monkeypatch):
    """Scripts meta-train nothing and play no episode: genomes are random, and so are accuracies."""

    def meta_train_seeds(setting, config, seeds):
        history = {"meta_step": np.arange(1, 9), "accuracy": np.linspace(0, 1, 8)[:, None]}
        keys = [jax.random.key(seed) for seed in range(seeds)]
        return [blur.meta.MetaTrainResult(setting.rule.init_genome(key), 1.0, 0.5, 0, 8, history) for key in keys]

    def compare(preset, learners, plans):
        conditions = [(plan, condition) for plan in plans for condition in plan.conditions(())]
        return [records_of(learners, plan, condition) for plan, condition in conditions]

    def curves_on_test(preset, rule, genomes, condition, episodes):
        curve = np.full((episodes, condition.steps), 0.5)
        return [Curves(curve, curve) for _ in genomes]

    for script in SCRIPTS:
        for stub in (meta_train_seeds, compare, curves_on_test):
            if hasattr(script, stub.__name__):
                monkeypatch.setattr(script, stub.__name__, stub)


def records_of(learners, plan, condition):
    """Made-up records of one condition."""
    names = {variant.name: "baseline" for variant in baselines.variants(plan)}
    names |= {learner.name: "learner" for learner in learners}
    sizes = {"task": condition.task, "resolution": condition.resolution, "hidden": condition.hidden}
    fields = {**sizes, "steps": condition.steps, "differences_ci95": dict.fromkeys(names, (-0.1, 0.1))}
    curve = tuple(np.linspace(0.1, 0.5, condition.steps))
    fields |= {"curve_mean": curve, "curve_ci95": (curve, curve)}
    return {name: make_record(name, 0.5, kind=kind, **fields) for name, kind in names.items()}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory) -> str:
    """A genome file in the place of a shipped one, hardly meta-trained."""
    folder = tmp_path_factory.mktemp("stand_in")
    rule = blur.Bidirectional(hidden=(4,))
    setting = blur.Setting(rule, blur.make_task("digits", resolution=3), steps=2, batch_size=8)
    blur.meta_train(setting, TRAINING, out=folder / "run")
    return str((folder / "run" / "genome.safetensors").rename(folder / "toy.safetensors"))


def tiny(script, **changes):
    return dataclasses.replace(script.CLAIM.quick, **{**TINY, **changes})


def names_of(finding, *, judged: bool):
    return [check.name for check in finding.checks if (check.ok is not None) is judged]


def check_names(finding):
    names = [check.name for check in finding.checks]
    assert len(set(names)) == len(names)
    assert all(check.ok is None or type(check.ok) is bool for check in finding.checks)
    assert finding.figure.axes


def group(**accuracies):
    """Records of one condition, whose differences to `sgd` are exact."""
    sgd = accuracies["sgd"]
    records = {name: make_record(name, mean, kind="baseline") for name, mean in accuracies.items()}
    ends = (accuracies["toy"] - sgd - 0.01, accuracies["toy"] - sgd + 0.01)
    records["toy"] = dataclasses.replace(records["toy"], kind="learner", differences_ci95={"sgd": ends})
    return records


@pytest.mark.parametrize(
    ("mean", "clear", "holds"),
    [(0.75, True, True), (0.705, False, True), (0.69, False, False), (np.nan, False, False)],
)
def test_verdicts_against_baselines(mean, clear, holds):
    records = group(toy=mean, sgd=0.7)
    assert [check.ok for check in common.clearly_above(records, "toy")] == [clear]
    assert [check.ok for check in common.not_below(records, "toy")] == [holds]


def test_sgd_is_met_with_and_without_batch_normalisation():
    records = {**group(toy=0.8, sgd=0.7), "sgd+bn": make_record("sgd+bn", 0.9), "adam": make_record("adam", 0.95)}
    assert [check.ok for check in common.not_below(records, "toy")] == [True, False]
    assert [record.learner for record in common.baselines_in(records)] == ["sgd", "sgd+bn", "adam"]


def test_presets_get_their_folders_from_the_command_line(tmp_path):
    seen = []

    def measure(preset):
        seen.append(preset)
        return Finding([reported("x", 1.0)], Figure())

    preset = DataPreset()
    examine(Claim("T1", "a toy", "nowhere", measure, preset, preset), full=False, out=tmp_path, data_dir="data")
    assert seen == [DataPreset(data_dir="data", scores=tmp_path / "scores")]


@pytest.mark.parametrize(
    ("variable", "is_there", "expected"), [("mine", True, "mine"), ("", True, "data"), ("", False, None)]
)
def test_where_data_are_looked_for(monkeypatch, tmp_path, variable, is_there, expected):
    monkeypatch.setenv("BLUR_DATA_DIR", variable)
    monkeypatch.chdir(tmp_path)
    if is_there:
        Path("data").mkdir()
    assert run.parser().parse_args([]).data_dir == expected
    arguments = run.parser().parse_args(["--data-dir", "other", "--full"])
    assert isinstance(arguments, argparse.Namespace)
    assert run.examination(arguments) == {"full": True, "out": Path("runs/claims"), "data_dir": "other"}


def test_random_genomes_are_counted_over_seeds(made_up):
    ways = {"gradient": TRAINING, "CMA-ES": TRAINING}
    finding = b03_random_genomes.measure(tiny(b03_random_genomes, ways=ways, seeds=2))
    check_names(finding)
    assert [name.split(":")[0] for name in names_of(finding, judged=True)] == ["gradient", "CMA-ES"]


def test_seeds_that_beat_sgd_are_counted():
    scores = {
        f"way, seed {seed}": make_record("way", mean, kind="learner") for seed, mean in enumerate((0.9, 0.6, 0.2))
    }
    preset = tiny(b03_random_genomes, seeds=3)
    mean, *rest = b03_random_genomes.of_way("way", {**scores, "sgd": make_record("sgd", 0.7)}, preset)
    assert mean.measured == pytest.approx(1.7 / 3 - 0.7)
    assert mean.ok is False
    assert [check.measured for check in rest] == ["0.900, 0.600, 0.200", "2 of 3 seeds", "1 of 3 seeds"]


def test_every_seed_is_meta_trained_for_itself(monkeypatch):
    seen = []
    monkeypatch.setattr(blur, "meta_train", lambda settings, config: seen.append((settings, config)) or config.seed)
    assert common.meta_train_seeds("settings", TRAINING, 3) == [0, 1, 2]
    assert seen == [("settings", dataclasses.replace(TRAINING, seed=seed)) for seed in range(3)]


def test_a_shipped_genome_is_preferred_to_one_trained_here(monkeypatch, stand_in):
    setting = blur.Setting(blur.Bidirectional(), blur.make_task("xor"))
    assert common.shipped_or_trained(stand_in, [setting], TRAINING).name == "toy"
    monkeypatch.setattr(blur, "meta_train", lambda settings, config: argparse.Namespace(genome=(settings, config)))
    trained = common.shipped_or_trained("not-shipped", [setting], TRAINING)
    assert trained == blur.Learner("not-shipped (trained here)", setting.rule, ([setting], TRAINING))


def test_every_grid_point_is_drawn_where_the_tuning_measured_it(small_grids, stand_in):
    preset = tiny(b04_faster_than_any_rate, genome=stand_in, baselines=("momentum",), grid_episodes=5)
    (records,) = common.compare(preset, [common.read_learner(stand_in)], [preset.plan()])
    for name in ("momentum", "momentum+bn"):
        grid = b04_faster_than_any_rate.grid_curves(preset, records[name])
        trials = common.tuning_of(records[name]).trials
        assert grid.curves.shape == (len(trials), 2) == (4 + 2, 2)
        best = [trial.point for trial in trials].index(records[name].tuning["best"])
        np.testing.assert_allclose(grid.curves[best], records[name].curve_mean, atol=1e-6)
    finding = b04_faster_than_any_rate.measure(preset)
    check_names(finding)
    assert len(names_of(finding, judged=True)) == 2
    assert len(finding.figure.axes[0].get_lines()) == 6 + 2


def test_steps_until_a_level():
    record = make_record("toy", 0.9)  # 0.1, 0.2, 0.9
    assert b04_faster_than_any_rate.steps_until(record, 0.2) == 2
    assert b04_faster_than_any_rate.steps_until(record, 0.95) == np.inf


def test_image_size_is_judged_where_only_the_resolution_is_new(made_up, stand_in):
    preset = tiny(b05_image_size, genome=stand_in, new_resolution=4)
    finding = b05_image_size.measure(preset)
    check_names(finding)
    assert [name.split(":")[0] for name in names_of(finding, judged=True)] == ["digits 4×4, hidden 4, T=2"] * 2
    assert [name.split(":")[0] for name in names_of(finding, judged=False)] == [
        "digits 3×3, hidden 4, T=2",
        "digits 3×3, hidden 4-4, T=2",
        "digits 4×4, hidden 4-4, T=2",
    ]


def test_depths_trained_and_tested(made_up, stand_in):
    preset = tiny(b06_depth, genome=stand_in, trained=(2,), training=TRAINING, tested=(1, 3))
    finding = b06_depth.measure(preset)
    check_names(finding)
    assert len(names_of(finding, judged=True)) == 2 * 2
    assert names_of(finding, judged=False) == [
        "digits 3×3, hidden 4, T=2: trained with 2",
        "digits 3×3, hidden 3×4, T=2: trained with 2",
    ]


def test_transfer_and_what_comes_after_the_horizon(made_up, stand_in):
    data = {"data": (("digits", 3),), "optional_data": (("nothing/here", None),), "lives": (2, 4)}
    finding = b07_transfer.measure(tiny(b07_transfer, genome=stand_in, **data))
    check_names(finding)
    assert names_of(finding, judged=True)[2] == (
        "digits 3×3, hidden 4, T=8: lowest accuracy after the trained 2 steps − that at 2"
    )
    assert names_of(finding, judged=False)[-1] == "nothing/here: left out"
    assert b07_transfer.loss_beyond(np.array([0.1, 0.8, 0.6, 0.7]), 2) == pytest.approx(-0.2)


def test_prepared_data_sets(monkeypatch, tmp_path):
    monkeypatch.setenv("BLUR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "own"))
    assert not b07_transfer.is_prepared("emnist/letters", str(tmp_path))
    (tmp_path / "own" / "emnist" / "letters").mkdir(parents=True)
    assert b07_transfer.is_prepared("emnist/letters", str(tmp_path))


def test_arms_of_the_ablation_have_one_budget(made_up):
    preset = tiny(
        b08_normalisation, seeds=2, training=TRAINING, shifts={"deep": {"hidden": 2}, "4×4": {"resolution": 4}}
    )
    assert preset.shifted({"hidden": 2}).hidden == (4, 4)
    finding = b08_normalisation.measure(preset)
    check_names(finding)
    assert len(names_of(finding, judged=True)) == 2
    assert len(names_of(finding, judged=False)) == 2 + 3 + 3 * 3


def test_an_arm_of_the_ablation_has_the_activation_that_is_best_on_validation(monkeypatch):
    def train(setting, config, seeds):
        losses = {"gelu": [0.3, 2.0], "tanh": [0.9, 1.1]}[setting.rule.activation]
        return [SimpleNamespace(fitness=loss) for loss in losses]

    monkeypatch.setattr(b08_normalisation, "meta_train_seeds", train)
    preset = tiny(b08_normalisation, seeds=2, training=TRAINING)
    runs = b08_normalisation.best_runs("none", preset)
    assert (runs.rule.activation, runs.rule.normalise, runs.fitness) == ("tanh", "none", 1.0)


def test_the_ablation_compares_means_over_shifts_alone():
    scores = {"none": [[0.9, 0.2, 0.4]], "forward": [[0.9, 0.5, 0.7]], "both": [[0.1, 0.4, 0.6]]}
    checks = b08_normalisation.comparisons({arm: np.array(values) for arm, values in scores.items()})
    assert [check.measured for check in checks] == pytest.approx([0.2, 0.2, -0.1, -0.1])
    assert [check.ok for check in checks] == [True, None, False, None]


def test_boolean_functions_with_pictures(small_grids, stand_in):
    sizes = {"resolution": None, "training": TRAINING, "functions": ("or", "and"), "picture": 5}
    preset = tiny(b09_boolean, genomes={stand_in: 4}, **sizes)
    finding = b09_boolean.measure(preset)
    check_names(finding)
    judged = ["and, hidden 4, T=2"] * 2
    assert [name.split(":")[0] for name in names_of(finding, judged=True)] == judged
    assert names_of(finding, judged=False)[0] == "or, hidden 4, T=2: toy"
    assert len(finding.figure.axes) == 4


def test_decisions_are_what_a_trained_network_predicts():
    sgd = blur.TwoStateSGD(hidden=(16,), learning_rate=0.5)
    learner = blur.Learner("sgd", sgd, sgd.init_genome(jax.random.key(0)))
    task = blur.make_task("or")
    episode = task.sample(jax.random.key(0), steps=100, batch_size=64)
    outputs = b09_boolean.decisions(learner, episode, np.array([-0.7, 0.7]))
    np.testing.assert_array_equal(outputs > 0, [[False, True], [True, True]])  # rows are the second coordinate


@pytest.mark.parametrize("script", SCRIPTS)
def test_presets_cover_what_the_claims_say(script):
    for preset in (script.CLAIM.quick, script.CLAIM.full):
        for config in getattr(preset, "ways", {"": getattr(preset, "training", TRAINING)}).values():
            make_outer(config)
        assert preset.episodes >= 40
        assert preset.plan().baseline_sizes == ("width",)
    assert b06_depth.CLAIM.quick.tested == (1, 2, 4, 5, 10)
    assert b08_normalisation.CLAIM.quick.seeds >= 3
    assert set(b09_boolean.CLAIMED) <= set(b09_boolean.CLAIM.quick.functions)
