"""`blur evaluate`: compare genomes with tuned baselines."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from blur.evaluation.evaluate import evaluate
from blur.evaluation.plan import EvaluationPlan, Learner
from blur.genome_io import load_genome
from blur.report import print_results, write_results


@dataclasses.dataclass(frozen=True)
class Plan(EvaluationPlan):
    """The plan, its axes under the names that one types."""

    tasks: Annotated[tuple[str, ...], arg(name="task")] = EvaluationPlan.tasks
    resolutions: Annotated[tuple[int, ...], arg(name="resolution")] = EvaluationPlan.resolutions
    depths: Annotated[tuple[int, ...], arg(name="depth")] = EvaluationPlan.depths
    unrolls: Annotated[tuple[int, ...], arg(name="unroll")] = EvaluationPlan.unrolls
    batch_sizes: Annotated[tuple[int, ...], arg(name="batch-size")] = EvaluationPlan.batch_sizes


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Compare genomes with tuned baselines on the same test episodes, under every combination of the plan's axes.

    The folder --out receives results.json, results.csv and pictures; the tables are printed.

    For instance:
      blur evaluate runs/digits/genome.safetensors --task digits --unroll 10 50 --out runs/digits/evaluation
      blur evaluate runs/mnist/genome.safetensors --task mnist --resolution 28 --data-dir data --out runs/mnist/28

    Attributes:
      genomes: genome files, or names of those that ship with blur.
      out: folder for the results.
      plan: what is compared where.
    """

    genomes: Annotated[Positional[tuple[str, ...]], arg(metavar="GENOME …")]
    out: Path
    plan: OmitArgPrefixes[Plan] = dataclasses.field(default_factory=Plan)

    def run(self) -> None:
        """Evaluates, writes and prints."""
        if not self.genomes:
            raise ValueError("no genome was given; expected at least one genome file or name")
        compare([read_learner(path) for path in self.genomes], self.plan, self.out)


def read_learner(path: str) -> Learner:
    """A genome as a learner, named after its file, or after its run's folder where the file is just `genome`."""
    file = load_genome(path)
    name = Path(path).stem
    return Learner(Path(path).resolve().parent.name if name == "genome" else name, file.rule, file.genome)


def compare(learners: list[Learner], plan: EvaluationPlan, out: Path) -> None:
    """Evaluates learners, writes the results and prints the tables."""
    records = evaluate(learners, plan)
    files = write_results(records, plan, out)
    print_results(records)
    for file in files:
        print(file)
