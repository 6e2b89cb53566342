"""A linear model of runs of tokens with weights set by hand: presence, not counts, whatever the padding."""

import keras
import numpy as np
import pytest

from rnn_toolkit import (
    build_text_classifier,
    classify,
    explain_text,
    fit_vocabulary,
    recurrent_layers,
    text_batches,
    train,
)
from rnn_toolkit.networks.labels import find_layer
from rnn_toolkit.texts import ngrams
from rnn_toolkit.texts.ngrams import END, LAST_KEY, MULTIPLIER, NgramEvidence, fit_ngrams, fold_of

WORDS = fit_vocabulary(["good good good not not bad"])  # codes 2, 3 and 4
GOOD, NOT, BAD = 2, 3, 4
TEXTS = ["good", "not bad", "bad", "not good"] * 3
TASTES = ["yes", "yes", "no", "no"] * 3


def array(values) -> np.ndarray:
    return keras.ops.convert_to_numpy(values)


def pair(first, second) -> int:
    """Return the key of two tokens, as int32 arithmetic has it."""
    return (first * MULTIPLIER + second + 2**31) % 2**32 - 2**31


def layer_of(weights: dict, bias=0.0, **options) -> NgramEvidence:
    """Return a layer with weights of some runs for the second of two classes; held out, they are ten times that."""
    layer = NgramEvidence(2, len(weights), binary=True, **options)
    layer.build((None, None))
    keys, kernel = zip(*sorted(weights.items()), strict=True)
    fitted = np.array(kernel)[:, None], np.array([bias])
    layer.start_from(np.array(keys, "int32"), fitted, [(10 * fitted[0], 10 * fitted[1])] * 3)
    return layer


def by_hand() -> NgramEvidence:
    """Return a layer in which "good" counts 1, "bad" -2 and "not good" -8."""
    return layer_of({GOOD: 1.0, BAD: -2.0, pair(NOT, GOOD): -8.0}, bias=0.25)


def batches(texts=TEXTS, labels=TASTES, vocabulary=WORDS, **options):
    return text_batches(texts, labels, vocabulary=vocabulary, batch_size=5, **options)


def classifier(labels=TASTES, **options) -> keras.Model:
    """Return a model whose network has learnt nothing yet."""
    given = batches(labels=labels)
    return build_text_classifier(WORDS, given.classes, [], embedding=1, linear=given, pooling=["mean"], **options)


def ngrams_of(model) -> NgramEvidence:
    """Return the linear model inside."""
    return find_layer(model, NgramEvidence)


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
    codes = WORDS.encode(text)
    logits, _ = by_hand()(codes[None])
    assert array(logits)[0].tolist() == pytest.approx([0, 0.25 + logit / np.sqrt(len(codes))])


@pytest.mark.parametrize("width", [4, 5, 40])
def test_padding_counts_nothing(width):
    codes = np.zeros((2, width), "int32")
    codes[0, :4], codes[1, :1] = [NOT, GOOD, NOT, NOT], BAD
    logits, evidence = map(array, by_hand()(codes))
    assert logits.tolist() == [[0, 0.25 - 3.5], [0, -1.75]]
    assert evidence[:, :4, 0].tolist() == [[-4, -3, 0, 0], [-2, 0, 0, 0]] and not evidence[:, 4:].any()


@pytest.mark.parametrize("codes", [[GOOD], [GOOD, BAD], [GOOD, NOT, GOOD]])
def test_a_text_shorter_than_the_longest_run_is_read(codes):
    logits, evidence = map(array, layer_of({GOOD: 3.0}, longest=4)(np.array([codes])))
    assert logits.tolist() == [[0, pytest.approx(3 / np.sqrt(len(codes)))]]
    assert evidence[0, :, 0].tolist() == [3.0 * (code == GOOD) for code in codes]


def test_evidence_is_what_each_token_is_held_to_say_every_time_that_it_says_it():
    layer = by_hand()
    layer.scale.assign(0.5)
    _, evidence = layer(WORDS.encode("not good good bad not good")[None])
    assert array(evidence)[0, :, 0].tolist() == [-2, -2 + 0.5, 0.5, -1, -2, -2 + 0.5]


def test_several_classes_have_a_weight_each():
    layer = NgramEvidence(3, 1)
    layer.build((None, None))
    fitted = np.array([[1.0, 2.0, 3.0]]), np.array([0.0, 0.0, 0.5])
    layer.start_from(np.array([GOOD], "int32"), fitted, [fitted] * 3)
    logits, evidence = map(array, layer(np.array([[GOOD, BAD, BAD, BAD]])))
    assert logits.tolist() == [[0.5, 1, 2]]
    assert evidence[0, :2].tolist() == [[1, 2, 3], [0, 0, 0]]


def test_in_training_a_text_is_judged_by_what_the_others_taught():
    layer = NgramEvidence(2, 1, binary=True)
    layer.build((None, None))
    held_out = [(np.array([[10.0 * fold]]), np.array([fold])) for fold in range(3)]
    layer.start_from(np.array([GOOD], "int32"), (np.array([[5.0]]), np.array([7.0])), held_out)
    codes = np.array([[GOOD] * size + [0] * (30 - size) for size in range(1, 30)], "int32")
    sizes, folds = np.arange(1, 30), array(fold_of(codes))
    assert set(folds.tolist()) == {0, 1, 2}
    logits, evidence = map(array, layer(codes, training=True))
    assert logits[:, 1] == pytest.approx(10 * folds / np.sqrt(sizes) + folds, rel=1e-5)
    assert evidence[:, 0, 0].tolist() == (10 * folds).tolist()
    assert array(layer(codes)[0])[:, 1] == pytest.approx(5 / np.sqrt(sizes) + 7, rel=1e-5)


def test_the_third_of_a_text_depends_on_its_codes_alone():
    codes = np.random.default_rng(0).integers(1, 10_000, (3_000, 9)).astype("int32")
    folds = array(fold_of(codes))
    assert (folds == array(fold_of(np.pad(codes, ((0, 0), (0, 7)))))).all()
    assert np.bincount(folds).min() > 900


@pytest.mark.parametrize("width", [3, 9])
@pytest.mark.parametrize(("text", "logit"), [("ab", 3), ("ba", 40), ("aba", 43), ("aab", 3), ("b", 0), ("", 0)])
def test_the_ends_of_a_text_count_as_tokens(text, logit, width):
    first_a, last_a = pair(END, 2), pair(2, END)  # codes: a 2, b 3
    layer = layer_of({first_a: 3.0, last_a: 40.0}, ends=True)
    codes = np.array([{"a": 2, "b": 3}[character] for character in text], "int32")
    padded = np.pad(codes, (0, width - len(codes)))[None]
    logits, evidence = map(array, layer(padded))
    assert logits[0, 1] == pytest.approx(logit / np.sqrt(len(codes) + 2))
    assert layer.shares(codes)[:, 1].sum() == pytest.approx(logit / np.sqrt(len(codes) + 2))
    assert evidence[0, : len(codes)].sum() == logit and not evidence[0, len(codes) :].any()


def test_characters_are_fitted_with_their_ends():
    vocabulary = fit_vocabulary(["ab"], unit="character")
    given = text_batches(["ab", "ba"] * 9, ["x", "y"] * 9, vocabulary=vocabulary)
    model = build_text_classifier(vocabulary, given.classes, [], embedding=1, linear=given, ngrams=2)
    assert classify(model, ["aab", "baa"])["label"].tolist() == ["x", "y"]


def test_tokens_share_the_weight_of_their_run_and_its_occurrences_too():
    shares = by_hand().shares(WORDS.encode("not good good bad"))
    assert shares[:, 0].tolist() == [0, 0, 0, 0]
    assert shares[:, 1].tolist() == [-2, -2 + 0.25, 0.25, -1]  # over the root of four tokens


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
    logits = array(fit_ngrams(given, longest=1)(np.array([[GOOD], [BAD]]))[0])
    odds = logits[:, 1] - logits[:, 0]
    assert 0.5 < odds[0] <= np.log(2) and odds[1] < -3  # two of three, and none of three hundred


def test_few_texts_leave_a_run_more_room_than_many(monkeypatch):
    given = batches(["good", "good", "good", "bad"] * 20, ["yes", "yes", "no", "no"] * 20)
    few = fit_ngrams(given, longest=1)
    monkeypatch.setattr(ngrams, "FEW_TEXTS", 80)
    many = fit_ngrams(given, longest=1)
    # Unknown words stand in no text; the two known ones pull apart.
    assert array(few.kernel)[0] > array(many.kernel)[0] > 0 > array(many.kernel)[1] > array(few.kernel)[1]


def test_the_order_of_words_is_learnt():
    answer = classify(classifier(), ["good", "bad", "not bad", "not good", "not bad not bad"])
    assert answer["label"].tolist() == ["yes", "no", "yes", "no", "yes"]


def test_a_text_that_weighs_nothing_teaches_nothing():
    weight = {"yes": 1, "no": 1, "maybe": 0}
    given = batches([*TEXTS, "good"] * 9, [*TASTES, "maybe"] * 9, class_weight=weight)
    logits = array(fit_ngrams(given, longest=2)(np.array([[GOOD], [BAD]]))[0])
    assert given.classes == ["maybe", "no", "yes"]
    assert logits.argmax(1).tolist() == [2, 1]
    assert (logits[:, 0] < logits[:, 1:].max(1) - 3).all()


def test_of_several_labels_each_is_learnt_by_itself():
    labels = [["good"], ["bad"], ["good", "bad"], []] * 40
    given = batches(["good", "bad", "good bad", "not"] * 40, labels)
    model = build_text_classifier(WORDS, given.classes, [], embedding=1, linear=given, multi_label=True)
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
    assert ngrams_of(build_text_classifier(letters, [0, 1], [], **options)).longest == 4
    assert ngrams_of(build_text_classifier(letters, [0, 1], [], ngrams=3, **options)).longest == 3


# ---------------------------------------------------------------------------------------------------------------------
# in a model
# ---------------------------------------------------------------------------------------------------------------------


def odds_in_model(model, text, **options) -> float:
    no, yes = array(model(WORDS.encode(text)[None], **options))[0]
    return float(np.log(yes / no))


def test_a_network_adds_to_half_the_log_odds_of_the_linear_model_and_begins_with_nothing():
    model = classifier()
    for options in ({}, {"training": True}):
        logits = array(ngrams_of(model)(WORDS.encode("good")[None], **options)[0])[0]
        assert odds_in_model(model, "good", **options) == pytest.approx((logits[1] - logits[0]) / 2, abs=1e-6)
    before = odds_in_model(model, "good")
    head = model.layers[-1]
    head.bias.assign([0.0, 3.0])
    assert odds_in_model(model, "good") == pytest.approx(before + 3, abs=1e-5)


def test_the_network_reads_the_evidence_beside_the_vectors():
    model = classifier()
    model.layers[-1].kernel.assign([[0.0, 0.0], [0.0, 2.0]])  # of the vector, of the evidence
    logits, evidence = map(array, ngrams_of(model)(WORDS.encode("good not good")[None]))
    wanted = (logits[0, 1] - logits[0, 0]) / 2 + 2 * evidence[0, :, 0].mean()
    assert odds_in_model(model, "good not good") == pytest.approx(wanted, rel=1e-5)


def test_evidence_has_a_size_of_about_one_on_texts_that_it_was_not_fitted_to():
    given = batches([f"{text} {'not ' * (place % 5)}" for place, text in enumerate(TEXTS * 6)], TASTES * 6)
    layer = fit_ngrams(given, longest=2)
    squares = [np.square(array(layer(x, training=True)[1])) for x, _ in map(given.__getitem__, range(len(given)))]
    assert sum(one.sum() for one in squares) / given.lengths.sum() == pytest.approx(1, rel=1e-3)


def test_the_same_text_teaches_its_own_third_nothing():
    # "good" always says "yes", but it stands in one text only, and so in one third.
    given = batches(["good"] * 9 + ["bad", "not", "bad bad", "not not", "bad not"] * 9, ["yes"] * 9 + ["no"] * 45)
    layer = fit_ngrams(given, longest=1)
    codes = np.array([[GOOD]])
    known, held_out = (array(layer(codes, training=training)[1]).item() for training in (False, True))
    assert known > 0 and held_out == 0


def test_training_leaves_the_linear_model_as_it_was():
    model = classifier()
    before = [array(weight) for weight in ngrams_of(model).weights]
    head = model.layers[-1].get_weights()[0].copy()
    train(model, batches(), batches(), epochs=2, callbacks=[], progress=None)
    assert all(np.array_equal(array(now), old) for now, old in zip(ngrams_of(model).weights, before, strict=True))
    assert not np.array_equal(model.layers[-1].get_weights()[0], head)


def test_no_padding_reaches_the_network():
    layers = recurrent_layers("gru", (3,), bidirectional=True, return_sequences=True)
    model = build_text_classifier(WORDS, ["no", "yes"], layers, embedding=2, linear=batches())
    model.layers[-1].kernel.assign(np.random.default_rng(0).normal(size=(12, 2)))
    codes = WORDS.encode("not bad")[None]
    assert array(model(np.pad(codes, ((0, 0), (0, 9))))) == pytest.approx(array(model(codes)), abs=1e-6)


def test_an_explanation_adds_what_each_word_weighs():
    model = classifier()
    shares = ngrams_of(model).shares(WORDS.encode("not bad"))[:, 1]
    table = explain_text(model, "Not bad", label="yes")
    assert table["token"].tolist() == ["Not", "bad"]
    assert table["score"].tolist() == pytest.approx((shares / 2).tolist(), rel=1e-5)
    model.layers[-1].kernel.assign([[0.0, 0.0], [0.0, 2.0]])  # twice the mean of the evidence
    evidence = array(ngrams_of(model)(WORDS.encode("not bad")[None])[1])[0, :, 0]
    scores = explain_text(model, "Not bad", label="yes")["score"].tolist()
    assert scores == pytest.approx((shares / 2 + evidence).tolist(), rel=1e-5)


def test_a_model_survives_its_file_with_keys_and_weights(tmp_path):
    model = build_text_classifier(WORDS, ["no", "yes"], embedding=2, linear=batches(), ngrams=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert ngrams_of(loaded).longest == 3 and not ngrams_of(loaded).trainable_variables
    table = classify(loaded, TEXTS)
    assert table.equals(classify(model, TEXTS))
    assert explain_text(loaded, "not bad").equals(explain_text(model, "not bad"))


# ---------------------------------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "options", "error", "message"),
    [
        (TEXTS, {}, TypeError, r"`linear` must be labelled batches\. Received: list\. Pass what"),
        (batches(labels=None), {}, ValueError, "no labels"),
        (batches(vocabulary=fit_vocabulary(["good"])), {}, ValueError, "another vocabulary"),
        (batches(classes=["yes", "no"]), {}, ValueError, r"the classes \['yes', 'no'\]"),
        (batches(labels=[[one] for one in TASTES]), {}, ValueError, r"lists of labels\. Make them with"),
        (batches(), {"multi_label": True}, ValueError, r"`linear` must fit .*Received: batches with one label a text"),
        (batches(), {"ngrams": 0}, ValueError, r"`ngrams` must be at least 1\. Received: 0"),
    ],
)
def test_what_no_linear_model_can_be_fitted_to_is_refused(given, options, error, message):
    with pytest.raises(error, match=message):
        build_text_classifier(WORDS, ["no", "yes"], linear=given, **options)
