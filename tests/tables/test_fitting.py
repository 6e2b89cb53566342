import json

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.tables.fitting import Preparation, loss_scale, naive_scale
from rnn_toolkit.tables.layout import Layout
from rnn_toolkit.tables.table import Table
from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows

NAN = float("nan")


def fitted(frame, task, rows):
    """Return the preparation of a table whose first rows, of each series, are for training."""
    layout = Layout.of(frame, task)
    return Table.of(frame, layout, ends=layout.offsets[:-1] + rows).preparation


def test_levels_deviations_and_scales_come_from_training_rows_of_each_series():
    frame = pd.DataFrame({"day": [0, 1, 2, 3] * 2, "shop": list("aaaabbbb"), "load": [1.0, 3, 5, 99, 10, 40, 10, 99]})
    preparation = fitted(frame, ForecastTask("load", 1, 1, time="day", series="shop", season_length=1), rows=3)
    assert preparation.series == ("a", "b")
    assert preparation.level == ((3.0,), (20.0,))
    assert [row[0] for row in preparation.deviation] == pytest.approx([np.sqrt(8 / 3), np.sqrt(200.0)])
    assert preparation.scale == ((2.0,), (30.0,))
    assert preparation.train_ends == (3, 3)


def test_the_scale_without_a_season_is_the_deviation():
    preparation = fitted(pd.DataFrame({"load": [1.0, 3, 1, 3, 99]}), ForecastTask("load", 1, 1), rows=4)
    assert preparation.scale == preparation.deviation == ((1.0,),)


def test_means_and_deviations_of_covariates_come_from_training_rows():
    frame = pd.DataFrame({"load": range(5), "wind": [2.0, 4, NAN, 6, 99], "flat": 0.1})
    preparation = fitted(frame, ForecastTask("load", 1, 1, observed="wind", known="flat"), rows=4)
    assert preparation.moments["wind"] == pytest.approx((4.0, np.sqrt(8 / 3)))
    assert preparation.moments["flat"] == (pytest.approx(0.1), 1.0)


def test_a_covariate_without_a_value_in_the_training_rows_counts_as_0():
    frame = pd.DataFrame({"load": range(5), "wind": [NAN, NAN, NAN, NAN, 99]})
    assert fitted(frame, ForecastTask("load", 1, 1, observed="wind"), rows=4).moments == {"wind": (0.0, 1.0)}


def test_a_series_that_lacks_one_of_two_targets_takes_the_median_of_the_others():
    frame = pd.DataFrame(
        {
            "day": [0, 1, 2] * 3,
            "shop": list("aaabbbccc"),
            "load": [1.0, 2, 3] * 3,
            "heat": [NAN, NAN, 99, 1, 3, 5, 5, 15, 25],
        }
    )
    preparation = fitted(frame, ForecastTask(("load", "heat"), 1, 1, time="day", series="shop"), rows=2)
    assert preparation.series == ("a", "b", "c")
    assert [row[1] for row in preparation.level] == [6.0, 2.0, 10.0]
    assert [row[1] for row in preparation.deviation] == [3.0, 1.0, 5.0]


def test_a_series_without_a_target_in_its_training_rows_is_not_among_the_seen():
    frame = pd.DataFrame({"day": [0, 1, 2, 2, 3, 4], "shop": list("aaabbb"), "load": [1.0, 2, 3, NAN, NAN, 9]})
    assert fitted(frame, ForecastTask("load", 1, 1, time="day", series="shop"), rows=2).series == ("a",)


def test_the_end_of_training_is_the_next_time_step():
    frame = pd.DataFrame({"load": range(5)}, index=pd.date_range("2024-01-06", periods=5, freq="W-SAT"))
    assert fitted(frame, ForecastTask("load", 1, 1), rows=2).train_ends == ("2024-01-20T00:00:00",)
    assert fitted(frame, ForecastTask("load", 1, 1), rows=5).train_ends == ("2024-02-10T00:00:00",)


@pytest.mark.parametrize(
    ("values", "season_length", "scale"),
    [
        ([1.0, 3, 2, 6], 2, 2.0),
        ([1.0, 3, 2, 6], 1, 7 / 3),
        ([1.0, 3, 2, 6], None, 7 / 3),
        ([1.0, 3, 2, 6], 9, 7 / 3),  # longer than the series: as without a season
        ([1.0, NAN, 2, 6], 1, 4.0),
        ([5.0, 5, 5], 1, 1.0),
        ([5.0], 1, 1.0),
        ([NAN, NAN], 1, 1.0),
    ],
)
def test_the_naive_scale_is_the_mean_absolute_seasonal_difference(values, season_length, scale):
    assert naive_scale(np.array(values), season_length) == pytest.approx(scale)


@pytest.mark.parametrize("values", [[0.1] * 7, [NAN, 3.0], [NAN, NAN]])
def test_the_scale_of_a_series_that_does_not_move_is_1(values):
    assert loss_scale(np.array(values), None) == loss_scale(np.array(values), 1) == 1.0


def test_a_target_without_a_value_to_train_on_is_refused():
    frame = pd.DataFrame({"load": range(6), "heat": [NAN, NAN, NAN, 1, 2, 3]})
    with pytest.raises(ValueError, match="Target 'heat' has no value in the training rows: there is nothing to learn"):
        fitted(frame, ForecastTask(("load", "heat"), 1, 1), rows=3)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_a_target_that_is_constant_in_training_is_refused(value):
    frame = pd.DataFrame({"load": [value] * 7 + [5.0]})
    with pytest.raises(ValueError, match="Target 'load' is constant over the training rows: there is nothing to learn"):
        fitted(frame, ForecastTask("load", 1, 1), rows=7)


def test_one_constant_series_among_others_is_allowed():
    frame = pd.DataFrame({"day": [0, 1, 2] * 2, "shop": list("aaabbb"), "load": [7.0, 7, 7, 1, 2, 3]})
    preparation = fitted(frame, ForecastTask("load", 1, 1, time="day", series="shop"), rows=3)
    assert preparation.deviation[0] == preparation.scale[0] == (1.0,)


def test_a_season_as_long_as_the_training_rows_is_refused():
    frame = pd.DataFrame({"load": [1.0, 2, 3, 4, 5, 6]})
    assert fitted(frame, ForecastTask("load", 1, 1, season_length=3), rows=4).scale == ((3.0,),)
    with pytest.raises(ValueError, match="`season_length` is 4, but the longest series has 4 training rows"):
        fitted(frame, ForecastTask("load", 1, 1, season_length=4), rows=4)


def test_statistics_of_an_unseen_series_are_the_median():
    frame = pd.DataFrame({"shop": list("aaabbb"), "day": [0, 1, 2] * 2, "load": [0.0, 1, 2, 3, 5, 7]})
    task = ForecastTask("load", 1, 1, time="day", series="shop", season_length=1)
    preparation = fitted(frame, task, rows=3)
    assert preparation.of_series("level", np.array([1, 2, 0])).tolist() == [[1.0], [5.0], [3.0]]
    assert preparation.of_series("scale", np.array([0])).tolist() == [[1.5]]


def test_a_fitted_preparation_survives_json():
    frame = pd.DataFrame(
        {
            "time": pd.date_range("2024-03-30", periods=12, freq="h", tz="Europe/Berlin"),
            "load": [1.0, 2, None, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            "sky": ["sun", "rain"] * 6,
            "price": range(12),
        }
    )
    task = ForecastTask("load", 1, 2, time="time", observed="sky", known="price", calendar="hour", season_length=2)
    preparation = Windows(frame, task).preparation
    again = Preparation.from_dict(json.loads(json.dumps(preparation.to_dict())))
    assert again == preparation
    assert hash(again.task) == hash(task)
    assert again.channels == preparation.channels
    assert (again.time_zone, again.train_ends) == ("Europe/Berlin", ("2024-03-30T12:00:00+01:00",))
