"""How many functions carry a batch from `meta_train` to a rule's `step`."""

from __future__ import annotations

import dataclasses

import pytest
from meta_toys import Traced, linear_setting, traces

from blur.meta import MetaTraining, meta_train

MOST = 12
"""Named functions of blur on the call stack, `meta_train` counted and the rule's own `step` not."""


@pytest.mark.parametrize("mapping", ["map", "vmap"])
@pytest.mark.parametrize("outer", ["adam", "CMA_ES", "PersistentES"])
def test_a_batch_passes_through_few_hands(outer, mapping):
    setting = dataclasses.replace(linear_setting(), rule=Traced())
    config = MetaTraining(
        outer,
        meta_steps=1,
        candidates=2,
        episodes=2,
        population=4,
        truncation=2,
        mapping=mapping,
        validation_episodes=2,
    )
    traces.clear()
    meta_train(setting, config, progress=False)
    of_meta_steps = [trace for trace in traces if "run_chunk" in trace]
    assert of_meta_steps and all(trace[0] == "meta_train" and trace[-1] == "body" for trace in of_meta_steps)
    longest = max(of_meta_steps, key=len)
    assert len(longest) <= MOST, longest
