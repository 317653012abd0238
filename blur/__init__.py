"""blur: meta-learn update rules, ship them as small files, measure how far they generalise.

The public names, in the order one meets them; each is imported when it is first used, so that `import blur` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    # use a genome
    "load_genome": "blur.genome_io",
    "list_genomes": "blur.genome_io",
    "train": "blur.model",
    "predict": "blur.model",
    "Model": "blur.model",
    "save_model": "blur.model_io",
    "load_model": "blur.model_io",
    # find one
    "make_task": "blur.tasks",
    "Bidirectional": "blur.rules.bidirectional",
    "Setting": "blur.meta",
    "MetaTraining": "blur.meta",
    "meta_train": "blur.meta",
    "save_genome": "blur.genome_io",
    "GenomeFile": "blur.genome_io",
    "GenomeFileError": "blur.genome_io",
    # compare it
    "evaluate": "blur.evaluation.evaluate",
    "EvaluationPlan": "blur.evaluation.plan",
    "Learner": "blur.evaluation.plan",
    "write_results": "blur.report",
    "print_results": "blur.report",
    "OptaxMLP": "blur.rules.gradient",
    "TwoStateSGD": "blur.rules.two_state_sgd",
    # learn in context
    "LinearAttention": "blur.rules.attention",
    "Transformer": "blur.rules.transformer",
    "InContextRegression": "blur.tasks",
    "predict_in_context": "blur.model",
    "predict_prefixes": "blur.evaluation.prefixes",
    # write another rule
    "UpdateRule": "blur.rule",
    "Batch": "blur.rule",
    "Episode": "blur.rule",
    "Phase": "blur.rule",
    "chain": "blur.rule",
    "State": "blur.state",
    "unroll": "blur.inner_loop",
    "learning_curve": "blur.inner_loop",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'blur' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
