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


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="this one is TensorFlow's")
def test_of_a_dataset_of_tensorflow_the_first_batches_are_taken():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(ARRAYS).batch(1)
    assert count_batches(data) is None
    assert targets(some_batches(data, 2)) == [[0], [1]]


def test_data_without_rows_are_refused():
    with pytest.raises(ValueError, match="The data hold no batch"):
        some_batches((np.zeros((0, 1)), np.zeros(0)))


ONCE = [rt.diagnose, rt.find_learning_rate, rt.overfit_one_batch]


@pytest.mark.parametrize("look", ONCE)
def test_data_that_a_look_would_use_up_are_refused(look):
    with pytest.raises(TypeError, match="must be readable more than once"):
        look(gru(), iter([(X, Y)]))
