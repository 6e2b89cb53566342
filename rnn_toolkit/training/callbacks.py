"""Callbacks that keep their word where Keras' own do not, and the standard list of them.

No NaN passes for the best value, a missing metric is an error instead of a warning, and all go on after an
interruption: they are `ResumableCallback`s, as one's own can be.
"""

import os
import warnings

import keras
import numpy as np

from rnn_toolkit._checks import nearest, one_of, whole_number
from rnn_toolkit.networks.optimization import ScaledSchedule, scale_of, schedule_of, single_optimizers, unwrapped
from rnn_toolkit.training.monitoring import Monitor as Monitor  # so that `rt.callbacks` holds them all
from rnn_toolkit.training.nonfinite import StopOnNaN
from rnn_toolkit.training.resumable import ResumableCallback
from rnn_toolkit.training.snapshots import replacing


def default_callbacks(*, monitor: str = "val_loss", mode: str = "min", patience: int = 10) -> list:
    """Return the callbacks that we would give a friend.

    Args:
        monitor: What is watched: a column of the history.
        mode: "min" if lower is better, or "max".
        patience: Epochs without a new best before training stops, counted from the start. The learning rate is halved
            after half of them.

    Returns:
        `StopOnNaN`, `ReduceLROnPlateau`, `EarlyStopping` (best weights restored) and `BestModel` (`best.keras` in the
        `run_dir` of `train`).

    Raises:
        TypeError, ValueError: On a patience below one or an unknown mode.

    Example:
        >>> [type(callback).__name__ for callback in default_callbacks()]
        ['StopOnNaN', 'ReduceLROnPlateau', 'EarlyStopping', 'BestModel']
    """
    whole_number(patience, "patience")
    return [
        StopOnNaN(),
        ReduceLROnPlateau(monitor, mode=mode, factor=0.5, patience=max(patience // 2, 1)),
        EarlyStopping(monitor, mode=mode, patience=patience),
        BestModel(monitor, mode=mode),
    ]


def usual_callbacks(model, *, monitor: str, mode: str = "min") -> list:
    """Return the default callbacks, behind `AveragedWeights` if the optimizer of the model keeps an average."""
    keeps_average = getattr(unwrapped(getattr(model, "optimizer", None)), "use_ema", False)
    return ([AveragedWeights()] if keeps_average else []) + default_callbacks(monitor=monitor, mode=mode)


def refuse_unknown_monitors(run) -> None:
    """Name what there is to watch before a run trains, unless a callback may add to it."""
    may_add = (Monitor, keras.callbacks.LambdaCallback)
    own = [one for one in run.given if type(one).__module__.startswith(("keras.", "rnn_toolkit."))]
    is_complete = len(own) == len(run.given) and not any(isinstance(one, may_add) for one in own)
    names = []  # known behind the first step only
    if is_complete and run.feed is not None and type(run.model).train_step is keras.Model.train_step:
        names = list(run.model.get_metrics_result())
        names += [f"val_{name}" for name in names] + ["learning_rate"]
    for callback in run.given:
        monitor, who = getattr(callback, "monitor", None), type(callback).__name__
        # Keras' `ModelCheckpoint` has a monitor even where it saves all.
        if not isinstance(monitor, str) or not getattr(callback, "save_best_only", True):
            continue
        if not run.validation and (monitor == "val_loss" or (is_complete and monitor.startswith("val_"))):
            raise ValueError(
                f"{who} watches {monitor!r}, but there are no validation data. Pass `validation`, or watch "
                f"{monitor.removeprefix('val_')!r}."
            )
        if names and monitor not in names:
            raise ValueError(
                f"{who} watches {monitor!r}, which is not among the metrics. There are: {', '.join(names)}."
                f"{nearest(monitor, names)} Watch one of them, or add it to `metrics` of `model.compile`."
            )


class _Watching(ResumableCallback):
    """What the watching callbacks share: a value that is there, and a comparison that no NaN passes."""

    _STATE = ("best",)
    best, wait = None, 0

    def __init__(self, monitor, mode, min_delta=0.0):
        super().__init__()
        one_of(mode, "mode", ("min", "max"))
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)

    def on_train_begin(self, logs=None):
        """Begin to watch anew."""
        for name in self._STATE:
            setattr(self, name, getattr(type(self), name))  # as the class has it

    def on_start(self, logs: dict) -> None:
        """Let the model as it came compete: what does not beat it is no gain."""
        if np.isfinite(logs.get(self.monitor, np.nan)):
            self.on_epoch_end(-1, logs)

    def _value(self, logs) -> float:
        """Return the watched value, or say what there is to watch."""
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(
                f"{type(self).__name__} watches {self.monitor!r}, which is not among the metrics. There are: "
                f"{', '.join(logs)}.{nearest(self.monitor, logs)}"
            )
        return float(logs[self.monitor])

    def _is_improvement(self, value) -> bool:
        if not np.isfinite(value):
            return False
        if self.best is None:
            return True
        gain = value - self.best if self.mode == "max" else self.best - value
        return gain > self.min_delta

    def get_state(self) -> dict:
        """Return what has to outlive an interruption."""
        return {name: getattr(self, name) for name in self._STATE}

    def set_state(self, state: dict) -> None:
        """Go on from the state of an earlier run."""
        for name in self._STATE:
            setattr(self, name, state[name])


class EarlyStopping(_Watching):
    """Stop when the watched value no longer gets better, and restore the best weights, also after an interruption.

    Keras' own takes a NaN in the first epoch for the best value for good, and forgets everything when training is
    resumed.

    Args:
        monitor: What is watched: a column of the history.
        mode: "min" if lower is better, or "max".
        patience: Epochs without a new best before training stops.
        min_delta: Least difference that counts as better.

    Raises:
        TypeError, ValueError: On a patience below one or an unknown mode; in training, if there is no such metric.
    """

    _STATE = ("best", "wait", "best_weights")
    best_weights = None

    def __init__(self, monitor: str = "val_loss", *, mode: str = "min", patience: int = 10, min_delta: float = 0.0):
        super().__init__(monitor, mode, min_delta)
        self.patience = whole_number(patience, "patience")

    def on_epoch_end(self, epoch, logs=None):
        """Stop if it is time to."""
        value = self._value(logs)
        if self._is_improvement(value):
            self.best, self.wait, self.best_weights = value, 0, self.model.get_weights()
        else:
            self.wait += 1
            self.model.stop_training |= self.wait >= self.patience

    def set_state(self, state: dict) -> None:
        """Go on from the state of an earlier run; one that was stopped here and goes on has its patience anew."""
        super().set_state(state)
        if self.wait >= self.patience:
            self.wait = 0

    def on_train_end(self, logs=None):
        """Put the best weights back."""
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(_Watching):
    """Lower the learning rate when the watched value no longer gets better; beside a schedule, too.

    Keras' own raises beside a schedule, and forgets everything when training is resumed. Here the whole schedule is
    multiplied by the factor, and the training step compiled anew.

    Args:
        monitor: What is watched: a column of the history.
        mode: "min" if lower is better, or "max".
        factor: What the rate is multiplied by, between 0 and 1.
        patience: Epochs without a new best before the rate is lowered.
        min_delta: Least difference that counts as better.

    Raises:
        TypeError, ValueError: On a patience below one, a factor out of range or an unknown mode; in training, if there
            is no such metric.
    """

    _STATE = ("best", "wait")

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        mode: str = "min",
        factor: float = 0.5,
        patience: int = 5,
        min_delta: float = 0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ValueError(f"`factor` must lie between 0 and 1. Received: {factor}. Pass 0.5, say.")
        self.factor, self.patience = factor, whole_number(patience, "patience")

    def on_epoch_end(self, epoch, logs=None):
        """Lower the rate if it is time to."""
        value = self._value(logs)
        if self._is_improvement(value):
            self.best, self.wait = value, 0
            return
        self.wait += 1
        if self.wait < self.patience:
            return
        self.wait = 0
        for optimizer in single_optimizers(self.model):
            if schedule_of(optimizer) is None:
                optimizer.learning_rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate)) * self.factor
            else:
                self._scale_schedule(optimizer, scale_of(optimizer) * self.factor)

    def get_state(self) -> dict:
        """Return what has to outlive an interruption."""
        return super().get_state() | {"scales": [scale_of(optimizer) for optimizer in single_optimizers(self.model)]}

    def set_state(self, state: dict) -> None:
        """Go on from the state of an earlier run."""
        super().set_state(state)
        for optimizer, scale in zip(single_optimizers(self.model), state["scales"], strict=True):
            self._scale_schedule(optimizer, scale)

    def _scale_schedule(self, optimizer, scale):
        if scale != scale_of(optimizer):
            optimizer.learning_rate = ScaledSchedule(schedule_of(optimizer), scale)
            self.model.make_train_function(force=True)


class BestModel(_Watching):
    """Keep the best model on disk as `best.keras`, never half a file.

    Keras' `ModelCheckpoint` writes over the last good file in place, and forgets the best value when training is
    resumed. A disk that is full, or not writable, and a model that cannot be saved are reported once; training goes on.

    Args:
        monitor: What is watched: a column of the history.
        mode: "min" if lower is better, or "max".
        run_dir: Folder of the file; `None` takes that of `train`, and writes nothing without one. Of two in a training
            one needs a folder of its own.

    Raises:
        ValueError: On an unknown mode; in training, if there is no such metric.
    """

    def __init__(self, monitor: str = "val_loss", *, mode: str = "min", run_dir: str | os.PathLike | None = None):
        super().__init__(monitor, mode)
        self._own_dir, self._warned = run_dir, False
        self.on_run()

    def on_epoch_end(self, epoch, logs=None):
        """Save the model if this epoch is the best so far."""
        value = self._value(logs)
        if not self._is_improvement(value):
            return
        if self.run_dir is None:
            self.best = value
            return
        path = self.run_dir / "best.keras"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial:
                self.model.save(partial)
            self.best = value  # of the file: what was not written does not count
        except Exception as error:  # whatever a layer may raise that cannot be saved, or a disk: training goes on
            if not self._warned:
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200].rstrip('.')}"
                warnings.warn(f"{path} was not written: {reason}. Training goes on.", stacklevel=2)
            self._warned = True


class AveragedWeights(ResumableCallback):
    """Validate, keep and end with the moving average of the weights instead of the last ones.

    Keras' `SwapEMAWeights` swaps by adding and subtracting, which rounds the weights; leaves the average out when
    training stops early; and hands the wrong weights to `predict`. Put this one first in the list, so that the others
    see the average.

    The optimizer must keep it: `make_optimizer(average=0.99)`, or `use_ema=True` in any Keras optimizer.

    Raises:
        ValueError: At the beginning of training, if the optimizer keeps no average.

    Source: Polyak and Juditsky, 1992, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim.
    """

    def __init__(self):
        super().__init__()
        self._raw = None  # the last weights, while the average is in the model
        self._optimizer = None

    def on_train_begin(self, logs=None):
        """Check that there is an average."""
        self._raw = self._optimizer = None
        optimizer = unwrapped(self.model.optimizer)
        if not getattr(optimizer, "use_ema", False):
            raise ValueError(
                f"The optimizer {optimizer.name!r} keeps no moving average of the weights. Make it with "
                "`rt.make_optimizer(average=0.99)`, or pass use_ema=True to your own."
            )
        self._optimizer = optimizer
        if optimizer.built and not self._has_begun():  # on JAX, Keras takes the average even before the first step
            averages = optimizer._model_variables_moving_average
            for average, variable in zip(averages, self.model.trainable_variables, strict=True):
                average.assign(keras.ops.convert_to_numpy(variable))

    def on_epoch_begin(self, epoch, logs=None):
        """Put the last weights back and train on."""
        if self._raw is not None:
            for variable, value in zip(self.model.trainable_variables, self._raw, strict=True):
                variable.assign(value)
            self._raw = None

    def on_test_begin(self, logs=None):
        """Put the average into the model."""
        self._put_average()

    def on_epoch_end(self, epoch, logs=None):
        """Put the average into the model, if there was no validation."""
        self._put_average()

    def on_train_end(self, logs=None):
        """Leave the average in the model."""
        self._put_average()
        self._separate()

    def get_state(self) -> dict:
        """Return the last weights, if the average is in the model."""
        return {"raw": self._raw}

    def set_state(self, state: dict) -> None:
        """Go on from the state of an earlier run."""
        self._raw = state["raw"]

    def _put_average(self):
        variables = self.model.trainable_variables  # on JAX this hands the state of the training step back, too
        if self._raw is None and self._optimizer is not None and self._has_begun():
            self._raw = [keras.ops.convert_to_numpy(variable) for variable in variables]
            self._optimizer.finalize_variable_values(variables)
            self._separate()

    def _has_begun(self):
        return keras.ops.convert_to_numpy(self._optimizer.iterations) > 0  # until then the average is all zero

    def _separate(self):
        """Copy the weights, which share their arrays on JAX with the average; the next step there would delete both."""
        for variable in self.model.trainable_variables:
            variable.assign(keras.ops.convert_to_numpy(variable))
