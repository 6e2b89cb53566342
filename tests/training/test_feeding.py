"""Every batch of every epoch can be had again, and each row comes once an epoch."""

import keras
import numpy as np
import pandas as pd

from rnn_toolkit import ForecastTask, Windows
from rnn_toolkit.training.feeding import Arrays, Feed, positioned


class Letters(keras.utils.PyDataset):
    """Give the batch number as the batch."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return np.array([index]), np.array([0])


def rows(data) -> list:
    return [int(value) for batch in data for value in batch[0]]


def arrays(number=10, **options):
    return Arrays((np.arange(number), np.arange(number) * 2), **{"batch_size": 4, "seed": 1} | options)


def test_each_row_comes_once_an_epoch_with_its_target():
    data = arrays()
    assert len(data) == 3 and sorted(rows(data)) == list(range(10))
    assert all((y == 2 * x).all() for x, y in data)


def test_the_order_depends_on_seed_and_epoch_alone():
    one, other = arrays(), arrays()
    one.set_epoch(7)
    first = rows(one)
    one.set_epoch(8)
    other.set_epoch(7)
    assert rows(one) != first and rows(other) == first
    assert rows(arrays(seed=2)) != rows(arrays())


def test_arrays_may_be_nested():
    data = Arrays(({"a": np.arange(4), "b": [np.arange(4.0)]}, np.arange(4), np.ones(4)), batch_size=4, seed=0)
    x, y, weight = data[0]
    assert x["a"].tolist() == x["b"][0].tolist() == y.tolist() and weight.tolist() == [1] * 4


def test_batches_are_shuffled_as_keras_would():
    feed = Feed(Letters(), seed=0)
    first = rows(feed)
    assert sorted(first) == list(range(5)) and first != list(range(5))
    feed.set_epoch(1)
    assert rows(feed) != first


def test_a_data_set_with_an_order_of_its_own_keeps_it():
    data = arrays()
    feed = Feed(data, seed=0)
    feed.set_epoch(5)
    assert rows(feed) == rows(data)


def test_skipped_steps_give_a_stand_in_and_the_rest_is_the_same():
    feed = Feed(arrays(), seed=0)
    whole = rows(feed)
    feed.set_epoch(0, skip=2)
    assert rows(feed)[-2:] == whole[-2:]
    feed.set_epoch(0, skip=3)  # all of them: killed between the last step and the end of the epoch
    assert len(rows(feed)) == 3 * 2


def test_windows_are_put_back_to_any_epoch():
    windows = Windows(pd.DataFrame({"y": range(40)}), ForecastTask("y", 1, 4), shuffle=True, batch_size=8)
    windows.set_epoch(3)
    third = windows[2][0]
    windows.on_epoch_end()
    assert not np.array_equal(windows[2][0], third)
    windows.set_epoch(3)
    assert np.array_equal(windows[2][0], third)


def test_only_data_with_a_position_are_fed():
    class Reshuffling(Letters):
        def on_epoch_end(self):
            """Shuffle by a state that cannot be read."""

    class Endless(Letters):
        num_batches = None

    assert isinstance(positioned(Letters(), batch_size=2, seed=0), Feed)
    for data in (Reshuffling(), Endless(), (np.array(["a", "b"]), np.zeros(2)), ([1.0, 2.0], [0, 1]), iter([])):
        assert positioned(data, batch_size=2, seed=0) is None


def test_workers_of_a_data_set_are_kept():
    feed = positioned(Letters(workers=2, max_queue_size=5), batch_size=2, seed=0)
    assert (feed.workers, feed.max_queue_size) == (2, 5)
