"""Batches of whatever data a training takes."""

import keras
import numpy as np
import pytest
from diagnosis.cases import X, Y, gru

import rnn_toolkit as rt
from rnn_toolkit.diagnosis.reading import count_batches, read_batches, some_batches

ROWS = np.arange(6)
ARRAYS = (np.zeros((6, 1)), ROWS)


def targets(batches):
    return [y.tolist() for _, y, _ in batches]


def test_arrays_are_cut_into_batches():
    assert count_batches(ARRAYS, batch_size=4) == 2
    assert targets(read_batches(ARRAYS, batch_size=4)) == [[0, 1, 2, 3], [4, 5]]
    assert [weight for *_, weight in read_batches(ARRAYS)] == [None]


def test_some_batches_come_from_everywhere():
    assert targets(some_batches(ARRAYS, 3, batch_size=1)) == [[0], [2], [5]]
    assert len(some_batches(ARRAYS, 10, batch_size=1)) == 6


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data is TensorFlow's")
def test_of_a_dataset_of_tensorflow_the_first_batches_are_taken():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(ARRAYS).batch(1)
    assert count_batches(data) is None
    assert targets(some_batches(data, 2)) == [[0], [1]]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data is TensorFlow's")
def test_a_dataset_of_which_nothing_is_left_is_refused():
    import tensorflow as tf

    with pytest.raises(ValueError, match="The data hold no batch"):
        some_batches(tf.data.Dataset.from_tensor_slices(ARRAYS).filter(lambda x, y: y > 9).batch(1))


@pytest.mark.parametrize("look", [rt.diagnose, rt.find_learning_rate, rt.overfit_one_batch])
@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (iter([(X, Y)]), TypeError, "can be read only once"),
        (X, TypeError, "Received: ndarray. Pass `.x, y.`"),
        ((X[:0], Y[:0]), ValueError, "holds no rows"),
        ((X, Y[:50]), ValueError, "x has 60, y has 50 rows"),
        ((X,), ValueError, "Received: 1 items"),
    ],
)
def test_data_that_no_training_takes_are_refused(look, data, error, words):
    with pytest.raises(error, match=words):
        look(gru(), data)


def test_lists_of_numbers_are_read_as_arrays():
    assert rt.overfit_one_batch(gru(), (X[:2].tolist(), Y[:2].tolist()), steps=2).attrs["initial"] > 0


def test_a_model_that_makes_its_own_loss_needs_no_targets():
    inputs = keras.Input((12, 2))
    model = OwnLoss(inputs, keras.layers.Dense(1)(keras.layers.GRU(4)(inputs)))
    model.compile("adam")
    assert len(rt.overfit_one_batch(model, (X, None), steps=2)) == len(rt.find_learning_rate(model, (X, None), steps=2))
    assert rt.diagnose(model, (X, None)).attrs["failed"] == []


class OwnLoss(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(y_pred - x[:, -1, :1]))
