"""The length of a life reaches a rule that asks for it, in `evaluate`, `learning_curve` and `train`."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation_toys import Blobs

from blur.core.episode import make_batch
from blur.core.inner_loop import learning_curve
from blur.core.losses import squared_error
from blur.core.rule import UpdateRule
from blur.evaluation import baselines, tuning
from blur.evaluation import evaluate as evaluation
from blur.evaluation.cost import StepCost
from blur.evaluation.plan import EvaluationPlan, Learner
from blur.models.fit import train


@dataclasses.dataclass(frozen=True)
class Fading(UpdateRule):
    """Moves its prediction by 1 − t/T in step t of a life of T steps, whatever it is shown."""

    hidden: tuple[int, ...] = ()

    def init_genome(self, key):
        return {"unused": jnp.zeros(())}

    def init_state(self, genome, key, spec):
        assert spec.steps is not None
        return {"life": jnp.asarray(float(spec.steps)), "step": jnp.zeros(()), "moved": jnp.zeros(())}

    def step(self, genome, state, batch):
        size = 1 - state["step"] / state["life"]
        return {**state, "step": state["step"] + 1, "moved": state["moved"] + size}

    def predict(self, genome, state, inputs):
        return jnp.full((len(inputs), 1), state["moved"])


def moved(life):
    """The prediction after every step of a life: Σ_{s ≤ t} (1 − s/T)."""
    return np.cumsum(1 - np.arange(life) / life)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Zeros(Blobs):
    """A regression of zeros: the squared error is the square of the prediction."""

    def examples(self, key, shape, shift):
        return make_batch(jax.random.normal(key, (*shape, 3)), jnp.zeros((*shape, 1)))


TASK = Zeros(jnp.zeros(()), "regression", "zeros")
RULE = Fading()
GENOME = RULE.init_genome(jax.random.key(0))


def test_an_evaluation_tells_every_life_its_length(monkeypatch):
    monkeypatch.setattr(baselines, "initial_grid", lambda *_: {"learning_rate": (0.1,), "decay": (1.0,)})
    monkeypatch.setattr(tuning, "MAX_EXTENSIONS", 0)
    monkeypatch.setattr(evaluation, "step_cost", lambda *_: StepCost(None, 0.0))
    plan = EvaluationPlan(
        tasks=("zeros",), steps=(2, 5), batch_sizes=(4,), baselines=("sgd",), baseline_sizes=("width",), episodes=2
    )
    found = evaluation.evaluate(
        [Learner("fading", RULE, GENOME)], plan, make_task=lambda *_, **__: TASK, show_progress=False
    )
    curves = {record.steps: record.curve_mean for record in found if record.learner == "fading"}
    assert curves.keys() == {2, 5}
    for life, curve in curves.items():
        assert curve == pytest.approx(moved(life) ** 2, rel=1e-6)


@pytest.mark.parametrize("life", [1, 2, 5])
def test_a_learning_curve_tells_the_life_its_length(life):
    episode = TASK.sample(jax.random.key(0), steps=life, batch_size=4)
    curve = learning_curve(RULE, GENOME, jax.random.key(1), episode, squared_error)
    np.testing.assert_allclose(curve, moved(life) ** 2, rtol=1e-6)


@pytest.mark.parametrize("life", [1, 2, 5])
def test_training_tells_the_life_its_length(life):
    inputs, targets = np.eye(6, 3, dtype=np.float32), np.arange(6.0)
    model = train(RULE, GENOME, inputs, targets, steps=life, batch_size=2)
    np.testing.assert_allclose(model.state["moved"], moved(life)[-1], rtol=1e-6)
