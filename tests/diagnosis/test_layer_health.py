import keras
import numpy as np
import pytest
from keras import layers

from rnn_toolkit.diagnosis.layer_health import COLUMNS, layer_statistics


def model_of(*stack, shape=(3, 1)):
    return keras.Sequential([keras.Input(shape), *stack])


def ones(rows=4, shape=(3, 1)):
    return np.ones((rows, *shape), "float32")


def biased(layer, bias):
    """Return a model of one layer whose gates depend on its biases alone."""
    model = model_of(layer)
    kernel, recurrent, _ = layer.get_weights()
    layer.set_weights([0 * kernel, 0 * recurrent, np.array(bias, "float32")])
    return model


def test_the_forget_gate_of_an_lstm_is_its_second_block():
    model = biased(layers.LSTM(2, name="lstm"), [9, 9, 0, np.log(3), 9, 9, 9, 9])  # forget: 1/2 and 3/4
    assert layer_statistics(model, ones()).forget_gate["lstm"] == pytest.approx(5 / 8)


def test_the_update_gate_of_a_gru_is_its_first_block():
    model = biased(layers.GRU(2, name="gru"), [[0, np.log(3), 9, 9, 9, 9], [0] * 6])
    assert layer_statistics(model, ones()).forget_gate["gru"] == pytest.approx(5 / 8)


def test_gates_at_masked_steps_do_not_count():
    lstm = layers.LSTM(1, name="lstm")
    model = model_of(layers.Masking(), lstm)
    lstm.set_weights([np.array([[0, np.log(3), 0, 0]]), np.zeros((1, 4)), np.zeros(4)])
    x = np.array([[[1.0], [-1.0], [0.0]]])  # 3/4 and 1/4, then padding of 1/2
    table = layer_statistics(model, np.repeat(x, 2, axis=0))
    assert table.forget_gate["lstm"] == pytest.approx(1 / 2)
    x[0, 1] = 0
    assert layer_statistics(model, x).forget_gate["lstm"] == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    "layer",
    [layers.SimpleRNN(2, activation="relu", name="rnn"), layers.LSTM(2, recurrent_activation="relu", name="rnn")],
)
def test_what_has_no_bounds_has_neither(layer):
    assert layer_statistics(model_of(layer), ones()).loc["rnn", ["saturation", "forget_gate"]].isna().all()


def test_no_step_left_by_the_mask_is_no_number():
    lstm = layers.LSTM(2, name="lstm")
    table = layer_statistics(model_of(layers.Masking(), lstm), 0 * ones())
    assert table.loc["lstm", ["saturation", "forget_gate"]].isna().all()


def test_the_spectral_radius_is_the_largest_absolute_eigenvalue():
    rnn = layers.SimpleRNN(2, name="rnn")
    model = model_of(rnn)
    rnn.set_weights([np.ones((1, 2)), np.array([[0.0, -4.0], [1.0, 0.0]]), np.zeros(2)])  # 2i and -2i
    assert layer_statistics(model, ones()).spectral_radius["rnn"] == pytest.approx(2)


@pytest.mark.parametrize(("kind", "gates"), [(layers.LSTM, 4), (layers.GRU, 3)])
def test_the_spectral_radius_of_gated_layers_is_that_of_the_candidate(kind, gates):
    layer = kind(2, name="gated")
    model = model_of(layer)
    recurrent = np.full((2, gates, 2), 9.0)
    recurrent[:, 2] = [[0.5, 0], [0, -0.75]]
    layer.cell.recurrent_kernel.assign(recurrent.reshape(2, -1))
    assert layer_statistics(model, ones()).spectral_radius["gated"] == pytest.approx(0.75)


def test_stacked_cells_have_the_largest_radius_of_them():
    rnn = layers.RNN([layers.SimpleRNNCell(1), layers.SimpleRNNCell(1)], name="rnn")
    model = model_of(rnn)
    for cell, weight in zip(rnn.cell.cells, (0.5, -2.0), strict=True):
        cell.recurrent_kernel.assign([[weight]])
    table = layer_statistics(model, ones())
    assert table.spectral_radius["rnn"] == 2
    assert np.isnan(table.identical_units["rnn"])


def test_a_kernel_that_is_not_finite_has_no_radius():
    rnn = layers.SimpleRNN(1, name="rnn")
    model = model_of(rnn)
    rnn.cell.recurrent_kernel.assign([[np.nan]])
    assert np.isnan(layer_statistics(model, ones()).spectral_radius["rnn"])


def test_a_unit_is_dead_if_its_output_never_changes():
    dense = layers.Dense(4, activation="relu", name="dense")
    model = model_of(dense, shape=(1,))
    dense.set_weights([np.array([[1.0, -1.0, 0.0, 1e-8]]), np.array([0.0, 0.0, 5.0, 5.0])])
    table = layer_statistics(model, np.array([[1.0], [2.0]]))
    assert table.dead_units["dense"] == 3 / 4  # shut, constant, constant but for rounding
    assert table.activation_mean["dense"] == pytest.approx((1 + 2 + 4 * 5) / 8)
    assert table.activation_std["dense"] == pytest.approx(np.std([1, 2, 0, 0, 5, 5, 5, 5]))


def test_one_output_says_nothing_about_dead_units():
    model = model_of(layers.Dense(2, name="dense"), shape=(1,))
    assert np.isnan(layer_statistics(model, np.ones((1, 1))).dead_units["dense"])


def test_outputs_at_masked_steps_do_not_count():
    rnn = layers.SimpleRNN(1, activation=None, kernel_initializer="ones", return_sequences=True, name="rnn")
    model = model_of(layers.Masking(), rnn)
    rnn.set_weights([np.ones((1, 1)), np.zeros((1, 1)), np.zeros(1)])
    table = layer_statistics(model, np.array([[[1.0], [3.0], [0.0]]]))  # padding repeats the 3
    assert table.activation_mean["rnn"] == 2
    assert table.activation_std["rnn"] == 1


def test_a_layer_that_reads_backwards_puts_its_masked_steps_out_first():
    rnn = layers.SimpleRNN(1, activation=None, return_sequences=True, go_backwards=True, name="rnn")
    model = keras.Sequential([keras.Input((3, 1)), layers.Masking(), rnn])
    rnn.set_weights([np.ones((1, 1)), np.zeros((1, 1)), np.zeros(1)])
    table = layer_statistics(model, np.array([[[1.0], [2.0], [0.0]]]))
    assert table["activation_mean"]["rnn"] == 1.5  # without the padding's 0


def test_norm_and_zeros_are_those_of_the_kernels():
    dense = layers.Dense(2, name="dense")
    model = model_of(dense, shape=(2,))
    dense.set_weights([np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([0.0, 100.0])])
    row = layer_statistics(model, np.ones((2, 2))).loc["dense"]
    assert (row.weight_norm, row.zero_weights, row.parameters) == (5, 0.5, 6)


def test_units_with_the_same_incoming_weights_are_identical():
    dense = layers.Dense(3, name="dense")
    model = model_of(dense, shape=(2,))
    dense.set_weights([np.array([[0.0, -0.0, 1.0], [2.0, 2.0, 2.0]]), np.arange(3.0)])
    assert layer_statistics(model, np.ones((2, 2))).identical_units["dense"] == pytest.approx(2 / 3)
    dense.set_weights([np.full((2, 3), np.nan), np.arange(3.0)])  # as a training leaves them that diverged
    assert layer_statistics(model, np.ones((2, 2))).identical_units["dense"] == 0


@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_symmetric_initialisation_makes_all_units_of_a_recurrent_layer_identical(kind):
    constant = {"kernel_initializer": "ones", "recurrent_initializer": "zeros"}
    table = layer_statistics(
        model_of(kind(3, name="same", return_sequences=True, **constant), kind(3, name="own")), ones()
    )
    assert table.identical_units.tolist() == [1, 0]


def test_an_lstm_unit_is_told_apart_by_a_single_gate():
    lstm = layers.LSTM(2, kernel_initializer="ones", recurrent_initializer="zeros", name="lstm")
    model = model_of(lstm)
    kernel = np.ones((1, 8))
    kernel[0, 7] = 2  # the output gate of the second unit
    lstm.cell.kernel.assign(kernel)
    assert layer_statistics(model, ones()).identical_units["lstm"] == 0


def test_frozen_layers_and_moving_statistics_are_not_trained():
    stack = [layers.Dense(2, name="frozen"), layers.BatchNormalization(name="normal"), layers.Dense(1, name="head")]
    model = model_of(*stack, shape=(2,))
    stack[0].trainable = False
    assert layer_statistics(model, np.ones((2, 2))).trainable.to_dict() == {"frozen": 0, "normal": 0.5, "head": 1}


def test_layers_without_weights_have_no_row():
    model = model_of(layers.Flatten(), layers.Dropout(0.5), layers.Dense(1, name="dense"))
    table = layer_statistics(model, ones())
    assert table.index.tolist() == ["dense"]
    assert table.index.name == "layer" and list(table) == COLUMNS
    assert table.kind["dense"] == "Dense"


def test_both_directions_and_what_is_nested_have_rows_with_names_of_the_monitor():
    inner = model_of(layers.Bidirectional(layers.LSTM(2, name="lstm")))
    model = model_of(inner, layers.Dense(1, name="dense"))
    table = layer_statistics(model, ones())
    assert table.parameters.to_dict() == {"forward_lstm": 32, "backward_lstm": 32, "dense": 5}
    assert table.saturation.notna().tolist() == [True, True, False]


def test_what_a_language_model_keeps_is_no_kernel():
    from rnn_toolkit import build_language_model, fit_vocabulary, recurrent_layers

    vocabulary = fit_vocabulary(["to be or not to be"], unit="character")
    model = build_language_model(vocabulary, recurrent_layers("gru", (4,), return_sequences=True))
    before = [keras.ops.convert_to_numpy(one).tolist() for one in model.variables]
    table = layer_statistics(model, np.ones((3, 5), "int32"))
    assert not table.zero_weights.gt(0).any()
    assert [keras.ops.convert_to_numpy(one).tolist() for one in model.variables] == before


def test_the_layers_inside_a_forecaster_have_rows():
    import pandas as pd

    from rnn_toolkit import ForecastTask, Windows, build_forecaster, recurrent_layers

    windows = Windows(pd.DataFrame({"y": np.arange(60.0) % 7}), ForecastTask("y", horizon=2, lookback=8))
    table = layer_statistics(build_forecaster(windows, recurrent_layers("gru", (4,))), windows[0][0])
    assert {"GRU", "PatchDecoder", "LinearHighway"} <= set(table.kind)
    assert table.spectral_radius[table.kind == "PatchDecoder"].isna().all()  # its cell has a row of its own
    assert table.spectral_radius[table.kind.isin(["GRU", "GRUCell"])].notna().all()


def test_the_model_is_left_as_it_was():
    stateful = layers.LSTM(2, stateful=True, name="lstm")
    model = keras.Sequential([keras.Input(batch_shape=(2, 3, 1)), stateful, layers.Dropout(0.5)])
    stateful.states[0].assign(np.full((2, 2), 7.0))
    before = [{k: id(v) for k, v in vars(one).items()} for one in model._flatten_layers()]
    layer_statistics(model, ones(2))
    assert [{k: id(v) for k, v in vars(one).items()} for one in model._flatten_layers()] == before
    assert keras.ops.convert_to_numpy(stateful.states[0]).tolist() == [[7, 7], [7, 7]]
