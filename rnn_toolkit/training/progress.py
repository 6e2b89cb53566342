"""What a training shows while it runs: one line that moves, and curves that grow."""

import io
import math
import shutil
import sys
from collections.abc import Callable
from time import perf_counter

import keras
import pandas as pd

from rnn_toolkit._checks import optional_package
from rnn_toolkit.training.plots import plot_history
from rnn_toolkit.training.resumable import ResumableCallback
from rnn_toolkit.watching import is_notebook

LINE_SECONDS = 0.2  # between two looks of the line: faster, nobody reads
DRAW_SECONDS = 1.0  # between two pictures
DRAW_COST = 10  # and at least so many times what the last one took: a tenth of the training
# Of the picture: fixed, so that nothing jumps, and drawn in half the time that a layout fitted anew takes.
MARGINS = {"left": 0.105, "right": 0.875, "bottom": 0.15, "top": 0.84}
NOTEBOOK_WIDTH = 120  # characters: a notebook does not say how wide it is


class Progress(ResumableCallback):
    """Show one line that moves: epoch, step, losses, the best so far, learning rate, and the time left.

    The learning rate is that at the beginning of the epoch. The time left is that of all epochs at the pace so far;
    stopping early makes it shorter. What does not fit into the width of the terminal is left out.

    Args:
        epochs: Epochs in all.
        monitor: The loss whose lowest finite value counts as the best: a column of the history.
    """

    def __init__(self, epochs: int, *, monitor: str = "val_loss"):
        super().__init__()
        self.epochs, self.monitor = epochs, monitor
        self._bar = None
        self._start()

    def get_state(self) -> dict:
        """Return what a resumed run must know, as JSON values."""
        return {"best": self._best, "best_epoch": self._best_epoch}

    def set_state(self, state: dict) -> None:
        """Take the best of an earlier run, behind `on_train_begin`."""
        self._best, self._best_epoch = state["best"], state["best_epoch"]

    def on_interrupt(self, reason: str) -> None:
        """Show the reason at the end of the line instead of learning rate and time left."""
        self._note = " ".join(reason.split())

    def on_start(self, logs: dict) -> None:
        """Show what the model reaches before its first epoch, as epoch 0."""
        Progress.on_epoch_end(self, -1, logs)

    def on_train_begin(self, logs=None):
        """Forget an earlier training."""
        self._close()
        self._start()

    def on_epoch_begin(self, epoch, logs=None):
        """Show which epoch begins; the first one of a resumed run need not be the first of all."""
        self._epoch, self._step, self._is_within = epoch, 0, True
        rate = getattr(getattr(self.model, "optimizer", None), "learning_rate", None)
        self._rate = None if rate is None else float(keras.ops.convert_to_numpy(rate))
        self._draw_if_due()

    def on_train_batch_end(self, batch, logs=None):
        """Move the line on, if the last look is long enough ago; `self.model` would cost JAX a copy of its state."""
        self._step = batch + 1
        if self._pace_start is None:  # behind the first step, which compiles
            self._pace_start = perf_counter(), self._position()
        if perf_counter() >= self._due:
            self._shown |= {name: value for name, value in (logs or {}).items() if name == "loss"}
            self._draw()

    def on_epoch_end(self, epoch, logs=None):
        """Show the results of the epoch."""
        self._steps = self._step or self._steps  # as counted: not every data set says how many
        self._epoch, self._step, self._is_within = epoch + 1, 0, False
        self._shown = {name: logs[name] for name in ("loss", "val_loss", self.monitor) if name in (logs or {})}
        value = self._shown.get(self.monitor, math.nan)
        if math.isfinite(value) and (self._best is None or value < self._best):
            self._best, self._best_epoch = float(value), epoch + 1
        self._draw_if_due()

    def on_train_end(self, logs=None):
        """Leave the finished line, and end it."""
        self._is_over = True
        if self._bar is not None:
            self._draw()
        self._close()

    def _start(self):
        self._best = self._best_epoch = self._rate = self._pace_start = None
        self._epoch = self._step = self._steps = 0
        self._shown, self._note, self._is_within, self._is_over = {}, "", False, False
        self._began, self._due = perf_counter(), 0.0

    def _position(self) -> float:
        """Return how many epochs are done, the present one in part."""
        steps = (self.params or {}).get("steps") or self._steps
        return self._epoch + (min(self._step / steps, 1.0) if steps else 0.0)

    def _parts(self) -> dict[str, str]:
        """Return what the line says, by kind, in the order of the line."""
        step, steps = self._step, (self.params or {}).get("steps") or self._steps
        parts = {"epoch": f"epoch {self._epoch + self._is_within}/{self.epochs}"}
        if step:
            parts["step"] = f"step {step}/{steps}" if steps else f"step {step}"
        parts |= {name: f"{name} {value:.4g}" for name, value in self._shown.items()}
        if self._best is not None:
            parts["best"] = f"best {self._best:.4g} (epoch {self._best_epoch})"
        if self._note:
            return parts | {"note": self._note}
        if self._rate is not None:
            parts["rate"] = f"rate {self._rate:.3g}"
        if self._is_over:
            if self._epoch < self.epochs and self._best_epoch is not None and self._epoch > self._best_epoch:
                parts["note"] = f"no better for {self._epoch - self._best_epoch} epochs"
            parts["time"] = f"took {_clock(perf_counter() - self._began)}"
        elif (left := self._seconds_left()) is not None:
            parts["time"] = f"{_clock(left)} left"
        return parts

    def _seconds_left(self) -> float | None:
        if self._pace_start is None:
            return None
        then, position = self._pace_start
        done = self._position() - position
        return (perf_counter() - then) / done * (self.epochs - self._position()) if done > 0 else None

    def _draw_if_due(self):
        if perf_counter() >= self._due:
            self._draw()

    def _draw(self):
        from tqdm import tqdm  # here, so that importing the package stays quick

        width = shutil.get_terminal_size().columns - 1 if sys.stdout.isatty() else NOTEBOOK_WIDTH
        parts, bar = self._parts(), "|{bar:10}| "
        for spare in ("bar", "rate", "step", "loss", "val_loss"):  # what a narrow line does without first
            if len(", ".join(parts.values())) + 13 * bool(bar) <= width:
                break
            bar = ""
            parts.pop(spare, None)
        form, text = bar + "{desc}", ", ".join(parts.values())
        if self._bar is None:
            # Not below the line of a training that never ended; not silent where a terminal claims to have no rows;
            # and without the monitor thread of `maxinterval`, which would draw on its own.
            style = {"bar_format": form, "ncols": width, "nrows": 20, "position": 0, "leave": True, "maxinterval": 0}
            self._bar = tqdm(desc=text, initial=self._position(), total=self.epochs, file=sys.stdout, **style)
        else:
            self._bar.bar_format, self._bar.desc, self._bar.ncols, self._bar.n = form, text, width, self._position()
            self._bar.refresh()
        self._due = perf_counter() + LINE_SECONDS

    def _close(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class LiveCurves(Progress):
    """Show the losses as curves that grow, in a notebook, below the line of `Progress`; elsewhere that line alone.

    The picture is that of `plot_history`, one output that is replaced, at most once a second and so seldom that it
    takes a tenth of the training or less. Put it behind the callback that records the history.

    Args:
        history: Called without arguments, returns the history so far, earlier runs included: the table of `train`.
        epochs: Epochs in all.
        monitor: The loss whose lowest finite value counts as the best: a column of the history.

    Raises:
        ImportError: In a notebook without Matplotlib.
    """

    def __init__(self, history: Callable[[], pd.DataFrame], epochs: int, *, monitor: str = "val_loss"):
        super().__init__(epochs, monitor=monitor)
        self._history = history
        self._is_live = is_notebook()
        if self._is_live:
            # A Figure of its own belongs to no pyplot: nothing is left open, and no backend shows it a second time.
            self._figure = optional_package("matplotlib.figure", extra="plot", purpose='progress="live"').Figure

    def on_train_begin(self, logs=None):
        """Make room for the picture above the line, which a later output would cut in two."""
        super().on_train_begin(logs)
        self._handle, self._draw_due = None, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Show the picture of earlier runs, or that one will come."""
        if self._is_live and self._handle is None:
            from IPython.display import display

            text = {"text/plain": "The curves appear when the first epoch is done."}
            self._handle = display(text, raw=True, display_id=True)
            self._redraw()
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        """Draw the curves anew, if the last picture is long enough ago."""
        super().on_epoch_end(epoch, logs)
        if self._is_live and perf_counter() >= self._draw_due:
            self._redraw()

    def on_train_end(self, logs=None):
        """Leave the finished picture."""
        super().on_train_end(logs)
        if self._is_live and self._handle is not None:
            self._redraw()

    def _redraw(self):
        from IPython.display import Image

        history, start = self._history(), perf_counter()
        watched = history.get("val_loss", history.get("loss", pd.Series(dtype=float)))
        if "loss" not in history or not watched.map(math.isfinite).any():
            return  # nothing to draw yet
        figure, image = self._figure(figsize=(9, 4), layout="none"), io.BytesIO()
        figure.subplots_adjust(**MARGINS)
        plot_history(history, ax=figure.add_subplot())
        figure.savefig(image, format="png")
        self._handle.update(Image(image.getvalue()))
        end = perf_counter()
        self._draw_due = end + max(DRAW_SECONDS, DRAW_COST * (end - start))


def _clock(seconds) -> str:
    """Return 75 seconds as "1:15"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
