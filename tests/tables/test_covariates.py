"""What every kind of covariate puts into the matrix, and shows to a network."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.tables.covariates import KINDS, Channel, channels_of
from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows


def test_channels_stand_in_one_order_with_kind_and_shift():
    task = ForecastTask(
        "load", 2, 3, series="shop", observed="sky", known="price", static="size", calendar="hour", season_length=1
    )
    channels = channels_of(task, {"sky": ["rain"]}, ("load",))
    assert [(channel.name, channel.kind, channel.shift) for channel in channels] == [
        ("load", "target", 0),
        ("sky", "category", 0),
        ("price", "numeric", 0),
        ("size", "numeric", 0),
        ("price+2", "numeric", 2),
        ("sin_hour", "cyclic", 2),
        ("cos_hour", "cyclic", 2),
        ("load_missing", "flag", 0),
        ("series_code", "series", 0),
    ]


def test_a_lookback_shorter_than_the_horizon_needs_several_shifted_copies():
    channels = channels_of(ForecastTask("load", horizon=5, lookback=2, known="price"), {}, ())
    assert [channel.name for channel in channels] == ["load", "price", "price+5", "price+3", "price+1"]


def test_a_network_is_shown_as_many_channels_as_each_kind_is_wide():
    frame = pd.DataFrame({"load": range(8), "sky": list("abcabcab"), "price": [1.0, 3.0] * 4})
    task = ForecastTask("load", 1, 2, observed="sky", known="price")
    preparation = Windows(frame, task).preparation
    widths = [KINDS[channel.kind].width(channel, preparation) for channel in preparation.channels]
    assert (preparation.feature_names, widths) == (["load", "sky", "price", "price+1"], [0, 3, 1, 1])
    values = np.array([[[1.0], [3.0]]])
    shown = KINDS["numeric"].encode(values, preparation.channels[2], preparation, {})
    assert shown.tolist() == [[[-1], [1]]]  # mean 2, deviation 1


@pytest.mark.parametrize(("shift", "expected"), [(0, [1, 2, 3]), (1, [2, 3, 3]), (2, [3, 3, 3]), (9, [3, 3, 3])])
def test_a_column_is_laid_as_many_rows_ahead_as_its_channel_says(shift, expected):
    laid = KINDS["numeric"].lay(Channel("x", "numeric", "x", shift), None, {"x": np.array([1, 2, 3])}, {})
    assert laid.tolist() == expected
