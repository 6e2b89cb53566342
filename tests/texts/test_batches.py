"""Batches hold every text once, padded on the right; streams go on where they ended."""

import concurrent.futures

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.texts.batches import text_batches
from rnn_toolkit.texts.streams import language_model_batches
from rnn_toolkit.texts.vocabulary import fit_vocabulary

NAN = float("nan")
LETTERS = fit_vocabulary(["abcdefghijklmnopqrstuvwxyz \n"], unit="character")
SUBWORDS = fit_vocabulary(["low lower lowest newer newest"] * 3, unit="subword", size=270)


def letters(batch: np.ndarray) -> list[str]:
    return LETTERS.decode(abs(batch))  # the first code of a row that goes on is negative


# ---------------------------------------------------------------------------------------------------------------------
# batches of texts
# ---------------------------------------------------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------------------------------------------------
# labels
# ---------------------------------------------------------------------------------------------------------------------


def encoded(labels, classes=None) -> tuple[list, list]:
    batches = text_batches(["a"] * len(labels), labels, vocabulary=LETTERS, classes=classes)
    return batches[0][1].tolist(), batches.classes


@pytest.mark.parametrize(
    ("labels", "codes", "classes"),
    [
        (["no", "yes", "no"], [0, 1, 0], ["no", "yes"]),
        ([5, -1, 7], [1, 0, 2], [-1, 5, 7]),
        ([True, False], [1, 0], [False, True]),
        (np.array([3, 2]), [1, 0], [2, 3]),
        (np.array(["b", "a"]), [1, 0], ["a", "b"]),
        (pd.Series(["b", "a"], dtype="category"), [1, 0], ["a", "b"]),
        (pd.Series([True, False], index=[4, 9]), [1, 0], [False, True]),
    ],
)
def test_labels_of_any_kind_are_encoded_in_sorted_order(labels, codes, classes):
    assert encoded(labels) == (codes, classes)
    assert {type(one) for one in encoded(labels)[1]} <= {str, int, bool}


def test_labels_are_encoded_in_the_order_of_the_classes():
    assert encoded(["good", "bad"], ["good", "fair", "bad"]) == ([0, 2], ["good", "fair", "bad"])
    assert encoded(["good", "good"], np.array(["bad", "good"])) == ([1, 1], ["bad", "good"])
    assert text_batches(["a", "b"], [0, 1], vocabulary=LETTERS)[0][1].dtype == np.int32


def test_several_labels_a_text_become_ones_and_zeros():
    labels = [["war", "love"], (), {"love"}, np.array(["war", "war"])]
    assert encoded(labels) == ([[1, 1], [0, 0], [1, 0], [0, 1]], ["love", "war"])
    assert encoded([["war"], []], ["war"]) == ([[1], [0]], ["war"])
    assert text_batches(["a"], [["x", "y"]], vocabulary=LETTERS)[0][1].dtype == np.float32


def test_targets_are_in_the_order_of_the_texts():
    batches = text_batches(lines(9, 1, 20), ["c", "a", "b"], vocabulary=LETTERS, shuffle=True)
    assert batches.targets.tolist() == [2, 0, 1]
    assert text_batches(["a"], vocabulary=LETTERS).classes is None


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        (["x"], None, ValueError, "There are 3 texts but 1 labels"),
        (
            ["x"] * 3,
            None,
            ValueError,
            r"`classes` must be two at least.*Received: \['x'\].*Pass texts of another class",
        ),
        (["x", "y", "y"], ["x", "y", "x"], ValueError, "`classes` must be two at least, all different"),
        (["x", None, "y"], None, ValueError, "`labels` has none at position 1: None"),
        ([1, 2, NAN], None, ValueError, "`labels` has none at position 2: nan"),
        (pd.Series(["x", "y", pd.NA], dtype="string"), None, ValueError, "`labels` has none at position 2"),
        ([["x"], ["y", None], []], None, ValueError, "`labels` has none at position 1: None"),
        ([0.5, 1.0, 1.5], None, TypeError, "text, whole numbers or bools. Received at position 0: 0.5"),
        (["x", 1, "x"], None, TypeError, r"of several types: \['x', 1\]. Make all of them text"),
        ([["x"], "y", ["x"]], None, TypeError, "mixes lists of labels and single ones, such as 'y' at position 1"),
        (
            ["good", "god", "bad"],
            ["bad", "good"],
            ValueError,
            "'god' at position 1.*'bad', 'good'. Did you mean 'good'",
        ),
        (["x"] * 3, list(range(30)), ValueError, r"`classes` are 0, .*, 19, \.\.\.\. Correct the label"),
        ("xyz", None, TypeError, "`labels` must be a list, a Series or an array.*Received: str"),
        (np.eye(3), None, TypeError, "`labels` must be .* one entry a text. Received: ndarray"),
        (["x", "y", "y"], "xy", TypeError, "`classes` must be a list"),
        (["x", "y", "y"], ["x", "y", None], ValueError, "`classes` has none at position 2"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, classes, error, message):
    with pytest.raises(error, match=message):
        text_batches(["a", "b", "c"], labels, vocabulary=LETTERS, classes=classes)


# ---------------------------------------------------------------------------------------------------------------------
# streams for a language model
# ---------------------------------------------------------------------------------------------------------------------


def test_each_row_goes_on_where_it_ended_in_the_batch_before():
    batches = language_model_batches("abcdefghijklm", LETTERS, batch_size=2, steps=3)
    assert [letters(x) for x, _ in batches] == [["abc", "ghi"], ["def", "jkl"]]
    assert [letters(y) for _, y in batches] == [["bcd", "hij"], ["efg", "klm"]]
    assert batches[0][0].dtype == batches[0][1].dtype == np.int32
    assert (batches.num_tokens, batches.dropped) == (13, 0)
    np.testing.assert_array_equal(batches[-1][0], batches[1][0])


def test_the_first_code_of_a_row_that_goes_on_and_no_other_is_negative():
    batches = language_model_batches("abcdefghijklmnopqrs", LETTERS, batch_size=2, steps=3)
    signs = [np.sign(x).tolist() for x, _ in batches]
    assert signs == [[[1, 1, 1]] * 2, [[-1, 1, 1]] * 2, [[-1, 1, 1]] * 2]
    assert np.sign(batches[-1][0])[:, 0].tolist() == [-1, -1]
    assert [letters(x) for x, _ in batches] == [letters(x) for x, _ in batches]  # asking twice turns no sign
    batches.on_epoch_end()
    assert (batches[0][0] > 0).all()
    assert all((y > 0).all() for _, y in batches)


def test_what_does_not_fill_a_batch_is_dropped_at_the_end_and_counted():
    batches = language_model_batches("abcdefghijklmnopqrs", LETTERS, batch_size=2, steps=3)
    assert [letters(x) for x, _ in batches] == [["abc", "jkl"], ["def", "mno"], ["ghi", "pqr"]]
    assert batches.dropped == 0
    shorter = language_model_batches("abcdefghijklmnopqr", LETTERS, batch_size=2, steps=3)
    assert [letters(x) for x, _ in shorter] == [["abc", "ghi"], ["def", "jkl"]]
    assert shorter.dropped == 5


def test_several_texts_are_joined_by_new_lines():
    batches = language_model_batches(pd.Series(["ab", "cd", "ef"]), LETTERS, batch_size=1, steps=7)
    assert letters(batches[0][0]) == ["ab\ncd\ne"]


def test_streams_stay_where_they_are_unless_shifted():
    text = "abcdefghijklmnopqrstuvwxyz"
    batches = language_model_batches(text, LETTERS, batch_size=2, steps=3)
    first = batches[0][0].tolist()
    batches.on_epoch_end()
    assert batches[0][0].tolist() == first


def test_a_shift_depends_on_seed_and_epoch_alone_and_keeps_the_streams_whole():
    text = "abcdefghijklmnopqrstuvwxyz"
    batches = language_model_batches(text, LETTERS, batch_size=2, steps=4, shift=True, seed=1)
    starts = []
    for epoch in range(20):
        again = language_model_batches(text, LETTERS, batch_size=2, steps=4, shift=True, seed=1)
        again.set_epoch(epoch)
        assert [letters(x) for x, _ in again] == [letters(x) for x, _ in batches]
        rows = ["".join(parts) for parts in zip(*(letters(x) for x, _ in batches), strict=True)]
        assert "".join(rows) in text
        assert len(batches) == 2
        starts.append(text.index(rows[0]))
        batches.on_epoch_end()
    assert set(starts) == {0, 1, 2, 3}


def test_words_and_subwords_stream_too():
    text = "low lower lowest newer newest low"
    x, y = language_model_batches(text, fit_vocabulary([text]), batch_size=1, steps=5)[0]
    assert fit_vocabulary([text]).decode(x[0]) == "low lower lowest newer newest"
    assert y[0, :-1].tolist() == x[0, 1:].tolist()
    x, _ = language_model_batches(text, SUBWORDS, batch_size=1, steps=4)[0]
    assert text.startswith(SUBWORDS.decode(x[0]))


@pytest.mark.parametrize(("shift", "needed"), [(False, 13), (True, 15)])
def test_a_text_of_just_one_batch_will_do_and_a_shorter_one_is_refused(shift, needed):
    options = {"batch_size": 4, "steps": 3, "shift": shift}
    assert len(language_model_batches("a" * needed, LETTERS, **options)) == 1
    with pytest.raises(
        ValueError, match=f"has {needed - 1} tokens, but a batch of 4 streams of 3 steps needs {needed}"
    ):
        language_model_batches("a" * (needed - 1), LETTERS, **options)


# ---------------------------------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------------------------------

TAKES_TEXTS = [
    fit_vocabulary,
    LETTERS.encode,
    lambda texts: text_batches(texts, vocabulary=LETTERS),
    lambda texts: language_model_batches(texts, LETTERS),
]


@pytest.mark.parametrize("function", TAKES_TEXTS)
@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (["a", None], ValueError, "has no text at position 1: None. Drop it, or make it ''"),
        (["a", "b", NAN], ValueError, "has no text at position 2: nan"),
        (pd.Series(["a", pd.NA], dtype="string"), ValueError, "has no text at position 1: "),
        (["a", b"b"], TypeError, r"must hold str. Received at position 1: bytes. Decode bytes by `text.decode"),
        (["a", 5], TypeError, "must hold str. Received at position 1: int"),
        (["a", ["b"]], TypeError, "must hold str. Received at position 1: list"),
        (["a", "", "b\ud800"], ValueError, "holds half a character .* at position 2"),
        (b"a", TypeError, "must be a list, a Series or an array with one entry a text. Received: bytes"),
        (5, TypeError, "Received: int"),
        ({"a": "b"}, TypeError, "Received: dict"),
        (pd.DataFrame({"text": ["a"]}), TypeError, "Received: DataFrame.*of a table, pass the column"),
        (np.array([["a"]]), TypeError, "Received: ndarray"),
    ],
)
def test_what_is_no_text_is_refused_by_its_position(function, texts, error, message):
    with pytest.raises(error, match=message):
        function(texts)


def test_a_single_text_is_refused_where_several_are_meant():
    with pytest.raises(TypeError, match=r"`texts` must be a list.*Received: str. Put a single one into a list"):
        fit_vocabulary("a b")
    with pytest.raises(TypeError, match=r"`texts` must be a list.*Received: str"):
        text_batches("a b", vocabulary=LETTERS)


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_fitting_on_nothing_is_refused(texts):
    with pytest.raises(ValueError, match=f"`texts` holds {len(texts)} texts, none of them with content"):
        fit_vocabulary(texts)


def test_texts_without_a_word_that_counts_are_refused():
    with pytest.raises(ValueError, match="`texts` holds no word 1 times"):
        fit_vocabulary([" \n"])
    with pytest.raises(ValueError, match=r"`texts` holds no character 3 times\. Pass more texts, or lower `min_count`"):
        fit_vocabulary(["aab"], unit="character", min_count=3)


def test_batches_of_no_texts_are_refused():
    with pytest.raises(ValueError, match="`texts` is empty"):
        text_batches([], vocabulary=LETTERS)


def test_an_unknown_unit_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"`unit` must be one of 'word', 'character', 'subword'.*Did you mean 'word'"):
        fit_vocabulary(["a"], unit="words")


@pytest.mark.parametrize(("unit", "smallest"), [("word", 3), ("character", 3), ("subword", 258)])
def test_a_size_that_holds_nothing_is_refused(unit, smallest):
    assert len(fit_vocabulary(["a b c"], unit=unit, size=smallest)) == smallest
    with pytest.raises(ValueError, match=rf"`size` must be at least {smallest}: padding, .*{smallest - 1}\."):
        fit_vocabulary(["a b c"], unit=unit, size=smallest - 1)


@pytest.mark.parametrize("codes", [[5, 99], [-1], [1.5], ["a"], np.array([30])])
def test_codes_that_are_none_are_refused(codes):
    with pytest.raises(ValueError, match=r"`codes` must be whole numbers from 0 to 29\. Received: "):
        LETTERS.decode(codes)


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("vocabulary", ["a"], TypeError, r"`vocabulary` must be a Vocabulary. Received: list.*fit_vocabulary"),
        ("batch_size", 0, ValueError, "`batch_size` must be at least 1"),
        ("seed", -1, ValueError, "`seed` must be at least 0"),
        ("length", 0, ValueError, "`length` must be at least 1"),
        ("bucket", "yes", ValueError, "`bucket` must be one of 'auto', True, False"),
    ],
)
def test_options_are_checked_before_any_work(option, value, error, message):
    with pytest.raises(error, match=message):
        text_batches(None, **{"vocabulary": LETTERS, option: value})


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("vocabulary", "a", TypeError, "`vocabulary` must be a Vocabulary. Received: str"),
        ("batch_size", 2.5, TypeError, "`batch_size` must be a whole number"),
        ("steps", 0, ValueError, "`steps` must be at least 1"),
        ("seed", -1, ValueError, "`seed` must be at least 0"),
    ],
)
def test_options_of_streams_are_checked_before_any_work(option, value, error, message):
    with pytest.raises(error, match=message):
        language_model_batches(None, **{"vocabulary": LETTERS, option: value})


def test_options_of_a_vocabulary_are_checked_before_any_work():
    with pytest.raises(ValueError, match="`min_count` must be at least 1"):
        fit_vocabulary(None, min_count=0)
    with pytest.raises(TypeError, match="`size` must be a whole number"):
        fit_vocabulary(None, size=1e4)


def test_class_weights_make_rare_labels_count_as_much_as_frequent_ones():
    batches = text_batches(["a", "b", "c"], ["yes", "no", "yes"], vocabulary=LETTERS, class_weight="balanced")
    x, y, weight = batches[0]
    assert (len(x), y.tolist()) == (3, [1, 0, 1])
    assert weight.tolist() == [0.75, 1.5, 0.75]


def test_class_weights_by_name_follow_their_texts_into_shuffled_batches():
    options = {"vocabulary": LETTERS, "class_weight": {"yes": 2, "no": 0.5}, "shuffle": True, "batch_size": 2}
    batches = text_batches(["a", "b", "c"], ["yes", "no", "yes"], **options)
    assert [[2.0 if one else 0.5 for one in y] for _, y, _ in batches] == [weight.tolist() for *_, weight in batches]


@pytest.mark.parametrize(
    ("weights", "wrong"), [({"yes": 1}, "no"), ({"yes": 1, "no": -1}, "no"), ({"yes": 1, "no": 1, "yess": 2}, "yess")]
)
def test_class_weights_that_do_not_fit_the_labels_are_refused(weights, wrong):
    with pytest.raises(ValueError, match=rf"`class_weight` must give each of \['no', 'yes'\] .* wrong at '{wrong}'"):
        text_batches(["a", "b"], ["yes", "no"], vocabulary=LETTERS, class_weight=weights)


def test_class_weights_of_another_kind_are_refused():
    with pytest.raises(TypeError, match=r"`class_weight` must be 'balanced', a dict or None\. Received: 2"):
        text_batches(["a", "b"], ["yes", "no"], vocabulary=LETTERS, class_weight=2)


@pytest.mark.parametrize(("labels", "received"), [(None, "no labels"), ([["yes"], ["no", "yes"]], "lists of labels")])
def test_class_weights_without_a_label_for_each_text_are_refused(labels, received):
    with pytest.raises(ValueError, match=f"`class_weight` needs one label for each text. Received: {received}"):
        text_batches(["a", "b"], labels, vocabulary=LETTERS, class_weight="balanced")
