"""Streams go on where they ended, and the targets are the tokens that follow."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.texts.streams import language_model_batches
from rnn_toolkit.texts.vocabulary import fit_vocabulary

LETTERS = fit_vocabulary(["abcdefghijklmnopqrstuvwxyz \n"], unit="character")
SUBWORDS = fit_vocabulary(["low lower lowest newer newest"] * 3, unit="subword", size=270)


def letters(batch: np.ndarray) -> list[str]:
    return LETTERS.decode(abs(batch))  # the first code of a row that goes on is negative


def test_each_row_goes_on_where_it_ended_in_the_batch_before():
    batches = language_model_batches("abcdefghijklm", LETTERS, batch_size=2, steps=3)
    assert [letters(x) for x, _ in batches] == [["abc", "ghi"], ["def", "jkl"]]
    assert [letters(y) for _, y in batches] == [["bcd", "hij"], ["efg", "klm"]]
    assert batches[0][0].dtype == batches[0][1].dtype == np.int32
    assert len(batches) == 2
    np.testing.assert_array_equal(batches[-1][0], batches[1][0])


def test_the_first_code_of_a_row_that_goes_on_and_no_other_is_negative():
    batches = language_model_batches("abcdefghijklmnopqrs", LETTERS, batch_size=2, steps=3)
    signs = [np.sign(x).tolist() for x, _ in batches]
    assert signs == [[[1, 1, 1]] * 2, [[-1, 1, 1]] * 2, [[-1, 1, 1]] * 2]
    assert np.sign(batches[-1][0])[:, 0].tolist() == [-1, -1]
    assert [letters(x) for x, _ in batches] == [letters(x) for x, _ in batches]  # asking twice turns no sign
    batches.on_epoch_end()
    assert (batches[0][0] > 0).all()
    assert all((y > 0).all() for _, y in batches)


def test_what_does_not_fill_a_batch_is_dropped_at_the_end():
    batches = language_model_batches("abcdefghijklmnopqrs", LETTERS, batch_size=2, steps=3)
    assert [letters(x) for x, _ in batches] == [["abc", "jkl"], ["def", "mno"], ["ghi", "pqr"]]
    shorter = language_model_batches("abcdefghijklmnopqr", LETTERS, batch_size=2, steps=3)
    assert [letters(x) for x, _ in shorter] == [["abc", "ghi"], ["def", "jkl"]]
    assert repr(shorter) == "TokenStreams(18 tokens, 2 batches of 2 x 3)"


def test_several_texts_are_joined_by_new_lines():
    batches = language_model_batches(pd.Series(["ab", "cd", "ef"]), LETTERS, batch_size=1, steps=7)
    assert letters(batches[0][0]) == ["ab\ncd\ne"]


def test_streams_stay_where_they_are_unless_shifted():
    text = "abcdefghijklmnopqrstuvwxyz"
    batches = language_model_batches(text, LETTERS, batch_size=2, steps=3)
    first = batches[0][0].tolist()
    batches.on_epoch_end()
    assert batches[0][0].tolist() == first


def test_a_shift_depends_on_seed_and_epoch_alone_and_keeps_the_streams_whole():
    text = "abcdefghijklmnopqrstuvwxyz"
    batches = language_model_batches(text, LETTERS, batch_size=2, steps=4, shift=True, seed=1)
    starts = []
    for epoch in range(20):
        again = language_model_batches(text, LETTERS, batch_size=2, steps=4, shift=True, seed=1)
        again.set_epoch(epoch)
        assert [letters(x) for x, _ in again] == [letters(x) for x, _ in batches]
        rows = ["".join(parts) for parts in zip(*(letters(x) for x, _ in batches), strict=True)]
        assert "".join(rows) in text
        assert len(batches) == 2
        starts.append(text.index(rows[0]))
        batches.on_epoch_end()
    assert set(starts) == {0, 1, 2, 3}


def test_words_and_subwords_stream_too():
    text = "low lower lowest newer newest low"
    x, y = language_model_batches(text, fit_vocabulary([text]), batch_size=1, steps=5)[0]
    assert fit_vocabulary([text]).decode(x[0]) == "low lower lowest newer newest"
    assert y[0, :-1].tolist() == x[0, 1:].tolist()
    x, _ = language_model_batches(text, SUBWORDS, batch_size=1, steps=4)[0]
    assert text.startswith(SUBWORDS.decode(x[0]))


@pytest.mark.parametrize(("shift", "needed"), [(False, 13), (True, 15)])
def test_a_text_of_just_one_batch_will_do_and_a_shorter_one_is_refused(shift, needed):
    options = {"batch_size": 4, "steps": 3, "shift": shift}
    assert len(language_model_batches("a" * needed, LETTERS, **options)) == 1
    with pytest.raises(
        ValueError, match=f"has {needed - 1} tokens, but a batch of 4 streams of 3 steps needs {needed}"
    ):
        language_model_batches("a" * (needed - 1), LETTERS, **options)


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("vocabulary", "a", TypeError, "`vocabulary` must be a Vocabulary. Received: str"),
        ("batch_size", 2.5, TypeError, "`batch_size` must be a whole number"),
        ("steps", 0, ValueError, "`steps` must be at least 1"),
        ("seed", -1, ValueError, "`seed` must be at least 0"),
    ],
)
def test_options_of_streams_are_checked_before_any_work(option, value, error, message):
    with pytest.raises(error, match=message):
        language_model_batches(None, **{"vocabulary": LETTERS, option: value})
