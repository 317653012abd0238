"""B6: meta-trained with several numbers of hidden layers, up to 8, a genome works with 1, 2, 4, 5 and 10."""

from __future__ import annotations

import dataclasses

from harness.claim import Check, Claim, Finding, reported

import blur
from blur.evaluation.plan import Learner, read_learner
from blur.meta import MetaTraining
from blur.reports.figures import heat_map
from learned_rules.common import SOURCE, Group, LearningPreset, compare, meta_train_seeds, not_below, place, score


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(LearningPreset):
    """Genomes and depths.

    Attributes:
      genome: the name or file of a genome that was meta-trained with several depths.
      trained: numbers of hidden layers; for each one, a genome is meta-trained now.
      training: the meta-training of these genomes.
      tested: numbers of hidden layers of the tests.
    """

    genome: str = "mnist-k4-deep"
    trained: tuple[int, ...] = (1, 2, 4)
    training: MetaTraining
    tested: tuple[int, ...] = (1, 2, 4, 5, 10)


def measure(preset: Preset) -> Finding:
    """Tests all genomes at all depths. The verdicts are about the genome of several depths."""
    mixed = read_learner(preset.genome)
    learners = [mixed, *(trained_with(depth, preset) for depth in preset.trained)]
    groups = compare(preset, learners, [preset.plan(depths=preset.tested)])
    checks = [check for group in groups for check in not_below(group, mixed.name)]
    checks += [single_depth(group, learner.name) for learner in learners[1:] for group in groups]
    return Finding(checks, heat_map([record for group in groups for record in group.values()]))


def trained_with(depth: int, preset: Preset) -> Learner:
    """A genome that is meta-trained with `depth` hidden layers only."""
    setting = preset.setting(blur.Bidirectional(), depth)
    (result,) = meta_train_seeds(setting, preset.training, 1)
    return Learner(f"trained with {depth}", setting.rule, result.genome)


def single_depth(group: Group, name: str) -> Check:
    """A cell of the table without a verdict."""
    return reported(f"{place(group[name])}: {name}", score(group[name]))


CLAIM = Claim(
    id="B6",
    statement="Meta-trained with 1, 2, 4 and 8 hidden layers, a genome works with 1, 2, 4, 5 and 10: at least as well "
    "as tuned SGD",
    source=f"{SOURCE}, §4",
    measure=measure,
    quick=Preset(baselines=("sgd", "adam"), training=MetaTraining(meta_steps=400, candidates=1, learning_rate=2e-2)),
    full=Preset(training=MetaTraining(meta_steps=4000, candidates=4, learning_rate=2e-2)),
)
