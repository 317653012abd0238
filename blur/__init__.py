"""blur: meta-learn update rules, ship them as small files, measure how far they generalise.

The public names, in the order one meets them; each is imported when it is first used, so that `import blur` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOMES = {
    # use a genome
    "load_genome": "blur.files.genomes",
    "list_genomes": "blur.files.genomes",
    "train": "blur.models.fit",
    "predict": "blur.models.fit",
    "Model": "blur.models.fit",
    "save_model": "blur.models.files",
    "load_model": "blur.models.files",
    # find one
    "make_task": "blur.tasks",
    "Bidirectional": "blur.rules.bidirectional",
    "Setting": "blur.meta",
    "MetaTraining": "blur.meta",
    "meta_train": "blur.meta",
    "save_genome": "blur.files.genomes",
    "GenomeFile": "blur.files.genomes",
    "GenomeFileError": "blur.files.genomes",
    # compare it
    "evaluate": "blur.evaluation.evaluate",
    "EvaluationPlan": "blur.evaluation.plan",
    "Learner": "blur.evaluation.plan",
    "write_results": "blur.reports.files",
    "print_results": "blur.reports.files",
    "OptaxMLP": "blur.rules.optax_mlp",
    "TwoStateSGD": "blur.rules.two_state_sgd",
    # learn in context
    "LinearAttention": "blur.rules.in_context.linear_attention",
    "Transformer": "blur.rules.in_context.transformer",
    "InContextRegression": "blur.tasks",
    "predict_in_context": "blur.models.context",
    "predict_prefixes": "blur.models.prefixes",
    # write another rule
    "UpdateRule": "blur.core.rule",
    "Batch": "blur.core.episode",
    "Episode": "blur.core.episode",
    "Phase": "blur.core.phases",
    "chain": "blur.core.phases",
    "State": "blur.core.state",
    "unroll": "blur.core.inner_loop",
    "learning_curve": "blur.core.inner_loop",
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
