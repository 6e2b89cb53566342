"""What can be wrong between training and validation: each check at its fault, and silent without."""

import numpy as np
import pandas as pd
from diagnosis.cases import CODES, LABELS, RANDOM, X, Y, case_of, classes_of

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
