"""Where the time goes: names of operations, and their sums."""

from __future__ import annotations

import pytest

from blur.benchmark import profile as profiling
from blur.benchmark.profile import (
    LOOP,
    RUNS,
    Instruction,
    Span,
    find_phase,
    instructions,
    is_product,
    passage,
    profile,
    scope_names,
    summarise,
)
from blur.benchmark.tables import profile_rows
from blur.benchmark.workloads import Workload
from blur.rules.optax_mlp import OptaxMLP

TINY = Workload("tiny", (4, 3, 2), states=2, batch=8, steps=1)
NAMES = scope_names(TINY.rule)


def test_names_of_scopes():
    phases = ("synapses", "input", "forward", "feedback", "backward", "hebbian", "apply")
    assert ("initial_state", "query", *phases, "step") == NAMES
    assert scope_names(OptaxMLP()) == ("initial_state", "query", "step")


@pytest.mark.parametrize(
    ("op_name", "phase", "part"),
    [
        ("jit(loss)/while/body/step/forward/tanh", "forward", "first"),
        ("jit(loss)/jvp(query)/forward/tanh", "query", "first"),
        ("jit(loss)/transpose(jvp())/while/body/checkpoint/step/hebbian/mul", "hebbian", "gradient"),
        ("jit(loss)/transpose(jvp())/while/body/rematted_computation/step/apply/add", "apply", "recomputed"),
        ("jit(loss)/initial_state/jit(_normal)/while", "initial_state", "first"),
        ("jit(loss)/while/body/step/add", "step", "first"),
        ("jit(forward_loss)/while", None, "first"),
        ("jit(loss)/jvp()/while/body/jit(dynamic_update_index_in_dim)/dynamic_update_slice", LOOP, "first"),
        ("jit(loss)/jvp()/broadcast_in_dim", LOOP, "first"),
        ("jit(loss)/while/body/step/forward/jit(dynamic_index_in_dim)/dynamic_slice", "forward", "first"),
    ],
)
def test_an_operation_belongs_to_a_phase_and_a_pass(op_name, phase, part):
    assert find_phase(op_name, NAMES) == phase
    assert passage(op_name) == part


PROGRAM = """
HloModule jit_loss
%body (p: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  %dot.1 = f32[4,8]{1,0} dot(%a, %b), lhs_contracting_dims={1}, metadata={op_name="jit(loss)/step/forward/transpose"}
  ROOT %fusion = (s32[], f32[4,8]{1,0}) fusion(%dot.1), kind=kLoop, metadata={op_name="jit(loss)/step/hebbian/mul"}
}
  %while.2 = (s32[], /*index=1*/f32[4,8]{1,0}) while(%t), condition=%c, body=%body, metadata={op_name="jit(loss)/while"}
  copy.3 = f32[] copy(x)
"""

FUSED = """
%fused (p: f32[4,4], q: f32[4,8]) -> f32[4,8] {
  ROOT %dot.9 = f32[4,8]{1,0} dot(%p, %q), lhs_contracting_dims={1}
}

ENTRY %main (a: f32[4,4], b: f32[4,8]) -> f32[4,8] {
  ROOT %ynn_fusion.1 = f32[4,8]{1,0} fusion(%a, %b), kind=kCustom, calls=%fused, metadata={op_name="jit(f)/transpose"}
}
"""


def test_instructions_of_a_compiled_program():
    found = instructions(PROGRAM)
    assert found == {
        "dot.1": Instruction("dot", "jit(loss)/step/forward/transpose", ("a", "b")),
        "fusion": Instruction("fusion", "jit(loss)/step/hebbian/mul", ("dot.1",)),
        "while.2": Instruction("while", "jit(loss)/while", ("t",)),
        "copy.3": Instruction("copy", ""),
    }
    assert [name for name, instruction in found.items() if is_product(name, instruction)] == ["dot.1"]
    assert is_product("cublas-gemm.1", Instruction("custom-call", "jit(loss)/step/forward/transpose"))


def test_a_fusion_with_a_product_is_one():
    assert instructions(FUSED)["ynn_fusion.1"] == Instruction("dot", "jit(f)/transpose", ("a", "b"))


def test_a_gap_belongs_to_what_is_waited_for():
    ms = 1e6 * RUNS
    intervals = [Span("dot.1", 0, ms), Span("copy.3", ms, 2 * ms), Span("fusion", 5 * ms, 7 * ms)]
    found = summarise(intervals, 10e-3 * RUNS, instructions(PROGRAM), NAMES)  # the fusion reads the product
    assert [(entry.phase, entry.ms) for entry in found.entries] == [("forward", 1 + 3), ("hebbian", 2)]
    assert (found.unnamed_ms, found.idle_ms) == (pytest.approx(1), pytest.approx(3))
    late = [Span("fusion", 0, ms), Span("copy.3", 3 * ms, 4 * ms)]  # after a fusion nothing is waited for
    assert summarise(
        late, 4e-3 * RUNS, instructions(PROGRAM) | {"copy.3": Instruction("copy", "", ("fusion",))}, NAMES
    ).idle_ms == pytest.approx(2)
    two = {"a": Instruction("dot", "x/forward/y"), "b": Instruction("dot", "x/backward/y")}
    two["c"] = Instruction("fusion", "x/hebbian/y", ("b", "a"))
    found = summarise([Span("a", 0, ms), Span("b", ms, 2 * ms), Span("c", 5 * ms, 6 * ms)], 6e-3 * RUNS, two, NAMES)
    assert {entry.phase: entry.ms for entry in found.entries} == pytest.approx(
        {"backward": 4, "forward": 1, "hebbian": 1}
    )
    looked_through = {"a": Instruction("dot", "x/forward/y"), "b": Instruction("bitcast", "", ("a",))}
    looked_through["c"] = Instruction("fusion", "x/hebbian/y", ("b",))
    found = summarise([Span("a", 0, ms), Span("c", 3 * ms, 4 * ms)], 4e-3 * RUNS, looked_through, NAMES)
    assert found.entries[0].products_ms == pytest.approx(3)


def test_time_is_divided_among_operations_that_overlap():
    ms = 1e6 * RUNS
    intervals = [
        Span("while.2", 0, 12 * ms),
        Span("dot.1", 0, 4 * ms),
        Span("fusion", 2 * ms, 6 * ms),  # beside the product for half of its time
        Span("copy.3", 8 * ms, 9 * ms),
        Span("unheard-of", 9 * ms, 10 * ms),
    ]
    found = summarise(intervals, 12e-3 * RUNS, instructions(PROGRAM), NAMES)
    share = 8 / 10  # 8 ms are covered by 10 ms of operations
    assert [(entry.phase, entry.passage) for entry in found.entries] == [("forward", "first"), ("hebbian", "first")]
    assert found.entries[0].products_ms == pytest.approx(4 * share)
    assert found.entries[1].other_ms == pytest.approx(4 * share)
    assert found.unnamed_ms == pytest.approx(2 * share)
    assert (found.idle_ms, found.wall_ms) == (pytest.approx(4.0), pytest.approx(12.0))
    assert found.named_share == pytest.approx(6.4 / 12)
    assert [row[-1] for row in profile_rows(found)] == ["27 %", "27 %", "13 %", "33 %", "100 %"]


def test_a_tiny_episode_is_traced_and_its_phases_are_found(monkeypatch):
    monkeypatch.setattr(profiling, "RUNS", 2)
    found = profile(TINY, "forward")
    assert {"forward", "backward", "hebbian"} <= {entry.phase for entry in found.entries}
    assert all(entry.passage == "first" for entry in found.entries)
    parts = sum(entry.ms for entry in found.entries) + found.unnamed_ms + found.idle_ms
    assert parts == pytest.approx(found.wall_ms)
