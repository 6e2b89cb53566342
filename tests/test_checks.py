import re
import sys

import numpy as np
import pytest

from rnn_toolkit._checks import check_share, has_columns, nearest, one_of, optional_package, whole_number


def test_nearest_offers_a_choice_that_differs_in_a_letter_in_case_or_in_spaces():
    assert nearest("tempreature", ["temperature", "wind"]) == " Did you mean 'temperature'?"
    assert nearest("CO2", ["co2", "week"]) == " Did you mean 'co2'?"
    assert nearest("load", [" Load "]) == " Did you mean ' Load '?"


def test_nearest_offers_nothing_where_nothing_is_near():
    assert nearest("price", ["temperature", "wind"]) == ""
    assert nearest("price", []) == ""


@pytest.mark.parametrize(
    ("check", "value", "options", "expected"),
    [
        (whole_number, 3, {}, 3),
        (whole_number, np.int64(3), {}, 3),
        (whole_number, np.uint8(3), {}, 3),
        (whole_number, 0, {"minimum": 0}, 0),
        (check_share, 0, {}, None),
        (check_share, np.float64(0.99), {}, None),
        (check_share, 0.5, {"zero": False}, None),
    ],
)
def test_what_fits_is_returned_as_a_plain_number(check, value, options, expected):
    result = check(value, "rate", **options)
    assert (type(result), result) == (type(expected), expected)


NOT_WHOLE = "`rate` must be a whole number. Received: {!r}. Pass an int of at least 1."
TOO_SMALL = "`rate` must be at least {}. Received: {}. Pass a larger whole number."
NO_SHARE = "`rate` must be a share from 0 up to, but not including, 1. Received: {}. Pass 0.5, say."
NO_SHARE_ABOVE_0 = "`rate` must be a share above 0 and below 1. Received: {}. Pass 0.5, say."


@pytest.mark.parametrize(
    ("check", "options", "values", "error", "message"),
    [
        (whole_number, {}, [2.0, 2.5, "3", None, True, np.True_, np.array([1, 2])], TypeError, NOT_WHOLE),
        (whole_number, {}, [0, -1], ValueError, TOO_SMALL.replace("{}", "1", 1)),
        (whole_number, {"minimum": 0}, [-1], ValueError, TOO_SMALL.replace("{}", "0", 1)),
        (check_share, {}, [-0.1, 1, 1.5, float("nan"), "0.5", None, True], ValueError, NO_SHARE),
        (check_share, {"zero": False}, [0, 0.0, 1], ValueError, NO_SHARE_ABOVE_0),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_received_and_what_to_pass(check, options, values, error, message):
    for value in values:
        with pytest.raises(error, match=re.escape(message.format(value))):
            check(value, "rate", **options)


def test_an_unknown_choice_lists_the_choices_and_offers_the_nearest():
    one_of("drop", "short", ("drop", "pad"))
    with pytest.raises(
        ValueError, match=r"`short` must be one of 'drop', 'pad'. Received: 'dorp'. Did you mean 'drop'"
    ):
        one_of("dorp", "short", ("drop", "pad"))


def test_a_missing_column_is_named_with_the_nearest_one():
    has_columns(["load", "wind"], ["wind"], "`frame`")
    message = "`frame` has no column 'laod'; it has: load, wind. Did you mean 'load'?"
    with pytest.raises(ValueError, match=re.escape(message)):
        has_columns(["load", "wind"], ["wind", "laod"], "`frame`")


def test_a_package_that_is_there_is_imported():
    assert optional_package("json", extra="plot", purpose="A picture").__name__ == "json"


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # None makes Python refuse the import
    message = (
        'A picture needs the package `matplotlib.pyplot`.*pip install "rnn_toolkit\\[plot\\]".*pip install matplotlib'
    )
    with pytest.raises(ImportError, match=message):
        optional_package("matplotlib.pyplot", extra="plot", purpose="A picture")
