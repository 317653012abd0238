"""`blur meta-train`: find a genome for a task."""

import dataclasses
import itertools
import json
import math
import shlex
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from blur.cli.options import typed_options
from blur.core.rule import Genome, UpdateRule
from blur.files.config import from_config, to_config
from blur.files.genomes import load_genome
from blur.meta import MetaTraining, MetaTrainResult, Setting, meta_train
from blur.meta.meta_training import run_size
from blur.meta.run.folder import parts_of_run
from blur.parallel.hosts import Machines, is_first_process
from blur.rules import RULES
from blur.rules.bidirectional import Bidirectional
from blur.support.atomic import write_file
from blur.support.renamed import renamed_fields
from blur.tasks import make_task


@renamed_fields(unroll="steps")
@dataclasses.dataclass(frozen=True)
class MetaTrain:
    """Meta-train update rules on a task and keep the best genome. Ctrl-C saves the run; --resume continues it.

    The options below describe a Bidirectional rule. Any other rule (see blur rules) is meta-trained with --init GENOME,
    where blur.save_genome(path, rule, rule.init_genome(key)) makes the file GENOME in Python.

    The folder --out receives config.json, metrics.jsonl, checkpoints, genome.safetensors (the best genome so far) and
    learning_curve.png. Several values of --steps, --batch-size or --depth make a mixture: each meta-step draws one
    combination, and one genome must do well on all of them. A terminal shows progress; elsewhere only the result is
    printed.

    For instance:
      blur meta-train digits --out runs/digits
      blur meta-train digits --out runs/digits --resume
      blur meta-train digits --out runs/mixture --steps 5 10 20 --depth 1 2 --hidden 64
      blur meta-train mnist --resolution 10 --data-dir data --out runs/mnist --outer CMA_ES --population 32
      blur meta-train sine --out runs/sine --init runs/digits/genome.safetensors

    Attributes:
      task: name of a task (see blur tasks), or an .npz file with inputs and targets.
      out: the run's folder.
      steps: inner steps per episode.
      batch_size: examples per inner step, and in the query.
      depth: numbers of hidden layers, all of the one width in --hidden; by default --hidden lists the layers' widths.
      resolution: side length that images are resized to; by default the task's own.
      data_dir: folder with raw or prepared data sets.
      init: genome file that all candidates start from. The run uses the file's rule; --hidden may replace its hidden
        layers.
      resume: continue the run in --out with its own options.
      words: the command line, after the command's name.
      rule: the network of multi-state neurons: sizes, activations, the distribution of random genomes.
      meta: the outer loop, which improves genomes over whole lives of learning.
      machines: the devices of one host, or of many hosts that start the same command.
    """

    task: Annotated[Positional[str], arg(metavar="TASK")]
    out: Annotated[str, arg(metavar="FOLDER")]
    steps: tuple[int, ...] = (10,)
    batch_size: tuple[int, ...] = (128,)
    depth: tuple[int, ...] = ()
    resolution: int | None = None
    data_dir: str | None = None
    init: str | None = None
    resume: bool = False
    words: Suppress[tuple[str, ...]] = ()
    rule: OmitArgPrefixes[Bidirectional] = dataclasses.field(default_factory=Bidirectional)
    meta: OmitArgPrefixes[MetaTraining] = dataclasses.field(default_factory=MetaTraining)
    machines: OmitArgPrefixes[Machines] = dataclasses.field(default_factory=Machines)

    def run(self) -> None:
        """Meta-trains and prints the result."""
        self.machines.join()
        out = Path(self.out)
        command = started_with(self) if self.resume else self
        settings, genome = command.start()
        if is_first_process() and not self.resume and not parts_of_run(out):
            there = to_config(dataclasses.replace(command, machines=Machines()), KNOWN)
            write_file(out / COMMAND_FILE, json.dumps(there, indent=2) + "\n")
        result = meta_train(
            settings,
            command.meta,
            init=genome,
            out=out,
            resume=self.resume,
            command=command.line,
            devices=self.machines.devices,
        )
        if is_first_process():
            self._say(result, out)

    def _say(self, result: MetaTrainResult, out: Path) -> None:
        accuracy = "" if math.isnan(result.accuracy) else f", accuracy {result.accuracy:.4g}"
        print(f"validation fitness {result.fitness:.4g}{accuracy} (candidate {result.candidate})")
        print(f"genome: {out / 'genome.safetensors'}")

    @property
    def line(self) -> str | None:
        """The command line; None without one."""
        return shlex.join(["blur", "meta-train", *self.words]) if self.words else None

    def given(self, name: str) -> bool:
        """Whether an option was given, even with its default value."""
        options = typed_options(self.words)
        option = name.replace("_", "-")
        default = _options(MetaTrain("", self.out))[name]
        return f"--{option}" in options or f"--no-{option}" in options or _options(self)[name] != default

    def start(self) -> tuple[list[Setting], Genome | None]:
        """The settings, one for each combination of values, and the genome of --init."""
        rule, genome = (self.rule, None) if self.init is None else self._initial(self.init)
        task = make_task(self.task, resolution=self.resolution, data_dir=self.data_dir)
        combinations = itertools.product(self._of_each_depth(rule), self.steps, self.batch_size)
        return [Setting(rule, task, steps=steps, batch_size=size) for rule, steps, size in combinations], genome

    def _initial(self, path: str) -> tuple[UpdateRule, Genome]:
        """Rule and genome of a file, with the hidden layers of --hidden.

        Raises:
          ValueError: another option of the rule was given.
        """
        if any(self.given(field.name) for field in dataclasses.fields(self.rule) if field.name != "hidden"):
            raise ValueError(f"--init takes the rule from {path}; of the rule's options only --hidden goes with it")
        file = load_genome(path)
        return (file.rule.with_hidden(self.rule.hidden) if self.given("hidden") else file.rule), file.genome

    def _of_each_depth(self, rule: UpdateRule) -> list[UpdateRule]:
        if not self.depth:
            return [rule]
        hidden = rule.hidden or ()
        if len(hidden) != 1 or min(self.depth) < 1:
            raise ValueError(
                f"--depth is {in_words(self.depth)} and --hidden {in_words(hidden)}; expected depths of at least 1 and "
                "one width for all layers"
            )
        return [rule.with_hidden(hidden * depth) for depth in self.depth]


COMMAND_FILE = "command.json"
KNOWN = {**RULES, "MetaTrain": MetaTrain, "MetaTraining": MetaTraining, "Machines": Machines}

FREE = ("out", "resume", "data_dir", "words")
"""Options that may change when a run is resumed. The data may move: their content is compared, not their folder."""


def started_with(resumed: MetaTrain) -> MetaTrain:
    """The options of the run in the folder. `resumed` may repeat them, but not change them.

    Raises:
      ValueError: an option was given with another value.
    """
    file = Path(resumed.out) / COMMAND_FILE
    if not file.exists():  # no run, or a run that Python started: `meta_train` refuses the first, compares the second
        return resumed
    started = from_config(json.loads(file.read_text(encoding="utf-8")), KNOWN, str(file))
    there = {**_options(started), **run_size(started.meta)._asdict()}
    for name, value in _options(resumed).items():
        if name not in FREE and resumed.given(name) and value != there[name]:
            option = name if name == "task" else f"--{name.replace('_', '-')}"
            raise ValueError(
                f"the run in {resumed.out} was started with {option} {in_words(there[name])}, not {in_words(value)}; "
                "leave the option out, or start another run in another folder"
            )
    free = {"out": resumed.out, "data_dir": resumed.data_dir or started.data_dir, "machines": resumed.machines}
    return dataclasses.replace(started, **free)


def in_words(value: Any) -> str:
    """An option's value, as a user types it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _options(command: MetaTrain) -> dict[str, Any]:
    """All options by name, with the options of the rule and of the outer loop."""
    fields = {name: value for name, value in vars(command).items() if name not in ("rule", "meta", "machines")}
    return {**fields, **dataclasses.asdict(command.rule), **dataclasses.asdict(command.meta)}
