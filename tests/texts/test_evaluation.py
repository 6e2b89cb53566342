"""What a language model and its baselines are charged for each token, in numbers that can be had by hand."""

import keras
import numpy as np
import pytest

from rnn_toolkit.networks.dropping import WeightDrop
from rnn_toolkit.networks.recurrent import recurrent_layers
from rnn_toolkit.texts.evaluation import _Counts, score_language_model
from rnn_toolkit.texts.layers import text_layer_of
from rnn_toolkit.texts.models import build_language_model
from rnn_toolkit.texts.next_token import NextToken
from rnn_toolkit.texts.streams import language_model_batches
from rnn_toolkit.texts.vocabulary import fit_vocabulary


def model_of(texts, unit="character", cell="gru", **options):
    """Return a small untrained language model."""
    layers = recurrent_layers(cell, (4,), return_sequences=True)
    return build_language_model(fit_vocabulary(texts, unit=unit), layers, embedding=3, **options)


def with_logits(model, logits):
    """Return a model that always gives its tokens these logits, and sees nothing of the text."""
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    text_layer_of(model, NextToken).head.bias.assign(logits)
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
    codes = text_layer_of(model, NextToken).embedding.vocabulary.encode(text)
    logits = model.predict(codes[None, :-1], verbose=0)[0].astype("float64")
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -log_probabilities[np.arange(len(codes) - 1), codes[1:]].mean()


def test_unigram_and_bigram_of_abab_are_those_counted_by_hand():
    # Codes: 2 is a, 3 is b. a and b twice each and nothing else, of three codes that may come, plus one each: 3/7.
    counts = _Counts(np.array([2, 3, 2, 3]), 4)
    assert counts.unigram(np.array([1, 2, 3])) == pytest.approx([1 / 7, 3 / 7, 3 / 7])
    # ab twice, ba once: the discount is 1 / (1 + 2). Behind a: (2 - 1/3) / 2, and 1/3 of one kind over 2 to share out.
    assert counts.discount == pytest.approx(1 / 3)
    probabilities = counts.bigram(np.array([2, 2, 3]), np.array([3, 2, 2]))
    assert probabilities == pytest.approx([5 / 6 + 1 / 6 * 3 / 7, 1 / 6 * 3 / 7, 2 / 3 + 1 / 3 * 3 / 7])


@pytest.mark.parametrize("text", ["abab", "abcabcdaad", "a", "aaaaaa", "abababab"])
def test_probabilities_of_all_tokens_that_may_come_add_up_to_one(text):
    vocabulary = fit_vocabulary(["abcde"], unit="character")
    counts, tokens = _Counts(vocabulary.encode(text), len(vocabulary)), np.arange(1, len(vocabulary))
    assert counts.unigram(tokens).sum() == pytest.approx(1)
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


def test_streams_cost_what_their_parts_cost_when_read_alone(model):
    text = "abcddcbaabcdabcddcb"
    streams = language_model_batches(text, model_vocabulary(model), batch_size=2, steps=3)
    scores = score_language_model(model, streams, train=text)
    assert scores.loc["model", "tokens"] == 18
    expected = (cost_by_predict(model, text[:10]) + cost_by_predict(model, text[9:])) / 2
    assert scores.loc["model", "nats"] == pytest.approx(expected, rel=1e-5)


def test_baselines_are_scored_on_the_tokens_that_the_streams_keep(model):
    streams = language_model_batches("abababab", model_vocabulary(model), batch_size=1, steps=2)  # six of seven
    scores = score_language_model(model, streams, train="abab")
    kept = score_language_model(model, "abababa", train="abab")
    assert scores["nats"].tolist() == pytest.approx(kept["nats"].tolist(), rel=1e-5)


def test_batches_to_learn_from_count_with_the_tokens_that_they_drop(model):
    text = "abcdabc"
    streams = language_model_batches(text, model_vocabulary(model), batch_size=1, steps=4)
    by_text, by_streams = (score_language_model(model, "abcd", train=train) for train in (text, streams))
    assert by_streams.equals(by_text)


def test_several_texts_are_joined_by_new_lines():
    model = model_of(["ab\ncd"])
    joined = score_language_model(model, "ab\ncd", train="ab\ncd")
    assert score_language_model(model, ["ab", "cd"], train=["ab", "cd"]).equals(joined)


def test_more_streams_than_the_model_keeps_states_for_go_on_all_the_same():
    model = model_of(["abcd"], batch_size=1)
    model.set_weights([3 * weight for weight in model.get_weights()])
    text = "abcddcba" * 2 + "a"
    streams = language_model_batches(text, model_vocabulary(model), batch_size=2, steps=4)
    expected = (cost_by_predict(model, text[:9]) + cost_by_predict(model, text[8:])) / 2
    assert score_language_model(model, streams, train=text).loc["model", "nats"] == pytest.approx(expected, rel=1e-5)


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


def test_a_training_text_without_a_token_is_refused(model):
    with pytest.raises(ValueError, match=r"`train` holds no token to count\. Pass the text"):
        score_language_model(model, "ab", train="")


@pytest.mark.parametrize("name", ["test", "train"])
def test_batches_of_another_vocabulary_are_refused(model, name):
    streams = language_model_batches("xyzxyz", fit_vocabulary(["xyz"], unit="character"), batch_size=1, steps=2)
    with pytest.raises(ValueError, match=rf"`{name}` was made with another vocabulary \(.*5 codes.*6 codes"):
        score_language_model(model, **{"test": "abcd", "train": "abcd", name: streams})


@pytest.mark.parametrize("name", ["test", "train"])
def test_what_is_no_text_is_refused(model, name):
    with pytest.raises(TypeError, match=rf"`{name}` must"):
        score_language_model(model, **{"test": "abcd", "train": "abcd", name: [1, 2]})


def model_vocabulary(model):
    return text_layer_of(model, NextToken).embedding.vocabulary
