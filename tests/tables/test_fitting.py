import json

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.tables.fitting import Preparation, loss_scale, naive_scale, offset_of
from rnn_toolkit.tables.layout import Layout
from rnn_toolkit.tables.table import Table
from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows

NAN = float("nan")


def fitted(frame, task, rows):
    """Return the preparation of a table whose first rows, of each series, are for training."""
    layout = Layout.of(frame, task)
    return Table.of(frame, layout, ends=layout.offsets[:-1] + rows).preparation


def test_levels_deviations_and_scales_come_from_training_rows_of_each_series():
    frame = pd.DataFrame({"day": [0, 1, 2, 3] * 2, "shop": list("aaaabbbb"), "load": [1.0, 3, 5, 99, 10, 40, 10, 99]})
    preparation = fitted(frame, ForecastTask("load", 1, 1, time="day", series="shop", season_length=1), rows=3)
    assert preparation.series == ("a", "b")
    assert preparation.level == ((3.0,), (20.0,))
    assert [row[0] for row in preparation.deviation] == pytest.approx([np.sqrt(8 / 3), np.sqrt(200.0)])
    assert preparation.scale == ((2.0,), (30.0,))
    assert preparation.train_ends == (3, 3)


def test_the_scale_without_a_season_is_the_deviation():
    preparation = fitted(pd.DataFrame({"load": [1.0, 3, 1, 3, 99]}), ForecastTask("load", 1, 1), rows=4)
    assert preparation.scale == preparation.deviation == ((1.0,),)


def test_means_and_deviations_of_covariates_come_from_training_rows():
    frame = pd.DataFrame({"load": range(5), "wind": [2.0, 4, NAN, 6, 99], "flat": 0.1})
    preparation = fitted(frame, ForecastTask("load", 1, 1, observed="wind", known="flat"), rows=4)
    assert preparation.moments["wind"] == pytest.approx((4.0, np.sqrt(8 / 3)))
    assert preparation.moments["flat"] == pytest.approx((0.1, 0.1))  # measured by its own size, if it moves later


def test_a_covariate_without_a_value_in_the_training_rows_counts_as_0():
    frame = pd.DataFrame({"load": range(5), "wind": [NAN, NAN, NAN, NAN, 99]})
    assert fitted(frame, ForecastTask("load", 1, 1, observed="wind"), rows=4).moments == {"wind": (0.0, 1.0)}


def test_a_series_that_lacks_one_of_two_targets_takes_the_median_of_the_others():
    frame = pd.DataFrame(
        {
            "day": [0, 1, 2] * 3,
            "shop": list("aaabbbccc"),
            "load": [1.0, 2, 3] * 3,
            "heat": [NAN, NAN, 99, 1, 3, 5, 5, 15, 25],
        }
    )
    preparation = fitted(frame, ForecastTask(("load", "heat"), 1, 1, time="day", series="shop"), rows=2)
    assert preparation.series == ("a", "b", "c")
    assert [row[1] for row in preparation.level] == [6.0, 2.0, 10.0]
    assert [row[1] for row in preparation.deviation] == [3.0, 1.0, 5.0]


def test_a_series_without_a_target_in_its_training_rows_is_not_among_the_seen():
    frame = pd.DataFrame({"day": [0, 1, 2, 2, 3, 4], "shop": list("aaabbb"), "load": [1.0, 2, 3, NAN, NAN, 9]})
    assert fitted(frame, ForecastTask("load", 1, 1, time="day", series="shop"), rows=2).series == ("a",)


def test_the_end_of_training_is_the_next_time_step():
    frame = pd.DataFrame({"load": range(5)}, index=pd.date_range("2024-01-06", periods=5, freq="W-SAT"))
    assert fitted(frame, ForecastTask("load", 1, 1), rows=2).train_ends == ("2024-01-20T00:00:00",)
    assert fitted(frame, ForecastTask("load", 1, 1), rows=5).train_ends == ("2024-02-10T00:00:00",)


@pytest.mark.parametrize(
    ("values", "season_length", "scale"),
    [
        ([1.0, 3, 2, 6], 2, 2.0),
        ([1.0, 3, 2, 6], 1, 7 / 3),
        ([1.0, 3, 2, 6], None, 7 / 3),
        ([1.0, 3, 2, 6], 9, 7 / 3),  # longer than the series: as without a season
        ([1.0, NAN, 2, 6], 1, 4.0),
        ([1.0, 3, 1, 3], 2, 2.0),  # a season that returns exactly: single steps
        ([1.0, NAN, 3, NAN, 1, NAN, 3], 4, 1.0),  # and no two rows side by side: the deviation
        ([5.0, 5, 5], 1, 0.0),
        ([0.3, 0.1 + 0.2, 0.3], 1, 0.0),  # one of which is 0.30000000000000004
        ([5.0], 1, 0.0),
        ([NAN, NAN], 1, 0.0),
    ],
)
def test_the_naive_scale_is_the_mean_absolute_seasonal_difference(values, season_length, scale):
    assert naive_scale(np.array(values), season_length) == pytest.approx(scale)


@pytest.mark.parametrize(("values", "scale"), [([-0.1] * 7, 0.1), ([NAN, 3.0], 2.0), ([0.0, 0.0], 2.0)])
def test_the_loss_measures_a_series_that_does_not_move_by_its_level_or_by_the_others(values, scale):
    for season_length in (None, 1):
        assert loss_scale(np.array(values), season_length, usual=2.0) == pytest.approx(scale)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("level", [0.0, 1000.0, 1e8, 1e12])
@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_a_season_that_returns_but_for_rounding_is_measured_by_its_single_steps(unit, level, kind):
    waves = unit * (level + np.sin(2 * np.pi * np.arange(24_000) / 24))
    mean_step = unit * 4 / 24  # up from -1 to 1 and down again
    if kind == "float32" and level > 1000:
        return  # the wave is gone before it is handed over
    frame = pd.DataFrame({"load": waves.astype(kind)})
    preparation = fitted(frame, ForecastTask("load", 1, 1, season_length=24), rows=24_000)
    assert preparation.scale[0][0] == pytest.approx(mean_step, rel=1e-3)
    assert preparation.naive_scale == ()  # the same


def test_the_loss_does_not_take_the_noise_of_a_season_for_a_scale_but_mase_does():
    values = np.array([0.01, 1.01, 0, 1, 0, 1])
    assert naive_scale(values, 2) == pytest.approx(0.02 / 4)
    assert loss_scale(values, 2) == pytest.approx(0.1, rel=1e-2)  # a tenth of its single steps, which are 1


# ---------------------------------------------------------------------------------------------------------------------
# levels that float32 cannot hold beside the steps
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "offset"),
    [
        ([20.0, 21, 25], 0.0),
        ([2e9, 2e9 + 1, 2e9 + 5], 2e9 + 1),
        ([-2e9, -2e9 - 1, NAN, -2e9 - 5], -2e9 - 1),
        ([2020.0, 2020, 2021, 2021], 0.0),  # what counts are the steps there are, not how seldom they come
        ([1 + 1e-9, 1 + 3e-9], 1 + 2e-9),
        ([0.0, 0, 1e9], 0.0),  # large, but so are its steps
        ([1e8, NAN, 1e8 + 2], 1e8 + 1),  # no two rows side by side
        ([1e8], 0.0),  # unless others say how large a step is
        ([NAN], 0.0),
    ],
)
def test_a_level_is_taken_off_where_float32_would_blur_the_steps(values, offset):
    assert offset_of(np.array(values)) == pytest.approx(offset, rel=1e-15)


def test_values_too_far_apart_for_float32_are_warned_of_by_series():
    rows = {"day": [*range(40)] * 2, "shop": ["a"] * 40 + ["b"] * 40, "load": np.sin(np.arange(80.0))}
    frame, task = pd.DataFrame(rows), ForecastTask("load", 1, 1, time="day", series="shop")
    frame.loc[50, "load"] = 1e12  # stands for a sensor that failed
    with pytest.warns(UserWarning, match=r"Column 'load' of series 'b' goes from -1 to 1e\+12, in steps of about"):
        preparation = fitted(frame, task, rows=40)
    assert preparation.offset == ()  # the other values are as exact as before


@pytest.mark.parametrize("value", [-999.0, 9999.0, 99.9])
def test_a_value_that_stands_for_missing_ones_is_warned_of(value):
    frame = pd.DataFrame({"load": 10 + np.sin(np.arange(40.0))})
    frame.loc[[3, 17], "load"] = value
    told = rf"'load' holds {value:g} 2 times, far from all other values \(9.* to 11\).*\.replace\({value:g}, float"
    with pytest.warns(UserWarning, match=told):
        fitted(frame, ForecastTask("load", 1, 1), rows=40)


def test_nines_among_others_and_one_peak_are_no_stand_ins():
    for values in ([50.0, 99, 75, 99, 60, 20], [1.0, 2, 999, 1, 2, 1], [0.0, 0, 99, 0, 99, 0]):
        fitted(pd.DataFrame({"load": values}), ForecastTask("load", 1, 1), rows=6)  # warnings are errors in the tests


def test_what_rounding_leaves_of_a_step_is_none():
    frame = pd.DataFrame({"load": np.repeat([0.1 + 0.2, 0.3, 1000.0, 0.3], 10)})
    fitted(frame, ForecastTask("load", 1, 1), rows=40)  # warnings are errors in the tests


def test_a_flat_series_has_an_offset_by_the_steps_of_the_others():
    rows = {"day": [0, 1, 2] * 3, "shop": list("aaabbbccc"), "load": [1.0, 2, 3, 7, 7, 7, 1e8, 1e8, 1e8]}
    preparation = fitted(pd.DataFrame(rows), ForecastTask("load", 1, 1, time="day", series="shop"), rows=3)
    assert preparation.offset == ((0.0,), (0.0,), (1e8,))


def test_statistics_of_a_high_level_are_exact():
    frame = pd.DataFrame({"load": 2e9 + np.array([1.0, 3, 1, 3]), "clock": 28_400_000.0 + np.arange(4)})
    preparation = fitted(frame, ForecastTask("load", 1, 1, known="clock"), rows=4)
    assert preparation.level == preparation.offset == ((2e9 + 2,),)
    assert preparation.deviation == preparation.scale == ((1.0,),)
    assert preparation.column_offset == {"clock": 28_400_001.5}
    assert preparation.moments["clock"] == (28_400_001.5, pytest.approx(np.sqrt(1.25)))


def test_what_earlier_versions_did_not_know_is_not_in_a_file_that_needs_none_of_it():
    task = ForecastTask("load", 1, 1, season_length=2)
    state = fitted(pd.DataFrame({"load": [1.0, 3, 2, 6, 99]}), task, rows=4).to_dict()
    assert {"level", "deviation", "scale"} < set(state)
    assert {"naive_scale", "offset", "column_offset"}.isdisjoint(state)
    assert Preparation.from_dict(state).of_series("offset", np.array([0, 1])).tolist() == [[0.0], [0.0]]


def test_a_target_without_a_value_to_train_on_is_refused():
    frame = pd.DataFrame({"load": range(6), "heat": [NAN, NAN, NAN, 1, 2, 3]})
    with pytest.raises(ValueError, match="Target 'heat' has no value in the training rows: there is nothing to learn"):
        fitted(frame, ForecastTask(("load", "heat"), 1, 1), rows=3)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_a_target_that_is_constant_in_training_is_refused(value):
    frame = pd.DataFrame({"load": [value] * 7 + [5.0]})
    with pytest.raises(ValueError, match="Target 'load' is constant over the training rows: there is nothing to learn"):
        fitted(frame, ForecastTask("load", 1, 1), rows=7)


def test_one_constant_series_among_others_is_allowed():
    frame = pd.DataFrame({"day": [0, 1, 2] * 2, "shop": list("aaabbb"), "load": [7.0, 7, 7, 1, 2, 3]})
    preparation = fitted(frame, ForecastTask("load", 1, 1, time="day", series="shop"), rows=3)
    assert preparation.deviation == ((0.0,), (pytest.approx(np.sqrt(2 / 3)),))


@pytest.mark.parametrize(("value", "scale"), [(0.5, 0.5), (-0.5, 0.5), (7.0, 1.0), (0.0, 1.0)])
def test_a_constant_series_has_the_scale_of_the_others_or_its_level_if_that_is_less_and_none_for_mase(value, scale):
    frame = pd.DataFrame({"day": [0, 1, 2] * 2, "shop": list("aaabbb"), "load": [value] * 3 + [1, 2, 3]})
    task = ForecastTask("load", 1, 1, time="day", series="shop", season_length=1)
    preparation = fitted(frame, task, rows=3)
    assert preparation.scale == ((scale,), (1.0,))
    assert preparation.naive_scale == ((0.0,), (1.0,))


def test_a_season_as_long_as_the_training_rows_is_refused():
    frame = pd.DataFrame({"load": [1.0, 2, 3, 4, 5, 6]})
    assert fitted(frame, ForecastTask("load", 1, 1, season_length=3), rows=4).scale == ((3.0,),)
    with pytest.raises(ValueError, match="`season_length` is 4, but the longest series has 4 training rows"):
        fitted(frame, ForecastTask("load", 1, 1, season_length=4), rows=4)


def test_statistics_of_an_unseen_series_are_the_median():
    frame = pd.DataFrame({"shop": list("aaabbb"), "day": [0, 1, 2] * 2, "load": [0.0, 1, 2, 3, 5, 7]})
    task = ForecastTask("load", 1, 1, time="day", series="shop", season_length=1)
    preparation = fitted(frame, task, rows=3)
    assert preparation.of_series("level", np.array([1, 2, 0])).tolist() == [[1.0], [5.0], [3.0]]
    assert preparation.of_series("scale", np.array([0])).tolist() == [[1.5]]


def test_a_fitted_preparation_survives_json():
    frame = pd.DataFrame(
        {
            "time": pd.date_range("2024-03-30", periods=12, freq="h", tz="Europe/Berlin"),
            "load": [1.0, 2, None, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            "sky": ["sun", "rain"] * 6,
            "price": range(12),
        }
    )
    task = ForecastTask("load", 1, 2, time="time", observed="sky", known="price", calendar="hour", season_length=2)
    for level in (0, 2e9):
        frame[["load", "price"]] += level
        preparation = Windows(frame, task).preparation
        again = Preparation.from_dict(json.loads(json.dumps(preparation.to_dict())))
        assert again == preparation
    assert again.column_offset and again.offset
    assert hash(again.task) == hash(task)
    assert again.channels == preparation.channels
    assert (again.time_zone, again.train_ends) == ("Europe/Berlin", ("2024-03-30T12:00:00+01:00",))
