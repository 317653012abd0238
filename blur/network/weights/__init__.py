"""How the synapses of a layer are stored."""
