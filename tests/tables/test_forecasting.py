"""Forecasts come in the shape of the user's table; intervals cover; what is missing is named."""

import datetime
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import rnn_toolkit as rt
from rnn_toolkit.tables.layers import RawUnits, raw_units_of


def quick() -> list[keras.Layer]:
    """Return the quickest layers there are between patches and decoder."""
    return [keras.layers.GlobalAveragePooling1D()]


def repeats_last_season(task, frame, **options) -> keras.Model:
    """Return a forecaster that repeats the last season (the last value without one), and adds nothing to it."""
    model = rt.build_forecaster(rt.Windows(frame, task), quick(), patch_length=1, **options)
    highway = raw_units_of(model).core
    kernel = np.zeros((task.lookback + 1, task.horizon), dtype="float32")
    if task.season_length is not None:
        steps = np.arange(task.horizon)
        kernel[task.lookback - task.season_length + steps % task.season_length, steps] = 1
    highway.start_from(kernel)
    return model


@pytest.fixture(scope="module")
def days() -> pd.DataFrame:
    """Return a saw of seven days, 0 to 6, for ten weeks."""
    index = pd.date_range("2024-01-01", periods=70, freq="D", name="day")
    return pd.DataFrame({"sales": np.arange(70.0) % 7}, index=index)


@pytest.fixture(scope="module")
def weekly(days):
    """Return a model that repeats the last week of that saw."""
    return repeats_last_season(rt.ForecastTask("sales", horizon=3, lookback=14, season_length=7), days)


@pytest.fixture(scope="module")
def shops() -> pd.DataFrame:
    """Return two shops of very different size, with a promotion that is known ahead and weather that is not."""
    rows = [
        {"shop": shop, "hour": pd.Timestamp("2024-01-01") + pd.Timedelta(hours=hour), "sales": size * (hour % 4 + 1.0)}
        for shop, size in (("corner", 1), ("mall", 100))
        for hour in range(40)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(promotion=(frame.hour.dt.hour % 3).astype(float), sky="sun", rain=0.5 * frame.index)


@pytest.fixture(scope="module")
def of_shops(shops):
    """Return a model that repeats the last four hours of each shop."""
    task = rt.ForecastTask(
        "sales", 4, 8, time="hour", series="shop", known="promotion", observed=("sky", "rain"), season_length=4
    )
    return repeats_last_season(task, shops)


def coming(shops, hours=4) -> pd.DataFrame:
    """Return the future rows of all shops."""
    times = pd.date_range(shops.hour.max(), periods=hours + 1, freq="h")[1:]
    return pd.DataFrame([(shop, time, 1.0) for shop in shops.shop.unique() for time in times],
                        columns=["shop", "hour", "promotion"])  # fmt: skip


def test_the_forecast_goes_on_where_the_table_ends_in_its_units(weekly, days):
    result = rt.forecast(weekly, days)
    assert result.index.tolist() == list(pd.date_range("2024-03-11", periods=3))
    assert result.index.name == "day" and list(result.columns) == ["sales"]
    assert result.attrs["roles"] == {"time": None, "series": None, "target": ["sales"], "frequency": "D"}
    assert result.sales.tolist() == pytest.approx([0, 1, 2], abs=1e-5)


def test_recent_rows_are_enough(weekly, days):
    pd.testing.assert_frame_equal(rt.forecast(weekly, days.tail(14)), rt.forecast(weekly, days))


def test_beyond_the_horizon_forecasts_are_fed_back(weekly, days):
    result = rt.forecast(weekly, days, horizon=10)
    assert result.sales.tolist() == pytest.approx([0, 1, 2, 3, 4, 5, 6, 0, 1, 2], abs=1e-4)


def test_a_shorter_forecast_is_the_start_of_the_whole(weekly, days):
    assert rt.forecast(weekly, days, horizon=2).sales.tolist() == pytest.approx([0, 1], abs=1e-5)


def test_the_table_is_not_changed(weekly, days):
    before = days.copy()
    rt.forecast(weekly, days, horizon=10)
    pd.testing.assert_frame_equal(days, before)


def test_whole_number_time_goes_on_counting():
    frame = pd.DataFrame({"y": np.arange(30.0)}, index=pd.RangeIndex(0, 150, 5))
    model = repeats_last_season(rt.ForecastTask("y", horizon=2, lookback=4), frame)
    result = rt.forecast(model, frame)
    assert result.index.tolist() == [150, 155] and result.y.tolist() == pytest.approx([29, 29], abs=1e-4)


def test_month_ends_stay_month_ends():
    index = pd.date_range("2020-01-31", periods=30, freq="ME", name="month")
    frame = pd.DataFrame({"y": np.arange(30.0)}, index=index)
    model = repeats_last_season(rt.ForecastTask("y", horizon=3, lookback=4), frame)
    assert [str(day.date()) for day in rt.forecast(model, frame).index] == ["2022-07-31", "2022-08-31", "2022-09-30"]


def test_missing_rows_and_values_in_the_recent_rows_are_filled(weekly, days):
    holed = days.drop(days.index[-3])
    holed.iloc[-6, 0] = np.nan
    assert rt.forecast(weekly, holed).shape == (3, 1)


def test_rows_behind_the_last_value_are_no_history(weekly, days):
    coming = days.reindex(pd.date_range("2024-01-01", periods=75, name="day"))
    message = r"ends with 5 rows without a value of 'sales' in the table, from 2024-03-11 .*how='all'\)`.*`future`"
    with pytest.raises(ValueError, match=message):
        rt.forecast(weekly, coming)
    pd.testing.assert_frame_equal(
        rt.forecast(weekly, coming.dropna(subset=["sales"], how="all")), rt.forecast(weekly, days)
    )
    with pytest.raises(ValueError, match="ends with 70 rows without a value of 'sales'"):
        rt.forecast(weekly, days.assign(sales=np.nan))


def test_rows_behind_the_last_value_of_one_series_are_named_and_what_was_measured_is_history(of_shops, shops):
    blind = shops.assign(sales=shops.sales.where((shops.shop == "corner") | (shops.index < 77)))
    rt.forecast(of_shops, blind, future=coming(shops))  # it rains on: only the sales of three hours are missing
    blind = blind.assign(sky=blind.sky.where(blind.sales.notna()), rain=blind.rain.where(blind.sales.notna()))
    with pytest.raises(ValueError, match=r"3 rows without .* in series 'mall', from 2024-01-02 13:00:00 on"):
        rt.forecast(of_shops, blind, future=coming(shops))


def months(first: str, count=30, every=1) -> pd.DatetimeIndex:
    """Return the same day of each month, the last one of months that are too short."""
    return pd.DatetimeIndex([pd.Timestamp(first) + pd.DateOffset(months=every * one) for one in range(count)])


def clock(first: str, zone: str, *, frequency="D", second=False) -> pd.DatetimeIndex:
    """Return steps of a wall clock: a skipped hour stands for its end, of a repeated one the first or the second."""
    times = pd.date_range(first, periods=30, freq=frequency)
    return times.tz_localize(zone, nonexistent="shift_forward", ambiguous=np.full(30, not second))


AXES = {
    # 4 November 2018 and 26 April 2024 begin at 1 o'clock; 3 November 2024 begins twice.
    "midnight skipped in the table": clock("2018-10-20", "America/Sao_Paulo"),
    "midnight skipped in the first row": clock("2018-11-04", "America/Sao_Paulo"),
    "midnight skipped in the forecast": clock("2024-03-30", "Africa/Cairo"),
    "midnight skipped, weeks": clock("2018-08-05", "America/Sao_Paulo", frequency="W-SUN"),
    "midnight skipped, months": clock("2016-12-01", "America/Asuncion", frequency="MS"),
    "midnight twice, the first": clock("2024-10-20", "America/Havana"),
    "midnight twice, the second": clock("2024-10-20", "America/Havana", second=True),
    "midnight twice in the forecast": clock("2024-10-08", "America/Havana"),
    "hours across it": pd.date_range("2024-11-02", periods=30, freq="h", tz="America/Havana"),
    "half seconds": pd.date_range("2024-01-01 00:00:35", periods=30, freq="500ms"),
    "hundreds of nanoseconds": pd.date_range("2024", periods=30, freq="100ns", unit="ns"),
    "seconds": pd.date_range("2024", periods=30, freq="D", unit="s"),
    "nanoseconds": pd.date_range("2024", periods=30, freq="h", unit="ns", tz="UTC"),
    "early years": pd.date_range("1066", periods=30, freq="YS", unit="s"),
    "late days": pd.date_range("9000", periods=30, freq="D", unit="ms"),
    "every other business day": pd.date_range("2024", periods=30, freq="2B"),
    "the 15th": months("2024-01-15"),
    "the 15th, at night": months("2024-01-15 06:30").tz_localize("Europe/Berlin"),
    "the 30th": months("2024-01-30"),
    "the 15th of each quarter": months("2024-02-15", every=3),
    "the fourth of July": months("1976-07-04", every=12),
    "months": pd.period_range("2020-01", periods=30, freq="M"),
    "weeks": pd.period_range("2020-01", periods=30, freq="W-WED"),
    "quarters": pd.period_range("2020-01", periods=30, freq="Q-FEB"),
    "years as numbers": pd.Index(np.arange(1990, 2020, dtype="int16")),
    "decades as numbers": pd.RangeIndex(1700, 2000, 10),
    "numbers that may be missing": pd.Index(pd.array(range(30), dtype="Int64")),
}


@pytest.mark.parametrize("where", ["index", "column"])
@pytest.mark.parametrize("name", AXES)
def test_the_axis_goes_on_as_it_came(name, where):
    times = AXES[name].rename("when")
    frame = pd.DataFrame({"y": np.arange(30.0)}, index=times)
    task = rt.ForecastTask("y", horizon=4, lookback=5, time=None if where == "index" else "when")
    shape = (lambda table: table) if where == "index" else pd.DataFrame.reset_index
    fitted = rt.Windows(shape(frame[:20]), task).preparation
    model = repeats_nothing(type(fitted).from_dict(json.loads(json.dumps(fitted.to_dict()))))
    result = rt.forecast(model, shape(frame[:26]))
    pd.testing.assert_frame_equal(result, shape(frame[26:].assign(y=0.0)), check_freq=False)
    assert rt.forecast(model, shape(frame[20:26])).equals(result)  # recent rows only
    again = rt.forecast(
        model, pd.concat([shape(frame[:22]), rt.forecast(model, shape(frame[:22]))], ignore_index=False)
    )
    assert shape(result).equals(shape(again))
    assert len(rt.Windows.after_training(shape(frame), fitted).starts) == 7


def test_numbers_that_grow_out_of_their_type_are_not_wrapped():
    frame = pd.DataFrame({"y": np.arange(30.0)}, index=np.arange(96, 126, dtype="int8"))
    model = repeats_nothing(rt.Windows(frame, rt.ForecastTask("y", horizon=4, lookback=5)).preparation)
    assert rt.forecast(model, frame).index.tolist() == [126, 127, 128, 129]


def test_a_model_that_has_diverged_forecasts_an_error(weekly, days):
    model = keras.models.clone_model(weekly)
    model.set_weights([np.full_like(weight, np.nan) for weight in weekly.get_weights()])
    with pytest.raises(ValueError, match="The model forecasts NaN or infinity in 3 of 3 values: its training diverged"):
        rt.forecast(model, days)
    with pytest.raises(ValueError, match="The model forecasts NaN or infinity"):
        rt.conformalize(model, rt.Windows(days, raw_units_of(model).preparation), level=50)


def test_zones_of_another_name_and_the_same_clock_are_one(days):
    frame = days.tz_localize("UTC")
    model = repeats_nothing(rt.Windows(frame, rt.ForecastTask("sales", 3, 14)).preparation)
    for zone in ("Etc/UTC", datetime.UTC, "Africa/Abidjan"):
        assert str(rt.forecast(model, frame.tz_convert(zone)).index.tz) == str(frame.tz_convert(zone).index.tz)
    for other in (frame.tz_convert("Europe/London").shift(180, freq="D"), days):
        with pytest.raises(ValueError, match=r"The time axis is in time zone (Europe/London|None), but .* UTC"):
            rt.forecast(model, other)


def test_many_series_come_out_each_in_its_units_with_its_name(of_shops, shops):
    result = rt.forecast(of_shops, shops, future=coming(shops))
    assert list(result.columns) == ["hour", "shop", "sales"]
    assert result.attrs["roles"] == {"time": "hour", "series": "shop", "target": ["sales"], "frequency": "h"}
    assert result.shop.tolist() == ["corner"] * 4 + ["mall"] * 4
    assert result.sales.tolist() == pytest.approx([1, 2, 3, 4, 100, 200, 300, 400], rel=1e-4)
    assert result.hour.iloc[0] == pd.Timestamp("2024-01-02 16:00")


def test_series_that_end_at_different_times_go_on_from_their_own_end(shops):
    task = rt.ForecastTask("sales", 2, 8, time="hour", series="shop", season_length=4)
    model = repeats_last_season(task, shops)
    shorter = shops[(shops.shop == "mall") | (shops.hour < "2024-01-02")]
    result = rt.forecast(model, shorter).groupby("shop").hour.min()
    assert result.to_dict() == {"corner": pd.Timestamp("2024-01-02"), "mall": pd.Timestamp("2024-01-02 16:00")}


@pytest.mark.filterwarnings("ignore:None of the series in column")
def test_a_series_never_seen_is_forecast_in_its_own_units(of_shops, shops):
    new = shops[shops.shop == "mall"].assign(shop="kiosk", sales=lambda rows: rows.sales / 1e4)
    result = rt.forecast(of_shops, new, future=coming(new))
    assert result.shop.unique().tolist() == ["kiosk"]
    assert result.sales.tolist() == pytest.approx([0.01, 0.02, 0.03, 0.04], rel=1e-3)


def test_several_targets_have_columns_of_their_own(days):
    frame = days.assign(visits=days.sales * 1000)
    model = repeats_last_season(rt.ForecastTask(("sales", "visits"), 3, 14, season_length=7), frame)
    result = rt.forecast(model, frame)
    assert result.visits.tolist() == pytest.approx([0, 1000, 2000], abs=0.1)


def test_known_future_values_reach_the_model(of_shops, shops):
    windows = rt.Windows(shops, raw_units_of(of_shops).preparation)
    model = rt.build_forecaster(windows, quick(), patch_length=1, normalization="window")
    kernel = raw_units_of(model).core.core.layers[-1].head.kernel
    kernel.assign(np.ones(kernel.shape))  # an untrained head says nothing
    low, high = (rt.forecast(model, shops, future=coming(shops).assign(promotion=value)) for value in (1.0, 2.0))
    assert (low.sales != high.sales).all()


def test_future_rows_may_come_in_any_order_and_with_more_than_needed(of_shops, shops):
    future = coming(shops, hours=9)
    mixed = future.sort_values(["hour", "shop"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(
        rt.forecast(of_shops, shops, future=mixed), rt.forecast(of_shops, shops, future=coming(shops))
    )


@pytest.fixture(scope="module")
def of_prices(shops):
    """Return shops by number in local time, whose promotion is known, too, and a model that forecasts the price."""
    frame = shops.assign(
        shop=shops.shop.map({"corner": 1, "mall": 2}), hour=shops.hour.dt.tz_localize("Europe/Berlin"), sky="sun",
        promotion=np.where(shops.promotion == 0, "yes", "no"), price=np.arange(80.0),
    )  # fmt: skip
    task = rt.ForecastTask("sales", 4, 8, time="hour", series="shop", known=("price", "promotion"))
    return frame, shows_prices_ahead(rt.Windows(frame, task).preparation)


def shows_prices_ahead(preparation) -> keras.Model:
    """Return a model whose forecasts of all steps are the standardised prices of those steps."""

    class Shown(keras.layers.Layer):
        def call(self, inputs):  # sales, price, two numbers for the promotion, the price four rows ahead, ...
            return inputs[:, -4:, 4:5]

    layer = RawUnits(Shown(), preparation, normalization=None)
    return keras.Sequential([keras.Input((preparation.task.lookback, len(preparation.channels))), layer])


def to_come(frame) -> pd.DataFrame:
    """Return six rows a shop behind the table: prices 100 to 105 and 200 to 205."""
    hours = pd.date_range(frame.hour.max(), periods=7, freq="h")[1:]
    table = [(shop, hour, 100.0 * shop + step, "no") for shop in (1, 2) for step, hour in enumerate(hours)]
    return pd.DataFrame(table, columns=["shop", "hour", "price", "promotion"])


FUTURES = {
    "as it should be": lambda future, frame: future,
    "unsorted": lambda future, frame: future.sample(frac=1, random_state=0),
    "with an index of its own": lambda future, frame: future.set_axis([7] * len(future)),
    "with other series": lambda future, frame: pd.concat([future, future.assign(shop=9), future.assign(shop=np.nan)]),
    "overlapping with the past": lambda future, frame: pd.concat([frame[future.columns], future]),
    "with the past twice": lambda future, frame: pd.concat([frame[future.columns], frame[future.columns], future]),
    "at times between": lambda future, frame: pd.concat([future, future.assign(hour=future.hour + HALF, price=-1.0)]),
    "in UTC": lambda future, frame: future.assign(hour=future.hour.dt.tz_convert("UTC")),
    "in New York": lambda future, frame: future.assign(hour=future.hour.dt.tz_convert("America/New_York")),
    "in other units": lambda future, frame: future.assign(hour=future.hour.dt.as_unit("ns")),
    "with other columns": lambda future, frame: future.assign(sales=np.nan, note="x", rain="a"),
    "ids as floats": lambda future, frame: future.assign(shop=future.shop.astype(float)),
    "ids as text": lambda future, frame: future.assign(shop=future.shop.astype(str)),
    "ids as categories": lambda future, frame: future.astype({"shop": "category"}),
    "fewer categories": lambda future, frame: future.astype({"promotion": "category"}),
    "one more category": lambda future, frame: future.assign(promotion=["maybe", *future.promotion[1:]]),
    "prices as objects": lambda future, frame: future.astype({"price": object}),
    "whole prices": lambda future, frame: future.astype({"price": "Int64"}),
    "keys in the index": lambda future, frame: future.set_index(["shop", "hour"]),
}
HALF = pd.Timedelta(minutes=30)


@pytest.mark.parametrize("name", FUTURES)
def test_of_a_future_is_taken_what_is_needed(name, of_prices):
    frame, model = of_prices
    result = rt.forecast(model, frame, future=FUTURES[name](to_come(frame), frame))
    mean, deviation = raw_units_of(model).preparation.moments["price"]
    assert (result.sales * deviation + mean).tolist() == pytest.approx([100, 101, 102, 103, 200, 201, 202, 203])
    assert result.shop.tolist() == [1] * 4 + [2] * 4


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda future: future.to_numpy(), TypeError, "`future` must be a pandas DataFrame. Received: ndarray"),
        (lambda future: future.iloc[:0], ValueError, "`future` is empty"),
        (
            lambda future: future.assign(hour=future.hour.dt.tz_localize(None)),
            ValueError,
            r"`future` does not go on .*datetime64\[.s\], those",
        ),
        (lambda future: future.assign(hour=range(12)), ValueError, "`future` does not go on from `frame`: .*int64"),
        (
            lambda future: future.assign(hour=future.hour.astype(str)),
            TypeError,
            "`future` does not go on .*to_datetime",
        ),
        (
            lambda future: future.assign(hour=future.hour.where(future.shop == 1)),
            ValueError,
            "`future`.* lacks a timest",
        ),
        (
            lambda future: future.assign(price="cheap"),
            ValueError,
            "`future` does not fit: .*'price' holds text, but num",
        ),
        (lambda future: future.assign(promotion=1), ValueError, "`future` does not fit: .*'promotion' holds numbers"),
        (
            lambda future: future.assign(price=np.inf),
            ValueError,
            "`future` holds an infinite 'price' for 1 at 2024-01-02",
        ),
        (lambda future: future[future.shop == 1], ValueError, "`future` lacks 'price' for 2 at 2024-01-02 16:00"),
        (
            lambda future: future.assign(hour=future.hour + HALF),
            ValueError,
            "`future` lacks 'price' for 1 at .* and 3 mo",
        ),
        (
            lambda future: pd.concat([future, future[2:3]]),
            ValueError,
            "`future` has more than one row for 1 at .*18:00",
        ),
        (
            lambda future: pd.concat([future, future.price], axis=1),
            ValueError,
            "`future` has more than one column 'price'",
        ),
    ],
)
def test_a_future_that_does_not_fit_is_told_by_its_name(change, error, message, of_prices):
    frame, model = of_prices
    with pytest.raises(error, match=message):
        rt.forecast(model, frame, future=change(to_come(frame)))


def test_a_future_of_unknown_words_alone_is_told(of_prices):
    frame, model = of_prices
    with pytest.warns(UserWarning, match="None of the values of `future` in column 'promotion' was there in training"):
        rt.forecast(model, frame, future=to_come(frame).assign(promotion="nope"))


def test_the_time_of_a_future_may_be_a_column_where_that_of_the_table_is_its_index(days):
    frame = days.assign(price=1.0)
    model = repeats_last_season(rt.ForecastTask("sales", 3, 14, known="price", season_length=7), frame)
    future = pd.DataFrame({"price": 1.0, "day": pd.date_range("2024-03-11", periods=3)})
    assert rt.forecast(model, frame, future=future).sales.tolist() == pytest.approx([0, 1, 2], abs=1e-5)
    assert rt.forecast(model, frame.to_period("D"), future=future).index.dtype == "period[D]"


def shop_with(rows, shop, size) -> pd.DataFrame:
    return pd.DataFrame(
        {"shop": shop, "day": np.arange(40 - rows, 40), "sales": size * (1 + np.arange(40 - rows, 40) % 4)}
    )


def test_one_short_series_does_not_block_the_others_and_is_named():
    task = rt.ForecastTask("sales", 4, 8, time="day", series="shop", season_length=4)
    whole = pd.concat([shop_with(40, "a", 1.0), shop_with(40, "b", 100.0)])
    model = repeats_last_season(task, whole)
    frame = pd.concat([shop_with(3, "new", 7.0), whole, shop_with(7, "c", 9.0)])
    with pytest.warns(UserWarning, match=r"too few recent rows: series 'new' has 3, series 'c' has 7, and .* back 8"):
        result = rt.forecast(model, frame, level=None)
    pd.testing.assert_frame_equal(result, rt.forecast(model, whole))
    with pytest.raises(ValueError, match=r"too few recent rows: series 'new' has 3, .*Pass at least the last 8 rows"):
        rt.forecast(model, pd.concat([shop_with(3, "new", 7.0), shop_with(7, "c", 9.0)]))


def test_a_short_series_is_padded_as_in_training():
    task = rt.ForecastTask("sales", 4, 8, time="day", series="shop", season_length=4)
    frame = pd.concat([shop_with(40, "a", 1.0), shop_with(5, "b", 100.0)])
    windows = rt.Windows(frame, task, short="pad")
    assert windows.preparation.padded
    layer = RawUnits(Spy(), windows.preparation, normalization=None)
    model = keras.Sequential([keras.Input((8, 3)), layer])
    assert rt.forecast(model, frame).shop.tolist() == ["a"] * 4 + ["b"] * 4
    assert layer.core.seen[1, :, 0].tolist() == pytest.approx(
        [windows.preparation.level[1][0]] * 3 + [400, 100, 200, 300, 400]
    )
    assert layer.core.seen[1, :, 1].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]  # sales_missing
    state = windows.preparation.to_dict()
    del state["padded"]  # as saved before it was kept
    assert not type(windows.preparation).from_dict(state).padded


class Spy(keras.layers.Layer):
    """A layer that notes what it is given."""

    def call(self, inputs):
        self.seen = None if keras.utils.is_keras_tensor(inputs) else np.asarray(inputs)
        return inputs[:, -4:, :1]


def test_a_table_of_another_library_is_told_how_to_come(weekly, days):
    class Frame:
        __module__ = "polars.dataframe.frame"
        __name__ = "DataFrame"

        def to_pandas(self):
            return days

    Frame.__name__ = "DataFrame"
    message = r"must be a pandas DataFrame\. Received: DataFrame of polars\. Pass `\.to_pandas\(\)`"
    for use in (rt.forecast, rt.backtest):
        with pytest.raises(TypeError, match=f"`frame` {message}"):
            use(weekly, Frame())
    with pytest.raises(TypeError, match=f"`frame` {message}"):
        rt.split_by_time(Frame(), rt.ForecastTask("sales", 3, 14))
    model = repeats_last_season(rt.ForecastTask("sales", 3, 14, known="price"), days.assign(price=1.0))
    with pytest.raises(TypeError, match=f"`future` {message}"):
        rt.forecast(model, days.assign(price=1.0), future=Frame())


def test_time_in_the_index_works_with_known_columns(days):
    frame = days.assign(price=1.0)
    model = repeats_last_season(rt.ForecastTask("sales", 3, 14, known="price", season_length=7), frame)
    future = pd.DataFrame({"price": 1.0}, index=pd.date_range("2024-03-11", periods=3))
    assert rt.forecast(model, frame, future=future).sales.tolist() == pytest.approx([0, 1, 2], abs=1e-5)


def noisy(rows, seed=0) -> pd.DataFrame:
    """Return noise of mean 0 and deviation 1 around 10: the best forecast is 10, whatever came before."""
    noise = np.random.default_rng(seed).normal(10, 1, size=rows)
    return pd.DataFrame({"y": noise}, index=pd.date_range("2024", periods=rows, freq="h"))


def repeats_nothing(preparation) -> keras.Model:
    """Return a model that forecasts 0."""
    shape = preparation.task.horizon, len(preparation.task.target)
    zeros = keras.layers.Dense(math.prod(shape), kernel_initializer="zeros")
    core = keras.Sequential([keras.layers.Flatten(), zeros, keras.layers.Reshape(shape)])
    layer = RawUnits(core, preparation, normalization=None)
    return keras.Sequential([keras.Input((preparation.task.lookback, len(preparation.channels))), layer])


@pytest.fixture(scope="module")
def calibrated():
    """Return a calibrated model of noise, its task, and rows it has never seen."""
    frame = noisy(1000)
    task = rt.ForecastTask("y", horizon=2, lookback=6)
    train, validation, _ = rt.split_by_time(frame, task, validation=0.5, test=0)
    model = rt.build_forecaster(train, quick(), patch_length=1)
    return model, rt.conformalize(model, validation, level=[50, 80]), task


def test_calibrated_intervals_cover_what_they_say(calibrated):
    _, model, _ = calibrated
    fresh = rt.Windows(noisy(3000, seed=1), raw_units_of(model).preparation)
    scores = rt.score(rt.backtest(model, fresh, level=[50, 80], baselines="naive")).loc["model"]
    assert scores.coverage_50 == pytest.approx(0.5, abs=0.06)  # the margins are those of 500 rows
    assert scores.coverage_80 == pytest.approx(0.8, abs=0.05)


def test_intervals_nest_around_the_forecast(calibrated):
    _, model, _ = calibrated
    result = rt.forecast(model, noisy(20), level=[80, 50])
    order = result[["y-lo-80", "y-lo-50", "y", "y-hi-50", "y-hi-80"]].to_numpy()
    assert (np.diff(order, axis=1) >= 0).all()


def test_calibration_is_kept_in_the_model_file(calibrated, tmp_path):
    _, model, _ = calibrated
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    pd.testing.assert_frame_equal(rt.forecast(loaded, noisy(6), level=80), rt.forecast(model, noisy(6), level=80))


def test_calibration_leaves_the_model_it_is_given_alone(calibrated):
    model, copy, _ = calibrated
    assert raw_units_of(model).margins is None and copy is not model


def test_without_calibration_the_rows_behind_the_training_rows_are_used(calibrated):
    model, _, _ = calibrated
    result = rt.forecast(model, noisy(1000), level=80)
    width = result["y-hi-80"] - result["y-lo-80"]
    assert width.to_numpy() == pytest.approx(2 * 1.2816, rel=0.15)  # of a normal of deviation 1


def shows(place, preparation, **options) -> keras.Model:
    """Return a model of raw units that forecasts what stands in one encoded channel of the last row."""

    class Shown(keras.layers.Layer):
        def call(self, inputs):
            shape = (-1, preparation.task.horizon, len(preparation.task.target))
            return keras.ops.broadcast_to(inputs[:, -1:, place : place + 1], (inputs.shape[0], *shape[1:]))

    layer = RawUnits(Shown(), preparation, normalization=None, **options)
    return keras.Sequential([keras.Input((preparation.task.lookback, len(preparation.channels))), layer])


def test_what_is_fed_back_counts_as_there_and_covariates_beyond_the_horizon_as_missing():
    holed = pd.DataFrame({"y": np.arange(12.0), "rain": 1.0})
    holed.loc[[0, 5], :] = np.nan
    preparation = rt.Windows(holed, rt.ForecastTask("y", horizon=2, lookback=3, observed="rain")).preparation
    assert preparation.feature_names == ["y", "rain", "y_missing", "rain_missing"]
    assert rt.forecast(shows(2, preparation), holed, horizon=6).y.tolist() == [0, 0, 0, 0, 0, 0]
    assert rt.forecast(shows(3, preparation), holed, horizon=6).y.tolist() == [0, 0, 1, 1, 1, 1]


def test_the_margin_of_n_errors_is_the_one_that_leaves_its_share_of_n_plus_1_above():
    # A forecast of 0 and 99 values 1 to 99, in no order: a hundredth one is as likely in any of the 100 gaps.
    frame = pd.DataFrame({"y": [0.0, *np.random.default_rng(0).permutation(np.arange(1.0, 100))]})
    windows = rt.Windows(frame, rt.ForecastTask("y", horizon=1, lookback=1))
    model = repeats_nothing(windows.preparation)
    margins = raw_units_of(rt.conformalize(model, windows, level=[7, 50, 80, 90, 99])).margins
    scale = windows.preparation.scale[0][0]
    assert [margins[f"{level}"][0][0] * scale for level in (7, 50, 80, 90, 99)] == pytest.approx([7, 50, 80, 90, 99])
    with pytest.raises(ValueError, match=r"99 windows are too few for level 99.5: .*'y' has 99 values .*needs 199"):
        rt.conformalize(model, windows, level=99.5)


def test_a_target_without_truth_is_named_instead_of_given_margins_that_are_no_numbers():
    frame = pd.DataFrame({"y": np.arange(60.0) % 7, "z": np.arange(60.0) % 5})
    task = rt.ForecastTask(("y", "z"), horizon=2, lookback=3)
    model = rt.build_forecaster(rt.Windows(frame, task), quick(), patch_length=1)
    blind = rt.Windows(frame.assign(z=np.nan), raw_units_of(model).preparation)
    with pytest.raises(ValueError, match=r"56 windows .* level 80: 1 steps ahead, target 'z' has 0 values.*needs 4"):
        rt.conformalize(model, blind, level=80)


def test_intervals_of_quantiles_widen_beyond_the_horizon_and_never_saw(days):
    model = repeats_last_season(rt.ForecastTask("sales", 3, 14), days, quantiles=(0.1, 0.5, 0.9))
    raw_units_of(model).margins = {"80": [[0.0], [1.0], [2.0]]}
    result = rt.forecast(model, days, horizon=12, level=80)
    width = (result["sales-hi-80"] - result["sales-lo-80"]).to_numpy()
    assert (np.diff(width) > 0).all()
    assert width[[3, 11]] == pytest.approx(width[2] * np.sqrt([4 / 3, 4]), rel=1e-5)


def test_intervals_widen_beyond_the_horizon(calibrated):
    _, model, _ = calibrated
    result = rt.forecast(model, noisy(20), horizon=8, level=80)
    width = (result["y-hi-80"] - result["y-lo-80"]).to_numpy()
    assert width[7] == pytest.approx(width[1] * 2, rel=1e-4)  # step 8 of a horizon of 2: the root of 4


def test_a_quantile_model_gives_the_levels_its_quantiles_enclose(days):
    model = repeats_last_season(rt.ForecastTask("sales", 3, 14, season_length=7), days, quantiles=(0.1, 0.5, 0.9))
    result = rt.forecast(model, days, level=80)
    assert (result["sales-lo-80"] < result.sales).all() and (result.sales < result["sales-hi-80"]).all()


@pytest.mark.slow
def test_a_model_file_forecasts_the_same_in_a_fresh_process(tmp_path, days):
    windows = rt.Windows(days, rt.ForecastTask("sales", 3, 14, calendar="day_of_week", season_length=7))
    model = rt.build_forecaster(windows, rt.recurrent_layers("lstm", (4,)))
    model.run_eagerly = True
    rt.train(model, windows, epochs=1, progress=None)
    model.save(tmp_path / "model.keras")
    days.to_csv(tmp_path / "days.csv")
    code = (
        "import keras, pandas as pd, rnn_toolkit as rt\n"
        "days = pd.read_csv('days.csv', parse_dates=['day'], index_col='day')\n"
        "model = keras.saving.load_model('model.keras', safe_mode=True)\n"
        "print(rt.forecast(model, days.tail(14)).sales.tolist())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(rt.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().splitlines()[-1:] == [str(rt.forecast(model, days).sales.tolist())], done.stderr


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda days: days.tail(13), {}, ValueError, "too few recent rows: .*has 13, and the model looks back 14"),
        (lambda days: days.iloc[:0], {}, ValueError, "`frame` is empty"),
        (lambda days: days.sales, {}, TypeError, r"`frame` must be a pandas DataFrame\. Received: Series"),
        (lambda days: days.rename(columns={"sales": "Sales"}), {}, ValueError, "`frame` has no column 'sales'"),
        *(
            (None, {"level": level}, ValueError, "`level` must be percentages between 0 and 100")
            for level in (0, 100, "80", [50, 120])
        ),
        (None, {"level": []}, ValueError, r"`level` names no percentage\. Received: \[\]"),
        (None, {"level": 80}, ValueError, r"`level` needs rows that the model was not trained on: .*conformalize"),
        (None, {"horizon": 0}, ValueError, r"`horizon` must be at least 1\. Received: 0"),
    ],
)
def test_what_cannot_be_forecast_is_refused(weekly, days, change, options, error, message):
    with pytest.raises(error, match=message):
        rt.forecast(weekly, days if change is None else change(days), **options)


def test_known_columns_need_future_rows(of_shops, shops):
    with pytest.raises(ValueError, match=r"`future` is needed: .*'promotion'.*2024-01-02 16:00:00 to 2024-01-02 19:00"):
        rt.forecast(of_shops, shops)


def test_each_missing_future_value_is_named(of_shops, shops):
    future = coming(shops)
    future.loc[5, "promotion"] = np.nan
    with pytest.raises(ValueError, match=r"`future` lacks 'promotion' for mall at 2024-01-02 17:00:00\. Add"):
        rt.forecast(of_shops, shops, future=future)


def test_a_future_with_two_values_for_one_row_is_refused(of_shops, shops):
    future = pd.concat([coming(shops), coming(shops).tail(1).assign(promotion=9.0)])
    with pytest.raises(ValueError, match=r"`future` has more than one row for mall at 2024-01-02 19:00:00"):
        rt.forecast(of_shops, shops, future=future)


def test_a_future_without_the_known_column_is_refused(of_shops, shops):
    with pytest.raises(ValueError, match="`future` has no column 'promotion'"):
        rt.forecast(of_shops, shops, future=coming(shops).drop(columns="promotion"))


def test_a_level_that_was_not_calibrated_is_refused_and_the_others_listed(calibrated):
    _, model, _ = calibrated
    with pytest.raises(ValueError, match=r"Level 90 was not calibrated\. Available: 50, 80"):
        rt.forecast(model, noisy(10), level=90)


def test_too_few_windows_for_a_level_are_refused(calibrated):
    model, _, _ = calibrated
    with pytest.raises(ValueError, match="3 windows are too few for level 95"):
        rt.conformalize(model, rt.Windows(noisy(10), raw_units_of(model).preparation), level=95)


def test_a_model_without_preparation_is_refused(days):
    model = keras.Sequential([keras.Input((14, 1)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="carries no preparation"):
        rt.forecast(model, days)


def test_an_untrained_quantile_model_has_the_linear_model_for_its_median(days):
    windows = rt.Windows(days, rt.ForecastTask("sales", horizon=3, lookback=14, season_length=7))
    point, quantiles = (
        rt.build_forecaster(windows, quick(), patch_length=1, quantiles=each) for each in (None, (0.1, 0.5, 0.9))
    )
    assert rt.forecast(quantiles, days).sales.tolist() == pytest.approx(rt.forecast(point, days).sales.tolist())


def test_a_quantile_model_that_lacks_a_bound_is_calibrated_on_held_out_rows():
    frame = noisy(600)
    train, _, _ = rt.split_by_time(frame, rt.ForecastTask("y", horizon=2, lookback=6), validation=0.5, test=0)
    model = rt.build_forecaster(train, quick(), patch_length=1, quantiles=(0.1, 0.5, 0.7))
    result = rt.forecast(model, frame, level=80)  # it has the 0.1 of the interval, but no 0.9
    assert (result["y-hi-80"] - result["y-lo-80"] > 1).all()


def test_tables_of_forecasts_can_be_put_together_and_compared(weekly, days):
    one, other = rt.forecast(weekly, days), rt.forecast(weekly, days[:-1])
    assert len(pd.concat([one, other])) == 6 and one.equals(rt.forecast(weekly, days))
    assert (one == one.copy()).all(axis=None) and one.attrs == pd.concat([one, other]).attrs


@pytest.mark.parametrize(("quantiles", "interval"), [(None, None), ((0.1, 0.5, 0.9), 80)])
def test_a_high_level_shifts_the_forecast_and_changes_nothing_else(days, quantiles, interval):
    task = rt.ForecastTask("sales", horizon=3, lookback=14, season_length=7)

    def ahead(level):
        keras.utils.set_random_seed(0)
        model = repeats_last_season(task, days + level, quantiles=quantiles)
        return rt.forecast(model, days + level, horizon=5, level=interval)

    low = ahead(0)
    assert np.allclose(low.sales, [0, 1, 2, 3, 4], atol=1e-5)
    for level in (2e9, -1e12):
        high = ahead(level)
        assert set(high.dtypes.astype(str)) == {"float64"}
        assert np.allclose(high - level, low, rtol=0, atol=1e-3)
