"""What every test runs under: types and shapes that hold, and compilation that is cheap and shared.

Nearly all the time of the tests is XLA's compilation. They do without its expensive optimisations, and keep what they
have compiled in pytest's cache folder, where the other processes and the next run find it. With BLUR_TEST_OPTIMISED
set, they compile as users do.
"""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

CACHE = Path(__file__).parents[1] / ".pytest_cache" / "jax"

CHEAP_COMPILATION = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
"""Compilation takes a quarter of the time without optimisation and emitters of fused loops, and in one piece."""

# All this has to be there before JAX starts. Processes that tests start inherit it.
if "BLUR_TEST_OPTIMISED" not in os.environ:
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *CHEAP_COMPILATION]).strip()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

jaxtyping.install_import_hook("blur", "beartype.beartype")


@pytest.fixture
def no_type_checks() -> Iterator[None]:
    """Lets a test make mistakes that annotations rule out, as a user without a type checker does."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


MOST_MAPPINGS = 30_000
"""Memory mappings of a process, of which Linux allows 65,530; every compiled program takes several."""

ran = itertools.count(1)


def pytest_runtest_teardown() -> None:
    """Forgets compiled programs before there are so many that the next one ends the process."""
    mappings = Path("/proc/self/maps")
    if next(ran) % 10 == 0 and mappings.exists() and mappings.read_bytes().count(b"\n") > MOST_MAPPINGS:
        import jax

        jax.clear_caches()
        gc.collect()
