"""Layers of a language model with weights set by hand: states go on, and dropped connections can be counted."""

import keras
import numpy as np
import pytest
from texts.by_hand import ABC, LETTERS, array, constant

import rnn_toolkit as rt
from rnn_toolkit import language_model_batches, recurrent_layers
from rnn_toolkit.networks.dropping import ActivationRegularization, WeightDrop
from rnn_toolkit.networks.labels import find_layer
from rnn_toolkit.texts.layers import TokenEmbedding
from rnn_toolkit.texts.next_token import NextToken

STACKS = {
    "simple": lambda: recurrent_layers("simple", (4,), return_sequences=True),
    "lstm": lambda: recurrent_layers("lstm", (4,), return_sequences=True),
    "gru": lambda: recurrent_layers("gru", (4,), return_sequences=True),
    "mixed": lambda: [
        WeightDrop(keras.layers.LSTM(3, return_sequences=True)),
        ActivationRegularization(),
        keras.layers.SpatialDropout1D(0.5),
        keras.layers.GRU(5, return_sequences=True),
        keras.layers.LayerNormalization(),
    ],
}


def next_token(stack="gru", *, tied=False, batch_size=2, embedding=4) -> NextToken:
    layer = NextToken(
        TokenEmbedding(LETTERS, embedding, mask_zero=False), STACKS[stack](), tied=tied, batch_size=batch_size
    )
    layer(np.array([[2]]))  # builds it
    return layer


def rows(*texts, goes_on=()) -> np.ndarray:
    """Return the codes of texts of one length; some rows go on from the batch before."""
    codes = np.stack(LETTERS.encode(texts))
    codes[list(goes_on), 0] *= -1
    return codes


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("stack", STACKS)
def test_streams_of_several_batches_are_read_as_one_long_row(stack, tied):
    layer = next_token(stack, tied=tied)
    batches = language_model_batches("abcdefghijklm", LETTERS, batch_size=2, steps=2)
    parts = [array(layer(x)) for x, _ in batches]
    whole = array(layer(rows("abcdef", "ghijkl")))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)
    assert len(parts) == 3 and whole.shape == (2, 6, len(LETTERS))


def test_a_row_with_a_positive_first_code_begins_anew():
    layer = next_token()
    layer(rows("abc", "def"))
    first, second = array(layer(rows("xyz", "xyz", goes_on=[0])))
    np.testing.assert_allclose(first, array(layer(rows("abcxyz")))[0, 3:], atol=1e-6)
    np.testing.assert_allclose(second, array(layer(rows("xyz")))[0], atol=1e-6)
    assert np.abs(first - second).max() > 1e-3  # what was read before does matter


def test_reading_between_two_steps_of_a_training_leaves_its_states_alone():
    layer = next_token()
    layer(rows("abc"), training=True)
    layer(rows("uvw"), training=False)
    trained = array(layer(rows("def", goes_on=[0]), training=True))
    np.testing.assert_allclose(trained, array(layer(rows("abcdef")))[:, 3:], atol=1e-6)


def test_rows_beyond_those_that_are_kept_begin_anew():
    layer = next_token()
    layer(rows("abc", "def", "ghi"))
    found = array(layer(rows("xyz", "xyz", "xyz", goes_on=[0, 1, 2])))
    for row, text in zip(found, ("abcxyz", "defxyz", "xyz"), strict=True):
        np.testing.assert_allclose(row, array(layer(rows(text)))[0, -3:], atol=1e-6)


def test_a_smaller_batch_leaves_the_states_of_the_other_rows():
    layer = next_token()
    layer(rows("abc", "def"))
    layer(rows("ghi", goes_on=[0]))
    found = array(layer(rows("xyz", "xyz", goes_on=[0, 1])))
    for row, text in zip(found, ("abcghixyz", "defxyz"), strict=True):
        np.testing.assert_allclose(row, array(layer(rows(text)))[0, -3:], atol=1e-6)


def test_keras_evaluates_streams_as_it_reads_one_long_row():
    model = keras.Sequential([keras.Input((None,), dtype="int32"), next_token("lstm")])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    batches = language_model_batches("abcdefghijklm", LETTERS, batch_size=2, steps=3)
    logits = array(model(rows("abcdef", "ghijkl"))).astype("float64")
    targets = rows("bcdefg", "hijklm")[..., None]
    expected = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, targets, -1)[..., 0]
    assert model.evaluate(batches, verbose=0) == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_states_are_no_part_of_the_file(tied, tmp_path):
    model = keras.Sequential([keras.Input((None,), dtype="int32"), next_token("mixed", tied=tied)])
    model(rows("abc", "def"))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    layer = find_layer(loaded, NextToken)
    kept = [weight for weight in layer.non_trainable_weights if "state" in weight.name]
    assert len(kept) == 6 and all((array(weight) == 0).all() for weight in kept)
    assert (layer.tied, layer.batch_size, layer.embedding.vocabulary) == (tied, 2, LETTERS)
    assert layer.stack[0].rate == 0.5
    x = rows("abc", "def")
    np.testing.assert_allclose(array(loaded(x)), array(model(x)), atol=1e-6)


def plain(*, tied, units=2) -> NextToken:
    """Return a layer that hands the vectors of "a", "b" and "c", (2, 0), (0, 3) and (1, 1), to its end."""
    rnn = keras.layers.SimpleRNN(units, activation="linear", return_sequences=True)
    layer = NextToken(TokenEmbedding(ABC, 2, mask_zero=False), [rnn], tied=tied, batch_size=1)
    layer(np.array([[2]]))
    constant(layer.embedding, [[0, 0], [0, 0], [2, 0], [0, 3], [1, 1]])
    constant(rnn, np.eye(2, units), 0, 0)
    return layer


def test_a_tied_embedding_scores_the_outputs():
    layer = plain(tied=True)
    layer.bias.assign([0, 10, 0, 0, 0])
    assert array(layer(ABC.encode("a")[None])).tolist() == [[[0, 10, 4, 0, 2]]]
    shapes = [tuple(weight.shape) for weight in layer.trainable_weights]
    assert sorted(shapes) == sorted([(5, 2), (2, 2), (2, 2), (2,), (5,)])


def test_a_projection_brings_other_widths_to_the_embedding():
    layer = plain(tied=True, units=3)
    constant(layer.projection, [[0, 1], [1, 0], [5, 5]])  # swaps the two numbers
    assert array(layer(ABC.encode("b")[None])).tolist() == [[[0, 0, 6, 0, 3]]]
    shapes = [tuple(weight.shape) for weight in layer.trainable_weights]
    assert sorted(shapes) == sorted([(5, 2), (2, 3), (3, 3), (3,), (3, 2), (5,)])


def test_without_tied_weights_the_outputs_have_a_head_of_their_own():
    shapes = [tuple(weight.shape) for weight in plain(tied=False).trainable_weights]
    assert sorted(shapes) == sorted([(5, 2), (2, 2), (2, 2), (2,), (2, 5), (5,)])


@pytest.mark.parametrize("tied", [False, True])
def test_only_a_tied_embedding_learns_from_what_it_is_to_say(tied):
    layer = plain(tied=tied)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layer])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(ABC.encode("a")[None], ABC.encode("b")[None])
    assert (array(layer.embedding.embeddings)[3].tolist() != [0, 3]) == tied


def test_half_precision_carries_its_states(half_precision):
    layer = next_token("mixed", tied=True)
    parts = [array(layer(x)) for x in (rows("abc"), rows("def", goes_on=[0]))]
    assert parts[0].dtype == np.float16
    np.testing.assert_allclose(np.concatenate(parts, axis=1), array(layer(rows("abcdef"))), atol=5e-3)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (recurrent_layers("gru", (2,), bidirectional=True, return_sequences=True), "reads backwards at position 0"),
        (
            [keras.layers.Dropout(0.1), keras.layers.GRU(2, go_backwards=True, return_sequences=True)],
            r"reads backwards at position 1\. A model .* must not see it\. Pass one-way layers",
        ),
        (recurrent_layers("lstm", (2,)), r"returns only the last step at position 0 \(lstm.*Pass return_seq"),
        ([WeightDrop(keras.layers.GRU(2))], r"returns only the last step at position 0 \(gru"),
        ([keras.layers.Dense(2)], r"holds no recurrent layer\. Pass some, such as `rt\.recurrent_layers"),
        ([], "holds no recurrent layer"),
    ],
)
def test_layers_that_cannot_say_what_comes_next_are_refused(layers, message):
    with pytest.raises(ValueError, match=f"`layers` {message}"):
        NextToken(TokenEmbedding(ABC, 2), layers)


@pytest.mark.parametrize("where", ["train", "validation"])
def test_training_refuses_streams_whose_state_would_be_lost(where):
    letters = rt.fit_vocabulary(["ab" * 40], unit="character")
    layers = rt.recurrent_layers("gru", (2,), return_sequences=True)
    model = rt.build_language_model(letters, layers, embedding=2, batch_size=4)
    fits, beyond = (rt.language_model_batches("ab" * 40, letters, batch_size=size, steps=3) for size in (4, 8))
    given = {"train": fits, "validation": fits} | {where: beyond}
    with pytest.raises(
        ValueError, match=r"8 rows that go on from the batch before, .* state of 4\. Build it with `batch"
    ):
        rt.train(model, given["train"], given["validation"], epochs=1, progress=None)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_streams_whose_state_is_kept_are_taken(size):
    layer, letters = next_token(batch_size=4), rt.fit_vocabulary(["ab" * 40], unit="character")
    layer.check_batches(rt.language_model_batches("ab" * 40, letters, batch_size=size, steps=3))
    layer.check_batches(rt.language_model_batches("ab" * 13, letters, batch_size=8, steps=3))  # a single batch
