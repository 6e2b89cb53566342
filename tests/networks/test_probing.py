"""A look at a model from outside: names of its layers, their outputs, its first value that is not finite."""

import keras
import numpy as np
import pytest
from keras import layers

from rnn_toolkit.networks.dropping import WeightDrop
from rnn_toolkit.networks.probing import (
    compiled,
    compiled_forward,
    first_layer,
    named_layers,
    numpy,
    owned_variables,
    place_in_batch,
    recurrent_states,
)


def model_of(*stack, shape=(3, 1)):
    return keras.Sequential([keras.Input(shape), *stack])


@pytest.fixture(scope="module")
def nested():
    """Return a model with layers in wrappers and in a model of its own, and one called as in training only."""
    inner = keras.Sequential([keras.Input((3, 1)), WeightDrop(layers.LSTM(2, return_sequences=True))], name="inner")
    return model_of(inner, layers.Bidirectional(layers.GRU(2)), layers.Dropout(0.5), layers.Dense(1, name="head"))


def test_layers_have_the_same_names_in_every_copy(nested):
    names = list(named_layers(nested))
    assert names == list(named_layers(keras.models.clone_model(nested)))
    assert {"lstm", "inner", "forward_gru", "backward_gru", "head"} <= set(names)
    assert names.index("lstm") < names.index("inner")
    two = model_of(layers.GRU(1, return_sequences=True), layers.GRU(1), layers.Dense(1, name="gru_7"))
    assert [name for name in named_layers(two) if "gru" in name] == ["gru", "gru_1", "gru_7"]


def test_weights_belong_to_the_innermost_layer(nested):
    owned = owned_variables(nested)
    assert list(owned) == ["lstm", "forward_gru", "backward_gru", "head"]
    assert sum(map(len, owned.values())) == len(nested.trainable_variables)


def test_outputs_are_those_without_dropout(nested):
    x = np.ones((2, 3, 1), "float32")
    found = compiled_forward(nested)(x)
    assert set(found) == {"lstm", "forward_gru", "backward_gru", "head"}
    layer, output, arguments = found["head"]
    assert layer is nested.layers[-1] and arguments is None
    assert output == pytest.approx(numpy(nested(x, training=False)), abs=1e-6)
    assert output == pytest.approx(numpy(compiled(nested)(x)), abs=1e-6)
    sequences, states, mask = found["forward_gru"][2]
    assert sequences.shape == (2, 3, 2) and states is None and mask is None
    assert not any("call" in vars(one) for one in named_layers(nested).values())


def test_states_are_those_of_stateful_layers(nested):
    assert recurrent_states(nested) == []
    stateful = keras.Sequential([keras.Input(batch_shape=(2, 3, 1)), layers.LSTM(4, stateful=True)])
    assert [one.shape for one in recurrent_states(stateful)] == [(2, 4), (2, 4)]


def test_arrays_are_copies(nested):
    kernel = nested.layers[-1].kernel
    copy = numpy(kernel)
    copy += 1
    assert not np.array_equal(copy, numpy(kernel))


def test_values_that_are_not_finite_are_placed_by_row_and_column():
    values = np.zeros((4, 3))
    assert place_in_batch([values, None, np.ones(2, int)]) == ""
    values[1, 2] = values[3, 0] = np.inf
    assert place_in_batch({"x": values}) == "row 1, 3, column 0, 2"
    assert place_in_batch(np.array([0.0, np.nan])) == "row 1"


def test_the_first_layer_with_a_value_that_is_not_finite_is_named():
    first, second = layers.Dense(1, name="first"), layers.Dense(1, name="second")
    model = model_of(first, second)
    x = np.ones((1, 3, 1), "float32")
    assert first_layer(model, x) == ""
    first.kernel.assign([[np.inf]])
    assert first_layer(model, x) == "first"
