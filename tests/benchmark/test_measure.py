"""Compiling, turns and statistics."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

from blur.benchmark.measure import (
    LEAST_ROUNDS,
    MOST_ROUNDS,
    MOST_RUNS,
    Contestant,
    contestant,
    gemm_contestants,
    gemm_gflops,
    in_turns,
    interquartile_range,
)


def recorder(name, log):
    return Contestant(lambda: log.append(name), 0.0, 0)


def test_contestants_alternate_after_warming_up():
    log = []
    times = in_turns({"a": recorder("a", log), "b": recorder("b", log)}, seconds=10.0)
    assert {name: len(values) for name, values in times.items()} == dict.fromkeys("ab", MOST_ROUNDS * MOST_RUNS)
    assert log == [*"aabb"] + [*"a" * (1 + MOST_RUNS), *"b" * (1 + MOST_RUNS)] * MOST_ROUNDS


def test_everyone_has_at_least_three_turns():
    log = []
    in_turns({"a": recorder("a", log)}, seconds=0.0)
    assert len(log) == 2 + LEAST_ROUNDS * (1 + MOST_RUNS)


def test_who_is_slow_has_one_run_a_turn_and_starts_cold(monkeypatch):
    now, log = [0.0], []
    monkeypatch.setattr("blur.benchmark.measure.time.perf_counter", lambda: now[0])

    def lasting(name, seconds):
        def run():
            log.append(name)
            now[0] += seconds

        return Contestant(run, 0.0, 0)

    times = in_turns({"slow": lasting("slow", 0.2), "fast": lasting("fast", 0.05)}, seconds=0.35 * 4)
    assert times == {"slow": pytest.approx([0.2] * 4), "fast": pytest.approx([0.05] * 8)}
    assert log == ["slow"] * 2 + ["fast"] * 2 + ["slow", "fast", "fast", "fast"] * 4


def test_interquartile_range_of_known_numbers():
    assert interquartile_range([5.0, 1.0, 2.0, 3.0, 4.0]) == pytest.approx(2.0)


def test_a_contestant_runs_and_knows_its_memory():
    each = contestant(lambda a, b: a + b, jnp.arange(256.0), jnp.ones(256))
    assert each.run()[3] == 4.0
    assert each.peak_bytes >= 3 * 1024  # two arguments and a result of 1 KiB
    assert each.compile_seconds > 0


def test_the_gemm_is_a_matrix_product_of_its_size():
    product = gemm_contestants(8)["default"].run()
    assert product.shape == (8, 8)
    assert product.dtype == jnp.float32
    assert gemm_gflops(1000, 0.5) == pytest.approx(4.0)  # 2·10⁹ operations in half a second
