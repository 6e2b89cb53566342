"""Long tables become sequences, and no group stands on two sides."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import check_groups, cut_sequences, split_by_group
from rnn_toolkit.signals.sequences import checked_sequences

SENSORS = pd.DataFrame(
    {"machine": list("aaaaabbb"), "x": range(8), "y": range(8, 16), "state": ["on"] * 5 + ["off"] * 3, "hour": range(8)}
)


def test_each_id_becomes_a_sequence_of_its_channels():
    table = cut_sequences(SENSORS, "machine", ["x", "y"], label="state")
    assert table["machine"].tolist() == ["a", "b"] and table["state"].tolist() == ["on", "off"]
    assert table["sequence"][1].tolist() == [[5, 13], [6, 14], [7, 15]]
    assert table["sequence"][0].dtype == "float32"


def test_windows_stay_within_an_id_and_whole():
    table = cut_sequences(SENSORS, "machine", ["x"], window=3, stride=2)
    assert [one[:, 0].tolist() for one in table["sequence"]] == [[0, 1, 2], [2, 3, 4], [5, 6, 7]]
    assert table["machine"].tolist() == ["a", "a", "b"]
    assert len(cut_sequences(SENSORS, "machine", ["x"], window=3)) == 2  # none overlap, and a rest is dropped


def test_rows_without_an_id_are_refused_and_one_column_needs_no_list():
    frame = pd.DataFrame({"machine": ["a", None, "a"], "load": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"1 rows of `frame` have no 'machine'\. Fill it in, or drop them"):
        cut_sequences(frame, "machine", ["load"])
    table = cut_sequences(frame.dropna(), "machine", "load")
    assert table["sequence"][0].tolist() == [[1.0], [3.0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["z"]}, r"`frame` has no column 'z'"),
        ({"label": "hour"}, r"has the labels \[0, 1, 2, 3, 4\] within one sequence of 'a', from its row 0 on"),
        ({"window": 6}, "No id of `frame` has the 6 rows of a window"),
        ({"window": 0}, "`window` must be at least 1"),
    ],
)
def test_what_cannot_be_cut_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        cut_sequences(SENSORS, "machine", **({"columns": ["x"]} | options))


SPEAKERS = pd.DataFrame({"speaker": list("aabbccdd"), "word": range(8)})


def test_groups_named_or_drawn_stand_on_one_side():
    train, validation, test = split_by_group(SPEAKERS, "speaker", validation=["b"], test=["d"])
    assert (train["word"].tolist(), validation["word"].tolist(), test["word"].tolist()) == (
        [0, 1, 4, 5],
        [2, 3],
        [6, 7],
    )
    parts = split_by_group(SPEAKERS, "speaker", validation=0.25, test=0.25, seed=3)
    assert [part["speaker"].nunique() for part in parts] == [2, 1, 1]
    again = split_by_group(SPEAKERS, "speaker", validation=0.25, test=0.25, seed=3)
    assert all(one.equals(other) for one, other in zip(parts, again, strict=True))
    assert len(split_by_group(SPEAKERS, "speaker", validation=0, test=["a"])[1]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": ["e"]}, "'e' is no group of 'speaker'"),
        ({"validation": ["a"], "test": ["a"]}, "One group is to stand on two sides"),
        ({"validation": ["a", "b"], "test": ["c", "d"]}, "none is left to train on"),
        ({"validation": 1.0}, "`validation` must be a share"),
    ],
)
def test_splits_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        split_by_group(SPEAKERS, "speaker", **options)
    with pytest.raises(ValueError, match="1 rows of `table` have no 'speaker'"):
        split_by_group(pd.DataFrame({"speaker": ["a", None]}), "speaker")


def test_a_share_of_any_kind_of_number_is_one_and_a_name_is_no_list():
    parts = split_by_group(SPEAKERS, "speaker", validation=np.float32(0.25), test=0)
    assert parts[1]["speaker"].nunique() == 1 and len(parts[2]) == 0
    for wrong in ("ab", None):
        with pytest.raises(TypeError, match=r"`test` must be a share, or a list of groups\. Received: ('ab'|None)"):
            split_by_group(SPEAKERS, "speaker", test=wrong)


def test_a_group_on_both_sides_is_found():
    with pytest.raises(ValueError, match=r"1 of 3 groups of 'speaker' stand in several parts, such as 'b'"):
        check_groups(SPEAKERS[:4], SPEAKERS[3:5], group="speaker")
    counts = check_groups(SPEAKERS[:4], SPEAKERS[4:], group="speaker")
    assert counts.loc["c"].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("sequences", "error", "message"),
    [
        ([], ValueError, "`sequences` is empty"),
        ("abc", TypeError, "must be a list, a Series or an array of sequences. Received: str"),
        (["abc"], TypeError, "Received at position 0: str"),
        ([[1.0], []], ValueError, "empty sequence at position 1"),
        ([[[1.0], [2.0, 3.0]]], TypeError, "Received at position 0: list"),
        ([[[[1.0, 2.0]], [1.0, 2.0]]], TypeError, "Received at position 0: list"),  # as many numbers, of other shapes
        ([np.zeros((2, 2, 2))], TypeError, r"shape \(2, 2, 2\)"),
        ([[[1.0]], [[1.0, 2.0]]], ValueError, r"shape \(1, 1\) at position 0, \(1, 2\) at position 1"),
        ([[[0.0, 1.0], [0.0, np.nan]]], ValueError, "holds nan at step 1 of channel 1 of position 0"),
        ([[0.0, np.inf]], ValueError, "holds inf at step 1 of position 0"),
    ],
)
def test_what_is_no_sequence_is_refused(sequences, error, message):
    with pytest.raises(error, match=message):
        checked_sequences(sequences)
