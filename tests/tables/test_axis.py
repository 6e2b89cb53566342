import datetime

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.tables import axis
from rnn_toolkit.tables.axis import infer_frequency, regular_axis, time_index
from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows

FREQUENCIES = [
    *(("h", None), ("15min", None), ("2h", None), ("D", None), ("2D", None), ("B", None), ("W-SAT", None)),
    *(("W-MON", None), ("MS", None), ("ME", None), ("QE-DEC", None), ("YE-DEC", None)),
    *(("h", "UTC"), ("h", "Europe/Berlin"), ("D", "Europe/Berlin")),
]


def frame_at(times, **columns) -> pd.DataFrame:
    """Return a frame of one column, 0, 1, 2 ..., whose rows stand at these times."""
    return pd.DataFrame({"load": np.arange(len(times), dtype=float), **columns}, index=times)


# ---------------------------------------------------------------------------------------------------------------------
# the frequency, with and without gaps
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frequency", "zone"), FREQUENCIES)
def test_the_frequency_is_read_off_a_whole_axis(frequency, zone):
    assert infer_frequency(pd.date_range("2024-03-28", periods=30, freq=frequency, tz=zone)) == frequency


@pytest.mark.parametrize(("frequency", "zone"), FREQUENCIES)
def test_the_frequency_is_read_off_an_axis_with_gaps(frequency, zone):
    times = pd.date_range("2024-03-28", periods=60, freq=frequency, tz=zone)
    assert infer_frequency(times.delete([3, 4, 11, 25, 40, 41, 57])) == frequency


def test_business_days_with_a_holiday_each_week_are_no_calendar_days():
    times = pd.date_range("2024-01-01", periods=20, freq="B")  # four weeks from a Monday
    assert infer_frequency(times.delete([3, 7, 11, 18])) == "B"


@pytest.mark.parametrize("drop", [[], [3, 4, 11, 25, 40, 41, 57]])
@pytest.mark.parametrize(
    ("times", "frequency"),
    [
        (pd.date_range("2024", periods=60, freq="2B"), "2B"),
        (pd.date_range("2024", periods=60, freq="3W-SAT"), "3W-SAT"),
        (pd.date_range("2024", periods=60, freq="MS") + pd.Timedelta(days=14), "MS"),
        (pd.date_range("2024", periods=60, freq="2MS", tz="Europe/Berlin") + pd.Timedelta(days=9), "2MS"),
        (pd.date_range("2024-01-15", periods=60, freq="SMS"), "SMS-15"),
        (pd.date_range("2024-01-31", periods=60, freq="SME", tz="Africa/Cairo"), "SME-15"),
        (pd.date_range("2024", periods=60, freq="D", tz="UTC").tz_convert("Asia/Tokyo"), "D"),
        (pd.date_range("2024-03", periods=60, freq="D", tz="UTC").tz_convert("Europe/Berlin"), "24h"),
    ],
)
def test_a_frequency_that_pandas_does_not_guess_is_read_off(times, frequency, drop):
    assert infer_frequency(times.delete(drop)) == frequency


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    ("first", "zone", "second"),
    [
        ("2018-11-04 01:00", "America/Sao_Paulo", "2018-11-05 00:00"),  # midnight was skipped
        ("2024-03-31 03:00", "Europe/Berlin", "2024-04-01 03:00"),  # two o'clock was, which is not theirs
        ("2024-03-31 03:00", "Europe/Berlin", "2024-04-01 02:30"),
    ],
)
def test_days_that_begin_behind_a_skipped_hour_go_on_at_their_own_time(rows, first, zone, second):
    if rows == 1 and second.endswith("02:30"):
        pytest.skip("one row does not tell")
    first, second = pd.Timestamp(first, tz=zone), pd.Timestamp(second, tz=zone)
    assert regular_axis(first, [first, second][rows - 1], "D", after=2 - rows)[[0, 1]].tolist() == [first, second]


def test_months_that_are_not_on_one_day_are_refused():
    times = pd.DatetimeIndex(["2024-01-15", "2024-02-14", "2024-03-15", "2024-04-15", "2024-05-15"])
    with pytest.raises(ValueError, match="full of gaps: the table has 5 rows where the axis has 88"):
        Windows(frame_at(times), ForecastTask("load", 1, 1))


def test_two_rows_are_as_far_apart_as_they_are():
    assert infer_frequency(pd.DatetimeIndex(["2024-01-01 00:00", "2024-01-01 06:00"])) == "6h"
    assert infer_frequency(pd.DatetimeIndex(["2024-01-01", "2024-01-04"])) == "3D"


@pytest.mark.parametrize("step", [1, 5])
def test_the_step_of_whole_numbers_is_their_least_distance(step):
    assert infer_frequency(pd.Index(np.array([0, 2, 3, 7]) * step)) == step


def test_the_frequency_of_one_row_cannot_be_read():
    with pytest.raises(ValueError, match=r"frequency cannot be read off 1 time step. Pass more rows, or `frequency=`"):
        Windows(frame_at(pd.DatetimeIndex(["2024-01-01"])), ForecastTask("load", 1, 1))


# ---------------------------------------------------------------------------------------------------------------------
# the axis
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frequency", "zone"), FREQUENCIES)
def test_an_axis_reaches_before_and_after_as_pandas_would(frequency, zone):
    times = pd.date_range("2024-03-28", periods=12, freq=frequency, tz=zone)
    longer = regular_axis(times[4], times[8], frequency, before=4, after=3)
    assert longer.tolist() == times.tolist()


def test_an_axis_of_whole_numbers_reaches_before_and_after():
    assert regular_axis(10, 20, 5, before=2, after=1).tolist() == [0, 5, 10, 15, 20, 25]


def test_days_stay_at_midnight_where_summer_time_begins():
    first = pd.Timestamp("2024-04-02", tz="Europe/Berlin")
    assert regular_axis(first, first, "D", before=4)[0] == pd.Timestamp("2024-03-29", tz="Europe/Berlin")


@pytest.mark.parametrize(
    ("times", "frequency", "message"),
    [
        (
            pd.date_range("2024", periods=5, freq="h"),
            1,
            "holds timestamps, but the frequency is 1. Pass one such as 'h'",
        ),
        (pd.RangeIndex(5), "h", "holds whole numbers, but the frequency is 'h'. Pass one such as 1"),
    ],
)
def test_a_frequency_of_the_other_kind_is_refused(times, frequency, message):
    with pytest.raises(TypeError, match=message):
        Windows(frame_at(times), ForecastTask("load", 1, 1, frequency=frequency))


# ---------------------------------------------------------------------------------------------------------------------
# the time of each row
# ---------------------------------------------------------------------------------------------------------------------


def test_periods_stand_at_their_start():
    times = time_index(frame_at(pd.period_range("2024-01", periods=3, freq="M")), ForecastTask("load", 1, 1))
    assert times.tolist() == list(pd.date_range("2024-01-01", periods=3, freq="MS"))


def test_times_may_be_a_column_or_the_index():
    times = pd.date_range("2024", periods=3, freq="D")
    of_index = time_index(frame_at(times), ForecastTask("load", 1, 1))
    of_column = time_index(frame_at(range(3), day=times), ForecastTask("load", 1, 1, time="day"))
    assert of_index.equals(of_column)


@pytest.mark.parametrize("missing", [pd.NaT, None])
def test_a_missing_timestamp_is_found_by_its_row(missing):
    times = pd.DatetimeIndex(["2024-01-01", missing, "2024-01-03"])
    with pytest.raises(ValueError, match=r"The index lacks a timestamp in row 1. Drop such rows"):
        time_index(frame_at(times), ForecastTask("load", 1, 1))


def test_a_missing_whole_number_is_found_by_its_row():
    frame = frame_at(range(3), step=pd.array([1, None, 3], dtype="Int64"))
    with pytest.raises(ValueError, match="The column 'step' lacks a timestamp in row 1"):
        time_index(frame, ForecastTask("load", 1, 1, time="step"))


def test_row_numbers_beside_a_column_of_timestamps_are_refused():
    frame = frame_at(range(3), day=pd.date_range("2024", periods=3))
    with pytest.raises(ValueError, match="axis would be the row numbers, although column 'day' holds timestamps"):
        time_index(frame, ForecastTask("load", 1, 1))


@pytest.mark.parametrize(
    "dates",
    [
        ["2024-01-05", "2024-01-06", "2024-01-09"],
        ["2024-01-05 13:00", "2024-01-05T14:00:00+01:00", "2024-01-05 15:00:00.5"],
        ["1/5/2024", "1/13/2024", "12/31/2024"],
        ["05.01.2024", "13.01.2024", "31.12.2024"],
        ["5 Jan 2024", "6 Jan 2024", "9 Jan 2024"],
        ["Jan 5, 2024", "January 6, 2024", "Mar 9, 2024"],
        ["05-Jan-2024", "06-Jan-2024", None],
        ["2024-01", "2024-02", "2024-05"],
        ["2024Q1", "2024Q2", "2024-Q4"],
        ["20240105", "20240106", "20240109"],
        [20240105, 20240106, 20240109],
        [datetime.date(2024, 1, 5), datetime.date(2024, 1, 6), datetime.date(2024, 1, 9)],
        pd.Categorical(["2024-01-05", "2024-01-06", "2024-01-09"]),
        pd.period_range("2024", periods=3, freq="M"),
    ],
)
def test_row_numbers_beside_a_column_of_dates_in_any_writing_are_refused(dates):
    with pytest.raises(
        ValueError, match=r"row numbers, although column 'day' holds .*`time='day'`.*set_index\('day'\).*to_datetime"
    ):
        time_index(frame_at(range(3), day=dates), ForecastTask("load", 1, 1))


@pytest.mark.parametrize(
    "words",
    [
        *(["a", "b", "c"], ["1.2.3", "1.2.4", "2.0.0"], ["10:05", "10:10", "10:15"], ["1001", "1002", "1003"]),
        *(["555-12-3456", "555-12-3457", "1"], ["2024-99-99", "2024-98-01", "2024-97-01"], ["may", "june", "july"]),
        *([2024, 2025, 2026], [20.24, 20.25, 20.26], ["2024-01-05"] * 3, [True, False, True], [[1], [2], [3]]),
        *([None] * 3, [7, 8, 9]),
    ],
)
def test_row_numbers_beside_a_column_of_other_things_are_an_axis(words):
    assert time_index(frame_at(range(3), word=words), ForecastTask("load", 1, 1)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("times", [["2024-01-01", "2024-01-02"], [1.0, 2.0], [True, False]])
def test_times_that_are_neither_timestamps_nor_whole_numbers_are_refused(times):
    with pytest.raises(TypeError, match=r"The index must hold timestamps or whole numbers.*Convert it with"):
        time_index(frame_at(pd.Index(times)), ForecastTask("load", 1, 1))


def test_years_that_became_floats_are_told_to_become_whole_and_not_timestamps():
    with pytest.raises(
        TypeError, match=r"Received: float64, such as .*1990\.0\)?\. Convert it with `\.astype\(int\)`, or name"
    ):
        time_index(frame_at(pd.Index([1990.0, 1991.0])), ForecastTask("load", 1, 1))


def test_timestamps_among_other_objects_are_refused():
    frame = frame_at(range(2), day=pd.Series([pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")], dtype=object))
    with pytest.raises(TypeError, match=r"The column 'day' must hold timestamps.*Received: object, such as Timestamp"):
        time_index(frame, ForecastTask("load", 1, 1, time="day"))


def test_an_index_of_several_levels_is_refused():
    index = pd.MultiIndex.from_product([["a"], pd.date_range("2024", periods=2)])
    with pytest.raises(TypeError, match=r"The index has several levels.*frame\.reset_index\(\)"):
        time_index(frame_at(index), ForecastTask("load", 1, 1))


def test_offsets_that_change_from_row_to_row_are_refused():
    winter, summer = pd.Timestamp("2024-03-30T12:00+01:00"), pd.Timestamp("2024-03-31T12:00+02:00")
    times = pd.Series([winter] * 10_001 + [summer], dtype=object)  # it may change late
    with pytest.raises(TypeError, match=r"The column 'day' must hold timestamps.*`utc=True` where the offset changes"):
        time_index(frame_at(range(len(times)), day=times), ForecastTask("load", 1, 1, time="day"))


def test_rows_a_millisecond_apart_over_years_are_refused_before_memory_runs_out(monkeypatch):
    monkeypatch.setattr(axis, "regular_axis", lambda *_, **__: pytest.fail("the axis was laid out"))
    times = pd.date_range("2020-01-01", periods=40, freq="30D").insert(1, pd.Timestamp("2020-01-01 00:00:00.001"))
    with pytest.raises(
        ValueError, match=r"irregular: 2020-01-01 00:00:00 and 2020-01-01 00:00:00.001000 are much closer"
    ):
        infer_frequency(times)
