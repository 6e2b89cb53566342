import os
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from benchmarks.m4_hourly import add_naive2, naive2, owa

from rnn_toolkit import datasets
from rnn_toolkit.tables.evaluation import backtest, score
from rnn_toolkit.tables.layers import RawUnits
from rnn_toolkit.tables.models import build_forecaster
from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows, split_by_time


class RepeatLast(keras.layers.Layer):
    """Forecast the last value of each target for every step, plus offsets along a last axis."""

    def __init__(self, task, offsets=None, shape=None):
        super().__init__()
        self.task, self.offsets, self.shape = task, offsets, shape

    def call(self, inputs):
        outputs = keras.ops.repeat(inputs[:, -1:, : len(self.task.target)], self.task.horizon, axis=1)
        if self.offsets is not None:
            outputs = outputs[..., None] + keras.ops.convert_to_tensor(self.offsets, dtype="float32")
        return outputs if self.shape is None else keras.ops.reshape(outputs, (-1, *self.shape))


def repeat_last(windows, *, carry=False, quantiles=None, **options):
    """Return a Keras model that forecasts the last value; `carry` its preparation as `build_forecaster` does."""
    layer = RepeatLast(windows.task, **options)
    if carry or quantiles:
        layer = RawUnits(layer, windows.preparation, normalization=None, quantiles=quantiles)
    model = keras.Sequential([keras.Input((windows.task.lookback, len(windows.feature_names))), layer])
    model.compile(run_eagerly=True)  # a prediction then takes no seconds of compiling
    return model


def split(frame, task, **options):
    return split_by_time(frame, task, **({"validation": 0, "test": 4} | options))


COUNT = pd.DataFrame({"load": np.arange(20.0)})
PAIR = pd.DataFrame({"load": np.arange(20.0), "price": 100 * np.arange(20.0)})
TASK = ForecastTask("load", horizon=2, lookback=3)
TASK_OF_PAIR = ForecastTask(("load", "price"), horizon=2, lookback=3)


def rows(**columns):
    """Return a table as `backtest` makes it, from a few columns."""
    given = {"series": "a", "cutoff": 0, "time": 1, "step": 1, "target": "load", "scale": 2.0}
    return pd.DataFrame(given | columns)


# ---------------------------------------------------------------------------------------------------------------------
# backtest
# ---------------------------------------------------------------------------------------------------------------------


def test_backtest_has_a_row_per_cutoff_step_and_target():
    test = split(PAIR, TASK_OF_PAIR)[2]
    table = backtest(repeat_last(test), test, baselines=("naive", "drift"))
    assert table.columns.tolist() == [
        *("series", "cutoff", "time", "step", "target", "actual", "predicted", "naive", "drift", "scale"),
    ]
    first = table.iloc[:4]
    assert first["cutoff"].tolist() == [15] * 4
    assert first["time"].tolist() == [16, 16, 17, 17]
    assert first["step"].tolist() == [1, 1, 2, 2]
    assert first["target"].tolist() == ["load", "price", "load", "price"]
    assert first["actual"].tolist() == [16, 1600, 17, 1700]
    assert first["predicted"].tolist() == first["naive"].tolist() == [15, 1500, 15, 1500]
    assert np.allclose(first["drift"], first["actual"])
    assert first["scale"].tolist() == [1, 100, 1, 100]
    assert table["cutoff"].unique().tolist() == [15, 16, 17]
    assert len(table) == 12


def test_backtest_keeps_timestamps_and_their_time_zone():
    index = pd.date_range("2024-03-30 12:00", periods=20, freq="h", tz="Europe/Berlin")  # summer time begins
    test = split(COUNT.set_axis(index), ForecastTask("load", 2, 3, frequency="h"))[2]
    table = backtest(repeat_last(test), test, baselines=())
    assert table["cutoff"].iloc[0] == index[15]
    assert table["time"].iloc[:2].tolist() == index[16:18].tolist()


def test_windows_of_ids_under_another_type_are_judged():
    rows = pd.DataFrame({"t": [*range(20)] * 2, "shop": [1] * 20 + [2] * 20, "load": np.arange(40.0) % 7})
    rows["sky"] = rows["t"] % 2 == 0
    task = ForecastTask("load", 2, 4, time="t", series="shop", observed="sky")
    model = build_forecaster(Windows(rows, task), [keras.layers.GlobalAveragePooling1D()], patch_length=1)
    other = Windows(rows.astype({"shop": float, "sky": "category"}), task)
    assert backtest(model, other, baselines=()).predicted.equals(
        backtest(model, Windows(rows, task), baselines=()).predicted
    )


def test_shuffled_windows_are_judged_in_the_order_of_their_origins():
    train = split(COUNT, TASK)[0]
    table = backtest(repeat_last(train), train, baselines=())
    assert table["cutoff"].tolist() == train.origins["cutoff"].repeat(2).tolist()
    assert table["actual"].tolist() == table["time"].tolist()
    assert table["predicted"].tolist() == table["cutoff"].tolist()


def test_a_model_that_repeats_the_last_value_scores_as_naive():
    frame = pd.DataFrame({"load": np.random.default_rng(0).normal(5, 1, size=60)})
    test = split(frame, ForecastTask("load", 3, 5, season_length=4), test=20)[2]
    scores = score(backtest(repeat_last(test), test, baselines=("naive", "seasonal_naive", "drift", "nlinear")))
    assert scores.index.tolist() == ["model", "naive", "seasonal_naive", "drift", "nlinear"]
    assert np.allclose(scores.loc["model"], scores.loc["naive"])
    assert not np.isclose(scores["MAE"].iloc[1:], scores.loc["model", "MAE"]).all()


def test_missing_truth_is_never_scored():
    frame = COUNT.copy()
    frame.loc[[17, 19], "load"] = np.nan
    test = split(frame, TASK)[2]
    table = backtest(repeat_last(test), test, baselines=("naive",))
    assert table["time"].tolist() == [16, 18, 18]
    assert table.index.tolist() == [0, 1, 2]
    assert not table.isna().any(axis=None)


def test_series_are_told_apart_and_keep_their_names():
    frame = pd.DataFrame({"shop": ["b"] * 12 + ["a"] * 10, "day": [*range(12), *range(10)]})
    frame["load"] = np.where(frame["shop"] == "b", frame["day"], 10.0 * frame["day"])
    task = ForecastTask("load", 1, 2, time="day", series="shop")
    test = split(frame, task, test=2)[2]
    table = backtest(repeat_last(test), test, baselines=("drift",))
    assert table["series"].tolist() == ["b", "b", "a", "a"]
    assert table["time"].tolist() == [10, 11, 8, 9]
    assert table["actual"].tolist() == table["drift"].tolist() == [10, 11, 80, 90]
    assert table["scale"].tolist() == [1, 1, 10, 10]


def test_actual_is_the_number_of_the_table_and_forecasts_of_a_high_level_are_exact():
    frame = pd.DataFrame({"load": 2e9 + 0.1 + np.arange(20.0)})
    for carry in (False, True):
        test = split(frame, TASK)[2]
        table = backtest(repeat_last(test, carry=carry), test, baselines=("naive", "drift"))
        assert table["actual"].tolist() == frame["load"].iloc[table["time"]].tolist()
        assert np.allclose(table["predicted"], frame["load"].iloc[table["cutoff"]], rtol=0, atol=1e-5)
        assert np.allclose(table["drift"], table["actual"], rtol=0, atol=1e-5)


def test_seasonal_naive_is_left_out_without_a_season():
    test = split(COUNT, TASK)[2]
    with_it = split(COUNT, ForecastTask("load", 2, 3, season_length=4))[2]
    assert "seasonal_naive" not in backtest(repeat_last(test), test)
    assert backtest(repeat_last(with_it), with_it)["seasonal_naive"].tolist()[:2] == [12, 13]


def test_nlinear_is_left_out_with_a_warning_where_it_cannot_be_fitted():
    train = split(COUNT, TASK)[0]
    with pytest.warns(UserWarning, match="'nlinear' is left out: the table has no training window"):
        table = backtest(repeat_last(train), train)
    assert "nlinear" not in table


def test_one_baseline_may_be_named_without_a_list():
    test = split(COUNT, TASK)[2]
    assert "naive" in backtest(repeat_last(test), test, baselines="naive")


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_flat_forecasts_are_read_step_by_step(shape):
    test = split(PAIR, TASK_OF_PAIR)[2]
    table = backtest(repeat_last(test, shape=shape), test, baselines=())
    assert table["predicted"].tolist()[:4] == [15, 1500, 15, 1500]


def test_forecasts_of_one_target_need_no_axis_for_it():
    test = split(COUNT, TASK)[2]
    assert backtest(repeat_last(test, shape=(2,)), test, baselines=())["predicted"].tolist()[:2] == [15, 15]


def test_quantiles_have_columns_and_the_median_is_the_forecast():
    test = split(COUNT, TASK)[2]
    table = backtest(repeat_last(test, quantiles=(0.1, 0.5, 0.9), offsets=[-1.0, 0.5, 3.0]), test, baselines=())
    assert table[["predicted", "q0.1", "q0.5", "q0.9"]].iloc[0].tolist() == [15.5, 14, 15.5, 18]


def test_a_table_is_judged_after_the_training_rows():
    train, validation, test = split(COUNT, TASK, validation=4)
    model = repeat_last(train, carry=True)
    table = backtest(model, COUNT, baselines=("nlinear",))
    assert table["time"].min() == validation.origins["cutoff"].min() + 1 == 12
    assert table["time"].max() == 19
    later = table[table["cutoff"] >= 15].reset_index(drop=True)
    of_test = backtest(model, test, baselines=("nlinear",))
    pd.testing.assert_frame_equal(later.drop(columns="nlinear"), of_test.drop(columns="nlinear"))


def test_new_rows_alone_are_judged_too():
    model = repeat_last(split(COUNT, TASK)[0], carry=True)
    frame = pd.DataFrame({"load": [1.0, 3.0, 9.0, 8.0, 7.0, 6.0]}, index=range(100, 106))
    table = backtest(model, frame, baselines=("naive",))
    assert table["actual"].tolist() == [8, 7, 7, 6]
    assert table["scale"].unique().tolist() == [4]  # (|3-1| + |9-3|) / 2


def test_a_model_without_preparation_cannot_read_a_table():
    with pytest.raises(ValueError, match=r"carries no preparation of its inputs.*Pass `rt.Windows`"):
        backtest(repeat_last(split(COUNT, TASK)[0]), COUNT)


def test_a_table_that_ends_with_the_training_rows_is_refused():
    model = repeat_last(split(COUNT, TASK)[0], carry=True)
    with pytest.raises(ValueError, match=r"training rows \(before 16\); the table ends at 16, and 2 rows are forecast"):
        backtest(model, COUNT.iloc[:17])


def test_windows_without_a_window_are_refused():
    train, _, empty = split(COUNT, TASK, test=0)
    with pytest.raises(ValueError, match="There is no window to judge"):
        backtest(repeat_last(train), empty)


def test_windows_prepared_on_another_table_are_refused():
    def windows(names):
        frame = pd.DataFrame({"shop": np.repeat(names, 10), "day": [*range(10)] * 2, "load": np.arange(20.0)})
        return Windows(frame, ForecastTask("load", 2, 3, time="day", series="shop"))

    model = repeat_last(windows(["a", "b"]), carry=True)
    with pytest.raises(ValueError, match="prepared otherwise than the model: their series differ"):
        backtest(model, windows(["b", "a"]))


def test_arguments_are_checked():
    test = split(COUNT, TASK)[2]
    with pytest.raises(TypeError, match=r"must be `Windows` or a pandas DataFrame. Received: tuple"):
        backtest(repeat_last(test), (np.zeros(3), np.zeros(3)))
    with pytest.raises(ValueError, match=r"`baselines` must be one of .*Received: 'nliner'. Did you mean 'nlinear'"):
        backtest(repeat_last(test), test, baselines=("naive", "nliner"))


def test_forecasts_of_another_shape_are_refused():
    test = split(PAIR, TASK_OF_PAIR)[2]
    with pytest.raises(
        ValueError, match=r"windows need \(3, 2, 2\) or \(3, 4\). Received: \(3, 4, 1\).*Reshape\(\(2, 2\)\)"
    ):
        backtest(repeat_last(test, shape=(4, 1)), test)


def test_quantile_forecasts_of_another_shape_are_refused():
    test = split(COUNT, TASK)[2]
    with pytest.raises(ValueError, match=r"windows need \(3, 2, 1, 3\). Received: \(3, 2, 1, 2\)"):
        backtest(repeat_last(test, quantiles=(0.1, 0.5, 0.9), offsets=[-1.0, 1.0]), test)


def test_forecasts_that_are_no_numbers_are_refused():
    test = split(COUNT, TASK)[2]
    model = repeat_last(test, offsets=[np.nan], shape=(2, 1))
    with pytest.raises(ValueError, match="forecasts NaN or infinity in 6 of 6 values"):
        backtest(model, test)


# ---------------------------------------------------------------------------------------------------------------------
# score
# ---------------------------------------------------------------------------------------------------------------------


def test_scores_are_those_worked_out_by_hand():
    table = rows(actual=[1.0, 3.0], predicted=[2.0, 6.0], naive=[1.0, 1.0])
    scores = score(table)
    assert scores.index.tolist() == ["model", "naive"]
    assert scores.index.name == "forecaster"
    assert scores["MAE"].tolist() == [2, 1]
    assert np.allclose(scores["RMSE"], [np.sqrt((1 + 9) / 2), np.sqrt(4 / 2)])
    assert scores["MASE"].tolist() == [1, 0.5]
    assert np.allclose(scores["sMAPE"], [200 * (1 / 3 + 3 / 9) / 2, 200 * (0 + 2 / 4) / 2])
    assert scores.columns.tolist() == ["MAE", "RMSE", "MASE", "sMAPE"]


def test_smape_runs_from_0_to_200_and_is_0_where_both_are_0():
    scores = score(rows(actual=[0.0, 5.0], predicted=[0.0, 5.0], wrong_sign=[0.0, -5.0]))
    assert scores["sMAPE"].tolist() == [0, 100]


def test_every_row_is_divided_by_its_own_scale():
    assert score(rows(actual=[0.0, 0.0], predicted=[3.0, 3.0], scale=[1.0, 3.0]))["MASE"].item() == 2


def test_rows_without_a_scale_are_left_out_of_mase_and_named():
    table = rows(series=["moves", "moves", "rests"], actual=0.0, predicted=[2.0, 4.0, 1e9], scale=[2.0, 2.0, np.nan])
    with pytest.warns(UserWarning, match=r"MASE leaves out 1 of 3 rows, .* does not move in training: 'rests'\."):
        assert score(table)["MASE"].tolist() == [1.5]
    with pytest.warns(UserWarning, match="'rests'"):
        assert np.isnan(score(table, by="series").loc[("rests", "model"), "MASE"])
    with pytest.warns(UserWarning, match="does not move in training: 'not named'"):
        score(table.drop(columns="series"))


def test_one_series_flat_in_training_does_not_swamp_the_pooled_mase():
    frame = pd.DataFrame(
        {"shop": ["a"] * 12 + ["b"] * 12, "day": [*range(12)] * 2, "load": [5.0] * 11 + [1e6, *range(12)]}
    )
    test = split(frame, ForecastTask("load", 1, 2, time="day", series="shop"), test=2)[2]
    with pytest.warns(UserWarning, match="does not move in training: 'a'"):
        assert score(backtest(repeat_last(test), test, baselines=()))["MASE"].item() == 1


def test_quantile_scores_are_those_worked_out_by_hand():
    table = rows(actual=[0.0, 10.0], predicted=[1.0, 1.0], naive=[2.0, 2.0])
    table = table.assign(**{"q0.1": -1.0, "q0.5": 1.0, "q0.9": 3.0})
    scores = score(table)
    # at 0:  0.1 * 1, 0.5 * 1, 0.1 * 3;  at 10: 0.1 * 11, 0.5 * 9, 0.9 * 7
    assert np.isclose(scores.loc["model", "pinball"], (0.1 + 0.5 + 0.3 + 1.1 + 4.5 + 6.3) / 6)
    assert np.isclose(scores.loc["model", "CRPS"], 2 * scores.loc["model", "pinball"])
    assert np.isclose(scores.loc["naive", "CRPS"], scores.loc["naive", "MAE"])  # a point is all its quantiles
    assert scores.loc["model", "coverage_80"] == 0.5
    assert np.isnan(scores.loc["naive", "coverage_80"])


def test_only_quantiles_with_a_counterpart_make_an_interval():
    table = rows(actual=[0.0], predicted=[0.0]).assign(**{"q0.025": -1.0, "q0.5": 0.0, "q0.9": 2.0, "q0.975": 3.0})
    scores = score(table)
    assert [name for name in scores if name.startswith("coverage")] == ["coverage_95"]
    assert scores["coverage_95"].item() == 1


def test_by_adds_index_levels_in_the_order_asked_for():
    table = rows(
        series=["b", "b", "a", "a"], step=[1, 2, 1, 2], actual=[0.0] * 4, predicted=[1.0, 2.0, 3.0, 4.0], naive=0.0
    )
    by_step = score(table, by="step")
    assert by_step.index.names == ["step", "forecaster"]
    assert by_step["MAE"].to_dict() == {(1, "model"): 2, (1, "naive"): 0, (2, "model"): 3, (2, "naive"): 0}
    by_both = score(table, by=["step", "series"])
    assert by_both.index.names == ["step", "series", "forecaster"]
    assert by_both.loc[(1, "a", "model"), "MAE"] == 3


def test_targets_are_never_pooled():
    table = rows(target=["load", "price"], actual=[0.0, 0.0], predicted=[1.0, 100.0])
    assert score(table)["MAE"].to_dict() == {("load", "model"): 1, ("price", "model"): 100}
    assert score(table, by="step").index.names == ["target", "step", "forecaster"]
    assert score(table, by=["step", "target"]).index.names == ["step", "target", "forecaster"]


def test_scores_of_a_backtest_keep_the_order_of_the_table():
    frame = pd.DataFrame({"shop": ["b"] * 12 + ["a"] * 12, "day": [*range(12)] * 2, "load": np.arange(24.0)})
    test = split(frame, ForecastTask("load", 1, 2, time="day", series="shop"), test=2)[2]
    scores = score(backtest(repeat_last(test), test, baselines="naive"), by="series")
    assert scores.index.tolist() == [("b", "model"), ("b", "naive"), ("a", "model"), ("a", "naive")]


def test_forecasts_from_elsewhere_are_scored_beside():
    table = rows(actual=[1.0], predicted=[2.0], note=["first"], day_of_week=[3]).assign(arima=1.5)
    assert score(table)["MAE"].to_dict() == {"model": 1, "arima": 0.5}


def test_part_of_a_backtest_and_several_together_are_scored():
    table = rows(actual=[0.0, 0.0], predicted=[1.0, 3.0], step=[1, 2])
    assert score(table[table["step"] == 2], by="step")["MAE"].tolist() == [3]
    assert score(pd.concat([table, table[:1]]), by="step")["MAE"].tolist() == [1, 3]


def test_the_table_is_left_as_it_is():
    table = rows(actual=[1.0], predicted=[2.0])
    before = table.copy()
    score(table, by="series")
    pd.testing.assert_frame_equal(table, before)


def test_scores_of_missing_values_are_refused():
    with pytest.raises(ValueError, match="Column 'arima' misses 1 of 2 values"):
        score(rows(actual=[1.0, 2.0], predicted=[1.0, 2.0]).assign(arima=[1.0, np.nan]))


def test_an_empty_backtest_is_refused():
    with pytest.raises(ValueError, match="`backtest` has no rows"):
        score(rows(actual=[1.0], predicted=[1.0]).iloc[:0])


def test_a_table_that_is_no_backtest_is_refused():
    with pytest.raises(ValueError, match="`backtest` has no column 'predicted'"):
        score(pd.DataFrame({"target": ["a"], "actual": [1.0]}))


def test_an_unknown_level_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"`by` must be one of .*Received: 'steps'. Did you mean 'step'"):
        score(rows(actual=[1.0], predicted=[1.0]), by="steps")


# ---------------------------------------------------------------------------------------------------------------------
# against published figures, with the yardstick of the M4 competition from `tests/benchmarks/m4_hourly.py`
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("season", "rows", "expected"),
    [
        ([0.5, 1.0, 1.5], 18, [5, 10, 15, 5]),  # level and factors of a multiplicative season
        ([0.5, 1.0, 1.5], 19, [10, 15, 5, 10]),  # begun in the phase that comes next
        ([0.4, 1.0, 1.6, 1.0], 22, [16, 10, 4, 10]),  # an even season, centred on its half-weighted ends
        ([0.5, 1.0, 1.5], 6, [15] * 4),  # less than three seasons: the last value
        ([-0.5, 1.0, 1.5], 18, [15] * 4),  # not positive
        ([2.0, 2.0, 2.0], 18, [20] * 4),  # constant
    ],
)
def test_naive2_takes_the_season_out_and_puts_it_back(season, rows, expected):
    history = 10 * np.resize(season, rows)
    assert np.allclose(naive2(history, 4, season_length=len(season)), expected)


def test_naive2_is_naive_where_the_season_is_not_significant():
    history = np.arange(1.0, 31.0)[np.random.default_rng(1).permutation(30)]
    assert np.allclose(naive2(history, 4, season_length=3), history[-1])


def test_owa_is_the_mean_of_the_two_ratios_to_naive2():
    scores = score(rows(actual=[1.0], predicted=[3.0], naive2=[9.0]))
    # sMAPE 200 * 2/4 against 200 * 8/10, MASE 1 against 4
    assert np.allclose(owa(scores), [(0.5 / 0.8 + 1 / 4) / 2, 1])


def m4_is_cached():
    folder = os.environ.get("RNN_TOOLKIT_DATA")
    return folder is not None and any((Path(folder) / "m4").glob("Hourly-train.csv*"))


@pytest.mark.skipif(not m4_is_cached(), reason="RNN_TOOLKIT_DATA names no folder that holds m4/Hourly-train.csv")
def test_m4_hourly_gives_the_published_scores():
    """Hourly scores of the benchmarks, as published with the data (Mcompetitions/M4-methods, Evaluation and Ranks)."""
    frame = datasets.load_m4_hourly()
    task = ForecastTask("value", 48, 168, time="step", series="series", season_length=24)
    test = split(frame, task, test=48)[2]
    table = backtest(repeat_last(test), test, baselines=("naive", "seasonal_naive"))
    scores = score(add_naive2(table, frame))
    scores["OWA"] = owa(scores)
    published = {
        "model": (43.003, 11.608, 3.593),
        "naive": (43.003, 11.608, 3.593),
        "seasonal_naive": (13.912, 1.193, 0.6275),
        "naive2": (18.383, 2.395, 1.0),
    }
    for forecaster, figures in published.items():
        assert np.allclose(scores.loc[forecaster, ["sMAPE", "MASE", "OWA"]], figures, atol=6e-4), forecaster
