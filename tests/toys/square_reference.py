"""The bidirectional rule as its equations say, in float64 numpy and in the original's layout, slow and plain.

One square matrix over [inputs, bias, outputs] holds both directions of a synapse layer; every sum is an einsum.
"""

import numpy as np


def step(options, genomes, layers, squares, x, y, index):
    """One network step; returns layers `[batch, neurons, k]` and squares `[n, n, k]`. `genomes` has one per layer."""
    k = squares[0].shape[-1]
    layers = list(layers) if options.get("persistent") else [np.zeros_like(layer) for layer in layers]
    layers[0] = np.concatenate([x[..., None], np.zeros((*x.shape, k - 1))], axis=-1)
    if options.get("normalize_synapses"):
        squares = [normalised(s, layers[n].shape[1], genomes[n], options, keep=False) for n, s in enumerate(squares)]
    for n in range(len(squares)):
        used = in_use(options, squares[n], layers[n].shape[1], genomes[n])
        inputs = layers[n].shape[1]
        source = with_bias(layers[n], 1.0)
        u = np.einsum("bik,kc,ijc->bjc", source, genomes[n]["nu"], used[: inputs + 1, inputs + 1 :])
        z = genomes[n]["keep"] * layers[n + 1] + genomes[n]["update"] * u
        layers[n + 1] = options["last"](z) if n == len(squares) - 1 else options["activation"](z)
    forward = list(layers)
    if options.get("supervised_every") and index % options["supervised_every"]:
        return layers, squares
    layers[-1] = np.stack([layers[-1][..., 0], y, *[np.zeros_like(y)] * (k - 2)], axis=-1)
    for n in range(len(squares) - 1, 0, -1):
        inputs = layers[n].shape[1]
        used = in_use(options, squares[n], inputs, genomes[n])
        u = np.einsum("bjk,kc,jic->bic", layers[n + 1], genomes[n]["mu"], used[inputs + 1 :, :inputs])
        layers[n] = options["activation"](combined(options, genomes[n], layers[n], u))
    lower = forward if options.get("use_forward") else layers
    pairs = zip(squares, lower[:-1], layers[1:], genomes, strict=True)
    return layers, [update(options, g, w, below, above) for w, below, above, g in pairs]


def combined(options, genome, a, u):
    mode = options.get("backward_update", "additive")
    if mode == "additive":
        return genome["keep"] * a + genome["update"] * u
    if mode == "multiplicative":
        return genome["keep"] * a * u
    if mode == "multiplicative_second_state":
        return genome["keep"] * np.concatenate([a[..., :1], a[..., 1:] * u[..., 1:]], axis=-1)
    return u


def update(options, genome, w, below, above):
    inputs = below.shape[1]
    full = np.concatenate([with_bias(below, 1.0), above], axis=1)
    full0 = np.concatenate([with_bias(below, 0.0), above], axis=1)
    post = np.einsum("ol,bjl->bjo", genome["post"], full)
    h = np.einsum("bik,ko,bjo->ijo", full, genome["pre"], post)
    if options.get("symmetric_in_out"):
        block = h[: inputs + 1, inputs + 1 :]
        h = np.zeros_like(h)
        h[: inputs + 1, inputs + 1 :] = block
        h[inputs + 1 :, : inputs + 1] = block.transpose(1, 0, 2)
    if options.get("symmetric_states"):
        h = np.broadcast_to(h[..., :1], h.shape).copy()
    if options.get("oja") == "activities":
        power = np.sum(np.einsum("ol,bjl->bjo", genome["post"], full0) ** 2, axis=0)
        h = h - np.sign(genome["synapse_update"]) * options["oja_strength"] * w * power[None]
    if options.get("oja") == "weights":
        power = np.zeros((w.shape[1], w.shape[2]))
        power[inputs + 1 :] = np.sum(w[: inputs + 1, inputs + 1 :] ** 2, axis=0)
        power[:inputs] = np.sum(w[inputs + 1 :, :inputs] ** 2, axis=0)
        h = h - np.sign(genome["synapse_update"]) * options["oja_strength"] * w * power[None]
    change = (genome["synapse_keep"] - 1) * w + genome["synapse_update"] * h
    if "saturation_eps" in options:
        change = change * np.exp(-np.abs(w) * (options["saturation_eps"] + abs(genome["saturation"])))
    return options.get("synapse_activation", lambda w: w)(w + change)


def in_use(options, w, inputs, genome):
    return normalised(w, inputs, genome, options, keep=True) if options.get("normalize_in_activations") else w


def normalised(w, inputs, genome, options, *, keep):
    out = w.copy() if keep else np.zeros_like(w)
    factor = genome["rescale_to"] if options.get("rescale") else 1.0
    for block in (
        (slice(inputs + 1), slice(inputs + 1, None)),
        (slice(inputs + 1, None), slice(inputs + 1)),
    ):
        out[block] = factor * w[block] / np.sqrt(np.sum(w[block] ** 2, axis=0, keepdims=True) + 1e-9)
    return out


def with_bias(layer, value):
    return np.concatenate([layer, np.full((layer.shape[0], 1, layer.shape[2]), value)], axis=1)
