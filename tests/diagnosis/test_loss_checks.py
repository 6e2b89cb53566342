"""What can be wrong between targets, loss and last activation: each at its fault, and silent without."""

import keras
import numpy as np
import pytest
from diagnosis.cases import SPARSE, X, Y, outputs_case

from rnn_toolkit.diagnosis import loss_checks
from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.thresholds import limits


@pytest.mark.parametrize(
    ("outputs", "y", "loss", "activation", "words"),
    [
        ([[2.0, -1.0]], [0], SPARSE(), None, "reads them as probabilities"),
        ([[0.25, 0.75]], [0], SPARSE(from_logits=True), "softmax", "applies another"),
        ([[0.9, 0.9]], [0], SPARSE(), "sigmoid", "add up to 1.80"),
        ([[1.0]], [0], SPARSE(), "softmax", "has one output"),
        ([[0.5]], [[2]], "binary_crossentropy", "sigmoid", "from 2 to 2"),
        ([[1.0]], [[1]], "binary_crossentropy", "softmax", "softmax over 1 output."),
        ([[0.5]], [[1]], keras.losses.BinaryCrossentropy(from_logits=True), "sigmoid", "applies another"),
        ([[-3.0]], [[1]], "binary_crossentropy", None, "from -3 to -3"),
        ([[0.1, 0.2, 0.3]], [1], "mse", None, "have shape"),
        ([[0.5]], [[50.0]], "mse", "sigmoid", "100 % of the targets lie outside 0 to 1"),
    ],
)
def test_a_loss_that_does_not_fit_is_an_error(outputs, y, loss, activation, words):
    finding = loss_checks.loss_and_activation(outputs_case(outputs, y, loss=loss, activation=activation))
    is_seen_through = words in ("applies another", "add up to 1.80") and keras.backend.backend() == "tensorflow"
    assert finding.severity == ("warning" if is_seen_through else "error")
    assert words in finding.evidence


def test_probabilities_under_a_squared_error_are_a_note():
    case = outputs_case([[0.5, 0.5]], [[0.0, 1.0]], loss="mse", activation="softmax")
    finding = loss_checks.loss_and_activation(case)
    assert finding.severity == "note" and "Probabilities of classes" in finding.evidence


def judged(*stack, y, loss="mse"):
    """Return what is found of layers that are run."""
    model = keras.Sequential([keras.Input((12, 2)), *stack])
    model.compile("adam", loss)
    return loss_checks.loss_and_activation(Case(model, (X, y), None, None, limits()))


def test_an_activation_counts_only_where_the_outputs_come_from_it():
    layers = keras.layers
    assert judged(layers.Dense(4, activation="relu"), layers.LSTM(1), y=0.5 * np.sign(Y)) is None
    assert "its tanh ends" in judged(layers.LSTM(1), y=5 * np.sign(Y)).evidence
    assert judged(layers.GRU(2), layers.Dense(1, activation="tanh"), layers.Rescaling(9.0), y=8 * np.sign(Y)) is None
    head = [layers.GRU(2), layers.Dense(1, activation="tanh"), layers.Reshape((1, 1)), layers.Flatten()]
    assert "its tanh ends" in judged(*head, y=8 * np.sign(Y)).evidence
    steps = layers.TimeDistributed(layers.Dense(1, activation="sigmoid"))
    assert "its sigmoid ends" in judged(layers.GRU(2, return_sequences=True), steps, y=9 + X[..., :1]).evidence


def test_a_loss_of_ones_own_may_read_outputs_as_it_likes():
    def density(y, outputs):
        mean, log = outputs[:, :1], outputs[:, 1:]
        return keras.ops.square((y - mean) * keras.ops.exp(-log)) / 2 + log

    assert judged(keras.layers.GRU(2), keras.layers.Dense(2), y=Y, loss=density) is None


@pytest.mark.parametrize(
    ("outputs", "y", "loss", "activation"),
    [
        ([[0.25, 0.75]], [0], SPARSE(), "softmax"),
        ([[2.0, -1.0]], [0], SPARSE(from_logits=True), None),
        ([[0.5]], [[1]], "binary_crossentropy", "sigmoid"),
        ([[0.1]], [50.0], "mse", None),
        ([[0.1]], [[0.4]], "mse", "tanh"),
        ([[0.25, 0.75]], [[0, 1]], "binary_crossentropy", "softmax"),
    ],
)
def test_a_loss_that_fits_is_passed_over(outputs, y, loss, activation):
    assert loss_checks.loss_and_activation(outputs_case(outputs, y, loss=loss, activation=activation)) is None


@pytest.mark.parametrize(
    ("y", "words"), [([[1, 0, 2]], "the code 0 within"), ([[1, 1, 1]], "need 5 steps, but the outputs have 4")]
)
def test_labels_that_ctc_cannot_place_are_named(y, words):
    outputs = np.zeros((1, 4, 3), "float32")
    assert words in loss_checks.loss_and_activation(outputs_case(outputs, y, loss=keras.losses.CTC())).evidence
