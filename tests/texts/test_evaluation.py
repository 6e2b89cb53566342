"""Scores of tags, of language models and of what was copied, in numbers that can be had by hand."""

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.networks.dropping import WeightDrop
from rnn_toolkit.networks.labels import find_layer
from rnn_toolkit.networks.recurrent import recurrent_layers
from rnn_toolkit.texts.evaluation import _Counts, copied_share, score_language_model, score_tags
from rnn_toolkit.texts.models import build_language_model
from rnn_toolkit.texts.next_token import NextToken
from rnn_toolkit.texts.vocabulary import fit_vocabulary

NAN = float("nan")

# ---------------------------------------------------------------------------------------------------------------------
# tags
# ---------------------------------------------------------------------------------------------------------------------


def test_tokens_are_scored_by_tag():
    scores = score_tags([["x", "x", "y"], ["z"]], [["x", "y", "y"], ["y"]])
    assert scores.index.tolist() == [("token", name) for name in ("x", "y", "z", "micro mean", "macro mean")]
    assert scores.columns.tolist() == ["precision", "recall", "F1", "support"]
    assert scores.loc[("token", "x")].tolist() == pytest.approx([1, 1 / 2, 2 / 3, 2])
    assert scores.loc[("token", "y")].tolist() == pytest.approx([1 / 3, 1, 1 / 2, 1])
    assert scores.loc[("token", "z")].tolist() == [0, 0, 0, 1]  # never predicted
    assert scores.loc[("token", "micro mean")].tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 2, 4])
    assert scores.loc[("token", "macro mean")].tolist() == pytest.approx([4 / 9, 1 / 2, 7 / 18, 4])
    assert scores["support"].dtype == "int64"


def test_tokens_are_scored_as_scikit_learn_does():
    metrics = pytest.importorskip("sklearn.metrics")
    actual, predicted = np.random.default_rng(0).integers(0, 5, (2, 200))
    scores = score_tags([actual], [predicted]).loc["token"]
    for rows, average in ((slice(0, 5), None), ("micro mean", "micro"), ("macro mean", "macro")):
        expected = metrics.precision_recall_fscore_support(actual, predicted, average=average)[:3]
        ours = scores.iloc[rows] if average is None else scores.loc[rows]
        np.testing.assert_allclose(ours[["precision", "recall", "F1"]].to_numpy().T, expected)


def spans(actual: str, predicted: str) -> pd.DataFrame:
    """Score tags written as "B-P I-P O | B-L", a bar between texts."""
    rows = [[text.split() for text in tags.split("|")] for tags in (actual, predicted)]
    return score_tags(*rows).loc["span"]


@pytest.mark.parametrize(
    ("predicted", "num_right", "num_predicted"),
    [
        ("B-P I-P O B-L | B-P", 3, 3),
        ("B-P O O B-L | B-P", 2, 3),  # too short
        ("B-P I-P I-P B-L | B-P", 2, 3),  # too long
        ("B-P B-P O B-L | B-P", 2, 4),  # cut in two
        ("B-L I-L O B-L | B-P", 2, 3),  # another kind
        ("B-P I-L O B-L | B-P", 2, 4),  # an "I-" of another kind begins a span
        ("I-P I-P O I-L | I-P", 3, 3),  # as does one behind "O" or at the beginning of a text
        ("O O O O | O", 0, 0),
    ],
)
def test_a_span_is_right_if_it_begins_ends_and_is_named_as_in_the_truth(predicted, num_right, num_predicted):
    micro = spans("B-P I-P O B-L | B-P", predicted).loc["micro mean"]
    assert micro["precision"] == pytest.approx(num_right / max(num_predicted, 1))
    assert micro["recall"] == pytest.approx(num_right / 3)
    assert micro["F1"] == pytest.approx(2 * num_right / (num_predicted + 3))
    assert micro["support"] == 3


def test_a_span_ends_with_its_text():
    assert spans("O B-P | I-P", "O B-P | I-P").loc["P", "support"] == 2


def test_kinds_of_spans_are_scored_one_by_one():
    scores = spans("B-P I-P B-P O B-L", "B-P I-P O B-L B-L")
    assert scores.index.tolist() == ["L", "P", "micro mean", "macro mean"]
    assert scores.loc["L"].tolist() == pytest.approx([1 / 2, 1, 2 / 3, 1])
    assert scores.loc["P"].tolist() == pytest.approx([1, 1 / 2, 2 / 3, 2])
    assert scores.loc["micro mean"].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 3])
    assert scores.loc["macro mean"].tolist() == pytest.approx([3 / 4, 3 / 4, 2 / 3, 3])


@pytest.mark.parametrize("tags", [["noun", "verb"], ["O", "O"], ["B", "O"], [0, 1], ["B-P", "E-P"], ["B-", "O"]])
def test_other_tags_have_no_spans(tags):
    assert score_tags([tags], [tags]).index.get_level_values("unit").unique().tolist() == ["token"]


def test_the_table_of_tag_is_scored_with_the_texts_of_the_truth():
    table = pd.DataFrame({"text": [0, 0, 2], "tag": ["B-P", "I-P", "I-P"]})
    actual = [["B-P", "I-P"], [], ["B-P"]]
    pd.testing.assert_frame_equal(score_tags(actual, table), score_tags(actual, [["B-P", "I-P"], [], ["I-P"]]))
    assert score_tags(actual, table).loc[("span", "P"), "F1"] == 1


@pytest.mark.parametrize(
    ("actual", "predicted", "error", "message"),
    [
        ("xy", [["x"]], TypeError, "`actual` must be a list"),
        (["xy"], [["x", "y"]], TypeError, "`actual` must hold a list of tags for each text. Received at position 0"),
        ([["x"]], [["x"], ["y"]], ValueError, "`predicted` has tags for 2 texts, but there are 1"),
        (
            [["x"], ["y"]],
            [["x"], ["y", "y"]],
            ValueError,
            "`predicted` holds 2 tags at position 1, where `actual` has 1",
        ),
        ([["x"]], pd.DataFrame({"tag": ["x", "y"]}), ValueError, "`predicted` has 2 rows, but `actual` 1 tags"),
        ([["x"]], pd.DataFrame({"Tag": ["x"]}), ValueError, "`predicted` has no column 'tag'"),
        ([[]], [[]], ValueError, "`actual` holds no tag"),
        ([["x"], ["x", None]], [["x"], ["x", "y"]], ValueError, "`actual` has none at position 1: None"),
        ([["x"], ["x"]], [["x"], [NAN]], ValueError, "`predicted` has none at position 1: nan"),
    ],
)
def test_tags_that_cannot_be_scored_are_refused(actual, predicted, error, message):
    with pytest.raises(error, match=message):
        score_tags(actual, predicted)


# ---------------------------------------------------------------------------------------------------------------------
# language models
# ---------------------------------------------------------------------------------------------------------------------


def model_of(texts, unit="character", cell="gru", **options):
    """Return a small untrained language model."""
    layers = recurrent_layers(cell, (4,), return_sequences=True)
    return build_language_model(fit_vocabulary(texts, unit=unit), layers, embedding=3, **options)


def with_logits(model, logits):
    """Return a model that always gives its tokens these logits, and sees nothing of the text."""
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    find_layer(model, NextToken).head.bias.assign(logits)
    return model


@pytest.fixture(scope="module")
def model():
    """Return a model of characters whose weights are large, so that each token before counts."""
    keras.utils.set_random_seed(1)
    model = model_of(["abcd"], cell="lstm")
    model.set_weights([3 * weight for weight in model.get_weights()])
    return model


def cost_by_predict(model, text):
    """Return nats a token, from the logits of the whole text at once."""
    codes = find_layer(model, NextToken).embedding.vocabulary.encode(text)
    logits = model.predict(codes[None, :-1], verbose=0)[0].astype("float64")
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -log_probabilities[np.arange(len(codes) - 1), codes[1:]].mean()


def test_unigram_and_bigram_of_abab_are_those_counted_by_hand():
    # Codes: 2 is a, 3 is b. a and b twice each and nothing else, of three codes that may come, plus one each: 3/7.
    counts = _Counts(np.array([2, 3, 2, 3]), 4)
    assert counts.unigram[[1, 2, 3]] == pytest.approx([1 / 7, 3 / 7, 3 / 7])
    # ab twice, ba once: the discount is 1 / (1 + 2). Behind a: (2 - 1/3) / 2, and 1/3 of one kind over 2 to share out.
    assert counts.discount == pytest.approx(1 / 3)
    probabilities = counts.bigram(np.array([2, 2, 3]), np.array([3, 2, 2]))
    assert probabilities == pytest.approx([5 / 6 + 1 / 6 * 3 / 7, 1 / 6 * 3 / 7, 2 / 3 + 1 / 3 * 3 / 7])


@pytest.mark.parametrize("text", ["abab", "abcabcdaad", "a", "aaaaaa", "abababab"])
def test_probabilities_of_all_tokens_that_may_come_add_up_to_one(text):
    vocabulary = fit_vocabulary(["abcde"], unit="character")
    counts, tokens = _Counts(vocabulary.encode(text), len(vocabulary)), np.arange(1, len(vocabulary))
    assert counts.unigram[tokens].sum() == pytest.approx(1)
    for before in tokens:
        assert counts.bigram(np.full(len(tokens), before), tokens).sum() == pytest.approx(1)
        assert (counts.bigram(np.full(len(tokens), before), tokens) > 0).all()


def test_behind_a_token_that_nothing_followed_the_bigram_is_the_unigram():
    counts = _Counts(np.array([2, 2, 3]), 5)
    assert counts.bigram(np.array([3, 4]), np.array([2, 2])) == pytest.approx([3 / 7, 3 / 7])


def test_a_model_that_knows_nothing_hesitates_between_all_codes():
    scores = score_language_model(with_logits(model_of(["abab"]), np.zeros(4)), "abab", train="abab")
    assert scores.index.tolist() == ["model", "bigram", "unigram"]
    assert scores.loc["model", "perplexity"] == pytest.approx(4)
    assert scores.loc["unigram", "perplexity"] == pytest.approx(7 / 3)
    assert scores["tokens"].tolist() == [3, 3, 3]


def test_the_model_pays_the_logarithm_of_its_probabilities():
    model = with_logits(model_of(["abab"]), np.log([1e-9, 1e-9, 0.75, 0.25]))  # a: 3/4, b: 1/4
    scores = score_language_model(model, "abab", train="abab")  # targets b, a, b
    assert scores.loc["model", "nats"] == pytest.approx(-np.log(0.75 * 0.25 * 0.25) / 3, rel=1e-5)
    bigram = (5 / 6 + 1 / 6 * 3 / 7) ** 2 * (2 / 3 + 1 / 3 * 3 / 7)
    assert scores.loc["bigram", "nats"] == pytest.approx(-np.log(bigram) / 3)


def test_perplexity_and_bits_of_characters_follow_from_nats():
    scores = score_language_model(model_of(["abab"]), "abab", train="abab")
    assert scores["perplexity"].tolist() == pytest.approx(np.exp(scores["nats"]).tolist())
    assert scores["bits_per_character"].tolist() == pytest.approx((scores["nats"] / np.log(2)).tolist())


def test_bits_of_words_are_shared_out_among_their_characters():
    model = with_logits(model_of(["to be or not"], unit="word", tied=False), np.zeros(6))
    scores = score_language_model(model, "be to or", train="to be or not")  # targets "to or": five characters
    assert scores.loc["model", "bits_per_character"] == pytest.approx(2 * np.log2(6) / 5)


def test_unknown_tokens_count_as_one_class_for_all():
    model = with_logits(model_of(["abab"]), np.zeros(4))
    scores = score_language_model(model, "a?!", train="abab")
    assert scores["tokens"].tolist() == [2, 2, 2]
    assert scores.loc["model", "perplexity"] == pytest.approx(4)
    assert scores.loc["unigram", "perplexity"] == pytest.approx(7)


@pytest.mark.parametrize("length", [2, 256, 257, 258, 600])
def test_a_text_is_read_to_its_last_token_with_the_state_of_all_before(model, length):
    text = ("abcdd" * 120)[:length]
    scores = score_language_model(model, text, train="abcd")
    assert scores.loc["model", "tokens"] == length - 1
    assert scores.loc["model", "nats"] == pytest.approx(cost_by_predict(model, text), rel=1e-5)


def test_several_texts_are_joined_by_new_lines():
    model = model_of(["ab\ncd"])
    joined = score_language_model(model, "ab\ncd", train="ab\ncd")
    assert score_language_model(model, ["ab", "cd"], train=["ab", "cd"]).equals(joined)


def test_dropped_connections_are_all_there_when_a_model_is_scored():
    layer = WeightDrop(keras.layers.LSTM(4, return_sequences=True), 0.5)
    model = build_language_model(fit_vocabulary(["abcd"], unit="character"), [layer], embedding=3)
    scores = score_language_model(model, "abcdabcd", train="abcd")
    assert scores.loc["model", "nats"] == pytest.approx(cost_by_predict(model, "abcdabcd"), rel=1e-5)


def test_the_model_is_left_as_it_was(model):
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    score_language_model(model, "abcdabcd", train="abcd")
    after = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    assert all((one == other).all() for one, other in zip(before, after, strict=True))


def test_a_million_characters_are_counted_within_seconds():
    codes = np.random.default_rng(0).integers(2, 60, 1_000_000).astype("int32")
    counts = _Counts(codes, 60)
    assert np.isfinite(np.log(counts.bigram(codes[:-1], codes[1:]))).all()


def test_a_model_that_is_no_language_model_is_refused():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"carries no .*NextToken.*rt\.build_language_model"):
        score_language_model(model, "ab", train="ab")


@pytest.mark.parametrize("text", ["", "a", []])
def test_a_text_without_a_token_that_follows_is_refused(model, text):
    with pytest.raises(ValueError, match=r"`test` has [01] tokens, but it takes two for one to follow\. Pass more"):
        score_language_model(model, text, train="ab")


def test_without_anything_to_learn_from_the_baselines_hesitate_between_all_codes(model):
    scores = score_language_model(model, "ab", train="")
    assert scores.loc["bigram":, "perplexity"].tolist() == pytest.approx([5, 5])  # a, b, c, d and the unknown


@pytest.mark.parametrize("name", ["test", "train"])
def test_what_is_no_text_is_refused(model, name):
    with pytest.raises(TypeError, match=rf"`{name}` must"):
        score_language_model(model, **{"test": "abcd", "train": "abcd", name: [1, 2]})


# ---------------------------------------------------------------------------------------------------------------------
# what was copied
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "source", "length", "expected"),
    [
        ("abcd", "xabcdx", 4, 1),
        ("abcdXX", "...abcd...", 3, 4 / 6),
        ("abXbc", "abc", 2, 4 / 5),
        ("abcXabc", ["ab", "bc"], 2, 6 / 7),
        ("abcd", ["ab", "cd"], 3, 0),  # no run goes from one text to the next
        ("abcd", "dcba", 2, 0),
        ("aaaa", "aa", 2, 1),
        ("abc", "ab", 3, 0),
        ("abc", [], 2, 0),
    ],
)
def test_characters_in_a_run_of_the_source_are_copied(text, source, length, expected):
    assert copied_share(text, source, length=length) == pytest.approx(expected)


def test_a_copied_run_has_40_characters_unless_told():
    assert copied_share("a" * 40 + "b" * 60, "a" * 50 + "." + "b" * 39) == 0.4


@pytest.mark.parametrize(
    ("text", "source", "options", "error", "message"),
    [
        ("abc", "abc", {}, ValueError, "`text` has 3 characters, but a run has 40. Let the model write more, or lower"),
        (None, "abc", {}, ValueError, "`text` has no text at position 0: None"),
        (b"abc", "abc", {}, TypeError, "`text` must hold str. Received at position 0: bytes"),
        ("abc", None, {}, TypeError, "`source` must be a list"),
        ("abc", ["a", None], {}, ValueError, "`source` has no text at position 1"),
        ("abc", "abc", {"length": 0}, ValueError, "`length` must be at least 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(text, source, options, error, message):
    with pytest.raises(error, match=message):
        copied_share(text, source, **options)
