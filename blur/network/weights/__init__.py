"""How the synapses of a layer are stored, and what every storage can do (`base`)."""
