"""Losses on the scale of a series, metrics in the user's units: every figure by hand."""

import keras
import numpy as np
import pytest

from rnn_toolkit.tables.losses import ObservedMeanAbsoluteError, ScaledAbsoluteError, ScaledPinball, ScaledSquaredError

# Two windows of one step: a series of scale 10 that is off by 20, and one of scale 1 that is off by 2.
Y_TRUE = np.array([[[100.0]], [[1.0]]], dtype="float32")
Y_PRED = np.array([[[120.0]], [[3.0]]], dtype="float32")
WEIGHT = np.array([[[0.1]], [[1.0]]], dtype="float32")


@pytest.mark.parametrize(("loss", "value"), [(ScaledSquaredError(), 4.0), (ScaledAbsoluteError(), 2.0)])
def test_a_large_and_a_small_series_count_alike(loss, value):
    assert float(loss(Y_TRUE, Y_PRED, WEIGHT)) == pytest.approx(value)
    assert float(loss(Y_TRUE[:1], Y_PRED[:1], WEIGHT[:1])) == pytest.approx(value)


def test_a_missing_value_adds_nothing():
    weight = np.array([[[0.1]], [[0.0]]], dtype="float32")
    assert float(ScaledAbsoluteError()(Y_TRUE, Y_PRED, weight)) == pytest.approx(2.0 / 2)


def test_weights_of_whole_windows_are_spread_over_their_steps():
    assert float(ScaledAbsoluteError()(Y_TRUE, Y_PRED, np.array([0.1, 1.0], dtype="float32"))) == pytest.approx(2.0)


def test_without_weights_errors_count_as_they_are():
    assert float(ScaledAbsoluteError()(Y_TRUE, Y_PRED)) == pytest.approx(11.0)


def test_pinball_charges_each_side_by_its_level_and_on_its_scale():
    y_pred = np.array([[[[90.0, 120.0]]]], dtype="float32")  # quantiles 0.1 and 0.9 of a truth of 100
    by_hand = ((0.1 * 10) + (0.1 * 20)) / 2
    assert float(ScaledPinball((0.1, 0.9))(Y_TRUE[:1], y_pred)) == pytest.approx(by_hand)
    assert float(ScaledPinball((0.1, 0.9))(Y_TRUE[:1], y_pred, WEIGHT[:1])) == pytest.approx(by_hand / 10)


def test_the_metric_stays_in_the_units_of_the_data_whatever_the_scale():
    metric = ObservedMeanAbsoluteError()
    metric.update_state(Y_TRUE, Y_PRED, WEIGHT)
    assert float(metric.result()) == pytest.approx(11.0)


def test_the_metric_leaves_missing_values_out():
    metric = ObservedMeanAbsoluteError()
    metric.update_state(Y_TRUE, Y_PRED, np.array([[[0.0]], [[1.0]]], dtype="float32"))
    assert float(metric.result()) == pytest.approx(2.0)


def test_the_metric_judges_the_middle_quantile():
    metric = ObservedMeanAbsoluteError()
    metric.update_state(Y_TRUE[:1], np.array([[[[0.0, 97.0, 500.0]]]]))
    assert float(metric.result()) == pytest.approx(3.0)


@pytest.mark.parametrize("loss", [ScaledSquaredError(), ScaledAbsoluteError(), ScaledPinball((0.1, 0.5, 0.9))])
def test_losses_survive_a_round_trip_through_their_config(loss):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(copy) is type(loss) and copy.get_config() == loss.get_config()


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_losses_and_metrics_of_half_precision_are_computed_in_float32(kind):
    y_true, y_pred = np.full((1, 1, 1), 100_001.0, "float32"), keras.ops.ones((1, 1, 1), dtype=kind)
    weight = np.full((1, 1, 1), 1e-5, "float32")
    assert float(ScaledAbsoluteError()(y_true, y_pred, weight)) == pytest.approx(1.0)
    metric = ObservedMeanAbsoluteError()
    metric.update_state(y_true, y_pred, weight)
    assert float(metric.result()) == 100_000
