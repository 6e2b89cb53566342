"""A linear model of runs of tokens with weights set by hand: presence, not counts, whatever the padding."""

import keras
import numpy as np
import pytest

from rnn_toolkit import (
    build_text_classifier,
    classify,
    explain_text,
    fit_vocabulary,
    ngram_layers,
    text_batches,
    train,
)
from rnn_toolkit.ngram_layers import END, LAST_KEY, MULTIPLIER, NgramLogits, fit_ngrams

WORDS = fit_vocabulary(["good good good not not bad"])  # codes 2, 3 and 4
GOOD, NOT, BAD = 2, 3, 4
TEXTS = ["good", "not bad", "bad", "not good"] * 3
TASTES = ["yes", "yes", "no", "no"] * 3


def array(values) -> np.ndarray:
    return keras.ops.convert_to_numpy(values)


def pair(first, second) -> int:
    """Return the key of two tokens, as int32 arithmetic has it."""
    return (first * MULTIPLIER + second + 2**31) % 2**32 - 2**31


def by_hand() -> NgramLogits:
    """Return a layer in which "good" counts 1, "bad" -2 and "not good" -8, for the second of two classes."""
    layer = NgramLogits(2, 3)
    layer.build((None, None))
    weights = dict(sorted({GOOD: 1.0, BAD: -2.0, pair(NOT, GOOD): -8.0}.items()))
    kernel = np.array([[0.0, weight] for weight in weights.values()])
    layer.start_from(np.array(list(weights), "int32"), kernel, np.array([0.5, 0.25]))
    return layer


def batches(texts=TEXTS, labels=TASTES, vocabulary=WORDS, **options):
    return text_batches(texts, labels, vocabulary=vocabulary, batch_size=5, **options)


def classifier(labels=TASTES, **options) -> keras.Model:
    """Return a model whose network knows nothing."""
    given = batches(labels=labels)
    model = build_text_classifier(WORDS, given.classes, [], embedding=1, linear=given, pooling=["mean"], **options)
    model.layers[-1].set_weights([0 * weight for weight in model.layers[-1].get_weights()])
    return model


# ---------------------------------------------------------------------------------------------------------------------
# the layer
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "logit"),
    [
        ("good", 1),
        ("good good good", 1),
        ("good bad bad", -1),
        ("not good", -7),
        ("good not", 1),
        ("not good, not good", -7),
        ("not", 0),
        ("so", 0),
    ],
)
def test_each_run_counts_once_however_often_it_occurs(text, logit):
    assert array(by_hand()(WORDS.encode(text)[None]))[0].tolist() == [0.5, 0.25 + logit]


@pytest.mark.parametrize("width", [2, 3, 40])
def test_padding_counts_nothing(width):
    codes = np.zeros((2, width), "int32")
    codes[0, :2], codes[1, :1] = [NOT, GOOD], BAD
    assert array(by_hand()(codes)).tolist() == [[0.5, -6.75], [0.5, -1.75]]


def test_a_text_shorter_than_the_longest_run_is_read():
    layer = NgramLogits(1, 1, longest=4)
    layer.build((None, None))
    layer.start_from(np.array([GOOD], "int32"), np.array([[3.0]]), np.array([0.0]))
    assert array(layer(np.array([[GOOD]]))).tolist() == [[3]]
    assert array(layer(np.array([[GOOD, BAD]]))).tolist() == [[3]]


@pytest.mark.parametrize("width", [3, 9])
@pytest.mark.parametrize(("text", "logit"), [("ab", 3), ("ba", 40), ("aba", 43), ("aab", 3), ("b", 0), ("", 0)])
def test_the_ends_of_a_text_count_as_tokens(text, logit, width):
    first_a, last_a = pair(END, 2), pair(2, END)  # codes: a 2, b 3
    layer = NgramLogits(1, 2, ends=True)
    layer.build((None, None))
    keys, kernel = zip(*sorted([(first_a, [3.0]), (last_a, [40.0])]), strict=True)
    layer.start_from(np.array(keys, "int32"), np.array(kernel), np.array([0.0]))
    codes = np.array([{"a": 2, "b": 3}[character] for character in text], "int32")
    padded = np.pad(codes, (0, width - len(codes)))[None]
    assert array(layer(padded)).tolist() == [[logit]]
    assert layer.shares(codes).sum() == logit


def test_characters_are_fitted_with_their_ends():
    vocabulary = fit_vocabulary(["ab"], unit="character")
    given = text_batches(["ab", "ba"] * 9, ["x", "y"] * 9, vocabulary=vocabulary)
    model = build_text_classifier(vocabulary, given.classes, [], embedding=1, linear=given, ngrams=2, dropout=0.0)
    model.layers[-1].set_weights([0 * weight for weight in model.layers[-1].get_weights()])
    assert classify(model, ["aab", "baa"])["label"].tolist() == ["x", "y"]


def test_tokens_share_the_weight_of_their_run_and_its_occurrences_too():
    shares = by_hand().shares(WORDS.encode("not good good bad"))
    assert shares[:, 0].tolist() == [0, 0, 0, 0]
    assert shares[:, 1].tolist() == [-4, -4 + 0.5, 0.5, -2]


def test_pairs_of_many_words_have_keys_of_their_own():
    # Two pairs share a key where the first words differ by d and the second ones by d * MULTIPLIER, modulo 2^32.
    gaps = np.arange(1, 40_000, dtype="int32") * np.int32(MULTIPLIER)
    assert np.abs(gaps.astype("int64")).min() >= 40_000


# ---------------------------------------------------------------------------------------------------------------------
# the fit
# ---------------------------------------------------------------------------------------------------------------------


def test_all_runs_of_the_training_texts_are_listed_once():
    layer = fit_ngrams(batches(["good", "not good not good", "not", ""], ["yes", "no", "no", "yes"]), longest=2)
    assert array(layer.keys).tolist() == [
        *sorted([1, GOOD, NOT, pair(NOT, GOOD), pair(GOOD, NOT)]),
        LAST_KEY,
    ]  # 1 is unknown


def test_words_get_about_the_odds_of_the_texts_that_they_stand_in():
    given = batches(["good", "good", "good", "bad"] * 300, ["yes", "yes", "no", "no"] * 300)
    logits = array(fit_ngrams(given, longest=1)(np.array([[GOOD], [BAD]])))
    odds = logits[:, 1] - logits[:, 0]
    assert 0.5 < odds[0] <= np.log(2) and odds[1] < -3  # two of three, and none of three hundred


def test_many_texts_choose_the_scale_that_errs_less_on_those_held_out(monkeypatch):
    rng = np.random.default_rng(0)
    words, taste = rng.integers(0, 60, (300, 12)), rng.integers(0, 2, 300)
    texts = [" ".join(f"w{word}" for word in row) + " good" * yes for row, yes in zip(words, taste, strict=True)]
    labels = np.where(rng.random(300) < 0.8, taste, 1 - taste)  # one in five is wrong
    vocabulary = fit_vocabulary(texts)
    rows = np.arange(300) % 5 == 0
    given, learnt, held_out = (
        text_batches([texts[row] for row in kept], labels[kept], vocabulary=vocabulary, batch_size=300)
        for kept in (np.arange(300), np.flatnonzero(~rows), np.flatnonzero(rows))
    )

    def fitted(data, *choices):
        monkeypatch.setattr(ngram_layers, "RARITY_ALONE", choices)
        return fit_ngrams(data, longest=1)

    def errors(layer):
        codes, right = held_out[0]
        return (array(layer(codes)).argmax(1) != right).sum()

    noisy, quiet = 1000.0, 0.01  # with the first, the noise is learnt by heart
    assert errors(fitted(learnt, quiet)) < errors(fitted(learnt, noisy))
    few = fitted(given, noisy, quiet)
    assert array(few.kernel).tolist() == array(fitted(given, noisy).kernel).tolist()
    monkeypatch.setattr(ngram_layers, "ENOUGH_TO_CHOOSE", 300)
    many = fitted(given, noisy, quiet)
    assert array(many.kernel).tolist() == array(fitted(given, quiet).kernel).tolist()


def test_the_order_of_words_is_learnt():
    answer = classify(classifier(), ["good", "bad", "not bad", "not good", "not bad not bad"])
    assert answer["label"].tolist() == ["yes", "no", "yes", "no", "yes"]


def test_a_text_that_weighs_nothing_teaches_nothing():
    weight = {"yes": 1, "no": 1, "maybe": 0}
    given = batches([*TEXTS, "good"] * 9, [*TASTES, "maybe"] * 9, class_weight=weight)
    logits = array(fit_ngrams(given, longest=2)(np.array([[GOOD], [BAD]])))
    assert given.classes == ["maybe", "no", "yes"]
    assert logits.argmax(1).tolist() == [2, 1]
    assert (logits[:, 0] < logits[:, 1:].max(1) - 3).all()


def test_of_several_labels_each_is_learnt_by_itself():
    labels = [["good"], ["bad"], ["good", "bad"], []] * 40
    given = batches(["good", "bad", "good bad", "not"] * 40, labels)
    model = build_text_classifier(WORDS, given.classes, [], embedding=1, linear=given, multi_label=True)
    model.layers[-1].set_weights([0 * weight for weight in model.layers[-1].get_weights()])
    answer = classify(model, ["good", "bad good", "not", "bad"])
    assert [sorted(row) for row in answer["label"]] == [["good"], ["bad", "good"], [], ["bad"]]


def test_a_class_without_a_text_is_all_but_ruled_out():
    given = batches(classes=["no", "never", "yes"])
    table = classify(build_text_classifier(WORDS, given.classes, [], embedding=1, linear=given), ["good", "bad"])
    assert np.isfinite(table[given.classes].to_numpy()).all()


def test_runs_of_characters_are_longer():
    letters = fit_vocabulary(["abcd"], unit="character")
    given = text_batches(["abcd", "dcba"] * 3, [0, 1] * 3, vocabulary=letters)
    options = {"embedding": 1, "linear": given}
    assert build_text_classifier(letters, [0, 1], [], **options).layers[-2].longest == 4
    assert build_text_classifier(letters, [0, 1], [], ngrams=3, **options).layers[-2].longest == 3


# ---------------------------------------------------------------------------------------------------------------------
# in a model
# ---------------------------------------------------------------------------------------------------------------------


def test_log_odds_are_averaged_except_in_training():
    model = classifier()
    codes = WORDS.encode("good")[None]
    logits = array(model.layers[-2](codes))[0]
    table = classify(model, ["good"])
    assert np.log(table["yes"] / table["no"]).item() == pytest.approx((logits[1] - logits[0]) / 2, abs=1e-6)
    assert array(model(codes, training=True)).tolist() == [[0.5, 0.5]]


def test_training_leaves_the_linear_model_as_it_was():
    model = classifier()
    before = [array(weight) for weight in model.layers[-2].weights]
    head = model.layers[-1].get_weights()[0].copy()
    train(model, batches(), batches(), epochs=2, callbacks=[], progress=None)
    assert all(np.array_equal(array(now), old) for now, old in zip(model.layers[-2].weights, before, strict=True))
    assert not np.array_equal(model.layers[-1].get_weights()[0], head)


def test_an_explanation_adds_what_each_word_weighs():
    model = classifier()
    shares = model.layers[-2].shares(WORDS.encode("not bad"))
    table = explain_text(model, "Not bad", label="yes")
    assert table["token"].tolist() == ["Not", "bad"]
    assert table["score"].tolist() == pytest.approx(((shares[:, 1] - shares[:, 0]) / 2).tolist(), rel=1e-5)


def test_a_model_survives_its_file_with_keys_and_weights(tmp_path):
    model = build_text_classifier(WORDS, ["no", "yes"], embedding=2, linear=batches(), ngrams=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert loaded.layers[-2].longest == 3 and not loaded.layers[-2].trainable_variables
    table = classify(loaded, TEXTS)
    assert table.equals(classify(model, TEXTS))
    assert explain_text(loaded, "not bad").equals(explain_text(model, "not bad"))


# ---------------------------------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------------------------------


def test_what_is_no_batches_is_refused():
    with pytest.raises(TypeError, match=r"`linear` must be labelled batches\. Received: list\. Pass what"):
        build_text_classifier(WORDS, ["no", "yes"], linear=TEXTS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (batches(labels=None), "no labels"),
        (batches(vocabulary=fit_vocabulary(["good"])), "another vocabulary"),
        (batches(classes=["yes", "no"]), r"the classes \['yes', 'no'\]"),
        (batches(labels=[[one] for one in TASTES]), "lists of labels"),
    ],
)
def test_batches_of_something_else_are_refused(given, message):
    with pytest.raises(ValueError, match=rf"`linear` must fit .* Received: batches with {message}\. Make them with"):
        build_text_classifier(WORDS, ["no", "yes"], linear=given)


def test_single_labels_are_refused_where_there_may_be_several():
    with pytest.raises(ValueError, match="Received: batches with one label a text"):
        build_text_classifier(WORDS, ["no", "yes"], linear=batches(), multi_label=True)


def test_a_run_of_no_token_is_refused():
    with pytest.raises(ValueError, match=r"`ngrams` must be at least 1\. Received: 0"):
        build_text_classifier(WORDS, ["no", "yes"], linear=batches(), ngrams=0)
