import dataclasses
import datetime
import json

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.tables.task import ForecastTask, Preparation
from rnn_toolkit.tables.windows import Windows


def preparation_of(task: ForecastTask, **fitted) -> Preparation:
    """Return a preparation of two series, a and b, with values that are easy to tell apart."""
    values = {
        "frequency": "h",
        "time_zone": None,
        "train_ends": ("2024-01-02T00:00:00",) * 2,
        "categories": {},
        "moments": {},
        "flagged": (),
        "series": ("a", "b"),
        "level": ((1.0,), (5.0,)),
        "deviation": ((2.0,), (4.0,)),
        "scale": ((1.0,), (2.0,)),
    }
    return Preparation(task=task, **(values | fitted))


# ---------------------------------------------------------------------------------------------------------------------
# ForecastTask
# ---------------------------------------------------------------------------------------------------------------------


def test_one_name_or_several_name_columns():
    one = ForecastTask("load", 2, 3, known="price", calendar="hour")
    several = ForecastTask(["load", "heat"], 2, 3, known=["price", "holiday"])
    assert (one.target, one.known, one.calendar) == (("load",), ("price",), ("hour",))
    assert (several.target, several.known) == (("load", "heat"), ("price", "holiday"))


def test_a_task_is_frozen_and_survives_json():
    task = ForecastTask("load", np.int64(2), 3, series="shop", static="shop", frequency=pd.offsets.Week(weekday=5))
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.horizon = 3
    assert ForecastTask(**json.loads(json.dumps(dataclasses.asdict(task)))) == task


def test_covariates_leave_out_the_series_id():
    task = ForecastTask("load", 1, 1, series="shop", static=("shop", "size"), known="price", observed="wind")
    assert task.covariates == ("wind", "price", "size")


@pytest.mark.parametrize("length", ["horizon", "lookback", "season_length"])
@pytest.mark.parametrize("value", [0, -3])
def test_a_length_below_one_is_refused(length, value):
    lengths = {"horizon": 1, "lookback": 1, length: value}
    with pytest.raises(ValueError, match=f"`{length}` must be at least 1. Received: {value}"):
        ForecastTask("load", **lengths)


@pytest.mark.parametrize("length", ["horizon", "lookback", "season_length"])
@pytest.mark.parametrize("value", [2.5, "24", True])
def test_a_length_that_is_not_whole_is_refused(length, value):
    lengths = {"horizon": 1, "lookback": 1, length: value}
    with pytest.raises(TypeError, match=f"`{length}` must be a whole number. Received: {value!r}"):
        ForecastTask("load", **lengths)


@pytest.mark.parametrize("target", [(), []])
def test_a_task_without_a_target_is_refused(target):
    with pytest.raises(ValueError, match="`target` names no column"):
        ForecastTask(target, 1, 1)


@pytest.mark.parametrize(
    "roles",
    [
        {"target": 0},
        {"target": "load", "known": [1]},
        {"target": "load", "time": 0},
        {"target": "load", "series": ["a"]},
    ],
)
def test_a_column_name_that_is_not_text_is_refused(roles):
    with pytest.raises(TypeError, match=r"must hold column names as text\. Received: .*astype\(str\)"):
        ForecastTask(horizon=1, lookback=1, **roles)


@pytest.mark.parametrize(
    ("roles", "both"),
    [
        ({"observed": "load"}, "target and observed"),
        ({"known": "wind", "observed": "wind"}, "known and observed"),
        ({"time": "load"}, "target and time"),
        ({"series": "shop", "known": "shop"}, "known and series"),
    ],
)
def test_a_column_in_two_roles_is_refused(roles, both):
    with pytest.raises(ValueError, match=f"plays more than one role: {both}"):
        ForecastTask("load", 1, 1, **roles)


def test_the_series_id_may_be_static_too():
    assert ForecastTask("load", 1, 1, series="shop", static="shop").static == ("shop",)


def test_an_unknown_calendar_feature_lists_those_there_are():
    with pytest.raises(ValueError, match=r"`calendar` must be one of 'minute', 'hour'.*Did you mean 'day_of_week'"):
        ForecastTask("load", 1, 1, calendar="dayofweek")


@pytest.mark.parametrize(
    ("frequency", "name"),
    [("W", "W-SUN"), (pd.offsets.MonthEnd(), "ME"), (datetime.timedelta(hours=2), "2h"), (np.int64(5), 5)],
)
def test_a_frequency_becomes_its_name(frequency, name):
    assert ForecastTask("load", 1, 1, frequency=frequency).frequency == name


@pytest.mark.parametrize("frequency", ["fortnight", "-1D", "0h"])
def test_an_unknown_frequency_is_refused(frequency):
    with pytest.raises(ValueError, match=f"`frequency` must be a pandas frequency.*Received: '{frequency}'"):
        ForecastTask("load", 1, 1, frequency=frequency)


def test_a_step_of_whole_numbers_below_one_is_refused():
    with pytest.raises(ValueError, match=r"`frequency` must be at least 1. Received: 0"):
        ForecastTask("load", 1, 1, frequency=0)


# ---------------------------------------------------------------------------------------------------------------------
# Preparation
# ---------------------------------------------------------------------------------------------------------------------


def test_channels_stand_in_one_order_with_kind_and_shift():
    task = ForecastTask(
        "load", 2, 3, series="shop", observed="sky", known="price", static="size", calendar="hour", season_length=1
    )
    preparation = preparation_of(task, categories={"sky": ["rain"]}, flagged=("load",))
    assert [(channel.name, channel.kind, channel.shift) for channel in preparation.channels] == [
        ("load", "target", 0),
        ("sky", "category", 0),
        ("price", "numeric", 0),
        ("size", "numeric", 0),
        ("price+2", "numeric", 2),
        ("sin_hour", "cyclic", 2),
        ("cos_hour", "cyclic", 2),
        ("load_missing", "flag", 0),
        ("series_code", "series", 0),
    ]


def test_a_lookback_shorter_than_the_horizon_needs_several_shifted_copies():
    names = preparation_of(ForecastTask("load", horizon=5, lookback=2, known="price")).feature_names
    assert names == ["load", "price", "price+5", "price+3", "price+1"]


def test_statistics_of_an_unseen_series_are_the_median():
    preparation = preparation_of(ForecastTask("load", 1, 1, series="shop"))
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
