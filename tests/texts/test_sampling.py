"""Tokens are drawn as often as they are likely, and unlikely ones left out where that is wanted."""

import numpy as np
import pytest

from rnn_toolkit.texts.sampling import Sampler

LOGITS = np.log([[0.3, 0.6, 0.1]])
A, B, C = 3, 2, 4  # the codes of 0.6, 0.3 and 0.1: behind padding and unknown


def draws(**options) -> dict:
    """Return the share of each code among 4,000 that are drawn."""
    logits = np.tile(np.concatenate([[[9.0, 9.0]], LOGITS], axis=1), (4000, 1))  # padding and unknown are likeliest
    codes, counts = np.unique(Sampler(seed=0, **options)(logits), return_counts=True)
    return dict(zip(codes.tolist(), counts / 4000, strict=True))


def test_the_likeliest_is_taken_without_temperature():
    assert draws(temperature=0) == {A: 1}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {A: 0.6, B: 0.3, C: 0.1}),
        ({"temperature": 0.5}, {A: 36 / 46, B: 9 / 46, C: 1 / 46}),  # squares: 0.36, 0.09, 0.01
        ({"temperature": 1e6}, {A: 1 / 3, B: 1 / 3, C: 1 / 3}),
        ({"top_k": 1}, {A: 1}),
        ({"top_k": 2}, {A: 2 / 3, B: 1 / 3}),
        ({"top_k": 9}, {A: 0.6, B: 0.3, C: 0.1}),  # more than there are
        ({"top_p": 0.55}, {A: 1}),
        ({"top_p": 0.7}, {A: 2 / 3, B: 1 / 3}),
        ({"top_p": 0.95}, {A: 0.6, B: 0.3, C: 0.1}),
        ({"top_p": 1.0}, {A: 0.6, B: 0.3, C: 0.1}),
        ({"top_p": 0.7, "temperature": 0.5}, {A: 1}),  # which has 36 / 46 then
        ({"top_p": 0.65, "top_k": 2}, {A: 1}),  # which has 2 / 3 of the two
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_likely(options, expected):
    assert draws(**options) == pytest.approx(expected, abs=0.03)


def test_each_row_is_drawn_by_itself_and_stays_as_it_was():
    logits = np.concatenate([np.zeros((2, 2)), [[0.0, -1e4], [-1e4, 0.0]]], axis=1)
    before = logits.copy()
    assert Sampler(seed=0)(logits).tolist() == [2, 3]
    assert (logits == before).all()


def test_the_same_seed_draws_the_same_tokens():
    logits = np.zeros((1, 50))
    runs = [[sampler(logits).item() for _ in range(20)] for sampler in map(lambda seed: Sampler(seed=seed), (3, 3, 4))]
    assert runs[0] == runs[1] != runs[2]
