"""The state that each layer of a model is in: its weights, its outputs, its gates."""

from collections import Counter

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import check_ready
from rnn_toolkit.diagnosis.restoring import untouched
from rnn_toolkit.networks.gates import gate_shares
from rnn_toolkit.networks.probing import compiled_forward, named_layers, numpy
from rnn_toolkit.networks.recurrent import cell_of

COLUMNS = ["kind", "parameters", "trainable", "spectral_radius", "forget_gate", "saturation", "dead_units"]
COLUMNS += ["activation_mean", "activation_std", "weight_norm", "zero_weights", "identical_units"]
DEAD = 1e-6  # of the layer's largest output: float32 tells apart 1e-7
NO_KERNELS = ("bias", "state")  # by name; a GRU's bias and what a language model keeps have two axes, too


def layer_statistics(model: keras.Model, x) -> pd.DataFrame:
    """Examine each layer that has weights or is recurrent, on its weights and on what it makes of some inputs.

    Without dropout, and the model is left as it was.

    Args:
        model: Any built Keras model, with or without recurrent layers.
        x: Inputs, arrays; a few hundred rows are enough, and memory grows with them.

    Returns:
        A row per layer, by the names that `Monitor` uses (index `layer`), NaN where a number does not apply:

        - `kind`: Class.
        - `parameters`: Weights of its own, without those of layers inside; `trainable`: the share that is trained.
        - `spectral_radius`: Largest absolute eigenvalue of the recurrent kernel; of an LSTM and a GRU, of the block
          that makes the new state (the candidate). Of stacked cells, the largest.
        - `forget_gate`: Mean of an LSTM's forget gate, and of a GRU's update gate, which also keeps the old state:
          near 0 it forgets at once, near 1 never. On 16 rows, without masked steps.
        - `saturation`: Share of gates within 5 % of open or shut (LSTM, GRU), or of outputs beyond 0.95 (SimpleRNN
          with tanh), on the same rows.
        - `dead_units`: Share of units whose outputs differ by less than a millionth of the layer's largest, over
          rows and steps; those of a ReLU that never opens are all zero.
        - `activation_mean`, `activation_std`: Of all outputs. Masked steps of recurrent layers do not count.
        - `weight_norm`: Euclidean norm of the kernels, that is of all weights of two or more axes but biases;
          `zero_weights`: share of them that is exactly zero.
        - `identical_units`: Share of units that have the same incoming weights as another one, biases left out: they
          learn the same if all above them starts out the same, too. Of a layer that begins at zero, all of
          them; of stacked cells it is not counted.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not built.

    Example:
        >>> dense = keras.layers.Dense(2, activation="relu", name="dense")
        >>> model = keras.Sequential([keras.Input((1,)), dense])
        >>> dense.set_weights([np.array([[3.0, 0.0]]), np.zeros(2)])
        >>> table = layer_statistics(model, np.array([[1.0], [2.0]]))
        >>> columns = ["dead_units", "activation_mean", "weight_norm", "zero_weights"]
        >>> table.loc["dense", columns].astype("float64").tolist()
        [0.5, 2.25, 3.0, 0.5]

    Source: Saturation: Karpathy et al., 2015, arXiv:1506.02078, section 4.2. Spectral radius: Pascanu et al., 2013,
        ICML, section 2.1: below 1, a linear network's gradients vanish.
    """
    check_ready(model, purpose="A look at its layers", compiled=False)
    with untouched(model):
        _, calls = compiled_forward(model)(x)
    return statistics_of(model, calls)


def statistics_of(model: keras.Model, calls: dict) -> pd.DataFrame:
    """Return `layer_statistics` of what `compiled_forward` recorded."""
    rows, taken = {}, set()
    for name, layer in named_layers(model).items():
        own = [v for v in layer.weights if id(v) not in taken]
        taken.update(id(v) for v in own)
        if own or isinstance(layer, keras.layers.RNN):
            rows[name] = {"kind": type(layer).__name__} | _of_weights(layer, own)
            rows[name] |= _of_outputs(*calls[name]) if name in calls else {}
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).rename_axis("layer")


def _of_weights(layer, own) -> dict:
    sizes, trained = [int(np.prod(v.shape)) for v in own], {id(v) for v in layer.trainable_variables}
    found = {"parameters": sum(sizes)}
    if sizes and sum(sizes):
        found["trainable"] = sum(n for n, v in zip(sizes, own, strict=True) if id(v) in trained) / sum(sizes)
    cell = layer.cell if isinstance(layer, keras.layers.RNN) else layer
    cells = getattr(cell, "cells", [cell])
    kernels = [v for v in own if len(v.shape) > 1 and not any(part in v.name for part in NO_KERNELS)]
    arrays = [numpy(v).astype("float32") for v in kernels]
    if arrays:
        found["weight_norm"] = float(np.sqrt(sum(np.sum(np.square(one, dtype="float64")) for one in arrays)))
        found["zero_weights"] = sum(np.sum(one == 0) for one in arrays) / sum(one.size for one in arrays)
        if len(cells) == 1:
            known = cell_of(*cells)
            found["identical_units"] = _identical(arrays, len(known.blocks) if known else 1)
    radii = [_radius(one) for one in cells if hasattr(one, "recurrent_kernel")]
    return found | {"spectral_radius": max(radii, default=np.nan)}


def _of_outputs(layer, output, arguments) -> dict:
    saturation, forget_gate = gate_shares(layer, *arguments) if arguments else (None, None)
    mask = arguments[2] if arguments else None
    if mask is not None and getattr(layer, "go_backwards", False):
        mask = np.asarray(mask)[:, ::-1]  # such a layer puts out the last step first
    units = output[np.asarray(mask, "bool")] if mask is not None and output.ndim == 3 else output
    units = units.reshape(-1, output.shape[-1] if output.ndim > 1 else 1).astype("float32")  # (outputs, units)
    found = {"forget_gate": forget_gate, "saturation": saturation}
    found = {name: value for name, value in found.items() if value is not None}
    if not len(units):
        return found
    with np.errstate(all="ignore"):  # outputs may be infinite
        found |= {"activation_mean": units.mean(dtype="float64"), "activation_std": units.std(dtype="float64")}
        if len(units) > 1:
            found["dead_units"] = np.mean(np.ptp(units, axis=0) <= DEAD * np.abs(units).max())
    return found


def _radius(cell) -> float:
    kernel, known = numpy(cell.recurrent_kernel).astype("float64"), cell_of(cell)
    units = len(kernel)
    if known:
        first = known.blocks.index("candidate") * units
        kernel = kernel[:, first : first + units]
    if kernel.shape != (units, units) or not np.isfinite(kernel).all():
        return float("nan")
    return float(np.abs(np.linalg.eigvals(kernel)).max())


def _identical(kernels, gates) -> float:
    """Return the share of units whose incoming weights, of all gates, are those of another unit bit for bit."""
    width = kernels[0].shape[-1]
    columns = np.concatenate([one.reshape(-1, width // gates) for one in kernels if one.shape[-1] == width])
    units = np.ascontiguousarray(columns.T) + 0.0  # (units, weights), -0 as 0
    counts = Counter(unit.tobytes() for unit in units if not np.isnan(unit).any())
    return sum(count for count in counts.values() if count > 1) / len(units)
