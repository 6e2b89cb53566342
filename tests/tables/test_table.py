import json
import math
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.tables.fitting import Preparation
from rnn_toolkit.tables.layout import Layout
from rnn_toolkit.tables.table import Table
from rnn_toolkit.tables.task import ForecastTask

NAN = float("nan")
NEW = pytest.mark.filterwarnings("ignore:None of the series in column 'shop' was there in training")


def table_of(frame, task, *, rows=None, pad_to=0) -> Table:
    """Return a frame as a table, fitted on the first rows of each series; or by a preparation, as it is."""
    fitted = task if isinstance(task, Preparation) else None
    layout = (fitted.lay_out(frame) if fitted else Layout.of(frame, task)).with_room(at_least=pad_to)
    ends = None if rows is None else layout.offsets[:-1] + rows
    return Table.of(frame, layout, preparation=fitted, ends=ends)


def channel(table: Table, name: str) -> list[float]:
    """Return one channel of a table, all rows."""
    return table.values[:, table.preparation.feature_names.index(name)].tolist()


def two_shops() -> pd.DataFrame:
    """Return a long table: shop b on days 0 to 3, shop a on days 2 to 5, where day 4 is missing."""
    return pd.DataFrame(
        {
            "day": [0, 1, 2, 3, 2, 3, 5],
            "shop": ["b", "b", "b", "b", "a", "a", "a"],
            "load": [10.0, 11, 12, 13, 1, 2, 4],
        }
    )


SKY = ForecastTask("load", 1, 1, time="day", series="shop", observed="sky")


# ---------------------------------------------------------------------------------------------------------------------
# rows
# ---------------------------------------------------------------------------------------------------------------------


def test_missing_time_steps_become_rows_that_carry_the_last_value_forward():
    table = table_of(two_shops(), ForecastTask("load", 1, 1, time="day", series="shop"))
    assert table.names == ["b", "a"]
    assert table.offsets.tolist() == [0, 4, 8]
    assert channel(table, "load") == [10, 11, 12, 13, 1, 2, 2, 4]
    assert table.observed[:, 0].tolist() == [True] * 6 + [False, True]
    assert channel(table, "load_missing") == [0, 0, 0, 0, 0, 0, 1, 0]
    assert table.times(np.arange(8)).tolist() == [0, 1, 2, 3, 2, 3, 4, 5]


def test_the_order_of_series_in_the_frame_does_not_matter():
    task = ForecastTask("load", 1, 1, time="day", series="shop")
    by_series, by_time = table_of(two_shops(), task), table_of(two_shops().sort_values("day", kind="stable"), task)
    assert by_time.names == by_series.names
    np.testing.assert_array_equal(by_time.values, by_series.values)
    assert by_time.preparation == by_series.preparation


def test_padding_stands_before_the_first_row_and_is_flagged():
    table = table_of(two_shops(), ForecastTask("load", 1, 1, time="day", series="shop"), pad_to=6)
    assert table.offsets.tolist() == [0, 6, 12]
    assert table.begins.tolist() == [2, 8]
    assert channel(table, "load_missing") == [1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0]
    assert table.times(np.array([0, 6])).tolist() == [-2, 0]
    mean_of_b, mean_of_a = 11.5, 7 / 3
    assert channel(table, "load")[:2] == [mean_of_b, mean_of_b]
    assert channel(table, "load")[6:8] == pytest.approx([mean_of_a, mean_of_a])


# ---------------------------------------------------------------------------------------------------------------------
# columns
# ---------------------------------------------------------------------------------------------------------------------


def test_leading_missing_targets_start_from_the_mean_of_the_training_rows():
    frame = pd.DataFrame({"load": [NAN, NAN, 1, 3, 100]})
    table = table_of(frame, ForecastTask("load", 1, 1), rows=4)
    assert channel(table, "load") == [2, 2, 1, 3, 100]


def test_leading_missing_covariates_start_from_the_mean_of_the_training_rows():
    frame = pd.DataFrame({"load": range(5), "wind": [NAN, 1, NAN, 3, 100]})
    table = table_of(frame, ForecastTask("load", 1, 1, observed="wind"), rows=4)
    assert channel(table, "wind") == [2, 1, 1, 3, 100]


def test_a_flag_needs_missing_values_in_the_training_rows():
    frame = pd.DataFrame({"load": range(5), "wind": [0, NAN, 0, 0, 0], "rain": [0, 0, 0, 0, NAN]})
    task = ForecastTask("load", 1, 1, observed=("wind", "rain"))
    table = table_of(frame, task, rows=4)
    assert table.preparation.feature_names == ["load", "wind", "rain", "wind_missing"]


def test_categories_have_codes_in_order_of_their_names_and_unseen_ones_0():
    frame = pd.DataFrame({"load": range(6), "sky": ["sun", "rain", "sun", None, "fog", "rain"]})
    table = table_of(frame, ForecastTask("load", 1, 1, observed="sky"), rows=4)
    assert table.preparation.categories == {"sky": ["rain", "sun"]}
    assert channel(table, "sky") == [2, 1, 2, 2, 0, 1]


def test_categories_of_a_fitted_preparation_keep_their_codes():
    task = ForecastTask("load", 1, 1, observed="sky")
    fitted = table_of(pd.DataFrame({"load": range(3), "sky": ["sun", "rain", "sun"]}), task).preparation
    later = table_of(pd.DataFrame({"load": range(3), "sky": ["hail", "sun", "rain"]}), fitted)
    assert channel(later, "sky") == [0, 2, 1]
    assert later.preparation is fitted


@pytest.mark.parametrize("values", [[True, False, True], pd.Categorical([1, 2, 1]), ["1a", "b", "1a"]])
def test_truth_values_and_categories_are_read_as_text(values):
    table = table_of(pd.DataFrame({"load": range(3), "kind": values}), ForecastTask("load", 1, 1, observed="kind"))
    assert table.preparation.channels[1].kind == "category"


# One value under other types: what merges, CSV files and databases make of whole numbers and of truth values.
NUMBERS = ("int8", "float32", "Int64", "object", "category", "str", "string")
TRUTHS = ("bool", "boolean", "int64", "float64", "object", "category", "str")


@pytest.mark.parametrize("before", ["category", *NUMBERS])
def test_a_series_is_the_same_under_another_type(before):
    shops = two_shops().assign(shop=[1, 1, 1, 1, 2, 2, 2])
    fitted = table_of(shops.astype({"shop": before}), ForecastTask("load", 1, 2, time="day", series="shop")).preparation
    for after in NUMBERS:
        assert table_of(shops.astype({"shop": after}), fitted).codes.tolist() == [1, 2], after
    assert table_of(shops.assign(shop=shops.shop.astype(float).astype(str)), fitted).codes.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("values", "before", "kinds"), [([2, 1, 2], "category", NUMBERS), ([True, False, True], "bool", TRUTHS)]
)
def test_a_category_is_the_same_under_another_type(values, before, kinds):
    frame = pd.DataFrame({"load": range(3), "kind": values})
    fitted = table_of(frame.astype({"kind": before}), ForecastTask("load", 1, 1, observed="kind")).preparation
    fitted = Preparation.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert fitted.categories == {"kind": sorted(map(str, set(values)))}  # as earlier versions wrote them
    for after in kinds:
        assert channel(table_of(frame.astype({"kind": after}), fitted), "kind") == [2, 1, 2], after
    holed = frame.astype({"kind": object}).assign(kind=[None, *frame.kind.astype(object)[1:]])
    assert channel(table_of(holed, fitted), "kind")[1:] == [1, 2]


@pytest.mark.parametrize("after", ["bool", "boolean", "object", "category", "str"])
def test_a_number_is_the_same_under_another_type(after):
    frame = pd.DataFrame({"load": range(3), "open": [1, 0, 1]})
    fitted = table_of(frame, ForecastTask("load", 1, 1, observed="open")).preparation
    assert channel(table_of(frame.astype({"open": after}), fitted), "open") == [1, 0, 1]


def test_texts_that_only_look_like_one_number_stay_apart():
    words = ["7", "007", "1.1", "1.10", "1e3", "1000"]
    frame = pd.DataFrame({"load": range(12), "code": pd.Categorical(words * 2)})
    table = table_of(frame, ForecastTask("load", 1, 1, observed="code"))
    assert len(set(channel(table, "code"))) == 6


def test_words_of_a_model_saved_before_are_known_by_every_spelling():
    task = ForecastTask("load", 1, 1, observed="open")
    frame = pd.DataFrame({"load": range(3), "open": [True, False, True]})
    state = table_of(frame, task).preparation.to_dict() | {"categories": {"open": ["1.0", "2.0"]}}
    later = table_of(frame.assign(open=[1, 2, 3]), Preparation.from_dict(state))
    assert channel(later, "open") == [1, 2, 0]


def test_a_column_of_which_no_value_was_seen_is_named():
    fitted = table_of(two_shops().assign(sky="sun"), SKY).preparation
    message = r"None of the values of column 'sky' was there in training. Received: 'hail'; known: 'sun'. All count as"
    with pytest.warns(UserWarning, match=message):
        table_of(two_shops().assign(sky="hail"), fitted)
    table_of(two_shops().assign(sky=["hail"] * 6 + ["sun"]), fitted)  # one of them is known


def test_series_of_which_none_was_seen_are_named():
    fitted = table_of(two_shops().assign(sky="sun"), SKY).preparation
    with pytest.warns(UserWarning, match=r"None of the series in column 'shop'.*Received: 'B', 'A'; known: 'b', 'a'"):
        table_of(two_shops().assign(sky="sun", shop=lambda frame: frame["shop"].str.upper()), fitted)


def test_the_order_in_which_categories_appear_in_later_rows_does_not_matter():
    def frame(last_word):
        rows = {"day": [0, 1, 2, 0, 1, 2], "shop": list("aaabbb"), "load": [1.0, 2, 3, 4, 5, 7]}
        return pd.DataFrame(rows | {"sky": ["sun", "sun", last_word, "rain", "fog", "sun"]})

    task = ForecastTask("load", 1, 1, time="day", series="shop", observed="sky")
    tables = [table_of(frame(word), task, rows=2) for word in ("fog", "rain")]
    assert tables[0].preparation == tables[1].preparation
    assert channel(tables[0], "sky")[:2] == channel(tables[1], "sky")[:2] == [3, 3]


def test_a_column_without_a_single_value_is_welcome_later():
    task = ForecastTask("load", 1, 1, observed=("sky", "wind"))
    fitted = table_of(pd.DataFrame({"load": range(3), "sky": ["a", "b", "a"], "wind": [2.0, 4, 6]}), task).preparation
    later = table_of(pd.DataFrame({"load": range(3), "sky": [NAN] * 3, "wind": [None] * 3}), fitted)
    assert channel(later, "sky") == [0, 0, 0]
    assert channel(later, "wind") == [4, 4, 4]


def test_static_values_fill_missing_time_steps_and_rows_before_the_first():
    frame = two_shops().assign(size=[5.0, NAN, 5, 5, 7, 7, 7], kind=["big"] * 4 + ["small"] * 3)
    table = table_of(
        frame, ForecastTask("load", 1, 1, time="day", series="shop", static=("size", "kind", "shop")), pad_to=5
    )
    assert channel(table, "size") == [5] * 5 + [7] * 5
    assert channel(table, "kind") == [1] * 5 + [2] * 5
    assert channel(table, "shop") == [2] * 5 + [1] * 5  # categories in order of their names: a, b
    assert channel(table, "series_code") == [1] * 5 + [2] * 5  # series in order of appearance: b, a


def test_known_columns_are_shown_once_now_and_once_shifted_by_the_horizon():
    frame = pd.DataFrame({"load": range(6), "price": [10, 11, 12, 13, 14, 15]})
    table = table_of(frame, ForecastTask("load", horizon=2, lookback=3, known="price"))
    assert channel(table, "price") == [10, 11, 12, 13, 14, 15]
    assert channel(table, "price+2")[:4] == [12, 13, 14, 15]


def test_calendar_features_are_sine_and_cosine_of_the_time_step_that_is_forecast():
    times = pd.date_range("2024-01-01 00:00", periods=8, freq="3h")
    table = table_of(pd.DataFrame({"load": range(8)}, index=times), ForecastTask("load", 1, 1, calendar="hour"))
    root = math.sqrt(0.5)
    expected = [root, 1, root, 0, -root, -1, -root, 0]  # at 3, 6, 9 ... 24 o'clock
    assert channel(table, "sin_hour") == pytest.approx(expected, abs=1e-6)
    assert channel(table, "cos_hour") == pytest.approx([root, 0, -root, -1, -root, 0, root, 1], abs=1e-6)


@pytest.mark.parametrize(
    ("feature", "time", "turn"),
    [
        ("minute", "2024-05-01 10:15", 15 / 60),
        ("hour", "2024-05-01 10:15", 10 / 24),
        ("day_of_week", "2024-05-01 10:15", 2 / 7),  # a Wednesday
        ("day", "2024-05-01 10:15", 1 / 31),
        ("week", "2024-05-01 10:15", 18 / 53),
        ("day_of_year", "2024-05-01 10:15", 122 / 366),
        ("month", "2024-05-01 10:15", 5 / 12),
        ("quarter", "2024-05-01 10:15", 2 / 4),
    ],
)
def test_every_calendar_feature_is_the_phase_it_names(feature, time, turn):
    times = pd.date_range(end=time, periods=3, freq="15min")
    task = ForecastTask("load", 1, 1, calendar=feature, frequency="15min")
    table = table_of(pd.DataFrame({"load": [1.0, 2, 3]}, index=times), task)
    at_that_time = table.values[1, 1:]  # one row before, because the horizon is 1
    assert at_that_time.tolist() == pytest.approx(
        [math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)], abs=1e-6
    )


def test_calendar_features_follow_the_wall_clock():
    times = pd.date_range("2024-03-31 00:00", periods=4, freq="h", tz="Europe/Berlin")  # 0, 1, 3, 4 o'clock
    table = table_of(pd.DataFrame({"load": range(4)}, index=times), ForecastTask("load", 1, 1, calendar="hour"))
    assert channel(table, "sin_hour")[1] == pytest.approx(math.sin(2 * math.pi * 3 / 24), abs=1e-6)


def test_a_calendar_feature_needs_timestamps():
    with pytest.raises(
        ValueError, match="Calendar feature 'hour' needs timestamps, but the time axis holds whole numbers"
    ):
        table_of(pd.DataFrame({"load": range(5)}), ForecastTask("load", 1, 1, calendar="hour"))


# ---------------------------------------------------------------------------------------------------------------------
# series never seen in training
# ---------------------------------------------------------------------------------------------------------------------


def fitted_on_two_shops(**roles) -> Preparation:
    return table_of(two_shops(), ForecastTask("load", 1, 2, time="day", series="shop", **roles)).preparation


@NEW
def test_a_series_never_seen_has_code_0():
    frame = pd.DataFrame({"day": range(4), "shop": list("cccc"), "load": [1.0, 2, 3, 4]})
    table = table_of(frame, fitted_on_two_shops())
    assert table.codes.tolist() == [0]
    assert channel(table, "series_code") == [0] * 4


@NEW
def test_a_series_never_seen_starts_from_its_first_lookback_and_not_from_later_rows():
    frame = pd.DataFrame({"day": range(5), "shop": list("ccccc"), "load": [NAN, 40.0, 60, 1e6, 1e6]})
    table = table_of(frame, fitted_on_two_shops())  # a lookback of 2 rows, of which one holds a value
    assert channel(table, "load")[0] == 40


@NEW
def test_a_series_never_seen_starts_from_the_median_level_where_its_first_lookback_is_empty():
    frame = pd.DataFrame({"day": range(4), "shop": list("cccc"), "load": [NAN, NAN, 1e6, 1e6]})
    table = table_of(frame, fitted_on_two_shops())
    median_of_levels = (11.5 + 7 / 3) / 2
    assert channel(table, "load")[:2] == pytest.approx([median_of_levels] * 2)


@NEW
@pytest.mark.parametrize(("season_length", "scale"), [(1, 4.0), (None, 2.0)])  # |6 - 2|, and the deviation of 2 and 6
def test_the_scale_of_a_series_never_seen_comes_from_its_first_lookback(season_length, scale):
    frame = pd.DataFrame({"day": range(4), "shop": list("cccc"), "load": [2.0, 6, 1e6, -1e6]})
    assert table_of(frame, fitted_on_two_shops(season_length=season_length)).scale.tolist() == [[scale]]


# ---------------------------------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("role", ["target", "observed"])
def test_infinite_values_are_refused_with_their_time(value, role):
    times = pd.date_range("2024-01-01", periods=4, freq="D")
    frame = pd.DataFrame({"load": [1.0, 2, 3, 4], "wind": [1.0, 2, 3, 4]}, index=times)
    column = "load" if role == "target" else "wind"
    frame.loc["2024-01-03", column] = value
    with pytest.raises(ValueError, match=f"'{column}' holds 1 infinite values .* first at 2024-01-03 00:00:00"):
        table_of(frame, ForecastTask("load", 1, 1, observed="wind"))


@pytest.mark.parametrize("role", ["target", "known", "observed"])
def test_text_in_a_numeric_column_is_shown(role):
    frame = pd.DataFrame({"load": range(4), "wind": ["1.5", "2.5", "n/a", "3.5"]})
    task = ForecastTask("wind", 1, 1) if role == "target" else ForecastTask("load", 1, 1, **{role: "wind"})
    with pytest.raises(ValueError, match=r"'wind' must hold numbers, but holds text, such as 'n/a'.*pd\.to_numeric"):
        table_of(frame, task)


@pytest.mark.parametrize("role", ["target", "known", "observed"])
@pytest.mark.parametrize("texts", [["316,1", "317", None, "1.318,5"], ["1,316", "1,317", "-1,318.5", "9"]])
def test_numbers_with_commas_are_read_otherwise_not_taken_for_words_or_missing_values(role, texts):
    frame = pd.DataFrame({"load": range(4), "wind": texts})
    task = ForecastTask("wind", 1, 1) if role == "target" else ForecastTask("load", 1, 1, **{role: "wind"})
    with pytest.raises(ValueError, match=rf"text with commas, such as '{texts[0]}'.*read_csv\(\.\.\., decimal=','\)"):
        table_of(frame, task)


@pytest.mark.parametrize("one", ["$10.01", "5 %", "$1,234.50", "-3 kg"])
def test_numbers_beside_signs_are_told_how_to_become_numbers(one):
    frame = pd.DataFrame({"load": [one] * 4})
    with pytest.raises(
        ValueError, match=r"'load' must hold numbers, but holds text.*`\.str\.replace\(r'\[\^"
    ) as caught:
        table_of(frame, ForecastTask("load", 1, 1))
    assert str(caught.value).count("coerce") == 0  # which would make nothing of them
    assert frame["load"].str.replace(r"[^\d.-]", "", regex=True).astype(float).notna().all()


@pytest.mark.parametrize("one", ["1.5e3 kg", "5 m2", "<5", "(10.01)", "\u22123 kg", "12h30"])
def test_what_would_become_another_number_is_not_told_to(one):
    with pytest.raises(ValueError, match=r"'load' must hold numbers, but holds text.*pd\.to_numeric"):
        table_of(pd.DataFrame({"load": ["$3.10", one, "$4"]}), ForecastTask("load", 1, 1))


def test_numbers_written_as_text_are_shown():
    with pytest.raises(ValueError, match=r"'load' must hold numbers, but holds text, such as '1'.*pd\.to_numeric"):
        table_of(pd.DataFrame({"load": ["1", "2", "3"]}), ForecastTask("load", 1, 1))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([True, False, True], r"must hold numbers, but holds a bool, such as True\..*astype\(float\)"),
        (
            [Decimal("1.5"), Decimal("2"), None],
            r"must hold numbers, but holds a Decimal, such as 1\.5\..*pd\.to_numeric",
        ),
        ([1 + 2j, 2 + 0j, 3 + 0j], "holds complex numbers"),
    ],
    ids=["truth values", "decimals", "complex numbers"],
)
def test_a_target_of_another_kind_of_number_is_refused(values, words):
    with pytest.raises(ValueError, match=f"'load' {words}"):
        table_of(pd.DataFrame({"load": values}), ForecastTask("load", 1, 1))


@pytest.mark.parametrize("dates", [pd.date_range("2024", periods=3), pd.timedelta_range("1D", periods=3)])
def test_dates_as_a_covariate_are_refused(dates):
    frame = pd.DataFrame({"load": range(3), "since": dates}, index=pd.date_range("2024", periods=3))
    with pytest.raises(ValueError, match=r"Column 'since' holds dates. Use the `calendar` features"):
        table_of(frame, ForecastTask("load", 1, 1, observed="since"))


def test_a_static_column_that_changes_is_refused():
    frame = two_shops().assign(size=[5, 5, 5, 5, 7, 8, 7])
    with pytest.raises(ValueError, match="Static column 'size' changes within series 'a'"):
        table_of(frame, ForecastTask("load", 1, 1, time="day", series="shop", static="size"))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ([1.0, 2, 3], ["a", "b", "a"], "Column 'wind' holds text, but numbers in training"),
        (["a", "b", "a"], [1.0, 2, 3], "Column 'wind' holds numbers, but text in training"),
    ],
)
def test_a_column_that_changes_its_type_after_training_is_refused(before, after, message):
    task = ForecastTask("load", 1, 1, observed="wind")
    fitted = table_of(pd.DataFrame({"load": range(3), "wind": before}), task).preparation
    with pytest.raises(ValueError, match=message):
        table_of(pd.DataFrame({"load": range(3), "wind": after}), fitted)


def test_another_time_zone_than_in_training_is_refused():
    times = pd.date_range("2024", periods=5, freq="h")
    frame = pd.DataFrame({"load": [1.0, 2, 3, 4, 6]}, index=times)
    fitted = table_of(frame.tz_localize("Europe/Berlin"), ForecastTask("load", 1, 1)).preparation
    fitted = Preparation.from_dict(json.loads(json.dumps(fitted.to_dict())))
    for zone in ("UTC", None):
        message = re.escape(f"The time axis is in time zone {zone}, but the model was trained on Europe/Berlin.")
        with pytest.raises(ValueError, match=message):
            table_of(frame.tz_localize(zone), fitted)


# ---------------------------------------------------------------------------------------------------------------------
# levels that float32 cannot hold beside the steps
# ---------------------------------------------------------------------------------------------------------------------


def test_a_high_level_is_taken_off_and_the_targets_stay_as_they_were_given():
    frame = pd.DataFrame({"load": [2e9, 2e9 + 2, NAN, 2e9 + 4], "clock": 28_400_000 + np.arange(4)})
    table = table_of(frame, ForecastTask("load", 1, 1, known="clock"))
    assert table.offset.tolist() == [[2e9 + 2]]
    assert table.targets[[0, 1, 3], 0].tolist() == [2e9, 2e9 + 2, 2e9 + 4]
    assert channel(table, "load") == [-2, 0, 0, 2]
    assert channel(table, "clock") == [-1.5, -0.5, 0.5, 1.5]
    assert channel(table, "clock+1") == [-0.5, 0.5, 1.5, 1.5]


@pytest.mark.parametrize("values", [[0.1, 0.7, 0.2], [1e6 + 0.1, 1e6 + 0.7, 1e6 + 0.2], [1e-30, 2e-30, 3e-30]])
def test_targets_are_the_numbers_that_were_given(values):
    assert table_of(pd.DataFrame({"load": values}), ForecastTask("load", 1, 1)).targets[:, 0].tolist() == values


def test_a_series_never_seen_has_its_own_offset_and_one_that_was_seen_that_of_training():
    frame = two_shops().assign(load=lambda frame: frame.load + 1e9)
    fitted = table_of(frame, ForecastTask("load", 1, 2, time="day", series="shop")).preparation
    later = pd.DataFrame({"day": [6, 7] * 2, "shop": list("bbcc"), "load": [1e9 + 20, 1e9 + 21, -7e9, -7e9 + 2]})
    table = table_of(later, fitted)
    assert table.offset.tolist() == [[1e9 + 11.5], [-7e9 + 1]]
    assert channel(table, "load") == [8.5, 9.5, -1, 1]
    assert table.scale[1].tolist() == [1.0]


def test_rows_before_the_first_value_of_a_high_level_start_from_the_mean():
    frame = pd.DataFrame({"load": [NAN, 2e9, 2e9 + 4], "clock": [NAN, 1e9, 1e9 + 2]})
    table = table_of(frame, ForecastTask("load", 1, 1, observed="clock"))
    assert channel(table, "load") == [0, -2, 2]
    assert channel(table, "clock") == [0, -1, 1]


def test_a_series_that_has_left_its_level_in_training_too_far_behind_is_named():
    fitted = table_of(pd.DataFrame({"load": 2e9 + np.arange(5.0)}), ForecastTask("load", 1, 2)).preparation
    table_of(pd.DataFrame({"load": 2e9 + 1e5 + np.arange(5.0)}), fitted)
    with pytest.warns(UserWarning, match="So far from the level in training, float32 blurs the steps of the table"):
        table_of(pd.DataFrame({"load": 3e9 + np.arange(5.0)}), fitted)
