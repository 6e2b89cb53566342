"""Words that led to a label, by a model in which each speaks for its share of the log odds."""

import keras
import numpy as np
import pandas as pd
import pytest
from texts.mean_of_words import LOG_3, WORDS, mean_of_words

from rnn_toolkit import build_text_classifier, classify, explain_text, recurrent_layers
from rnn_toolkit.networks.pooling import POOLINGS


@pytest.fixture(scope="module")
def given():
    """Return the model of two labels; no test may change it."""
    return mean_of_words()


def test_each_word_of_a_mean_spoke_for_its_share_of_the_log_odds(given):
    table = explain_text(given, "Good, bad good")
    assert table["token"].tolist() == ["Good", ",", "bad", "good"]
    assert table["score"].tolist() == pytest.approx([LOG_3 / 4, 0, -LOG_3 / 4, LOG_3 / 4])
    assert table.attrs == {"label": "yes", "probability": pytest.approx(1 / (1 + 3**-0.25))}


def test_what_speaks_for_one_of_two_labels_speaks_against_the_other(given):
    table = explain_text(given, "bad good good", label="no")
    assert table["score"].tolist() == pytest.approx([LOG_3 / 3, -LOG_3 / 3, -LOG_3 / 3])
    assert table.attrs == {"label": "no", "probability": pytest.approx(1 / (1 + 3 ** (1 / 3)))}


def test_of_three_labels_the_other_two_are_weighed_by_their_odds():
    table = explain_text(mean_of_words(["a", "b", "c"], slopes=(1.0, 0.0, LOG_3)), "good", label="a")
    assert table["score"].tolist() == pytest.approx([1 - 0.75 * LOG_3])  # the slopes of "b" and "c", by 1 : 3


def test_of_several_labels_each_has_odds_of_its_own():
    model = mean_of_words(("love", "war"), slopes=(LOG_3, 1.0), multi_label=True)
    assert explain_text(model, "good", label="love")["score"].tolist() == pytest.approx([LOG_3])
    assert explain_text(model, "bad", label="war")["score"].tolist() == pytest.approx([-1])


def test_a_label_that_is_all_but_sure_is_explained_too():
    table = explain_text(mean_of_words(slopes=(0, 100.0)), "good bad good good")
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
        no, yes = keras.ops.convert_to_numpy(scaled(WORDS.encode("bad good")[None]))[0].astype("float64")
        return np.log(yes / no)

    slope = (log_odds(1.1) - log_odds(0.9)) / 0.2  # all vectors grow by one share
    assert table["score"].sum() == pytest.approx(slope, rel=0.05, abs=1e-4)
    assert table["score"].abs().min() > 0


def test_an_explanation_leaves_the_model_as_it_was(given):
    before = classify(given, ["good bad bad"])
    explain_text(given, "good")
    with pytest.raises(ValueError):
        explain_text(given, "good", label="maybe")
    pd.testing.assert_frame_equal(classify(given, ["good bad bad"]), before)
    assert given.layers[-1].activation is keras.activations.softmax


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (["good"], TypeError, "`text` must hold str. Received at position 0: list"),
        (None, ValueError, "`text` has no text at position 0: None"),
        (b"good", TypeError, "`text` must hold str. Received at position 0: bytes"),
        ("", ValueError, "`text` holds no token to explain: ''. Pass a text with words"),
        (" \n", ValueError, "`text` holds no token to explain"),
        ("\ud800", ValueError, "`text` holds half a character"),
    ],
)
def test_what_cannot_be_explained_is_refused(given, text, error, message):
    with pytest.raises(error, match=message):
        explain_text(given, text)


def test_an_unknown_label_is_refused_with_the_nearest(given):
    with pytest.raises(
        ValueError, match=r"`label` must be one of 'no', 'yes'\. Received: 'Yess'\. Did you mean 'yes'\?"
    ):
        explain_text(given, "good", label="Yess")
