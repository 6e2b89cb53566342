"""Cells and stacks of them."""

import dataclasses

import keras
import numpy as np
import pytest

from rnn_toolkit.networks import recurrent
from rnn_toolkit.networks.dropping import WeightDrop
from rnn_toolkit.networks.gates import gate_shares
from rnn_toolkit.networks.recurrent import CELLS, MinGRU, cell_of, recurrent_layers


def array(values) -> np.ndarray:
    return keras.ops.convert_to_numpy(values)


@pytest.mark.parametrize(
    ("cell", "kind"),
    [("simple", keras.layers.SimpleRNN), ("lstm", keras.layers.LSTM), ("gru", keras.layers.GRU), ("mingru", MinGRU)],
)
def test_cells_are_plain_keras_layers_stacked_with_sizes_of_their_own(cell, kind):
    layers = recurrent_layers(cell, (8, 4))
    assert [type(layer) for layer in layers] == [kind, kind]
    assert [(layer.units, layer.return_sequences) for layer in layers] == [(8, True), (4, False)]


def test_the_last_layer_returns_all_steps_when_asked():
    assert recurrent_layers("gru", 4, return_sequences=True)[0].return_sequences


def test_recurrent_kernels_start_orthogonal_and_forget_biases_at_one():
    (layer,) = recurrent_layers("lstm", 6)
    layer.build((None, 3, 2))
    kernel, bias = np.asarray(layer.cell.recurrent_kernel), np.asarray(layer.cell.bias)
    assert kernel @ kernel.T == pytest.approx(np.eye(6), abs=1e-5)
    assert bias.tolist() == [0] * 6 + [1] * 6 + [0] * 12  # input, forget, cell, output


def test_bidirectional_layers_double_their_output():
    model = keras.Sequential([keras.Input((5, 2)), *recurrent_layers("gru", (4,), bidirectional=True)])
    assert model.output_shape == (None, 8)


@pytest.mark.parametrize(
    ("name", "kind"), [("batch", keras.layers.BatchNormalization), ("layer", keras.layers.LayerNormalization)]
)
def test_normalization_follows_each_layer(name, kind):
    assert [isinstance(layer, kind) for layer in recurrent_layers("gru", (4, 4), normalization=name)] == [
        False,
        True,
        False,
        True,
    ]


def test_dropout_regularisers_and_initialisers_reach_every_layer():
    layers = recurrent_layers(
        "lstm",
        (4, 4),
        dropout=0.1,
        recurrent_dropout=0.2,
        kernel_regularizer="l2",
        kernel_initializer="he_normal",
        recurrent_initializer="identity",
    )
    for layer in layers:
        assert (layer.dropout, layer.recurrent_dropout) == (0.1, 0.2)
        assert isinstance(layer.cell.kernel_regularizer, keras.regularizers.L2)
        assert isinstance(layer.cell.kernel_initializer, keras.initializers.HeNormal)
        assert isinstance(layer.cell.recurrent_initializer, keras.initializers.Identity)


def test_a_seed_gives_the_weights_that_it_gave_in_earlier_versions():
    keras.utils.set_random_seed(0)
    (layer,) = recurrent_layers("gru", 4)
    keras.utils.set_random_seed(0)
    kernel, recurrent_kernel = keras.initializers.get("glorot_uniform"), keras.initializers.get("orthogonal")
    expected = keras.layers.GRU(4, kernel_initializer=kernel, recurrent_initializer=recurrent_kernel)
    for one in (layer, expected):
        one.build((None, 3, 2))
    assert all(np.array_equal(*both) for both in zip(layer.get_weights(), expected.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cell": "lstmm"}, ValueError, r"`cell` must be one of 'simple', 'lstm', 'gru'.*Did you mean 'lstm'\?"),
        ({"normalization": "instance"}, ValueError, "`normalization` must be one of None, 'batch', 'layer'"),
        ({"dropout": 1.0}, ValueError, "`dropout` must be a share from 0 up to, but not including, 1"),
        ({"recurrent_dropout": 1.0}, ValueError, "`recurrent_dropout` must be a share from 0 up to, but not including"),
        ({"cell": "mingru", "recurrent_dropout": 0.1}, ValueError, "from state to state, which 'mingru' has not"),
        ({"units": ()}, ValueError, "`units` holds no layer"),
        ({"units": 2.5}, TypeError, r"`units` must be a whole number\. Received: 2\.5"),
    ],
)
def test_options_out_of_range_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        recurrent_layers(**options)


# minGRU


def by_hand(layer, x, mask=None, state=0.0):
    """Return the states of a minGRU `(batch, timesteps, units)`, one step after the other."""
    kernel, bias = (array(weight).astype("float64") for weight in layer.cell.weights)
    h, states = np.full((len(x), layer.units), state), []
    for step in range(x.shape[1]):
        update, candidate = np.split(x[:, step] @ kernel + bias, 2, axis=1)
        z = 1 / (1 + np.exp(-update))
        new = (1 - z) * h + z * candidate
        h = new if mask is None else np.where(mask[:, step, None], new, h)
        states.append(h)
    return np.stack(states, axis=1)


def mingru(units=3, **options) -> MinGRU:
    layer = MinGRU(units, return_sequences=True, **options)
    layer.build((None, None, 2))
    layer.cell.kernel.assign(2 * layer.cell.kernel)
    return layer


@pytest.mark.parametrize("timesteps", [1, 2, 3, 7, 16, 50])
def test_all_steps_at_once_are_those_one_after_the_other(timesteps):
    layer, x = mingru(), np.random.default_rng(0).normal(size=(4, timesteps, 2))
    np.testing.assert_allclose(array(layer(x)), by_hand(layer, x), atol=1e-5)
    start = np.full((4, 3), 2.0)
    np.testing.assert_allclose(array(layer(x, initial_state=start)), by_hand(layer, x, state=2.0), atol=1e-5)
    in_steps = keras.layers.RNN(layer.cell, return_sequences=True)
    np.testing.assert_allclose(array(layer(x)), array(in_steps(x)), atol=1e-5)


def test_masked_steps_keep_the_state_and_are_zeros_where_keras_wants_them_so():
    layer, x = mingru(return_state=True), np.random.default_rng(0).normal(size=(3, 20, 2))
    mask = np.arange(20) < np.array([[20], [7], [1]])
    expected = by_hand(layer, x, mask)
    outputs, state = map(array, layer(x, mask=mask))
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(state, expected[:, -1], atol=1e-5)
    layer.zero_output_for_mask = True
    np.testing.assert_allclose(array(layer(x, mask=mask)[0]), expected * mask[..., None], atol=1e-5)


def test_backwards_reads_the_last_valid_step_first():
    layer, x = mingru(go_backwards=True), np.random.default_rng(0).normal(size=(2, 9, 2))
    mask = np.arange(9) < np.array([[9], [4]])
    expected = by_hand(layer, x[:, ::-1], mask[:, ::-1])
    np.testing.assert_allclose(array(layer(x, mask=mask)), expected, atol=1e-5)


def test_sequences_of_any_length_go_through_one_compiled_model():
    layer = MinGRU(3)
    model = keras.Sequential([keras.Input((None, 2)), layer])
    for timesteps in (1, 5, 40):
        x = np.random.default_rng(0).normal(size=(2, timesteps, 2))
        np.testing.assert_allclose(model.predict(x, verbose=0), by_hand(layer, x)[:, -1], atol=1e-5)


def test_gates_that_never_open_do_not_spoil_the_gradient():
    layer = mingru(1)
    layer.set_weights([np.array([[200.0, 1.0], [0.0, 0.0]]), np.zeros(2)])  # gates wholly open, then wholly shut
    model = keras.Sequential([keras.Input((None, 2)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.array([[[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]])
    assert array(model(x)).ravel().tolist() == pytest.approx([1, 1, 1])
    model.fit(x, np.zeros((1, 3, 1)), verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_fresh_mingru_keeps_its_state_for_1_to_100_steps():
    layer = MinGRU(3)
    layer.build((None, None, 2))
    update = 1 / (1 + np.exp(-array(layer.cell.bias)[:3]))
    assert (1 / update - 1).tolist() == pytest.approx([1, 10, 100], rel=1e-4)  # odds of keeping it
    assert array(layer.cell.bias)[3:].tolist() == [0, 0, 0]


def test_dropout_drops_the_same_inputs_at_all_steps_of_a_training():
    layer = MinGRU(1, dropout=0.5, return_sequences=True)
    layer.build((None, None, 1))
    layer.set_weights([np.array([[0.0, 1.0]]), np.array([50.0, 0.0])])  # outputs are inputs
    x = np.ones((200, 3, 1))
    outputs = array(layer(x, training=True))[..., 0]
    assert set(np.unique(outputs).tolist()) == {0, 2} and (outputs == outputs[:, :1]).all()
    assert (array(layer(x)) == 1).all()


def test_a_mingru_survives_its_file(tmp_path):
    layers = recurrent_layers("mingru", (4, 3), bidirectional=True, dropout=0.25, kernel_regularizer="l2")
    model = keras.Sequential([keras.Input((6, 2)), *layers])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = np.random.default_rng(0).normal(size=(2, 6, 2))
    assert np.array_equal(array(loaded(x)), array(model(x)))
    inner = loaded.layers[0].forward_layer
    assert (inner.units, inner.dropout) == (4, 0.25)
    assert isinstance(inner.cell.kernel_regularizer, keras.regularizers.L2)


# what is known of cells


@pytest.mark.parametrize("name", CELLS)
def test_what_is_known_of_a_cell_is_what_it_does(name):
    (layer,) = recurrent_layers(name, 3)
    layer.build((None, None, 2))
    known = cell_of(layer.cell)
    assert known is CELLS[name] and isinstance(layer, known.layer)
    assert layer.cell.kernel.shape == (2, 3 * len(known.blocks)) and known.blocks.count("candidate") == 1
    assert [getattr(layer.cell, one).shape[0] for one in known.recurrent] == [3] * len(known.recurrent)
    x = np.random.default_rng(0).normal(size=(4, 5, 2))
    states = [np.zeros((4, 3))] * len(keras.tree.flatten(layer.cell.state_size))
    bias = np.atleast_2d(array(layer.cell.bias))[0]
    for step in range(5):
        gates, keeps, states = known.watch(layer.cell)(x[:, step] @ array(layer.cell.kernel) + bias, states)
    np.testing.assert_allclose(array(layer(x)), array(states[0]), atol=1e-5)
    assert gates.shape[0] == 4 and (keeps is None or keeps.shape == (4, 3))


def test_a_new_cell_is_one_entry(monkeypatch):
    class LeakyCell(keras.layers.SimpleRNNCell):
        pass

    class Leaky(keras.layers.RNN):
        def __init__(self, units, *, dropout, recurrent_dropout, return_sequences, **options):
            super().__init__(LeakyCell(units, **options), return_sequences=return_sequences)

    entry = dataclasses.replace(CELLS["simple"], layer=Leaky, cell=LeakyCell)
    monkeypatch.setattr(recurrent, "CELLS", {"leaky": entry})
    (layer,) = recurrent_layers("leaky", 2, return_sequences=True)
    layer.build((None, None, 1))
    layer.set_weights([np.zeros((1, 2)), np.zeros((2, 2)), np.array([0.0, 9.0])])
    x = np.ones((1, 3, 1))
    assert gate_shares(layer, x, None, None) == (0.5, None)  # outputs of 0 and 1: one of two at its bounds
    assert WeightDrop(layer)(x, training=True).shape == (1, 3, 2)


@pytest.mark.parametrize(("cell", "place"), [("gru", slice(0, 4)), ("lstm", slice(4, 8))])
def test_gates_begin_with_the_memory_that_is_asked_for(cell, place, tmp_path):
    (layer,) = recurrent_layers(cell, (4,), memory=101)
    model = keras.Sequential([keras.Input((5, 1)), layer])
    bias = np.atleast_2d(keras.ops.convert_to_numpy(layer.cell.bias))
    # A gate of sigmoid(log(n)) = n / (n + 1) keeps the state for n + 1 steps.
    assert np.allclose(np.exp(bias[0, place]), [1, 34, 67, 100])
    if cell == "lstm":
        assert np.allclose(bias[0, :4], -bias[0, place])  # what lasts long lets little in
    assert not bias[0, 8:].any() and not bias[1:].any()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert list(again.layers[0].get_config()["bias_initializer"]["config"]["keeps"]) == list(CELLS[cell].keeps)


def test_a_cell_whose_memory_cannot_be_set():
    with pytest.raises(ValueError, match=r"`memory` is for 'lstm' and 'gru'.* Received: memory=50, cell='mingru'"):
        recurrent_layers("mingru", (4,), memory=50)
    with pytest.raises(ValueError, match="`memory` must be at least 3"):
        recurrent_layers("gru", (4,), memory=2)
