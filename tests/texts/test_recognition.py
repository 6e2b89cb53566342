"""Labels by a model that can be done in the head: "good" is 1, "bad" is -1, and the mean is all there is."""

import logging

import keras
import numpy as np
import pandas as pd
import pytest

import rnn_toolkit as rt
from rnn_toolkit import build_text_classifier, classify, explain_text, fit_vocabulary, recurrent_layers
from rnn_toolkit.networks.pooling import POOLINGS
from rnn_toolkit.texts.layers import Labels

WORDS = fit_vocabulary(["good good bad"])  # codes 2 and 3
LOG_3 = float(np.log(3))


def linear(classes=("no", "yes"), *, slopes=(0, LOG_3), multi_label=False) -> keras.Model:
    """Return a model whose logits are slopes times the mean of the words."""
    model = build_text_classifier(WORDS, classes, [], embedding=1, pooling=["mean"], multi_label=multi_label)
    model.layers[0].set_weights([np.array([[0.0], [0.0], [1.0], [-1.0]])])
    model.layers[-1].set_weights([np.array([slopes], dtype="float32"), np.zeros(len(slopes))])
    return model


# ---------------------------------------------------------------------------------------------------------------------
# labels
# ---------------------------------------------------------------------------------------------------------------------


def test_texts_get_a_label_and_the_probability_of_each():
    table = classify(linear(), ["good", "bad good good", "bad"])
    assert table.columns.tolist() == ["label", "no", "yes"]
    assert table.index.tolist() == [0, 1, 2]
    assert table["label"].tolist() == ["yes", "yes", "no"]
    assert table["yes"].tolist() == pytest.approx([0.75, 1 / (1 + 3 ** (-1 / 3)), 0.25])
    assert (table["no"] + table["yes"]).tolist() == pytest.approx([1, 1, 1])


def test_the_index_of_a_series_is_kept_and_other_kinds_are_counted():
    texts = pd.Series(["good", "bad"], index=["x", "y"])
    assert classify(linear(), texts)["label"].to_dict() == {"x": "yes", "y": "no"}
    for kind in (list, tuple, np.array, iter):
        assert classify(linear(), kind(["good", "bad"]))["label"].to_dict() == {0: "yes", 1: "no"}


def test_texts_of_many_lengths_stay_in_order():
    lengths = [30, 1, 12, 2, 40, 3, 9]
    texts = [" ".join(["good"] * (length // 2) + ["bad"] * (length - length // 2)) for length in lengths]
    table = classify(linear(slopes=(0, -LOG_3)), texts, batch_size=2)
    expected = [1 / (1 + 3 ** (-(length % 2) / length)) for length in lengths]  # one "bad" more than "good"
    assert table["yes"].tolist() == pytest.approx(expected, rel=1e-5)


def test_several_models_in_a_row_are_asked_without_a_warning(caplog, monkeypatch):
    model, logger = linear(), logging.getLogger("tensorflow")
    ask = model.predict_on_batch

    def warn_and_ask(x):  # TensorFlow warns twice in a process at most, and may have done so before
        logger.warning("5 out of the last 5 calls to <function ...> triggered tf.function retracing. Tracing is ...")
        logger.warning("Something else.")
        return ask(x)

    monkeypatch.setattr(model, "predict_on_batch", warn_and_ask)
    logger.addHandler(caplog.handler)
    try:
        assert classify(model, ["good"])["label"].tolist() == ["yes"]
    finally:
        logger.removeHandler(caplog.handler)
    assert {record.getMessage() for record in caplog.records} == {"Something else."}


def test_an_empty_text_is_one_unknown_token():
    assert classify(linear(), ["", "?", "good"])["yes"].tolist() == pytest.approx([0.5, 0.5, 0.75])


def test_length_reads_the_last_tokens():
    assert classify(linear(), ["good good bad"], length=1)["label"].tolist() == ["no"]


def test_a_text_may_have_several_labels_or_none():
    table = classify(linear(("love", "war"), slopes=(LOG_3, 0.0), multi_label=True), ["good", "bad"])
    assert table["label"].tolist() == [["love", "war"], ["war"]]
    assert table["love"].tolist() == pytest.approx([0.75, 0.25])
    assert table["war"].tolist() == [0.5, 0.5]
    table = classify(linear(("love", "war"), slopes=(LOG_3, LOG_3), multi_label=True), ["good", "bad", "good"])
    assert table["label"].tolist() == [["love", "war"], [], ["love", "war"]]
    assert classify(linear(("love",), slopes=(1,), multi_label=True), ["good"])["label"].tolist() == [["love"]]


@pytest.mark.parametrize("classes", [[False, True], [5, 3], ["label", "no"]])
def test_labels_are_those_of_the_training(classes):
    table = classify(linear(classes), ["good", "bad"])
    assert table.columns.tolist() == ["label", *classes]
    assert table.iloc[:, 0].tolist() == [classes[1], classes[0]]
    assert table.iloc[:, 2].tolist() == pytest.approx([0.75, 0.25])


# ---------------------------------------------------------------------------------------------------------------------
# words that led to a label
# ---------------------------------------------------------------------------------------------------------------------


def test_each_word_of_a_mean_spoke_for_its_share_of_the_log_odds():
    table = explain_text(linear(), "Good, bad good")
    assert table["token"].tolist() == ["Good", ",", "bad", "good"]
    assert table["score"].tolist() == pytest.approx([LOG_3 / 4, 0, -LOG_3 / 4, LOG_3 / 4])
    assert table.attrs == {"label": "yes", "probability": pytest.approx(1 / (1 + 3**-0.25))}


def test_what_speaks_for_one_of_two_labels_speaks_against_the_other():
    table = explain_text(linear(), "bad good good", label="no")
    assert table["score"].tolist() == pytest.approx([LOG_3 / 3, -LOG_3 / 3, -LOG_3 / 3])
    assert table.attrs == {"label": "no", "probability": pytest.approx(1 / (1 + 3 ** (1 / 3)))}


def test_of_three_labels_the_other_two_are_weighed_by_their_odds():
    table = explain_text(linear(["a", "b", "c"], slopes=(1.0, 0.0, LOG_3)), "good", label="a")
    assert table["score"].tolist() == pytest.approx([1 - 0.75 * LOG_3])  # the slopes of "b" and "c", by 1 : 3


def test_of_several_labels_each_has_odds_of_its_own():
    model = linear(("love", "war"), slopes=(LOG_3, 1.0), multi_label=True)
    assert explain_text(model, "good", label="love")["score"].tolist() == pytest.approx([LOG_3])
    assert explain_text(model, "bad", label="war")["score"].tolist() == pytest.approx([-1])


def test_a_label_that_is_all_but_sure_is_explained_too():
    table = explain_text(linear(slopes=(0, 100.0)), "good bad good good")
    assert table.attrs["probability"] == 1
    assert table["score"].tolist() == pytest.approx([25, -25, 25, 25])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_scores_are_the_slope_of_the_log_odds(bidirectional):
    layers = recurrent_layers("gru", (3,), bidirectional=bidirectional, return_sequences=True)
    model = build_text_classifier(WORDS, ["no", "yes"], layers, embedding=2, pooling=POOLINGS)
    table = explain_text(model, "bad good", label="yes")

    def log_odds(size):
        scaled = keras.models.clone_model(model)
        scaled.set_weights(model.get_weights())
        scaled.layers[0].set_weights([model.layers[0].get_weights()[0] * size])
        no, yes = np.array(scaled(WORDS.encode("bad good")[None])[0], "float64")
        return np.log(yes / no)

    slope = (log_odds(1.1) - log_odds(0.9)) / 0.2  # all vectors grow by one share
    assert table["score"].sum() == pytest.approx(slope, rel=0.05, abs=1e-4)
    assert table["score"].abs().min() > 0


def test_an_explanation_leaves_the_model_as_it_was():
    model = linear()
    before = classify(model, ["good bad bad"])
    explain_text(model, "good")
    with pytest.raises(ValueError):
        explain_text(model, "good", label="maybe")
    pd.testing.assert_frame_equal(classify(model, ["good bad bad"]), before)
    assert model.layers[-1].activation is keras.activations.softmax


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
def test_what_is_no_text_is_not_labelled(texts, error, message):
    with pytest.raises(error, match=message):
        classify(linear(), texts)


@pytest.mark.parametrize("option", ["length", "batch_size"])
def test_counts_below_1_are_refused(option):
    with pytest.raises(ValueError, match=f"`{option}` must be at least 1. Received: 0. Pass a larger"):
        classify(linear(), ["good"], **{option: 0})


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (["good"], TypeError, "`text` must be one text, a str. Received: list. Explain several one by one"),
        (None, TypeError, "`text` must be one text, a str. Received: NoneType"),
        (b"good", TypeError, "`text` must be one text, a str. Received: bytes"),
        ("", ValueError, "`text` holds no token to explain: ''. Pass a text with words"),
        (" \n", ValueError, "`text` holds no token to explain"),
        ("\ud800", ValueError, "`text` holds half a character"),
    ],
)
def test_what_cannot_be_explained_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        explain_text(linear(), text)


def test_an_unknown_label_is_refused_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"`label` must be one of 'no', 'yes'\. Received: 'Yess'\. Did you mean 'yes'\?"
    ):
        explain_text(linear(), "good", label="Yess")


@pytest.mark.parametrize("function", [lambda model: classify(model, ["a"]), lambda model: explain_text(model, "a")])
def test_other_models_are_refused(function):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="plain")
    with pytest.raises(ValueError, match=r"'plain' carries no .*TokenEmbedding`\. Build it with rt\.build_text_cla"):
        function(model)
    headless = keras.Sequential([*linear().layers[:-1], keras.layers.Dense(2)], name="headless")
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
