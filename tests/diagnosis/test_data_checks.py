"""What can be wrong with data: each check speaks up at its fault, with its numbers, and is silent without."""

import keras
import numpy as np
import pytest
from diagnosis.cases import CODES, LABELS, RANDOM, X, Y, averaging, case_of, classes_of, outputs_case

import rnn_toolkit as rt
from rnn_toolkit.diagnosis import data_checks
from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.findings import CHECKS
from rnn_toolkit.diagnosis.thresholds import limits


def test_sound_data_are_passed_over():
    case = case_of((X, Y), (RANDOM.normal(size=X.shape).astype("float32"), Y))
    checks = [check for check, _ in CHECKS.values() if check.__module__.rpartition(".")[2][:4] in ("data", "spli")]
    assert [one.__name__ for one in checks if one(case) is not None] == []
    assert len(checks) == 14


def test_values_that_are_not_finite_are_counted_and_placed():
    x = X.copy()
    x[7, 2, 1] = x[9, 0, 0] = np.nan
    finding = data_checks.non_finite_values(case_of((x, Y)))
    assert finding.severity == "error"
    assert "hold 2 values that are not finite, in 2 of 60 rows; the first is row 7" in finding.evidence


def test_a_missing_target_without_weight_is_no_fault():
    y, weight = Y.copy(), np.ones(60)
    y[3], weight[3] = np.nan, 0
    assert data_checks.non_finite_values(case_of((X, y, weight))) is None
    weight[3] = 1
    assert "training targets" in data_checks.non_finite_values(case_of((X, y, weight))).evidence


def test_a_constant_target_is_an_error():
    assert "is 4" in data_checks.constant_target(case_of((X, np.full((60, 1), 4.0)))).evidence
    assert "label" in data_checks.constant_target(classes_of((X, np.full(60, 2)))).evidence


def test_labels_beyond_the_outputs_are_named():
    finding = data_checks.labels_out_of_range(classes_of((X, LABELS + 1)))
    assert "from 1 to 3, but the model has 3 outputs" in finding.evidence


def test_a_code_that_the_loss_ignores_is_no_label_out_of_range():
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    assert data_checks.labels_out_of_range(outputs_case(np.full((60, 3), 1 / 3), LABELS - 1, loss=loss)) is None


def test_codes_beyond_the_embedding_are_named():
    codes = CODES.copy()
    codes[0, 0] = 10
    case = classes_of((codes, LABELS))
    vars(case)["outputs"] = {"training": [np.zeros((1, 3))]}  # not run, as such a code may be an error
    assert "the code 10, but the embedding has 10 rows" in data_checks.labels_out_of_range(case).evidence
    codes[0, 0] = -1  # as pandas codes what is missing
    case = classes_of((codes, LABELS))
    vars(case)["outputs"] = {"training": [np.zeros((1, 3))]}
    assert "hold the code -1, but" in data_checks.labels_out_of_range(case).evidence


@pytest.mark.parametrize(("factor", "value"), [(100.0, "100"), (0.001, "0.001")])
def test_inputs_out_of_scale_are_measured(factor, value):
    finding = data_checks.input_scale(case_of((factor * np.sign(X), Y)))
    assert f"values of {value} (root mean square of feature 0)" in finding.evidence


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_whole_numbers_of_three_axes_are_numbers_and_no_codes(dtype):  # as the pixels of pictures, read row by row
    pixels = np.full((60, 12, 2), 200).astype(dtype)
    case = Case(averaging(X.shape[1:]), (pixels, Y), None, None, limits())
    assert "values of 200" in data_checks.input_scale(case).evidence


def test_a_layer_that_scales_the_inputs_settles_their_scale():
    scaler = keras.layers.Normalization()
    scaler.adapt(100 * X)
    pooling = keras.layers.GlobalAveragePooling1D()
    model = keras.Sequential([keras.Input(X.shape[1:]), scaler, pooling, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    assert data_checks.input_scale(Case(model, (100 * X, Y), None, None, limits())) is None


def test_the_limit_of_a_check_can_be_changed():
    assert data_checks.input_scale(case_of((15 * np.sign(X), Y), input_scale=20.0)) is None


def test_targets_far_from_zero_are_named():
    targets = np.tile([[399.0], [401.0]], (30, 1))
    assert "a mean of 400 and a deviation of 1;" in data_checks.target_scale(case_of((X, targets))).evidence
    assert data_checks.target_scale(case_of((X, Y))) is None
    half = np.tile(np.float16([[-100], [700]]), (30, 1))  # whose squares float16 does not reach
    assert "a mean of 300 and a deviation of 400;" in data_checks.target_scale(case_of((X, half))).evidence


def test_padding_before_the_text_is_counted():
    codes = CODES.copy()
    codes[:30, :2] = 0
    finding = data_checks.padding_side(classes_of((codes, LABELS)))
    assert "50 % of the training rows are padded on the left, 0 % on the right" in finding.evidence
    assert data_checks.padding_side(classes_of((codes[:, ::-1].copy(), LABELS))) is None


def test_rows_without_anything_to_read_are_counted():
    codes = CODES.copy()
    codes[:6] = 0
    assert "10 % of the 60 training rows hold nothing" in data_checks.masked_rows(classes_of((codes, LABELS))).evidence


def test_rows_without_weight_are_counted():
    weight = np.ones(60)
    weight[:15] = 0
    finding = data_checks.masked_rows(case_of((X, Y, weight)))
    assert "25 % of the 60 training rows have a weight of 0" in finding.evidence


def test_tokens_that_the_vocabulary_does_not_know_are_counted():
    vocabulary = rt.fit_vocabulary(["a b c d"])
    train = rt.text_batches(["a b", "a x"], ["no", "yes"], vocabulary=vocabulary)
    model = rt.build_text_classifier(vocabulary, train.classes)
    finding = data_checks.unknown_tokens(Case(model, train, None, None, limits()))
    assert "does not know 25 % of the training tokens" in finding.evidence


def test_a_rare_class_without_weights_is_named():
    labels = np.zeros(60, "int32")
    labels[:3] = 1
    finding = data_checks.class_imbalance(classes_of((X, labels)))
    assert "The rarest class has 3 of 60 training rows (5 %), the commonest 57" in finding.evidence
    weighted = classes_of((X, labels, np.where(labels == 1, 19.0, 1.0)))
    assert data_checks.class_imbalance(weighted) is None


def test_a_season_beyond_the_window_is_found():
    series = np.tile([5.0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 60) + 0.1 * RANDOM.normal(size=600)
    rows = np.lib.stride_tricks.sliding_window_view(series, 5).astype("float32")
    finding = data_checks.look_back(case_of((rows[:, :4, None], rows[:, 4:])))
    assert "A linear model that sees 16 steps back, not 4," in finding.evidence
    rows = np.lib.stride_tricks.sliding_window_view(series, 13).astype("float32")
    assert data_checks.look_back(case_of((rows[:, :12, None], rows[:, 12:]))) is None


def test_zeros_in_between_are_values_and_no_padding():
    comes_and_goes = (RANDOM.random((200, 12, 1)) < 0.3).astype("float32")
    y = comes_and_goes.mean(axis=1)
    assert (comes_and_goes[:, :2] == 0).all(axis=(1, 2)).mean() > 0.3
    assert data_checks.padding_side(case_of((comes_and_goes, y))) is None
    from_zero = RANDOM.integers(0, 9, (60, 6)).astype("int32")
    assert data_checks.padding_side(classes_of((from_zero, LABELS))) is None


def test_words_that_are_seldom_names_need_no_weights():
    tags = np.zeros((60, 6), "int32")
    tags[::4, 2] = 1
    case = outputs_case(np.full((60, 6, 2), 0.5), tags, loss="sparse_categorical_crossentropy")
    assert data_checks.class_imbalance(case) is None


def test_targets_under_a_loss_of_ones_own_are_not_judged_by_their_size():
    def own(y, outputs):
        return keras.ops.mean(keras.ops.square(y - 400 - outputs), axis=-1)

    assert data_checks.target_scale(outputs_case([[0.0], [1.0]], [[399.0], [401.0]], loss=own)) is None
