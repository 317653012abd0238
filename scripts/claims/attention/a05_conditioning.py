"""A5: GD++ works by conditioning: the spectrum of the context's Hessian, layer by layer."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from harness.claim import Check, Claim, Finding, at_least, at_most, reported
from harness.figures import panels

from attention.common import ATTENTION, CONTEXT, INPUTS, SOURCE, TASK, TEST_KEY, attention
from blur.identify.probes import draw_tasks
from blur.rules.in_context.constructed import gd_plus_plus
from blur.rules.in_context.inspection import spectra_by_layer


@dataclasses.dataclass(frozen=True)
class Preset:
    """Whether models are trained now, and test tasks."""

    retrain: bool
    tasks: int


def formula(spectrum: np.ndarray, shrinkage: float) -> np.ndarray:
    """λ − 2γλ² + γ²λ³, ascending."""
    return np.sort(spectrum - 2 * shrinkage * spectrum**2 + shrinkage**2 * spectrum**3)


def formula_error(count: int) -> float:
    """Largest difference between measured eigenvalues and the formula over four layers and several γ, in float64."""
    worst = 0.0
    with jax.enable_x64(True):
        drawn = draw_tasks(TASK, TEST_KEY, count, context=CONTEXT, steps=4)
        drawn = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), drawn)
        for shrinkage in (0.5, 1.5, 3.0):
            genome = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), gd_plus_plus(ATTENTION, 1.0, shrinkage))
            spectra = np.asarray(spectra_by_layer(ATTENTION, genome, drawn))
            for layer in range(4):
                worst = max(worst, float(np.abs(formula(spectra[:, layer], shrinkage) - spectra[:, layer + 1]).max()))
    return worst


def conditions(spectra: np.ndarray, kept: int) -> np.ndarray:
    """λ₁/λ_kept per task and layer: the ratio of the largest eigenvalue to the `kept`-th largest."""
    return spectra[..., -1] / np.maximum(spectra[..., INPUTS - kept], np.finfo(spectra.dtype).tiny)


def conditioning(layers: int, spectra: np.ndarray) -> list[Check]:
    """Expects κ(XXᵀ) to fall in every layer: its median by at least 5 %, and itself in 95 % of the tasks.

    Args:
      layers: the number of layers, for the names of the checks.
      spectra: ascending eigenvalues before each layer and after the last, [tasks, layers + 1, inputs].
    """
    all_conditions = conditions(spectra, INPUTS)
    medians, half = (np.median(conditions(spectra, kept), axis=0) for kept in (INPUTS, INPUTS // 2))
    falls = np.mean(np.all(np.diff(all_conditions, axis=1) < 0, axis=1))
    name = f"L={layers}: "
    return [
        reported(name + "median κ(XXᵀ) before layers, and at the end", ", ".join(f"{m:.1f}" for m in medians)),
        at_most(name + "largest κ after a layer / κ before it", float(np.max(medians[1:] / medians[:-1])), 0.95),
        at_least(name + "share of tasks whose κ falls in every layer", float(falls), 0.95),
        reported(name + "median λ₁/λ₅ before layers, and at the end", ", ".join(f"{m:.2f}" for m in half)),
    ]


def measure(preset: Preset) -> Finding:
    """The formula, then the trained models."""
    error = formula_error(min(preset.tasks, 1000))
    checks: list[Check] = [at_most("GD++: largest difference to the formula, float64", error, 1e-5)]
    figure, axes = panels(["Median condition number after so many layers", "Mean spectrum of the context, 5 layers"])
    for layers in (2, 5):
        rule, genome = attention(layers, retrain=preset.retrain)
        drawn = draw_tasks(TASK, TEST_KEY, preset.tasks, context=CONTEXT, steps=layers)
        spectra = np.asarray(spectra_by_layer(rule, genome, drawn))
        checks += conditioning(layers, spectra)
        medians = np.median(conditions(spectra, INPUTS), axis=0)
        axes[0].plot(range(layers + 1), medians, marker=".", label=f"{layers} layers")
    for layer, mean in enumerate(spectra.mean(0)):
        axes[1].plot(range(1, INPUTS + 1), mean[::-1] / mean[-1], marker=".", label=f"after {layer} layers")
    axes[0].set(xlabel="layers", yscale="log", xticks=range(6))
    axes[1].set(xlabel="eigenvalue of XXᵀ, largest first", ylabel="relative to the largest", yscale="log")
    for one in axes:
        one.legend(fontsize=8)
    return Finding(checks, figure)


CLAIM = Claim(
    id="A5",
    statement="GD++ works by conditioning: spectra follow U(Σ − 2γΣ² + γ²Σ³)Uᵀ, and in trained models κ(XXᵀ) falls in "
    "every layer",
    source=f"{SOURCE}, §4 and App. A.10",
    measure=measure,
    quick=Preset(retrain=False, tasks=10_000),
    full=Preset(retrain=True, tasks=100_000),
)
