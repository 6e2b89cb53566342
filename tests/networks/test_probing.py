"""A model's layers by name, and what they put out, seen from outside."""

import keras
import numpy as np
import pytest
from keras import layers

from rnn_toolkit.networks.probing import (
    compiled_forward,
    first_layer,
    named_layers,
    owned_variables,
    place_in_batch,
    recurrent_states,
)


def dense(value=1.0, **options) -> layers.Dense:
    return layers.Dense(1, kernel_initializer=keras.initializers.Constant(value), use_bias=False, **options)


@pytest.fixture(scope="module")
def nested() -> keras.Sequential:
    """Return a model of a mask, a two-way GRU, dropout, a model of one layer, and a layer on top."""
    inner = keras.Sequential([keras.Input((2,)), dense(name="same")], name="inner")
    both = layers.Bidirectional(layers.GRU(1, return_sequences=False))
    stack = [layers.Masking(name="mask"), both, layers.Dropout(0.5, name="dropped"), inner, dense(2.0, name="same")]
    return keras.Sequential([keras.Input((3, 1)), *stack], name="whole")


def test_layers_have_names_of_their_own_inner_ones_first(nested):
    names = [name for name, one in named_layers(nested).items() if not isinstance(one, layers.InputLayer)]
    read, above = ["mask", "forward_gru", "backward_gru", "bidirectional", "dropped"], ["whole/same", "whole"]
    assert names == [*read, "same", "inner", *above]


def test_weights_belong_to_the_innermost_layer(nested):
    assert {name: len(own) for name, own in owned_variables(nested).items()} == {
        "forward_gru": 3,
        "backward_gru": 3,
        "same": 1,
        "whole/same": 1,
    }


def test_outputs_of_innermost_layers_come_with_the_arguments_of_recurrent_ones(nested):
    x = np.array([[[1.0], [1.0], [0.0]]], "float32")
    _, found = compiled_forward(nested)(x)
    assert list(found) == ["mask", "forward_gru", "backward_gru", "same", "whole/same"]  # dropout hands its inputs on
    layer, output, (sequences, states, mask) = found["forward_gru"]
    assert layer is nested.layers[1].forward_layer and output.shape == (1, 1)
    assert sequences.tolist() == x.tolist() and states is None and mask.tolist() == [[True, True, False]]
    assert found["same"][2] is None
    assert found["whole/same"][1] == pytest.approx(2 * found["same"][1])
    assert "call" not in vars(layer)


def test_a_compiled_model_answers_as_the_model_does(nested):
    x = np.ones((2, 3, 1), "float32")
    answer, _ = compiled_forward(nested)(x)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(answer), nested.predict(x, verbose=0), atol=1e-6)


def test_states_are_those_of_stateful_layers():
    stateful = layers.LSTM(2, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(1, 3, 1)), stateful, dense()])
    assert [one is two for one, two in zip(recurrent_states(model), stateful.states, strict=True)] == [True, True]


@pytest.mark.parametrize(
    ("arrays", "place"),
    [
        (np.ones((2, 2)), ""),
        (np.array([["a", "b"]]), ""),
        ([None, np.ones(2), np.array([[1.0, 1.0], [1.0, np.nan]])], "row 1, column 1"),
        (np.array([1.0, np.inf, -np.inf]), "row 1, 2"),
    ],
)
def test_places_of_what_is_not_finite(arrays, place):
    assert place_in_batch(arrays) == place


def test_the_first_layer_with_an_output_that_is_not_finite_is_named():
    model = keras.Sequential(
        [keras.Input((1,)), dense(name="one"), layers.Activation(keras.ops.log, name="two"), dense()]
    )
    x = np.array([[0.0]])
    with np.errstate(divide="ignore"):
        assert first_layer(model, x) == "two"
    assert first_layer(model, x + 1) == ""
