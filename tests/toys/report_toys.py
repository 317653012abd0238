"""Records of an evaluation that never ran, for the tests of reports."""

from __future__ import annotations

from blur.evaluation.records import EvaluationRecord, verdict

TUNING = {"best": {"learning_rate": 0.3162, "output_scale": 0.1, "decay": 1.0}, "at_edge": [], "grid": []}


def make_record(learner, mean, *, kind="baseline", difference=(-0.02, 0.02), metric="accuracy", **fields):
    accuracy = metric == "accuracy"
    verdicts = {"adam+bn": verdict(difference, metric)}
    values = {
        "learner": learner,
        "kind": kind,
        "task": "digits",
        "resolution": None,
        "hidden": (64, 64),
        "network": (64, 64),
        "steps": 3,
        "batch": 128,
        "statistics": "support",
        "episodes": 100,
        "seed": 0,
        "diverged": 0,
        "metric": metric,
        "accuracy_mean": mean if accuracy else None,
        "accuracy_ci95": (mean - 0.01, mean + 0.01) if accuracy else None,
        "loss_mean": mean,
        "loss_ci95": (mean, mean),
        "best_baseline": "adam+bn",
        "paired_difference_mean": sum(difference) / 2,
        "paired_difference_ci95": difference,
        "verdict": verdicts["adam+bn"],
        "verdicts": verdicts,
        "differences_ci95": {"adam+bn": difference},
        "parameters": 12345,
        "flop_per_step": 1e6,
        "seconds_per_step": 2e-4,
        "tuning": TUNING if kind == "baseline" else None,
        "curve_mean": (0.1, 0.2, mean),
        "curve_ci95": ((0.1, 0.2, mean), (0.1, 0.2, mean)),
    }
    return EvaluationRecord(**{**values, **fields})


RECORDS = [
    make_record("blur", 0.9, kind="learner", difference=(0.01, 0.03)),
    make_record("sgd", 0.7, difference=(-0.3, -0.1)),
    make_record("adam+bn", 0.88, difference=(0.0, 0.0)),
]
