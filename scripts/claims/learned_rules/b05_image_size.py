"""B5: meta-trained on 10×10 MNIST, the genome beats the tuned optimisers on 28×28 too."""

from __future__ import annotations

import dataclasses

from harness.claim import Claim, Finding

import blur
from blur.evaluation.plan import read_learner
from learned_rules.common import SOURCE, LearningPreset, best_baseline, clearly_above, compare, curve_panels, margin


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(LearningPreset):
    """The genome, a name or a file; a resolution that is new to it; numbers of hidden layers."""

    genome: str = "mnist-k4"
    new_resolution: int = 28
    depths: tuple[int, ...] = (1, 2)


def measure(preset: Preset) -> Finding:
    """Compares at both resolutions. The verdicts are about the new one, with the hidden layers of the training."""
    learner = read_learner(preset.genome)
    trained = depths_of_training(preset.genome)
    resolutions = tuple(size for size in (preset.resolution, preset.new_resolution) if size is not None)
    groups = compare(preset, [learner], [preset.plan(resolutions=resolutions, depths=preset.depths)])
    checks = []
    for group in groups:
        record = group[learner.name]
        if record.resolution == preset.new_resolution and len(record.hidden) in trained:
            checks += clearly_above(group, learner.name)
        else:
            checks.append(margin(record, best_baseline(group)))
    return Finding(checks, curve_panels(groups, columns=len(preset.depths)))


def depths_of_training(genome: str) -> set[int]:
    """Numbers of hidden layers in a genome's meta-training, from its card; without them, that of its rule."""
    file = blur.load_genome(genome)
    settings = file.card.get("data", {}).get("settings", [])
    networks = [setting["rule"]["hidden"] for setting in settings] or [file.rule.hidden]
    return {len(hidden) for hidden in networks}


CLAIM = Claim(
    id="B5",
    statement="Meta-trained on 10×10 MNIST with four states, the genome beats the tuned optimisers on 28×28 images too",
    source=f"{SOURCE}, §4",
    measure=measure,
    quick=Preset(),
    full=Preset(episodes=400),
)
