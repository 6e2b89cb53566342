import os
import subprocess
import sys
from pathlib import Path

import keras
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import dates
from matplotlib import pyplot as plt

from rnn_toolkit.diagnosis.plots import plot_gradient_flow, plot_learning_rates
from rnn_toolkit.drawing import BLUE, ORANGE, TINTS
from rnn_toolkit.networks.optimization import SCHEDULES, make_optimizer
from rnn_toolkit.tables.plots import plot_errors, plot_forecast
from rnn_toolkit.texts.plots import plot_explanation
from rnn_toolkit.training.plots import plot_history, plot_schedule

ROOT = Path(__file__).resolve().parents[2]


def days(start, count):
    return pd.date_range(start, periods=count, freq="D", name="day")


def load(values, start="2024-01-01"):
    return pd.DataFrame({"load": np.array(values, dtype="float64")}, index=days(start, len(values)))


def ahead(values=(5.0, 6.0), start="2024-01-05"):
    return load(values, start)


PAST = load([1.0, 2.0, 3.0, 4.0])


def epochs(**columns):
    count = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.RangeIndex(1, count + 1, name="epoch"))


def lines(ax):
    """Return x and y of each labelled line."""
    shown = [line for line in ax.lines if not line.get_label().startswith("_")]
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in shown}


def bands(ax):
    """Return lowest and highest value of each shaded area, and its colour."""
    tables = {area.get_label(): area for area in ax.collections}
    extents = {label: area.get_paths()[0].vertices[:, 1] for label, area in tables.items()}
    return {
        label: (y.min(), y.max(), mpl.colors.to_hex(tables[label].get_facecolor()[0])) for label, y in extents.items()
    }


def texts(ax):
    return [text.get_text() for text in ax.texts]


# plot_history


def test_history_shows_both_losses_and_marks_the_best_epoch():
    ax = plot_history(epochs(loss=[4.0, 3.0, 2.0], val_loss=[4.0, 3.5, 3.75], learning_rate=[0.1] * 3))
    assert lines(ax) == {"training": ([1, 2, 3], [4, 3, 2]), "validation": ([1, 2, 3], [4, 3.5, 3.75])}
    assert ax.get_title("left") == "Validation loss: best at epoch 2 of 3"
    assert texts(ax) == ["3.5"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("epoch", "loss", "linear")
    assert len(ax.figure.axes) == 1  # the learning rate never changes


def test_history_without_validation_marks_the_best_training_loss():
    ax = plot_history(epochs(loss=[4.0, 3.0, 2.0]))
    assert list(lines(ax)) == ["training"]
    assert ax.get_title("left") == "Training loss: best at epoch 3 of 3"


def test_history_shades_overfitting_only_where_validation_is_worse_behind_the_best_epoch():
    ax = plot_history(epochs(loss=[4.0, 3.0, 2.0, 1.0], val_loss=[5.0, 3.5, 3.75, 4.0]))
    assert bands(ax) == {"overfitting": (1.0, 4.0, TINTS[-1])}
    assert plot_history(epochs(loss=[4.0, 3.0, 2.0], val_loss=[3.5, 2.5, 1.5])).collections[:] == []


def test_history_is_logarithmic_from_a_tenfold_range_on():
    assert plot_history(epochs(loss=[10.0, 1.0])).get_yscale() == "log"
    assert plot_history(epochs(loss=[9.9, 1.0])).get_yscale() == "linear"
    assert plot_history(epochs(loss=[10.0, -1.0])).get_yscale() == "linear"


def test_history_draws_a_learning_rate_that_changes_on_an_axis_of_its_own():
    ax = plot_history(epochs(loss=[4.0, 3.0, 2.0], learning_rate=[0.1, 0.1, 0.05]))
    (right,) = (one for one in ax.figure.axes if one is not ax)
    assert right.lines[0].get_ydata().tolist() == [0.1, 0.1, 0.05]
    assert right.get_yticks().tolist() == [0.1, 0.05]
    assert right.get_ylabel() == "learning rate (dotted)"


def test_history_of_any_length_has_whole_epochs_as_ticks():
    for count in (1, 2, 3, 50):
        ax = plot_history(epochs(loss=list(range(1, count + 1))))
        shown = [tick for tick in ax.get_xticks() if 0.5 <= tick <= count + 0.5]
        assert shown and all(tick == int(tick) for tick in shown)


def test_history_of_a_run_that_diverged_late_leaves_out_what_is_not_finite():
    ax = plot_history(epochs(loss=[2.0, 1.0, np.inf], val_loss=[2.0, 1.0, np.nan]))
    assert np.isnan(lines(ax)["training"][1][2])
    assert ax.get_title("left") == "Validation loss: best at epoch 2 of 3"


def test_history_without_loss_is_refused():
    with pytest.raises(ValueError, match=r"`history` has no column 'loss'; it has: Loss\. Did you mean 'Loss'"):
        plot_history(epochs(Loss=[1.0]))


def test_history_that_never_was_finite_is_refused():
    with pytest.raises(ValueError, match=r"no finite val_loss in 2 epochs\. If the training diverged"):
        plot_history(epochs(loss=[1.0, 2.0], val_loss=[np.nan, np.inf]))


def test_history_that_is_no_table_is_refused():
    with pytest.raises(TypeError, match=r"`history` must be a pandas DataFrame\. Received: dict"):
        plot_history({"loss": [1.0]})


def test_history_without_rows_is_refused():
    with pytest.raises(ValueError, match=r"`history` holds nothing to draw: 0 rows, 1 columns"):
        plot_history(epochs(loss=[]))


# plot_schedule


def curve(ax):
    """Return the rate by step of the first line."""
    return dict(zip(ax.lines[0].get_xdata().tolist(), ax.lines[0].get_ydata().tolist(), strict=True))


def test_schedule_by_name_is_drawn_from_first_to_last_step_with_its_top():
    ax = plot_schedule("one_cycle", learning_rate=0.5, steps=100)
    rates = curve(ax)
    assert [rates[0], rates[15], rates[30], rates[100]] == pytest.approx([0.02, 0.26, 0.5, 0.0], abs=1e-7)
    assert ax.get_title("left") == "One cycle: learning rate over 100 steps"
    assert texts(ax) == ["0.5 at step 30"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xlim()) == ("training step", "learning rate", (0, 100))
    assert ax.get_legend() is None


def test_schedule_by_several_names_is_a_line_each():
    names = [name for name in SCHEDULES if name != "plateau"]
    ax = plot_schedule(names, learning_rate=1.0, steps=10)
    drawn = lines(ax)
    assert list(drawn) == ["constant", "exponential", "cosine", "warmup cosine", "one cycle"]
    assert [drawn[name][1][0] for name in drawn] == pytest.approx([1, 1, 1, 0.04, 0.04])
    assert [drawn[name][1][-1] for name in drawn] == pytest.approx([1, 0.01, 0, 0, 0], abs=1e-7)
    assert ax.get_title("left") == "Learning rate over 10 steps"
    assert len({line.get_color() for line in ax.lines}) == 5
    assert len(ax.get_legend().get_texts()) == 5


def test_schedule_of_many_steps_keeps_its_corner():
    rates = curve(plot_schedule("warmup_cosine", learning_rate=0.5, steps=123_457))
    assert len(rates) <= 402
    assert rates[6173] == pytest.approx(0.5)  # 5 % of the steps


def test_schedule_of_an_optimizer_is_drawn_over_its_own_steps_and_is_not_moved():
    optimizer = make_optimizer(0.5, schedule="one_cycle", steps=20)
    ax = plot_schedule(optimizer)
    assert ax.get_title("left") == "Adam: learning rate over 20 steps"
    assert curve(ax)[6] == pytest.approx(0.5)
    assert int(keras.ops.convert_to_numpy(optimizer.iterations)) == 0


def test_schedule_of_an_optimizer_in_mixed_precision_is_that_of_the_one_inside():
    inside = make_optimizer(0.5, schedule="cosine", steps=20)
    assert curve(plot_schedule(keras.optimizers.LossScaleOptimizer(inside)))[10] == pytest.approx(0.25)


def test_schedule_of_an_optimizer_without_one_is_flat():
    rates = curve(plot_schedule(make_optimizer(0.5), steps=4))
    assert rates == {0: 0.5, 1: 0.5, 2: 0.5, 3: 0.5, 4: 0.5}


def test_schedule_of_keras_is_drawn_over_a_thousand_steps_unless_it_says_more():
    steps = keras.optimizers.schedules.PiecewiseConstantDecay([500], [0.5, 0.25])
    ax = plot_schedule(steps)
    assert (curve(ax)[0], curve(ax)[1000]) == (0.5, 0.25)
    assert ax.get_title("left") == "PiecewiseConstantDecay: learning rate over 1,000 steps"


def test_schedule_with_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"must be one of 'constant', .*'one_cycle'\. .* Did you mean 'one_cycle'\?"):
        plot_schedule("onecycle")


@pytest.mark.parametrize("schedule", ["plateau", ["cosine", "plateau"]])
def test_schedule_that_depends_on_the_losses_is_refused(schedule):
    with pytest.raises(ValueError, match=r"'plateau' depends on the losses .* `plot_history` draws it"):
        plot_schedule(schedule)


def test_schedule_without_a_name_is_refused():
    with pytest.raises(ValueError, match=r"`schedule` is an empty list\. Pass at least one name"):
        plot_schedule([])


def test_schedule_that_is_a_number_is_refused():
    with pytest.raises(TypeError, match=r"`schedule` must be a name, .* Received: float\. Pass 'cosine', say"):
        plot_schedule(0.001)


def test_schedule_of_one_step_is_refused():
    with pytest.raises(ValueError, match=r"`steps` must be at least 2\. Received: 1"):
        plot_schedule("cosine", steps=1)


def test_schedule_of_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"`learning_rate` must be positive\. Received: 0"):
        plot_schedule("cosine", learning_rate=0)


# plot_forecast


def test_forecast_draws_the_values_of_both_tables():
    ax = plot_forecast(ahead(), PAST)
    drawn = lines(ax)
    assert drawn["history"] == (list(PAST.index.to_numpy()), [1, 2, 3, 4])
    assert drawn["forecast"] == (list(days("2024-01-05", 2).to_numpy()), [5, 6])
    assert list(drawn) == ["history", "forecast"]
    assert ax.get_title("left") == "load: 2 days ahead"
    assert ax.get_ylabel() == "load"


def test_forecast_marks_the_last_known_row_as_cutoff():
    ax = plot_forecast(ahead(), PAST)
    assert texts(ax) == ["cutoff"]
    assert ax.lines[-1].get_xdata() == [dates.date2num(pd.Timestamp("2024-01-04"))] * 2


def test_forecast_alone_has_neither_history_nor_cutoff():
    ax = plot_forecast(ahead())
    assert (list(lines(ax)), texts(ax)) == (["forecast"], [])


def test_forecast_nests_intervals_the_narrower_the_darker():
    bounds = {"load-lo-95": 1.0, "load-hi-95": 9.0, "load-lo-80": 3.0, "load-hi-80": 8.0}
    ax = plot_forecast(ahead().assign(**bounds), PAST)
    assert bands(ax) == {"80 %": (3.0, 8.0, TINTS[0]), "95 %": (1.0, 9.0, TINTS[1])}
    orders = {area.get_label(): area.get_zorder() for area in ax.collections}
    assert orders["80 %"] > orders["95 %"]


def test_forecast_draws_rows_behind_the_cutoff_as_what_came_true():
    frame = load([1.0, 2.0, 3.0, 4.0, 5.5, 6.5, 7.5])
    drawn = lines(plot_forecast(ahead(), frame))
    assert drawn["history"][1] == [1, 2, 3, 4]
    assert drawn["actual"] == (list(days("2024-01-05", 2).to_numpy()), [5.5, 6.5])


def test_forecast_knows_no_actual_where_the_rows_behind_the_cutoff_lack_the_target():
    assert "actual" not in lines(plot_forecast(ahead(), load([1.0, 2.0, 3.0, 4.0, np.nan, np.nan])))


def test_forecast_draws_the_last_rows_of_the_history():
    frame = load(range(100))
    two, ten = ahead([1.0] * 2, "2024-04-10"), ahead([1.0] * 10, "2024-04-10")
    assert lines(plot_forecast(two, frame))["history"][1] == list(range(70, 100))
    assert lines(plot_forecast(ten, frame))["history"][1] == list(range(60, 100))
    assert lines(plot_forecast(two, frame, last=3))["history"][1] == [97, 98, 99]


def test_forecast_keeps_gaps_of_missing_values_and_of_missing_rows():
    frame = load([1.0, np.nan, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).drop(pd.Timestamp("2024-01-05"))
    x, y = lines(plot_forecast(ahead(start="2024-01-09"), frame))["history"]
    assert x == list(days("2024-01-01", 8).to_numpy())
    assert np.isnan(y).tolist() == [False, True, False, False, True, False, False, False]


def test_forecast_of_business_days_has_no_gaps_at_weekends():
    index = pd.bdate_range("2024-01-01", periods=22)
    frame = pd.DataFrame({"load": np.arange(22.0)}, index=index)
    ax = plot_forecast(frame.tail(2), frame.head(20))
    assert lines(ax)["history"][1] == list(range(20))
    assert ax.get_title("left") == "load: 2 business days ahead"


def test_baseline_as_season_length_repeats_the_last_season():
    drawn = lines(plot_forecast(ahead([5.0, 6.0, 7.0]), PAST, baseline=2))
    assert drawn["seasonal naive"] == (list(days("2024-01-05", 3).to_numpy()), [3, 4, 3])


def test_baseline_as_season_length_fills_gaps_with_the_value_before():
    assert lines(plot_forecast(ahead(), load([1.0, 2.0, 3.0, np.nan]), baseline=2))["seasonal naive"][1] == [3, 3]


def test_baseline_as_values_is_drawn_under_its_name():
    assert lines(plot_forecast(ahead(), PAST, baseline=pd.Series([7.0, 8.0], name="drift")))["drift"][1] == [7, 8]
    assert lines(plot_forecast(ahead(), PAST, baseline=np.array([7.0, 8.0])))["baseline"][1] == [7, 8]


def many(values, start, count):
    """Return a long table: each series has `count` days of its value."""
    parts = [
        pd.DataFrame({"day": days(start, count), "shop": name, "sales": value, "stock": -value})
        for name, value in values.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_forecast_of_many_series_draws_the_first_or_the_one_named():
    table, frame = many({"north": 1.0, "south": 2.0}, "2024-01-05", 2), many({"south": 4.0, "north": 3.0}, "2024", 4)
    ax = plot_forecast(table, frame)
    assert ax.get_title("left") == "north, sales: 2 days ahead"
    assert (lines(ax)["history"][1], lines(ax)["forecast"][1]) == ([3] * 4, [1, 1])
    ax = plot_forecast(table, frame, series="south", baseline=pd.Series([10.0, 11.0, 12.0, 13.0]))
    assert ax.get_title("left") == "south, sales: 2 days ahead"
    assert (lines(ax)["history"][1], lines(ax)["forecast"][1]) == ([4] * 4, [2, 2])
    assert lines(ax)["baseline"][1] == [12, 13]


def test_forecast_of_many_series_may_keep_its_time_in_the_index():
    table, frame = many({"north": 1.0, "south": 2.0}, "2024-01-05", 2), many({"north": 3.0, "south": 4.0}, "2024", 4)
    ax = plot_forecast(table.set_index("day"), frame.set_index("day"), series="south")
    assert (lines(ax)["history"][1], lines(ax)["forecast"][1]) == ([4] * 4, [2, 2])


def test_forecast_rows_chosen_by_the_user_keep_their_time_column():
    table, frame = many({"north": 1.0, "south": 2.0}, "2024-01-05", 2), many({"north": 3.0, "south": 4.0}, "2024", 4)
    assert lines(plot_forecast(table[table.shop == "south"], frame))["history"][1] == [4] * 4


def test_forecast_of_several_targets_draws_the_first_or_the_one_named():
    table, frame = many({"north": 1.0}, "2024-01-05", 2), many({"north": 3.0}, "2024", 4)
    table = table.assign(**{"stock-lo-80": -5.0, "stock-hi-80": 5.0})
    ax = plot_forecast(table, frame)
    assert (lines(ax)["forecast"][1], bands(ax)) == ([1, 1], {})
    ax = plot_forecast(table, frame, target="stock")
    assert (lines(ax)["forecast"][1], bands(ax)) == ([-1, -1], {"80 %": (-5.0, 5.0, TINTS[1])})
    assert ax.get_title("left") == "north, stock: 2 days ahead"


@pytest.mark.parametrize("where", ["index", "named index", "column", "column beside a series"])
def test_forecast_on_an_axis_of_whole_numbers(where):
    frame = pd.DataFrame({"step": range(4), "id": "a", "load": [1.0, 2.0, 3.0, 4.0]})
    table = pd.DataFrame({"step": [4, 5], "id": "a", "load": [5.0, 6.0]})
    if "series" not in where:
        frame, table = frame.drop(columns="id"), table.drop(columns="id")
    if "index" in where:
        frame, table = frame.set_index("step"), table.set_index("step")
    if where == "index":
        frame, table = frame.rename_axis(None), table.rename_axis(None)
    ax = plot_forecast(table, frame)
    assert (lines(ax)["history"], lines(ax)["forecast"]) == (([0, 1, 2, 3], [1, 2, 3, 4]), ([4, 5], [5, 6]))
    assert ax.get_title("left").endswith("load: 2 steps ahead")


def test_series_of_whole_numbers_are_not_taken_for_the_time():
    table = pd.DataFrame({"id": [7, 7, 8, 8], "load": [1.0, 2.0, 3.0, 4.0]}, index=[4, 5, 4, 5])
    frame = pd.DataFrame({"id": [7, 7, 8, 8], "load": [5.0, 6.0, 7.0, 8.0]}, index=[2, 3, 2, 3])
    assert lines(plot_forecast(table, frame, series=8))["history"] == ([2, 3], [7, 8])


def test_forecast_in_a_time_zone_is_labelled_in_it():
    index = pd.date_range("2024-07-01", periods=30, freq="h", tz="Asia/Tokyo")
    frame = pd.DataFrame({"load": np.arange(30.0)}, index=index)
    ax = plot_forecast(frame.tail(6), frame.head(24))
    assert lines(ax)["forecast"][0][0] == np.datetime64("2024-06-30T15:00") + np.timedelta64(24, "h")  # UTC
    assert str(ax.xaxis.get_major_formatter()._tz) == "Asia/Tokyo"
    assert ax.get_title("left") == "load: 6 hours ahead"


def test_forecast_of_months_and_of_one_step():
    frame = pd.DataFrame({"load": range(12)}, index=pd.period_range("2023-01", periods=12, freq="M"))
    table = pd.DataFrame({"load": [1.0], "load-lo-80": 0.0, "load-hi-80": 2.0}, index=[pd.Timestamp("2024-01-01")])
    ax = plot_forecast(table, frame, baseline=12)
    ax.figure.canvas.draw()
    assert ax.get_title("left") == "load: 1 month ahead"
    assert {line.get_marker() for line in ax.lines if line.get_label() in ("forecast", "seasonal naive")} == {"o"}


@pytest.mark.parametrize("column", ["load [MW]", "load (MW)"])
def test_unit_in_the_name_of_the_target_labels_the_axis(column):
    ax = plot_forecast(ahead().rename(columns={"load": column}), PAST.rename(columns={"load": column}))
    assert (ax.get_title("left"), ax.get_ylabel()) == ("load: 2 days ahead", "MW")


def test_forecast_leaves_its_tables_as_they_were():
    table, frame = many({"north": 1.0}, "2024-01-05", 2), many({"north": 3.0}, "2024", 4)
    before = table.copy(), frame.copy()
    plot_forecast(table, frame, baseline=2)
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(frame, before[1])


def test_forecast_that_is_no_table_is_refused():
    with pytest.raises(TypeError, match=r"`forecast` must be a pandas DataFrame\. Received: ndarray"):
        plot_forecast(np.zeros(3), PAST)


def test_forecast_without_columns_is_refused():
    with pytest.raises(ValueError, match=r"`forecast` holds nothing to draw: 2 rows, 0 columns"):
        plot_forecast(ahead()[[]], PAST)


def test_frame_that_is_no_table_is_refused():
    with pytest.raises(TypeError, match=r"`frame` must be a pandas DataFrame\. Received: Series"):
        plot_forecast(ahead(), PAST["load"])


def test_unknown_target_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"`target` must be one of 'load'\. Received: 'laod'\. Did you mean 'load'"):
        plot_forecast(ahead(), PAST, target="laod")


def test_unknown_series_is_refused_with_the_nearest():
    table = many({"north": 1.0, "south": 2.0, "a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}, "2024", 2)
    with pytest.raises(ValueError, match=r"no series 'soth'; it has: 'north', .* and 1 more\. Did you mean 'south'"):
        plot_forecast(table, series="soth")


def test_series_of_a_forecast_without_series_is_refused():
    with pytest.raises(ValueError, match=r"`series` is 'north', but `forecast` has no column that names series"):
        plot_forecast(ahead(), series="north")


def test_frame_without_the_target_is_refused():
    with pytest.raises(ValueError, match=r"`frame` has no column 'load'; it has: Load\. Did you mean 'Load'"):
        plot_forecast(ahead(), PAST.rename(columns={"load": "Load"}))


def test_frame_without_the_series_column_is_refused():
    frame = many({"north": 1.0}, "2024", 4).drop(columns="shop")
    with pytest.raises(ValueError, match=r"`frame` has no column 'shop'"):
        plot_forecast(many({"north": 1.0}, "2024-01-05", 2), frame)


def test_frame_behind_the_forecast_is_refused():
    with pytest.raises(ValueError, match=r"`frame` has no row before 2023-01-01"):
        plot_forecast(ahead(start="2023-01-01"), PAST)


def test_frame_without_rows_of_the_series_is_refused():
    with pytest.raises(ValueError, match=r"`frame` has no row of series 'north' before 2024-01-05"):
        plot_forecast(many({"north": 1.0}, "2024-01-05", 2), many({"south": 1.0}, "2024", 4))


@pytest.mark.parametrize("change", [lambda frame: frame.reset_index(drop=True), lambda frame: frame.tz_localize("UTC")])
def test_times_that_do_not_compare_are_refused(change):
    with pytest.raises(TypeError, match=r"Times of `forecast` and `frame` do not compare: 2024-01-05"):
        plot_forecast(ahead(), change(PAST))


def test_times_that_repeat_are_refused():
    with pytest.raises(ValueError, match=r"`frame` has more than one row for 2024-01-04 00:00:00"):
        plot_forecast(ahead(), pd.concat([PAST, PAST.tail(1)]))


def test_time_of_text_is_refused():
    with pytest.raises(TypeError, match=r"must hold timestamps or whole numbers"):
        plot_forecast(ahead().set_axis(["friday", "saturday"]), PAST)


def test_interval_with_one_bound_is_refused():
    with pytest.raises(ValueError, match=r"`forecast` has no column 'load-hi-80'"):
        plot_forecast(ahead().assign(**{"load-lo-80": 1.0}), PAST)


def test_season_longer_than_the_history_is_refused():
    with pytest.raises(ValueError, match=r"`baseline` is a season of 5 rows, but 4 rows lead to the forecast"):
        plot_forecast(ahead(), PAST, baseline=5)


def test_season_without_a_history_is_refused():
    with pytest.raises(ValueError, match=r"but 0 rows lead to the forecast\. Pass a longer `frame`"):
        plot_forecast(ahead(), baseline=5)


def test_baseline_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"`baseline` has shape \(3,\), but needs one value for each of the 2 rows"):
        plot_forecast(ahead(), PAST, baseline=pd.Series([1.0, 2.0, 3.0]))


def test_baseline_by_name_is_refused():
    with pytest.raises(TypeError, match=r"`baseline` must be a whole number\. Received: 'naive'"):
        plot_forecast(ahead(), PAST, baseline="naive")


def test_last_that_is_no_count_is_refused():
    with pytest.raises(ValueError, match=r"`last` must be at least 1\. Received: 0"):
        plot_forecast(ahead(), PAST, last=0)


# plot_errors

ERRORS = pd.DataFrame(
    {
        "series": "a",
        "step": [1, 2, 1, 2],
        "target": "load",
        "actual": [1.0, 2.0, 3.0, 4.0],
        "predicted": [1.0, 1.0, 2.0, 4.0],
        "q0.1": 0.0,
        "q0.9": 9.0,
        "seasonal_naive": [3.0, 2.0, 3.0, 7.0],
        "scale": 1.0,
    }
)


def test_errors_are_means_by_step_of_the_model_and_its_baselines():
    ax = plot_errors(ERRORS)
    assert lines(ax) == {"model": ([1, 2], [0.5, 0.5]), "seasonal naive": ([1, 2], [1.0, 1.5])}
    assert ax.get_title("left") == "load: mean absolute error by steps ahead"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_ylim()[0]) == ("steps ahead", "load", 0)


def test_errors_of_several_targets_are_not_pooled():
    both = pd.concat([ERRORS, ERRORS.assign(target="heat", predicted=0.0)])
    assert lines(plot_errors(both))["model"][1] == [0.5, 0.5]
    assert lines(plot_errors(both, target="heat"))["model"][1] == [2.0, 3.0]


def test_errors_of_an_unknown_target_are_refused():
    with pytest.raises(ValueError, match=r"`target` must be one of 'load'\. Received: 'laod'"):
        plot_errors(ERRORS, target="laod")


def test_errors_without_a_needed_column_are_refused():
    with pytest.raises(ValueError, match=r"`backtest` has no column 'target'"):
        plot_errors(ERRORS.drop(columns="target"))
    with pytest.raises(ValueError, match=r"`backtest` has no column 'step'"):
        plot_errors(ERRORS.drop(columns="step"))


# plot_explanation


def explanation(*rows, **attrs):
    table = pd.DataFrame(rows, columns=["token", "score"])
    table.attrs = attrs
    return table


def test_explanation_shades_tokens_by_sign_and_size():
    ax = plot_explanation(explanation(("so", 0.0), ("good", 2.0), ("but", -1.0)))
    boxes = [text.get_bbox_patch() for text in ax.texts]
    assert texts(ax) == ["so", "good", "but"]
    assert [box.get_alpha() for box in boxes] == [0.0, 0.7, 0.35]
    assert [mpl.colors.to_hex(box.get_facecolor()) for box in boxes[1:]] == [BLUE, ORANGE]


def test_explanation_breaks_lines_between_tokens():
    ax = plot_explanation(explanation(("a" * 6, 1.0), ("b" * 6, 1.0), ("c" * 3, 1.0)), width=10)
    assert [text.get_position() for text in ax.texts] == [(0.0, 0), (0.0, -1), (0.7, -1)]


def test_explanation_names_its_label_and_probability():
    ax = plot_explanation(explanation(("good", 1.0), label="positive", probability=0.987))
    assert ax.get_title("left") == "positive (99%): blue speaks for it, orange against it"


def test_explanation_shows_new_lines():
    assert texts(plot_explanation(explanation(("\n", 1.0)))) == ["↵"]


def test_explanation_without_scores_is_refused():
    with pytest.raises(ValueError, match=r"`explanation` has no column 'score'"):
        plot_explanation(pd.DataFrame({"token": ["a"]}))


def test_explanation_without_rows_is_refused():
    with pytest.raises(ValueError, match=r"`explanation` holds nothing to draw"):
        plot_explanation(explanation())


def test_explanation_with_a_width_too_small_is_refused():
    with pytest.raises(ValueError, match=r"`width` must be at least 10. Received: 5"):
        plot_explanation(explanation(("good", 1.0)), width=5)


# all of them

PICTURES = {
    "history": lambda ax=None: plot_history(epochs(loss=[9.0, 0.5], learning_rate=[1.0, 0.5]), ax=ax),
    "forecast": lambda ax=None: plot_forecast(ahead(), PAST, baseline=2, ax=ax),
    "errors": lambda ax=None: plot_errors(ERRORS, ax=ax),
    "schedule": lambda ax=None: plot_schedule("one_cycle", ax=ax),
    "schedules": lambda ax=None: plot_schedule(["cosine", "one_cycle"], ax=ax),
}


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_picture_goes_on_the_axes_that_are_given(picture):
    figure, (left, right) = plt.subplots(1, 2)
    assert picture(right) is right
    assert right.lines and not left.lines
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_picture_is_returned_unshown_and_changes_no_setting(picture, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *args, **options: pytest.fail("plt.show was called"))
    before = mpl.rcParams.copy()
    ax = picture()
    ax.figure.canvas.draw()
    assert mpl.rcParams == before
    assert len(plt.get_fignums()) == 1
    assert ax.figure.get_size_inches().tolist() == [9, 4]
    assert [name for name, spine in ax.spines.items() if spine.get_visible()] == ["bottom"]


def test_importing_the_module_does_not_import_matplotlib():
    code = """if True:
        import sys
        import keras  # imports Matplotlib by itself where it is installed
        before = set(sys.modules)
        import rnn_toolkit.training.plots
        sys.exit(any(name.startswith("matplotlib") for name in set(sys.modules) - before))
    """
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, capture_output=True, timeout=300)
    assert result.returncode == 0, result.stderr


def test_picture_without_matplotlib_names_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'A picture needs .* pip install "rnn_toolkit\[plot\]"'):
        plot_errors(ERRORS)


# plot_gradient_flow


def flow_of(backwards=(), **columns):
    table = pd.DataFrame(columns, index=pd.RangeIndex(len(next(iter(columns.values()))), name="step"))
    table.attrs["backwards"] = list(backwards)
    return table


def test_a_flow_of_one_layer_compares_its_ends_on_a_logarithmic_axis():
    ax = plot_gradient_flow(flow_of(lstm=[1e-6, 1e-3, 1.0]))
    assert ax.get_title("left") == "Gradients: step 0 gets 1e-06 times what step 2 gets"
    assert (ax.get_yscale(), ax.get_xlabel(), ax.get_legend()) == ("log", "time step", None)
    assert list(ax.lines[0].get_ydata()) == [1e-6, 1e-3, 1.0]
    assert 2 <= len(ax.get_yticks()) <= 5


def test_a_flow_of_many_layers_names_the_one_whose_ends_differ_most():
    ax = plot_gradient_flow(flow_of(["back"], there=[1.0, 2.0, 4.0], back=[1.0, 10.0, 100.0]))
    assert ax.get_title("left") == "Gradients: step 2 gets 1e+02 times what step 0 gets in back"
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]
    assert list(lines(ax)) == ["there", "back"]


def test_a_flow_that_ends_before_the_first_step_says_where():
    ax = plot_gradient_flow(flow_of(rnn=[0.0, 0.0, 1e-30, 1.0]))
    assert ax.get_title("left") == "Gradients: nothing reaches beyond step 2"


def test_a_flow_that_is_not_finite_says_where_it_begins():
    ax = plot_gradient_flow(flow_of(rnn=[np.inf, np.inf, 1e30, 1.0]))
    assert ax.get_title("left") == "Gradients: not finite at step 1"
    ax = plot_gradient_flow(flow_of(["rnn"], rnn=[1.0, 1e30, np.inf, np.inf]))
    assert ax.get_title("left") == "Gradients: not finite at step 2"


def test_steps_that_a_layer_does_not_have_are_no_ends():
    ax = plot_gradient_flow(flow_of(long=[1.0, 1.0, 1.0], short=[1.0, 2.0, np.nan]))
    assert ax.get_title("left") == "Gradients: step 0 gets 0.5 times what step 1 gets in short"


def test_a_flow_of_one_step_is_a_point():
    ax = plot_gradient_flow(flow_of(rnn=[1.0]))
    assert ax.get_title("left") == "Gradients: too few steps to compare"
    assert ax.lines[0].get_marker() == "o"


def test_a_flow_of_nothing_is_not_drawn():
    with pytest.raises(ValueError, match=r"holds no value above zero.*Train a few steps first"):
        plot_gradient_flow(flow_of(rnn=[0.0, np.nan, np.inf]))
    with pytest.raises(TypeError, match="`flow` must be a pandas DataFrame"):
        plot_gradient_flow([1.0, 2.0])


def range_test(smoothed, *, suggestion=float("nan")):
    rates = [10.0**power for power in range(-5, -5 + len(smoothed))]
    table = pd.DataFrame({"learning_rate": rates, "loss": smoothed, "smoothed_loss": smoothed})
    table.attrs["suggestion"] = suggestion
    return table


def test_learning_rates_are_drawn_over_a_logarithmic_axis_with_the_suggestion_marked():
    ax = plot_learning_rates(range_test([3.0, 3.0, 2.0, 1.0, 9.0], suggestion=1e-3))
    assert ax.get_xscale() == "log" and ax.get_xlim() == pytest.approx((1e-5, 1e-1))
    assert ax.get_title("left") == "Learning rate to train at: 0.001"
    assert [text.get_text() for text in ax.texts] == ["0.001"]
    assert ax.get_ylim()[1] < 5  # where it diverged is beyond the edge


def test_learning_rates_of_which_none_stands_out_are_not_marked():
    ax = plot_learning_rates(range_test([3.0, 3.0, float("inf")]))
    assert ax.get_title("left") == "No learning rate stands out" and not ax.texts


def test_learning_rates_without_a_finite_loss_are_refused():
    with pytest.raises(ValueError, match=r"`table` has no finite loss in 1 steps\. Look for values"):
        plot_learning_rates(range_test([float("nan")]))


def test_learning_rates_of_another_table_are_refused():
    with pytest.raises(ValueError, match="`table` has no column 'learning_rate'"):
        plot_learning_rates(pd.DataFrame({"loss": [1.0]}))
