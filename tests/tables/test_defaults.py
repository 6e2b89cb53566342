"""What a task leaves open is found in the training rows, told, and kept in the model."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import (
    ForecastTask,
    Windows,
    backtest,
    build_forecaster,
    check_leakage,
    forecast,
    recurrent_layers,
    split_by_time,
)
from rnn_toolkit.tables.baselines import baseline_forecasts
from rnn_toolkit.tables.defaults import lookback_for
from rnn_toolkit.tables.layers import raw_units_of


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
    task = train.task
    assert (task.season_length, task.reach) == (period, seasons * period)
    told = f"training rows: a season of {period} rows, a look-back of {task.reach} rows, {task.lookback} for the"
    assert told in capsys.readouterr().out


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
    assert (task.season_length, task.reach, task.lookback) == (None, 24, 115)


def test_whole_numbers_have_no_calendar():
    task = Windows(pd.DataFrame({"y": np.tile([1.0, 5.0, 2.0], 20)}), ForecastTask("y", 2)).task
    assert (task.season_length, task.reach, task.lookback) == (None, 20, 58)


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
    assert (task.season_length, task.reach, task.lookback) == (12, 48, 84)  # as far as the longest goes


def test_short_series_that_are_padded_look_back_at_two_horizons():
    parts = [pd.DataFrame({"y": np.arange(9.0), "step": range(9), "shop": name}) for name in "ab"]
    task = ForecastTask("y", 4, time="step", series="shop", season_length=1)
    assert Windows(pd.concat(parts), task).task.reach == 4  # a third of the rows and the horizon
    assert Windows(pd.concat(parts), task, short="pad").task.lookback == 8


def test_the_pretrained_forecaster_is_shown_what_there_is_before_the_reach_of_what_is_fitted_here():
    frame = pd.DataFrame({"y": np.arange(40.0) ** 1.5})
    windows = Windows(frame, ForecastTask("y", 4, lookback=10, reach=6))
    x, y, _ = windows[0]
    assert windows.feature_names == ["y", "y_missing"] and not windows.preparation.padded
    assert x[0, :4, 1].tolist() == [1.0] * 4 and x[0, 4:, 0].tolist() == frame.y[:6].to_numpy("float32").tolist()
    assert y[0, :, 0].tolist() == frame.y[6:10].to_numpy("float32").tolist()
    assert len(windows.starts) == len(Windows(frame, ForecastTask("y", 4, lookback=6)).starts)


def test_it_is_shown_no_more_where_it_takes_no_part_or_would_take_long():
    frame = table(120, "MS", 12).assign(price=1.0)
    task = Windows(frame, ForecastTask("y", 3, known="price")).task  # it knows no covariates
    assert (task.lookback, task.reach) == (60, None)
    task = Windows(table(700, "MS", 12), ForecastTask("y", 3)).task
    assert (task.lookback, task.reach) == (50_000 // (700 - 60 - 3 + 1), 60)
    task = Windows(table(2_000, "MS", 12), ForecastTask("y", 3)).task
    assert (task.lookback, task.reach) == (60, None)


def test_what_is_fitted_here_sees_no_further_than_its_reach():
    frame = pd.DataFrame({"y": np.random.default_rng(0).normal(size=60).cumsum()})
    near, far = (Windows(frame, ForecastTask("y", 4, **one)) for one in ({"lookback": 6}, {"lookback": 20, "reach": 6}))
    layers = recurrent_layers("gru", (4,))
    linear = [raw_units_of(build_forecaster(one, layers)).core.kernel.numpy() for one in (near, far)]
    np.testing.assert_allclose(linear[1], np.pad(linear[0], ((14, 0), (0, 0))), atol=1e-6)
    forecasts = [baseline_forecasts("nlinear", one.table, one.starts[-3:]) for one in (near, far)]
    np.testing.assert_allclose(forecasts[0], forecasts[1], atol=1e-5)


def test_a_model_with_reach_forecasts_and_is_judged_from_the_rows_that_it_needs():
    frame = pd.DataFrame({"y": np.random.default_rng(0).normal(size=60).cumsum()})
    model = build_forecaster(Windows(frame, ForecastTask("y", 4, lookback=20, reach=6)), recurrent_layers("gru", (4,)))
    assert forecast(model, frame.tail(6)).index.tolist() == [60, 61, 62, 63]
    with pytest.raises(ValueError, match="the table has 5, and the model looks back 6"):
        forecast(model, frame.tail(5))
    later = pd.DataFrame({"y": np.arange(12.0)}, index=range(60, 72))
    assert backtest(model, later, baselines=()).cutoff.unique().tolist() == [65, 66, 67]


def test_the_lookback_is_five_seasons_if_the_rows_allow():
    found = [lookback_for(rows, 12, 12) for rows in (96, 95, 84, 83, 60, 59, 36)]
    assert found == [60, 48, 48, 36, 36, 24, 12]
    assert [lookback_for(rows, 3, 12) for rows in (20, 14)] == [12, 11]
    assert lookback_for(500, 100, 24) == 120  # at least the horizon, in whole seasons
    assert [lookback_for(*rows, None) for rows in ((1000, 24), (30, 6), (16, 12), (2, 1))] == [48, 10, 4, 1]
