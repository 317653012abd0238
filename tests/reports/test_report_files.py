"""Files and tables of an evaluation."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from report_toys import RECORDS, TUNING, make_record
from rich.console import Console

from blur.evaluation.plan import EvaluationPlan, Learner
from blur.evaluation.records import EvaluationRecord, ranked, verdict
from blur.reports.figures import colours
from blur.reports.files import condition_slug, print_results, write_results
from blur.rules.optax_mlp import OptaxMLP


def printed(records, width=80):
    console = Console(file=io.StringIO(), width=width)
    print_results(records, console)
    return console.file.getvalue()


TABLES = ["plan.json", "results.json", "results.csv", "summary.md"]


def test_results_are_complete_and_read_back(tmp_path):
    other = [dataclasses.replace(record, task="a/b c.npz", resolution=28) for record in RECORDS]
    learner = Learner("blur", OptaxMLP(), {"learning_rate": np.asarray(0.25)})
    files = write_results([*RECORDS, *other], EvaluationPlan(), tmp_path / "new", [learner])
    names = [path.name for path in files]
    pictures = ["curves_digits_h64-64_t3_b128.png", "curves_b-c_28px_h64-64_t3_b128.png", "comparison.png"]
    assert names == [*TABLES, "report.html", *pictures]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(names)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files[5:])
    assert "learning_rate" in files[4].read_text()
    results = json.loads(files[1].read_text())
    assert results[0]["learner"] == "blur"
    assert results[0]["paired_difference_ci95"] == [0.01, 0.03]
    assert results[1]["tuning"]["best"]["learning_rate"] == 0.3162
    assert set(results[0]) == {field.name for field in dataclasses.fields(EvaluationRecord)}
    assert json.loads(files[0].read_text())[0]["episodes"] == 100


def test_dollars_in_names_are_no_mathematics(tmp_path):
    strange = make_record(r"a$\frac$b", 0.9, kind="learner", task=r"$\nope$.npz")
    other = [dataclasses.replace(record, task="other") for record in (strange, RECORDS[2])]
    records = [strange, dataclasses.replace(RECORDS[2], task=strange.task)]
    for count, group in enumerate((records, [*records, *other])):
        assert write_results(group, EvaluationPlan(), tmp_path / str(count))


def test_csv_has_a_row_per_record_and_plain_cells(tmp_path):
    path = write_results(RECORDS, EvaluationPlan(), tmp_path)[2]
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["learner"] for row in rows] == ["blur", "sgd", "adam+bn"]
    assert (rows[0]["accuracy_ci95_low"], rows[0]["hidden"], rows[0]["resolution"]) == ("0.89", "64-64", "")
    assert json.loads(rows[1]["tuned"]) == TUNING["best"]
    assert rows[0]["tuned"] == ""


def test_no_records_are_one_clear_line(tmp_path):
    with pytest.raises(ValueError, match="there are no records to write"):
        write_results([], EvaluationPlan(), tmp_path)


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_says_who_wins(width):
    lines = printed(RECORDS, width).splitlines()
    row = {name: next(line for line in lines if f"│ {name} " in line) for name in ("blur", "sgd", "adam+bn")}
    assert [cell.strip() for cell in row["blur"].split("│")[1:-1]] == [
        "blur",
        "0.9000 [0.890, 0.910]",
        "+0.0200 [+0.010, +0.030]",
        "▲",
    ]
    assert "▼" in row["sgd"]
    assert "best baseline" in row["adam+bn"]
    assert lines.index(row["blur"]) < lines.index(row["adam+bn"]) < lines.index(row["sgd"])
    assert "blur against each baseline: ▲ adam+bn" in lines


def test_the_narrowest_table_holds_the_longest_baseline():
    name = "momentum+bn wide"
    record = make_record(name, 0.7, tuning={"best": {**TUNING["best"], "momentum": 0.95}, "at_edge": []})
    lines = printed([*RECORDS, record]).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(f"│ {name} │" in line for line in lines) == 2
    assert not any("…" in line for line in lines if "│" in line)


def test_details_say_cost_and_tuning():
    line = next(line for line in printed(RECORDS, 200).splitlines() if "│ sgd " in line and "rate" in line)
    assert [cell.strip() for cell in line.split("│")[1:-1]] == [
        "sgd",
        "12,345",
        "200",
        "rate 0.316 decayed, output scale 0.1",
    ]


def test_a_table_of_losses_ranks_the_least_first_and_the_diverged_last():
    records = [
        make_record("slow", 0.5, metric="loss", difference=(0.1, 0.2)),
        make_record("fast", 0.2, metric="loss", difference=(-0.2, -0.1)),
    ]
    wild = dataclasses.replace(
        records[0],
        learner="wild",
        loss_mean=None,
        loss_ci95=(None, None),
        paired_difference_mean=None,
        paired_difference_ci95=(None, None),
    )
    assert [record.learner for record in ranked([wild, *records])] == ["fast", "slow", "wild"]
    assert [record.verdict for record in records] == ["worse", "better"]
    assert "diverged" in printed([wild, *records])


def test_verdicts_need_an_interval_without_zero():
    assert verdict((0.01, 0.02), "accuracy") == verdict((-0.02, -0.01), "loss") == "better"
    assert verdict((-0.02, -0.01), "accuracy") == verdict((0.01, 0.02), "loss") == "worse"
    assert verdict((-0.01, 0.02), "loss") == verdict((0.0, 0.0), "loss") == verdict((None, None), "loss") == "equal"


def test_without_an_interval_who_diverged_more_often_is_worse():
    assert verdict((None, None), "loss", (3, 0)) == "worse"
    assert verdict((None, None), "loss", (0, 1)) == "better"
    assert verdict((None, None), "loss", (2, 2)) == "equal"
    assert verdict((0.01, 0.02), "accuracy", (3, 0)) == "better"


def test_names_of_files_are_plain():
    assert condition_slug(dataclasses.replace(RECORDS[0], task="/x/y é&.npz")) == "y-é-_h64-64_t3_b128"


def test_colours_go_with_optimisers_and_learners_have_their_own():
    chosen = colours([*RECORDS, make_record("sgd+bn wide", 0.5), make_record("lion", 0.5)])
    assert chosen[1] == chosen[3]
    assert len({chosen[0], chosen[1], chosen[2], chosen[4]}) == 4
