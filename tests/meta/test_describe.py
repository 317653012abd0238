"""Descriptions of runs: names of older versions are read as today's."""

from __future__ import annotations

import dataclasses

from meta_toys import LinearDescent, linear_setting

from blur.meta.describe import describe_run, with_current_names
from blur.meta.meta_training import MetaTraining
from blur.support.renamed import renamed_fields


@renamed_fields(begin="origin")
@dataclasses.dataclass(frozen=True)
class Renamed(LinearDescent):
    """A rule with a field that had another name, and one that is new."""

    origin: float = 0.0
    new: int = 7


KNOWN = {"Renamed": Renamed, "LinearDescent": LinearDescent}


def test_old_names_and_missing_fields_are_those_of_today():
    setting = dataclasses.replace(linear_setting(), rule=Renamed(origin=2.0))
    today = describe_run([setting], MetaTraining(), None, KNOWN)
    rule = {"type": "Renamed", "start": -4.0, "begin": 2.0}
    old = {name: value for name, value in today["settings"][0].items() if name != "steps"} | {"unroll": 4, "rule": rule}
    assert with_current_names({**today, "settings": [old]}, KNOWN) == today


def test_rules_of_other_runs_are_left_as_they_are():
    today = describe_run([linear_setting()], MetaTraining(), None, KNOWN)
    assert with_current_names(today, {}) == today
