"""The intervals of a backtest are those of a forecast from the same cutoff."""

import numpy as np
import pandas as pd
import pytest

import rnn_toolkit as rt
from rnn_toolkit.tables.intervals import levels_of


@pytest.fixture(scope="module", params=[None, (0.1, 0.5, 0.9)], ids=["point", "quantiles"])
def calibrated(request):
    """Return a table of two series, a test split and a model that was calibrated on the rows before it."""
    noise = np.random.default_rng(0).normal(size=60)
    days = pd.date_range("2024", periods=60, freq="D")
    parts = [pd.DataFrame({"day": days, "shop": name, "sales": size * noise}) for name, size in (("a", 1), ("b", 50))]
    frame = pd.concat(parts, ignore_index=True)
    task = rt.ForecastTask("sales", horizon=2, lookback=4, time="day", series="shop")
    train, validation, test = rt.split_by_time(frame, task)
    model = rt.build_forecaster(train, rt.recurrent_layers("gru", (2,)), quantiles=request.param)
    return frame, validation, test, model, rt.conformalize(model, validation, level=[50, 80])


def test_a_backtest_holds_the_bounds_that_a_forecast_gives(calibrated):
    frame, _, test, _, model = calibrated
    backtest = rt.backtest(model, test, level=80)
    cutoff = backtest["cutoff"].iloc[0]
    ahead = rt.forecast(model, frame[frame["day"] <= cutoff], level=80).set_index(["shop", "day"])
    rows = backtest[backtest["cutoff"] == cutoff].set_index(["series", "time"])
    for bound, quantile in (("lo", "q0.1"), ("hi", "q0.9")):
        expected = ahead[f"sales-{bound}-80"].loc[list(rows.index)]
        np.testing.assert_allclose(rows[quantile], expected, rtol=1e-5, atol=1e-5)
    assert rows["q0.5"].tolist() == rows["predicted"].tolist()


def test_the_score_counts_the_truth_inside_each_calibrated_interval(calibrated):
    _, validation, _, _, model = calibrated
    scores = rt.score(rt.backtest(model, validation, level=[50, 80])).loc["model"]
    assert 0.5 <= scores["coverage_50"] < scores["coverage_80"] <= 1  # on the rows it was calibrated on
    assert scores["coverage_80"] >= 0.8


def test_a_model_that_is_not_calibrated_and_a_level_it_does_not_have_are_refused(calibrated):
    _, _, test, plain, model = calibrated
    with pytest.raises(ValueError, match=r"`level` needs a calibrated model.*rt\.conformalize"):
        rt.backtest(plain, test, level=80)
    with pytest.raises(ValueError, match=r"Level 90 was not calibrated\. Available: 50, 80"):
        rt.backtest(model, test, level=90)
    with pytest.raises(ValueError, match="between 0 and 100"):
        rt.backtest(model, test, level=0.8 * 200)


def test_levels_are_percentages_in_order():
    assert levels_of(80) == [80] and levels_of((95, 50)) == [50, 95]
    with pytest.raises(ValueError, match=r"names no percentage. Received: \[\]"):
        levels_of([])
