"""Pictures of genomes name their arrays as the equations do."""

from __future__ import annotations

import jax

from blur.core.genome import flatten_tensors
from blur.network import Oja
from blur.reports.genome_pictures import genome_pictures
from blur.rules.bidirectional import Bidirectional
from blur.rules.optax_mlp import OptaxMLP
from blur.rules.original import OriginalNetwork


def test_every_array_of_a_bidirectional_genome_but_scales_and_normalisation_has_its_symbol():
    rule = Bidirectional((8,))
    symbols, names = rule.genome_symbols(), flatten_tensors(rule.init_genome(jax.random.key(0)))
    without = {name.split("/")[-1] for name in set(names) - set(symbols)}
    assert without == {"forward_scale", "output_scale", "backward_scale", "gain", "shift"}
    assert symbols["forward/transform"] == "ν" and symbols["backward/transform"] == "μ"
    gates = "backward/gate", "backward/gate_bias", "synapses/backward_mix", "decay/rate", "decay/power"
    assert [symbols[name] for name in gates] == list("γβBrp")
    assert rule.chain.genome_symbols() == symbols
    assert OptaxMLP((8,)).genome_symbols() == {}


def test_phases_inside_of_phases_have_their_symbols_under_the_whole_path():
    rule = OriginalNetwork((4,), 2, oja=Oja(), supervised_every=2)
    assert rule.genome_symbols()["supervised/hebbian/pre"] == "ν̃"
    assert "supervised/hebbian/pre" in flatten_tensors(rule.init_genome(jax.random.key(0)))


def test_a_picture_shows_the_symbol_beside_the_name():
    rule = Bidirectional((8,), per_layer=None)
    page = str(genome_pictures(rule.init_genome(jax.random.key(0)), rule.genome_symbols()))
    assert "<b>ν</b> <code>forward/transform</code>" in page
    assert "<b>r</b> <code>decay/rate</code>" in page
    assert "<code>synapses/forward_scale</code>" in page
