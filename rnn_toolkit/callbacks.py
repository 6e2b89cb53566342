"""The standard callbacks, and the two that Keras lacks: the best model on disk, and one line of progress."""

import os
import sys
from pathlib import Path

import keras

from rnn_toolkit._checks import whole_number


def default_callbacks(
    *, monitor: str = "val_loss", patience: int = 10, run_dir: str | os.PathLike | None = None
) -> list[keras.callbacks.Callback]:
    """Return the callbacks that we would give a friend.

    Args:
        monitor: What is watched: a column of the history, lower is better.
        patience: Epochs without a new best before training stops. The learning rate is halved after half of them.
        run_dir: Folder for the best model, `best.keras`; `None` keeps the best weights in memory only.

    Returns:
        `TerminateOnNaN`, `ReduceLROnPlateau`, `EarlyStopping` (best weights restored), and `BestModel` with a
        `run_dir`.

    Example:
        >>> [type(callback).__name__ for callback in default_callbacks()]
        ['TerminateOnNaN', 'ReduceLROnPlateau', 'EarlyStopping']
    """
    whole_number(patience, "patience")
    callbacks = [
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.ReduceLROnPlateau(monitor, factor=0.5, patience=max(patience // 2, 1), mode="min"),
        keras.callbacks.EarlyStopping(monitor, patience=patience, mode="min", restore_best_weights=True),
    ]
    if run_dir is not None:
        callbacks.append(BestModel(Path(run_dir) / "best.keras", monitor=monitor))
    return callbacks


class BestModel(keras.callbacks.Callback):
    """Save the model whenever the watched value is lower than ever, never leaving half a file.

    Keras' `ModelCheckpoint` writes over the last good file in place, and takes NaN for the best value if it comes
    first. Here the new file is written beside the old one and takes its place in one step.

    Args:
        path: File to write, ending in `.keras`.
        monitor: What is watched; lower is better.
    """

    def __init__(self, path: str | os.PathLike, *, monitor: str = "val_loss"):
        super().__init__()
        self.path, self.monitor = Path(path), monitor
        self.best = float("inf")

    def on_epoch_end(self, epoch, logs=None):
        """Save if this epoch is the best so far."""
        value = (logs or {}).get(self.monitor, float("nan"))
        if value < self.best:  # False for NaN
            self.best = value
            partial = self.path.with_name(f".{self.path.stem}.partial.keras")
            self.model.save(partial)
            os.replace(partial, self.path)


class Progress(keras.callbacks.Callback):
    """Show one line that moves: epoch, losses, the best so far, learning rate.

    Args:
        epochs: Epochs in all.
        monitor: What counts as the best; lower is better.
    """

    def __init__(self, epochs: int, *, monitor: str = "val_loss"):
        super().__init__()
        self.epochs, self.monitor = epochs, monitor
        self.best = float("inf")

    def on_train_begin(self, logs=None):
        """Start the line."""
        from tqdm import tqdm  # here, so that importing the package stays quick

        self._bar = tqdm(total=self.epochs, unit="epoch", file=sys.stdout, ncols=110, leave=True)

    def on_epoch_end(self, epoch, logs=None):
        """Move the line on."""
        logs = logs or {}
        self.best = min(self.best, logs.get(self.monitor, float("inf")))
        shown = {name: f"{logs[name]:.4g}" for name in ("loss", "val_loss", "learning_rate") if name in logs}
        self._bar.set_postfix(shown | {"best": f"{self.best:.4g}"}, refresh=False)
        self._bar.update(epoch + 1 - self._bar.n)

    def on_train_end(self, logs=None):
        """Leave the finished line."""
        self._bar.total = self._bar.n
        self._bar.close()
