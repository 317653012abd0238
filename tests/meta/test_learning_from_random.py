"""From random genomes to rules that learn real digits: by the gradient, and by CMA-ES."""

import pytest

from blur.meta import MetaTraining, Setting, meta_train
from blur.rules.bidirectional import Bidirectional
from blur.tasks import make_task

SETTING = Setting(Bidirectional(hidden=(16,), states=3), make_task("digits"), steps=5, batch_size=64)


@pytest.mark.parametrize(
    ("config", "accuracy"),
    [
        (MetaTraining(meta_steps=150, candidates=1, learning_rate=2e-2, validation_episodes=8), 0.6),
        (MetaTraining(outer="CMA_ES", meta_steps=300, candidates=1, population=16, validation_episodes=8), 0.5),
    ],
    ids=["gradient", "CMA_ES"],
)
def test_a_random_genome_becomes_a_rule_that_learns_digits(config, accuracy):
    result = meta_train(SETTING, config, progress=False)
    assert result.history["accuracy"][0] < 0.3  # chance is 0.1
    assert result.accuracy > accuracy
