"""The cores of one host as devices."""

import os
import subprocess
import sys

import pytest

COUNT = "import jax; from blur.parallel.hosts import cores_as_devices; cores_as_devices(); print(jax.device_count())"


@pytest.mark.parametrize(
    ("flags", "before", "devices"),
    [
        ("", "", len(os.sched_getaffinity(0))),
        ("--xla_force_host_platform_device_count=3", "", 3),
        ("", "import jax; jax.devices();", 1),
    ],
    ids=["every core", "told otherwise", "too late"],
)
def test_every_core_is_a_device_unless_told_otherwise(flags, before, devices):
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    found = subprocess.run([sys.executable, "-c", before + COUNT], env=environment, capture_output=True, text=True)
    assert found.stdout.strip() == str(devices), found.stderr
