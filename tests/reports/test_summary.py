"""One table over all conditions."""

from __future__ import annotations

import dataclasses

from report_toys import RECORDS, make_record

from blur.reports.summary import HEADING, explanation, summary_markdown, summary_rows


def test_a_row_per_learner_and_condition():
    deep = [dataclasses.replace(record, hidden=(64,) * 10, resolution=10, steps=5) for record in RECORDS]
    assert summary_rows([*RECORDS, *deep]) == [
        (test, t, "blur", "0.9000", "adam+bn 0.8800", "+0.0200 [+0.010, +0.030]", "▲ better")
        for test, t in (("digits, hidden 64-64", "3"), ("digits 10×10, hidden 10×64", "5"))
    ]


def test_batch_sizes_are_told_where_they_differ():
    other = [dataclasses.replace(record, batch=16) for record in RECORDS]
    assert [row[0] for row in summary_rows([*RECORDS, *other])] == [
        "digits, hidden 64-64, batch 128",
        "digits, hidden 64-64, batch 16",
    ]


def test_losses_and_divergence():
    losses = [
        make_record("blur", 0.25, kind="learner", metric="loss", difference=(0.1, 0.2)),
        dataclasses.replace(
            make_record("wild", 1.0, kind="learner", metric="loss", difference=(0.1, 0.2)),
            loss_mean=None,
            paired_difference_mean=None,
        ),
        make_record("adam+bn", 0.1, metric="loss"),
    ]
    rows = summary_rows(losses)
    assert rows[0][3:] == ("0.25", "adam+bn 0.1", "+0.15 [+0.1, +0.2]", "▼ worse")
    assert rows[1][3] == rows[1][5] == "diverged"
    assert "accuracy" in explanation(RECORDS)
    assert "accuracy" not in explanation(losses)


def test_markdown_is_one_table_whatever_the_names_are():
    records = [dataclasses.replace(RECORDS[0], learner="a|b\n\\c"), *RECORDS[1:]]
    lines = summary_markdown(records).splitlines()
    assert lines[0] == f"| {' | '.join(HEADING)} |"
    assert lines[2].startswith(r"| digits, hidden 64-64 | 3 | a\|b\\n\\c | 0.9000 |")
    assert lines[3] == ""
    assert len(lines) == 5
