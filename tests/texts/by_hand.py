"""Layers with weights set by hand."""

import keras
import numpy as np

from rnn_toolkit import fit_vocabulary

LETTERS = fit_vocabulary(["abcdefghijklmnopqrstuvwxyz"], unit="character")
ABC = fit_vocabulary(["abc"], unit="character")  # "a", "b" and "c" have the codes 2, 3 and 4


def array(values) -> np.ndarray:
    return keras.ops.convert_to_numpy(values)


def constant(layer, *values):
    """Set the weights of a layer to constants, or to arrays."""
    layer.set_weights([np.broadcast_to(value, old.shape) for value, old in zip(values, layer.weights, strict=True)])
    return layer
