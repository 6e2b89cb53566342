"""Labels by a model that can be done in the head: "good" is 1, "bad" is -1, and the mean is all there is."""

import logging

import keras
import numpy as np
import pandas as pd
import pytest
from texts.mean_of_words import LOG_3, mean_of_words

from rnn_toolkit import classify, explain_text
from rnn_toolkit.texts.layers import Labels


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


@pytest.mark.parametrize("function", [lambda model: classify(model, ["a"]), lambda model: explain_text(model, "a")])
def test_other_models_are_refused(given, function):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="plain")
    with pytest.raises(ValueError, match=r"'plain' carries no .*TokenEmbedding`\. Build it with rt\.build_text_cla"):
        function(model)
    headless = keras.Sequential([*given.layers[:-1], keras.layers.Dense(2)], name="headless")
    with pytest.raises(ValueError, match=rf"'headless' carries no .*{Labels.__name__}`\. Build it with"):
        function(headless)
    with pytest.raises(TypeError, match=r"`model` must be a Keras model\. Received: str\. Load one"):
        function("model.keras")
