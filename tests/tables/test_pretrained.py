"""The forecaster that ships with the package: any table, no training."""

import keras
import numpy as np
import pandas as pd
import pytest

import rnn_toolkit as rt
from rnn_toolkit.tables.pretrained import FILE

MONTHS = pd.date_range("2020-01-01", periods=48, freq="MS")
VALUES = 10 + 3 * np.sin(np.arange(48) * np.pi / 6) + 0.1 * np.arange(48)


@pytest.fixture(scope="module")
def model():
    return rt.load_forecaster()


@pytest.fixture(scope="module")
def windows():
    frame = pd.DataFrame({"sales": VALUES}, index=MONTHS)
    return rt.split_by_time(frame, rt.ForecastTask("sales", 3, 24, season_length=12), validation=8, test=8)


@pytest.fixture(scope="module")
def fitted(windows):
    return rt.load_forecaster(windows[0])


def table(values=VALUES, **others) -> pd.DataFrame:
    return pd.DataFrame({"sales": values, **others}, index=MONTHS[: len(values)])


def test_the_file_is_small(model):
    assert FILE.stat().st_size < 3e6
    assert model.count_params() * 4 < 3e6


def test_a_table_is_forecast_without_training_season_and_all(model):
    forecast = rt.forecast(model, table(), horizon=12, level=[80, 95])
    assert forecast.index.tolist() == pd.date_range("2024-01-01", periods=12, freq="MS").tolist()
    assert np.abs(forecast["sales"] - (VALUES[-12:] + 1.2)).max() < 1  # the wave goes on, and the rise
    bounds = forecast[["sales-lo-95", "sales-lo-80", "sales", "sales-hi-80", "sales-hi-95"]].to_numpy()
    assert (np.diff(bounds) > 0).all()


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_units_do_not_matter(model, factor):
    one, other = (rt.forecast(model, table(VALUES * by), horizon=2)["sales"] for by in (1, factor))
    assert other.to_numpy() / factor == pytest.approx(one.to_numpy(), rel=1e-4)


def test_small_steps_on_a_high_level_are_kept(model):
    one, other = (rt.forecast(model, table(VALUES + by), horizon=2)["sales"] for by in (0, 2e9))
    assert other.to_numpy() - 2e9 == pytest.approx(one.to_numpy(), abs=0.01)


@pytest.mark.parametrize("value", [0.0, 5.0, 2e9])
def test_what_never_moves_stays_where_it_is(model, value):
    assert rt.forecast(model, table(np.full(20, value)), horizon=2, level=80).to_numpy() == pytest.approx(value)


def test_one_row_is_repeated_and_any_number_of_steps_can_be_asked_for(model):
    assert rt.forecast(model, table([3.0]), horizon=2)["sales"].tolist() == [3, 3]
    few = rt.forecast(model, table(VALUES[:5]), horizon=120)  # less than a season known, ten asked for
    assert len(few) == 120 and few["sales"].between(0, 30).all()


def test_values_may_be_missing_at_the_beginning_and_within(model):
    holes = VALUES.copy()
    holes[[0, 1, 20, 21, 40]] = np.nan
    one, other = (rt.forecast(model, table(values), horizon=12)["sales"] for values in (VALUES, holes))
    assert np.abs(one - other).max() < 1


def test_each_series_and_each_target_is_forecast_by_itself(model):
    one = pd.DataFrame({"month": MONTHS, "shop": "A", "sales": VALUES, "debts": -VALUES})
    both = pd.concat([one, one.head(20).assign(shop="B", sales=7.0)])
    alone, beside = (rt.forecast(model, frame, horizon=2) for frame in (one, both))
    assert beside.columns.tolist() == ["month", "shop", "sales", "debts"] and len(beside) == 4
    assert beside[beside["shop"] == "A"]["debts"].to_numpy() == pytest.approx(alone["debts"].to_numpy(), rel=1e-4)
    assert beside[beside["shop"] == "B"]["sales"].tolist() == [7, 7]


def test_periods_and_numbered_rows_are_times_too(model):
    periods = pd.DataFrame({"month": MONTHS.to_period("M"), "sales": VALUES})
    assert rt.forecast(model, periods, horizon=1)["month"].astype(str).tolist() == ["2024-01"]
    assert rt.forecast(model, pd.DataFrame({"sales": VALUES}), horizon=2).index.tolist() == [48, 49]


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (table(), {}, "`horizon` must be a whole number"),
        (table(), {"horizon": 2, "level": 70}, "Available: 50, 80, 90, 95"),
        (table(), {"horizon": 2, "future": table()}, "knows no covariates"),
        (table(np.append(VALUES[:9], np.nan)), {"horizon": 2}, "ends with 1 rows without a value"),
        (table(np.full(9, np.nan)), {"horizon": 2}, "'sales' holds no value"),
        (table(shop="A", town="B"), {"horizon": 2}, r"words \['shop', 'town'\]"),
        (table(day=MONTHS), {"horizon": 2}, r"dates \['day'\]"),
        (table().reset_index(names="month").astype({"month": str}), {"horizon": 2}, "holds timestamps"),
        (table(is_open=VALUES > 9), {"horizon": 2}, "must hold numbers"),
    ],
)
def test_what_cannot_be_forecast_is_told(model, frame, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        rt.forecast(model, frame, **options)


def test_another_model_is_told_from_the_pretrained_one():
    other = keras.Sequential([keras.Input((3, 1)), keras.layers.SimpleRNN(1)])
    with pytest.raises(ValueError, match=r"only models of `rt\.build_forecaster` and `rt\.load_forecaster`"):
        rt.forecast(other, table(), horizon=2)


def test_fitted_to_windows_it_stands_beside_the_baselines(model, fitted, windows):
    assert fitted.output_shape == (None, 3, 1, 9)
    scores = rt.score(rt.backtest(model, windows[2]))
    assert scores.index.tolist() == ["model", "naive", "seasonal_naive", "drift", "nlinear"]
    assert scores.loc["model", "MASE"] < scores.loc["seasonal_naive", "MASE"]


def test_fitted_to_windows_it_is_saved_calibrated_and_forecasts(fitted, windows, tmp_path):
    fitted.save(tmp_path / "mine.keras")
    loaded = keras.saving.load_model(tmp_path / "mine.keras")
    one, other = (rt.forecast(each, table(), level=80) for each in (fitted, loaded))
    pd.testing.assert_frame_equal(one, other, rtol=1e-5)
    calibrated = rt.conformalize(loaded, windows[1], level=50)
    assert rt.forecast(calibrated, table(), level=50).shape == (3, 3)


def test_missing_targets_are_shown_to_it_as_missing():
    frame = table(other=VALUES * 2)
    frame.iloc[5, 1] = np.nan
    fitted = rt.load_forecaster(rt.Windows(frame, rt.ForecastTask(("sales", "other"), 2, 12, season_length=12)))
    assert fitted.layers[-1].core.flags == (None, 2)
    assert np.isfinite(rt.forecast(fitted, frame).to_numpy()).all()


def test_windows_with_covariates_and_what_is_no_windows_are_refused(model):
    task = rt.ForecastTask("sales", 2, 12, observed="price", calendar="month")
    windows = rt.Windows(table(price=VALUES**2), task)
    with pytest.raises(ValueError, match=r"knows no covariates\. Received a task with 'price', 'month'"):
        rt.load_forecaster(windows)
    with pytest.raises(TypeError, match=r"must be `rt\.Windows`"):
        rt.backtest(model, table())
