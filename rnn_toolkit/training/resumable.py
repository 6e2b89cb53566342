"""The base class of callbacks that go on where an interrupted training left them."""

from pathlib import Path

import keras


class ResumableCallback(keras.callbacks.Callback):
    """A Keras callback that `train` gives what it knows of the run, and whose state outlives an interruption.

    What `train` calls, beside the methods of every Keras callback:

    1. `on_run(run_dir=..., data=..., probe=...)` once, before all else.
    2. `on_train_begin()`, which begins anew; then, if the run goes on, `set_state(state)` with what `get_state` had
       returned. The state of an earlier run goes to the callback of the same class, `monitor` and `mode`; of several
       such, to each its own in the order of the list. A callback that the earlier run did not have begins anew.
    3. `on_start(logs)` with the values of the validation data before the first epoch, unless the run goes on.
    4. `get_state()` whenever a snapshot is written, behind a step or behind an epoch.
    5. `on_interrupt(reason)` if Ctrl-C or an error ends the training, then `on_train_end()` as always.
    6. `on_run()` without arguments when `train` returns, so that nothing is taken for that of another training.

    A callback of one's own overrides `get_state` and `set_state`, and whatever else it needs. Keras' own `fit` calls
    none of these methods; there, `callback.on_run(run_dir="runs/x")` before training does what `train` would.

    Attributes:
        run_dir: Folder of the run, or `None`.
        data: Gives the batch `(x, y)` or `(x, y, sample_weight)` of a step of the current epoch, from 0, as
            `data[step]`; `None` where batches cannot be had again.
        probe: A few rows of x to look at the model with, or `None`.

    Example:
        >>> class CountSteps(ResumableCallback):
        ...     def on_train_begin(self, logs=None):
        ...         self.steps = 0
        ...
        ...     def on_train_batch_end(self, batch, logs=None):
        ...         self.steps += 1
        ...
        ...     def get_state(self):
        ...         return {"steps": self.steps}
        ...
        ...     def set_state(self, state):
        ...         self.steps = state["steps"]
    """

    run_dir = data = probe = None
    _own_dir = None  # of a callback that was given a folder when it was made

    def on_run(self, *, run_dir=None, data=None, probe=None) -> None:
        """Take what a run has to give; called again without arguments when it is over."""
        folder = self._own_dir or run_dir
        self.run_dir = None if folder is None else Path(folder).expanduser()
        self.data, self.probe = data, probe

    def on_start(self, logs: dict) -> None:
        """Take what the validation data say of the model before its first epoch: `val_loss` and other metrics."""

    def on_interrupt(self, reason: str) -> None:
        """Hear why a training did not come to its end."""

    def get_state(self) -> dict:
        """Return what has to outlive an interruption: JSON values and NumPy arrays, in lists and dicts."""
        return {}

    def set_state(self, state: dict) -> None:
        """Go on from the state of an earlier run."""


class NoteInterrupt(ResumableCallback):
    """Note whether Ctrl-C ended a training, which `train` takes for its regular end."""

    asked = False

    def on_interrupt(self, reason: str) -> None:
        """Note it."""
        self.asked = True
