"""What a task leaves open is found in the training rows, told, and kept in the model."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import ForecastTask, Windows, check_leakage, split_by_time
from rnn_toolkit.tables.defaults import lookback_for


def table(rows, freq, period, *, noise=0.3):
    values = np.tile(np.random.default_rng(0).normal(size=period), rows // period + 1)[:rows]
    values = values + noise * np.random.default_rng(1).normal(size=rows)
    return pd.DataFrame({"y": values}, index=pd.date_range("2000-01-03", periods=rows, freq=freq))


@pytest.mark.parametrize(
    ("freq", "period", "rows", "seasons"),
    [
        ("MS", 12, 120, 5),
        ("QS", 4, 60, 5),
        ("W", 52, 300, 3),
        ("D", 7, 100, 5),
        ("B", 5, 100, 5),
        ("h", 24, 250, 5),
        ("30min", 48, 400, 3),
    ],
)
def test_the_season_of_the_calendar_is_found(freq, period, rows, seasons, capsys):
    train, *_ = split_by_time(table(rows, freq, period), ForecastTask("y", horizon=3))
    assert train.task.season_length == period and train.task.lookback == seasons * period
    told = f"training rows: a season of {period} rows, a look-back of {seasons * period} rows.\n"
    assert capsys.readouterr().out.endswith(told)


def test_of_two_cycles_that_are_about_as_good_the_shorter_is_taken():
    frame = table(24 * 40, "h", 24)
    assert Windows(frame, ForecastTask("y", 3, season_length="auto", lookback=24)).task.season_length == 24
    week = np.random.default_rng(2).normal(size=168)
    frame["y"] = np.tile(week, 6)[: 24 * 40]
    assert Windows(frame, ForecastTask("y", 3)).task.season_length == 168


@pytest.mark.parametrize("freq", ["MS", "YS", "h"])
def test_noise_has_no_season(freq):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"y": rng.normal(size=120)}, index=pd.date_range("1900", periods=120, freq=freq, unit="s"))
    task = Windows(frame, ForecastTask("y", horizon=5)).task
    assert (task.season_length, task.lookback) == (None, 24)


def test_whole_numbers_have_no_calendar():
    task = Windows(pd.DataFrame({"y": np.tile([1.0, 5.0, 2.0], 20)}), ForecastTask("y", 2)).task
    assert (task.season_length, task.lookback) == (None, 20)


def test_what_is_given_stays_and_nothing_is_told(capsys):
    task = ForecastTask("y", horizon=3, lookback=6)
    assert Windows(table(80, "MS", 12), task).task == task
    assert Windows(table(80, "MS", 12), ForecastTask("y", 3, 6, season_length=12)).task.season_length == 12
    assert capsys.readouterr().out == ""
    assert Windows(table(80, "MS", 12), ForecastTask("y", 3, season_length=1)).task.season_length == 1


def test_later_rows_do_not_choose():
    frame = table(100, "MS", 12)
    frame.iloc[70:] = np.random.default_rng(4).normal(size=(30, 1))
    assert split_by_time(frame, ForecastTask("y", horizon=3))[0].task.season_length == 12
    frame = table(100, "MS", 12)
    frame.iloc[:70] = np.random.default_rng(4).normal(size=(70, 1))
    assert split_by_time(frame, ForecastTask("y", horizon=3))[0].task.season_length is None
    assert not check_leakage(table(80, "MS", 12), ForecastTask("y", horizon=3)).leaks.any()


def test_many_series_of_different_length_choose_together():
    parts = [table(rows, "MS", 12).assign(shop=name) for name, rows in (("a", 90), ("b", 60), ("c", 75))]
    frame = pd.concat(parts).rename_axis("month").reset_index()
    task = Windows(frame, ForecastTask("y", 6, time="month", series="shop")).task
    assert (task.season_length, task.lookback) == (12, 48)


def test_short_series_that_are_padded_look_back_at_two_horizons():
    parts = [pd.DataFrame({"y": np.arange(9.0), "step": range(9), "shop": name}) for name in "ab"]
    task = ForecastTask("y", 4, time="step", series="shop", season_length=1)
    assert Windows(pd.concat(parts), task).task.lookback == 4  # a third of the rows and the horizon
    assert Windows(pd.concat(parts), task, short="pad").task.lookback == 8


def test_the_lookback_is_five_seasons_if_the_rows_allow():
    found = [lookback_for(rows, 12, 12) for rows in (96, 95, 84, 83, 60, 59, 36)]
    assert found == [60, 48, 48, 36, 36, 24, 12]
    assert [lookback_for(rows, 3, 12) for rows in (20, 14)] == [12, 11]
    assert lookback_for(500, 100, 24) == 120  # at least the horizon, in whole seasons
    assert [lookback_for(*rows, None) for rows in ((1000, 24), (30, 6), (2, 1))] == [48, 10, 1]
