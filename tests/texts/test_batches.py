"""Batches hold every text once, padded on the right, in an order that can be had again."""

import concurrent.futures

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.texts.batches import text_batches
from rnn_toolkit.texts.vocabulary import fit_vocabulary

LETTERS = fit_vocabulary(["abcdefghijklmnopqrstuvwxyz \n"], unit="character")
SUBWORDS = fit_vocabulary(["low lower lowest newer newest"] * 3, unit="subword", size=270)


def letters(batch: np.ndarray) -> list[str]:
    return LETTERS.decode(batch)


def lengths_of(batches) -> list[list[int]]:
    return [(batch[0] > 0).sum(axis=1).tolist() for batch in batches]


def lines(*lengths: int) -> list[str]:
    return ["a" * length for length in lengths]


def test_a_batch_is_padded_on_the_right():
    (x,) = text_batches(["ab", "c"], vocabulary=LETTERS)[0]
    assert letters(x) == ["ab", "c"]
    assert (x > 0).tolist() == [[True, True] + [False] * 6, [True] + [False] * 7]
    assert x.dtype == np.int32


@pytest.mark.parametrize(
    ("length", "width"),
    [(1, 8), (8, 8), (9, 16), (64, 64), (65, 80), (128, 128), (129, 160), (500, 512), (513, 640), (2049, 2560)],
)
def test_widths_are_rounded_up_to_few_numbers(length, width):
    assert text_batches(lines(length), vocabulary=LETTERS)[0][0].shape == (1, width)


def test_without_shuffle_the_texts_stay_in_order():
    batches = text_batches(lines(9, 1, 5, 2, 7), vocabulary=LETTERS, batch_size=2)
    assert lengths_of(batches) == [[9, 1], [5, 2], [7]]
    assert batches.order.tolist() == [0, 1, 2, 3, 4]
    batches.on_epoch_end()
    assert lengths_of(batches) == [[9, 1], [5, 2], [7]]
    assert lengths_of([batches[-1]]) == [[7]]


def test_bucketing_puts_texts_of_like_length_together():
    texts = lines(20, 1, 30, 2, 17, 3)
    batches = text_batches(texts, vocabulary=LETTERS, batch_size=2, bucket=True)
    assert lengths_of(batches) == [[1, 2], [3, 20], [17, 30]]
    assert batches.order.tolist() == [1, 3, 5, 0, 4, 2]
    assert [batch[0].shape[1] for batch in batches] == [8, 24, 32]


def test_padding_is_the_share_of_zeros():
    batches = text_batches(lines(2, 6, 3), vocabulary=LETTERS, batch_size=2)
    assert batches.padding == pytest.approx(13 / 24)
    assert np.mean(np.concatenate([batch[0].ravel() for batch in batches]) == 0) == pytest.approx(13 / 24)


def test_bucketing_saves_padding():
    texts = lines(*np.random.default_rng(0).integers(1, 200, 500))
    plain = text_batches(texts, vocabulary=LETTERS, batch_size=10, shuffle=True, bucket=False)
    bucketed = text_batches(texts, vocabulary=LETTERS, batch_size=10, shuffle=True)
    assert plain.padding > 0.45
    assert bucketed.padding < 0.12


@pytest.mark.parametrize("bucket", [True, False])
def test_each_epoch_holds_every_text_once_with_its_label_in_an_order_of_its_own(bucket):
    texts = lines(*np.random.default_rng(0).integers(1, 30, 50))
    labels = [len(text) for text in texts]
    options = {"vocabulary": LETTERS, "batch_size": 8, "bucket": bucket, "shuffle": True, "seed": 3}
    batches, again = text_batches(texts, labels, **options), text_batches(texts, labels, **options)
    orders = []
    for epoch in range(3):
        again.set_epoch(epoch)
        for (x, y), (same_x, same_y) in zip(batches, again, strict=True):
            assert (x > 0).sum(axis=1).tolist() == [batches.classes[code] for code in y]
            np.testing.assert_array_equal(x, same_x)
            np.testing.assert_array_equal(y, same_y)
        orders.append(batches.order.tolist())
        batches.on_epoch_end()
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert text_batches(texts, labels, **{**options, "seed": 4}).order.tolist() != orders[0]


def test_batches_can_be_taken_by_several_threads():
    batches = text_batches(lines(*range(1, 200)), vocabulary=LETTERS, batch_size=4, shuffle=True)
    expected = [batch[0].tolist() for batch in batches]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert [x.tolist() for (x,) in pool.map(batches.__getitem__, range(len(batches)))] == expected


def test_the_first_two_batches_show_tensorflow_that_widths_differ():
    batches = text_batches(lines(1, 1, 1, 1, 20, 20), vocabulary=LETTERS, batch_size=2)
    assert [batch[0].shape[1] for batch in batches] == [16, 8, 24]
    assert [batch[0].shape[1] for batch in text_batches(lines(1, 1, 2), vocabulary=LETTERS, batch_size=1)] == [8] * 3


def test_keras_trains_evaluates_and_predicts_on_batches_of_several_widths():
    texts = lines(*[1] * 9, 20, 3, 2)
    model = keras.Sequential([keras.Input((None,)), keras.layers.Embedding(len(LETTERS), 2, mask_zero=True)])
    model.add(keras.layers.GlobalAveragePooling1D())
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    options = {"vocabulary": LETTERS, "batch_size": 2}
    train = text_batches(texts, [len(text) > 2 for text in texts], shuffle=True, **options)
    history = model.fit(train, validation_data=train, epochs=3, shuffle=False, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()
    assert model.predict(text_batches(texts, **options), verbose=0).shape == (12, 2)


def test_fit_goes_through_the_epochs_one_by_one():
    seen = []

    class Recording(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append((epoch, batches.epoch))

    batches = text_batches(lines(*[3] * 8), [0, 1] * 4, vocabulary=LETTERS, batch_size=2, shuffle=True)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(batches, epochs=3, shuffle=False, verbose=0, callbacks=[Recording()])
    first = seen[0][1]  # Keras ends an epoch before the first (`EpochIterator.reset`); `rt.train` sets each epoch
    assert seen == [(0, first), (1, first + 1), (2, first + 2)]


@pytest.mark.parametrize("vocabulary", [LETTERS, fit_vocabulary(["a b"]), SUBWORDS])
def test_an_empty_text_becomes_one_unknown_token(vocabulary):
    batches = text_batches(["", "a", "", ""], vocabulary=vocabulary)
    (x,) = batches[0]
    assert x[:, 0].tolist() == [1, vocabulary.encode("a")[0], 1, 1]
    assert (x[:, 1:] == 0).all()
    assert batches.lengths.tolist() == [1, 1, 1, 1]


def test_length_keeps_the_last_tokens():
    batches = text_batches(["abcdef", "", "gh", "ijk"], vocabulary=LETTERS, length=2)
    assert letters(batches[0][0]) == ["ef", "�", "gh", "jk"]


def test_texts_come_from_lists_series_and_arrays():
    texts, labels = ["a", "bc"], ["no", "yes"]
    for kind in (tuple, np.array, lambda values: pd.Series(values, index=[5, 3])):
        x, y = text_batches(kind(texts), kind(labels), vocabulary=LETTERS)[0]
        assert letters(x) == texts
        assert y.tolist() == [0, 1]


def test_targets_are_in_the_order_of_the_texts():
    batches = text_batches(lines(9, 1, 20), ["c", "a", "b"], vocabulary=LETTERS, shuffle=True)
    assert batches.targets.tolist() == [2, 0, 1]
    assert text_batches(["a"], vocabulary=LETTERS).classes is None


@pytest.mark.parametrize("bucket", ["yes", 2])
def test_an_unknown_bucket_is_refused(bucket):
    with pytest.raises(ValueError, match="`bucket` must be one of 'auto', True, False"):
        text_batches(["a"], vocabulary=LETTERS, bucket=bucket)


def test_batches_of_no_texts_are_refused():
    with pytest.raises(ValueError, match="`texts` is empty"):
        text_batches([], vocabulary=LETTERS)


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("vocabulary", ["a"], TypeError, r"`vocabulary` must be a Vocabulary. Received: list.*fit_vocabulary"),
        ("batch_size", 0, ValueError, "`batch_size` must be at least 1"),
        ("seed", -1, ValueError, "`seed` must be at least 0"),
        ("length", 0, ValueError, "`length` must be at least 1"),
    ],
)
def test_options_are_checked_before_any_work(option, value, error, message):
    with pytest.raises(error, match=message):
        text_batches(None, **{"vocabulary": LETTERS, option: value})


def test_labels_in_another_order_than_the_texts_are_refused():
    texts = pd.Series(["so good", "so bad", "good"], index=[4, 7, 9])
    labels = pd.Series(["yes", "no", "yes"], index=texts.index)
    vocabulary = fit_vocabulary(texts)
    for same in (labels, labels.set_axis([0, 1, 2]), labels.sort_index(ascending=False).to_numpy()):
        text_batches(texts, same, vocabulary=vocabulary)
    with pytest.raises(ValueError, match=r"`labels` holds the rows of `texts` in another order.*labels\.loc\[texts"):
        text_batches(texts, labels.sort_index(ascending=False), vocabulary=vocabulary)
