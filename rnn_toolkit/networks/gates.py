"""The gates of recurrent layers, seen from outside."""

import keras
import numpy as np
from keras import ops

from rnn_toolkit.networks.probing import array

GATE_ROWS = 16  # 16 rows of 100 steps of 64 units are 300,000 gate values: enough for a share
SIGMOIDS = (keras.activations.sigmoid, keras.activations.hard_sigmoid)


def saturation(layer, x, states, mask):
    """Return the share of gates within 5 % of their bounds, over all steps; `None` if they have no bounds."""
    return gate_shares(layer, x, states, mask)[0]


def gate_shares(layer, x, states, mask) -> tuple:
    """Return the share of gates within 5 % of their bounds, and the mean of the gate that keeps the old state.

    That gate is the forget gate of an LSTM and the update gate of a GRU; a SimpleRNN has none. Over all steps that
    are not masked; `None` for what there is none of. The recurrence is run once more, because layers keep their gates
    to themselves. x is `(batch, timesteps, features)`.
    """
    cell = layer.cell
    simple = isinstance(layer, keras.layers.SimpleRNN)
    if (cell.activation is not keras.activations.tanh) if simple else (cell.recurrent_activation not in SIGMOIDS):
        return None, None
    kernel, recurrent = array(cell.kernel), array(cell.recurrent_kernel)
    bias = np.zeros((1, kernel.shape[1])) if cell.bias is None else np.atleast_2d(array(cell.bias))
    inputs = array(x)[:GATE_ROWS] @ kernel + bias[0]  # (batch, timesteps, gates * units)
    mask = np.ones(inputs.shape[:2], "bool") if mask is None else np.asarray(mask)[:GATE_ROWS]
    if layer.go_backwards:
        inputs, mask = inputs[:, ::-1], mask[:, ::-1]
    given = [] if states is None else [array(one)[:GATE_ROWS] for one in keras.tree.flatten(states)]
    h, c = (given + [np.zeros((len(inputs), cell.units), "float32")] * 2)[:2]
    activate, gate = _on_arrays(cell.activation), _on_arrays(getattr(cell, "recurrent_activation", None))
    bounds, saturated, kept_state, counted = (-1.0 if simple else 0.05, 0.95), 0, 0.0, 0
    for step in range(inputs.shape[1]):
        z, recur, kept = inputs[:, step], h @ recurrent, mask[:, step, None]
        new_c = c
        if simple:
            new_h = activate(z + recur)
            gates, keeps = np.abs(new_h), np.zeros_like(new_h)
        elif isinstance(layer, keras.layers.LSTM):
            i, f, candidate, o = np.split(z + recur, 4, axis=1)
            gates = gate(np.concatenate([i, f, o], axis=1))
            i, f, o = np.split(gates, 3, axis=1)
            keeps = f
            new_c = f * c + i * activate(candidate)
            new_h = o * activate(new_c)
        else:
            recur = recur + (bias[1] if len(bias) > 1 else 0.0)
            gates = gate((z + recur)[:, : 2 * cell.units])
            update, reset = np.split(gates, 2, axis=1)
            keeps = update
            z, recur, own = (one[:, 2 * cell.units :] for one in (z, recur, recurrent))
            new_h = update * h + (1 - update) * activate(z + (reset * recur if cell.reset_after else (reset * h) @ own))
        beyond = (gates < bounds[0]) | (gates > bounds[1])
        saturated, counted = saturated + np.sum(beyond & kept), counted + kept.sum()
        kept_state += np.sum(keeps, where=kept, dtype="float64")
        h, c = np.where(kept, new_h, h), np.where(kept, new_c, c)
    if not counted:
        return None, None
    return float(saturated / (counted * gates.shape[1])), None if simple else float(kept_state / (counted * cell.units))


def _on_arrays(activation):
    """Return an activation for NumPy arrays; those of the defaults without a way through the backend."""
    known = {keras.activations.sigmoid: lambda z: 0.5 + 0.5 * np.tanh(0.5 * z), keras.activations.tanh: np.tanh}
    return known.get(activation) or (lambda z: array(activation(ops.convert_to_tensor(z))))
