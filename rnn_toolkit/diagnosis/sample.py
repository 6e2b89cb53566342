"""A sample of a data set's rows, spread evenly over all of it."""

import dataclasses
import itertools
import time

import keras
import numpy as np

from rnn_toolkit.diagnosis.reading import count_batches, read_batches

LARGEST_SAMPLE = 20_000_000  # values: 80 MB
SCAN_SECONDS = 3.0
FEWEST = 20  # rows, of which a share can be told


@dataclasses.dataclass(frozen=True)
class Sample:
    """Rows of a data set as arrays.

    Args:
        inputs: Arrays of x, one for each input of the model.
        y: Targets.
        weight: Sample weights, or `None`.
        is_whole: Whether it holds all rows.
    """

    inputs: list[np.ndarray]
    y: np.ndarray | None
    weight: np.ndarray | None
    is_whole: bool

    @property
    def x(self) -> np.ndarray:
        """The first input."""
        return self.inputs[0]

    def __len__(self) -> int:
        return len(self.x)


def sample_of(data, *, seconds: float = SCAN_SECONDS) -> Sample:
    """Read as many batches of a data set as there is time for, evenly spread, and put them together.

    Example:
        >>> sample = sample_of((np.zeros((3, 2)), np.ones(3)))
        >>> sample.x.shape, sample.is_whole
        ((3, 2), True)
    """
    end, values, read = time.perf_counter() + seconds, 0, {}
    order = _spread(count_batches(data))
    for place, batch in zip(order, read_batches(data, order), strict=False):
        read[place] = (keras.tree.flatten(batch[0]), batch[1], batch[2])
        values += sum(one.size for one in read[place][0])
        if values > LARGEST_SAMPLE or time.perf_counter() > end:
            is_whole = False
            break
    else:
        is_whole = True
    batches = [read[place] for place in sorted(read)]
    inputs = [_joined(parts) for parts in zip(*(batch[0] for batch in batches), strict=True)]
    y, weight = (_joined([batch[place] for batch in batches]) for place in (1, 2))
    return Sample(inputs, y, weight, is_whole)


def _spread(total: int | None):
    """Return the places of batches in an order whose every beginning is spread evenly over all of them.

    Steps of the golden ratio around a circle do that: each falls into one of the widest gaps left.
    """
    if total is None:
        return itertools.count()
    return np.argsort(np.argsort(np.arange(total) * (5**0.5 - 1) / 2 % 1))


def _joined(parts) -> np.ndarray | None:
    if parts[0] is None or isinstance(parts[0], dict | list | tuple):
        return None
    if parts[0].ndim > 1 and len({part.shape[1] for part in parts}) > 1:  # texts, padded to their own length
        width = max(part.shape[1] for part in parts)
        parts = [widened(part, width) for part in parts]
    return np.concatenate(parts)


def widened(array: np.ndarray, width: int) -> np.ndarray:
    """Return an array `(rows, steps, ...)` with zeros behind its steps."""
    return np.pad(array, [(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)])
