"""What is no text is refused by its position, wherever texts are taken."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.texts.batches import text_batches
from rnn_toolkit.texts.inputs import checked_texts, is_missing
from rnn_toolkit.texts.streams import language_model_batches
from rnn_toolkit.texts.vocabulary import fit_vocabulary

NAN = float("nan")
LETTERS = fit_vocabulary(["abcdefghijklmnopqrstuvwxyz \n"], unit="character")
TAKES_TEXTS = [
    fit_vocabulary,
    LETTERS.encode,
    lambda texts: text_batches(texts, vocabulary=LETTERS),
    lambda texts: language_model_batches(texts, LETTERS),
]


def test_texts_come_back_as_a_list():
    for given in (("a", ""), pd.Series(["a", ""], index=[7, 8]), np.array(["a", ""]), iter(["a", ""])):
        assert checked_texts(given) == ["a", ""]
    assert checked_texts([]) == []


@pytest.mark.parametrize(("value", "expected"), [(None, True), (NAN, True), (pd.NA, True), ("", False), ([NAN], False)])
def test_what_pandas_has_for_nothing_is_missing(value, expected):
    assert is_missing(value) == expected


@pytest.mark.parametrize("function", TAKES_TEXTS)
@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (["a", None], ValueError, "has no text at position 1: None. Drop it, or make it ''"),
        (["a", "b", NAN], ValueError, "has no text at position 2: nan"),
        (pd.Series(["a", pd.NA], dtype="string"), ValueError, "has no text at position 1: "),
        (["a", b"b"], TypeError, r"must hold str. Received at position 1: bytes. Decode bytes by `text.decode"),
        (["a", 5], TypeError, "must hold str. Received at position 1: int"),
        (["a", ["b"]], TypeError, "must hold str. Received at position 1: list"),
        (["a", "", "b\ud800"], ValueError, "holds half a character .* at position 2"),
        (b"a", TypeError, "must be a list, a Series or an array with one entry a text. Received: bytes"),
        (5, TypeError, "Received: int"),
        ({"a": "b"}, TypeError, "Received: dict"),
        (pd.DataFrame({"text": ["a"]}), TypeError, "Received: DataFrame.*of a table, pass the column"),
        (np.array([["a"]]), TypeError, r"Received: ndarray of shape \(1, 1\)"),
    ],
)
def test_what_is_no_text_is_refused_by_its_position(function, texts, error, message):
    with pytest.raises(error, match=message):
        function(texts)


def test_a_single_text_is_refused_where_several_are_meant():
    with pytest.raises(TypeError, match=r"`texts` must be a list.*Received: str. Put a single one into a list"):
        fit_vocabulary("a b")
    with pytest.raises(TypeError, match=r"`texts` must be a list.*Received: str"):
        text_batches("a b", vocabulary=LETTERS)
