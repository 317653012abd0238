"""Synapses of the original BLUR implementation, which keeps both directions of a layer in one square matrix."""

from blur.network.synapses import Synapse


def synapse_from_original(square, inputs):
    """The blocks that neurons read, of a matrix `[all, all, k]` over [inputs, bias, outputs] on both axes."""
    square = square.transpose(2, 0, 1)
    forward = square[:, : inputs + 1, inputs + 1 :]
    return Synapse(forward[:, :inputs], forward[:, inputs], square[:, inputs + 1 :, :inputs])
