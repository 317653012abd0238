"""A10: one layer trained on Gaussian data is one step of (preconditioned) gradient descent: the closed-form minimum."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from harness.claim import Check, Claim, Finding, at_most, reported
from harness.figures import panels

from attention.common import TEST_KEY, Training, train
from blur.core.rule import Genome
from blur.identify.probes import draw_tasks, half_squared_errors, predictions
from blur.rules.in_context.inspection import products
from blur.rules.in_context.linear_attention import LinearAttention
from blur.tasks import GaussianRegression

D, N, NOISE = 5, 20, 0.5
RULE = LinearAttention(D)


@dataclasses.dataclass(frozen=True)
class Preset:
    """Training, and test tasks."""

    training: Training
    tasks: int


def covariance() -> np.ndarray:
    """A covariance of condition number 8 in a random basis."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(D, D)))[0]
    return basis @ np.diag(np.geomspace(2.0, 0.25, D)) @ basis.T


def root(matrix: np.ndarray) -> jax.Array:
    """The symmetric square root."""
    values, vectors = np.linalg.eigh(matrix)
    return jnp.asarray(vectors @ np.diag(np.sqrt(values)) @ vectors.T, jnp.float32)


def minimum(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A* = N [(N+1) ΣWΣ + (tr(WΣ) + σ²) Σ]⁻¹ ΣW, of ŷ = (1/N) Σ_i y_i x_iᵀ A x_q."""
    spread = np.trace(weights @ inputs) + NOISE**2
    return N * np.linalg.solve((N + 1) * inputs @ weights @ inputs + spread * inputs, inputs @ weights)


def learned(genome: Genome) -> np.ndarray:
    """A of a trained layer: −(PV)_yy (KᵀQ)_xx."""
    found = products(genome)
    return np.asarray(-found.values[-1, -1] * found.scores[:D, :D])


def multiple_of_identity(task: GaussianRegression, count: int) -> np.ndarray:
    """The best A = c I on sampled tasks: c = E[y_q v·x_q] / E[(v·x_q)²], v = (1/N) Σ_i y_i x_i."""
    drawn = draw_tasks(task, jax.random.key(3), count, context=N, steps=1, split="validation")
    v = jnp.mean(drawn.support.targets * drawn.support.inputs, axis=1)
    reads = jnp.sum(v * drawn.query.inputs[:, 0], axis=-1)
    return np.eye(D) * float(jnp.sum(reads * drawn.query.targets[:, 0, 0]) / jnp.sum(reads**2))


def cases(count: int) -> dict[str, tuple[GaussianRegression, np.ndarray]]:
    """The tasks by name, each with its minimum."""
    one, tilted = np.eye(D), covariance()
    inverse = np.linalg.inv(tilted)

    def linear(inputs: np.ndarray, weights: np.ndarray) -> tuple[GaussianRegression, np.ndarray]:
        return GaussianRegression(root(inputs), root(weights), noise=NOISE), minimum(inputs, weights)

    nonlinear = GaussianRegression(root(one), root(one), noise=NOISE, hidden=20)
    return {
        "isotropic": linear(one, one),
        "Σ, w ~ N(0, Σ⁻¹)": linear(tilted, inverse),
        "Σ, w ~ N(0, I)": linear(tilted, one),
        "nonlinear targets": (nonlinear, multiple_of_identity(nonlinear, count)),
    }


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """‖first − second‖ / ‖second‖, Frobenius."""
    return float(np.linalg.norm(first - second) / np.linalg.norm(second))


def measure(preset: Preset) -> Finding:
    """Trains one layer on every task, and compares its matrix and its loss with those of the minimum."""
    tasks = cases(20 * preset.tasks)
    figure, axes = panels([f"{name}: learned A against A*" for name in tasks])
    checks: list[Check] = []
    for (name, (task, expected)), one in zip(tasks.items(), axes, strict=True):
        trained = train(RULE, preset.training, task=task, context=N)
        found = learned(trained.genome)
        drawn = draw_tasks(task, TEST_KEY, preset.tasks, context=N, steps=1)
        v = jnp.mean(drawn.support.targets * drawn.support.inputs, axis=1)
        best = jnp.einsum("ei,ij,eqj->eq", v, jnp.asarray(expected, jnp.float32), drawn.query.inputs)[..., None]
        losses = [
            float(half_squared_errors(outputs, drawn).mean())
            for outputs in (predictions(*trained.learner, drawn), best)
        ]
        plain = np.eye(D) * np.trace(expected) / D
        checks += [
            at_most(f"{name}: ‖A − A*‖ / ‖A*‖", distance(found, expected), 0.05),
            reported(f"{name}: the same of the nearest plain step, A ∝ I", distance(plain, expected)),
            at_most(f"{name}: loss / that of A*, same tasks", losses[0] / losses[1], 1.01),
        ]
        one.plot(expected.ravel(), found.ravel(), ".")
        one.axline((0, 0), slope=1, color="black", linewidth=0.8)
        one.set(xlabel="A*", ylabel="learned")
    return Finding(checks, figure)


CLAIM = Claim(
    id="A10",
    statement="One layer of linear attention trained on noisy Gaussian data is one step of gradient descent: the "
    "closed-form minimum, preconditioned where inputs or weights are not isotropic, plain for nonlinear targets",
    source="Mahankali, Hashimoto & Ma, One Step of Gradient Descent is Provably the Optimal In-Context Learner with "
    "One Layer of Linear Self-Attention, ICLR 2024",
    measure=measure,
    quick=Preset(Training(4000, tasks=1024), tasks=20_000),
    full=Preset(Training(20_000, tasks=4096), tasks=100_000),
)
