"""Whole runs: they learn, resume bit-exactly, save when interrupted, and refuse what does not fit."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from meta_toys import Drift, LinearDescent, LinearTask, linear_setting, sign_setting

from blur.files.genomes import load_genome
from blur.meta import MetaTraining, Setting, meta_train, train
from blur.meta.chunk import compiled_chunk
from blur.meta.describe import _is_small
from blur.meta.meta_training import make_outer, run_size
from blur.meta.run import files as run_files
from blur.meta.run import pace
from blur.meta.run.state import initial_run_state, run_keys

KNOWN = {"LinearDescent": LinearDescent}
SMALL = MetaTraining(
    meta_steps=20, candidates=2, validation_every=8, validation_episodes=3, population=4, truncation=2, mapping="vmap"
)


def run(config: MetaTraining, setting=None, **options):
    """A quiet run on linear regression."""
    return meta_train(setting or linear_setting(), config, progress=False, known=KNOWN, **options)


def interrupt_at(monkeypatch, meta_step: int, number: int = signal.SIGINT) -> None:
    """Sends this process a signal at the end of the chunk that reaches a meta-step."""

    class Meter(train.ProgressMeter):
        def update(self, done, *arguments):
            super().update(done, *arguments)
            if done >= meta_step:
                os.kill(os.getpid(), number)

    monkeypatch.setattr(train, "ProgressMeter", Meter)


def chunks_of(monkeypatch, length: int) -> None:
    """Fixes the chunks' length."""
    monkeypatch.setattr(pace, "next_length", lambda *_: length)


def files(folder: Path) -> tuple[str, bytes]:
    """What a run leaves behind."""
    return (folder / "metrics.jsonl").read_text(), (folder / "genome.safetensors").read_bytes()


@pytest.mark.parametrize("outer", ["adam", "CMA_ES", "PersistentES", "NoiseReuseES"])
def test_a_resumed_run_is_bit_exact(outer, tmp_path, monkeypatch, capsys):
    config = dataclasses.replace(SMALL, outer=outer, nan_policy="skip")
    setting = linear_setting(poison=0.1)
    chunks_of(monkeypatch, 4)
    straight = run(config, setting, out=tmp_path / "straight")
    with monkeypatch.context() as patch:
        chunks_of(patch, 3)
        interrupt_at(patch, 10)
        with pytest.raises(KeyboardInterrupt):
            run(config, setting, out=tmp_path / "resumed")
    message = capsys.readouterr().err
    assert f"of 20 meta-steps; resume with --resume --out {tmp_path / 'resumed'}" in message
    best = load_genome(tmp_path / "resumed" / "genome.safetensors", known=KNOWN)
    assert best.card["metrics"]["meta_step"] == 8  # the only validation before the interruption
    chunks_of(monkeypatch, 7)
    resumed = run(config, setting, out=tmp_path / "resumed", resume=True)
    assert files(tmp_path / "straight") == files(tmp_path / "resumed")
    np.testing.assert_array_equal(straight.genome["log_rate"], resumed.genome["log_rate"])
    for name, values in straight.history.items():
        np.testing.assert_array_equal(values, resumed.history[name])
    assert len(resumed.history["fitness"]) == 20


@pytest.mark.parametrize("outer", ["adam", "PersistentES"])
def test_a_mixture_resumes_bit_exactly_and_compiles_once_per_setting(outer, tmp_path, monkeypatch):
    mixture = [linear_setting(steps=2, weight=2.0), linear_setting(steps=4)]
    config = dataclasses.replace(SMALL, outer=outer)
    chunk = compiled_chunk(make_outer(config), config.mapping, None)
    chunk.clear_cache()
    straight = run(config, mixture, out=tmp_path / "straight")
    assert chunk._cache_size() == 2
    assert set(straight.history["setting"]) == {0, 1}
    interrupt_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        run(config, mixture, out=tmp_path / "resumed")
    monkeypatch.undo()
    run(config, mixture, out=tmp_path / "resumed", resume=True)
    assert chunk._cache_size() == 2
    assert files(tmp_path / "straight") == files(tmp_path / "resumed")


def test_data_are_arguments_not_constants():
    chunk = compiled_chunk(make_outer(SMALL), SMALL.mapping, None)
    chunk.clear_cache()
    results = []
    for scale in (1.0, 2.0):
        task = LinearTask(jnp.asarray(scale), jnp.asarray(0.0))
        results.append(run(SMALL, Setting(LinearDescent(), task, steps=4, batch_size=8)))
    assert chunk._cache_size() == 1
    assert results[0].fitness != results[1].fitness


FOLDERS = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "toys")]

CHILD = """
import dataclasses, os, signal, sys, threading, time
sys.path[:0] = sys.argv[1].split(os.pathsep)
import test_train

def signal_when_heard():
    default = signal.getsignal(signal.SIGTERM)
    while signal.getsignal(signal.SIGTERM) == default:
        time.sleep(0.01)
    os.kill(os.getpid(), int(sys.argv[3]))

threading.Thread(target=signal_when_heard, daemon=True).start()
try:
    test_train.run(test_train.SMALL, out=sys.argv[2])
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_run(number, tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", CHILD, os.pathsep.join(FOLDERS), str(folder), str(int(number))]
    child = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert child.returncode == 130, child.stderr
    assert "interrupted after 1 of 20 meta-steps; resume with --resume" in child.stderr
    assert "Traceback" not in child.stderr
    assert not (folder / "genome.safetensors").exists()  # nothing was validated yet
    run(SMALL, out=folder, resume=True)
    run(SMALL, out=tmp_path / "straight")
    assert files(folder) == files(tmp_path / "straight")


@pytest.mark.parametrize(("outer", "learning_rate"), [("adam", 0.2), ("CMA_ES", 0.2)])
def test_it_finds_a_better_rate(outer, learning_rate):
    config = dataclasses.replace(
        SMALL, outer=outer, meta_steps=60, learning_rate=learning_rate, validation_every=60, population=8, std=0.5
    )
    setting = linear_setting()
    before = run(dataclasses.replace(config, outer="sgd", learning_rate=1e-9, meta_steps=1), setting)
    after = run(config, setting)
    assert after.fitness < 0.1 * before.fitness
    assert after.genome["log_rate"] > -1.5
    assert after.fitness <= after.history["validation_fitness"].min() * (1 + 1e-6)


def test_a_run_leaves_its_files(tmp_path):
    config = dataclasses.replace(SMALL, fitness="cross_entropy", learning_rate=0.3)
    result = run(config, sign_setting(), out=tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["meta_training"] == dataclasses.asdict(config)
    assert stored["settings"][0]["rule"] == {"type": "LinearDescent", "start": -4.0}
    assert stored["settings"][0]["task"]["name"] == "toy_sign"
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["meta_step"] for line in lines if "fitness" in line] == list(range(1, 21))
    assert [line["meta_step"] for line in lines if "validation_fitness" in line] == [8, 16, 20]
    assert all(0 <= share <= 1 for line in lines if "accuracy" in line for share in line["accuracy"])
    assert (tmp_path / "learning_curve.png").stat().st_size > 1000
    file = load_genome(tmp_path / "genome.safetensors", known=KNOWN)
    np.testing.assert_array_equal(file.genome["log_rate"], result.genome["log_rate"])
    assert file.card["metrics"]["validation_accuracy"] == pytest.approx(result.accuracy)
    assert not list(tmp_path.glob(".*"))


def test_candidates_do_not_depend_on_their_number():
    few, many = (run(dataclasses.replace(SMALL, candidates=n)) for n in (1, 3))
    np.testing.assert_allclose(few.history["fitness"][:, 0], many.history["fitness"][:, 0], rtol=1e-5)
    assert len(set(many.history["fitness"][0])) == 3


def test_seeds_differ_and_repeat():
    first, again, other = (run(dataclasses.replace(SMALL, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.history["fitness"], again.history["fitness"])
    assert np.all(first.history["fitness"] != other.history["fitness"])


def test_init_is_where_all_candidates_start():
    config = dataclasses.replace(SMALL, outer="sgd", learning_rate=1e-9)
    result = run(config, init={"log_rate": 0.25})
    np.testing.assert_allclose(result.genome["log_rate"], 0.25, rtol=1e-6)


def test_an_init_is_kept_if_nothing_better_is_found():
    best = run(dataclasses.replace(SMALL, meta_steps=300, learning_rate=0.1))
    ruined = run(dataclasses.replace(SMALL, learning_rate=10.0), init=best.genome)
    assert (ruined.meta_step, ruined.genome) == (0, best.genome)
    assert ruined.fitness < ruined.history["validation_fitness"][1:].min()


def test_an_unfit_init_is_refused():
    with pytest.raises(ValueError, match=r"genomes differ at \['log_rate'\]: the rule has \(\) and init has \(2,\)"):
        run(SMALL, init={"log_rate": np.zeros(2)})


def test_a_mixture_shares_one_genome():
    other = Setting(Drift(), linear_setting().task, steps=4, batch_size=8)
    with pytest.raises(ValueError, match=r"differ at \['log_rate'\]: setting 0 has \(\) and setting 1 has nothing"):
        run(SMALL, [linear_setting(), other])


def test_no_setting_is_refused():
    with pytest.raises(ValueError, match="no setting was given"):
        meta_train([])


def test_the_policy_raise_stops_the_run():
    with pytest.raises(FloatingPointError, match=r"an episode of candidate \d diverged at meta-step \d+"):
        run(dataclasses.replace(SMALL, nan_policy="raise"), linear_setting(poison=0.3))


def test_penalised_runs_count_what_diverged():
    result = run(dataclasses.replace(SMALL, episodes=4), linear_setting(poison=0.3))
    assert 0.15 < result.history["diverged"].sum() / (20 * 2 * 4) < 0.45
    assert np.isfinite(result.history["fitness"]).all()


def test_a_run_is_not_overwritten(tmp_path):
    run(SMALL, out=tmp_path)
    before = files(tmp_path)
    with pytest.raises(ValueError, match="holds a run already; resume it"):
        run(SMALL, out=tmp_path)
    with pytest.raises(ValueError, match=r"holds a run with meta_training\.meta_steps = 20, not 30"):
        run(dataclasses.replace(SMALL, meta_steps=30), out=tmp_path, resume=True)
    run(SMALL, out=tmp_path, resume=True)  # finished already: nothing changes
    assert files(tmp_path) == before


def test_there_has_to_be_a_run_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run to resume"):
        run(SMALL, out=tmp_path / "nothing", resume=True)
    with pytest.raises(ValueError, match="resume is set, but out is not"):
        run(SMALL, resume=True)


def test_an_unknown_rule_is_refused_before_the_run(tmp_path):
    with pytest.raises(TypeError, match="not in the table of known names"):
        meta_train(linear_setting(), SMALL, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["meta_steps", "candidates", "learning_rate", "validation_every"])
@pytest.mark.usefixtures("no_type_checks")
def test_numbers_are_positive(name):
    with pytest.raises(ValueError, match=f"{name} is 0; expected a positive number"):
        MetaTraining(**{name: 0})


@pytest.mark.parametrize("outer", ["adam", "PersistentES"])
def test_a_run_whose_files_have_the_old_names_resumes_bit_exactly(outer, tmp_path, monkeypatch):
    config = dataclasses.replace(SMALL, outer=outer)
    mixture = [linear_setting(steps=2, weight=2.0), linear_setting(steps=4)]
    run(config, mixture, out=tmp_path / "straight")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            run(config, mixture, out=tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    text = path.read_text()
    path.write_text(text.replace('"steps": ', '"unroll": '))
    assert path.read_text() != text
    with pytest.raises(ValueError, match=r"holds a run with settings\[0\]\.steps = 2, not 6"):
        run(config, [linear_setting(steps=6), mixture[1]], out=tmp_path / "old", resume=True)
    run(config, mixture, out=tmp_path / "old", resume=True)
    assert files(tmp_path / "straight") == files(tmp_path / "old")


def test_the_leaves_of_a_checkpoint_keep_their_order():
    setting, outer = linear_setting(), make_outer(dataclasses.replace(SMALL, outer="PersistentES"))
    state = initial_run_state([setting], outer, run_keys(0, 2), None)
    best = (state.best.genome, state.best.fitness, state.best.accuracy, state.best.candidate, state.best.meta_step)
    in_order = jax.tree.leaves((state.states, state.inner_states, best, state.meta_step))
    for stored, expected in zip(jax.tree.leaves(state), in_order, strict=True):
        assert stored is expected


def test_a_random_key_in_the_state_survives_a_checkpoint(tmp_path):
    from blur.meta.run.checkpoint import Checkpoints

    tree = {"key": jax.random.split(jax.random.key(5), 3), "counts": jnp.arange(4), "value": jnp.asarray(0.1)}
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, jax.tree.map(lambda leaf: leaf, tree))
    restored = checkpoints.restore(3, tree)
    np.testing.assert_array_equal(jax.random.key_data(restored["key"]), jax.random.key_data(tree["key"]))
    np.testing.assert_array_equal(restored["counts"], tree["counts"])
    assert restored["value"].dtype == jnp.float32
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.isdigit()) == ["2", "3"]
    with pytest.raises(ValueError, match="the checkpoint of meta-step 3 does not fit this run"):
        checkpoints.restore(3, tree | {"counts": jnp.arange(5)})
    checkpoints.close()


def test_another_init_is_another_run(tmp_path):
    run(SMALL, out=tmp_path, init={"log_rate": -3.0})
    with pytest.raises(ValueError, match=r"holds a run with init = '[0-9a-f]{12}', not '[0-9a-f]{12}'"):
        run(SMALL, out=tmp_path, init={"log_rate": -3.5}, resume=True)
    with pytest.raises(ValueError, match=r"holds a run with init = '[0-9a-f]{12}', not None"):
        run(SMALL, out=tmp_path, resume=True)
    card = load_genome(tmp_path / "genome.safetensors", known=KNOWN).card
    assert card["meta_training"]["init"] == json.loads((tmp_path / "config.json").read_text())["init"]
    assert "command" not in card


def test_the_card_names_the_command(tmp_path):
    run(SMALL, out=tmp_path, command="blur meta-train toy")
    assert load_genome(tmp_path / "genome.safetensors", known=KNOWN).card["command"] == "blur meta-train toy"


@pytest.mark.parametrize("left", ["checkpoints", "metrics.jsonl"])
def test_leftovers_of_a_run_are_refused(left, tmp_path):
    run(SMALL, out=tmp_path)
    for path in ("config.json", "checkpoints", "metrics.jsonl"):
        if path != left:
            (tmp_path / path).rename(tmp_path / f"old_{path}")
    with pytest.raises(ValueError, match=f"holds {left} of another run; remove it or choose another folder"):
        run(dataclasses.replace(SMALL, seed=1), out=tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_arrays_of_a_task_are_written_down_if_they_are_small(tmp_path):
    run(SMALL, linear_setting(poison=0.25), out=tmp_path)
    task = json.loads((tmp_path / "config.json").read_text())["settings"][0]["task"]
    assert (task["scale"], task["poison"]) == (1.0, 0.25)
    with pytest.raises(ValueError, match=r"holds a run with settings\[0\]\.task\.poison = 0\.25, not 0\.0"):
        run(SMALL, linear_setting(), out=tmp_path, resume=True)
    fields = [_is_small(value) for value in (None, (1, "a"), np.zeros(16), np.zeros(17), jax.random.key(0))]
    assert fields == [True, True, True, False, False]


def test_evolution_is_smaller_by_default(tmp_path, monkeypatch):
    assert run_size(MetaTraining()) == (2000, 4)
    assert run_size(MetaTraining(outer="CMA_ES")) == (500, 1)
    assert run_size(MetaTraining(outer="CMA_ES", meta_steps=2000, candidates=4)) == (2000, 4)
    config = dataclasses.replace(SMALL, outer="CMA_ES", candidates=None)
    result = run(config, out=tmp_path)
    assert result.history["fitness"].shape == (20, 1)
    assert json.loads((tmp_path / "config.json").read_text())["meta_training"]["candidates"] == 1


@pytest.mark.parametrize(("fitness", "label"), [("accuracy", "1 − accuracy"), ("l2", "l2"), (None, "fitness")])
def test_the_curve_s_axis_says_what_is_minimised(fitness, label, tmp_path, monkeypatch):
    labels = []
    monkeypatch.setattr(run_files, "plot_learning_curve", lambda path, arrays, name: labels.append(name))
    config = dataclasses.replace(SMALL, outer="CMA_ES", fitness=fitness, meta_steps=2, validation_every=2)
    run(config, sign_setting(), out=tmp_path)
    assert labels == [label]


def test_nothing_is_printed_where_there_is_no_terminal(capsys):
    meta_train(linear_setting(), SMALL, known=KNOWN)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nan_policy": "raize"}, "nan_policy is 'raize'; did you mean 'raise'"),
        ({"mapping": "pmap"}, "mapping is 'pmap'; did you mean 'map'"),
        ({"std": 0.0}, r"std is 0\.0; expected a positive number"),
    ],
)
def test_unknown_options_are_refused(options, message, no_type_checks):
    with pytest.raises(ValueError, match=message):
        MetaTraining(**options)
