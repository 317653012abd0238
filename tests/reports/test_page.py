"""The report as a page: what it says, that names cannot do harm, and that it stands alone."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import jax
import numpy as np
import pytest
from browser import look_at
from report_toys import RECORDS, make_record

from blur.evaluation.plan import EvaluationPlan, Learner
from blur.reports.page import html_report
from blur.rules.bidirectional import Bidirectional
from blur.rules.optax_mlp import OptaxMLP

VOID = {"img", "meta"}
HOSTILE = "<script>alert(1)</script>&\"'</td>"
RULE = Bidirectional(hidden=(8,), states=3)
LEARNERS = [
    Learner("blur", RULE, RULE.init_genome(jax.random.key(0))),
    Learner("layers", RULE, {"large": np.arange(400.0).reshape(20, 20), "stack": np.full((2, 3, 3), 0.0123)}),
]
OTHER = [dataclasses.replace(record, task="other", hidden=(64,) * 10, steps=2) for record in RECORDS]


class Page(HTMLParser):
    """Checks that tags are balanced and collects what is in them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, *names):
        return [value for name, value in self.attributes if name in names]


@pytest.fixture(scope="module")
def page():
    return Page(html_report([*RECORDS, *OTHER], [EvaluationPlan()], LEARNERS))


def test_the_page_says_what_was_found(page):
    text = " ".join(page.text)
    assert [tag for tag in page.tags if tag in ("h1", "h2")] == ["h1", *["h2"] * 5]
    for heading in ("Summary", "Heat maps", "Conditions", "Genomes", "Settings"):
        assert heading in page.text
    for words in (
        "other, hidden 10×64, 2 steps of 128",
        "+0.0200 [+0.010, +0.030]",
        "▲ better",
        "rate 0.316 decayed, output scale 0.1",
        "12,345",
        "tuned for every condition on validation",
        "tuning episodes",
        "Bidirectional, ",
    ):
        assert words in text
    assert page.text.count("+0.0200 ▲") == 2  # the heat map of differences
    assert page.text.count("best") == 2


def test_one_condition_needs_no_heat_map():
    page = Page(html_report(RECORDS, [EvaluationPlan()]))
    assert "Heat maps" not in page.text
    assert "Genomes" not in page.text
    assert page.tags.count("img") == 1


def test_the_page_stands_alone(page):
    assert all(value.startswith(("data:", "#")) for value in page.values("src", "href"))
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert not re.search(r"url\(|@import", html_report(RECORDS, [EvaluationPlan()]))
    assert "width=device-width" in " ".join(page.values("content"))


def test_links_lead_to_conditions(page):
    links = [value[1:] for value in page.values("href")]
    assert links == page.values("id") == ["condition-1", "condition-2"]


def test_matrices_are_pictures_and_large_arrays_are_described(page):
    labels = [text for text in page.text if "/" in text]
    assert {"forward/transform", "hebbian/pre", "hebbian/post", "backward/transform"} <= set(labels)
    assert {"ν", "μ", "ν̃", "μ̃", "η̃", "f̃"} <= set(page.text)
    transform = LEARNERS[0].genome["forward"]["transform"]
    assert all(f"{float(value):.2g}" in page.text for value in transform.ravel())
    assert page.text.count("0.012") == 18
    assert "20×20: mean 200, deviation 115, 0 to 399" in page.text
    assert "399" not in page.text


def test_the_same_results_make_the_same_page():
    assert html_report(RECORDS, [EvaluationPlan()], LEARNERS) == html_report(RECORDS, [EvaluationPlan()], LEARNERS)


def hostile_page():
    records = [dataclasses.replace(record, task=HOSTILE) for record in RECORDS]
    records[0] = dataclasses.replace(records[0], learner=HOSTILE)
    learner = Learner(HOSTILE, OptaxMLP(), {HOSTILE: np.ones((2, 2)), "x": {HOSTILE: np.ones(())}})
    return html_report(records, [EvaluationPlan(tasks=(HOSTILE,), data_dir=HOSTILE)], [learner])


def test_names_are_text_whatever_they_are():
    page = Page(hostile_page())
    assert "script" not in page.tags
    assert HOSTILE in page.text
    assert f"{HOSTILE} against tuned baselines" in page.text


def test_losses_and_diverged_learners_have_a_page():
    wild = make_record("wild", 1.0, kind="learner", metric="loss", difference=(0.1, 0.2))
    nothing = {"loss_mean": None, "paired_difference_mean": None, "curve_mean": (0.5, 1e30, None)}
    wild = dataclasses.replace(wild, **nothing, curve_ci95=((0.5, None, None), (0.5, None, None)))
    losses = [wild, make_record("adam+bn", 0.1, metric="loss", difference=(0.0, 0.0))]
    page = Page(html_report([*losses, *OTHER], [EvaluationPlan()]))
    assert page.text.count("diverged") >= 3
    assert "of losses, the logarithm" in " ".join(page.text)


@pytest.mark.parametrize("width", [360, 1200])
def test_no_page_scrolls_sideways_or_complains(width, tmp_path):
    names = [dataclasses.replace(record, learner=record.learner + "_with_a_long_name" * 5) for record in RECORDS[:1]]
    records = [*RECORDS, *(dataclasses.replace(record, task="t" * 90) for record in [*names, *RECORDS[1:]])]
    long = html_report(records, [EvaluationPlan(data_dir="/folder" * 40)], LEARNERS)
    for text in (long, hostile_page()):
        seen = look_at(text, width, tmp_path)
        assert seen.complaints == []
        assert (seen.width, seen.overflow) == (width, 0)


def test_a_page_that_is_too_wide_or_runs_scripts_is_noticed(tmp_path):
    wide = look_at("<!doctype html><div style='width: 500px'>wide</div>", 360, tmp_path)
    assert wide.overflow > 0
    assert look_at("<!doctype html><script>console.error('no')</script>", 360, tmp_path).complaints
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
    assert look_at(f"<!doctype html>{policy}<script>1</script>", 360, tmp_path).complaints
