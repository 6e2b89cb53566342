"""The gates of recurrent layers, counted by hand."""

import numpy as np
import pytest
from keras import layers

from rnn_toolkit.networks.gates import gate_shares, saturation
from rnn_toolkit.networks.recurrent import MinGRU


def ones(rows=4) -> np.ndarray:
    return np.ones((rows, 3, 1), "float32")


def biased(layer, bias):
    """Return a layer whose gates depend on its biases alone."""
    layer.build((None, 3, 1))
    layer.set_weights([*(0 * weight for weight in layer.get_weights()[:-1]), np.array(bias, "float32")])
    return layer


def test_saturation_and_forget_gate_come_from_one_pass():
    lstm = biased(layers.LSTM(1), [9, 0, 0, 0])
    assert gate_shares(lstm, ones(), None, None) == (pytest.approx(1 / 3), pytest.approx(1 / 2))
    assert saturation(lstm, ones(), None, None) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("layer", "bias", "saturated", "kept"),
    [
        # Two units: input (open, half), forget (half, 3/4), candidate, output (shut, half).
        (layers.LSTM(2), [9, 0, 0, np.log(3), 9, 9, -9, 0], 2 / 6, 5 / 8),
        # Update (half, 3/4), reset (open, half); the candidate is no gate.
        (layers.GRU(2), [[0, np.log(3), 9, 0, 9, 9], [0] * 6], 1 / 4, 5 / 8),
        (layers.GRU(2, reset_after=False), [0, np.log(3), 9, 0, 9, 9], 1 / 4, 5 / 8),
        (layers.SimpleRNN(4), [9, -9, 0, 1], 2 / 4, None),  # tanh(1) = 0.76
        (layers.SimpleRNN(2, activation="relu"), [9, 9], None, None),
        (layers.LSTM(1, recurrent_activation="relu"), [9, 9, 9, 9], None, None),
        (MinGRU(2), [-9, -np.log(3), 5, 5], 1 / 2, 7 / 8),  # update (shut, 1/4), which lets the new in
        (layers.RNN(layers.LSTMCell(1)), [9, 0, 0, 0], 1 / 3, 1 / 2),
        (layers.RNN([layers.LSTMCell(1)]), [9, 0, 0, 0], None, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else "",
)
def test_gates_are_counted_by_hand(layer, bias, saturated, kept):
    shares = gate_shares(biased(layer, bias), ones(), None, None)
    expected = [one if one is None else pytest.approx(one, abs=1e-3) for one in (saturated, kept)]
    assert list(shares) == expected


def test_gates_follow_the_states_and_the_direction():
    cell = layers.SimpleRNN(1, go_backwards=True)
    cell.build((None, 3, 1))
    cell.set_weights([np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)])
    x = np.array([[[0.0], [0.0], [9.0]]])  # from the last step on: tanh(9), tanh(1) = 0.76, tanh(0.76)
    assert saturation(cell, x, None, None) == pytest.approx(1 / 3)
    cell.go_backwards = False
    assert saturation(cell, 0 * x, [np.full((1, 1), 9.0)], None) == pytest.approx(1 / 3)


def test_masked_steps_do_not_count_and_keep_the_state():
    cell = layers.SimpleRNN(1)
    cell.build((None, 3, 1))
    cell.set_weights([np.ones((1, 1)), np.full((1, 1), 9.0), np.zeros(1)])
    x, mask = np.array([[[9.0], [-99.0], [0.0]]]), np.array([[True, False, True]])
    assert saturation(cell, x, None, mask) == 1
    assert gate_shares(cell, x, None, 0 * mask) == (None, None)


def test_the_first_16_rows_are_enough():
    x = np.concatenate([ones(16), np.full((9, 3, 1), np.nan)])
    assert saturation(biased(layers.SimpleRNN(1), [9]), x, None, None) == 1
