"""`blur genomes`, `blur rules` and `blur tasks`: lists."""

import dataclasses
import inspect

from blur.core.rule import UpdateRule
from blur.files.genomes import list_genomes, load_genome, parameter_count
from blur.rules import RULES
from blur.tasks import TASKS


@dataclasses.dataclass(frozen=True)
class Genomes:
    """List the genomes that ship with blur."""

    def run(self) -> None:
        """Prints name, rule, size and description of each."""
        if not list_genomes():
            print("no genome ships with blur; blur meta-train makes one")
        for name in list_genomes():
            file = load_genome(name)
            size = parameter_count(file.genome)
            print(f"{name}: {type(file.rule).__name__}, {size} parameters. {file.card.get('description', '')}")


@dataclasses.dataclass(frozen=True)
class Rules:
    """List the update rules that genome files may name."""

    def run(self) -> None:
        """Prints the name and the first sentence of each."""
        for name, rule in RULES.items():
            if isinstance(rule, type) and issubclass(rule, UpdateRule):
                print(f"{name}: {(inspect.getdoc(rule) or '').splitlines()[0]}")


@dataclasses.dataclass(frozen=True)
class Tasks:
    """List the tasks that have a name."""

    def run(self) -> None:
        """Prints the name and the description of each."""
        for name, task in TASKS.items():
            print(f"{name}: {task.description}")
        print("… and any .npz file, and any image-classification set of tensorflow-datasets by its name")
