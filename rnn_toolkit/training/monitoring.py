"""What happens inside a training: gradients, updates, activations and gates of each epoch."""

import functools
import os
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops

from rnn_toolkit._checks import optional_package, whole_number
from rnn_toolkit.networks.gates import saturation
from rnn_toolkit.networks.optimization import unwrapped
from rnn_toolkit.networks.probing import array, compiled_forward, numpy, owned_variables, recurrent_states
from rnn_toolkit.training.interception import Inside, dense, float32, intercept, is_distributed, last_step, release

PROBE_ROWS = 64
GRADIENT_SAMPLE = 1_000  # values of each weight's gradient in a histogram


class Monitor(keras.callbacks.Callback):
    """Record gradients, updates, activations and gates of each epoch.

    All of it goes into `logs`, and so into the history, if this stands before the callback that keeps it:
    `gradient_norm` and `gradient_norm_max`, the global norm before clipping, its mean and its largest value;
    `clipped`, the share of steps in which the optimizer clipped; `update_ratio/<layer>`, the mean of the norm of a
    step's change of the weights over their norm (about 1e-3 is healthy); `activation_std/<layer>`, the spread of the
    outputs; `saturation/<layer>`, the share of gates within 5 % of open or shut (LSTM, GRU), or of outputs beyond
    0.95 (SimpleRNN). The last two are measured on `probe`, without dropout. Steps that a loss scale or `StopOnNaN`
    skips do not count.

    Args:
        every: Steps per row of `steps`; `None` keeps no rows.
        tensorboard: Whether to write all of it, and histograms of weights, of the gradients of each epoch's last step
            (up to 1,000 evenly spaced values a weight) and of activations, below `run_dir/tensorboard`.
        run_dir: Folder of the run; `train` fills in its own.

    Attributes:
        probe: Up to 64 rows of input to measure activations on; `train` fills it in. `None` leaves them out.
        steps: DataFrame with a row per `every` steps, their means; the index `step` counts from 1 over all epochs.

    Raises:
        TypeError: If `every` is not a whole number.
        ValueError: If `every` is below one; when training begins, if there is no `run_dir` to write to, or the model
            is not built or trains on several replicas.
        ImportError: If `tensorboard` is asked for and not installed.

    Example:
        >>> layer = keras.layers.Dense(1, kernel_initializer="ones", name="dense")
        >>> model = keras.Sequential([keras.Input((1,)), layer])
        >>> model.compile(keras.optimizers.SGD(0.1), "mse")  # the gradient is 2 * (1 - 0) for kernel and bias
        >>> history = model.fit(np.ones((1, 1)), np.zeros((1, 1)), verbose=0, callbacks=[Monitor()]).history
        >>> round(history["gradient_norm"][0], 3), round(history["update_ratio/dense"][0], 3)
        (2.828, 0.283)

    Source: Norms before clipping: Pascanu et al., 2013, ICML. Update ratio: Karpathy, CS231n notes, "Neural Networks
        Part 3". Saturated gates: Karpathy et al., 2015, arXiv:1506.02078, section 4.2, here at 0.05 and 0.95.
    """

    def __init__(
        self, *, every: int | None = None, tensorboard: bool = False, run_dir: str | os.PathLike | None = None
    ):
        super().__init__()
        self.every = None if every is None else whole_number(every, "every")
        self.tensorboard, self.run_dir, self.probe = tensorboard, run_dir, None
        if tensorboard:
            optional_package("tensorboard", extra="tensorboard", purpose="Monitor(tensorboard=True)")

    @property
    def steps(self) -> pd.DataFrame:
        """Return a row per `every` steps."""
        return pd.DataFrame(self._rows, index=pd.Index(self._row_steps, name="step"), columns=self._columns)

    def on_train_begin(self, logs=None):
        """Start to measure."""
        if self.tensorboard and self.run_dir is None:
            raise ValueError(
                "Monitor(tensorboard=True) has no `run_dir` to write to. "
                'Pass one: Monitor(tensorboard=True, run_dir="runs/x"), or give `train` a `run_dir`.'
            )
        model = self.model
        if is_distributed(model):
            raise ValueError(
                "Monitor cannot see the gradients of a model that trains on several replicas (tf.distribute). "
                "It needs one. Leave Monitor out, or build the model outside the strategy's scope."
            )
        release(model, self._measure)  # of a `fit` that was broken off
        self._optimizer = unwrapped(model.optimizer)
        self._variables = list(model.trainable_variables)
        self._owned = owned_variables(model)
        self._clips = _clipping(self._optimizer) is not None
        self._columns = ["gradient_norm", *(["clipped"] if self._clips else [])]
        self._columns += [f"update_ratio/{name}" for name in self._owned]
        width = 1 + len(self._columns)  # the number of steps comes first
        self._sizes = [len(_sampled(np.empty(v.shape, "bool"))) for v in self._variables]
        self._inside = Inside(sum=width, max=1, last=sum(self._sizes) if self.tensorboard else 0)
        self._epoch, self._window, self._epoch_max = np.zeros(width), np.zeros(width), 0.0
        self._step, self._since, self._first = 0, 0, 0
        self._rows, self._row_steps = [], []
        self._forward, self._purged = None, False
        intercept(model, self._measure)

    def on_epoch_begin(self, epoch, logs=None):
        """Drop what an earlier run has written for epochs that are yet to come."""
        if self.tensorboard and not self._purged:
            self._purged = True
            for path in self._events.glob("events.out.tfevents.*"):
                if path.suffix[1:].isdigit() and int(path.suffix[1:]) > epoch:
                    path.unlink()

    def on_train_batch_begin(self, batch, logs=None):
        """Note where the step begins."""
        self._first = batch

    def on_train_batch_end(self, batch, logs=None):
        """Add a row when enough steps have passed."""
        if self.every is None:
            return
        taken = last_step(batch, self.params) - self._first + 1
        self._step, self._since = self._step + taken, self._since + taken
        if self._since >= self.every:
            self._collect()
            self._rows.append(_means(self._window).tolist())
            self._row_steps.append(self._step)
            self._window, self._since = np.zeros_like(self._window), 0

    def on_epoch_end(self, epoch, logs=None):
        """Put the epoch's numbers into `logs`, and write them for TensorBoard."""
        logs = {} if logs is None else logs
        self._collect()
        measured = dict(zip(self._columns, _means(self._epoch).tolist(), strict=True))
        logs["gradient_norm"] = measured.pop("gradient_norm")
        logs["gradient_norm_max"] = self._epoch_max
        logs.update(measured)
        self._epoch, self._epoch_max = np.zeros_like(self._epoch), 0.0
        calls = self._probe_calls()
        for name, (_, output, _) in calls.items():
            with np.errstate(all="ignore"):
                logs[f"activation_std/{name}"] = float(np.std(output, dtype="float64"))
        for name, (layer, _, arguments) in calls.items():
            share = saturation(layer, *arguments) if arguments else None
            if share is not None:
                logs[f"saturation/{name}"] = share
        if self.tensorboard:
            self._write(epoch + 1, logs, calls)

    def on_train_end(self, logs=None):
        """Leave optimizer and model as they were."""
        release(self.model, self._measure)

    def get_state(self) -> dict:
        """Return what a resumed epoch needs to report the same numbers: JSON values and arrays."""
        kept = {name: getattr(self, f"_{name}") for name in ("epoch_max", "step", "since")}
        rows = {"rows": [list(row) for row in self._rows], "row_steps": list(self._row_steps)}
        return {"inside": self._inside.read(), "epoch": self._epoch.copy(), "window": self._window.copy()} | kept | rows

    def set_state(self, state: dict):
        """Go on from a state; called after `on_train_begin`."""
        self._inside.write(**state["inside"])
        self._epoch, self._window = np.array(state["epoch"]), np.array(state["window"])
        self._epoch_max, self._step, self._since = state["epoch_max"], state["step"], state["since"]
        self._rows, self._row_steps = [list(row) for row in state["rows"]], list(state["row_steps"])

    def _measure(self, apply, grads, trainable_variables=None):
        """Apply the gradients, and add to the sums what they are and do. Runs inside the compiled step."""
        variables = self._variables if trainable_variables is None else trainable_variables
        scale = self._optimizer.loss_scale_factor or 1.0
        gradients = {id(v): dense(g, v) / scale for g, v in zip(grads, variables, strict=True) if g is not None}
        before = {id(v): ops.copy(v) for v in variables}  # most backends assign in place
        name, limit = _clipping(self._optimizer) if self._clips else (None, None)
        limit = self._optimizer.clip_limit() if name == "clip_quantile" else limit  # before this step moves it
        apply(grads, trainable_variables)
        squares = [ops.sum(ops.square(g)) for g in gradients.values()]
        norm = ops.sqrt(sum(squares))
        row = [ops.ones(()), norm]
        if self._clips:
            if name == "clipvalue":
                largest = functools.reduce(ops.maximum, [ops.max(ops.abs(g)) for g in gradients.values()])
            else:
                largest = ops.sqrt(functools.reduce(ops.maximum, squares)) if name == "clipnorm" else norm
            row.append(ops.cast(largest > limit, "float32"))
        for own in self._owned.values():
            olds = [(float32(before[id(v)]), float32(v)) for v in own if id(v) in before]
            moved = ops.sqrt(sum((ops.sum(ops.square(new - old)) for old, new in olds), ops.zeros(())))
            size = ops.sqrt(sum((ops.sum(ops.square(old)) for old, _ in olds), ops.zeros(())))
            row.append(moved / ops.where(size > 0, size, ops.maximum(moved, 1e-30)))  # from all zeros: 1
        values = {"sum": ops.stack(row), "max": ops.reshape(norm, (1,))}
        if self.tensorboard:
            # TensorFlow does not know the shape of a gradient that comes out of a loop.
            given = (ops.reshape(gradients.get(id(v), ops.zeros(v.shape)), v.shape) for v in self._variables)
            values["last"] = ops.concatenate([_sampled(gradient) for gradient in given])
        self._inside.add(values)

    def _collect(self):
        """Move the sums out of the step."""
        inside = self._inside.read()
        self._epoch += inside["sum"]
        self._window += inside["sum"]
        self._epoch_max = float(np.maximum(self._epoch_max, inside["max"][0]))  # unlike max(), keeps NaN
        self._inside.write(sum=np.zeros_like(inside["sum"]), max=np.zeros(1))

    def _probe_calls(self) -> dict:
        """Return layer, output and, of recurrent layers, arguments by the name of each innermost layer."""
        if self.probe is None:
            return {}
        states = [(v, numpy(v)) for v in recurrent_states(self.model)]
        try:
            self._forward = self._forward or compiled_forward(self.model)
            x = keras.tree.map_structure(lambda one: one[:PROBE_ROWS], self.probe)
            return self._forward(x)
        except Exception as error:  # whatever a layer may raise: to watch must not end the training
            warnings.warn(
                f"Monitor could not run the model on its probe: {type(error).__name__}: {' '.join(str(error).split())} "
                "Activations are left out from here on. Set `monitor.probe` to rows that the model takes.",
                stacklevel=2,
            )
            self.probe = None
            return {}
        finally:
            for variable, value in states:
                variable.assign(value)

    @property
    def _events(self) -> Path:
        return Path(self.run_dir) / "tensorboard"

    def _write(self, step, logs, calls):
        """Write one file of events per epoch, whole or not at all: an epoch done again replaces its own."""
        from tensorboard.compat.proto import event_pb2  # their writer appends, and does not replace
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb
        from tensorboard.summary.writer.record_writer import RecordWriter

        rate = float(array(self.model.optimizer.learning_rate))
        summaries = [scalar_pb(name, float(value)) for name, value in ({"learning_rate": rate} | logs).items()]
        gradients = np.split(self._inside.read()["last"], np.cumsum(self._sizes)[:-1])
        names = {id(v): f"{layer}/{v.name}" for layer, own in self._owned.items() for v in own}
        arrays = {f"weights/{names[id(v)]}": numpy(v) for v in self._variables}
        arrays |= {f"gradients/{names[id(v)]}": part for v, part in zip(self._variables, gradients, strict=True)}
        arrays |= {f"activations/{name}": output for name, (_, output, _) in calls.items()}
        for name, values in arrays.items():
            finite = values[np.isfinite(values)].astype("float64")
            summaries.append(histogram_pb(name, finite))
        self._events.mkdir(parents=True, exist_ok=True)
        partial = self._events / ".partial"
        with open(partial, "wb") as file:
            writer = RecordWriter(file)
            writer.write(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
            for summary in summaries:
                event = event_pb2.Event(wall_time=time.time(), step=step, summary=summary)
                writer.write(event.SerializeToString())
            writer.flush()
        os.replace(partial, self._events / f"events.out.tfevents.{step:09d}")


def _clipping(optimizer):
    """Return name and limit of the clipping, or `None`; gradients that are accumulated are clipped later."""
    if optimizer.gradient_accumulation_steps:
        return None
    names = ("clip_quantile", "clipnorm", "global_clipnorm", "clipvalue")
    limits = {name: getattr(optimizer, name, None) for name in names}
    return next(((name, limit) for name, limit in limits.items() if limit), None)


def _sampled(values):
    """Return up to `GRADIENT_SAMPLE` evenly spaced values of an array or tensor of known shape."""
    size = int(np.prod(values.shape))
    flat = values.reshape(-1) if isinstance(values, np.ndarray) else ops.reshape(values, (-1,))
    return flat[:: max(1, -(-size // GRADIENT_SAMPLE))]


def _means(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return sums[1:] / sums[0]
