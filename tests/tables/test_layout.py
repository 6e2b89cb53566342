"""Which row of the matrix each row of a frame goes to."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.tables.layout import Layout
from rnn_toolkit.tables.task import ForecastTask

SHOPS = ForecastTask("load", 1, 1, time="day", series="shop")


def two_shops() -> pd.DataFrame:
    """Return a long table: shop b on days 0 to 3, shop a on days 2 to 5, where day 4 is missing."""
    return pd.DataFrame(
        {
            "day": [0, 1, 2, 3, 2, 3, 5],
            "shop": ["b", "b", "b", "b", "a", "a", "a"],
            "load": [10.0, 11, 12, 13, 1, 2, 4],
        }
    )


def frame_at(times, **columns) -> pd.DataFrame:
    """Return a frame of one column, 0, 1, 2 ..., whose rows stand at these times."""
    return pd.DataFrame({"load": np.arange(len(times), dtype=float), **columns}, index=times)


def test_each_series_has_a_block_of_rows_and_each_missing_step_a_row():
    layout = Layout.of(two_shops(), SHOPS)
    assert (layout.names, layout.frequency, len(layout)) == (["b", "a"], 1, 8)
    assert layout.offsets.tolist() == [0, 4, 8]
    assert layout.rows.tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert layout.times(np.arange(8)).tolist() == [0, 1, 2, 3, 2, 3, 4, 5]
    assert layout.series_of(np.array([3, 4])).tolist() == [0, 1]


def test_rows_of_the_frame_move_with_the_padding_before_them():
    layout = Layout.of(two_shops(), SHOPS).with_room(at_least=np.array([4, 6]), ahead=1)
    assert layout.offsets.tolist() == [0, 5, 12]
    assert layout.begins.tolist() == [0, 7]
    assert layout.rows.tolist() == [0, 1, 2, 3, 7, 8, 10]
    assert layout.times(np.array([0, 5, 11])).tolist() == [0, 0, 6]


def test_rows_ahead_stand_behind_each_series():
    layout = Layout.of(two_shops(), SHOPS).with_room(ahead=2)
    assert layout.offsets.tolist() == [0, 6, 12]
    assert layout.times(np.array([4, 5, 10, 11])).tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_hours_are_evenly_spaced_where_summer_time_begins_and_ends(zone):
    for night in ("2024-03-31", "2024-10-27"):
        times = pd.date_range(night, periods=8, freq="h", tz=zone)
        layout = Layout.of(pd.DataFrame({"load": range(8)}, index=times), ForecastTask("load", 1, 1))
        assert layout.times(np.arange(8)).tolist() == times.tolist()
        assert layout.time_zone == zone


@pytest.mark.parametrize("frame", [np.ones((5, 1)), {"load": [1, 2]}, pd.Series([1.0, 2.0], name="load")])
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(TypeError, match=f"`frame` must be a pandas DataFrame. Received: {type(frame).__name__}"):
        Layout.of(frame, ForecastTask("load", 1, 1))


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"load": []}), pd.DataFrame(index=range(3))])
def test_an_empty_table_is_refused(frame):
    with pytest.raises(ValueError, match=rf"`frame` is empty: its shape is \({len(frame)}, {frame.shape[1]}\)"):
        Layout.of(frame, ForecastTask("load", 1, 1))


@pytest.mark.parametrize("role", ["known", "observed", "static", "time", "series"])
def test_a_misspelt_column_of_any_role_offers_the_nearest(role):
    with pytest.raises(ValueError, match=r"`frame` has no column 'wnd'; it has: load, wind. Did you mean 'wind'"):
        Layout.of(pd.DataFrame({"load": range(3), "wind": range(3)}), ForecastTask("load", 1, 1, **{role: "wnd"}))


def test_a_name_in_another_case_is_offered():
    with pytest.raises(ValueError, match=r"no column 'LOAD'.*Did you mean 'load'"):
        Layout.of(pd.DataFrame({"load": range(3)}), ForecastTask("LOAD", 1, 1))


def test_a_column_that_is_the_index_is_told_apart_from_a_missing_one():
    frame = two_shops().set_index(["shop", "day"])
    with pytest.raises(ValueError, match=r"'day' is the index of the table, or a level of it.*frame\.reset_index\(\)"):
        Layout.of(frame, ForecastTask("load", 1, 1, time="day", series="shop"))


def test_two_columns_of_one_name_are_refused():
    frame = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["load", "load"])
    with pytest.raises(ValueError, match=r"`frame` has more than one column 'load'. Rename or drop"):
        Layout.of(frame, ForecastTask("load", 1, 1))


def test_a_row_without_a_series_is_refused():
    frame = two_shops().assign(shop=["b", "b", None, "b", "a", "a", "a"])
    with pytest.raises(ValueError, match="Column 'shop' names no series in row 2"):
        Layout.of(frame, ForecastTask("load", 1, 1, time="day", series="shop"))


def test_series_that_are_written_alike_are_refused():
    frame = two_shops().assign(shop=[1, 1, 1, 1, "1", "1", "1"])
    with pytest.raises(ValueError, match="Column 'shop' mixes types: two of its series are written alike"):
        Layout.of(frame, ForecastTask("load", 1, 1, time="day", series="shop"))


def test_rows_off_the_axis_of_training_are_refused():
    hours = pd.DataFrame({"load": range(5)}, index=pd.date_range("2024", periods=5, freq="h"))
    with pytest.raises(ValueError, match="irregular: 2024-01-01 00:30:00 is not a step of frequency 'h'"):
        Layout.of(hours.resample("30min").ffill(), ForecastTask("load", 1, 1), "h")


def test_the_order_of_timestamps_is_checked_by_row():
    times = pd.DatetimeIndex(["2024-01-01", "2024-01-03", "2024-01-02"])
    with pytest.raises(
        ValueError, match=r"Time goes back at 2024-01-02 00:00:00 \(row 2 of the table\). Sort the table"
    ):
        Layout.of(frame_at(times), ForecastTask("load", 1, 1))


def test_a_timestamp_that_repeats_is_found_by_row_and_series():
    frame = frame_at(range(5), shop=["a", "b", "a", "b", "b"], day=[1, 1, 2, 2, 2])
    with pytest.raises(ValueError, match=r"Time repeats at 2 \(row 4 of series 'b'\). Drop the duplicates"):
        Layout.of(frame, ForecastTask("load", 1, 1, time="day", series="shop"))


def test_days_in_descending_order_are_told_to_be_sorted_and_nothing_of_summer_time():
    with pytest.raises(
        ValueError, match=r"Time goes back at 2024-01-02 00:00:00 \(row 1 of the table\).*with `series=`\.$"
    ):
        Layout.of(frame_at(pd.date_range("2024", periods=3)[::-1]), ForecastTask("load", 1, 1))


def test_the_hour_that_repeats_in_autumn_is_told_as_a_time_zone_change():
    local = pd.date_range("2024-10-26 12:00", periods=24, freq="h", tz="Europe/Berlin").tz_localize(None)
    with pytest.raises(ValueError, match=r"Time repeats at 2024-10-27 02:00:00.*a time-zone change: see `ambiguous=`"):
        Layout.of(frame_at(local), ForecastTask("load", 1, 1))


def test_quarters_of_an_hour_that_repeat_in_autumn_are_told_as_a_time_zone_change():
    local = pd.date_range("2024-10-27 00:00", periods=24, freq="15min", tz="Europe/Berlin").tz_localize(None)
    with pytest.raises(
        ValueError, match=r"Time goes back at 2024-10-27 02:00:00.*a time-zone change: see `ambiguous=`"
    ):
        Layout.of(frame_at(local), ForecastTask("load", 1, 1))


def test_an_irregular_axis_is_shown_by_its_timestamp():
    times = pd.DatetimeIndex(["2024-01-01 00:00", "2024-01-01 02:00", "2024-01-01 05:00", "2024-01-01 07:00"])
    with pytest.raises(ValueError, match="irregular: 2024-01-01 05:00:00 is not a step of frequency '2h' counted from"):
        Layout.of(frame_at(times), ForecastTask("load", 1, 1))


def test_noon_and_midnight_by_the_local_clock_are_refused_with_what_to_do():
    times = pd.date_range("2024-03-01", periods=90, freq="12h").tz_localize("Europe/Berlin")
    with pytest.raises(ValueError, match=r"irregular.*If the steps go by the local clock.*`\.tz_localize\(None\)`"):
        Layout.of(frame_at(times), ForecastTask("load", 1, 1))
    assert Layout.of(frame_at(times.tz_localize(None)), ForecastTask("load", 1, 1)).frequency == "12h"


def test_an_axis_that_is_mostly_gaps_is_refused():
    with pytest.raises(ValueError, match="full of gaps: the table has 4 rows where the axis has 101 steps"):
        Layout.of(frame_at([0, 1, 2, 100]), ForecastTask("load", 1, 1))


def test_series_of_mixed_frequencies_are_refused():
    hours, days = pd.date_range("2024", periods=48, freq="h"), pd.date_range("2024", periods=3, freq="D")
    frame = frame_at(range(51), shop=["hourly"] * 48 + ["daily"] * 3, time=hours.append(days))
    with pytest.raises(
        ValueError, match=r"full of gaps: series 'daily' has 3 rows where the axis has 49 steps.*to one frequency"
    ):
        Layout.of(frame, ForecastTask("load", 1, 1, time="time", series="shop"))


def test_a_series_with_a_row_at_every_other_step_of_the_others_is_refused():
    frame = frame_at(range(9), shop=["a"] * 6 + ["b"] * 3, step=[*range(6), 0, 2, 4])
    with pytest.raises(ValueError, match="series 'b' has 3 rows where the axis has 5 steps"):
        Layout.of(frame, ForecastTask("load", 1, 1, time="step", series="shop"))
