"""Training data with a position: the batches of any epoch can be had again, from any step on.

Keras shuffles with random states that nobody can read back. Here the order is a function of a seed and the epoch.
"""

import keras
import numpy as np

from rnn_toolkit.training.identity import is_endless, num_batches

HOOKS = ("on_epoch_begin", "on_epoch_end")  # of a data set that changes from epoch to epoch


def checked(data, name: str):
    """Return arrays as a tuple, lists of numbers as arrays, and data sets as they are.

    Args:
        data: What `train` takes.
        name: What it is called in a message.

    Raises:
        TypeError: If the data are of no kind that holds examples, or can be read only once.
        ValueError: If the data hold no rows, never end, or do not match row by row.

    Example:
        >>> checked(([[1.0], [2.0]], [0, 1]), "train")[0].shape
        (2, 1)
    """
    if isinstance(data, tuple | list):
        if len(data) not in (2, 3):
            raise ValueError(f"`{name}` must be (x, y) or (x, y, sample_weight). Received: {len(data)} items.")
        shapes = {}
        parts = zip(("x", "y", "sample_weight"), data, strict=False)
        arrays = tuple(_arrays(part, path, shapes) for path, part in parts)
        counts = {path: shape[0] if shape else "no" for path, shape in shapes.items()}
        if not counts or 0 in counts.values():
            raise ValueError(f"`{name}` holds no rows: x has shape {shapes.get('x', ())}.")
        if len(set(counts.values())) > 1 or "no" in counts.values():
            listed = ", ".join(f"{path} has {count}" for path, count in list(counts.items())[:8])
            raise ValueError(
                f"`{name}` must have as many rows in all arrays, one an example. Received: {listed} rows. Cut them to "
                "the same examples; if a list of arrays was meant as rows, make it one array: np.stack(rows)."
            )
        return arrays[:2] if arrays[-1] is None else arrays
    if isinstance(data, str) or not (hasattr(data, "__iter__") or hasattr(data, "__getitem__")):
        raise TypeError(
            f"`{name}` must be (x, y), (x, y, sample_weight), a keras.utils.PyDataset or a tf.data.Dataset. Received: "
            f"{data!r}."
        )
    if hasattr(data, "__next__"):
        raise TypeError(
            f"`{name}` can be read only once, and each epoch reads it anew. Received: {type(data).__name__}. Pass "
            "arrays, a keras.utils.PyDataset, or tf.data.Dataset.from_generator(...)."
        )
    if is_endless(data):
        raise ValueError(
            f"`{name}` never ends, so no epoch would. Received: {data!r}. Say how many batches make an epoch: "
            "`.take(100)` for a tf.data.Dataset, `__len__` for a PyDataset."
        )
    if num_batches(data) == 0:
        raise ValueError(f"`{name}` holds no batch. Received: {data!r}. Pass data with at least one row.")
    return data


def _arrays(value, path, shapes):
    """Return nested lists of numbers as arrays, and note the shape of every array by its path."""
    if isinstance(value, dict):
        return {key: _arrays(one, f"{path}[{key!r}]", shapes) for key, one in value.items()}
    if isinstance(value, list | tuple):
        first = value
        while isinstance(first, list | tuple) and len(first):
            first = first[0]
        if isinstance(first, dict) or (np.ndim(first) and len(value)):
            return tuple(_arrays(one, f"{path}[{place}]", shapes) for place, one in enumerate(value))
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{path} holds rows of different length. Make them equal: `rt.pad` does.") from error
    if value is not None:
        shapes[path] = tuple(getattr(value, "shape", ()))
    return value


class Arrays(keras.utils.PyDataset):
    """Batches of the rows of arrays, in an order of their own in each epoch.

    Args:
        arrays: x and y, or x, y and sample weight. x and y may be dicts, lists or tuples of arrays, one row an example.
        batch_size: Rows in a batch; the last batch of an epoch holds what is left.
        seed: Seed of the order.
        shuffle: Whether each epoch has an order of its own; otherwise the rows keep theirs.

    Example:
        >>> data = Arrays((np.arange(5), np.arange(5)), batch_size=2, seed=0)
        >>> data.set_epoch(3)
        >>> [x.tolist() for x, y in data]
        [[3, 0], [2, 1], [4]]
    """

    def __init__(self, arrays: tuple, *, batch_size: int, seed: int, shuffle: bool = True):
        super().__init__()
        self.arrays = keras.tree.map_structure(np.asarray, tuple(arrays))
        self.num_rows = len(keras.tree.flatten(self.arrays)[0])
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch."""
        self._order = _order(self.num_rows, [self.seed, epoch] if self.shuffle else None)

    def __len__(self) -> int:
        return -(-self.num_rows // self.batch_size)

    def __getitem__(self, index):
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        return keras.tree.map_structure(lambda array: array[rows], self.arrays)


class Feed(keras.utils.PyDataset):
    """Batches of a data set, to be had again from any step of any epoch on.

    A data set that has a method `set_epoch(epoch)` orders itself by it. The batches of any other are shuffled here, as
    Keras' `fit` would.

    Args:
        batches: A `PyDataset` whose batches depend on their index, and the epoch, alone.
        seed: Seed of the order of the batches.
        shuffle: Whether batches that do not order themselves are shuffled.

    Example:
        >>> feed = Feed(Arrays((np.arange(5), np.arange(5)), batch_size=2, seed=0), seed=0)
        >>> feed.set_epoch(3, skip=1)
        >>> [x.tolist() for x, y in feed]  # the first is a stand-in for a step that is not taken again
        [[2, 1], [2, 1], [4]]
    """

    def __init__(self, batches: keras.utils.PyDataset, *, seed: int, shuffle: bool = True):
        super().__init__(batches.workers, batches.use_multiprocessing, batches.max_queue_size)
        self.batches, self.seed, self.shuffle = batches, seed, shuffle
        self.set_epoch(0)

    def set_epoch(self, epoch: int, *, skip: int = 0) -> None:
        """Go to the beginning of an epoch, or to the step behind those to skip."""
        is_ordered = hasattr(self.batches, "set_epoch")
        if is_ordered:
            self.batches.set_epoch(epoch)
        self._order = _order(len(self), None if is_ordered or not self.shuffle else [self.seed, epoch])
        self._skip, self._stand_in = min(skip, len(self) - 1), None

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index):
        if index >= self._skip:
            return self.batches[int(self._order[index])]
        if self._stand_in is None:  # loaded once, whatever loading costs
            self._stand_in = self.batches[int(self._order[self._skip])]
        return self._stand_in


def _order(number, seed):
    return np.arange(number) if seed is None else np.random.default_rng(seed).permutation(number)


def positioned(data, *, batch_size: int, seed: int, shuffle: bool = True) -> Feed | None:
    """Return a feed of the data, or `None` where only Keras knows the order.

    Args:
        data: What `train` takes.
        batch_size: Rows in a batch of arrays.
        seed: Seed of the order.
        shuffle: Whether data that do not order themselves are shuffled.

    Returns:
        The feed, or `None` for a `tf.data.Dataset`, a generator, a data set that shuffles itself in `on_epoch_end`
        without a `set_epoch`, and arrays of text or of a kind that NumPy does not know.

    Example:
        >>> positioned((np.zeros((6, 1)), np.zeros(6)), batch_size=4, seed=0).num_batches
        2
    """
    if isinstance(data, tuple):
        leaves = keras.tree.flatten(data)
        if not all(hasattr(leaf, "__array__") and np.asarray(leaf).dtype.kind in "biufV" for leaf in leaves):
            return None
        data = Arrays(data, batch_size=batch_size, seed=seed, shuffle=shuffle)
    if not isinstance(data, keras.utils.PyDataset) or data.num_batches is None:
        return None
    hooks = [getattr(type(data), name) is not getattr(keras.utils.PyDataset, name) for name in HOOKS]
    return None if any(hooks) and not hasattr(data, "set_epoch") else Feed(data, seed=seed, shuffle=shuffle)
