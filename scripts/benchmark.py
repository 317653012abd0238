"""How long an episode takes: BLUR's forward pass and meta-gradient, against plain SGD on the same network.

python scripts/benchmark.py [benchmark.json]

Everything is measured in one run, in turns, so that a machine whose speed drifts slows all alike; compilation is apart.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from blur.files import write_file
from blur.inner_loop import episode_loss
from blur.losses import cross_entropy
from blur.rule import Episode, UpdateRule, make_batch
from blur.rules.bidirectional import Bidirectional
from blur.rules.gradient import OptaxMLP

WORKLOADS = {
    "small": (64, 128, 10),
    "shallow": (100, 64, 10),
    "deep": (100, 64, 64, 64, 64, 10),
    "wide": (784, 256, 128, 10),
}
"""Layer sizes; k = 4, batch 128, T = 10, normalised."""

BATCH, STEPS, REPEATS = 128, 10, 15


class Contestant(NamedTuple):
    """A compiled function without arguments, and how long its compilation took."""

    run: Callable[[], Any]
    compile_seconds: float


def main(out: Path | None) -> None:
    """Measures all workloads, prints the table and, if asked, writes it as JSON."""
    records = [record for name in WORKLOADS for record in measure(name)]
    table = Table(title=f"one episode, T = {STEPS}, batch {BATCH}, on {jax.devices()[0].device_kind}")
    for column in records[0]:
        table.add_column(column, justify="right")
    for record in records:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3g}" for value in record.values()))
    Console().print(table)
    if out is not None:
        print(write_file(out, json.dumps(records, indent=1) + "\n"))


def measure(workload: str) -> list[dict[str, Any]]:
    """A record for the forward pass of an episode and one for its meta-gradient."""
    inputs, *hidden, outputs = WORKLOADS[workload]
    episode = random_episode(inputs, outputs)
    blur = Bidirectional(hidden=tuple(hidden))
    contestants = {
        "forward": contestant(blur, episode, gradient=False),
        "gradient": contestant(blur, episode, gradient=True),
        "sgd": contestant(OptaxMLP(hidden=tuple(hidden), optimizer="sgd"), episode, gradient=False),
    }
    times = in_turns(contestants)
    sgd = statistics.median(times["sgd"])
    return [
        {
            "workload": workload,
            "mode": mode,
            "median_ms": 1e3 * statistics.median(times[mode]),
            "fastest_ms": 1e3 * min(times[mode]),
            "compile_s": contestants[mode].compile_seconds,
            "sgd_ms": 1e3 * sgd,
            "ratio_to_sgd": statistics.median(times[mode]) / sgd,
        }
        for mode in ("forward", "gradient")
    ]


def random_episode(inputs: int, outputs: int) -> Episode:
    """Gaussian inputs with random labels: their values do not matter to the clock."""
    input_key, label_key = jax.random.split(jax.random.key(0))
    labels = jax.random.randint(label_key, (STEPS + 1, BATCH), 0, outputs)
    batches = make_batch(
        jax.random.normal(input_key, (STEPS + 1, BATCH, inputs)), 2 * jax.nn.one_hot(labels, outputs) - 1
    )
    support, query = (jax.tree.map(lambda leaf, part=part: leaf[part], batches) for part in (slice(STEPS), STEPS))
    return Episode(support, query)


def contestant(rule: UpdateRule, episode: Episode, *, gradient: bool) -> Contestant:
    """The episode's loss, or its gradient in the genome, compiled."""
    genome, key = rule.init_genome(jax.random.key(1)), jax.random.key(2)

    def loss(genome: Any, key: Any, episode: Episode) -> jax.Array:
        return episode_loss(rule, genome, key, episode, cross_entropy, remat=gradient)[0]

    start = time.perf_counter()
    compiled = jax.jit(jax.grad(loss) if gradient else loss).lower(genome, key, episode).compile()
    seconds = time.perf_counter() - start
    return Contestant(lambda: jax.block_until_ready(compiled(genome, key, episode)), seconds)


def in_turns(contestants: dict[str, Contestant]) -> dict[str, list[float]]:
    """Seconds of each contestant's runs, after one that warms up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_number in range(REPEATS + 1):
        for name, each in contestants.items():
            start = time.perf_counter()
            each.run()
            times[name] += [time.perf_counter() - start] * (round_number > 0)
    return times


if __name__ == "__main__":
    jnp.zeros(())  # start the device before anything is timed
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
