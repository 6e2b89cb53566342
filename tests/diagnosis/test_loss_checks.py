"""What can be wrong between targets, loss and last activation: each at its fault, and silent without."""

import keras
import numpy as np
import pytest
from diagnosis.cases import SPARSE, outputs_case

from rnn_toolkit.diagnosis import loss_checks


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
        ([[0.5, 0.5]], [[0.0, 1.0]], "mse", "softmax", "Probabilities of classes"),
    ],
)
def test_a_loss_that_does_not_fit_is_an_error(outputs, y, loss, activation, words):
    finding = loss_checks.loss_and_activation(outputs_case(outputs, y, loss=loss, activation=activation))
    is_seen_through = words in ("applies another", "add up to 1.80") and keras.backend.backend() == "tensorflow"
    assert finding.severity == ("warning" if is_seen_through else "error")
    assert words in finding.evidence


@pytest.mark.parametrize(
    ("outputs", "y", "loss", "activation"),
    [
        ([[0.25, 0.75]], [0], SPARSE(), "softmax"),
        ([[2.0, -1.0]], [0], SPARSE(from_logits=True), None),
        ([[0.5]], [[1]], "binary_crossentropy", "sigmoid"),
        ([[0.1]], [50.0], "mse", None),
        ([[0.1]], [[0.4]], "mse", "tanh"),
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
