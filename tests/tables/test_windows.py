import dataclasses
import os
import re
import warnings
from datetime import date

import keras
import numpy as np
import pandas as pd
import pytest
from tables.slow_windows import SlowWindows, borders, frame_of, random_case

from rnn_toolkit import datasets
from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows, split_by_time

NAN = float("nan")


def numbers(count: int) -> pd.DataFrame:
    """Return a table of one column, 0, 1, 2 ..."""
    return pd.DataFrame({"load": np.arange(float(count))})


def days(count: int, **columns) -> pd.DataFrame:
    """Return the same with a day per row, from 1 January 2024 on."""
    return pd.DataFrame({"load": np.arange(float(count)), **columns}, index=pd.date_range("2024", periods=count))


def shops(**lengths: int) -> pd.DataFrame:
    """Return a long table; the rows of each shop count up from 100, 200 ... and all end on the same day."""
    rows = [
        {"day": max(lengths.values()) - length + row, "shop": name, "load": 100.0 * place + row}
        for place, (name, length) in enumerate(lengths.items(), start=1)
        for row in range(length)
    ]
    return pd.DataFrame(rows)


SHOPS = ForecastTask("load", horizon=1, lookback=2, time="day", series="shop")


# ---------------------------------------------------------------------------------------------------------------------
# what a window holds
# ---------------------------------------------------------------------------------------------------------------------


def test_a_window_is_lookback_rows_and_the_horizon_rows_that_follow():
    x, y, weight = Windows(numbers(6), ForecastTask("load", horizon=2, lookback=3, season_length=1)).to_arrays()
    assert x[:, :, 0].tolist() == [[0, 1, 2], [1, 2, 3]]
    assert y[:, :, 0].tolist() == [[3, 4], [4, 5]]
    assert weight[:, :, 0].tolist() == [[1, 1], [1, 1]]
    assert x.dtype == y.dtype == weight.dtype == np.float32


def test_stride_is_the_distance_of_two_starts():
    windows = Windows(numbers(10), ForecastTask("load", 1, 2), stride=3)
    assert windows.to_arrays()[0][:, 0, 0].tolist() == [0, 3, 6]


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("lookback", [1, 2, 5])
def test_windows_never_contain_their_target(horizon, lookback):
    task = ForecastTask("load", horizon, lookback, observed="wind", calendar="day_of_week")
    x, y, _ = Windows(days(30, wind=np.arange(30.0)), task).to_arrays()
    assert (x[:, :, :2].max(axis=(1, 2)) < y.min(axis=(1, 2))).all()
    assert (x[:, -1, 0] + 1 == y[:, 0, 0]).all()


def test_windows_do_not_cross_from_one_series_to_the_next():
    windows = Windows(shops(a=4, b=3), SHOPS)
    x, y, _ = windows.to_arrays()
    assert x[:, :, 0].tolist() == [[100, 101], [101, 102], [200, 201]]
    assert y[:, 0, 0].tolist() == [102, 103, 202]
    assert x[:, :, 1].tolist() == [[1, 1], [1, 1], [2, 2]]  # the code of the series
    assert windows.origins["series"].tolist() == ["a", "a", "b"]
    assert windows.origins["cutoff"].tolist() == [1, 2, 2]


def test_a_table_sorted_by_time_gives_the_windows_of_one_sorted_by_series():
    frame = shops(a=9, b=6, c=7)
    by_series, by_time = Windows(frame, SHOPS), Windows(frame.sort_values("day", kind="stable"), SHOPS)
    columns = ["series", "cutoff"]
    order = by_time.origins.astype({"series": str}).sort_values(columns).index
    assert by_time.origins.astype({"series": str}).loc[order, columns].to_numpy().tolist() == (
        by_series.origins.astype({"series": str}).to_numpy().tolist()
    )
    for one, other in zip(by_time.to_arrays()[1:], by_series.to_arrays()[1:], strict=True):
        np.testing.assert_array_equal(one[order], other)


def test_several_targets_lie_side_by_side():
    frame = pd.DataFrame({"load": [1.0, 2, 3, 4], "heat": [10.0, 30, 20, 40]})
    x, y, weight = Windows(frame, ForecastTask(("load", "heat"), 1, 2, season_length=1)).to_arrays()
    assert x.tolist() == [[[1, 10], [2, 30]], [[2, 30], [3, 20]]]
    assert y.tolist() == [[[3, 20]], [[4, 40]]]
    assert weight.ravel().tolist() == pytest.approx([1, 3 / 50, 1, 3 / 50])  # mean differences: 1 and 50 / 3


def test_the_weight_is_one_over_the_scale_of_the_series():
    frame = pd.DataFrame({"day": [0, 1, 2] * 2, "shop": list("aaabbb"), "load": [0.0, 2, 4, 0, 50, 100]})
    task = ForecastTask("load", 1, 2, time="day", series="shop", season_length=1)
    assert Windows(frame, task).to_arrays()[2].ravel().tolist() == pytest.approx([1 / 2, 1 / 50])


def test_missing_values_are_filled_forward_flagged_and_without_weight():
    frame = pd.DataFrame({"load": [1.0, NAN, 3, NAN, 5, 7]})
    windows = Windows(frame, ForecastTask("load", 1, 2, season_length=2))
    x, y, weight = windows.to_arrays()
    assert windows.feature_names == ["load", "load_missing"]
    assert x.tolist() == [[[1, 0], [1, 1]], [[3, 0], [3, 1]], [[3, 1], [5, 0]]]
    assert y.ravel().tolist() == [3, 5, 7]  # a window whose every target is missing is not cut
    assert (weight > 0).all()
    two_ahead = Windows(frame, ForecastTask("load", 2, 2, season_length=2))
    assert (two_ahead.to_arrays()[2] > 0).squeeze().tolist() == [[True, False], [False, True], [True, True]]


def test_missing_time_steps_count_as_missing_values():
    with_gap, with_nan = days(8).drop(pd.Timestamp("2024-01-04")), days(8)
    with_nan.loc["2024-01-04", "load"] = NAN
    task = ForecastTask("load", 2, 3)
    for one, other in zip(Windows(with_gap, task).to_arrays(), Windows(with_nan, task).to_arrays(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_known_columns_show_exactly_the_steps_to_be_forecast():
    frame = numbers(9).assign(price=np.arange(9.0) * 10)
    windows = Windows(frame, ForecastTask("load", horizon=2, lookback=3, known="price"))
    x, _, _ = windows.to_arrays()
    shifted = x[0, :, windows.feature_names.index("price+2")]
    assert shifted.tolist() == [20, 30, 40]  # rows 2, 3, 4: the last two are the horizon of rows 3 and 4


def test_a_lookback_shorter_than_the_horizon_shows_every_step_once():
    frame = numbers(12).assign(price=np.arange(12.0) * 10)
    windows = Windows(frame, ForecastTask("load", horizon=5, lookback=2, known="price"))
    x, y, _ = windows.to_arrays()
    copies = [windows.feature_names.index(f"price+{by}") for by in (5, 3, 1)]
    assert y[0, :, 0].tolist() == [2, 3, 4, 5, 6]
    assert x[0][:, copies].T.tolist() == [[50, 60], [30, 40], [10, 20]]


def test_observed_columns_are_not_shifted():
    windows = Windows(numbers(6).assign(wind=np.arange(6.0) * 10), ForecastTask("load", 2, 3, observed="wind"))
    assert windows.feature_names == ["load", "wind"]
    assert windows.to_arrays()[0][0].tolist() == [[0, 0], [1, 10], [2, 20]]


@pytest.mark.parametrize(
    ("zone", "day"), [("America/Sao_Paulo", "2018-11-04"), ("America/Havana", "2018-11-04"), ("UTC", "2018-11-04")]
)
def test_a_split_may_begin_on_a_day_whose_midnight_is_skipped_or_comes_twice(zone, day):
    hours = pd.date_range("2018-11-01", periods=24 * 8, freq="h", tz=zone)
    _, validation, _ = split_by_time(numbers(24 * 8).set_index(hours), TASK, validation=day, test=0)
    first = validation.origins["cutoff"].iloc[0] + pd.Timedelta(hours=1)
    assert str(first.date()) == day and str((first - pd.Timedelta(hours=1)).date()) == "2018-11-03"


def test_years_as_numbers_are_split_at_a_year():
    years = numbers(40).set_index(pd.RangeIndex(1980, 2020))
    train, validation, test = split_by_time(years, TASK, validation="2000", test="2010")
    assert [part.origins["cutoff"].min() for part in (train, validation, test)] == [1983, 1999, 2009]
    with pytest.raises(
        ValueError, match=r"no date on the time axis, which begins with 1980.* as '2014' on an axis of wh"
    ):
        split_by_time(years, TASK, validation="2000-01-01")


def test_series_that_end_between_seconds_have_ends_of_their_own():
    times = pd.date_range("2024-01-01 00:00:30", periods=20, freq="500ms")
    rows = pd.DataFrame({"time": [*times, *times[:11]], "name": ["a"] * 20 + ["b"] * 11, "load": np.arange(31.0) % 5})
    task = ForecastTask("load", 1, 2, time="time", series="name")
    train, _, test = split_by_time(rows, task, validation=0, test=3)
    assert train.preparation.train_ends == ("2024-01-01T00:00:38.500000", "2024-01-01T00:00:34")
    assert Windows.after_training(rows, train.preparation).origins.equals(test.origins)


def test_a_model_of_nanoseconds_takes_a_table_of_seconds():
    hours = pd.date_range("2024", periods=40, freq="h", unit="ns")
    fitted = split_by_time(numbers(40).set_index(hours), TASK, validation=0, test=10)[0].preparation
    for unit in ("s", "us", "ns"):
        later = Windows.after_training(numbers(40).set_index(hours.as_unit(unit)), fitted)
        assert later.table.end_of_training.tolist() == [30] and later.origins["cutoff"].dtype == f"datetime64[{unit}]"


def test_periods_and_timestamps_give_the_same_windows():
    months = pd.date_range("2020-01-01", periods=24, freq="MS")
    task = ForecastTask("load", 1, 3, calendar="month")
    of_stamps = Windows(numbers(24).set_index(months), task)
    of_periods = Windows(numbers(24).set_index(months.to_period("M")), task)
    np.testing.assert_array_equal(of_stamps.to_arrays()[0], of_periods.to_arrays()[0])
    assert of_stamps.origins.equals(of_periods.origins)


@pytest.mark.parametrize("seed", range(60))
def test_windows_of_random_tables_are_those_cut_row_by_row(seed):
    table, task, options = random_case(seed)
    task = dataclasses.replace(task, reach=(None, 1, task.lookback // 2 + 1)[seed // 3 % 3])
    short = ("drop", "pad")[seed // 7 % 2]
    frame = frame_of(table, step=(1, 5, "D", "h", "MS", "B")[seed % 6], order=("series", "time")[seed // 2 % 2])
    given = frame.copy(deep=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No window of|With stride=")
            parts = split_by_time(frame, task, short=short, **options)
    except ValueError as error:
        assert re.search("has no window|No window of|is constant|has no value|`season_length`", str(error))
        return
    pd.testing.assert_frame_equal(frame, given)
    spans = borders(table, task.horizon, **options)
    train_ends = {name: span["train"][1] for name, span in spans.items()}
    slow = SlowWindows(table, task, train_ends, list(dict.fromkeys(frame["shop"])), is_padded=short == "pad")
    for part, split in zip(parts, ("train", "validation", "test"), strict=True):
        rows = {name: span[split] for name, span in spans.items()}
        if split == "train":
            rows = {name: (slow.first[name], end) for name, (_, end) in rows.items()}
        *expected, series = slow.cut(rows, options["stride"] if split == "train" else 1)
        assert part.origins["series"].tolist() == series
        for fast, by_hand in zip(part.to_arrays(), expected, strict=True):
            if series:
                np.testing.assert_allclose(fast, np.array(by_hand, dtype=float), rtol=1e-5)


# ---------------------------------------------------------------------------------------------------------------------
# batches
# ---------------------------------------------------------------------------------------------------------------------


def test_batches_together_are_all_windows_in_order():
    windows = Windows(numbers(12), ForecastTask("load", 1, 2), batch_size=4)
    assert len(windows) == 3
    assert [len(windows[index][0]) for index in range(3)] == [4, 4, 2]
    joined = [np.concatenate(parts) for parts in zip(*(windows[index] for index in range(3)), strict=True)]
    for batch, whole in zip(joined, windows.to_arrays(), strict=True):
        np.testing.assert_array_equal(batch, whole)


def test_batches_count_from_the_end_too_and_end():
    windows = Windows(numbers(12), ForecastTask("load", 1, 2), batch_size=4)
    np.testing.assert_array_equal(windows[-1][0], windows[2][0])
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"Batch {index} of 3"):
            windows[index]


def orders(seed: int, *, shuffle: bool = True, epochs: int = 2) -> list[list[float]]:
    """Return the first target of every window, in the order of each epoch."""
    windows = Windows(shops(a=60, b=60), SHOPS, shuffle=shuffle, seed=seed, batch_size=16)
    result = []
    for _ in range(epochs):
        result.append(np.concatenate([windows[index][1].ravel() for index in range(len(windows))]).tolist())
        windows.on_epoch_end()
    return result


def test_shuffling_reaches_across_series_and_batches_and_keeps_every_window():
    (shuffled,), (ordered,) = orders(0, epochs=1), orders(0, shuffle=False, epochs=1)
    assert sorted(shuffled) == sorted(ordered)
    first_batch = shuffled[:16]
    assert any(value < 200 for value in first_batch) and any(value >= 200 for value in first_batch)


def test_the_order_differs_from_epoch_to_epoch_and_from_seed_to_seed_but_not_for_equal_seeds():
    first, second = orders(3)
    assert first != second
    assert orders(3) == [first, second]
    assert orders(4)[0] != first


def test_without_shuffling_every_epoch_has_the_same_order():
    first, second = orders(3, shuffle=False)
    assert first == second


def test_fit_draws_a_new_order_each_epoch():
    seen = []

    class Recorder(Windows):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            seen.append(batch[1].ravel().tolist())
            return batch

    windows = Recorder(numbers(23), ForecastTask("load", 1, 2), shuffle=True, batch_size=32)
    model = keras.Sequential([keras.Input((2, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    model.fit(windows, epochs=3, verbose=0)
    whole = sorted(windows.to_arrays()[1].ravel().tolist())
    epochs = {tuple(order) for order in seen}
    assert all(sorted(order) == whole for order in epochs)
    assert len(epochs) >= 3


def test_origins_and_arrays_stand_in_one_order_even_when_shuffled():
    windows = Windows(shops(a=9, b=6), SHOPS, shuffle=True)
    x, _, _ = windows.to_arrays()
    hundreds = {"a": 100, "b": 200 - 3}  # shop b has its first row on day 3
    expected = [hundreds[series] + cutoff for series, cutoff in windows.origins.itertuples(index=False)]
    assert x[:, -1, 0].tolist() == expected


def test_windows_share_the_rows_of_the_table_instead_of_copying_them():
    windows = Windows(days(5_000, wind=np.zeros(5_000)), ForecastTask("load", 24, 336, observed="wind"))
    assert windows.table.values.nbytes == 5_000 * 2 * 4
    assert np.shares_memory(windows._blocks, windows.table.values)
    assert windows.starts.nbytes == len(windows.starts) * 4


def test_a_table_stays_as_it_was():
    frame = shops(a=12, b=12).assign(sky=["sun", None, "rain"] * 8)
    frame.loc[3, "load"] = NAN
    given = frame.copy(deep=True)
    task = ForecastTask("load", 1, 2, time="day", series="shop", observed="sky", static="shop")
    split_by_time(frame, task, validation=2, test=2, short="pad")
    pd.testing.assert_frame_equal(frame, given)


def test_windows_describe_themselves():
    described = repr(Windows(numbers(1_200), ForecastTask("load", 1, 2), batch_size=100))
    assert described == "Windows(1,198 windows of 2 + 1 rows, 1 features, 1 targets, 12 batches)"


def test_windows_after_training_are_those_whose_targets_lie_behind_it():
    frame = days(20)
    train, _, _ = split_by_time(frame, ForecastTask("load", 2, 3), validation=4, test=4)
    later = Windows.after_training(frame, train.preparation)
    assert train.preparation.train_ends == ("2024-01-13T00:00:00",)
    assert later.to_arrays()[1][:, 0, 0].tolist() == [12, 13, 14, 15, 16, 17, 18]


def test_windows_after_training_are_none_where_the_table_ends_before():
    train, _, _ = split_by_time(days(20), ForecastTask("load", 2, 3), validation=4, test=4)
    later = Windows.after_training(days(12), train.preparation)
    x, y, weight = later.to_arrays()
    assert (len(later), x.shape, y.shape, weight.shape) == (0, (0, 3, 1), (0, 2, 1), (0, 2, 1))


# ---------------------------------------------------------------------------------------------------------------------
# splits
# ---------------------------------------------------------------------------------------------------------------------


def targets(windows) -> list[float]:
    """Return every value that is a target, once, in order."""
    return np.unique(windows.to_arrays()[1]).tolist()


def test_a_number_of_rows_is_taken_from_the_end():
    parts = split_by_time(numbers(20), ForecastTask("load", 2, 4), validation=5, test=4)
    assert [targets(part) for part in parts] == [list(range(4, 11)), list(range(11, 16)), list(range(16, 20))]


def test_a_fraction_is_a_share_of_the_whole_table():
    parts = split_by_time(numbers(20), ForecastTask("load", 2, 4), validation=0.25, test=0.2)
    assert [targets(part) for part in parts] == [list(range(4, 11)), list(range(11, 16)), list(range(16, 20))]


def test_a_fraction_holds_a_horizon_at_least():
    parts = split_by_time(numbers(20), ForecastTask("load", 3, 4))  # 15 % of 20 rows are 3
    assert [targets(part) for part in parts] == [list(range(4, 14)), list(range(14, 17)), list(range(17, 20))]
    parts = split_by_time(numbers(20), ForecastTask("load", 4, 4), validation=0.05, gap=2)
    assert [targets(part) for part in parts] == [list(range(4, 8)), list(range(10, 14)), list(range(16, 20))]
    with pytest.raises(ValueError, match="No row is left to train on"):
        split_by_time(numbers(20), ForecastTask("load", 10, 4))


@pytest.mark.parametrize("kind", [str, pd.Timestamp, np.datetime64, date.fromisoformat])
def test_a_date_is_the_first_step_of_its_split(kind):
    parts = split_by_time(days(20), ForecastTask("load", 2, 4), validation=kind("2024-01-12"), test=kind("2024-01-17"))
    assert [targets(part) for part in parts] == [list(range(4, 11)), list(range(11, 16)), list(range(16, 20))]


def test_a_date_without_a_time_zone_is_read_in_that_of_the_table():
    frame = days(20).tz_localize("Asia/Tokyo")
    parts = split_by_time(frame, ForecastTask("load", 2, 4), validation="2024-01-12", test="2024-01-17")
    assert targets(parts[1]) == list(range(11, 16))


def test_later_splits_look_back_over_the_border_but_share_no_target():
    train, validation, test = split_by_time(numbers(20), ForecastTask("load", 2, 4), validation=5, test=4)
    assert validation.to_arrays()[0][0, :, 0].tolist() == [7, 8, 9, 10]
    assert not set(targets(train)) & set(targets(validation)) | set(targets(validation)) & set(targets(test))


def test_gap_rows_are_targets_of_no_split_and_nothing_is_fitted_on_them():
    parts = split_by_time(numbers(30), ForecastTask("load", 2, 4), validation=6, test=6, gap=3)
    assert [targets(part) for part in parts] == [list(range(4, 15)), list(range(18, 21)), list(range(24, 30))]
    assert parts[0].preparation.train_ends == (15,)
    assert parts[0].preparation.level == ((7.0,),)


@pytest.mark.parametrize(("stride", "season", "seen", "other"), [(7, 7, 1, 6), (2, 24, 12, 1), (9, 24, 8, 7)])
def test_a_stride_that_passes_over_phases_of_the_season_is_warned_of(stride, season, seen, other):
    task = ForecastTask("load", 1, 2, season_length=season)
    message = (
        f"stride={stride} and season_length={season} the windows begin in {seen} of the {season} .* such as {other},"
    )
    for cut in (Windows, split_by_time):
        with pytest.warns(UserWarning, match=message):
            cut(days(120), task, stride=stride)


@pytest.mark.parametrize(("stride", "season"), [(5, 7), (8, 7), (7, None), (1, 24)])
def test_a_stride_that_sees_every_phase_is_not(stride, season):
    split_by_time(days(120), ForecastTask("load", 1, 2, season_length=season), stride=stride)


def test_stride_thins_training_windows_only():
    task = ForecastTask("load", 1, 2)
    train, validation, test = split_by_time(numbers(30), task, validation=5, test=5, stride=4)
    assert train.to_arrays()[1].ravel().tolist() == [2, 6, 10, 14, 18]
    assert (len(validation.starts), len(test.starts)) == (5, 5)


def test_only_training_windows_are_shuffled():
    parts = split_by_time(numbers(300), ForecastTask("load", 1, 2), batch_size=256)
    is_ordered = [(np.diff(part[0][1].ravel()) > 0).all() for part in parts]
    assert is_ordered == [False, True, True]


def test_a_share_of_0_leaves_a_split_empty():
    train, validation, test = split_by_time(numbers(20), ForecastTask("load", 1, 2), validation=4, test=0)
    assert (targets(validation), len(test), targets(test)) == (list(range(16, 20)), 0, [])
    assert targets(train) == list(range(2, 16))


def test_a_fraction_cuts_series_of_different_ends_at_one_time():
    rows = {"day": [*range(10), *range(5, 15)], "shop": ["a"] * 10 + ["b"] * 10}
    frame = pd.DataFrame(rows | {"load": [*range(100, 110), *range(200, 210)]})
    train, validation, test = split_by_time(frame, SHOPS, validation=0.3, test=0.15)
    assert test.origins.assign(cutoff=test.origins.cutoff + 1).to_numpy().tolist() == [["b", 12], ["b", 13], ["b", 14]]
    assert targets(validation) == [108, 109, 203, 204, 205, 206]  # from day 8 on
    assert targets(train) == [102, 103, 104, 105, 106, 107, 202]


def test_a_number_of_rows_is_taken_from_the_end_of_each_series():
    train, validation, test = split_by_time(shops(a=12, b=9), SHOPS, validation=2, test=3)
    assert targets(test) == [109, 110, 111, 206, 207, 208]
    assert targets(validation) == [107, 108, 204, 205]
    assert targets(train) == [102, 103, 104, 105, 106, 202, 203]


def test_a_series_that_begins_after_the_training_rows_is_unseen():
    frame = pd.concat([shops(a=20), shops(b=4).assign(day=[16, 17, 18, 19], load=[1.0, 2, 3, 4])])
    train, _, test = split_by_time(frame, SHOPS, validation=5, test=5)
    assert train.preparation.series == ("a",)
    code = test.to_arrays()[0][:, 0, test.feature_names.index("series_code")]
    assert code[test.origins["series"] == "b"].tolist() == [0, 0]


# ---------------------------------------------------------------------------------------------------------------------
# series too short for a window
# ---------------------------------------------------------------------------------------------------------------------


def test_short_series_are_dropped_with_a_warning_that_names_them():
    message = r"No window of lookback \+ horizon = 3 rows with a target in it fits into 2 of 3 series: "
    message += r"series 'b' has 2 rows, series 'c' has 1 rows\. They are left out"
    with pytest.warns(UserWarning, match=message):
        windows = Windows(shops(a=6, b=2, c=1), SHOPS)
    assert set(windows.origins["series"]) == {"a"}


def test_many_short_series_are_named_in_part():
    with pytest.warns(UserWarning, match="7 of 8 series: series 'b' has 2 rows.*series 'f' has 2 rows, and 2 more"):
        Windows(shops(a=6, **dict.fromkeys("bcdefgh", 2)), SHOPS)


def test_short_series_are_an_error_if_asked_for():
    with pytest.raises(
        ValueError, match=r"fits into 1 of 2 series: series 'b' has 2 rows. Pass more rows.*short='pad'"
    ):
        Windows(shops(a=6, b=2), SHOPS, short="error")


def test_short_series_are_padded_in_front_with_rows_marked_missing():
    windows = Windows(shops(a=6, b=2), SHOPS, short="pad")
    x, y, weight = windows.to_arrays()
    of_b = windows.origins["series"] == "b"
    assert x[of_b].tolist() == [[[200.5, 1, 2], [200, 0, 2]]]  # mean of the training rows, flag, code of the series
    assert y[of_b].ravel().tolist() == [201]
    assert (weight[of_b] > 0).all()


def test_padding_gives_a_training_window_to_a_series_with_a_single_training_row():
    with pytest.warns(UserWarning, match="fits into 1 of 2 series: series 'b' has 1 training rows"):
        train, *_ = split_by_time(shops(a=20, b=5), SHOPS, validation=2, test=2)
    assert set(train.origins["series"]) == {"a"}
    train, validation, test = split_by_time(shops(a=20, b=5), SHOPS, validation=2, test=2, short="pad")
    assert (train.origins["series"] == "b").sum() == 1
    assert targets(validation) == [116, 117, 201, 202]
    assert targets(test) == [118, 119, 203, 204]


@pytest.mark.parametrize("share", [0.2, 4])
def test_padding_does_not_move_the_borders(share):
    plain = split_by_time(shops(a=20, b=16), SHOPS, validation=share, test=share)
    padded = split_by_time(shops(a=20, b=16), SHOPS, validation=share, test=share, short="pad")
    assert [targets(part) for part in plain] == [targets(part) for part in padded]


def test_a_table_shorter_than_one_window_is_refused():
    with pytest.raises(
        ValueError, match=r"lookback \+ horizon = 8 rows with a target in it fits: the table has 5 rows"
    ):
        Windows(numbers(5), ForecastTask("load", 2, 6))


def test_a_table_without_a_training_window_is_refused():
    with pytest.raises(ValueError, match=r"lookback \+ horizon = 8 rows .* fits: the table has 6 training rows"):
        split_by_time(numbers(10), ForecastTask("load", 2, 6), validation=2, test=2)


# ---------------------------------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------------------------------

TASK = ForecastTask("load", 2, 4)


def test_a_table_that_is_no_task_is_refused():
    with pytest.raises(TypeError, match=r"`task` must be a ForecastTask, `rt\.ForecastTask.*Received: str\."):
        Windows(numbers(20), "load")
    with pytest.raises(TypeError, match=r"Received: Preparation. A preparation .* is for `rt\.Windows`"):
        split_by_time(numbers(20), Windows(numbers(20), TASK).preparation)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("stride", 0, "`stride` must be at least 1"),
        ("batch_size", 0, "`batch_size` must be at least 1"),
        ("seed", -1, "`seed` must be at least 0"),
        ("short", "cut", "`short` must be one of 'drop', 'pad', 'error'. Received: 'cut'"),
    ],
)
def test_options_are_checked_before_any_work(option, value, message):
    with pytest.raises(ValueError, match=message):
        Windows(None, TASK, **{option: value})
    with pytest.raises(ValueError, match=message):
        split_by_time(None, TASK, **{option: value})


def test_a_negative_gap_is_refused():
    with pytest.raises(ValueError, match="`gap` must be at least 0"):
        split_by_time(numbers(20), TASK, gap=-1)


@pytest.mark.parametrize("name", ["validation", "test"])
@pytest.mark.parametrize("share", [True, None, [0.2], -1, -0.1, 1.0, 1.5, NAN, np.float32(2)])
def test_what_is_no_share_is_refused(name, share):
    with pytest.raises(ValueError, match=f"`{name}` must be a fraction from 0 to 1, a number of rows or a date"):
        split_by_time(numbers(20), TASK, **{name: share})


@pytest.mark.parametrize(
    ("frame", "share"),
    [
        (days(20), "soon"),
        (numbers(20), "2024-01-01"),
        (days(20), pd.Timestamp("2024-01-17", tz="UTC")),  # the table has no time zone
    ],
)
def test_a_date_that_the_time_axis_does_not_know_is_refused(frame, share):
    begins = re.escape(str(frame.index[0]))
    with pytest.raises(ValueError, match=f"`test` is no date on the time axis, which begins with {begins}"):
        split_by_time(frame, TASK, test=share)


@pytest.mark.parametrize(
    "shares",
    [
        {"validation": 0.5, "test": 0.5},
        {"validation": 12, "test": 12},
        {"validation": 4, "test": 4, "gap": 12},
        {"validation": "2023-06-01", "test": 4},
    ],
)
def test_shares_that_leave_nothing_to_train_on_are_refused(shares):
    with pytest.raises(ValueError, match=r"No row is left to train on. Received: validation="):
        split_by_time(days(20), TASK, **shares)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"validation": 1, "test": 4}, "The validation split has no window: it has 1 rows, the horizon 2"),
        ({"validation": 5, "test": 4, "gap": 4}, "The validation split has no window: it has 1 rows, the horizon 2"),
        ({"validation": 4, "test": 1}, "The test split has no window: it has 1 rows, the horizon 2"),
        ({"validation": 4, "test": "2031-01-01"}, "The test split has no window: it has 0 rows, the horizon 2"),
        ({"validation": "2024-01-18", "test": "2024-01-12"}, "The validation split has no window: it has 0 rows"),
    ],
)
def test_shares_that_leave_nothing_to_judge_on_are_refused(shares, message):
    with pytest.raises(ValueError, match=message):
        split_by_time(days(20), TASK, **shares)


def test_a_split_whose_targets_are_all_missing_is_refused():
    frame = numbers(20)
    frame.loc[16:, "load"] = NAN
    with pytest.raises(ValueError, match="The test split has no window: no target is there"):
        split_by_time(frame, TASK, validation=4, test=4)


# ---------------------------------------------------------------------------------------------------------------------
# real data
# ---------------------------------------------------------------------------------------------------------------------


def test_co2_splits_in_time_order_with_its_gaps_weighted_0():
    frame = datasets.load_co2()
    task = ForecastTask("co2", horizon=52, lookback=156, season_length=52)
    train, validation, test = split_by_time(frame, task)
    assert train.feature_names == ["co2", "co2_missing"]
    assert train.preparation.frequency == "W-SAT"
    starts = [part.origins["cutoff"].min() for part in (train, validation, test)]
    assert starts == sorted(starts)
    observed = np.concatenate([part.table.observed.ravel() for part in (train,)])
    assert (~observed).sum() == 59
    for part in (train, validation, test):
        _, y, weight = part.to_arrays()
        assert np.isfinite(y).all() and y.min() > 300 and y.max() < 400
        assert (weight >= 0).all()
    row = int(np.flatnonzero(test.origins["cutoff"] == pd.Timestamp("2000-12-30"))[0])
    expected = frame.loc["2001-01-06":, "co2"].to_numpy("float32")
    np.testing.assert_array_equal(test.to_arrays()[1][row, :, 0], expected)


def test_weather_fills_the_hours_that_nobody_recorded():
    frame = datasets.load_weather()
    task = ForecastTask(
        ("temperature", "humidity"),
        *(24, 48),
        time="time",
        series="airport",
        observed=("wind_direction", "pressure"),
        calendar=("hour", "day_of_year"),
        season_length=24,
    )
    train, validation, test = split_by_time(frame, task)
    assert train.preparation.frequency == "h"
    assert train.table.names == ["EWR", "JFK", "LGA"]
    assert len(train.table) - len(frame) == 27 + 24 + 24
    assert train.preparation.categories["wind_direction"] == ["E", "N", "NE", "NW", "S", "SE", "SW", "W", "calm"]
    x, y, weight = validation[3]
    origin = validation.origins.iloc[3 * 64]
    rows = frame[frame["airport"] == origin["series"]].set_index("time")["temperature"]
    times = pd.date_range(origin["cutoff"], periods=25, freq="h")[1:]
    actual = rows.reindex(times).to_numpy("float32")
    there = ~np.isnan(actual)
    assert there.sum() > 12
    np.testing.assert_array_equal(y[0, there, 0], actual[there])
    np.testing.assert_array_equal(weight[0, :, 0] > 0, there)
    assert np.isfinite(x).all()
    assert len(test) > 0


@pytest.mark.skipif("RNN_TOOLKIT_DATA" not in os.environ, reason="RNN_TOOLKIT_DATA names no folder with the real sets")
def test_ett_has_windows_of_seven_targets():
    frame = datasets.load_etth1()
    columns = tuple(name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name]))
    train, _, test = split_by_time(frame, ForecastTask(columns, 96, 336, season_length=24))
    assert train.preparation.frequency == "h"
    assert test[0][1].shape == (64, 96, 7)
    assert (test[0][2] > 0).all()


def test_each_series_has_an_end_of_training_of_its_own():
    rows = [("short", step, 1.0 + step) for step in range(12)] + [("long", step, 2.0 * step) for step in range(30)]
    frame = pd.DataFrame(rows, columns=["name", "step", "load"])
    task = ForecastTask("load", 2, 3, time="step", series="name")
    train, _, test = split_by_time(frame, task, validation=0, test=4)
    assert train.preparation.train_ends == (8, 26)
    later = Windows.after_training(frame, train.preparation)
    assert later.starts.tolist() == test.starts.tolist()


@pytest.mark.filterwarnings("ignore:None of the series in column")
def test_a_series_never_seen_counts_as_trained_on_until_the_latest_end():
    frame = pd.DataFrame({"name": ["a"] * 20, "step": range(20), "load": np.arange(20.0) % 5})
    task = ForecastTask("load", 2, 3, time="step", series="name")
    preparation = split_by_time(frame, task, validation=0, test=4)[0].preparation
    later = Windows.after_training(frame.assign(name="b"), preparation)
    assert later.origins.cutoff.tolist() == [15, 16, 17]


def test_the_end_of_training_is_found_again_across_summer_time():
    times = pd.date_range("2024-03-29", periods=72, freq="h", tz="Europe/Berlin", name="time")
    frame = pd.DataFrame({"load": np.arange(72.0) % 7}, index=times)
    train, _, test = split_by_time(frame, ForecastTask("load", 2, 3), validation=0, test=20)
    assert Windows.after_training(frame, train.preparation).starts.tolist() == test.starts.tolist()
