"""What is compared with what, and where: the configuration of an evaluation."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Literal, NamedTuple

from blur.core.rule import Genome, StatisticsRule, UpdateRule
from blur.files.genomes import load_genome
from blur.rules.optax_mlp import OPTIMIZERS
from blur.support.renamed import renamed_fields


class Learner(NamedTuple):
    """A rule with a genome, under the name that tables give it.

    Examples:
      >>> file = blur.load_genome("mnist-k4")
      >>> blur.Learner("mine", file.rule, file.genome).name
      'mine'
    """

    name: str
    rule: UpdateRule
    genome: Genome


@renamed_fields(unrolls="steps")
@dataclasses.dataclass(frozen=True)
class EvaluationPlan:
    """Learners are compared under every combination of task, resolution, width, depth, steps and batch size.

    Attributes:
      tasks: names of tasks.
      resolutions: side lengths that images are resized to; none for the task's own.
      hidden: widths, the same for all hidden layers of a network; several widths are several networks; none for the
        learners' own.
      depths: numbers of hidden layers; likewise.
      steps: inner steps; baselines are tuned for each.
      batch_sizes: examples per inner step, and in the query.
      baselines: optimisers; each is tuned with and without batch normalisation of its hidden layers.
      baseline_sizes: baselines of the learners' `width`, or with as many `synapses` as the largest learner,
        or both.
      statistics: what normalises predictions, of learners and baselines alike: statistics of the last `support` batch,
        or of the `query` batch itself; by default what the learners' rules say.
      episodes: test episodes, the same for all.
      tuning_episodes: validation episodes for the tuning of baselines, the same for all.
      seed: of all episodes and initial networks.
      data_dir: folder with raw or prepared data sets.

    Raises:
      ValueError: an axis that is empty but may not be, a size below 1, fewer than two episodes or an unknown optimiser.

    Examples:
      >>> plan = blur.EvaluationPlan(tasks=("digits",), steps=(10, 50))
      >>> for condition in plan.conditions(own=(64,)):
      ...     print(condition)
      digits, hidden 64, 10 steps of 128
      digits, hidden 64, 50 steps of 128
    """

    tasks: tuple[str, ...] = ("digits",)
    resolutions: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    steps: tuple[int, ...] = (10,)
    batch_sizes: tuple[int, ...] = (128,)
    baselines: tuple[str, ...] = ("sgd", "momentum", "adam")
    baseline_sizes: tuple[Literal["width", "synapses"], ...] = ("width", "synapses")
    statistics: StatisticsRule | None = None
    episodes: int = 100
    tuning_episodes: int = 32
    seed: int = 0
    data_dir: str | None = None

    def __post_init__(self) -> None:
        for axis in ("tasks", "steps", "batch_sizes", "baselines", "baseline_sizes"):
            if not getattr(self, axis):
                raise ValueError(f"{axis} is empty; expected at least one")
        for axis in ("resolutions", "hidden", "depths", "steps", "batch_sizes"):
            if any(size < 1 for size in getattr(self, axis)):
                raise ValueError(f"{axis} is {getattr(self, axis)}; expected sizes of at least 1")
        for count in ("episodes", "tuning_episodes"):
            if getattr(self, count) < 2:
                raise ValueError(f"{count} is {getattr(self, count)}; an interval needs at least 2")
        if unknown := [name for name in self.baselines if name not in OPTIMIZERS]:
            raise ValueError(f"unknown baseline {unknown[0]!r}; expected some of {', '.join(OPTIMIZERS)}")

    def conditions(self, own: tuple[int, ...]) -> list[Condition]:
        """All combinations, tasks outermost.

        Args:
          own: widths of the learners' own hidden layers, for what the plan leaves open.
        """
        axes = (self.tasks, self.resolutions or (None,), self._networks(own), self.steps, self.batch_sizes)
        return list(itertools.starmap(Condition, itertools.product(*axes)))

    def _networks(self, own: tuple[int, ...]) -> list[tuple[int, ...]]:
        if not (self.hidden or self.depths):
            return [own]
        if not self.hidden and len(set(own)) != 1:
            raise ValueError(f"the learners' hidden layers are {own}, not of one width; give hidden with depths")
        widths, depths = self.hidden or own[:1], self.depths or (len(own),)
        return [(width,) * depth for width, depth in itertools.product(widths, depths)]


class Condition(NamedTuple):
    """One combination: all learners meet the same episodes under it. No `resolution` is the task's own."""

    task: str
    resolution: int | None
    hidden: tuple[int, ...]
    steps: int
    batch_size: int

    def __str__(self) -> str:
        return f"{self.network_and_data}, {self.steps} steps of {self.batch_size}"

    @property
    def network_and_data(self) -> str:
        """Task, resolution and hidden layers in a few words; three layers of 64 and more are `3×64`."""
        size = "" if self.resolution is None else f" {self.resolution}×{self.resolution}"
        alike = len(self.hidden) > 2 and len(set(self.hidden)) == 1
        hidden = f"{len(self.hidden)}×{self.hidden[0]}" if alike else "-".join(map(str, self.hidden)) or "none"
        return f"{self.task}{size}, hidden {hidden}"


def read_learner(path: str) -> Learner:
    """A genome as a learner, named after its file, or after its run's folder where the file is just `genome`."""
    file = load_genome(path)
    name = Path(path).stem
    return Learner(Path(path).resolve().parent.name if name == "genome" else name, file.rule, file.genome)
