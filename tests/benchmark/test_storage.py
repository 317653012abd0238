"""Dense and dual synapses compared: both forms are played, the file comes back, the table says which is faster."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from blur.benchmark.contestants import Case, engine
from blur.benchmark.measure import Contestant
from blur.benchmark.storage import StoragePlan, compare_storage, read_storage_records, write_storage_records
from blur.benchmark.tables import STORAGE_HEADING, storage_rows
from blur.benchmark.workloads import WORKLOADS, Workload
from blur.rules.bidirectional import Bidirectional


def test_every_size_is_played_in_both_forms(monkeypatch, tmp_path):
    played = []

    def stand_in(case):
        played.append((case.storage, case.workload.steps, case.workload.batch, case.population))
        return Contestant(lambda: None, 0.0, 2**21 if case.storage == "dense" else None)

    monkeypatch.setattr("blur.benchmark.storage.engine", stand_in)
    heard = []
    plan = StoragePlan(population=3, steps=(2, 500), batches=(16,), seconds=0.001)
    records = compare_storage(plan, heard.append)
    assert played == [(form, steps, 16, 3) for steps in (2, 500) for form in ("dense", "dual")]
    assert heard[1] == "[2/2] wide forward, 3 genomes, 500 steps, batches of 16"
    assert [record.auto for record in records] == ["dual", "dense"]
    assert [(record.dense_mib, record.dual_mib) for record in records] == [(2.0, None)] * 2
    write_storage_records(records, tmp_path)
    assert read_storage_records(tmp_path) == records


def test_both_forms_give_the_same_scores(monkeypatch):
    tiny = Workload("tiny", (4, 3, 2), states=2, batch=8, steps=2)
    asked = []
    own = Bidirectional.for_population
    monkeypatch.setattr(
        Bidirectional, "for_population", lambda rule, spec, storage: asked.append(storage) or own(rule, spec, storage)
    )
    dense, dual = (engine(Case(tiny, population=3, storage=form)).run() for form in ("dense", "dual"))
    np.testing.assert_allclose(dense.loss, dual.loss, rtol=1e-5)
    assert set(asked) == {"dense", "dual"}


def test_the_table_has_times_of_a_genome_and_the_quotient(monkeypatch):
    monkeypatch.setattr("blur.benchmark.storage.engine", lambda case: Contestant(lambda: None, 0.0, None))
    plan = StoragePlan(population=4, steps=(5,), batches=(16,), seconds=0.001)
    (record,) = compare_storage(plan)
    record = dataclasses.replace(record, dense_ms=8.0, dual_ms=2.0, dense_mib=3.0)
    (row,) = storage_rows([record])
    assert row == ("5", "16", "2", "0.5", "4.00", "3", "–", "dual")
    assert len(row) == len(STORAGE_HEADING)


@pytest.mark.parametrize(("batch", "steps", "faster"), [(16, 5, True), (128, 50, False)])
def test_the_dual_form_is_for_short_lives_and_small_batches(batch, steps, faster):
    wide = WORKLOADS["wide"]
    spec = dataclasses.replace(wide, batch=batch, steps=steps).spec
    assert wide.rule.dual_is_faster(spec) is faster
