"""Labels of any kind become codes in the order of the classes, and weights."""

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.networks.targets import encode_labels
from rnn_toolkit.texts.batches import text_batches
from rnn_toolkit.texts.vocabulary import fit_vocabulary

NAN = float("nan")
LETTERS = fit_vocabulary(["abcdefghijklmnopqrstuvwxyz \n"], unit="character")


def encoded(labels, classes=None) -> tuple[list, list]:
    targets, classes = encode_labels(labels, classes, len(labels))
    return targets.tolist(), classes


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
        (pd.Series([1.0, 0.0, 1.0]), [1, 0, 1], [0, 1]),  # what is left of a column that had missing ones
        (pd.Series([2, 1], dtype="Int64"), [1, 0], [1, 2]),
        (np.array([[0], [1], [1]]), [0, 1, 1], [0, 1]),
        (pd.DataFrame({"label": pd.Categorical(["b", "a"])}), [1, 0], ["a", "b"]),
        (keras.ops.convert_to_tensor([3, 2]), [1, 0], [2, 3]),
        ([np.array(3), np.array(2)], [1, 0], [2, 3]),
    ],
)
def test_labels_of_any_kind_are_encoded_in_sorted_order(labels, codes, classes):
    assert encoded(labels) == (codes, classes)
    assert {type(one) for one in encoded(labels)[1]} <= {str, int, bool}


def test_a_set_of_classes_is_refused_as_it_has_another_order_in_each_process():
    with pytest.raises(TypeError, match="`classes` must be in the order of their codes; a set has none"):
        encoded(["a", "b"], {"a", "b"})


def test_labels_are_encoded_in_the_order_of_the_classes():
    assert encoded(["good", "bad"], ["good", "fair", "bad"]) == ([0, 2], ["good", "fair", "bad"])
    assert encoded(["good", "good"], np.array(["bad", "good"])) == ([1, 1], ["bad", "good"])
    assert encoded([1.0, 0], [False, True]) == ([1, 0], [False, True])
    assert encode_labels([0, 1], None, 2)[0].dtype == np.int32


def test_several_labels_a_text_become_ones_and_zeros():
    labels = [["war", "love"], (), {"love"}, np.array(["war", "war"])]
    assert encoded(labels) == ([[1, 1], [0, 0], [1, 0], [0, 1]], ["love", "war"])
    assert encoded([["war"], []], ["war"]) == ([[1], [0]], ["war"])
    assert encoded([{0, 1}, {1, 0}]) == ([[1, 1], [1, 1]], [0, 1])
    assert encoded([[0, 1], [1, 0]], [0, 1, 2]) == ([[1, 1, 0], [1, 1, 0]], [0, 1, 2])
    assert encode_labels([["x", "y"]], None, 1)[0].dtype == np.float32


@pytest.mark.parametrize(
    "labels",
    [
        [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
        [(1, 1, 0), (0, 0, 0), (0, 1, 1)],
        [[0, 1], [1, 0], [0, 1]],
        [np.array([True, False]), np.array([False, True])],
        np.eye(3, dtype="float32"),
        pd.get_dummies(pd.Series(["a", "b", "a"])),
    ],
    ids=["one-hot", "multi-hot", "two classes", "bools", "an array", "a table"],
)
def test_rows_of_ones_and_zeros_are_no_lists_of_labels(labels):
    with pytest.raises(
        ValueError, match=r"ones and zeros \(one-hot or multi-hot\), such as \[.* at position 0\. Name "
    ):
        encode_labels(labels, None, len(labels))


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        (["x"], None, ValueError, "There are 3 texts but 1 labels"),
        (
            ["x"] * 3,
            None,
            ValueError,
            r"`classes` must be two at least.*Received: \['x'\].*pass rows of another one too",
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
        (np.array([[3, 5], [2, 4], [3, 2]]), None, TypeError, r"one entry a text. Received: ndarray of shape \(3, 2\)"),
        (np.array([[0.0], [1.0], [NAN]]), None, ValueError, "`labels` has none at position 2: nan"),
        (pd.Series([0, 1, None], dtype="Int64"), None, ValueError, "`labels` has none at position 2: nan"),
        (["x", "y", "y"], "xy", TypeError, "`classes` must be a list"),
        (["x", "y", "y"], ["x", "y", None], ValueError, "`classes` has none at position 2"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, classes, error, message):
    with pytest.raises(error, match=message):
        text_batches(["a", "b", "c"], labels, vocabulary=LETTERS, classes=classes)


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
    "weights",
    [
        {"yes": 1},
        {"yes": 1, "no": -1},
        {"yes": 1, "no": NAN},
        {"yes": 1, "no": "2"},
        {"yes": 1, "no": 1, "yess": 2},
        2,
        "balance",
        np.ones(2),
    ],
)
def test_class_weights_that_do_not_fit_the_labels_are_refused(weights):
    with pytest.raises(
        ValueError, match=r"`class_weight` must be 'balanced', or a dict .*\['no', 'yes'\].* Received: "
    ):
        text_batches(["a", "b"], ["yes", "no"], vocabulary=LETTERS, class_weight=weights)


@pytest.mark.parametrize(("labels", "received"), [(None, "no labels"), ([["yes"], ["no", "yes"]], "lists of labels")])
def test_class_weights_without_a_label_for_each_text_are_refused(labels, received):
    with pytest.raises(ValueError, match=f"`class_weight` needs one label for each row. Received: {received}"):
        text_batches(["a", "b"], labels, vocabulary=LETTERS, class_weight="balanced")
