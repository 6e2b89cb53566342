"""Labels by a model that can be done in the head: "good" is 1, "bad" is -1, and the mean is all there is."""

import logging

import keras
import numpy as np
import pandas as pd
import pytest
from texts.mean_of_words import LOG_3, mean_of_words

import rnn_toolkit as rt
from rnn_toolkit import classify, explain_text, fit_vocabulary
from rnn_toolkit.networks.labels import Labels


@pytest.fixture(scope="module")
def given():
    """Return the model of two labels; no test may change it."""
    return mean_of_words()


# ---------------------------------------------------------------------------------------------------------------------
# labels
# ---------------------------------------------------------------------------------------------------------------------


def test_texts_get_a_label_and_the_probability_of_each(given):
    table = classify(given, ["good", "bad good good", "bad"])
    assert table.columns.tolist() == ["label", "no", "yes"]
    assert table.index.tolist() == [0, 1, 2]
    assert table["label"].tolist() == ["yes", "yes", "no"]
    assert table["yes"].tolist() == pytest.approx([0.75, 1 / (1 + 3 ** (-1 / 3)), 0.25])
    assert (table["no"] + table["yes"]).tolist() == pytest.approx([1, 1, 1])


def test_the_index_of_a_series_is_kept_and_other_kinds_are_counted(given):
    texts = pd.Series(["good", "bad"], index=["x", "y"])
    assert classify(given, texts)["label"].to_dict() == {"x": "yes", "y": "no"}
    for kind in (list, tuple, np.array, iter):
        assert classify(given, kind(["good", "bad"]))["label"].to_dict() == {0: "yes", 1: "no"}


def test_texts_of_many_lengths_stay_in_order():
    lengths = [30, 1, 12, 2, 40, 3, 9]
    texts = [" ".join(["good"] * (length // 2) + ["bad"] * (length - length // 2)) for length in lengths]
    table = classify(mean_of_words(slopes=(0, -LOG_3)), texts, batch_size=2)
    expected = [1 / (1 + 3 ** (-(length % 2) / length)) for length in lengths]  # one "bad" more than "good"
    assert table["yes"].tolist() == pytest.approx(expected, rel=1e-5)


def test_several_models_in_a_row_are_asked_without_a_warning(given, caplog, monkeypatch):
    logger = logging.getLogger("tensorflow")
    ask = given.predict_on_batch

    def warn_and_ask(x):  # TensorFlow warns twice in a process at most, and may have done so before
        logger.warning("5 out of the last 5 calls to <function ...> triggered tf.function retracing. Tracing is ...")
        logger.warning("Something else.")
        return ask(x)

    monkeypatch.setattr(given, "predict_on_batch", warn_and_ask)
    logger.addHandler(caplog.handler)
    try:
        assert classify(given, ["good"])["label"].tolist() == ["yes"]
    finally:
        logger.removeHandler(caplog.handler)
    assert {record.getMessage() for record in caplog.records} == {"Something else."}


def test_an_empty_text_is_one_unknown_token(given):
    assert classify(given, ["", "?", "good"])["yes"].tolist() == pytest.approx([0.5, 0.5, 0.75])


def test_length_reads_the_last_tokens(given):
    assert classify(given, ["good good bad"], length=1)["label"].tolist() == ["no"]


def test_a_text_may_have_several_labels_or_none():
    table = classify(mean_of_words(("love", "war"), slopes=(LOG_3, 0.0), multi_label=True), ["good", "bad"])
    assert table["label"].tolist() == [["love", "war"], ["war"]]
    assert table["love"].tolist() == pytest.approx([0.75, 0.25])
    assert table["war"].tolist() == [0.5, 0.5]
    table = classify(mean_of_words(("love", "war"), slopes=(LOG_3, LOG_3), multi_label=True), ["good", "bad", "good"])
    assert table["label"].tolist() == [["love", "war"], [], ["love", "war"]]
    assert classify(mean_of_words(("love",), slopes=(1,), multi_label=True), ["good"])["label"].tolist() == [["love"]]


@pytest.mark.parametrize("classes", [[False, True], [5, 3], ["label", "no"]])
def test_labels_are_those_of_the_training(classes):
    table = classify(mean_of_words(classes), ["good", "bad"])
    assert table.columns.tolist() == ["label", *classes]
    assert table.iloc[:, 0].tolist() == [classes[1], classes[0]]
    assert table.iloc[:, 2].tolist() == pytest.approx([0.75, 0.25])


# ---------------------------------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([], ValueError, "`texts` is empty. Pass at least one text"),
        ("good", TypeError, "`texts` must be a list, .*Received: str. Put"),
        (["good", None], ValueError, "`texts` has no text at position 1: None. Drop it"),
        (["good", float("nan")], ValueError, "`texts` has no text at position 1: nan. Drop it"),
        (pd.Series([pd.NA], dtype="string"), ValueError, "`texts` has no text at position 0"),
        ([b"good"], TypeError, r"`texts` must hold str. Received at position 0: bytes. Decode bytes by `text\.decode"),
        ([5], TypeError, "`texts` must hold str. Received at position 0: int"),
        (pd.DataFrame({"text": ["good"]}), TypeError, "Received: DataFrame.*of a table, pass the column"),
    ],
)
def test_what_is_no_text_is_not_labelled(given, texts, error, message):
    with pytest.raises(error, match=message):
        classify(given, texts)


@pytest.mark.parametrize("option", ["length", "batch_size"])
def test_counts_below_1_are_refused(given, option):
    with pytest.raises(ValueError, match=f"`{option}` must be at least 1. Received: 0. Pass a larger"):
        classify(given, ["good"], **{option: 0})


@pytest.mark.parametrize(
    ("function", "missing"),
    [(lambda model: classify(model, ["a"]), "layer that reads"), (lambda model: explain_text(model, "a"), "TokenEmb")],
)
def test_other_models_are_refused(given, function, missing):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="plain")
    with pytest.raises(ValueError, match=rf"'plain' carries no .*{missing}.* Build it with rt\.build_text_cla"):
        function(model)
    headless = keras.Sequential([*given.layers[:-1], keras.layers.Dense(2)], name="headless")
    with pytest.raises(ValueError, match=rf"'headless' carries no .*{Labels.__name__}`\. Build it with"):
        function(headless)
    with pytest.raises(TypeError, match=r"`model` must be a Keras model\. Received: str\. Load one"):
        function("model.keras")


# ---------------------------------------------------------------------------------------------------------------------
# tags
# ---------------------------------------------------------------------------------------------------------------------

LETTERS = fit_vocabulary(["abcdefghij"], unit="character")
TAGGED = fit_vocabulary(["a a a a b b b c c EU-wide"])


def small_tagger(vocabulary=TAGGED, tags=("x", "y"), units=4, **options) -> keras.Model:
    layers = rt.recurrent_layers("gru", (units,), bidirectional=True, return_sequences=True)
    return rt.build_tagger(vocabulary, tags, layers, embedding=4, **options)


@pytest.fixture(scope="module")
def built():
    """Return a tagger, compiled once, and its first weights."""
    keras.utils.set_random_seed(0)
    model = small_tagger()
    return model, model.get_weights()


@pytest.fixture
def tagger(built):
    model, weights = built
    model.set_weights(weights)
    return model


def always(code: int, model) -> keras.Model:
    """Return the tagger with weights that give every token the same tag."""
    kernel, _ = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 0, np.log([[0.75, 0.25], [0.25, 0.75]][code])])
    return model


def test_padding_changes_no_tag(tagger):
    alone = rt.tag(tagger, [["b", "c"]])
    beside = rt.tag(tagger, [["a"] * 30, ["b", "c"]])
    np.testing.assert_allclose(beside["probability"][30:], alone["probability"], rtol=1e-5)


def test_the_table_has_a_row_for_each_token_as_it_stands_in_the_text(tagger):
    table = rt.tag(always(1, tagger), pd.Series(["A, new", "", "EU!"], index=["one", "two", "three"]))
    assert table.columns.tolist() == ["text", "token", "tag", "probability"]
    assert table["text"].tolist() == ["one"] * 3 + ["three"] * 2
    assert table["token"].tolist() == ["A", ",", "new", "EU", "!"]
    assert table["tag"].tolist() == ["y"] * 5
    assert table["probability"].tolist() == pytest.approx([0.75] * 5)


def test_tokens_and_characters_are_tagged_one_by_one_in_the_order_of_the_texts(tagger):
    texts = [list("ab") * size for size in (20, 1, 30, 2)]
    table = rt.tag(always(0, tagger), texts, batch_size=1)
    assert table.groupby("text")["token"].agg(list).tolist() == texts
    assert rt.tag(small_tagger(LETTERS), ["ab", "c d"])["token"].tolist() == ["a", "b", "c", " ", "d"]


def test_each_row_tells_what_its_own_text_came_to(tagger):
    texts = [list("abcab") * 5, list("b"), list("cb") * 6, list("ba")]
    table = rt.tag(tagger, texts, batch_size=2)
    alone = [tagger.predict(rt.tag_batches([text], vocabulary=TAGGED), verbose=0)[0, : len(text)] for text in texts]
    np.testing.assert_allclose(table["probability"], np.concatenate(alone).max(1), rtol=1e-5)
    assert table["tag"].tolist() == [["x", "y"][code] for code in np.concatenate(alone).argmax(1)]


def test_texts_without_any_token_give_an_empty_table(tagger):
    assert rt.tag(always(0, tagger), ["", " "]).shape == (0, 4)


def test_models_and_texts_of_another_kind_are_refused(tagger):
    classifier = rt.build_text_classifier(TAGGED, ["x", "y"], rt.recurrent_layers("gru", (2,), return_sequences=True))
    with pytest.raises(ValueError, match=r"'text_classifier' does not label tokens: .*\(None, 2\). Use `rt.classify`"):
        rt.tag(classifier, ["a"])
    for use in (rt.classify, rt.explain_text):
        with pytest.raises(ValueError, match=r"'tagger' does not label texts: .*\(None, None, 2\). Use `rt.tag`"):
            use(tagger, ["a"])
    with pytest.raises(TypeError, match="`texts` must be a list"):
        rt.tag(tagger, "a b")
    with pytest.raises(ValueError, match=r"carries no `rnn_toolkit\.texts\.layers\.TokenEmbedding`"):
        rt.tag(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), ["a"])
