"""Many hosts: how processes join into one run, agree on what to do next, and leave its files to the first of them."""

# No `from __future__ import annotations`: the command line reads this dataclass' types.
import contextlib
import dataclasses
import os
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils


@dataclasses.dataclass(frozen=True)
class Machines:
    """Where a run is computed: no part of what it computes, and free to be another when it is resumed.

    Attributes:
      devices: how many devices to use; by default all that JAX sees, on all hosts; of a CPU's cores as many as the
        work divides over.
      distributed: join the other processes of this job (SLURM, Open MPI, TPU pods, Kubernetes with its Python client).
      coordinator: HOST:PORT of process 0, to join where none of these is; it needs --processes and --process.
      processes: how many processes join.
      process: the number of this process, from 0.
    """

    devices: int | None = None
    distributed: bool = False
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None

    def join(self) -> None:
        """Joins the processes of a run; before anything else is computed.

        Raises:
          ValueError: no cluster was found, or the options are not complete.
        """
        explicit = (self.coordinator, self.processes, self.process)
        if not self.distributed and explicit == (None, None, None):
            cores_as_devices()
            return
        if not self.distributed and None in explicit:
            raise ValueError("--coordinator, --processes and --process go together; or let --distributed find them")
        jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM, which saves the run
        try:
            jax.distributed.initialize(*explicit)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"cannot join the processes of this run: {error}; outside SLURM, Open MPI, TPU pods and Kubernetes "
                "give --coordinator HOST:PORT, --processes N and --process I"
            ) from error


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_as_devices() -> None:
    """Lets JAX see every core of this process as a device of the CPU, for programs that start with it.

    Small networks keep one core busy, not several: candidates and populations are then divided over them. Where
    `XLA_FLAGS` or `JAX_NUM_CPU_DEVICES` says how many there are, or JAX runs already, nothing changes.
    """
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not told and jax.config.values["jax_num_cpu_devices"] < 0:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", usable_cores())


def is_first_process() -> bool:
    """Whether this is process 0, which writes and speaks for all."""
    return jax.process_index() == 0


def on_any_process(flag: bool) -> bool:
    """Whether `flag` is true on any process. All have to ask."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def from_first_process(values: tuple[int, ...]) -> tuple[int, ...]:
    """Process 0's whole numbers. All have to ask."""
    if jax.process_count() == 1:
        return values
    return tuple(int(value) for value in multihost_utils.broadcast_one_to_all(np.array(values)))


def together(function: Callable[[], None]) -> None:
    """Calls `function` on every process; if it fails on one of them, it fails on all, so that none waits for ever.

    Raises:
      ValueError, OSError: what `function` raised here, or that it did elsewhere.
    """
    failure: ValueError | OSError | None = None
    try:
        function()
    except (ValueError, OSError) as error:
        failure = error
    if on_any_process(failure is not None):
        raise failure or ValueError("another process of this run could not go on; its message says why")
