"""`blur evaluate`: compare genomes with tuned baselines."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from blur.evaluation.evaluate import evaluate_conditions
from blur.evaluation.plan import EvaluationPlan, Learner, read_learner
from blur.evaluation.presets import PRESETS
from blur.evaluation.records import Record
from blur.reports.files import print_results, write_results, write_tables
from blur.support.errors import check_choice


@dataclasses.dataclass(frozen=True)
class Plan(EvaluationPlan):
    """The plan, its axes under the names that one types."""

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
"""The fields of a plan that presets decide, and how they are typed."""


def preset_help() -> str:
    """The presets, one after the other."""
    described = "; ".join(f"{name}: {preset.description}" for name, preset in PRESETS.items())
    return (
        f"a comparison with a name, instead of task, resolution, hidden, depth, steps and batch size ({described}). "
        "One hidden layer of 64 and 10 steps of 128 unless it says otherwise; baselines of the learners' width."
    )


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Compare genomes with tuned baselines on the same test episodes, under every combination of the plan's axes.

    The folder --out receives report.html, summary.md, results.json, results.csv and pictures; the tables are printed.
    An evaluation that was interrupted leaves the conditions that it has finished; the same command goes on from there:
    scores are kept in the folder's scores/, and used again for the same genome, settings, data and versions.

    For instance:
      blur evaluate runs/digits/genome.safetensors --task digits --steps 10 50 --out runs/digits/evaluation
      blur evaluate runs/mnist/genome.safetensors --task mnist --resolution 28 --data-dir data --out runs/mnist/28
      blur evaluate runs/mnist/genome.safetensors --preset depth --data-dir data --out runs/mnist/depth

    Attributes:
      genomes: genome files, or names of those that ship with blur.
      out: folder for the results.
      words: the command line, after the command's name.
      plan: what is compared where.
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
        """The plan, or those of the preset with the options that were given.

        Raises:
          ValueError: there is no such preset, or what it decides was given too.
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
        """Whether an option of the plan was given, be its value the default or not."""
        typed = {word.split("=")[0].replace("_", "-") for word in self.words}
        option = AXES.get(name, f"--{name.replace('_', '-')}")
        return option in typed or getattr(self.plan, name) != getattr(Plan(), name)


def compare(learners: Sequence[Learner], plans: Sequence[EvaluationPlan], out: Path) -> None:
    """Evaluates learners, writes the results and prints the tables; what is finished also when it is interrupted."""
    records: list[Record] = []
    scores = out / "scores"
    if kept := len(list(scores.glob("*"))):
        print(f"{scores} has {kept} scores of before; those that fit are used again")
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
