"""From a language model to a classifier: what is copied, what is left out, and that the source stays as it was."""

import keras
import numpy as np
import pytest
from texts.by_hand import array

import rnn_toolkit as rt
from rnn_toolkit.networks.dropping import ActivationRegularization, WeightDrop
from rnn_toolkit.networks.labels import Labels, find_layer
from rnn_toolkit.networks.recurrent import recurrent_layers
from rnn_toolkit.texts.layers import TokenEmbedding
from rnn_toolkit.texts.next_token import NextToken
from rnn_toolkit.texts.ngrams import NgramEvidence
from rnn_toolkit.texts.transfer import classifier_from_language_model

TEXTS = ["so good", "so bad", "good good so", "bad so bad", "so good good", "bad bad"] * 4
LABELS = ["yes", "no"] * 12
WORDS = rt.fit_vocabulary(TEXTS)


def language_model(layers=None, **options):
    """Return a language model of two layers that drop connections, with a layer of each kind between them."""
    if layers is None:
        first, second = recurrent_layers("lstm", (4, 3), return_sequences=True)
        layers = [WeightDrop(first), keras.layers.SpatialDropout1D(0.2), keras.layers.LayerNormalization()]
        layers += [WeightDrop(second), ActivationRegularization()]
    return rt.build_language_model(WORDS, layers, **{"embedding": 3} | options)


@pytest.fixture(scope="module")
def source():
    """Return a language model; no test may change it."""
    keras.utils.set_random_seed(0)
    return language_model()


@pytest.fixture(scope="module")
def copied(source):
    """Return a classifier made of it; no test may change it."""
    return classifier_from_language_model(source, ["no", "yes"], multi_label=True)


def values(layers):
    """Return the weights of layers as one list of arrays."""
    return [np.array(weight) for layer in layers for weight in layer.get_weights()]


def same(ones, others):
    return [bool((one == other).all()) for one, other in zip(ones, others, strict=True)]


def test_a_classifier_has_the_weights_of_its_language_model(source, copied):
    core = find_layer(source, NextToken)
    embedding, _, *layers = copied.layers[: 2 + len(core.stack)]
    assert all(same(embedding.get_weights(), core.embedding.get_weights()))
    assert [type(layer) for layer in layers] == [type(layer) for layer in core.stack]
    assert all(same(values(layers), values(core.stack)))
    assert embedding.vocabulary == core.embedding.vocabulary
    assert find_layer(copied, Labels).classes == ["no", "yes"]


@pytest.mark.parametrize("cell", ["simple", "gru", "lstm"])
def test_a_classifier_sees_the_states_that_its_language_model_sees(cell):
    given = language_model(recurrent_layers(cell, (4,), return_sequences=True), tied=False)
    core = find_layer(given, NextToken)
    model = classifier_from_language_model(given, 2, pooling=("last",))
    codes = WORDS.encode("so good bad")[None]
    _, states = core.read(codes, core.no_states(1))
    pooled = keras.Model(model.inputs[0], model.layers[-2].output)(codes)
    pooled, state = map(array, (pooled, states[0]))
    np.testing.assert_allclose(pooled, state, rtol=1e-5)


def test_a_language_model_that_was_copied_stays_as_it_was():
    source = language_model()
    core = find_layer(source, NextToken)
    codes = np.array([[2, 3, 4]], "int32")
    logits = array(source(codes))
    before = values(source.layers)
    model = classifier_from_language_model(source, ["no", "yes"])
    model.run_eagerly = keras.backend.backend() == "tensorflow"
    model.train_on_batch(codes, np.array([1]))
    assert not all(same(core.embedding.get_weights(), model.layers[0].get_weights()))
    assert all(same(before, values(source.layers)))
    assert (array(source(codes)) == logits).all()
    assert all(layer.layer.return_state for layer in core.recurrent) and core.embedding.mask_zero is False


def test_padding_changes_no_probability(copied):
    codes = np.array([[2, 3, 4, 3]], "int32")
    padded = np.pad(codes, ((0, 0), (0, 5)))
    np.testing.assert_allclose(array(copied(padded)), array(copied(codes)), rtol=1e-5)


def test_a_classifier_is_saved_and_loaded_whole(copied, tmp_path):
    copied.optimizer.build(copied.trainable_variables)  # without, Keras warns when it loads the file
    copied.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    codes = np.array([[2, 3, 4, 0]], "int32")
    assert (array(loaded(codes)) == array(copied(codes))).all()
    assert find_layer(loaded, Labels).multi_label


def test_a_linear_model_stands_beside_the_copied_network_and_stays_as_it_was(source):
    core = find_layer(source, NextToken)
    train = rt.text_batches(TEXTS, LABELS, vocabulary=WORDS, batch_size=8)
    classifier = classifier_from_language_model(source, train.classes, linear=train, ngrams=1)
    counted = find_layer(classifier, NgramEvidence)
    assert counted.longest == 1
    assert all(same(values([core.embedding]), values([find_layer(classifier, TokenEmbedding)])))
    kernel = core.stack[0].get_weights()[0]
    wider = find_layer(classifier, WeightDrop).get_weights()[0]
    assert (wider[: len(kernel)] == kernel).all() and wider[len(kernel) :].tolist() == [[0] * kernel.shape[1]]
    before = values([counted])
    classifier.run_eagerly = keras.backend.backend() == "tensorflow"
    classifier.train_on_batch(*train[0])
    assert all(same(before, values([counted]))) and not counted.trainable


def test_a_language_model_from_a_file_may_have_any_names():
    layers = [keras.layers.LSTM(3, return_sequences=True, name="labels"), keras.layers.Dropout(0.1, name="dropout")]
    keras.utils.clear_session()  # the next name for a Dropout is "dropout", as in a new process
    model = classifier_from_language_model(language_model(layers), 2)
    assert len({layer.name for layer in model.layers}) == len(model.layers)


def test_what_a_language_model_needs_and_a_classifier_does_not_is_left_out():
    source = language_model(tied=True, embedding=7)  # with a projection
    model = classifier_from_language_model(source, 2)
    assert sum(isinstance(layer, keras.layers.Dense) for layer in model.layers) == 1  # the labels


@pytest.mark.slow
def test_a_classifier_learns_its_labels():
    source = language_model(recurrent_layers("simple", (4,), return_sequences=True))
    model = classifier_from_language_model(source, ["no", "yes"], dropout=0.0)
    data = rt.text_batches(["good", "bad"] * 20, ["yes", "no"] * 20, vocabulary=WORDS, batch_size=8)
    rt.fine_tune(model, data, data, epochs=20, epochs_per_stage=0, learning_rate=0.05, progress=None)
    assert model.evaluate(data, verbose=0, return_dict=True)["accuracy"] == 1


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        (["yes"], {}, "`classes` must be two at least"),
        (2, {"pooling": ("last", "men")}, r"`pooling` must be one of .*Received: 'men'\. Did you mean 'mean'\?"),
    ],
)
def test_what_makes_no_classifier_is_refused(source, classes, options, message):
    with pytest.raises(ValueError, match=message):
        classifier_from_language_model(source, classes, **options)


def test_a_model_that_is_no_language_model_is_refused():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"carries no .*NextToken.*rt\.build_language_model"):
        classifier_from_language_model(model, 2)
