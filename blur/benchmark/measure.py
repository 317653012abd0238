"""Compiling and timing. Contestants take turns, so a drift of the machine's speed affects all of them alike."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

LEAST_ROUNDS, MOST_ROUNDS = 3, 40
"""The least and the most turns of each contestant."""

TURN_SECONDS, MOST_RUNS = 0.1, 10
"""The length of a turn and its most runs. A fast contestant runs several times in a turn, after one run that does not
count: that run fills the caches, which other contestants have just used."""

CPU_GEMM, ACCELERATOR_GEMM = 2048, 8192
"""Rows and columns of the square matrices whose product sets the roofline."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A compiled function with its arguments.

    Attributes:
      run: runs the function and waits for its result.
      compile_seconds: seconds of tracing, lowering and compiling.
      peak_bytes: memory of arguments, results and temporaries in the compiler's plan; None without a plan.
    """

    run: Callable[[], Any]
    compile_seconds: float
    peak_bytes: int | None


def contestant(function: Callable[..., Any], *arguments: Any, jit: Callable[..., Any] = jax.jit) -> Contestant:
    """Compiles `function` by `jit` for these arguments, and keeps them on the device."""
    arguments = jax.device_put(arguments)
    start = time.perf_counter()
    compiled = jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    return Contestant(lambda: jax.block_until_ready(compiled(*arguments)), seconds, _peak_bytes(compiled))


def in_turns(contestants: Mapping[str, Contestant], seconds: float) -> dict[str, list[float]]:
    """Seconds of every counted run of each contestant. Rounds take about `seconds`, after two runs that warm up."""
    warm = {name: [_time(each), _time(each)][1] for name, each in contestants.items()}
    runs = {name: _within(TURN_SECONDS / once, 1, MOST_RUNS) for name, once in warm.items()}
    warmed = {name: once < TURN_SECONDS for name, once in warm.items()}
    round_seconds = sum((runs[name] + warmed[name]) * once for name, once in warm.items())
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(_within(seconds / round_seconds, LEAST_ROUNDS, MOST_ROUNDS)):
        for name, each in contestants.items():
            if warmed[name]:
                each.run()
            times[name] += [_time(each) for _ in range(runs[name])]
    return times


def interquartile_range(values: Sequence[float]) -> float:
    """Third quartile minus first quartile."""
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return third - first


def gemm_size() -> int:
    """Rows and columns of the square matrices whose product sets this device's roofline."""
    return CPU_GEMM if jax.default_backend() == "cpu" else ACCELERATOR_GEMM


def gemm_contestants(size: int) -> dict[str, Contestant]:
    """Products of two square float32 matrices, in the precision that JAX chooses (`default`).

    On accelerators also in full float32 (`highest`), and of bfloat16 matrices (`bfloat16`).
    """
    matrices = tuple(jax.random.normal(key, (size, size)) for key in jax.random.split(jax.random.key(0)))
    products = {"default": contestant(jnp.matmul, *matrices)}
    if jax.default_backend() != "cpu":
        products["highest"] = contestant(lambda a, b: jnp.matmul(a, b, precision="highest"), *matrices)
        products["bfloat16"] = contestant(jnp.matmul, *(matrix.astype(jnp.bfloat16) for matrix in matrices))
    return products


def gemm_gflops(size: int, seconds: float) -> float:
    """The rate of a product in 10⁹ operations per second: 2 size³ / seconds."""
    return 2e-9 * size**3 / seconds


def _peak_bytes(compiled: Any) -> int | None:
    memory = compiled.memory_analysis()
    if memory is None:
        return None
    return memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes


def _time(each: Contestant) -> float:
    start = time.perf_counter()
    each.run()
    return time.perf_counter() - start


def _within(number: float, least: int, most: int) -> int:
    return min(max(round(number), least), most)
