"""Layers of texts with weights set by hand: padding says nothing, and what was dropped can be counted."""

import keras
import numpy as np
import pytest
from texts.by_hand import ABC, LETTERS, array, constant

from rnn_toolkit import build_text_classifier, fit_vocabulary, pad, recurrent_layers, text_batches, train
from rnn_toolkit.networks.dropping import ActivationRegularization, WeightDrop
from rnn_toolkit.networks.labels import Labels, TokenAccuracy, find_layer
from rnn_toolkit.networks.pooling import POOLINGS, MaskedPooling
from rnn_toolkit.networks.recurrent import CELLS
from rnn_toolkit.texts.layers import TokenEmbedding
from rnn_toolkit.texts.next_token import NextToken

# ---------------------------------------------------------------------------------------------------------------------
# pooling and padding
# ---------------------------------------------------------------------------------------------------------------------


ENCODERS = {
    **{
        f"{cell}, {'both ways' if both else 'one way'}": lambda cell=cell, both=both: recurrent_layers(
            cell, (3, 2), bidirectional=both, return_sequences=True
        )
        for cell in CELLS
        for both in (False, True)
    },
    "weights dropped": lambda: [WeightDrop(keras.layers.LSTM(3, return_sequences=True))],
    "regularised": lambda: [keras.layers.GRU(3, return_sequences=True), ActivationRegularization()],
    "no layers": list,
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_a_text_comes_to_does_not_depend_on_its_padding(encoder):
    layers = [TokenEmbedding(LETTERS, 4), keras.layers.SpatialDropout1D(0.5), *ENCODERS[encoder]()]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers, MaskedPooling(POOLINGS)])
    texts = LETTERS.encode(["a", "bcd", "efghi"])
    found = []
    for codes in (pad(texts)[0], pad(texts, length=9)[0], texts[1][None]):
        pooled = np.split(array(model(codes, training=False)), len(POOLINGS), axis=-1)
        found.append(dict(zip(POOLINGS, pooled, strict=True)))
    little, much, none = found
    for kind in POOLINGS:
        np.testing.assert_allclose(much[kind], little[kind], atol=1e-6, err_msg=kind)
        np.testing.assert_allclose(little[kind][1], none[kind][0], atol=1e-6, err_msg=kind)


# ---------------------------------------------------------------------------------------------------------------------
# embedding and labels
# ---------------------------------------------------------------------------------------------------------------------


def ones(vocabulary, **options) -> TokenEmbedding:
    layer = TokenEmbedding(vocabulary, 1, **options)
    layer.build((None, None))
    return constant(layer, 1.0)


def test_an_embedding_masks_padding():
    layer = ones(ABC)
    assert array(layer.compute_mask(np.array([[2, 4, 0]]))).tolist() == [[True, True, False]]
    assert array(layer(np.array([[2, 4, 0]])))[..., 0].tolist() == [[1, 1, 1]]


def test_words_are_dropped_wherever_they_stand_and_others_in_each_batch():
    words = fit_vocabulary([" ".join(f"w{number}" for number in range(998))])
    layer, codes = ones(words, word_dropout=0.25), np.tile(np.arange(1000), (2, 1))
    assert (array(layer(codes, training=False)) == 1).all()
    first, second = array(layer(codes, training=True))[..., 0]
    assert np.array_equal(first, second)
    assert set(first.tolist()) == {0, np.float32(4 / 3)}
    assert (first == 0).mean() == pytest.approx(0.25, abs=0.05)
    assert not np.array_equal(first, array(layer(codes, training=True))[0, :, 0])


@pytest.mark.parametrize("share", [-0.1, 1])
def test_a_share_of_words_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=rf"`word_dropout` must be a share .* Received: {share}\. Pass 0\.5"):
        TokenEmbedding(ABC, 1, word_dropout=share)


def test_labels_have_probabilities_that_add_up_to_1_unless_there_may_be_several():
    inputs = np.array([[1.0]])
    for multi_label, expected in ((False, [0.25, 0.75]), (True, [0.5, 0.75])):
        layer = Labels(["no", "yes"], multi_label=multi_label)
        layer.build((None, 1))
        constant(layer, [0, np.log(3)], 0)
        assert array(layer(inputs))[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("classes", [["no", "yes"], [False, True], [-1, 5, 7]])
def test_a_model_survives_its_file_with_vocabulary_labels_and_options(classes, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            TokenEmbedding(ABC, 3, word_dropout=0.25),
            WeightDrop(keras.layers.SimpleRNN(2, return_sequences=True), 0.25),
            ActivationRegularization(1.5, 0.5),
            MaskedPooling(POOLINGS),
            Labels(classes, multi_label=True),
        ]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    embedding, weight_drop, regularization, pooling, labels = loaded.layers
    assert embedding.vocabulary == ABC and embedding.word_dropout == 0.25
    assert (weight_drop.rate, regularization.size, regularization.change) == (0.25, 1.5, 0.5)
    assert pooling.kinds == POOLINGS and labels.multi_label
    assert labels.classes == classes and {type(one) for one in labels.classes} == {type(classes[0])}
    x = np.array([[2, 3, 4, 0], [4, 0, 0, 0]])
    assert np.array_equal(array(loaded(x)), array(model(x)))


# ---------------------------------------------------------------------------------------------------------------------
# finding a layer in a model
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "made_by"),
    [(NextToken, r"rt\.build_language_model"), (Labels, r"rt\.build_text_cl"), (TokenEmbedding, r"rt\.build_text_cl")],
)
def test_a_model_without_the_layer_is_refused_by_name(kind, made_by):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="plain")
    with pytest.raises(
        ValueError,
        match=rf"Model 'plain' carries no `rnn_toolkit\.\w+\.\w+\.{kind.__name__}`\. Build it with {made_by}",
    ):
        find_layer(model, kind)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"`model` must be a Keras model\. Received: str\. Load one from its file"):
        find_layer("model.keras", NextToken)


SURE = np.array([[[0.1, 0.9], [0.2, 0.8]]])  # of label 1 at both steps


def test_the_accuracy_works_without_weights():
    metric = TokenAccuracy()
    metric.update_state(np.array([[1, 0]]), SURE)
    assert float(metric.result()) == 0.5


def test_a_step_counts_the_same_in_batches_of_any_width():
    metric = TokenAccuracy()
    metric.update_state(np.array([[1, 0]]), SURE, np.array([[1.0, 0.0]]))
    metric.update_state(np.zeros((1, 8)), np.repeat(SURE, 4, axis=1), np.array([[1.0] * 4 + [0.0] * 4]))
    assert float(metric.result()) == np.float32(1 / 5)  # one right of five


def trained_on(model_classes, labels, **options):
    """Train a model of some classes on a text a label."""
    vocabulary = fit_vocabulary(["a b"])
    model = build_text_classifier(vocabulary, model_classes, [keras.layers.Dense(2)], embedding=2)
    batches = text_batches(["a"] * len(labels), labels, vocabulary=options.pop("vocabulary", vocabulary), **options)
    return train(model, batches, epochs=1, progress=None)


@pytest.mark.parametrize(
    ("model_classes", "labels", "message"),
    [
        (["yes", "no"], ["no", "yes"], r"give 'no' another code .*theirs are \['no', 'yes'\], the model's \['yes', 'n"),
        (["bad", "good", "mixed"], ["bad", "mixed"], "give 'mixed' another code"),  # as one of validation may lack one
        (2, [1, 2], "give 1 another code"),  # the model would call them 0 and 1
        (2, ["a", "b", "c"], "have more labels than the model"),
    ],
)
def test_batches_that_code_labels_otherwise_than_the_model_are_refused(model_classes, labels, message):
    with pytest.raises(ValueError, match=message):
        trained_on(model_classes, labels)


@pytest.mark.parametrize("model_classes", [["no", "yes"], 2, [0, 1], ["no", "yes", "perhaps"]])
def test_other_names_for_the_same_codes_are_welcome(model_classes):
    assert len(trained_on(model_classes, [0, 1])) == 1


def test_batches_of_another_vocabulary_are_refused():
    with pytest.raises(ValueError, match=r"encoded by another vocabulary, Vocabulary\(3 codes, .*, .*\(4 codes"):
        trained_on(2, [0, 1], vocabulary=fit_vocabulary(["a"]))
