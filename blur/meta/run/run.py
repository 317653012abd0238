"""The fixed parts of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from blur.core.genome import check_same_genome, genome_shapes
from blur.core.rule import Genome
from blur.meta.meta_training import MetaTraining, run_size
from blur.meta.outer.base import Outer
from blur.meta.run.state import RunKeys, run_keys
from blur.meta.schedule import draw_settings
from blur.meta.setting import Setting, check_settings
from blur.parallel.devices import replicate


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """The fixed parts of a run; every device of its mesh holds all arrays.

    Attributes:
      settings: the mixture.
      config: its configuration.
      outer: its outer optimiser.
      mesh: the devices that divide the work; None for one device.
      init: the genome that all candidates start from; None for random ones.
      keys: everything random.
      drawn: the number of the setting of every meta-step, `[meta_steps]`.
    """

    settings: tuple[Setting, ...]
    config: MetaTraining
    outer: Outer
    mesh: Mesh | None
    init: Genome | None
    keys: RunKeys
    drawn: np.ndarray

    @property
    def meta_steps(self) -> int:
        """The length of the run."""
        return len(self.drawn)

    @property
    def candidates(self) -> int:
        """The number of genomes that are meta-trained side by side."""
        return run_size(self.config).candidates


def make_run(
    settings: tuple[Setting, ...], config: MetaTraining, outer: Outer, mesh: Mesh | None, init: Genome | None
) -> Run:
    """The parts of a run that follow from its settings and configuration."""
    size = run_size(config)
    drawn = draw_settings(settings, [outer.period(setting) for setting in settings], size.meta_steps, config.seed)
    settings, init, keys = replicate((settings, init, run_keys(config.seed, size.candidates)), mesh)
    return Run(settings, config, outer, mesh, init, keys, drawn)


def check_start(
    settings: Setting | Sequence[Setting], init: Genome | None
) -> tuple[tuple[Setting, ...], Genome | None]:
    """The mixture as a tuple, and the initial genome as arrays.

    Raises:
      ValueError: there is no setting, or the genomes of the settings and `init` differ in structure.
    """
    mixture = (settings,) if isinstance(settings, Setting) else tuple(settings)
    check_settings(mixture)
    if init is not None:
        init = jax.tree.map(jnp.asarray, init)
        check_same_genome(genome_shapes(mixture[0].rule), init, names=("the rule", "init"))
    return mixture, init
