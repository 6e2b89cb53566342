"""Batches of whatever data a training takes, read as arrays."""

import itertools

import keras
import numpy as np

from rnn_toolkit.training.feeding import checked
from rnn_toolkit.training.identity import is_endless


def readable(data, name: str = "data"):
    """Return data as `train` takes them, or say why they are none; of those that never end some is enough to look at.

    Example:
        >>> readable(([[1.0], [2.0]], [0, 1]))[1].shape
        (2,)
    """
    return data if is_endless(data) else checked(data, name)


def some_batches(data, count: int = 4, *, batch_size: int = 64) -> list[tuple]:
    """Return up to `count` batches `(x, y, sample_weight or None)`, evenly spread over the data, as arrays.

    Args:
        data: What `train` takes: arrays in a tuple, a `keras.utils.PyDataset`, or a `tf.data.Dataset`, of which the
            first batches are taken.
        count: Batches.
        batch_size: Rows of a batch, where data are arrays.

    Raises:
        TypeError: If the data are of another kind.
        ValueError: If there is no batch.

    Example:
        >>> [y.tolist() for x, y, weight in some_batches((np.zeros((6, 1)), np.arange(6)), count=2, batch_size=2)]
        [[0, 1], [4, 5]]
    """
    total = count_batches(data, batch_size=batch_size)
    if total:
        places = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
        return list(read_batches(data, places, batch_size=batch_size))
    batches = list(itertools.islice(read_batches(data), count))
    if not batches:
        raise ValueError(f"The data hold no batch. Received: {data!r}. Pass data with at least one row.")
    return batches


def fitted(model, data, *, batch_size: int = 64) -> tuple:
    """Return data and the rows of a batch as a model takes them: one of a fixed batch size takes full batches only."""
    shapes = [one.shape for one in getattr(model, "inputs", None) or ()]
    fixed = next((shape[0] for shape in shapes if shape[0] is not None), None)
    if fixed is None or not isinstance(data, tuple | list):
        return data, batch_size
    rows = len(keras.tree.flatten(data[0])[0]) // fixed * fixed
    return keras.tree.map_structure(lambda one: None if one is None else one[:rows], tuple(data)), fixed


def read_batches(data, places=None, *, batch_size: int = 64):
    """Yield batches as `some_batches` returns them, those at some places or all.

    Example:
        >>> [y.tolist() for x, y, weight in read_batches((np.zeros((6, 1)), np.arange(6)), [2, 0], batch_size=2)]
        [[4, 5], [0, 1]]
    """
    total = count_batches(data, batch_size=batch_size)
    if total is None:
        if not hasattr(data, "element_spec"):
            raise TypeError(
                "The data must be arrays in a tuple, a `keras.utils.PyDataset` or a `tf.data.Dataset`. Received: "
                f"{type(data).__name__}. Pass `(x, y)`, or wrap it in a `keras.utils.PyDataset`."
            )
        yield from map(_parts, data)
        return
    for place in map(int, range(total) if places is None else places):
        if isinstance(data, tuple | list):
            rows = slice(place * batch_size, (place + 1) * batch_size)
            yield _parts(
                keras.tree.map_structure(lambda one, rows=rows: one if one is None else one[rows], tuple(data))
            )
        else:
            yield _parts(data[place])


def count_batches(data, *, batch_size: int = 64) -> int | None:
    """Return the number of batches, or `None` where only reading tells."""
    if isinstance(data, tuple | list):
        return -(-len(keras.tree.flatten(data[0])[0]) // batch_size)
    return data.num_batches if isinstance(data, keras.utils.PyDataset) else None


def _parts(batch) -> tuple:
    batch = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    x, y, weight = (*batch, None, None)[:3]
    return tuple(None if one is None else keras.tree.map_structure(np.asarray, one) for one in (x, y, weight))
