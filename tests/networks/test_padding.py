"""Sequences of different lengths become one array, padded on the right."""

import numpy as np
import pytest

from rnn_toolkit.networks.padding import pad


def test_zeros_are_put_on_the_right():
    array, lengths = pad([[5, 6, 7], [], np.array([8])])
    assert array.tolist() == [[5, 6, 7], [0, 0, 0], [8, 0, 0]]
    assert lengths.tolist() == [3, 0, 1]
    assert array.dtype == lengths.dtype == np.int32


def test_floats_stay_floats_and_steps_may_have_features():
    array, lengths = pad([np.zeros((0, 2)), [[0.5, 1]], np.array([[2, 3], [4, 5]])])
    assert array.tolist() == [[[0, 0], [0, 0]], [[0.5, 1], [0, 0]], [[2, 3], [4, 5]]]
    assert array.dtype == np.float32
    assert lengths.tolist() == [0, 1, 2]
    assert pad([[], [[1, 2]]])[0].tolist() == [[[0, 0]], [[1, 2]]]


def test_a_given_length_keeps_the_last_steps():
    array, lengths = pad([[1, 2, 3], [4]], length=2)
    assert array.tolist() == [[2, 3], [4, 0]]
    assert lengths.tolist() == [2, 1]
    assert pad([[1]], length=3)[0].tolist() == [[1, 0, 0]]


def test_empty_sequences_alone_give_one_step():
    assert pad([[], []])[0].tolist() == [[0], [0]]


@pytest.mark.parametrize(
    ("sequences", "error", "message"),
    [
        ([], ValueError, "`sequences` is empty"),
        (["abc"], TypeError, r"rows of numbers. Received at position 0: str of .*encode texts first"),
        ([[1], 5], TypeError, "position 1: int of int64"),
        ([[1], [None]], TypeError, "position 1: list of object"),
        ([[1], [[1, 2], [3]]], TypeError, "position 1: list of object"),
        ([[], [[1, 2]], [[1, 2, 3]]], ValueError, r"one shape. Received: \(2,\) at position 1, \(3,\) at position 2"),
        ([[2**40]], ValueError, "holds 1099511627776, which int32 cannot"),
        ([[-(2**63)]], ValueError, "holds -9223372036854775808, which int32 cannot"),  # whose abs() is itself in int64
        ([np.array([2**63], "uint64")], ValueError, "holds 9223372036854775808, which int32 cannot"),
    ],
)
def test_what_cannot_be_padded_is_refused(sequences, error, message):
    with pytest.raises(error, match=message):
        pad(sequences)


def test_a_length_of_0_is_refused():
    with pytest.raises(ValueError, match="`length` must be at least 1"):
        pad([[1]], length=0)
