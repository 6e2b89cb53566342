"""Training data with a position: the batches of any epoch can be had again, from any step on.

Keras shuffles with random states that nobody can read back. Here the order is a function of a seed and the epoch.
"""

import keras
import numpy as np

HOOKS = ("on_epoch_begin", "on_epoch_end")  # of a data set that changes from epoch to epoch


class Arrays(keras.utils.PyDataset):
    """Batches of the rows of arrays, in an order of their own in each epoch.

    Args:
        arrays: x and y, or x, y and sample weight. x and y may be dicts, lists or tuples of arrays, one row an example.
        batch_size: Rows in a batch; the last batch of an epoch holds what is left.
        seed: Seed of the order.

    Example:
        >>> data = Arrays((np.arange(5), np.arange(5)), batch_size=2, seed=0)
        >>> data.set_epoch(3)
        >>> [x.tolist() for x, y in data]
        [[3, 0], [2, 1], [4]]
    """

    def __init__(self, arrays: tuple, *, batch_size: int, seed: int):
        super().__init__()
        self.arrays = keras.tree.map_structure(np.asarray, tuple(arrays))
        self.num_rows = len(keras.tree.flatten(self.arrays)[0])
        self.batch_size, self.seed = batch_size, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch."""
        self._order = np.random.default_rng([self.seed, epoch]).permutation(self.num_rows)

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

    Example:
        >>> feed = Feed(Arrays((np.arange(5), np.arange(5)), batch_size=2, seed=0), seed=0)
        >>> feed.set_epoch(3, skip=1)
        >>> [x.tolist() for x, y in feed]  # the first is a stand-in for a step that is not taken again
        [[2, 1], [2, 1], [4]]
    """

    def __init__(self, batches: keras.utils.PyDataset, *, seed: int):
        super().__init__(batches.workers, batches.use_multiprocessing, batches.max_queue_size)
        self.batches, self.seed = batches, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int, *, skip: int = 0) -> None:
        """Go to the beginning of an epoch, or to the step behind those to skip."""
        if hasattr(self.batches, "set_epoch"):
            self.batches.set_epoch(epoch)
            order = np.arange(len(self))
        else:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self))
        order[:skip] = order[min(skip, len(self) - 1)]
        self._order = order

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[int(self._order[index])]


def positioned(data, *, batch_size: int, seed: int) -> Feed | None:
    """Return a feed of the data, or `None` where only Keras knows the order.

    Args:
        data: What `train` takes.
        batch_size: Rows in a batch of arrays.
        seed: Seed of the order.

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
        data = Arrays(data, batch_size=batch_size, seed=seed)
    if not isinstance(data, keras.utils.PyDataset) or data.num_batches is None:
        return None
    hooks = [getattr(type(data), name) is not getattr(keras.utils.PyDataset, name) for name in HOOKS]
    return None if any(hooks) and not hasattr(data, "set_epoch") else Feed(data, seed=seed)
