import re
import sys

import numpy as np
import pytest

from rnn_toolkit._checks import has_columns, nearest, one_of, optional_package, whole_number


def test_nearest_offers_a_choice_that_differs_in_a_letter_in_case_or_in_spaces():
    assert nearest("tempreature", ["temperature", "wind"]) == " Did you mean 'temperature'?"
    assert nearest("CO2", ["co2", "week"]) == " Did you mean 'co2'?"
    assert nearest("load", [" Load "]) == " Did you mean ' Load '?"


def test_nearest_offers_nothing_where_nothing_is_near():
    assert nearest("price", ["temperature", "wind"]) == ""
    assert nearest("price", []) == ""


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_of_any_kind_become_int(value):
    assert type(whole_number(value, "horizon")) is int
    assert whole_number(value, "horizon") == 3


@pytest.mark.parametrize("value", [2.0, 2.5, "3", None, True, np.True_, np.array([1, 2])])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(TypeError, match=r"`horizon` must be a whole number\. Received: .*Pass an int of at least 1"):
        whole_number(value, "horizon")


@pytest.mark.parametrize("value", [0, -1])
def test_a_whole_number_below_the_minimum_is_refused(value):
    with pytest.raises(ValueError, match=f"`horizon` must be at least 1. Received: {value}"):
        whole_number(value, "horizon")


def test_zero_is_allowed_where_it_is_the_minimum():
    assert whole_number(0, "gap", minimum=0) == 0


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
