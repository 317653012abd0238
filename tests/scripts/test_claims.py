"""Claims as scripts: verdicts, records and the runner; the exact claims hold at the smallest size."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "claims"
sys.path.insert(0, str(FOLDER))

import a01_constructed_layers  # noqa: E402
import a02_engine  # noqa: E402
import a03_one_layer  # noqa: E402
import a04_several_layers  # noqa: E402
import a05_conditioning  # noqa: E402
import a06_out_of_distribution  # noqa: E402
import a07_sine  # noqa: E402
import a08_copying  # noqa: E402
import a09_softmax  # noqa: E402
import a10_global_minimum  # noqa: E402
import claim as claims  # noqa: E402
import in_context  # noqa: E402
import ship_genomes  # noqa: E402
from claim import Claim, Finding, above, at_least, at_most, examine, reported, timed  # noqa: E402
from records import put_record, read_records, table, to_json  # noqa: E402
from run import find_scripts, load  # noqa: E402

from blur.files.genomes import load_genome  # noqa: E402
from blur.identify.probes import draw_tasks  # noqa: E402
from blur.rules.in_context.constructed import gd_plus_plus, gradient_descent  # noqa: E402
from blur.rules.in_context.inspection import spectra_by_layer  # noqa: E402


def run(*arguments):
    return subprocess.run(
        [sys.executable, FOLDER / "run.py", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def toy(measured: float) -> Claim:
    return Claim("T1", "a toy", "nowhere", lambda limit: Finding([at_most("x", measured, limit)], Figure()), 1.0, 2.0)


@pytest.mark.parametrize(("value", "small", "large"), [(1.0, True, True), (2.0, False, True), (math.nan, False, False)])
def test_verdicts(value, small, large):
    assert at_most("x", value, 1.0).ok is small
    assert at_least("x", value, 1.0).ok is large
    assert above("x", value, 1.0).ok is (large and not small)
    assert reported("x", value).ok is None


@pytest.mark.parametrize(("measured", "full", "ok"), [(0.5, False, True), (1.5, False, False), (1.5, True, True)])
def test_a_record_says_what_was_measured(tmp_path, measured, full, ok):
    record = examine(toy(measured), full=full, out=tmp_path)
    assert record["ok"] is ok
    assert record["measured"] == {"x": measured}
    assert record["expected"] == {"x": "≤ 2" if full else "≤ 1"}
    assert record["preset"] == ("full" if full else "quick")
    assert record["verdicts"] == {"x": ok}
    assert read_records(tmp_path) == [record]
    assert (tmp_path / "T1.png").stat().st_size > 0


def test_figures_that_are_not_finite_are_text_in_records():
    assert json.loads(to_json([{"x": math.nan, "y": 1.0}])) == [{"x": "nan", "y": 1.0}]


@pytest.mark.parametrize(("cores", "limit", "ok"), [(2, 1.0, False), (2, 3.0, True), (2, None, None), (1, 1.0, None)])
def test_times_are_judged_on_two_cores(monkeypatch, cores, limit, ok):
    monkeypatch.setattr(claims, "usable_cores", lambda: cores)
    assert timed("seconds", 2.0, limit).ok is ok


def record(name: str, *, ok: bool = True, preset: str = "quick", statement: str = "It holds") -> dict:
    return {
        "id": name,
        "statement": statement,
        "source": "a paper",
        "expected": {"|x|": "≤ 1", "y": "reported"},
        "measured": {"|x|": 0.123456 if ok else "nan", "y": 2.0},
        "verdicts": {"|x|": ok, "y": None},
        "ok": ok,
        "seconds": 12.3,
        "preset": preset,
    }


def test_records_are_replaced_one_by_one_and_kept_in_order(tmp_path):
    for one in (record("A10"), record("B3"), record("A2"), record("A2", preset="full"), record("A2", ok=False)):
        put_record(tmp_path, one)
    found = [(one["id"], one["preset"], one["ok"]) for one in read_records(tmp_path)]
    assert found == [("A2", "full", True), ("A2", "quick", False), ("A10", "quick", True), ("B3", "quick", True)]


@pytest.mark.parametrize("content", ["[", "{}", '[{"id": "A1"}]', "[1]", json.dumps([record("toy")]), "\udcff"])
def test_a_broken_file_of_records_is_one_line(tmp_path, content):
    (tmp_path / "claims.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=r"claims\.json holds no list of claims' records; expected .* move it away$"):
        read_records(tmp_path)


def test_the_runner_finds_a_broken_file_before_the_work(tmp_path):
    (tmp_path / "claims.json").write_text("[", encoding="utf-8")
    refused = run("A1", "--out", tmp_path)
    assert refused.returncode == 2
    assert "error: argument --out:" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_table_has_checks_with_a_verdict_and_failures_in_bold():
    assert table([record("A1", statement="|a*| = b*"), record("A2", ok=False)]).splitlines()[2:] == [
        r"| **A1** \|a\*\| = b\* | \|x\|: 0.1235 (≤ 1) | holds, 12 s, quick |",
        r"| **A2** It holds | **\|x\|: nan (≤ 1)** | **fails**, 12 s, quick |",
    ]


@pytest.fixture
def update_readme(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("update_readme", FOLDER.parent / "update_readme.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    (tmp_path / "scripts").mkdir()
    return script


def test_the_readme_takes_a_table_per_letter_and_the_pictures_it_shows(update_readme, tmp_path):
    marked = "a\n<!-- claims A -->\nstale\n<!-- /claims A -->\n![](scripts/figures/A2.png)\n"
    marked += "<!-- claims B -->\n<!-- /claims B -->\nz\n"
    (tmp_path / "README.md").write_text(marked, encoding="utf-8")
    for name in ("A1", "A2", "B3"):
        put_record(tmp_path / "results", record(name))
        (tmp_path / "results" / f"{name}.png").write_bytes(name.encode())
    update_readme.main("claims", tmp_path / "results")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    first, second = text.split("<!-- claims B -->")
    assert "| **A1**" in first
    assert "| **A2**" in first
    assert "stale" not in text
    assert "B3" not in first
    assert "| **B3**" in second
    assert second.endswith("<!-- /claims B -->\nz\n")
    assert [path.name for path in (tmp_path / "scripts" / "figures").iterdir()] == ["A2.png"]


def test_the_readme_wants_records_and_markers(update_readme, tmp_path):
    (tmp_path / "README.md").write_text("nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"claims\.json has no records"):
        update_readme.main("claims", tmp_path)
    put_record(tmp_path, record("A1"))
    with pytest.raises(ValueError, match="has no markers <!-- claims A -->"):
        update_readme.main("claims", tmp_path)


def test_one_depth_of_a_claim_can_be_examined_alone():
    claim = a04_several_layers.of_depth(a04_several_layers.CLAIM, 2)
    assert [list(preset.recipes) for preset in (claim.quick, claim.full)] == [[2], [2]]
    assert claim.quick.seconds[2] == 300


@pytest.mark.parametrize(("learner", "ok"), [("trained", True), ("GD", False), ("random", False)])
def test_layers_that_do_not_condition_fail(learner, ok):
    rule, genome = in_context.attention(2, retrain=False)
    others = {"GD": gradient_descent(rule, 5.9), "random": rule.init_genome(jax.random.key(0))}
    tasks = draw_tasks(in_context.TASK, in_context.TEST_KEY, 500, context=in_context.CONTEXT, layers=2)
    checks = a05_conditioning.conditioning(2, np.asarray(spectra_by_layer(rule, others.get(learner, genome), tasks)))
    assert [check.ok for check in checks if check.ok is not None] == [ok, ok]


def test_a_model_that_fails_elsewhere_than_gradient_descent_is_found():
    inputs, weights, laws, noise = a06_out_of_distribution.shifts(4)  # input scales 0.5, 1, 1.5, 2; judged up to 1

    def verdicts(shift, layers, *ratios):
        descent = np.geomspace(0.1, 5.0, len(ratios))
        means = {"trained": descent * ratios, "GD": descent}
        return [check.ok for check in a06_out_of_distribution.judge(shift, layers, "GD", means)]

    for layers in (1, 2, 5):
        assert verdicts(inputs, layers, 1.1, 1.1, 1.1, 1.1) == [True, None]
        assert verdicts(inputs, layers, 1, 1.2, 1, 1) == [False, None]
        assert verdicts(inputs, layers, 1, 1, 9, 9) == [True, None]
        assert verdicts(laws, layers, 1.2, 1, 1, 1) == [False, None]
        assert verdicts(noise, layers, 1, 1, 1, 1, 1.2) == [False]
        assert verdicts(weights, layers, 1, 1, 1, 9) == [False if layers == 1 else None]


def test_a_deep_model_s_worst_weight_scale_is_reported():
    shift = a06_out_of_distribution.shifts(4)[1]
    means = {"trained": np.array([1.0, 1.0, 1.0, 1000.0]), "GD++": np.ones(4)}
    (check,) = a06_out_of_distribution.judge(shift, 5, "GD++", means)
    assert (check.name, check.measured) == ("L=5, weight scale: largest |log₁₀ loss ratio| to GD++", "3 at 5")


def test_the_minimum_has_its_three_closed_forms():
    d, n, spread = a10_global_minimum.D, a10_global_minimum.N, a10_global_minimum.NOISE**2
    one, tilted = np.eye(d), a10_global_minimum.covariance()
    inverse, minimum = np.linalg.inv(tilted), a10_global_minimum.minimum
    assert np.linalg.cond(tilted) == pytest.approx(8)
    assert np.allclose(minimum(one, one), n / (n + 1 + d + spread) * one)
    assert np.allclose(minimum(tilted, inverse), n / (n + 1 + d + spread) * inverse)
    shrunk_one = np.linalg.inv((1 + 1 / n) * tilted + (np.trace(tilted) + spread) / n * one)
    assert np.allclose(minimum(tilted, one), shrunk_one)


def test_the_best_multiple_of_the_identity_is_the_minimum_of_isotropic_tasks():
    task, expected = a10_global_minimum.cases(10)["isotropic"]
    assert np.allclose(a10_global_minimum.multiple_of_identity(task, 50_000), expected, atol=0.02)


@pytest.fixture
def untrained(monkeypatch):
    """Learners are as random as they start; times are not judged, and baselines are tuned on few tasks."""

    def start(rule, training, **_):
        return in_context.Trained(rule, rule.init_genome(jax.random.key(0)), np.ones(100), 0.0)

    for script in (a03_one_layer, a04_several_layers, a07_sine, a09_softmax, a10_global_minimum):
        monkeypatch.setattr(script, "train", start)
    monkeypatch.setattr(a03_one_layer, "published_losses", lambda training: np.linspace(0.4, 0.2, 100))
    monkeypatch.setattr(a03_one_layer, "cpu_milliseconds", lambda training: 1.0)
    monkeypatch.setattr(a03_one_layer, "ITERATIONS", 9)
    monkeypatch.setattr(claims, "usable_cores", lambda: 1)
    monkeypatch.setattr(in_context, "SEARCH_TASKS", 300)
    monkeypatch.setattr(in_context, "PLUS_PLUS_GRID", 4)


UNTRAINED = {
    "A3": (a03_one_layer.CLAIM, [False] * 9),
    "A4": (a04_several_layers.of_depth(a04_several_layers.CLAIM, 2), [False] * 2),
    "A7": (a07_sine.CLAIM, [False] * 2),
    "A9": (a09_softmax.CLAIM, [False] * 2),
    "A10": (a10_global_minimum.CLAIM, [False] * 8),
}
"""Every verdict on learners that were not trained."""


@pytest.mark.parametrize("name", UNTRAINED)
def test_untrained_learners_fail(name, untrained):
    claim, verdicts = UNTRAINED[name]
    checks = claim.measure(dataclasses.replace(claim.quick, tasks=300)).checks
    assert [check.ok for check in checks if check.ok is not None] == verdicts


def test_an_untrained_layer_is_not_gradient_descent_on_any_family():
    learners = {
        "trained": (in_context.ATTENTION, in_context.ATTENTION.init_genome(jax.random.key(0))),
        "GD": (in_context.ATTENTION, gradient_descent(in_context.ATTENTION, in_context.ONE_STEP_SIZE)),
    }
    for shift in a06_out_of_distribution.shifts(2):
        shift = dataclasses.replace(shift, values=(1.0 if shift.reach == 1 else shift.values[0],))
        means = a06_out_of_distribution.measure_shift(shift, learners, 1, 1000)
        assert not a06_out_of_distribution.judge(shift, 1, "GD", means)[0].ok


def test_copying_tells_an_x_from_a_y():
    sizes = np.ones((6, 6)) + 7 * np.eye(6, k=1)  # every token takes the next
    assert a08_copying.over_others(sizes, 1) == 8
    assert a08_copying.over_others(sizes, 1, stride=1) == 8
    assert a08_copying.over_others(sizes, -1, first=1) == pytest.approx(1 / ((8 + 3 + 8 + 3 + 4) / 12))
    verdicts = {check.name: check.ok for check in a08_copying.copying(sizes, sizes) if check.ok is not None}
    assert list(verdicts.values()) == [True, False, True]


def test_the_nearest_step_of_gradient_descent():
    steps = np.array([1.0, 2.0, -1.0])
    assert a09_softmax.approximation_errors(-3 * steps, steps) == pytest.approx(np.zeros(3), abs=1e-30)
    other = np.array([1.0, 0.0, 1.0])  # at right angles
    assert a09_softmax.approximation_errors(other, steps) == pytest.approx(other**2 / (2 / 3))


def test_steps_until_a_loss():
    late = np.repeat([0.4, 0.1], 60)
    assert in_context.steps_until(late, 0.3) == 69  # 25 at once: 16 of 0.4, 9 of 0.1
    assert in_context.steps_until(late[:60], 0.3) == math.inf


def test_the_published_rate_is_constant():
    training = dataclasses.replace(in_context.PUBLISHED_RECIPE, steps=40, tasks=8)
    long = dataclasses.replace(training, steps=80)
    assert np.array_equal(in_context.published_losses(training), in_context.published_losses(long)[:40])
    weight, optimiser = jnp.zeros(1), in_context.PublishedAdam(learning_rate=1e-3, meta_steps=4, clip=1e-3).build()
    state = optimiser.init(weight)
    for _ in range(8):
        change, state = optimiser.update(jnp.ones(1), state, weight)
    assert change == pytest.approx(-1e-3, rel=1e-4)


def test_a_training_goes_on_from_its_start(monkeypatch):
    calls = []

    def meta_train(setting, config, *, init, out):
        calls.append((setting.steps, config.meta_steps, init, out))
        history = {"fitness": np.full((config.meta_steps, 1), 2.0 * setting.steps)}
        return SimpleNamespace(genome=f"of {setting.steps} layers", history=history)

    monkeypatch.setattr(in_context.blur, "meta_train", meta_train)
    training = in_context.Training(3, layers=5, start=in_context.Training(2, layers=2))
    found = in_context.train(in_context.ATTENTION, training, out=Path("run"))
    assert calls == [(2, 2, None, None), (5, 3, "of 2 layers", Path("run"))]
    assert found.genome == "of 5 layers"
    assert found.losses.tolist() == [2, 2, 5, 5, 5]


def test_the_interval_of_a_mean_over_many_tasks():
    values = np.random.default_rng(0).normal(2.0, 1.0, 40_000)
    low, high = in_context.interval_of_mean(values)
    assert low < 2.0 < high
    assert float(high - low) == pytest.approx(2 * 1.96 / 200, rel=0.1)


def test_every_script_is_found_under_its_own_id():
    scripts = find_scripts()
    assert {f"A{number}" for number in range(1, 11)} <= set(scripts)
    for name, module in scripts.items():
        claim = load(module)
        assert claim.id == name
        assert type(claim.quick) is type(claim.full)


def test_the_runner_lists_and_refuses():
    listed = run("--list")
    assert listed.returncode == 0
    assert listed.stdout.startswith("A1: One constructed layer")
    unknown = run("A99")
    assert unknown.returncode == 2
    assert "there is no claim A99; there are A1, A2" in unknown.stderr


def test_constructed_layers_hold_at_the_smallest_size():
    preset = dataclasses.replace(a01_constructed_layers.CLAIM.quick, sizes=((2, 3, 4, 3),), seeds=2)
    assert a01_constructed_layers.measure(preset).ok


def test_the_engine_s_identity_holds_at_the_smallest_size():
    assert a02_engine.measure(dataclasses.replace(a02_engine.CLAIM.quick, steps=3, seeds=2)).ok


SMALL = {
    "tasks": 40,
    "sensitivity_tasks": 3,
    "points": 2,
    "seeds": 2,
    "steps": 3,
    "population": 4,
    "rate": 1e-2,
    "clip": 1.0,
    "sizes": ((2, 1, 3, 2),),
}


def shrunk(value):
    """A preset with every size at its smallest."""
    if isinstance(value, dict):
        return {name: shrunk(item) for name, item in value.items()}
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dataclasses.replace(value, **{name: SMALL.get(name, shrunk(item)) for name, item in fields.items()})


def two_values(shift):
    """The ends of a family of tasks."""
    return dataclasses.replace(shift, values=(shift.values[0], shift.values[-1]))


@pytest.fixture
def small_scripts(monkeypatch):
    """What presets do not say is small too, and what is trained in several claims is compiled once."""
    monkeypatch.setattr(in_context, "FULL_RECIPES", shrunk(in_context.FULL_RECIPES))
    monkeypatch.setattr(in_context, "VALIDATION_TASKS", 4)
    monkeypatch.setattr(in_context, "SEARCH_TASKS", 20)
    monkeypatch.setattr(in_context, "PLUS_PLUS_GRID", 4)
    monkeypatch.setattr(a03_one_layer, "cpu_milliseconds", lambda training: 1.0)
    monkeypatch.setattr(a03_one_layer, "PUBLISHED_SEEDS", (0,))
    monkeypatch.setattr(a03_one_layer, "ITERATIONS", 9)
    shifts = a06_out_of_distribution.shifts
    monkeypatch.setattr(a06_out_of_distribution, "shifts", lambda points: [two_values(one) for one in shifts(points)])


@pytest.mark.parametrize("name", [f"A{number}" for number in range(3, 11)])
def test_the_full_preset_runs_at_the_smallest_size(name, small_scripts):
    claim = load(find_scripts()[name])
    if name == "A4":
        claim = a04_several_layers.of_depth(claim, 5)
    finding = claim.measure(shrunk(claim.full))
    names = [check.name for check in finding.checks]
    assert len(set(names)) == len(names)
    assert any(check.ok is not None for check in finding.checks)
    assert finding.figure.axes


@pytest.mark.parametrize("tuned", [in_context.tuned_descent, in_context.tuned_plus_plus])
def test_baselines_are_tuned_on_validation_tasks(tuned, monkeypatch):
    seen = []

    def draw(task, key, count, **options):
        seen.append((jax.random.key_data(key).tolist(), options["split"]))
        return draw_tasks(task, key, count, **options)

    monkeypatch.setattr(in_context, "draw_tasks", draw)
    monkeypatch.setattr(in_context, "SEARCH_TASKS", 20)
    monkeypatch.setattr(in_context, "PLUS_PLUS_GRID", 4)
    tuned(2)
    assert [split for _, split in seen] == ["validation"]
    assert seen[0][0] != jax.random.key_data(in_context.TEST_KEY).tolist()


def test_gd_plus_plus_is_searched_over_both_numbers(monkeypatch):
    monkeypatch.setattr(in_context, "SEARCH_TASKS", 500)
    _, found = in_context.tuned_plus_plus(2)
    assert float(found["step_size"]) == pytest.approx(13.5, rel=0.1)
    assert float(found["shrinkage"]) == pytest.approx(1.78, rel=0.1)
    weights = gd_plus_plus(in_context.ATTENTION, found["step_size"], found["shrinkage"])
    assert in_context.steps_in_weights(weights) == pytest.approx((float(found["step_size"]), float(found["shrinkage"])))


@pytest.mark.parametrize("name", ship_genomes.GENOMES)
def test_cards_say_the_scale_and_the_number_of_pairs(name):
    file, shipped = load_genome(name), ship_genomes.GENOMES[name]
    assert file.card["description"] == shipped.description
    assert file.rule == shipped.rule
    assert "contexts of 10 pairs" in shipped.description
    assert ("(−√3, √3)" if name == "sine_transformer" else "(−½, ½)") in shipped.description
