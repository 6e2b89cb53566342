"""Losses worked out by hand: of outputs, of perfect ones, and of the best constant."""

import keras
import numpy as np
import pytest

from rnn_toolkit.diagnosis.reference_loss import ReferenceLoss

SPARSE = keras.losses.SparseCategoricalCrossentropy
LOG = np.log


@pytest.mark.parametrize(
    ("loss", "name", "kind"),
    [
        ("mse", "mean_squared_error", "numbers"),
        (keras.losses.Huber(), "huber", "numbers"),
        (SPARSE(from_logits=True), "sparse_categorical_crossentropy", "classes"),
        ("categorical_crossentropy", "categorical_crossentropy", "one-hot"),
        (keras.losses.BinaryCrossentropy(), "binary_crossentropy", "binary"),
        (keras.losses.CTC(), "ctc", "ctc"),
        ("kl_divergence", "kl_divergence", "one-hot"),
        (keras.losses.KLDivergence(), "kldivergence", "one-hot"),
    ],
)
def test_a_loss_says_what_it_predicts(loss, name, kind):
    reference = ReferenceLoss(loss)
    assert (reference.name, reference.kind) == (name, kind)
    assert reference.from_logits == isinstance(loss, SPARSE)


@pytest.mark.parametrize("loss", ["mse", keras.losses.MeanSquaredError()])
def test_rows_weigh_what_they_weigh_in_a_training(loss):
    y, outputs = np.array([[1.0], [3.0]]), np.zeros((2, 1))
    assert ReferenceLoss(loss).of(y, outputs) == 5  # (1 + 9) / 2
    for weight in (np.array([1.0, 0.0]), np.array([[1.0], [0.0]])):
        assert ReferenceLoss(loss).of(y, outputs, weight) == 0.5  # by the number of rows, not of weights


def test_whole_numbers_are_compared_as_numbers():
    def squares(y, outputs):
        return keras.ops.mean(keras.ops.square(outputs - y), axis=-1)

    assert ReferenceLoss(squares).of(np.array([[1], [3]]), np.zeros((2, 1), "float32")) == 5


def test_targets_without_an_axis_are_those_of_the_one_output():
    assert ReferenceLoss("mse").of(np.array([1.0, 3.0]), np.zeros((2, 1))) == 5


def test_padding_has_no_label():
    y, weight = np.array([[2, 1], [1, 0]]), np.array([[1, 1], [1, 0]])
    assert ReferenceLoss(SPARSE()).labels(y, weight).tolist() == [2, 1, 1]
    assert ReferenceLoss(SPARSE()).labels(np.array([2, 1]), np.array([[1.0], [0.0]])).tolist() == [2]
    assert ReferenceLoss("categorical_crossentropy").labels(np.eye(3)[[2, 0]]).tolist() == [2, 0]
    assert ReferenceLoss("mse").labels(y) is None
    assert ReferenceLoss("binary_crossentropy").labels(y) is None  # two answers to each row
    assert ReferenceLoss(SPARSE()).labels(np.array([np.nan, 1.0])) is None


def best(loss, y, weight=None, *, shape):
    reference = ReferenceLoss(loss)
    return reference.of_constants(reference.constants(y, weight, width=shape[-1]), y, weight, shape=shape)


def test_the_constant_of_numbers_is_their_mean_or_their_median():
    y = np.array([[0.0], [0.0], [3.0]])
    assert best("mse", y, shape=(1,)) == pytest.approx(2)  # (1 + 1 + 4) / 3
    assert best("mae", y, shape=(1,)) == pytest.approx(1)  # 3 / 3, about a median of 0


def test_a_constant_is_the_same_for_all_quantiles():
    def spread(y, outputs):
        return keras.ops.mean(keras.ops.abs(y[..., None] - outputs), axis=-1)

    y = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 3.0]], "float32")  # two steps
    assert best(spread, y, shape=(2, 5)) == pytest.approx(1)


@pytest.mark.parametrize("from_logits", [False, True])
def test_the_constant_of_classes_is_their_shares(from_logits):
    three_to_one = -(0.75 * LOG(0.75) + 0.25 * LOG(0.25))
    y = np.array([0, 0, 0, 1])
    assert best(SPARSE(from_logits=from_logits), y, shape=(2,)) == pytest.approx(three_to_one, abs=1e-3)
    one_hot = keras.losses.CategoricalCrossentropy(from_logits=from_logits)
    assert best(one_hot, np.eye(2)[y], shape=(2,)) == pytest.approx(three_to_one, abs=1e-3)
    binary = keras.losses.BinaryCrossentropy(from_logits=from_logits)
    assert best(binary, y[:, None], shape=(1,)) == pytest.approx(three_to_one, abs=1e-3)


def test_classes_weigh_what_their_rows_weigh():
    y, weight = np.array([0, 0, 0, 1]), np.array([1.0, 1, 1, 3])
    assert best(SPARSE(), y, weight, shape=(2,)) == pytest.approx(6 * LOG(2) / 4, abs=1e-3)
    assert best("binary_crossentropy", y, weight, shape=(1,)) == pytest.approx(6 * LOG(2) / 4, abs=1e-3)


def test_a_class_that_the_loss_ignores_is_neither_a_label_nor_part_of_the_constant():
    loss, y = SPARSE(ignore_class=-1), np.array([[0, 0, -1], [0, 1, -1]])
    assert ReferenceLoss(loss).labels(y).tolist() == [0, 0, 0, 1]
    three_to_one = -(0.75 * LOG(0.75) + 0.25 * LOG(0.25))
    assert best(loss, y, shape=(3, 2)) == pytest.approx(three_to_one, abs=1e-3)
    shares = np.broadcast_to(np.float32([0.75, 0.25]), (2, 3, 2))
    assert ReferenceLoss(loss).of(y, shares) == pytest.approx(three_to_one, abs=1e-3)  # as Keras has it


def test_where_nothing_is_known_there_is_no_constant():
    assert np.isnan(best(keras.losses.CTC(), np.ones((2, 3), int), shape=(4, 3)))
    assert np.isnan(best("mse", np.full((2, 1), np.nan), shape=(1,)))
    assert np.isnan(best("binary_crossentropy", np.array([[2]]), shape=(1,)))


@pytest.mark.parametrize("from_logits", [False, True])
def test_perfect_outputs_cost_what_the_targets_leave_open(from_logits):
    soft = np.array([[0.75, 0.25], [0.25, 0.75]])
    loss = ReferenceLoss(keras.losses.CategoricalCrossentropy(from_logits=from_logits))
    assert loss.of(soft, loss.perfect(soft, (2,))) == pytest.approx(0.5623, abs=1e-4)  # -(3 ln 3 - 4 ln 4) / 4
    loss = ReferenceLoss(SPARSE(from_logits=from_logits))
    assert loss.of(np.array([1, 0]), loss.perfect(np.array([1, 0]), (2,))) == pytest.approx(0, abs=1e-5)


def test_outputs_of_another_shape_are_not_known():
    assert ReferenceLoss("mse").perfect(np.zeros((2, 3)), (3, 5)) is None
    assert ReferenceLoss("mse").perfect(np.zeros(2), (1,)).shape == (2, 1)
