"""Tables and pictures of results in the README and in docs/."""

from __future__ import annotations

import dataclasses
import json

import pytest
import update_docs
from benchmark_toys import record
from claims_toys import claim_record
from harness.verdicts import put_record
from report_toys import make_record

from blur.benchmark.profile import PhaseTime, Profile, write_profiles
from blur.benchmark.runs import write_records
from blur.benchmark.storage import StorageRecord, write_storage_records


@pytest.fixture
def root(monkeypatch, tmp_path):
    """A checkout of pages alone, with an empty README."""
    monkeypatch.setattr(update_docs, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("", encoding="utf-8")
    return tmp_path


def write(path, text):
    path.write_text(text, encoding="utf-8")


def test_claims_are_a_table_per_letter_with_the_pictures_that_pages_show(root):
    page, readme = root / "docs" / "results.md", root / "README.md"
    write(page, "a\n<!-- claims A -->\nstale\n<!-- /claims A -->\n<!-- claims B -->\n<!-- /claims B -->\nz\n")
    write(readme, "![](docs/figures/A2.png)\n")
    for name in ("A1", "A2", "B3"):
        put_record(root / "results", claim_record(name))
        (root / "results" / f"{name}.png").write_bytes(name.encode())
    update_docs.main("claims", root / "results")
    text = page.read_text(encoding="utf-8")
    first, second = text.split("<!-- claims B -->")
    assert "| **A1**" in first
    assert "| **A2**" in first
    assert "stale" not in text
    assert "B3" not in first
    assert "| **B3**" in second
    assert second.endswith("<!-- /claims B -->\nz\n")
    assert readme.read_text(encoding="utf-8") == "![](docs/figures/A2.png)\n"
    assert [path.name for path in (root / "docs" / "figures").iterdir()] == ["A2.png"]


def test_a_table_stands_wherever_its_markers_do(root):
    pages = [root / "README.md", root / "docs" / "deep" / "page.md"]
    pages[1].parent.mkdir()
    for page in pages:
        write(page, f"{page.name}\n<!-- toy -->\n<!-- /toy -->\n")
    update_docs.fill("toy", "table\n")
    for page in pages:
        assert page.read_text(encoding="utf-8") == f"{page.name}\n<!-- toy -->\ntable\n<!-- /toy -->\n"


def test_records_and_markers_are_needed(root):
    with pytest.raises(ValueError, match=r"claims\.json has no records"):
        update_docs.main("claims", root)
    put_record(root, claim_record("A1"))
    with pytest.raises(ValueError, match="has markers <!-- claims A -->"):
        update_docs.main("claims", root)


@pytest.mark.parametrize("key", ["steps", "unroll"])
def test_results_of_one_condition_are_a_table_under_old_keys_too(key, root):
    write(root / "README.md", "<!-- demo -->\n<!-- /demo -->\n")
    learner = make_record("blur", 0.9, kind="learner", differences_ci95={"sgd": (0.1, 0.3)})
    records = [dataclasses.asdict(one) for one in (learner, make_record("sgd", 0.7))]
    saved = [{key if name == "steps" else name: value for name, value in one.items()} for one in records]
    write(root / "results.json", json.dumps(saved))
    write(root / "summary.md", "| heading |\n| --- |\n| row |\n")
    update_docs.main("demo", root)
    row = "| digits, hidden 64-64, T=3 | **0.900** (12,345) | sgd 0.700 (12,345): [+0.100, +0.300] |\n"
    assert row in (root / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("key", ["steps", "unroll"])
def test_targets_are_read_under_old_keys_too(key, monkeypatch, root):
    monkeypatch.setattr(update_docs, "TARGETS", (("mnist", 10, 1, 7, 0.88), ("mnist", 10, 1, 7, None)))
    place = {"task": "mnist", "resolution": 10, "hidden": (64,), "steps": 7, "best_baseline": "adam"}
    records = [make_record("mine", 0.85, kind="learner", **place), make_record("adam", 0.8, **place)]
    saved = [{key if n == "steps" else n: v for n, v in dataclasses.asdict(one).items()} for one in records]
    write(root / "results.json", json.dumps(saved))
    assert update_docs.targets(update_docs.read_results(root)).splitlines()[2:] == [
        "| mnist 10×10, hidden 64, T=7 | 0.880 | 0.850 (-0.030) |",
        "| mnist 10×10, hidden 64, T=7 | 0.790 (adam − 0.01) | 0.850 ✓ |",
    ]


PROFILE = Profile((PhaseTime("hebbian", "first", 6.0, 2.0),), 0.5, 1.5, 10.0)


def test_a_benchmark_is_tables_and_a_picture(root):
    write(root / "docs" / "speed.md", "before\n<!-- speed -->\nold\n<!-- /speed -->\nafter\n")
    write_records([record("wide", ms=20.0)], root / "results")
    (root / "results" / "benchmark.png").write_bytes(b"picture")
    write_profiles({"wide forward": PROFILE}, root / "results")
    write_storage_records([StorageRecord("wide", 4, 5, 16, 64.0, 32.0, 20.0, 10.0, "dual", "cpu")], root / "results")
    update_docs.main("speed", root / "results")
    text = (root / "docs" / "speed.md").read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- speed -->\ncpu, 2 CPU cores")
    assert text.endswith("<!-- /speed -->\nafter\n")
    assert "| wide | forward | 20 | 0.5 | 0.718 | 40 | – | 3.0 | 12 |\n" in text
    assert "| wide forward-only | roofline ≥ 0.75 | 0.718 | no | 21.1 |\n" in text
    assert "Where the time of `wide forward` goes (80% of the time has a name):\n" in text
    assert "| hebbian | first | 6.00 | 2.00 | 80 % |\n" in text
    assert "`wide` in both forms, 4 genomes (`blur benchmark --dual`):\n" in text
    assert "| 5 | 16 | 16 | 8 | 2.00 | 20 | 10 | dual |\n" in text
    assert (root / "docs" / "figures" / "speed.png").read_bytes() == b"picture"
