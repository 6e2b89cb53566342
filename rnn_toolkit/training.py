"""Fit any Keras model, keep the best of it, and return the history as a table."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import one_of, whole_number
from rnn_toolkit.callbacks import Progress, default_callbacks


def train(
    model: keras.Model,
    train,
    validation=None,
    *,
    epochs: int = 100,
    run_dir: str | os.PathLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    progress: str | None = "auto",
) -> pd.DataFrame:
    """Fit a model, stop when it no longer gets better, and leave it at its best weights.

    Works on any compiled Keras model and any data that Keras takes.

    Args:
        model: A compiled model; changed in place, as `fit` does.
        train: Training data: `Windows`, another `PyDataset`, a `tf.data.Dataset`, or a tuple of arrays `(x, y)`.
        validation: Data to stop and choose by, likewise. Without it the training loss is watched.
        epochs: Largest number of passes through the training data.
        run_dir: Folder for `best.keras` (the best model of this run so far, whole at any moment) and `history.csv`;
            made if missing. Another run in the same folder replaces both. `None` writes nothing.
        callbacks: Instead of `default_callbacks()`: Keras callbacks, or an empty list for none.
        progress: "auto" shows one moving line in a terminal or notebook; `None` is silent.

    Returns:
        One row per epoch: loss and metrics, those of the validation data (`val_…`), learning rate and seconds; the
        index is the epoch, from 1.

    Raises:
        ValueError: If the model is not compiled, there is no training data, or `run_dir` cannot be written.

    Example:
        >>> model = keras.Sequential([keras.Input((2, 1)), keras.layers.SimpleRNN(1)])
        >>> model.compile("sgd", "mse")
        >>> history = train(model, (np.zeros((4, 2, 1)), np.zeros((4, 1))), epochs=2, progress=None)
        >>> history.index.tolist(), "loss" in history
        ([1, 2], True)
    """
    whole_number(epochs, "epochs")
    one_of(progress, "progress", ("auto", None))
    if not getattr(model, "compiled", False):
        raise ValueError(f"Model {model.name!r} is not compiled. Call `model.compile(optimizer, loss)` first.")
    folder = None if run_dir is None else _writable(run_dir)
    monitor = "loss" if validation is None else "val_loss"
    if callbacks is None:
        callbacks = default_callbacks(monitor=monitor, run_dir=folder)
        if not _has_plain_rate(model.optimizer):  # Keras' plateau callback raises beside a schedule
            callbacks = [one for one in callbacks if not isinstance(one, keras.callbacks.ReduceLROnPlateau)]
    record = _Record(folder)
    shown = [Progress(epochs, monitor=monitor)] if progress == "auto" and _is_interactive() else []
    x, y, weight = _as_fit_arguments(train, "train")
    model.fit(
        x,
        y,
        sample_weight=weight,
        validation_data=None if validation is None else _as_validation(validation),
        epochs=epochs,
        callbacks=[record, *callbacks, *shown],
        verbose=0,
    )
    return record.history


def _as_fit_arguments(data, name):
    """Return x, y and sample weight for `fit`, which takes arrays apart and data sets whole."""
    if isinstance(data, tuple | list):
        if len(data) not in (2, 3):
            raise ValueError(f"`{name}` must be (x, y) or (x, y, sample_weight). Received: {len(data)} items.")
        if not len(data[0]):
            raise ValueError(f"`{name}` holds no rows: x has shape {np.shape(data[0])}.")
        return (*data, None)[:3]
    if hasattr(data, "__len__") and len(data) == 0:
        raise ValueError(f"`{name}` holds no batch. Received: {data!r}. Pass data with at least one row.")
    return data, None, None


def _as_validation(data):
    x, y, weight = _as_fit_arguments(data, "validation")
    if y is None:
        return x
    return (x, y) if weight is None else (x, y, weight)


def _writable(run_dir) -> Path:
    """Return the folder, made if missing, or say why nothing can be written there."""
    folder = Path(run_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"`run_dir` cannot be written: {folder} ({error.strerror}). Pass one that can, or None to write nothing."
        ) from error
    return folder


def _has_plain_rate(optimizer) -> bool:
    return not isinstance(getattr(optimizer, "_learning_rate", None), keras.optimizers.schedules.LearningRateSchedule)


def _is_interactive() -> bool:
    """Return whether somebody watches: a terminal, or a notebook."""
    return sys.stdout.isatty() or type(sys.stdout).__module__.startswith(("ipykernel", "google.colab"))


class _Record(keras.callbacks.Callback):
    """Collect the history as a table, and keep it on disk."""

    def __init__(self, folder):
        super().__init__()
        self._folder, self._rows = folder, []

    @property
    def history(self) -> pd.DataFrame:
        index = pd.RangeIndex(1, len(self._rows) + 1, name="epoch")
        return pd.DataFrame(self._rows, index=index)

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        values = {name: float(value) for name, value in (logs or {}).items()}
        self._rows.append(values | {"learning_rate": rate, "seconds": time.perf_counter() - self._began})
        if self._folder is not None:
            partial = self._folder / ".history.partial.csv"
            self.history.to_csv(partial)
            os.replace(partial, self._folder / "history.csv")
