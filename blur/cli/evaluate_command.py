"""`blur evaluate`: compare genomes with tuned baselines."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from blur.cli.options import typed_options
from blur.evaluation.evaluate import evaluate_conditions
from blur.evaluation.plan import EvaluationPlan, Learner, read_learner
from blur.evaluation.presets import PRESETS
from blur.evaluation.records import EvaluationRecord
from blur.reports.files import print_results, write_results, write_tables
from blur.support.errors import check_choice


@dataclasses.dataclass(frozen=True)
class Plan(EvaluationPlan):
    """The plan, with the axes as options in the singular."""

    tasks: Annotated[tuple[str, ...], arg(name="task")] = EvaluationPlan.tasks
    resolutions: Annotated[tuple[int, ...], arg(name="resolution")] = EvaluationPlan.resolutions
    depths: Annotated[tuple[int, ...], arg(name="depth")] = EvaluationPlan.depths
    steps: Annotated[tuple[int, ...], arg(name="steps")] = EvaluationPlan.steps
    batch_sizes: Annotated[tuple[int, ...], arg(name="batch-size")] = EvaluationPlan.batch_sizes


AXES = {
    "tasks": "--task",
    "resolutions": "--resolution",
    "hidden": "--hidden",
    "depths": "--depth",
    "steps": "--steps",
    "batch_sizes": "--batch-size",
}
"""The fields of a plan that presets decide, and their options."""


def preset_help() -> str:
    """The help text of --preset, with a description of each."""
    described = "; ".join(f"{name}: {preset.description}" for name, preset in PRESETS.items())
    return (
        f"a named comparison, which decides task, resolution, hidden, depth, steps and batch size ({described}). "
        "Defaults: one hidden layer of 64, 10 steps of 128; baselines have the learners' width."
    )


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Compare genomes with tuned baselines on the same test episodes, under every combination of the plan's axes.

    The folder --out receives report.html, summary.md, results.json, results.csv and pictures; the tables are printed.
    An interrupted evaluation leaves the results of its finished conditions, and the same command continues it. The
    folder's scores/ caches all scores; they are used again for the same genome, settings, data and versions.

    For instance:
      blur evaluate runs/digits/genome.safetensors --task digits --steps 10 50 --out runs/digits/evaluation
      blur evaluate runs/mnist/genome.safetensors --task mnist --resolution 28 --data-dir data --out runs/mnist/28
      blur evaluate runs/mnist/genome.safetensors --preset depth --data-dir data --out runs/mnist/depth

    Attributes:
      genomes: genome files, or names of those that ship with blur.
      out: folder for the results.
      words: the command line, after the command's name.
      plan: the conditions and the baselines.
    """

    genomes: Annotated[Positional[tuple[str, ...]], arg(metavar="GENOME …")]
    out: Path
    preset: Annotated[str | None, arg(help=preset_help(), metavar="|".join(PRESETS))] = None
    words: Suppress[tuple[str, ...]] = ()
    plan: OmitArgPrefixes[Plan] = dataclasses.field(default_factory=Plan)

    def run(self) -> None:
        """Evaluates, writes and prints."""
        if not self.genomes:
            raise ValueError("no genome was given; expected at least one genome file or name")
        plans = self.plans()
        compare([read_learner(path) for path in self.genomes], plans, self.out)

    def plans(self) -> tuple[EvaluationPlan, ...]:
        """The plan; with --preset, the preset's plans with the given options.

        Raises:
          ValueError: there is no such preset, or an option was given that the preset decides.
        """
        if self.preset is None:
            return (self.plan,)
        check_choice("--preset", self.preset, PRESETS)
        given = [field.name for field in dataclasses.fields(Plan) if self.given(field.name)]
        if axes := [AXES[name] for name in given if name in AXES]:
            raise ValueError(f"--preset {self.preset} decides {' and '.join(axes)} itself; leave out one or the other")
        chosen = {name: getattr(self.plan, name) for name in given}
        return tuple(dataclasses.replace(plan, **chosen) for plan in PRESETS[self.preset].plans)

    def given(self, name: str) -> bool:
        """Whether an option of the plan was given, even with its default value."""
        option = AXES.get(name, f"--{name.replace('_', '-')}")
        return option in typed_options(self.words) or getattr(self.plan, name) != getattr(Plan(), name)


def compare(learners: Sequence[Learner], plans: Sequence[EvaluationPlan], out: Path) -> None:
    """Evaluates learners, writes the results and prints the tables. An interruption keeps the finished conditions."""
    records: list[EvaluationRecord] = []
    scores = out / "scores"
    if cached := len(list(scores.glob("*"))):
        print(f"{scores} has {cached} cached scores; matching ones are used again")
    try:
        with contextlib.closing(evaluate_conditions(learners, plans, folder=scores)) as groups:
            for group in groups:
                records += group
                write_tables(records, plans, out)
    finally:
        if records:
            files = write_results(records, plans, out, learners)
            print_results(records)
            print(*files, sep="\n")
