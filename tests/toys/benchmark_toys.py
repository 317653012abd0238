"""Records that nobody measured."""

from __future__ import annotations

import dataclasses

from blur.benchmark.runs import BenchmarkRecord, Machine
from blur.benchmark.workloads import WORKLOADS, flop

MACHINE = Machine("cpu", "cpu", 2, "0.10.2", {"default": 450.0}, {"default": 400.0})


def record(workload, mode="forward", population=1, ms=20.0, **changes):
    operations = flop(WORKLOADS[workload], mode, population)
    found = BenchmarkRecord(
        workload=workload,
        mode=mode,
        population=population,
        mapping="auto",
        median_ms=ms,
        spread_ms=0.5,
        runs=30,
        compile_s=3.0,
        peak_mib=12.0,
        flop=operations,
        gemm_gflops=400.0,
        roofline_ratio=operations / (ms * 1e-3 * 400e9),
        naive_ms=40.0,
        sgd_ms=None,
        machine=MACHINE,
    )
    return dataclasses.replace(found, **changes)
