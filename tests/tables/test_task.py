import dataclasses
import datetime
import json

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.tables.task import ForecastTask


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


def test_what_holds_for_a_column_follows_from_its_role():
    task = ForecastTask("load", 1, 1, series="shop", static=("shop", "size"), known="price", observed="wind")
    assert task.columns == ("load", "wind", "price", "shop", "size")
    assert task.ahead == ("price",)
    assert task.changing == ("load", "wind", "price")


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


@pytest.mark.parametrize("lookback", [None, 5])
def test_a_reach_beyond_the_lookback_is_refused(lookback):
    with pytest.raises(ValueError, match=f"`reach` is a part of the look-back. Received: reach=6, lookback={lookback}"):
        ForecastTask("load", 1, lookback, reach=6)


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
        ({"known": "wind", "observed": "wind"}, "observed and known"),
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


@pytest.mark.parametrize(
    ("frequency", "message"),
    [
        ("fortnight", "Invalid frequency: fortnight"),
        ("-1D", "`frequency` must go forward in time. Received: '-1D'"),
        ("0h", "`frequency` must go forward in time. Received: '0h'"),
        (0, "`frequency` must be at least 1. Received: 0"),
    ],
)
def test_a_frequency_that_leads_nowhere_is_refused(frequency, message):
    with pytest.raises(ValueError, match=message):
        ForecastTask("load", 1, 1, frequency=frequency)
