"""The gates of recurrent layers, seen from outside."""

import keras
import numpy as np

from rnn_toolkit.networks.probing import array
from rnn_toolkit.networks.recurrent import cell_of

GATE_ROWS = 16  # 16 rows of 100 steps of 64 units are 300,000 gate values: enough for a share


def saturation(layer, x, states, mask):
    """Return the share of gates at their bounds, over all steps; `None` if they have no bounds."""
    return gate_shares(layer, x, states, mask)[0]


def gate_shares(layer, x, states, mask) -> tuple:
    """Return the share of gates at their bounds, and the mean of the gate that keeps the old state.

    A gate is at its bounds within 5 % of open or shut. Over all steps that are not masked; `None` for what there is
    none of. The recurrence is run once more, because layers keep their gates to themselves.

    Args:
        layer: A recurrent layer.
        x: Its inputs, `(batch, timesteps, features)`.
        states: The states that it begins with, or `None` for zeros.
        mask: `(batch, timesteps)`, true where a step is valid, or `None`.
    """
    cell, known = layer.cell, cell_of(layer.cell)
    if known is None or any(getattr(cell, name) not in bounded for name, bounded in known.bounded.items()):
        return None, None
    step = known.watch(cell)
    inputs = array(x)[:GATE_ROWS] @ array(cell.kernel)  # (batch, timesteps, blocks * units)
    if cell.bias is not None:
        inputs = inputs + np.atleast_2d(array(cell.bias))[0]
    mask = np.ones(inputs.shape[:2], "bool") if mask is None else np.asarray(mask, "bool")[:GATE_ROWS]
    if layer.go_backwards:
        inputs, mask = inputs[:, ::-1], mask[:, ::-1]
    if states is None:
        states = [np.zeros((len(inputs), size), "float32") for size in keras.tree.flatten(cell.state_size)]
    states = [array(one)[:GATE_ROWS] for one in keras.tree.flatten(states)]
    saturated, kept_state = [], []
    for z, valid in zip(inputs.swapaxes(0, 1), mask.T, strict=True):
        gates, keeps, after = step(z, states)
        saturated.append(known.at_bounds(gates[valid]).ravel())
        kept_state.append([] if keeps is None else keeps[valid].ravel())
        states = [np.where(valid[:, None], new, old) for new, old in zip(after, states, strict=True)]
    means = [np.concatenate(one) for one in (saturated, kept_state)]
    return tuple(float(one.mean(dtype="float64")) if one.size else None for one in means)
