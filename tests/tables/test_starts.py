"""The linear start is worked out by hand where it can be, exact where the series is, and blind to later rows."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import ForecastTask, Windows, split_by_time
from rnn_toolkit.tables.starts import _models, _smoothing, fit_start, simple_forecasts


def windows_of(values, horizon, lookback, **options):
    return Windows(pd.DataFrame({"y": values}), ForecastTask("y", horizon, lookback, **options))


def start_of(windows):
    return fit_start(windows.table, windows.all_starts)[0]


def forecast(weights, past, scale=1.0):
    past = np.asarray(past, dtype="float64")
    return past[-1] + (past - past[-1]) @ weights[:-1] + weights[-1] * scale


def test_the_last_season_and_its_drift():
    repeat, drift = simple_forecasts(4, 3, 2)[3:5]
    past = np.array([1.0, 2.0, 3.0, 4.0])  # the last season is 2 above the one before
    assert (past @ repeat).tolist() == [3, 4, 3]
    assert (past @ drift).tolist() == [5, 6, 7]


def test_smoothing_by_hand():
    past = np.array([0.0, 2.0, 4.0])
    assert (past @ _smoothing(3, 2, 1, 0.5, 0.0, 1.0, 0.0)).tolist() == [2.5, 2.5]  # 0, 0 + 1/2 · 2, 1 + 1/2 · 3
    assert np.allclose(past @ _smoothing(3, 2, 1, 1.0, 0.1, 1.0, 0.0), [6, 8])  # a line goes on


@pytest.mark.parametrize(("lookback", "season_length"), [(1, None), (2, None), (7, None), (7, 3), (5, 3), (24, 12)])
def test_simple_forecasts_follow_the_level_of_the_series(lookback, season_length):
    forecasts = simple_forecasts(lookback, 5, season_length)
    assert np.allclose(forecasts.sum(axis=1), 1)


@pytest.mark.parametrize(
    "values",
    [np.arange(40.0), np.tile([3.0, 1.0, 4.0, 1.0], 10), np.arange(40.0) + np.tile([3.0, 1.0, 4.0, 1.0], 10)],
    ids=["line", "season", "both"],
)
def test_an_exact_series_is_forecast_exactly(values):
    windows = windows_of(values[:32], 4, 8, season_length=4)
    weights = start_of(windows)
    assert weights.shape == (9, 4) and weights.dtype == np.float32
    assert np.allclose(forecast(weights, values[24:32], windows.table.scale[0, 0]), values[32:36], atol=0.05)


def test_noise_is_forecast_by_its_mean():
    values = np.random.default_rng(0).normal(size=300)
    windows = windows_of(values, 3, 12)
    answers = [forecast(start_of(windows), values[at : at + 12], windows.table.scale[0, 0]) for at in range(0, 200, 9)]
    assert np.std(answers) < 0.4  # copying the last value has 1


def test_other_units_give_the_same_start():
    values = np.random.default_rng(1).normal(size=80).cumsum()
    one, other = (start_of(windows_of(factor * values, 4, 8, season_length=4)) for factor in (1.0, 1e6))
    assert np.allclose(one, other, atol=1e-3)


def test_no_later_row_changes_the_start():
    frame = pd.DataFrame({"y": np.random.default_rng(2).normal(size=100).cumsum()})
    task = ForecastTask("y", 4, 8)
    later = frame.copy()
    later.iloc[70:] += 100.0
    one, other = (start_of(split_by_time(table, task)[0]) for table in (frame, later))
    assert np.array_equal(one, other)


def test_windows_that_lack_a_target_are_left_out():
    values = np.arange(30.0)
    values[20] = np.nan
    assert np.isfinite(start_of(windows_of(values, 3, 6))).all()
    values[6::2] = np.nan
    assert start_of(windows_of(values, 3, 6)) is None


def test_a_single_window_gives_the_mixture_of_simple_forecasts():
    assert np.allclose(forecast(start_of(windows_of(np.arange(9.0), 3, 6)), np.arange(6.0)), [6, 7, 8], atol=1e-3)


MONTHS = 12 + 3 * np.sin(np.arange(60) * np.pi / 6) + np.arange(60) / 20


@pytest.mark.parametrize(
    ("values", "horizon", "task"),
    [
        (MONTHS[:20], 3, {"season_length": 12}),
        (np.r_[[np.nan] * 5, MONTHS[5:]], 6, {"season_length": 12}),
        (np.r_[MONTHS[:20], [np.nan] * 3, MONTHS[23:]], 6, {"season_length": 12}),
        (np.tile(MONTHS[:12], 40), 120, {"season_length": 12}),
        (np.r_[np.zeros(30), 1.0, np.zeros(29)], 3, {}),
        (MONTHS[:15], 2, {}),
    ],
    ids=[
        "less than two seasons",
        "NaN at the start",
        "NaN in the middle",
        "ten seasons ahead",
        "one blow",
        "few rows",
    ],
)
def test_bad_tables_get_an_answer(values, horizon, task, capsys):
    frame = pd.DataFrame({"y": values}, index=pd.date_range("2000", periods=len(values), freq="MS"))
    train, validation, _ = split_by_time(frame, ForecastTask("y", horizon, **task), validation=horizon, test=horizon)
    weights, x = start_of(train), validation.to_arrays()[0][:, :, 0]
    assert np.isfinite(forecast(weights, x[0], train.table.scale[0, 0])).all()
    assert "look-back of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "horizon", "task", "words"),
    [
        (np.ones(60), 3, {}, "is constant over the training rows"),
        (np.zeros(60), 3, {}, "is constant over the training rows"),
        (np.full(60, np.nan), 3, {}, "has no value in the training rows"),
        (MONTHS, 3, {"season_length": 100}, "`season_length` is 100, but the longest series has 54 training rows"),
        (MONTHS, 30, {}, "No row is left to train on"),
        (MONTHS[:6], 2, {}, "No window of lookback"),
        (np.r_[MONTHS[:-6], [np.nan] * 6], 6, {"season_length": 12}, "test split has no window: no target is there"),
    ],
    ids=["one value", "all zero", "all missing", "season beyond the history", "horizon", "too few", "NaN at the end"],
)
def test_bad_tables_get_a_clear_error(values, horizon, task, words):
    frame = pd.DataFrame({"y": values}, index=pd.date_range("2000", periods=len(values), freq="MS"))
    with pytest.raises(ValueError, match=words):
        split_by_time(frame, ForecastTask("y", horizon, **task), validation=horizon, test=horizon)


def test_another_forecaster_gets_the_share_that_it_earns():
    values = np.random.default_rng(0).normal(size=80).cumsum()
    windows = Windows(pd.DataFrame({"y": values}), ForecastTask("y", horizon=2, lookback=4))
    table, scale = windows.table, windows.table.scale[0, 0]
    values = table.values[:, 0].astype("float64")

    def perfect(starts, targets):
        middle = np.stack([values[starts + 4 + step] - values[starts + 3] for step in (0, 1)], axis=1) / scale
        return middle[..., None] + np.array([-0.1, 0, 0.1])

    assert fit_start(table, windows.all_starts, perfect)[1] > 0.9  # within its bounds, the linear one errs little
    assert fit_start(table, windows.all_starts, lambda starts, targets: 50 + perfect(starts, targets))[1] < 0.01
    assert fit_start(table, windows.all_starts[:1], perfect)[1] == pytest.approx(0.79, abs=1e-3)  # nothing to judge by
    assert fit_start(table, windows.all_starts)[1] == 0


def test_a_linear_model_is_not_judged_by_what_it_was_chosen_on():
    shares, copying = [], np.array([-99.0, 0.0, 99.0])  # with bounds that bind nothing
    for seed in range(10):  # of random walks nothing is better than copying, and the linear models only seem to be
        walk = pd.DataFrame({"y": np.random.default_rng(seed).normal(size=80).cumsum()})
        windows = Windows(walk, ForecastTask("y", horizon=4, lookback=8))
        one = fit_start(windows.table, windows.all_starts, lambda starts, _: np.tile(copying, (len(starts), 4, 1)))
        shares.append(one[1])
    assert np.mean(shares) > 0.8


def test_models_of_the_recent_past_alone():
    rows = np.random.default_rng(0).normal(size=(50, 8 + 1 + 2))  # look-back, the constant, two values ahead
    models = _models(rows.T @ rows, [simple_forecasts(4, 2, 1), simple_forecasts(8, 2, 1)], 1.0)
    recent, all_rows = np.split(models, 2)
    assert not recent[:, :4].any()
    assert np.array_equal(recent[:, 4:], _models(rows[:, 4:].T @ rows[:, 4:], [simple_forecasts(4, 2, 1)], 1.0))
    assert all_rows[:, :8].any(axis=(0, 2)).all()
