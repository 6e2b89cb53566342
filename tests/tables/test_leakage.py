import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import datasets
from rnn_toolkit.tables.leakage import check_leakage
from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows, split_by_time

CO2 = ForecastTask("co2", horizon=8, lookback=16, season_length=52)
WEATHER = ForecastTask(
    "temperature",
    horizon=24,
    lookback=48,
    time="time",
    series="airport",
    observed=("wind_direction", "pressure"),
    known="precipitation",
    calendar="hour",
    season_length=24,
)
WAVE = ForecastTask("load", horizon=2, lookback=4)


@pytest.fixture(scope="module")
def co2():
    return datasets.load_co2()


@pytest.fixture(scope="module")
def weather():
    """Return the first month at the three airports."""
    frame = datasets.load_weather()
    return frame[frame["time"] < "2013-02-01"]


def wave(**columns) -> pd.DataFrame:
    return pd.DataFrame({"load": np.sin(np.arange(60.0)), **columns})


def leaks(report: pd.DataFrame) -> list[str]:
    """Return the checks that found something."""
    return report.loc[report["leaks"], "check"].tolist()


# ---------------------------------------------------------------------------------------------------------------------
# what does not leak
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0, 10])
def test_splits_of_real_tables_do_not_leak(gap, co2, weather):
    for frame, task in ((co2, CO2), (weather, WEATHER)):
        report = check_leakage(frame, task, gap=gap)
        assert leaks(report) == []
        assert len(report) == 14
        assert set(report["evidence"]) == {"nothing changed", "0 rows are targets of both"}


@pytest.mark.parametrize(
    "columns",
    [
        {"wind": [True, False] * 30},
        {"wind": pd.Categorical(["a", "b", "c"] * 20)},
        {"wind": pd.Categorical([1, 2, None] * 20)},
        {"wind": pd.Categorical([True, False] * 30)},
        {"wind": pd.array([True, None, False] * 20, dtype="boolean")},
        {"wind": pd.array([1, None, 3] * 20, dtype="Int64")},
        {"wind": 1},
    ],
)
def test_covariates_of_every_type_can_be_checked(columns):
    assert leaks(check_leakage(wave(**columns), ForecastTask("load", 2, 4, observed="wind"))) == []


def test_series_that_begin_late_lack_a_target_or_are_never_seen_do_not_leak():
    rows = {"day": [*range(40), *range(10, 40), *range(35, 40)], "shop": ["a"] * 40 + ["b"] * 30 + ["c"] * 5}
    load = np.sin(np.arange(75.0))
    frame = pd.DataFrame(rows | {"load": load, "heat": np.where(np.arange(75) < 62, np.nan, load)})
    frame.loc[:39, "heat"] = load[:40]  # shop b has no heat in its training rows, shop c no training rows
    task = ForecastTask(("load", "heat"), 2, 3, time="day", series="shop")
    assert leaks(check_leakage(frame, task, validation=8, test=8)) == []


def test_a_table_in_a_time_zone_can_be_checked():
    frame = wave().set_index(pd.date_range("2024-03-30", periods=60, freq="h", tz="Europe/Berlin"))
    assert leaks(check_leakage(frame, WAVE, validation="2024-03-31 12:00")) == []


def test_a_split_without_test_rows_can_be_checked():
    assert len(check_leakage(wave(), WAVE, test=0)) == 6


def test_filling_forward_before_the_split_does_not_leak(co2):
    assert leaks(check_leakage(co2, CO2, pipeline=lambda table: split_by_time(table.ffill(), CO2))) == []


def test_the_table_stays_as_it_was():
    frame = wave()
    check_leakage(frame, WAVE)
    pd.testing.assert_frame_equal(frame, wave())


# ---------------------------------------------------------------------------------------------------------------------
# what does
# ---------------------------------------------------------------------------------------------------------------------


def test_scaling_before_the_split_is_found(co2):
    def pipeline(table):
        return split_by_time((table - table.mean()) / table.std(), CO2)

    found = leaks(check_leakage(co2, CO2, pipeline=pipeline))
    assert "training inputs against later rows" in found
    assert "validation targets against test rows" in found


@pytest.mark.parametrize("fill", [lambda table: table.interpolate(), lambda table: table.bfill()])
def test_filling_missing_values_from_later_rows_is_found(fill, co2):
    report = check_leakage(co2, CO2, pipeline=lambda table: split_by_time(fill(table), CO2))
    assert "training targets against later rows" in leaks(report)
    assert "validation targets against test rows" in leaks(report)


def test_a_centred_moving_average_is_found():
    def pipeline(table):
        return split_by_time(table.rolling(3, center=True, min_periods=1).mean(), WAVE)

    assert "training targets against later rows" in leaks(check_leakage(wave(), WAVE, pipeline=pipeline))


def test_targets_used_twice_are_found():
    def pipeline(table):
        return Windows(table[:40], WAVE), Windows(table[30:50], WAVE), Windows(table[46:], WAVE)

    report = check_leakage(wave(), WAVE, validation=10, test=10, pipeline=pipeline).set_index("check")
    training = report.loc["training targets among later ones"]
    assert (training["leaks"], training["evidence"]) == (True, "6 rows are targets of both")  # rows 34 to 39
    assert report.loc["earlier targets among test targets", "evidence"] == "0 rows are targets of both"


def test_category_codes_of_all_rows_are_found(weather):
    def pipeline(table):
        return split_by_time(table.assign(wind_direction=table["wind_direction"].astype("category").cat.codes), WEATHER)

    found = leaks(check_leakage(weather, WEATHER, pipeline=pipeline))
    assert "training inputs against later rows" in found


def test_arrays_of_ones_own_are_checked_too():
    def cut(values):
        blocks = np.lib.stride_tricks.sliding_window_view(values, 6)
        return blocks[:, :4], blocks[:, 4:]

    def clean(table):
        values = table["load"].to_numpy()
        return cut(values[:42]), cut(values[38:51]), cut(values[47:])

    def leaking(table):
        return clean(table / table.max())

    assert leaks(check_leakage(wave(), WAVE, pipeline=clean)) == []
    assert "training inputs against test rows" in leaks(check_leakage(wave(), WAVE, pipeline=leaking))


def test_another_number_of_windows_is_found():
    def pipeline(table):
        return split_by_time(table[table["load"] < table["load"].mean()].reset_index(drop=True), WAVE)

    report = check_leakage(wave(), WAVE, pipeline=pipeline)
    assert "training windows against later rows" in leaks(report)


# ---------------------------------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------------------------------


def test_a_pipeline_that_returns_two_parts_is_refused():
    with pytest.raises(ValueError, match="not enough values to unpack"):
        check_leakage(wave(), WAVE, pipeline=lambda table: split_by_time(table, WAVE)[:2])


def test_a_pipeline_that_returns_no_arrays_is_refused():
    with pytest.raises(
        TypeError, match=r"`pipeline` must return `Windows`, arrays, or tuples of arrays. Received: dict"
    ):
        check_leakage(wave(), WAVE, pipeline=lambda table: ({}, {}, {}))
