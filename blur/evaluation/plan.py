"""The configuration of an evaluation: learners, and the conditions under which they are compared."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Literal, NamedTuple

from blur.core.rule import Genome, StatisticsRule, UpdateRule
from blur.files.genomes import load_genome
from blur.rules.optax_mlp import OPTIMIZERS
from blur.support.renamed import renamed_fields, tell_new_name


class Learner(NamedTuple):
    """A rule with a genome, and a name for tables.

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
      resolutions: side lengths that images are resized to; empty for the task's own.
      hidden: widths; all hidden layers of a network have one width, so two widths are two networks. Empty for the
        learners' own widths.
      depths: numbers of hidden layers; empty for the learners' own.
      steps: inner steps; baselines are tuned for each number.
      batch_sizes: examples per inner step, and in the query.
      baselines: optimisers; each is tuned with and without batch normalisation of its hidden layers.
      baseline_sizes: `width` for baselines as wide as the learners, `synapses` for baselines with as many parameters as
        the largest learner, or both.
      statistics: normalisation of predictions, for learners and baselines alike: by statistics of the last `support`
        batch, or of the `query` batch itself. The default is the choice of the learners' rules.
      episodes: number of test episodes, which all learners play.
      tuning_episodes: number of validation episodes, on which all baselines are tuned.
      seed: seed of all episodes and initial networks.
      data_dir: folder with raw or prepared data sets.

    Raises:
      ValueError: `tasks`, `steps`, `batch_sizes`, `baselines` or `baseline_sizes` is empty; a size is below 1; there
        are fewer than two episodes; or an optimiser is unknown.

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
          own: widths of the learners' hidden layers. They fill in `hidden` and `depths` if the plan leaves them empty.
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
    """One combination of a plan's axes: all learners play the same episodes. A resolution of None is the task's own."""

    task: str
    resolution: int | None
    hidden: tuple[int, ...]
    steps: int
    batch_size: int

    @property
    def unroll(self) -> int:
        """The old name of `steps`."""
        tell_new_name("Condition.unroll", "steps")
        return self.steps

    def __str__(self) -> str:
        return f"{self.network_and_data}, {self.steps} steps of {self.batch_size}"

    @property
    def network_and_data(self) -> str:
        """Task, resolution and hidden layers in a few words; three or more equal layers of 64 are `3×64`, and so on."""
        size = "" if self.resolution is None else f" {self.resolution}×{self.resolution}"
        alike = len(self.hidden) > 2 and len(set(self.hidden)) == 1
        hidden = f"{len(self.hidden)}×{self.hidden[0]}" if alike else "-".join(map(str, self.hidden)) or "none"
        return f"{self.task}{size}, hidden {hidden}"


def read_learner(path: str) -> Learner:
    """Reads a genome as a learner. Its name is the file's, or the folder's if the file is called `genome`."""
    file = load_genome(path)
    name = Path(path).stem
    return Learner(Path(path).resolve().parent.name if name == "genome" else name, file.rule, file.genome)
