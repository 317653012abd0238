"""`blur meta-train`: find a genome for a task."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from blur.genome_io import load_genome
from blur.meta import MetaTraining, Setting, meta_train
from blur.rule import Genome, UpdateRule
from blur.rules.bidirectional import Bidirectional
from blur.rules.resize import with_hidden
from blur.tasks import make_task


@dataclasses.dataclass(frozen=True)
class MetaTrain:
    """Meta-train update rules on a task and keep the best genome. Ctrl-C saves first; --resume goes on.

    The folder --out receives config.json, metrics.jsonl, checkpoints, genome.safetensors and learning_curve.png.

    For instance:
      blur meta-train digits --out runs/digits
      blur meta-train digits --out runs/digits --resume
      blur meta-train mnist --resolution 10 --data-dir data --out runs/mnist --outer CMA_ES --population 32
      blur meta-train sine --out runs/sine --init runs/digits/genome.safetensors

    Attributes:
      task: name of a task (see blur tasks), or an .npz file with inputs and targets.
      out: the run's folder.
      unroll: inner steps per episode.
      batch_size: examples per inner step, and in the query.
      resolution: side length that images are resized to; by default their own.
      data_dir: folder with raw or prepared data sets.
      init: genome file that all candidates start from; its rule is used, with other hidden layers if --hidden is given.
      resume: continue the run in --out.
      rule: the rule.
      meta: the outer loop.
    """

    task: Annotated[Positional[str], arg(metavar="TASK")]
    out: Path
    unroll: int = 10
    batch_size: int = 128
    resolution: int | None = None
    data_dir: Path | None = None
    init: str | None = None
    resume: bool = False
    rule: OmitArgPrefixes[Bidirectional] = dataclasses.field(default_factory=Bidirectional)
    meta: OmitArgPrefixes[MetaTraining] = dataclasses.field(default_factory=MetaTraining)

    def run(self) -> None:
        """Meta-trains and says what came out."""
        rule, genome = (self.rule, None) if self.init is None else self._start(self.init)
        task = make_task(self.task, resolution=self.resolution, data_dir=self.data_dir)
        setting = Setting(rule, task, unroll=self.unroll, batch_size=self.batch_size)
        result = meta_train(setting, self.meta, init=genome, out=self.out, resume=self.resume)
        print(f"validation fitness {result.fitness:.4g}, accuracy {result.accuracy:.4g} (candidate {result.candidate})")
        print(f"genome: {self.out / 'genome.safetensors'}")

    def _start(self, path: str) -> tuple[UpdateRule, Genome]:
        """Rule and genome of a file, with the hidden layers asked for.

        Raises:
          ValueError: other options of the rule were given too.
        """
        default = Bidirectional()
        if dataclasses.replace(self.rule, hidden=default.hidden) != default:
            raise ValueError(f"--init takes the rule from {path}; of the rule's options only --hidden goes with it")
        file = load_genome(path)
        return (file.rule if self.rule == default else with_hidden(file.rule, self.rule.hidden)), file.genome
