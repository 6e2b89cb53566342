"""Pictures of forecasts, drawn from tables that one can do in the head."""

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import dates
from matplotlib import pyplot as plt
from pictures import bands, lines, words

from rnn_toolkit.drawing import TINTS
from rnn_toolkit.tables.plots import plot_errors, plot_forecast


def days(start, count):
    return pd.date_range(start, periods=count, freq="D", name="day")


def load(values, start="2024-01-01"):
    return pd.DataFrame({"load": np.array(values, dtype="float64")}, index=days(start, len(values)))


def said(table, *, target="load", time=None, series=None, frequency="D"):
    """Return a table as `forecast` returns it: one that says which column is what."""
    table = table.copy()
    table.attrs["roles"] = {"time": time, "series": series, "target": [target], "frequency": frequency}
    return table


def ahead(values=(5.0, 6.0), start="2024-01-05"):
    return said(load(values, start))


PAST = load([1.0, 2.0, 3.0, 4.0])


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
    assert words(ax) == ["cutoff"]
    assert ax.lines[-1].get_xdata() == [dates.date2num(pd.Timestamp("2024-01-04"))] * 2


def test_forecast_alone_has_neither_history_nor_cutoff():
    ax = plot_forecast(ahead())
    assert (list(lines(ax)), words(ax)) == (["forecast"], [])


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


def test_forecast_keeps_gaps_of_missing_values_and_of_missing_rows():
    frame = load([1.0, np.nan, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).drop(pd.Timestamp("2024-01-05"))
    x, y = lines(plot_forecast(ahead(start="2024-01-09"), frame))["history"]
    assert x == list(days("2024-01-01", 8).to_numpy())
    assert np.isnan(y).tolist() == [False, True, False, False, True, False, False, False]


def test_forecast_of_business_days_has_no_gaps_at_weekends():
    index = pd.bdate_range("2024-01-01", periods=22)
    frame = pd.DataFrame({"load": np.arange(22.0)}, index=index)
    ax = plot_forecast(said(frame.tail(2), frequency="B"), frame.head(20))
    assert lines(ax)["history"][1] == list(range(20))
    assert ax.get_title("left") == "load: 2 business days ahead"


def test_baseline_as_season_length_repeats_the_last_season():
    drawn = lines(plot_forecast(ahead([5.0, 6.0, 7.0]), PAST, baseline=2))
    assert drawn["seasonal naive"] == (list(days("2024-01-05", 3).to_numpy()), [3, 4, 3])


def test_baseline_as_season_length_fills_gaps_with_the_value_before():
    assert lines(plot_forecast(ahead(), load([1.0, 2.0, 3.0, np.nan]), baseline=2))["seasonal naive"][1] == [3, 3]


SIX = {"north": 1.0, "south": 2.0, "a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}


def many(values, start, count):
    """Return a long table: each series has `count` days of its value."""
    parts = [
        pd.DataFrame({"day": days(start, count), "shop": name, "sales": value, "stock": -value})
        for name, value in values.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    table.attrs["roles"] = {"time": "day", "series": "shop", "target": ["sales", "stock"], "frequency": "D"}
    return table


def test_forecast_of_many_series_draws_the_first_or_the_one_named():
    table, frame = many({"north": 1.0, "south": 2.0}, "2024-01-05", 2), many({"south": 4.0, "north": 3.0}, "2024", 4)
    ax = plot_forecast(table, frame)
    assert ax.get_title("left") == "north, sales: 2 days ahead"
    assert (lines(ax)["history"][1], lines(ax)["forecast"][1]) == ([3] * 4, [1, 1])
    ax = plot_forecast(table, frame, series="south", baseline=2)
    assert ax.get_title("left") == "south, sales: 2 days ahead"
    assert (lines(ax)["history"][1], lines(ax)["forecast"][1]) == ([4] * 4, [2, 2])
    assert lines(ax)["seasonal naive"][1] == [4, 4]


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
    roles = {"time": "step" if "column" in where else None, "series": "id" if "series" in where else None}
    ax = plot_forecast(said(table, frequency=1, **roles), frame)
    assert (lines(ax)["history"], lines(ax)["forecast"]) == (([0, 1, 2, 3], [1, 2, 3, 4]), ([4, 5], [5, 6]))
    assert ax.get_title("left").endswith("load: 2 steps ahead")


def test_series_of_whole_numbers_are_found_by_their_number():
    table = pd.DataFrame({"id": [7, 7, 8, 8], "load": [1.0, 2.0, 3.0, 4.0]}, index=[4, 5, 4, 5])
    frame = pd.DataFrame({"id": [7, 7, 8, 8], "load": [5.0, 6.0, 7.0, 8.0]}, index=[2, 3, 2, 3])
    ax = plot_forecast(said(table, series="id", frequency=1), frame, series=8)
    assert lines(ax)["history"] == ([2, 3], [7, 8])


def test_forecast_in_a_time_zone_is_labelled_in_it():
    index = pd.date_range("2024-07-01", periods=30, freq="h", tz="Asia/Tokyo")
    frame = pd.DataFrame({"load": np.arange(30.0)}, index=index)
    ax = plot_forecast(said(frame.tail(6), frequency="h"), frame.head(24))
    assert lines(ax)["forecast"][0][0] == np.datetime64("2024-06-30T15:00") + np.timedelta64(24, "h")  # UTC
    assert str(ax.xaxis.get_major_formatter()._tz) == "Asia/Tokyo"
    assert ax.get_title("left") == "load: 6 hours ahead"


def test_forecast_of_months_and_of_one_step():
    frame = pd.DataFrame({"load": range(12)}, index=pd.period_range("2023-01", periods=12, freq="M"))
    table = pd.DataFrame({"load": [1.0], "load-lo-80": 0.0, "load-hi-80": 2.0}, index=[pd.Timestamp("2024-01-01")])
    ax = plot_forecast(said(table, frequency="MS"), frame, baseline=12)
    ax.figure.canvas.draw()
    assert ax.get_title("left") == "load: 1 month ahead"
    assert {line.get_marker() for line in ax.lines if line.get_label() in ("forecast", "seasonal naive")} == {"o"}


def test_forecast_leaves_its_tables_as_they_were():
    table, frame = many({"north": 1.0}, "2024-01-05", 2), many({"north": 3.0}, "2024", 4)
    before = table.copy(), frame.copy()
    plot_forecast(table, frame, baseline=2)
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(frame, before[1])


def test_forecast_that_has_lost_its_roles_is_refused():
    table = load([5.0], "2024-01-05")
    with pytest.raises(ValueError, match=r"`forecast` does not say which columns.*attrs\['roles'\] = \{'target'"):
        plot_forecast(table, PAST)
    table.attrs["roles"] = {"target": ["load"], "time": None, "series": None}
    assert lines(plot_forecast(table, PAST))["forecast"][1] == [5]


@pytest.mark.parametrize(
    ("forecast", "frame", "options", "error", "message"),
    [
        (np.zeros(3), PAST, {}, TypeError, r"`forecast` must be a pandas DataFrame\. Received: ndarray"),
        (ahead()[[]], PAST, {}, ValueError, r"`forecast` holds nothing to draw: 2 rows, 0 columns"),
        (ahead(), PAST["load"], {}, TypeError, r"`frame` must be a pandas DataFrame\. Received: Series"),
        (ahead(), PAST, {"target": "laod"}, ValueError, r"`target` must be one of 'load'.* Did you mean 'load'"),
        (many(SIX, "2024", 2), None, {"series": "soth"}, ValueError, "'soth'; it has: 'north', .* and 1 more.*'south'"),
        (ahead(), None, {"series": "north"}, ValueError, "`forecast` has no series 'north'"),
        (ahead(), PAST.rename(columns={"load": "Load"}), {}, ValueError, r"`frame` has no column 'load'; it has: Load"),
        (many(SIX, "2024-01-05", 2), PAST.assign(sales=1), {}, ValueError, "`frame` has no column 'shop'"),
        (ahead(start="2023-01-01"), PAST, {}, ValueError, r"`frame` has no row before 2023-01-01"),
        (
            many(SIX, "2024-01-05", 2),
            many({"x": 1.0}, "2024", 4),
            {},
            ValueError,
            "no row of series 'north' before 2024",
        ),
        (ahead(), PAST.reset_index(drop=True), {}, TypeError, "not supported between|Invalid comparison"),
        (ahead(), PAST.tz_localize("UTC"), {}, TypeError, "Cannot compare tz-naive and tz-aware|Invalid comparison"),
        (ahead(), pd.concat([PAST, PAST.tail(1)]), {}, ValueError, "`frame` has more than one row for 2024-01-04"),
        (ahead().set_axis(["fri", "sat"]), PAST, {}, TypeError, "must hold timestamps or whole numbers"),
        (ahead().assign(**{"load-lo-80": 1.0}), PAST, {}, ValueError, "`forecast` has no column 'load-hi-80'"),
        (ahead(), PAST, {"baseline": 5}, ValueError, "season of 5 rows, but 4 lead to the forecast"),
        (ahead(), None, {"baseline": 5}, ValueError, r"but 0 lead to the forecast\. Pass more rows"),
        (ahead(), PAST, {"baseline": "naive"}, TypeError, r"`baseline` must be a whole number\. Received: 'naive'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(forecast, frame, options, error, message):
    with pytest.raises(error, match=message):
        plot_forecast(forecast, frame, **options)


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


PICTURES = {
    "forecast": lambda ax=None: plot_forecast(ahead(), PAST, baseline=2, ax=ax),
    "errors": lambda ax=None: plot_errors(ERRORS, ax=ax),
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


def test_picture_without_matplotlib_names_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'A picture needs .* pip install "rnn_toolkit\[plot\]"'):
        plot_errors(ERRORS)
