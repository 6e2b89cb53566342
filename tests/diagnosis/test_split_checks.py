"""What can be wrong between training and validation: each check at its fault, and silent without."""

import warnings

import keras
import numpy as np
import pandas as pd
from diagnosis.cases import CODES, LABELS, RANDOM, X, Y, averaging, case_of, classes_of

import rnn_toolkit as rt
from rnn_toolkit.diagnosis import split_checks
from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.thresholds import limits


def test_windows_split_at_random_leak():
    series = RANDOM.normal(size=400)
    rows = np.lib.stride_tricks.sliding_window_view(series, 13).astype("float32")
    x, y = rows[:, :12, None], rows[:, 12:]
    order = RANDOM.permutation(len(x))
    mixed = case_of((x[order[:300]], y[order[:300]]), (x[order[300:]], y[order[300:]]))
    assert "of the validation windows lie among the steps" in split_checks.leakage(mixed).evidence
    assert split_checks.leakage(case_of((x[:280], y[:280]), (x[300:], y[300:]))) is None


def test_windows_of_one_split_in_the_other_leak():
    frame = pd.DataFrame({"load": np.sin(np.arange(160.0))})
    train, validation, _ = rt.split_by_time(frame, rt.ForecastTask("load", 2, 8), stride=2)
    model = rt.build_forecaster(train, rt.recurrent_layers("gru", (2,)))
    assert split_checks.leakage(Case(model, train, validation, None, limits())) is None
    mixed = rt.Windows(frame[1:100].reset_index(drop=True), train.task, stride=2)
    assert "100 %" in split_checks.leakage(Case(model, train, mixed, None, limits())).evidence


def test_a_target_among_the_inputs_leaks():
    last, all_through = X.copy(), X.copy()
    last[:, -1, 1] = Y[:, 0]
    all_through[:, :, 1] = Y
    for x in (last, all_through):
        finding = split_checks.leakage(case_of((x, Y), (X, Y)))
        assert "Feature 1 at step 11 of the inputs equals the target, far more often than chance" in finding.evidence
    steps = X.copy()
    steps[..., 1:] = targets = RANDOM.normal(size=(60, 12, 1)).astype("float32")
    assert "Feature 1 at each step" in split_checks.leakage(case_of((steps, targets), (X, targets))).evidence


def test_rows_in_both_parts_are_counted():
    validation = np.concatenate([X[:10], RANDOM.normal(size=(30, *X.shape[1:])).astype("float32")])
    finding = split_checks.duplicates(case_of((X, Y), (validation, Y[:40])))
    assert "25 % of the 40 validation rows stand among the training rows" in finding.evidence


def test_a_text_in_both_parts_is_found_whatever_its_padding():
    padded = np.pad(CODES, [(0, 0), (0, 3)])
    finding = split_checks.duplicates(classes_of((CODES, LABELS), (padded, LABELS)))
    assert "100 % of the 60 validation rows" in finding.evidence
    assert split_checks.duplicates(classes_of((CODES, LABELS), (padded[:, ::-1].copy(), LABELS))) is None


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


def test_symbols_that_are_alike_by_chance_are_no_leak():
    symbols = np.eye(4, dtype="float32")[RANDOM.integers(0, 4, (300, 8))]
    other = np.eye(4, dtype="float32")[RANDOM.integers(0, 4, (60, 8))]
    assert split_checks.leakage(case_of((symbols, np.zeros((300, 1))), (other, np.zeros((60, 1))))) is None
    text = np.eye(4, dtype="float32")[RANDOM.integers(0, 4, 400)]
    windows = np.lib.stride_tricks.sliding_window_view(text, 16, axis=0).transpose(0, 2, 1)
    order = RANDOM.permutation(len(windows))
    mixed = [(windows[rows], np.zeros((len(rows), 1))) for rows in (order[:300], order[300:])]
    assert "lie among the steps" in split_checks.leakage(case_of(*mixed)).evidence


def test_a_state_that_mostly_stays_as_it_is_gives_nothing_away():
    state = (np.cumsum(RANDOM.random(2_000) < 0.03) % 2).astype("float32")
    rows = np.lib.stride_tricks.sliding_window_view(state, 9)
    x, y = rows[:, :8, None].copy(), rows[:, 8:].copy()
    assert np.mean(x[:, -1, 0] == y[:, 0]) > 0.95
    assert split_checks.leakage(case_of((x, y), (X[:, :8, :1], Y))) is None


def test_a_rare_answer_beside_a_rare_flag_is_no_copy():
    x, y = X.repeat(10, axis=0), np.zeros((600, 1), "float32")
    x[..., 1], y[:20] = 0, 1
    x[50:60, -1, 1] = 1
    assert np.mean(x[:, -1, 1] == y[:, 0]) == 0.95
    assert split_checks.leakage(case_of((x, y), (X, Y))) is None
    x[:, -1, 1] = y[:, 0]
    assert "Feature 1" in split_checks.leakage(case_of((x, y), (X, Y))).evidence


def test_sequences_that_are_asked_for_again_are_a_task():
    noise = RANDOM.normal(size=(60, 12, 1)).astype("float32")
    later, same = np.roll(noise, -1, axis=1), noise.copy()
    for y in (later, same):
        assert split_checks.leakage(case_of((noise, y), (X[..., :1], X[..., :1]))) is None


def test_short_rows_of_two_symbols_repeat_by_themselves():
    bits = RANDOM.integers(0, 2, (400, 6, 1)).astype("float32")
    train, validation = (bits[:300], np.zeros((300, 1))), (bits[300:], np.zeros((100, 1)))
    assert split_checks.duplicates(case_of(train, validation)) is None
    sticky = (np.cumsum(RANDOM.random((400, 12, 1)) < 0.1, axis=1) % 2).astype("float32")
    train, validation = (sticky[:300], np.zeros((300, 1))), (sticky[300:], np.zeros((100, 1)))
    assert split_checks.duplicates(case_of(train, validation)) is None


def test_shares_of_many_classes_in_few_rows_differ_by_chance():
    labels, few = np.arange(360) % 18, RANDOM.integers(0, 18, 30)
    apart, chance = split_checks._total_variation(labels, few, [360, 30])
    assert apart > 0.25 and apart - chance < 0.1
    assert split_checks._total_variation(np.zeros(100, int), np.ones(100, int), [100, 100])[0] == 1


def test_a_flag_that_is_hardly_ever_set_is_no_shift():
    train, validation = np.zeros_like(X), np.zeros_like(X)
    train[..., 0] = validation[..., 0] = X[..., 0]
    train[0, 0, 1], validation[:5, :3, 1] = 1, 1
    assert validation[..., 1].std() > 3 * train[..., 1].std()
    assert split_checks.different_distributions(case_of((train, Y), (validation, Y))) is None


def test_a_stride_that_shows_one_phase_of_the_season_is_named():
    frame = pd.DataFrame({"load": np.sin(np.arange(900.0) / 3)})
    for stride, words in ((7, "at 1 of the 7 steps"), (5, None)):
        with warnings.catch_warnings(action="ignore"):  # of the stride
            parts = rt.split_by_time(frame, rt.ForecastTask("load", 2, 8, season_length=7), stride=stride)
        case = Case(averaging((8, 1)), parts[0], parts[1], None, limits())
        finding = split_checks.different_distributions(case)
        assert finding is None if words is None else words in finding.evidence


def test_answers_of_yes_and_no_and_rows_without_steps_are_read_too():
    case = case_of((X, Y > 0), (X[:30], Y[:30] > 0), loss="binary_crossentropy")
    assert split_checks.leakage(case) is None
    model = keras.Sequential([keras.Input(()), keras.layers.Reshape((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    rows = Case(model, (X[:, 0, 0], Y), (X[:, 0, 1], Y), None, limits())
    assert split_checks.leakage(rows) is None and split_checks.duplicates(rows) is None
