"""What happens inside a training: gradients, updates, activations and gates of each epoch."""

import functools
import os
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import ops

from rnn_toolkit._checks import optional_package
from rnn_toolkit.networks.gates import saturation
from rnn_toolkit.networks.optimization import unwrapped, whole
from rnn_toolkit.networks.probing import array, compiled_forward, numpy, owned_variables, recurrent_states
from rnn_toolkit.training.interception import Inside, float32, intercept, is_distributed, release
from rnn_toolkit.training.resumable import ResumableCallback
from rnn_toolkit.training.snapshots import replacing

PROBE_ROWS = 64


class Monitor(ResumableCallback):
    """Record gradients, updates, activations and gates of each epoch.

    All of it goes into `logs`, and so into the history, if this stands before the callback that keeps it:
    `gradient_norm` and `gradient_norm_max`, the global norm before clipping, its mean and its largest value;
    `clipped`, the share of steps in which the optimizer clipped; `update_ratio/<layer>`, the mean of the norm of a
    step's change of the weights over their norm (about 1e-3 is healthy); `activation_std/<layer>`, the spread of the
    outputs; `saturation/<layer>`, the share of gates within 5 % of open or shut (LSTM, GRU), or of outputs beyond
    0.95 (SimpleRNN). The last two are measured without dropout, on up to 64 rows that `train` hands over; in Keras' own
    `fit`, you do: `monitor.on_run(probe=x[:64])`. Steps that a loss scale or `StopOnNaN` skips do not count.

    Args:
        tensorboard: Whether to write all of it, and histograms of weights and activations, below `run_dir/tensorboard`.
        run_dir: Folder of the run; `None` takes that of `train`.

    Attributes:
        steps: Number of steps measured in all finished epochs; 0 before training.

    Raises:
        ValueError: When training begins, if there is no `run_dir` to write to, or the model is not built or trains on
            several replicas.
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

    steps = 0

    def __init__(self, *, tensorboard: bool = False, run_dir: str | os.PathLike | None = None):
        super().__init__()
        self.tensorboard, self._own_dir = tensorboard, run_dir
        self.on_run()
        if tensorboard:
            optional_package("tensorboard", extra="tensorboard", purpose="Monitor(tensorboard=True)")

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
        self._inside = Inside(sum=1 + len(self._columns), max=1)  # the number of steps comes first
        self.steps, self._forward = 0, None
        intercept(model, self._measure)

    def on_epoch_end(self, epoch, logs=None):
        """Put the epoch's numbers into `logs`, and write them for TensorBoard."""
        logs = {} if logs is None else logs
        inside = self._inside.read()
        steps, *sums = inside["sum"].astype("float64")
        self.steps += int(steps)
        with np.errstate(invalid="ignore"):
            measured = dict(zip(self._columns, (np.array(sums) / steps).tolist(), strict=True))
        logs["gradient_norm"] = measured.pop("gradient_norm")
        logs["gradient_norm_max"] = float(inside["max"][0])
        logs.update(measured)
        self._inside.write(sum=np.zeros_like(inside["sum"]), max=np.zeros(1))
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
        return {"inside": self._inside.read(), "steps": self.steps}

    def set_state(self, state: dict):
        """Go on from a state; called after `on_train_begin`."""
        inside = {name: state["inside"][name] for name in ("sum", "max")}
        if "epoch" in state:  # earlier versions moved the sums out of the step now and then
            inside["sum"] = inside["sum"] + state["epoch"]
            inside["max"] = np.maximum(inside["max"], state["epoch_max"])
        self._inside.write(**inside)
        self.steps = state.get("steps", 0)

    def _measure(self, apply, grads, trainable_variables=None):
        """Apply the gradients, and add to the sums what they are and do. Runs inside the compiled step."""
        variables = self._variables if trainable_variables is None else trainable_variables
        scale = self._optimizer.loss_scale_factor or 1.0
        gradients = {id(v): float32(whole(g)) / scale for g, v in zip(grads, variables, strict=True) if g is not None}
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
        self._inside.add({"sum": ops.stack(row), "max": ops.reshape(norm, (1,))})

    def _probe_calls(self) -> dict:
        """Return layer, output and, of recurrent layers, arguments by the name of each innermost layer."""
        if self.probe is None:
            return {}
        states = [(v, numpy(v)) for v in recurrent_states(self.model)]
        try:
            self._forward = self._forward or compiled_forward(self.model)
            x = keras.tree.map_structure(lambda one: one[:PROBE_ROWS], self.probe)
            return self._forward(x)[1]
        except Exception as error:  # whatever a layer may raise: to watch must not end the training
            warnings.warn(
                f"Monitor could not run the model on its probe: {type(error).__name__}: {' '.join(str(error).split())} "
                "Activations are left out from here on. Hand rows over that the model takes: "
                "`monitor.on_run(probe=x[:64])`.",
                stacklevel=2,
            )
            self.probe = None
            return {}
        finally:
            for variable, value in states:
                variable.assign(value)

    def _write(self, step, logs, calls):
        """Write one file of events per epoch, whole or not at all: an epoch done again replaces its own."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        rate = float(array(self.model.optimizer.learning_rate))
        summaries = [scalar_pb(name, float(value)) for name, value in ({"learning_rate": rate} | logs).items()]
        arrays = {f"weights/{layer}/{v.name}": numpy(v) for layer, own in self._owned.items() for v in own}
        arrays |= {f"activations/{name}": output for name, (_, output, _) in calls.items()}
        for name, values in arrays.items():
            summaries.append(histogram_pb(name, values[np.isfinite(values)].astype("float64")))
        path = self.run_dir / "tensorboard" / f"events.out.tfevents.{step:09d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, replacing(path) as partial:
            writer = EventFileWriter(folder)  # which appends, under a name of its own
            for summary in summaries:
                writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
            writer.close()
            shutil.copyfile(next(Path(folder).iterdir()), partial)


def _clipping(optimizer):
    """Return name and limit of the clipping, or `None`; gradients that are accumulated are clipped later."""
    if optimizer.gradient_accumulation_steps:
        return None
    names = ("clip_quantile", "clipnorm", "global_clipnorm", "clipvalue")
    limits = {name: getattr(optimizer, name, None) for name in names}
    return next(((name, limit) for name, limit in limits.items() if limit), None)
