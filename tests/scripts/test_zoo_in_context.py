"""The in-context learners that ship."""

from __future__ import annotations

import pytest
from zoo.in_context import GENOMES

from blur.files.genomes import load_genome


@pytest.mark.parametrize("name", GENOMES)
def test_cards_say_the_scale_and_the_number_of_pairs(name):
    file, shipped = load_genome(name), GENOMES[name]
    assert file.card["description"] == shipped.description
    assert file.rule == shipped.rule
    assert "contexts of 10 pairs" in shipped.description
    assert ("(−√3, √3)" if name == "sine_transformer" else "(−½, ½)") in shipped.description
