"""What is dropped in training can be counted, and is whole again behind it."""

import keras
import numpy as np
import pytest

from rnn_toolkit.networks.dropping import ActivationRegularization, WeightDrop
from rnn_toolkit.networks.recurrent import CELLS, MinGRU, recurrent_layers


def array(values) -> np.ndarray:
    return keras.ops.convert_to_numpy(values)


def constant(layer, *values):
    """Set the weights of a layer to constants, or to arrays."""
    layer.set_weights([np.broadcast_to(value, old.shape) for value, old in zip(values, layer.weights, strict=True)])
    return layer


def bare_cell(rate, units=100) -> WeightDrop:
    """Return a layer whose outputs for inputs of 0 are the state times its recurrent kernel, of ones."""
    layer = keras.layers.SimpleRNN(units, activation="linear", use_bias=False, return_sequences=True)
    layer.build((None, None, 1))
    return WeightDrop(constant(layer, 0.0, 1.0), rate)


def test_the_share_of_connections_is_dropped_the_same_for_all_steps_and_others_in_each_batch():
    layer, inputs, states = bare_cell(0.25), np.zeros((100, 2, 1)), np.eye(100)
    assert (array(layer(inputs, initial_state=states, training=False))[:, 0] == 1).all()
    outputs = array(layer(inputs, initial_state=states, training=True))
    dropped = outputs[:, 0]  # the identity times the kernel
    assert set(np.unique(dropped).tolist()) == {0, np.float32(4 / 3)}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(outputs[:, 1], dropped @ dropped, rtol=1e-4)
    assert not np.array_equal(dropped, array(layer(inputs, initial_state=states, training=True))[:, 0])
    assert (array(layer.layer.cell.recurrent_kernel) == 1).all()


@pytest.mark.parametrize("cell", [name for name, known in CELLS.items() if known.recurrent])
def test_dropped_weights_change_nothing_behind_training(cell):
    (layer,) = recurrent_layers(cell, (4,), return_sequences=True)
    x = np.random.default_rng(0).normal(size=(2, 3, 2))
    expected = array(layer(x))
    dropping = WeightDrop(layer, 0.5)
    assert not np.array_equal(array(dropping(x, training=True)), expected)
    assert np.array_equal(array(dropping(x)), expected)


def test_the_kernel_is_whole_again_behind_an_error():
    class Failing(keras.layers.SimpleRNN):
        def call(self, *arguments, **options):
            seen.append(self.cell.recurrent_kernel)
            raise RuntimeError("the memory is full")

    seen, failing = [], Failing(2)
    failing.build((None, None, 1))
    kernel = failing.cell.recurrent_kernel
    with pytest.raises(RuntimeError, match="the memory is full"):
        WeightDrop(failing)(np.zeros((1, 2, 1)), training=True)
    assert seen[0] is not kernel and failing.cell.recurrent_kernel is kernel


def test_a_compiled_training_drops_other_connections_in_each_step_and_learns_the_kernel():
    layer = bare_cell(0.5, units=8)
    constant(layer.layer, 1.0, 1.0)
    model = keras.Sequential([keras.Input((3, 1)), layer])
    x, y = np.ones((1, 3, 1)), np.zeros((1, 3, 8))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    losses = [float(model.train_on_batch(x, y)) for _ in range(3)]
    assert len(set(losses)) == 3
    model.optimizer.learning_rate = 1e-6
    model.train_on_batch(x, y)
    assert (array(layer.layer.cell.recurrent_kernel) < 1).any()


@pytest.mark.parametrize(
    "layer", [keras.layers.Dense(1), keras.layers.Bidirectional(keras.layers.GRU(1)), MinGRU(1), "gru"]
)
def test_weights_of_other_layers_are_not_dropped(layer):
    name = type(layer).__name__
    with pytest.raises(TypeError, match=f"must be a recurrent layer with weights .* Received: {name}. Pass an LSTM"):
        WeightDrop(layer)


@pytest.mark.parametrize("rate", [-0.5, 1.0])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ValueError, match=rf"`rate` must be a share from 0 .* Received: {rate}\. Pass 0\.5"):
        WeightDrop(keras.layers.GRU(1), rate)


def test_large_and_jumping_outputs_cost_in_training_only():
    layer, outputs = ActivationRegularization(2.0, 10.0), np.array([[[1.0, 2.0], [3.0, 2.0]]])
    assert array(layer(outputs)).tolist() == outputs.tolist() and layer.losses == []
    assert array(layer(outputs, training=True)).tolist() == outputs.tolist()
    assert [float(loss) for loss in layer.losses] == [2 * 4.5, 10 * 2]  # (1 + 4 + 9 + 4) / 4 and (4 + 0) / 2
