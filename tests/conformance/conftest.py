"""What every rule and phase promises is tested in float64, where rounding hides no mistake.

Random numbers come from a generator that XLA compiles in a fraction of the time that its default takes.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def float64_and_quick_random_numbers() -> Iterator[None]:
    with jax.enable_x64(True), jax.default_prng_impl("unsafe_rbg"):
        yield
