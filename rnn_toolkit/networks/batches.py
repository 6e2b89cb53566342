"""Batches that can be had again: their order depends on a seed and the epoch alone."""

import keras
import numpy as np

from rnn_toolkit._checks import one_of


class RepeatableBatches(keras.utils.PyDataset):
    """Batches that depend on their index and on the epoch alone, so that `train` can go on from any of them."""

    def on_epoch_end(self):
        """Go on to the next epoch; Keras calls this."""
        self.set_epoch(self.epoch + 1)


class BucketedBatches(RepeatableBatches):
    """Batches of rows of different length; what a row holds is for others to say.

    A batch is as wide as its longest row, rounded up to a multiple of 8, above 64 of an eighth of the next power of
    two: at most four widths between one power of two and the next, since each may be compiled anew.

    Args:
        lengths: Steps of each row, at least one.
        batch_size: Rows in a batch; the last batch holds what is left.
        bucket: Whether rows of like length share a batch; "auto": where `shuffle` changes their order anyway.
        shuffle: Whether each epoch has an order of its own.
        seed: Seed of the order.

    Attributes:
        lengths: Steps of each row, in the order of the rows.
        order: Place of each row of the batches, batch after batch, in the present epoch.
        padding: Share of padding in the batches of the present epoch.
    """

    def __init__(self, lengths, *, batch_size, bucket, shuffle, seed):
        super().__init__()
        one_of(bucket, "bucket", ("auto", True, False))
        self.lengths, self.batch_size = lengths, batch_size
        self._bucket, self._shuffle, self._seed = shuffle if bucket == "auto" else bucket, shuffle, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, counted from 0; its order depends on the seed and the epoch alone."""
        generator = np.random.default_rng([self._seed, epoch])
        order = np.arange(len(self.lengths))
        if self._shuffle:
            generator.shuffle(order)
        if self._bucket:  # the order among rows of one width stays
            order = order[np.argsort(_width(self.lengths[order]), kind="stable")]
        batches = np.split(order, range(self.batch_size, len(order), self.batch_size))
        if self._bucket and self._shuffle:
            batches = [batches[place] for place in generator.permutation(len(batches))]
        widths = [int(_width(self.lengths[rows].max())) for rows in batches]
        # From the first two batches Keras tells TensorFlow whether widths differ (data_adapter_utils.py,
        # NUM_BATCHES_FOR_TENSOR_SPEC); if these are alike, a batch of another width ends the training with an error.
        if len(widths) > 1 and widths[0] == widths[1] and _width(self.lengths.min()) < _width(self.lengths.max()):
            widths[0] = int(_width(widths[0] + 1))
        self.epoch, self._batches = epoch, list(zip(batches, widths, strict=True))

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    @property
    def order(self) -> np.ndarray:
        """Place of each row of the batches, batch after batch, in the present epoch."""
        return np.concatenate([rows for rows, _ in self._batches])

    @property
    def padding(self) -> float:
        """Share of padding in the batches of the present epoch."""
        return 1 - int(self.lengths.sum()) / sum(len(rows) * width for rows, width in self._batches)


def _width(lengths):
    """Round lengths up to the widths that batches have; see `BucketedBatches`."""
    step = np.maximum(2 ** np.ceil(np.log2(lengths)) / 8, 8).astype("int64")
    return -(-lengths // step) * step
