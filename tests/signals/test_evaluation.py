"""Scores that can be counted by hand."""

import pandas as pd
import pytest

from rnn_toolkit import score_labels, score_transcripts


def test_labels_are_scored_class_by_class():
    table = score_labels(["a", "a", "a", "b", "c"], ["a", "a", "b", "b", "a"])
    assert table.loc["a"].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 3])
    assert table.loc["b"].tolist() == pytest.approx([0.5, 1, 2 / 3, 1])
    assert table.loc["c"].tolist() == [0, 0, 0, 1]  # one row, missed
    assert table.loc["accuracy", "recall"] == 0.6
    assert table.loc["macro mean"].tolist() == pytest.approx([7 / 18, 5 / 9, 4 / 9, 5])


def test_errors_are_the_fewest_changes():
    table = score_transcripts(["abcd", "ab", ""], ["abd", "xb", "c"])  # one left out, one changed, one put in
    assert table.loc["symbol"].tolist() == [0.5, 1, 1, 1, 6]
    assert table.loc["transcript", "error_rate"] == 1


def test_words_are_what_spaces_part():
    table = score_transcripts(["one two two"], ["one two three"])
    assert table.loc["word"].tolist() == pytest.approx([1 / 3, 1, 0, 0, 3])
    assert score_transcripts([["one", "two"]], [["one"]]).loc["word", "deleted"] == 1


@pytest.mark.parametrize("score", [score_labels, score_transcripts])
def test_lists_that_do_not_belong_together_are_refused(score):
    for pair in ((["a"], []), ([], [])):
        with pytest.raises(ValueError, match=r"Pass as many of each, at least one"):
            score(*pair)
    with pytest.raises(TypeError, match="`actual` must be a list"):
        score("abc", ["a"])


def test_predictions_in_another_order_than_the_truth_are_refused():
    with pytest.raises(ValueError, match=r"`predicted` holds the rows of `actual` in another order"):
        score_labels(pd.Series(["a", "b"], [0, 1]), pd.Series(["a", "b"], [1, 0]))
    assert score_labels(pd.Series(["a", "b"], [1, 0]), pd.Series(["a", "b"])).recall.tolist() == [1.0] * 4
