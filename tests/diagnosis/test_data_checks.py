"""What can be wrong with data: each check speaks up at its fault, with its numbers, and is silent without."""

import keras
import numpy as np
import pytest

import rnn_toolkit as rt
from rnn_toolkit.diagnosis import data_checks, split_checks
from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.sample import sample_of
from rnn_toolkit.diagnosis.thresholds import limits

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 8, 2)).astype("float32")
Y = RANDOM.normal(size=(60, 1)).astype("float32")
CODES = RANDOM.integers(1, 9, (60, 6)).astype("int32")
LABELS = (np.arange(60) % 3).astype("int32")


def case_of(train, validation=None, *, loss="mse", outputs=1, front=(), **changes):
    """Return a case of a model that is never run but where a check looks at its outputs."""
    x = train[0]
    dtype = "int32" if x.dtype.kind == "i" else "float32"
    layers = [keras.layers.Embedding(10, 4)] if dtype == "int32" else []
    head = keras.layers.Dense(outputs, activation="softmax" if outputs > 1 else None)
    model = keras.Sequential(
        [keras.Input(x.shape[1:], dtype=dtype), *front, *layers, keras.layers.GlobalAveragePooling1D(), head]
    )
    model.compile("adam", loss)
    return Case(model, train, validation, None, limits(changes))


def classes_of(train, validation=None, **changes):
    return case_of(train, validation, loss="sparse_categorical_crossentropy", outputs=3, **changes)


def test_sound_data_are_passed_over():
    later = RANDOM.normal(size=X.shape).astype("float32")
    case = case_of((X, Y), (later, Y))
    checks = [*vars(data_checks).values(), *vars(split_checks).values()]
    own = [one for one in checks if getattr(one, "__module__", "").endswith("_checks") and one.__name__[0] != "_"]
    assert [one.__name__ for one in own if one(case) is not None] == []
    assert len(own) == 16


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


def test_codes_beyond_the_embedding_are_named():
    codes = CODES.copy()
    codes[0, 0] = 10
    case = classes_of((codes, LABELS))
    case.outputs = {"training": [np.zeros((1, 3))]}
    assert "the code 10, but the embedding has 10 rows" in data_checks.labels_out_of_range(case).evidence


def test_features_that_never_change_are_noted_and_all_of_them_an_error():
    x = X.copy()
    x[..., 1] = 5
    assert data_checks.constant_inputs(case_of((x, Y))).severity == "note"
    assert data_checks.constant_inputs(case_of((np.zeros_like(X), Y))).severity == "error"


@pytest.mark.parametrize(("factor", "value"), [(100.0, "100"), (0.001, "0.001")])
def test_inputs_out_of_scale_are_measured(factor, value):
    x = factor * np.sign(X)
    finding = data_checks.input_scale(case_of((x, Y)))
    assert f"values of {value} (root mean square of feature 0)" in finding.evidence


def test_a_layer_that_scales_the_inputs_settles_their_scale():
    scaler = keras.layers.Normalization()
    scaler.adapt(100 * X)
    assert data_checks.input_scale(case_of((100 * X, Y), front=[scaler])) is None


def test_the_limit_of_a_check_can_be_changed():
    assert data_checks.input_scale(case_of((15 * np.sign(X), Y), input_scale=20.0)) is None


def test_targets_far_from_zero_are_named():
    targets = np.tile([[399.0], [401.0]], (30, 1))
    assert "a mean of 400 and a deviation of 1," in data_checks.target_scale(case_of((X, targets))).evidence
    assert data_checks.target_scale(case_of((X, Y))) is None


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
    assert (
        "25 % of the 60 training rows have a weight of 0" in data_checks.masked_rows(case_of((X, Y, weight))).evidence
    )


def test_batches_of_padding_are_noted():
    codes = np.pad(CODES, [(0, 0), (0, 44)])
    assert "88 % of the steps" in data_checks.padding_share(classes_of((codes, LABELS))).evidence


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
    assert "The rarest class has 3 of 60 training rows (5 %), the most frequent 57" in finding.evidence
    weighted = classes_of((X, labels, np.where(labels == 1, 19.0, 1.0)))
    assert data_checks.class_imbalance(weighted) is None


def test_a_season_beyond_the_window_is_found():
    series = np.tile([5.0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 60) + 0.1 * RANDOM.normal(size=600)
    rows = np.lib.stride_tricks.sliding_window_view(series, 5).astype("float32")
    finding = data_checks.look_back(case_of((rows[:, :4, None], rows[:, 4:])))
    assert "A linear model that sees 16 steps back" in finding.evidence
    rows = np.lib.stride_tricks.sliding_window_view(series, 13).astype("float32")
    assert data_checks.look_back(case_of((rows[:, :12, None], rows[:, 12:]))) is None


def test_windows_split_at_random_leak():
    series = RANDOM.normal(size=400)
    rows = np.lib.stride_tricks.sliding_window_view(series, 13).astype("float32")
    x, y = rows[:, :12, None], rows[:, 12:]
    order = RANDOM.permutation(len(x))
    mixed = case_of((x[order[:300]], y[order[:300]]), (x[order[300:]], y[order[300:]]))
    assert "of the validation windows lie among the steps" in split_checks.leakage(mixed).evidence
    assert split_checks.leakage(case_of((x[:280], y[:280]), (x[300:], y[300:]))) is None


def test_windows_of_one_split_in_the_other_leak():
    frame = {"load": np.sin(np.arange(120.0))}
    train, validation, _ = rt.split_by_time(rt.leakage.pd.DataFrame(frame), rt.ForecastTask("load", 2, 8))
    model = rt.build_forecaster(train, rt.recurrent_layers("gru", (2,)))
    assert split_checks.leakage(Case(model, train, validation, None, limits())) is None
    assert "100 %" in split_checks.leakage(Case(model, train, train, None, limits())).evidence


def test_a_target_among_the_inputs_leaks():
    x = X.copy()
    x[:, 5, 1] = Y[:, 0]
    finding = split_checks.leakage(case_of((x, Y)))
    assert "Feature 1 at step 5 of the inputs equals the target in 100 % of the rows" in finding.evidence


def test_rows_in_both_parts_are_counted():
    validation = np.concatenate([X[:10], RANDOM.normal(size=(30, 8, 2)).astype("float32")])
    finding = split_checks.duplicates(case_of((X, Y), (validation, Y[:40])))
    assert "25 % of the 40 validation rows stand among the training rows" in finding.evidence


def test_a_class_of_validation_that_training_lacks_is_named():
    finding = split_checks.missing_class(classes_of((X, LABELS % 2), (X, LABELS)))
    assert finding.evidence == "Class 2 stands in the validation rows, but in no training row."


def test_an_output_that_no_training_row_asks_for_is_named():
    assert "among the outputs of the model" in split_checks.missing_class(classes_of((X, LABELS % 2))).evidence


def test_inputs_that_moved_are_told_in_deviations():
    train = np.tile(np.float32([-1, 1]), (60, 4))[..., None]
    finding = split_checks.different_distributions(case_of((train, Y), (train + 3, Y)))
    assert "a mean of 3 in validation and 0 in training, 3.0 deviations apart" in finding.evidence


def test_inputs_that_vary_more_are_told():
    train = np.tile(np.float32([-1, 1]), (60, 4))[..., None]
    finding = split_checks.different_distributions(case_of((train, Y), (4 * train, Y)))
    assert "varies 4.0 times as much" in finding.evidence


def test_labels_of_other_shares_are_told():
    finding = split_checks.different_distributions(classes_of((X, LABELS), (X, np.zeros(60, "int32"))))
    assert "differ by 67 %" in finding.evidence


def test_tokens_of_other_shares_are_told():
    codes = np.repeat(CODES, 40, axis=0)
    labels = np.repeat(LABELS, 40)
    other = np.where(codes > 4, codes - 4, codes)
    finding = split_checks.different_distributions(classes_of((codes, labels), (other, labels)))
    assert "The shares of the tokens differ" in finding.evidence


def test_a_sample_reads_every_row_and_keeps_the_padding_apart():
    vocabulary = rt.fit_vocabulary(["a b c"])
    texts = rt.text_batches(["a", "a b c"], ["no", "yes"], vocabulary=vocabulary, batch_size=1)
    sample = sample_of(texts)
    assert len(sample) == 2
    assert sorted((sample.x > 0).sum(axis=1)) == [1, 3]
    assert sample.is_whole
