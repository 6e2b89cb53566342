"""A sample of rows: all of them, or some from everywhere."""

import keras
import numpy as np

import rnn_toolkit as rt
from rnn_toolkit.diagnosis import sample
from rnn_toolkit.diagnosis.sample import sample_of


class Numbers(keras.utils.PyDataset):
    """A hundred batches of one row, which holds the batch's number."""

    def __len__(self):
        return 100

    def __getitem__(self, index):
        return np.full((1, 1), float(index)), np.array([index])


def test_all_rows_are_read_in_their_order():
    whole = sample_of(Numbers())
    assert whole.is_whole and len(whole) == 100
    assert whole.y.tolist() == list(range(100))


def test_what_there_is_no_time_for_is_left_out_evenly(monkeypatch):
    monkeypatch.setattr(sample, "LARGEST_SAMPLE", 9)
    part = sample_of(Numbers())
    assert not part.is_whole and len(part) == 10
    assert np.diff(part.y).max() < 20  # of gaps of ten


def test_texts_are_put_together_with_their_padding():
    vocabulary = rt.fit_vocabulary(["a b c"])
    texts = rt.text_batches(["a", "a b c"], ["no", "yes"], vocabulary=vocabulary, batch_size=1)
    found = sample_of(texts)
    assert sorted((found.x > 0).sum(axis=1)) == [1, 3]
    assert found.is_whole and len(found) == 2


def test_inputs_stay_apart():
    found = sample_of(([np.zeros((3, 2)), np.array([[1], [-2], [3]])], np.ones(3), np.ones(3)))
    assert [one.shape for one in found.inputs] == [(3, 2), (3, 1)]
    assert found.inputs[1].ravel().tolist() == [1, -2, 3]
    assert found.weight.tolist() == [1, 1, 1]


def test_targets_of_several_outputs_are_left_out():
    assert sample_of((np.zeros((3, 2)), {"a": np.ones(3)})).y is None
