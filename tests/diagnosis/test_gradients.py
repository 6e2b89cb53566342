import keras
import numpy as np
import pytest
from keras import layers, ops

from rnn_toolkit.diagnosis.gradients import gradient_flow
from rnn_toolkit.networks.dropping import WeightDrop


def linear(recurrent=0.5, *, name="rnn", **kwargs):
    """Return a layer of h_t = x_t + recurrent * h_(t-1)."""
    one = {"kernel_initializer": "ones", "recurrent_initializer": keras.initializers.Constant(recurrent)}
    return layers.SimpleRNN(1, activation=None, name=name, **one, **kwargs)


def compiled(*stack, shape=(3, 1)):
    model = keras.Sequential([keras.Input(shape), *stack])
    model.compile(keras.optimizers.SGD(), "mse")
    return model


def rows(*sequences):
    return np.array(sequences, dtype="float32")[..., None]


def column(model, x, y=None, weight=None, name="rnn"):
    y = np.zeros((len(x), *model.output_shape[1:])) if y is None else y
    return gradient_flow(model, x, y, weight)[name].tolist()


@pytest.mark.parametrize(("recurrent", "expected"), [(0.5, [0.25, 0.5, 1, 2]), (2.0, [16, 8, 4, 2])])
def test_a_linear_layer_multiplies_by_its_recurrent_weight_at_each_step_back(recurrent, expected):
    flow = gradient_flow(compiled(linear(recurrent), shape=(4, 1)), rows([0, 0, 0, 1]), np.zeros((1, 1)))
    assert flow.rnn.tolist() == expected  # 2 * (1 - 0) at the end
    assert (flow.index.name, flow.index.tolist()) == ("step", [0, 1, 2, 3])
    assert flow.attrs == {"loss": 1.0, "backwards": [], "first_to_last": {"rnn": expected[0] / 2}}


def test_each_row_counts_by_its_own_loss_whatever_the_size_of_the_batch():
    # 2 * 1 and 2 * 3 at the end, and their mean, not a half of it
    assert column(compiled(linear()), rows([0, 0, 1], [0, 0, 3])) == [1, 2, 4]


def test_rows_weigh_what_their_sample_weight_says():
    assert column(compiled(linear()), rows([0, 0, 1], [0, 0, 3]), weight=np.array([1.0, 0.0])) == [0.25, 0.5, 1]


def test_every_step_adds_what_it_costs_itself():
    model = compiled(linear(return_sequences=True))
    # h is 1, 1/2, 1/4; each costs a third of its square
    assert column(model, rows([1, 0, 0])) == pytest.approx([21 / 24, 5 / 12, 1 / 6])
    last_only = np.array([[0.0, 0.0, 1.0]])
    assert column(model, rows([1, 0, 0]), weight=last_only) == pytest.approx([1 / 24, 1 / 12, 1 / 6])


def test_the_gradient_of_a_lower_layer_comes_through_all_that_lies_above():
    lower, upper = linear(name="lower", return_sequences=True), linear(name="upper")
    flow = gradient_flow(compiled(lower, upper, shape=(2, 1)), rows([0, 1]), np.zeros((1, 1)))
    assert flow.upper.tolist() == [1, 2]
    assert flow.lower.tolist() == [2, 2]  # half by its own recurrence, half by that of the layer above


def test_the_norm_is_taken_over_units():
    wide = layers.SimpleRNN(2, activation=None, kernel_initializer="zeros", name="wide")
    head = layers.Dense(1, use_bias=False)
    model = compiled(wide, head)
    wide.set_weights([np.zeros((1, 2)), np.eye(2), np.zeros(2)])
    head.set_weights([np.array([[3.0], [4.0]])])
    # the output is 0, the target 1: 2 * (0 - 1) * (3, 4)
    assert column(model, rows([0, 0, 0]), np.ones((1, 1)), name="wide") == pytest.approx([10, 10, 10])


def test_masked_steps_count_neither_for_their_row_nor_in_the_mean():
    model = compiled(layers.Masking(), linear())
    flow = gradient_flow(model, rows([1, 0, 0], [1, 1, 0]), np.zeros((2, 1)))
    # row 0 ends at step 0 with h = 1, row 1 at step 1 with h = 1.5; no row has step 2
    assert flow.rnn.tolist() == pytest.approx([(2 + 1.5) / 2, 3, np.nan], nan_ok=True)
    assert flow.attrs["first_to_last"]["rnn"] == (1 + 0.5) / 2


def test_padding_on_the_left_is_no_first_step():
    flow = gradient_flow(compiled(layers.Masking(), linear()), rows([0, 1, 1]), np.zeros((1, 1)))
    assert flow.rnn.tolist() == pytest.approx([np.nan, 1.5, 3], nan_ok=True)
    assert flow.attrs["first_to_last"]["rnn"] == 0.5


def test_both_directions_are_told_apart_and_share_the_steps_of_the_input():
    model = compiled(layers.Bidirectional(linear(), merge_mode="sum"))
    flow = gradient_flow(model, rows([1, 0, 0]), np.zeros((1, 1)))  # 0.25 forward, 1 backward
    assert flow.forward_rnn.tolist() == [0.625, 1.25, 2.5]
    assert flow.backward_rnn.tolist() == [2.5, 1.25, 0.625]
    assert flow.attrs["backwards"] == ["backward_rnn"]
    assert flow.attrs["first_to_last"] == {"forward_rnn": 0.25, "backward_rnn": 0.25}


@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_it_is_what_finite_differences_say(kind):
    keras.utils.set_random_seed(1)
    layer, step, size = kind(3, return_state=True, name="rnn"), 4, 0.01
    inputs = keras.Input((6, 2))
    output, *_ = layer(inputs)
    model = keras.Model(inputs, output)
    model.compile(loss="mse")
    x, y = np.random.default_rng(0).normal(size=(2, 1, 6, 3)).astype("float32")
    x, y = x[..., :2], y[:, 0]
    _, *states = layer(x[:, : step + 1])
    h, *others = (ops.convert_to_numpy(one) for one in states)

    def loss(moved):
        return float(
            np.mean((ops.convert_to_numpy(layer(x[:, step + 1 :], initial_state=[moved, *others])[0]) - y) ** 2)
        )

    gradient = [(loss(h + size * unit) - loss(h - size * unit)) / (2 * size) for unit in np.eye(3, dtype="float32")]
    assert column(model, x, y)[step] == pytest.approx(np.linalg.norm(gradient), rel=1e-3)


def test_stacked_cells_show_the_last_of_them():
    keras.utils.set_random_seed(2)
    stack = layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)], name="rnn")
    lower, upper = layers.GRU(3, return_sequences=True), layers.LSTM(2, name="rnn")
    one, two = compiled(stack, layers.Dense(1)), compiled(lower, upper, layers.Dense(1))
    two.set_weights(one.get_weights())
    x = np.random.default_rng(0).normal(size=(4, 3, 1))
    assert column(one, x) == pytest.approx(column(two, x), rel=1e-5)


class Tripled(keras.layers.Layer):
    """A cell of h_t = x_t + h_(t-1) / 2 that puts out 3 h_t."""

    state_size = output_size = 1

    def call(self, inputs, states):
        h = inputs + states[0] / 2
        return 3 * h, [h]


def test_a_cell_that_puts_out_no_state_shows_what_its_first_state_does_to_later_steps():
    # the output is 3, 2 * 3 at the end; the state before it is halved and tripled
    assert column(compiled(layers.RNN(Tripled(), name="rnn"), shape=(2, 1)), rows([0, 1])) == [9, 0]


def test_a_shorter_layer_has_no_later_steps():
    model = compiled(
        linear(name="long", return_sequences=True), layers.AveragePooling1D(2), linear(name="short"), shape=(4, 1)
    )
    flow = gradient_flow(model, rows([0, 0, 0, 2]), np.zeros((1, 1)))
    assert flow.short.tolist() == pytest.approx([1, 2, np.nan, np.nan], nan_ok=True)
    assert flow.long.notna().all()


def test_a_layer_that_is_called_twice_has_a_column_for_each_call():
    shared, first, second = linear(), keras.Input((3, 1)), keras.Input((2, 1))
    model = keras.Model([first, second], layers.Add()([shared(first), shared(second)]))
    model.compile(loss="mse")
    flow = gradient_flow(model, [rows([0, 0, 1]), rows([0, 1])], np.zeros((1, 1)))
    assert flow["rnn"].tolist() == [1, 2, 4]
    assert flow["rnn/1"].tolist() == pytest.approx([2, 4, np.nan], nan_ok=True)


def test_layers_in_models_and_wrappers_are_seen():
    inner = keras.Sequential([keras.Input((3, 1)), WeightDrop(linear(name="dropped", return_sequences=True))])
    model = compiled(inner, linear(unroll=True, dropout=0.5, recurrent_dropout=0.5))
    flow = gradient_flow(model, rows([0, 0, 1]), np.zeros((1, 1)))
    assert flow.rnn.tolist() == [0.5, 1, 2]
    assert list(flow) == ["dropped", "rnn"]


def test_a_state_that_is_handed_over_carries_the_gradient_on():
    sequences = keras.Input((2, 1))
    _, state = linear(name="encoder", return_state=True)(sequences)
    model = keras.Model(sequences, linear(name="decoder")(sequences, initial_state=state))
    model.compile(loss="mse")
    flow = gradient_flow(model, rows([0, 1]), np.zeros((1, 1)))  # the decoder's h is 0.5, then 1.25
    assert flow.decoder.tolist() == [1.25, 2.5]
    assert flow.encoder.tolist() == [0.3125, 0.625]


def test_float16_loses_no_small_gradient():
    policy = keras.DTypePolicy("mixed_float16")
    model = compiled(linear(dtype=policy), shape=(30, 1))
    assert column(model, rows([0.0] * 29 + [1.0]))[0] == 2.0**-28  # float16 ends at 6e-8
    assert model.layers[0].compute_dtype == model.layers[0].cell.compute_dtype == "float16"
    assert model.layers[0].dtype_policy.name == "mixed_float16"


def test_an_exploding_gradient_is_shown_as_it_is():
    flow = column(compiled(linear(1e13), shape=(5, 1)), rows([0, 0, 0, 0, 1]))
    assert flow[1:] == pytest.approx([2e39, 2e26, 2e13, 2], rel=1e-5) or not np.isfinite(flow[1])
    assert not np.isfinite(flow[0])


@pytest.fixture(scope="module")
def with_state():
    """Return a model with everything that a call or a loss may change."""
    one = layers.LSTM(2, stateful=True, return_sequences=True, dropout=0.5, name="stateful")
    stack = [keras.Input(batch_shape=(2, 3, 1)), one, layers.BatchNormalization(), layers.GRU(2, unroll=True)]
    model = keras.Sequential([*stack, layers.Dropout(0.5), layers.Dense(1, activity_regularizer="l2")])
    model.compile("adam", "mse", metrics=["mae"])
    # At Keras 3.13 `fit` has no batch size for the states; on PyTorch Keras 3.15 trains no stateful layer.
    call = model.test_on_batch if keras.backend.backend() == "torch" else model.train_on_batch
    call(np.ones((2, 3, 1)), np.ones((2, 1)))
    return model


def everything(model):
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables, *model.layers[0].states]
    attributes = [{k: id(v) for k, v in vars(one).items()} for one in model._flatten_layers()]
    return [ops.convert_to_numpy(one).tolist() for one in variables], attributes


def test_the_model_is_left_as_it_was(with_state):
    model = with_state
    before = everything(model)
    gradient_flow(model, np.ones((2, 3, 1)), np.zeros((2, 1)))
    assert everything(model) == before


def test_the_model_is_left_as_it_was_behind_an_error(with_state, monkeypatch):
    model = with_state

    def broken(inputs, states, training=False):
        raise RuntimeError("in the loop")

    monkeypatch.setitem(vars(model.layers[2].cell), "call", broken)
    before = everything(model)
    with pytest.raises(RuntimeError, match="in the loop"):
        gradient_flow(model, np.ones((2, 3, 1)), np.zeros((2, 1)))
    assert everything(model) == before


def test_the_loss_is_that_of_an_evaluation():
    keras.utils.set_random_seed(3)
    model = compiled(layers.Bidirectional(layers.LSTM(4)), layers.Dropout(0.5), layers.Dense(1))
    x, y = np.random.default_rng(0).normal(size=(2, 5, 3, 1))
    flow = gradient_flow(model, x, y[:, 0])
    assert flow.attrs["loss"] == pytest.approx(model.evaluate(x, y[:, 0], verbose=0), rel=1e-5)


def test_a_language_model_is_seen_and_keeps_its_place_in_the_text():
    from rnn_toolkit import build_language_model, fit_vocabulary, language_model_batches, recurrent_layers

    text = "to be or not to be " * 20
    vocabulary = fit_vocabulary([text], unit="character")
    streams = language_model_batches(text, vocabulary, batch_size=2, steps=16)
    model = build_language_model(vocabulary, recurrent_layers("lstm", (4,), return_sequences=True))
    x, y = streams[1][:2]
    model(x)  # the state is at the end of these rows
    before = [ops.convert_to_numpy(one).tolist() for one in model.variables]
    last_only = np.zeros(y.shape[:2], "float32")
    last_only[:, -1] = 1
    flow = gradient_flow(model, x, y, last_only)
    assert len(flow) == 16 and len(flow.columns) == 1
    assert flow.iloc[0, 0] < flow.iloc[-1, 0]
    assert [ops.convert_to_numpy(one).tolist() for one in model.variables] == before


@pytest.mark.parametrize(
    ("stack", "shape"),
    [([layers.Dense(1, name="dense")], (3, 1)), ([layers.TimeDistributed(linear(), name="outer")], (3, 2, 1))],
)
def test_a_model_whose_steps_cannot_be_seen_is_refused(stack, shape):
    with pytest.raises(
        ValueError, match=rf"no recurrent layer whose steps can be seen: it has {stack[0].name}.*Pass a"
    ):
        gradient_flow(compiled(*stack, shape=shape), np.zeros((1, *shape)), np.zeros((1, 3, 1)))


def test_rows_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"as many rows in all arrays.* x has 1, y has 2 rows"):
        gradient_flow(compiled(linear()), rows([0, 0, 1]), np.zeros((2, 1)))
    assert gradient_flow(compiled(linear()), [[[0], [0], [1.0]]], [[0.0]]).shape == (3, 1)  # lists are arrays


def test_a_penalty_on_the_weights_does_not_hinder():
    layer = keras.layers.GRU(2, kernel_regularizer="l2", name="rnn")
    model = keras.Sequential([keras.Input((3, 1)), layer, keras.layers.Dense(1)])
    model.compile(loss="mse")
    flow = gradient_flow(model, np.ones((2, 3, 1), "float32"), np.ones((2, 1), "float32"))
    assert (flow["rnn"] > 0).all() and layer.cell.kernel.regularizer is not None
