import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.tables.baselines import baseline_forecasts, fit_nlinear, mase_scales, nlinear, seasonal_naive
from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows, split_by_time

HISTORY = np.array([[1.0, 4.0, 2.0, 3.0], [10.0, 0.0, 0.0, 40.0]])
TWO_TARGETS = np.stack([HISTORY[0], 10 * HISTORY[0]], axis=-1)[None]  # (1, 4, 2)


def one_series(*values):
    return np.array(values, dtype=float).reshape(1, -1, 1)


def of_table(name, values, *, starts=None, season_length=None, lookback=2, horizon=2, **split):
    """Forecast the last windows of a single series with one baseline."""
    task = ForecastTask("load", horizon, lookback, season_length=season_length)
    test = split_by_time(pd.DataFrame({"load": values}), task, **({"validation": 0, "test": horizon} | split))[2]
    return baseline_forecasts(name, test.table, test.starts if starts is None else np.array(starts))


# ---------------------------------------------------------------------------------------------------------------------
# on arrays
# ---------------------------------------------------------------------------------------------------------------------


def test_seasonal_naive_repeats_the_last_season_from_its_start():
    assert seasonal_naive(HISTORY, 4, season_length=3).tolist() == [[4, 2, 3, 4], [0, 0, 40, 0]]


def test_seasonal_naive_needs_a_whole_season():
    with pytest.raises(ValueError, match="`history` has 4 rows, less than a season of 5"):
        seasonal_naive(HISTORY, 2, season_length=5)


@pytest.mark.parametrize(
    "forecaster",
    [
        lambda history: seasonal_naive(history, 3, season_length=3),
        lambda history: nlinear(history, np.full((5, 3), 0.5)),
    ],
)
def test_every_target_is_forecast_by_itself(forecaster):
    forecasts = forecaster(TWO_TARGETS)
    assert forecasts.shape == (1, 3, 2)
    for target in (0, 1):
        assert np.allclose(forecasts[..., [target]], forecaster(TWO_TARGETS[..., [target]]))


def test_nlinear_weighs_the_differences_to_the_last_value():
    weights = np.array([[0.5], [0.25], [9.0], [1.0]])  # the last value less itself is 0, so 9 does not matter
    assert nlinear(one_series(2, 4, 6), weights).item() == 6 + 0.5 * -4 + 0.25 * -2 + 1


def test_nlinear_learns_that_a_season_returns():
    series = np.tile([1.0, 5.0, 3.0, 7.0], 30)
    windows = np.lib.stride_tricks.sliding_window_view(series, 6)
    weights = fit_nlinear([(windows[:50, :4], windows[:50, 4:]), (windows[50:, :4], windows[50:, 4:])])
    assert np.allclose(nlinear(one_series(3, 7, 1, 5), weights).ravel(), [3, 7], atol=0.1)


def test_batches_do_not_change_the_fit():
    x, y = HISTORY[:, :3], HISTORY[:, 3:]
    assert np.allclose(fit_nlinear([(x, y)]), fit_nlinear([(x[:1], y[:1]), (x[1:], y[1:])]))


def test_nlinear_over_one_row_learns_the_mean_step():
    weights = fit_nlinear([(np.array([[1.0], [5.0]]), np.array([[2.0], [8.0]]))])
    assert np.allclose(nlinear(one_series(10), weights), 12)


# ---------------------------------------------------------------------------------------------------------------------
# on tables
# ---------------------------------------------------------------------------------------------------------------------


def test_naive_repeats_the_last_value_of_each_window():
    assert of_table("naive", [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 0.0, 0.0], starts=[1, 4])[..., 0].tolist() == [
        [3, 3],
        [9, 9],
    ]


def test_drift_of_a_single_row_stands_still():
    values = [np.nan, 4.0, 2.0, 7.0, 0.0, 0.0]
    assert of_table("drift", values, lookback=1, starts=[1])[0, :, 0].tolist() == [4, 4]


def test_seasonal_naive_reads_further_back_than_the_window():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 0.0, 0.0]
    assert of_table("seasonal_naive", values, season_length=4)[0, :, 0].tolist() == [3, 4]


def test_seasonal_naive_repeats_the_last_value_before_the_first_whole_season():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 0.0, 0.0]
    forecasts = of_table("seasonal_naive", values, season_length=4, starts=[1, 2])
    assert forecasts[..., 0].tolist() == [[3, 3], [1, 2]]


def test_seasonal_naive_needs_a_season():
    assert of_table("seasonal_naive", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) is None


def test_drift_draws_its_line_from_the_first_value_of_the_series():
    values = [1.0, 9.0, 9.0, 9.0, 9.0, 11.0, 0.0, 0.0]  # (11 - 1) / 5 steps
    assert of_table("drift", values)[0, :, 0].tolist() == [13, 15]


def test_drift_passes_over_missing_first_rows():
    values = [np.nan, np.nan, 1.0, 9.0, 9.0, 7.0, 0.0, 0.0]  # (7 - 1) / 3 steps
    assert of_table("drift", values)[0, :, 0].tolist() == [9, 11]


def test_no_baseline_reads_another_series():
    values = {"a": [100.0] * 9 + [107.0], "b": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]}
    frame = pd.DataFrame([(name, time, value) for name in values for time, value in enumerate(values[name])])
    frame.columns = ["name", "hour", "load"]
    task = ForecastTask("load", 1, 2, time="hour", series="name", season_length=4)
    windows = Windows(frame, task)
    first_of_b = windows.starts[[windows.origins["series"].tolist().index("b")]]
    assert baseline_forecasts("seasonal_naive", windows.table, first_of_b).item() == 2
    assert baseline_forecasts("drift", windows.table, first_of_b).item() == 3


def test_nlinear_never_sees_the_rows_it_is_judged_on():
    values = np.random.default_rng(0).normal(size=60)
    changed = np.where(np.arange(60) < 50, values, 1_000.0)
    split = {"lookback": 4, "horizon": 2, "test": 10, "validation": 0}
    # The first test window looks back on training rows only.
    assert np.array_equal(of_table("nlinear", values, **split)[0], of_table("nlinear", changed, **split)[0])


def test_nlinear_never_sees_the_judged_rows_of_a_series_that_ends_early():
    generator = np.random.default_rng(0)

    def forecast(last_rows_of_short):
        short = [("short", time, value) for time, value in enumerate([*generator.normal(size=30), *last_rows_of_short])]
        long = [("long", time, value) for time, value in enumerate(generator.normal(size=80))]
        frame = pd.DataFrame(short + long, columns=["name", "hour", "load"])
        task = ForecastTask("load", 2, 4, time="hour", series="name")
        test = split_by_time(frame, task, validation=0, test=5)[2]
        assert test.preparation.train_ends == (30, 75)
        return baseline_forecasts("nlinear", test.table, test.starts[:1])

    calm = forecast([0.0] * 5)
    generator = np.random.default_rng(0)
    assert np.array_equal(calm, forecast([1_000.0] * 5))


def test_nlinear_learns_only_from_targets_that_are_there():
    values = np.tile([1.0, 5.0, 3.0, 7.0], 20)
    values[[9, 30, 31, 50]] = np.nan  # filled with the value before, which is no season
    forecasts = of_table("nlinear", [*values, 0.0, 0.0], lookback=4)
    clean = of_table("nlinear", [*np.tile([1.0, 5.0, 3.0, 7.0], 20), 0.0, 0.0], lookback=4)
    assert np.allclose(clean[0, :, 0], [1, 5], atol=0.1)
    assert np.allclose(forecasts[0, :, 0], [1, 5], atol=0.5)


def test_nlinear_needs_training_rows():
    assert of_table("nlinear", np.arange(10.0) ** 2, starts=[0]) is None


# ---------------------------------------------------------------------------------------------------------------------
# the scale of MASE
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("season_length", "expected"), [(None, (1 + 3 + 1 + 3) / 4), (2, (4 + 2 + 2) / 3)])
def test_scale_is_the_mean_step_or_seasonal_step_in_training(season_length, expected):
    frame = pd.DataFrame({"load": [0.0, 1.0, 4.0, 3.0, 6.0, 60.0, 0.0]})
    task = ForecastTask("load", 1, 2, season_length=season_length)
    test = split_by_time(frame, task, validation=0, test=2)[2]
    assert np.allclose(mase_scales(test.table, test.starts), expected)


def test_scale_leaves_out_steps_to_and_from_missing_values():
    values = [0.0, 1.0, np.nan, 3.0, 8.0, 60.0, 0.0]
    test = split_by_time(pd.DataFrame({"load": values}), ForecastTask("load", 1, 2), validation=0, test=2)[2]
    assert mase_scales(test.table, test.starts).item() == (1 + 5) / 2


def test_scale_of_a_table_without_training_rows_counts_up_to_its_first_target():
    frame = pd.DataFrame({"load": [0.0, 1.0, 4.0, 3.0, 6.0, 5.0]})
    preparation = Windows(frame, ForecastTask("load", 1, 3)).preparation
    later = Windows(pd.DataFrame({"load": [0.0, 2.0, 6.0, 0.0]}, index=range(10, 14)), preparation)
    assert mase_scales(later.table, later.starts).item() == (2 + 4) / 2


@pytest.mark.parametrize("season_length", [None, 2])
def test_a_series_that_never_moves_in_training_has_no_scale(season_length):
    frame = pd.DataFrame(
        {"name": list("aaaaabbbbb"), "hour": [*range(5)] * 2, "load": [3.0, 3, 3, 3, 8, 1, 2, 4, 7, 8]}
    )
    task = ForecastTask("load", 1, 2, time="hour", series="name", season_length=season_length)
    test = split_by_time(frame, task, validation=0, test=1)[2]
    flat, moving = mase_scales(test.table, test.starts)[:, 0]
    assert np.isnan(flat) and moving == (2.0 if season_length is None else 4.0)  # 1 + 2 + 3 over 3, 3 + 5 over 2


def test_nlinear_does_not_move_a_series_that_never_moved_and_follows_one_that_begins_to():
    frame = pd.DataFrame({"name": ["up"] * 20 + ["flat"] * 20, "hour": [*range(20)] * 2})
    frame["load"] = np.where(frame.name == "up", 5.0 * frame.hour, 100.0)
    frame.loc[39, "load"] = 200.0
    test = split_by_time(frame, ForecastTask("load", 1, 2, time="hour", series="name"), validation=0, test=2)[2]
    flat = baseline_forecasts("nlinear", test.table, test.starts)[-2:, 0, 0]
    assert flat == pytest.approx([100, 100], abs=0.01)
    frame.loc[38, "load"] = 200.0  # now the last window sees a step, which goes on as those of the other series do
    test = split_by_time(frame, ForecastTask("load", 1, 2, time="hour", series="name"), validation=0, test=2)[2]
    assert baseline_forecasts("nlinear", test.table, test.starts)[-1, 0, 0] != pytest.approx(200, abs=1)


def test_baselines_and_scales_of_a_high_level_are_those_without_it():
    values = np.array([1.0, 9, 2, 8, 3, 9, 2, 7, 1, 8, 2, 9])
    for name in ("naive", "seasonal_naive", "drift", "nlinear"):
        low, high = (of_table(name, level + values, season_length=2) for level in (0, 2e9))
        assert high + (2e9 + values[:-2].mean()) == pytest.approx(low.astype("float64") + 2e9, abs=1e-5)


@pytest.mark.filterwarnings("ignore:None of the series in column")
def test_scale_of_a_series_never_seen_is_its_own():
    frame = pd.DataFrame({"name": "old", "hour": range(6), "load": [0.0, 9.0, 1.0, 8.0, 3.0, 7.0]})
    task = ForecastTask("load", 1, 3, time="hour", series="name", season_length=2)
    preparation = Windows(frame, task).preparation
    new = pd.DataFrame({"name": "new", "hour": range(10, 14), "load": [0.0, 2.0, 6.0, 0.0]})
    later = Windows(new, preparation)
    assert mase_scales(later.table, later.starts).item() == 6
