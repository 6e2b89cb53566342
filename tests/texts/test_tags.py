"""Every token has its tag, and padding has none."""

import re

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.texts.tags import tag_batches
from rnn_toolkit.texts.vocabulary import fit_vocabulary

NAN = float("nan")
WORDS = fit_vocabulary(["a a a a b b b c c EU-wide"])  # a 2, b 3, c 4, -, eu, wide from 5 on
LETTERS = fit_vocabulary(["abcdefghij"], unit="character")
SUBWORDS = fit_vocabulary(["low lower lowest"] * 3, unit="subword", size=265)


def test_each_token_has_its_tag_and_padding_weighs_nothing():
    batches = tag_batches([["a", "B", "c"], ["b"]], [["x", "y", "x"], ["y"]], vocabulary=WORDS)
    ((x, y, weight),) = batches
    assert x.tolist() == [[2, 3, 4, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0]]
    assert y.tolist() == [[0, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]
    assert weight.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]
    assert (x.dtype, y.dtype, weight.dtype) == ("int32", "int32", "float32")
    assert batches.classes == ["x", "y"]
    assert batches.tokens == [["a", "B", "c"], ["b"]]
    assert repr(batches) == "TagBatches(2 texts, 2 classes, 1 batches)"


def test_a_token_that_the_vocabulary_would_cut_stays_one_and_is_its_rarest_known_part():
    code = {token: code for code, token in enumerate(WORDS.tokens)}
    texts = [["a-b-c", "a,b", "EU-new", "new", "", " "]]
    ((x,),) = tag_batches(texts, vocabulary=WORDS)
    assert x[0, :6].tolist() == [code["-"], code["b"], max(code["eu"], code["-"]), 1, 1, 1]


def test_a_text_is_cut_as_the_vocabulary_does_it():
    batches = tag_batches(["A, b!", "EU-wide"], [[1, 2, 3, 4], [1, 2, 3]], vocabulary=WORDS)
    assert batches.tokens == [["A", ",", "b", "!"], ["EU", "-", "wide"]]
    assert [x[x > 0].tolist() for x in batches[0][0]] == [
        codes.tolist() for codes in WORDS.encode(["A, b!", "EU-wide"])
    ]


def test_a_vocabulary_of_characters_takes_a_tag_for_each():
    ((x, y, _),) = tag_batches(["cab"], [["B", "I", "I"]], vocabulary=LETTERS)
    assert LETTERS.decode(x[0]) == "cab"
    assert y[0, :3].tolist() == [0, 1, 1]
    ((same, _, _),) = tag_batches([["c", "a", "b"]], [["B", "I", "I"]], vocabulary=LETTERS)
    assert same.tolist() == x.tolist()


def test_a_text_without_tokens_is_one_unknown_token_without_weight():
    ((x, y, weight),) = tag_batches([[], ["a"], []], [[], ["y"], []], vocabulary=WORDS, classes=["x", "y"])
    assert x[:, :2].tolist() == [[1, 0], [2, 0], [1, 0]]
    assert y[:, 0].tolist() == [0, 1, 0]
    assert weight[:, :2].tolist() == [[0, 0], [1, 0], [0, 0]]


@pytest.mark.parametrize("bucket", [True, False])
def test_each_epoch_holds_every_token_once_with_its_tag(bucket):
    generator = np.random.default_rng(0)
    texts = [generator.choice(list("abc"), size).tolist() for size in generator.integers(0, 30, 50)]
    tags = [[f"tag {token}" for token in text] for text in texts]
    options = {"vocabulary": WORDS, "batch_size": 8, "bucket": bucket, "shuffle": True, "seed": 3}
    batches, again = tag_batches(texts, tags, **options), tag_batches(texts, tags, **options)
    orders = []
    for epoch in range(3):
        again.set_epoch(epoch)
        num_tokens = 0
        for batch, same in zip(batches, again, strict=True):
            x, y, weight = batch
            assert all(map(np.array_equal, batch, same))
            assert (x[weight > 0] == y[weight > 0] + 2).all()  # a, b, c: codes 2, 3, 4 and classes 0, 1, 2
            num_tokens += weight.sum()
        assert num_tokens == sum(map(len, texts))
        assert sorted(batches.order) == list(range(50))
        orders.append(batches.order.tolist())
        batches.on_epoch_end()
    assert orders[0] != orders[1] != orders[2]


def test_classes_may_be_given_in_an_order_of_their_own():
    batches = tag_batches([["a", "b"]], [np.array(["x", "y"])], vocabulary=WORDS, classes=["z", "y", "x"])
    assert batches[0][1][0, :2].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("texts", "tags", "error", "message"),
    [
        ("a b", ["x", "y"], TypeError, "`texts` must be a list"),
        ([], None, ValueError, "`texts` is empty"),
        ([["a"], None], [["x"], ["y"]], ValueError, "`texts` has no text at position 1"),
        ([["a"], 5], [["x"], ["y"]], TypeError, "`texts` must hold str. Received at position 1: int"),
        ([["a"], ["b", 5]], [["x"], ["y", "y"]], TypeError, r"`texts\[1\]` must hold str. Received at position 1: int"),
        ([["a"], ["b"]], [["x"]], ValueError, "`tags` has tags for 1 texts, but there are 2"),
        ([["a"], ["b"]], [["x"], "y"], TypeError, "list of tags for each text. Received at position 1: 'y'"),
        ([["a"], ["b", "c"]], [["x"], ["y"]], ValueError, "holds 1 tags at position 1, where the text has 2 tokens"),
        ([["a", "b"]], [["x", None]], ValueError, "`tags` has none at position 0: None"),
        ([["a", "b"]], [["x", NAN]], ValueError, "`tags` has none at position 0: nan"),
        ([["a", "b"]], [["x", 1.5]], TypeError, "`tags` must be text, whole numbers or bools"),
        ([["a", "b"]], [["x", 1]], TypeError, "`tags` are of several types"),
        ([["a", "b"]], [["x", "x"]], ValueError, r"two at least, all different. Received: \['x'\]"),
    ],
)
def test_texts_and_tags_that_do_not_fit_are_refused(texts, tags, error, message):
    with pytest.raises(error, match=message):
        tag_batches(texts, tags, vocabulary=WORDS)


def test_an_unknown_tag_is_refused():
    message = "`tags` holds 'B-PRE' at position 1, but `classes` are 'B-PER', 'O'. Did you mean 'B-PER'?"
    with pytest.raises(ValueError, match=re.escape(message)):
        tag_batches([["a"], ["b"]], [["O"], ["B-PRE"]], vocabulary=WORDS, classes=["B-PER", "O"])


@pytest.mark.parametrize(
    ("texts", "options", "error", "message"),
    [
        (["low"], {"vocabulary": SUBWORDS}, ValueError, "cuts words into pieces, which have no tags, at position 0"),
        (["a", ["ab"]], {"vocabulary": LETTERS}, ValueError, "`vocabulary` cuts words into pieces.* at position 1 of"),
        ([["a"]], {"vocabulary": ["a"]}, TypeError, "`vocabulary` must be a Vocabulary"),
        ([["a"]], {"vocabulary": WORDS, "bucket": "yes"}, ValueError, "`bucket` must be one of 'auto'"),
    ],
)
def test_vocabularies_and_options_that_do_not_fit_are_refused(texts, options, error, message):
    with pytest.raises(error, match=message):
        tag_batches(texts, **options)


def test_tags_in_another_order_than_their_texts_are_refused():
    texts, tags = pd.Series([["a"], ["b"]], [0, 1]), pd.Series([["X"], ["Y"]], [1, 0])
    with pytest.raises(ValueError, match=r"`tags` holds the rows of `texts` in another order"):
        tag_batches(texts, tags, vocabulary=fit_vocabulary(["a b"]))
