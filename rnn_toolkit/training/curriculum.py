"""Teach in steps: easy examples first, in stages by hand or at a pace."""

import os
from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import check_ready, check_share, whole_number
from rnn_toolkit.training.feeding import Arrays, checked
from rnn_toolkit.training.fine_tuning import compile_anew, train_in_stages


def train_curriculum(
    model: keras.Model,
    stages: Sequence,
    validation=None,
    *,
    epochs: int = 100,
    epochs_per_stage: int = 5,
    batch_size: int = 32,
    run_dir: str | os.PathLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    progress: str | None = "auto",
) -> pd.DataFrame:
    """Train a model on easy data first and on harder data later, each stage from the best weights of the one before.

    Whether it helps depends on the task: train as many epochs on the last stage alone, too, and on the stages in the
    other order, `stages[::-1]` (the "anti-curriculum"). Each stage begins with a fresh optimizer. For a score of
    difficulty in place of stages, see `PacedBatches`.

    Args:
        model: A compiled model; changed in place, as by `train`. For stages of growing length, one that takes any:
            `keras.Input((None, features))`.
        stages: A list of training data as `train` takes, the easiest first; the last are those of the task itself.
        validation: Data of the task to stop and choose by, the same for all stages.
        epochs: Largest number of epochs of the last stage.
        epochs_per_stage: Those of each stage before.
        batch_size: Rows in a batch of arrays.
        run_dir: Folder for the runs of the stages, `stage-1` and so on, each a `run_dir` of `train`: whatever stopped
            the training, the same call goes on. `None` writes nothing.
        callbacks: Instead of those that `train` takes by default, in each stage.
        progress: "auto", "live" or `None`, as in `train`.

    Returns:
        The table that `train` returns, for all stages: a row an epoch, with the number of its `stage`.

    Raises:
        TypeError, ValueError: If the stages are no list of data, or what `train` raises.

    Source: Bengio et al., 2009, "Curriculum learning", ICML.

    Example:
        >>> model = keras.Sequential([keras.Input((None, 1)), keras.layers.SimpleRNN(1)])
        >>> model.compile("sgd", "mse", run_eagerly=True)
        >>> short, long = ((np.zeros((2, steps, 1)), np.zeros((2, 1))) for steps in (2, 4))
        >>> train_curriculum(model, [short, long], epochs=1, epochs_per_stage=2, progress=None)["stage"].tolist()
        [1, 1, 2]
    """
    whole_number(epochs, "epochs")
    whole_number(epochs_per_stage, "epochs_per_stage")
    if not isinstance(stages, list) or not stages:
        raise TypeError(
            "`stages` must be a list of training data, the easiest first, and hold one at least. Received: "
            f"{type(stages).__name__}. Pass [(x_easy, y_easy), (x, y)], say."
        )
    stages = [checked(data, f"stages[{place}]") for place, data in enumerate(stages)]
    check_ready(model, purpose="A training")
    settings = model.get_compile_config()

    def prepared():
        for stage, data in enumerate(stages, start=1):
            compile_anew(model, settings)
            yield stage, data, epochs if stage == len(stages) else epochs_per_stage

    options = {"batch_size": batch_size, "run_dir": run_dir, "callbacks": callbacks, "progress": progress}
    return train_in_stages(model, prepared(), validation, **options)


class PacedBatches(Arrays):
    """Batches of the easiest rows at first, and of ever more of them, until all take part.

    The share of the rows that take part, the competence c, grows with the training steps: c² rises evenly from
    `initial`² to 1, so that new rows come in ever more slowly. Batches are drawn from them evenly; once all take part,
    each epoch goes through all rows once. Pass it as `train` to `train`; for the anti-curriculum, `-difficulty`.

    Args:
        data: Arrays `(x, y)` or `(x, y, sample_weight)`, as `train` takes them.
        difficulty: A number per row; only their order counts. A length, the rarity of the words, or the loss that a
            model trained for an epoch has on the row.
        pacing_epochs: Epochs until all rows take part; fewer than those that `train` is given.
        initial: Share of the rows that the first batch is drawn from.
        batch_size: Rows in a batch.
        seed: Seed of the drawing.

    Raises:
        TypeError, ValueError: If there is not one finite number per row, or a number is out of range.

    Source: Platanios et al., 2019, "Competence-based curriculum learning for neural machine translation", NAACL-HLT,
        equation 7; 0.01 is their start.

    Example:
        >>> data, difficulty = (np.arange(4), np.arange(4)), [3, 1, 2, 0]
        >>> batches = PacedBatches(data, difficulty, pacing_epochs=2, initial=0.25, batch_size=2)
        >>> set(batches[0][0].tolist())  # the easiest is row 3
        {3}
        >>> batches.set_epoch(2)
        >>> sorted(row for x, y in batches for row in x.tolist())
        [0, 1, 2, 3]
    """

    def __init__(
        self, data: tuple, difficulty, *, pacing_epochs: int = 10, initial: float = 0.01, batch_size: int = 32, seed=0
    ):
        if not isinstance(data, tuple | list):
            raise TypeError(f"`data` must be arrays, (x, y) or (x, y, sample_weight). Received: {type(data).__name__}.")
        whole_number(batch_size, "batch_size")
        self.pacing_epochs, self.initial = whole_number(pacing_epochs, "pacing_epochs"), initial
        check_share(initial, "initial", zero=False)
        self.epoch, self._ranks = 0, None
        super().__init__(checked(data, "data"), batch_size=batch_size, seed=seed)
        difficulty = np.asarray(difficulty, "float64")
        if difficulty.shape != (self.num_rows,) or not np.isfinite(difficulty).all():
            raise ValueError(
                f"`difficulty` must be one finite number for each of the {self.num_rows} rows. Received: an array of "
                f"shape {difficulty.shape} with {np.isfinite(difficulty).sum()} finite ones."
            )
        self._ranks = difficulty.argsort(kind="stable")

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch."""
        super().set_epoch(epoch)
        self.epoch = epoch

    def on_epoch_end(self):
        """Go to the next epoch, in Keras' own `fit`, which calls this once before the first one, too."""
        self.set_epoch(self.epoch + 1)

    def __getitem__(self, index):
        if self.epoch >= self.pacing_epochs:
            return super().__getitem__(index)
        done = (self.epoch + index / len(self)) / self.pacing_epochs
        competence = (done * (1 - self.initial**2) + self.initial**2) ** 0.5
        number = int(np.ceil(competence * self.num_rows))
        size = min(self.batch_size, self.num_rows)
        drawn = np.random.default_rng([self.seed, self.epoch, index]).choice(number, size, replace=number < size)
        return keras.tree.map_structure(lambda array: array[self._ranks[drawn]], self.arrays)
