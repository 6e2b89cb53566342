"""A training's state: taken from the model, the data and all callbacks, kept on disk, and put back.

`Run` is a Keras callback, the last of the list. What it writes is a function of the step alone, so that a training
which goes on from it cannot be told from one that was never stopped.
"""

import contextlib
import math
import signal
import threading
import time
import warnings

import keras
import numpy as np
import pandas as pd

from rnn_toolkit.networks.optimization import clip_as_begun
from rnn_toolkit.networks.probing import unlisted
from rnn_toolkit.training.callbacks import refuse_unknown_monitors
from rnn_toolkit.training.identity import differences, optimizers_of
from rnn_toolkit.training.resumable import ResumableCallback
from rnn_toolkit.training.snapshots import Snapshots, is_first_process, random_state, replacing, set_random_state

SNAPSHOT_SECONDS = 60  # between two snapshots within an epoch
TWICE_SECONDS = 5.0  # Ctrl-C twice within these means all trainings of a loop, and whatever else runs


class Run(keras.callbacks.Callback):
    """The state of a run: taken from the model and all callbacks, kept in snapshots, and put back.

    It is the last of the callbacks, so that the others have done with a step or an epoch when it looks.
    """

    pressed = -math.inf  # when Ctrl-C was last pressed, in whichever run
    passed_on = False  # whether it ends all of them

    def __init__(self, epochs, *, steps):
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self.feed, self.callbacks, self.rows = None, [], []
        self.given = []  # those of the callbacks that the caller chose
        self.validation, self.start = None, {}  # arguments of `evaluate`; the row of the model as it came
        self.epoch, self.step, self.stopped = 0, 0, False  # where the run stands: epochs done, steps in the next one
        self.seed = int(np.random.randint(2**31))  # drawn from the global state, which `set_random_seed` sets
        self._folder = self._snapshots = self._identity = self._restored = self._signal = None
        self._logs, self._before, self._elapsed, self._cost, self._warned = {}, None, 0.0, 0.0, False
        self._random = None  # the state of the generators behind the steps that are skipped
        self.skipped = 0  # steps at the beginning of this epoch that an earlier call has done

    @property
    def history(self) -> pd.DataFrame:
        """Return a row per epoch, and row 0 of the model as it came."""
        rows = [{"loss": math.nan} | self.start, *self.rows] if self.start else self.rows
        index = pd.RangeIndex(1 - bool(self.start), len(self.rows) + 1, name="epoch")
        return pd.DataFrame(rows[::-1], index=index[::-1])[::-1]  # the order of the columns is that of the last row

    def open(self, folder, identity, *, resume, has_trained, model):
        """Read where the run in a folder stands, if there is one, and refuse if it is another."""
        self._folder, self._identity = folder, identity
        self._snapshots = Snapshots(folder / "snapshots")
        state = self._snapshots.read()
        afresh = f"To start afresh, pass another folder, or delete this one: shutil.rmtree({str(folder)!r})."
        if state is None:
            strays = [name for name in ("best.keras", "history.csv") if (folder / name).exists()]
            if strays:
                raise ValueError(f"`run_dir` holds {' and '.join(strays)}, but no snapshot to go on from. {afresh}")
            return
        if not resume:
            raise ValueError(f"`run_dir` holds a run of {state['epoch']} epochs, and resume=False. {afresh}")
        if clip_as_begun(model, state["identity"]["optimizer"].get("1", {})):
            identity["optimizer"] = optimizers_of(model)
        if not is_first_process():  # which has other data, and wrote this
            identity |= {name: state["identity"][name] for name in ("train", "validation", "sample")}
        differing = differences(state["identity"], identity, has_trained=has_trained)
        if differing:
            if (folder / "best.keras").exists() and not any(one.startswith("model.") for one in differing):
                weights = f"model.set_weights(rt.load_best({str(folder)!r}).get_weights())"
                afresh = f"To go on from its weights, call {weights} and pass another `run_dir`. {afresh}"
            raise ValueError(f"`run_dir` holds another run: {'; '.join(differing)}. {afresh}")
        self._restored = state
        self.rows, self.start = state["history"], state.get("start", {})
        for name in ("epoch", "step", "stopped", "seed"):
            setattr(self, name, state[name])

    def record(self, epoch, logs):
        """Add a row to the history, with what the callbacks have put into the logs."""
        names = sorted(logs, key=lambda name: name == "learning_rate")  # behind the metrics
        row = {name: float(logs[name]) for name in names if np.ndim(logs[name]) == 0}
        self.rows.append(row | {"seconds": time.perf_counter() - self._began})

    def is_finished(self) -> bool:
        """Return whether there is nothing left to train; a run that stopped early goes on if more epochs are asked."""
        if self._restored is None or self.epoch >= self.epochs:
            return self._restored is not None
        at_nan = any(one["name"] == "StopOnNaN" and one["state"]["stopped"] for one in self._restored["callbacks"])
        return self.stopped and (at_nan or self.epochs <= self._restored.get("epochs", self.epochs))

    @contextlib.contextmanager
    def signals(self):
        """Turn Ctrl-C and SIGTERM into a stop behind the step, where all of the state belongs together."""

        def tell(number, frame):
            if number == signal.SIGINT:
                Run.pressed, last = time.monotonic(), Run.pressed
                self.passed_on = Run.pressed - last < TWICE_SECONDS
                if self.passed_on or self._signal is not None:  # the second Ctrl-C waits for nothing
                    raise KeyboardInterrupt
            self._signal = number

        numbers = (signal.SIGINT,) if self._snapshots is None else (signal.SIGINT, signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread():  # only there does Python take signals
            numbers = ()
        before = {number: signal.getsignal(number) for number in numbers}
        self._handlers = {number: one for number, one in before.items() if one not in (signal.SIG_IGN, None)}
        try:
            for number in self._handlers:
                signal.signal(number, tell)
            yield
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def leave(self, reason: str):
        """Let all callbacks end as they do behind a whole training: files closed, best weights restored."""
        for callback in self.callbacks:
            try:
                if isinstance(callback, ResumableCallback):
                    callback.on_interrupt(reason)
                callback.on_train_end()
            except Exception as error:  # whatever stopped the training is the error to show
                warnings.warn(f"{type(callback).__name__}.on_train_end failed: {error}", stacklevel=3)

    def leave_at_best(self, model):
        """Put a finished run's state into the model and end it again."""
        for callback in self.resumable():
            callback.set_model(model)
            callback.set_params({"epochs": self.epochs, "steps": None, "verbose": 0})
            callback.on_train_begin()
        self.build(model)
        self._restore()
        self._write_history()  # a kill behind the last snapshot may have come before it
        for callback in self.resumable():
            callback.on_train_end()

    def resumable(self) -> list[ResumableCallback]:
        """Return the callbacks that go on where an interruption left them."""
        return [callback for callback in self.callbacks if isinstance(callback, ResumableCallback)]

    def why_it_is_finished(self) -> str:
        """Say that nothing is trained, and why."""
        how = f"stopped early, behind epoch {self.epoch}" if self.stopped else f"has all its {self.epoch} epochs"
        return f"The run in {self._folder} {how}: it is returned as it is."

    def where_it_stands(self) -> str:
        """Say how far the run has come, and what to do."""
        done = f"The training stopped behind epoch {self.epoch} and {self.step} steps, at its best weights so far."
        return done if self._folder is None else f"{done} The same call goes on from the last snapshot."

    # What Keras calls.

    def on_train_begin(self, logs=None):
        if self._restored is not None:
            self._restore()
        elif self._snapshots is not None:
            self._save(must=True)
        if self.validation and not (self.start or self.rows or self.step):
            self._look_at_start()
        self._began = self._saved = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        resumed = self._restored is not None and self.step > 0
        if not resumed:
            self.step, self._elapsed = 0, 0.0
        if self.feed is not None:
            self.feed.set_epoch(epoch, skip=self.step)
        if resumed:
            metrics, stored = self._model.metrics_variables, self._restored["metrics"]
            if [tuple(one.shape) for one in metrics] == [one.shape for one in stored]:
                self._assign(metrics, stored)
            else:
                where = f"step {self.step + 1} of epoch {epoch + 1}"
                warnings.warn(f"The model has other metrics than the run; they begin at {where}.", stacklevel=2)
            self._skip(self.step)
        self.skipped, self._restored = self.step, None
        self._before = None
        self._began = time.perf_counter() - self._elapsed

    def on_train_batch_end(self, batch, logs=None):
        before, self.step, self._logs = self.step, batch + 1, logs  # several steps apart with `steps_per_execution`
        if self._signal is not None or self._is_due(before):
            self._save_within_epoch()
            self._heed_signal()

    def on_test_begin(self, logs=None):
        # What a validation changes: it resets the metrics, and recurrent layers draw from their seeds even there. A run
        # that is stopped within it goes on from its beginning.
        model = self.model
        if self._random is not None:  # no step of this epoch was left to train
            set_random_state(self._random)
            self._random = None
        self._before = {
            "metrics": _values(model.metrics_variables),
            "random": random_state(),
            "fixed": {
                id(one): keras.ops.convert_to_numpy(one)
                for one in [*model.non_trainable_variables, *unlisted(model)[0].values()]
            },
        }

    def on_test_batch_end(self, batch, logs=None):
        if self._signal is not None:
            self._save_within_epoch()
            self._heed_signal()

    def on_epoch_end(self, epoch, logs=None):
        self.epoch, self.step, self.stopped = epoch + 1, 0, bool(self.model.stop_training)
        self._before, self._elapsed = None, 0.0
        must = self.stopped or self.epoch == self.epochs or self.steps is not None or self._signal is not None
        if self._snapshots is not None and (must or self._affordable()):
            self._save()
        self._heed_signal()

    def _look_at_start(self):
        """Let the model as it came compete with what training makes of it, and leave no other trace."""
        began = time.perf_counter()
        logs = self.model.evaluate(**self.validation, callbacks=[self], verbose=0, return_dict=True)
        before, self._before = self._before, None
        for one in [*self.model.non_trainable_variables, *unlisted(self.model)[0].values()]:
            one.assign(before["fixed"][id(one)])
        set_random_state(before["random"])
        logs = {f"val_{name}": float(value) for name, value in logs.items() if np.ndim(value) == 0}
        self.start = logs | {"seconds": time.perf_counter() - began}
        for callback in self.resumable():
            callback.on_start(logs)

    # The state, out and in.

    def _save_within_epoch(self):
        if self.feed is not None and self._snapshots is not None:
            self._save()

    def _save(self, *, must=False):
        began = time.perf_counter()
        model = self.model  # on JAX this hands the state of the training step back to the model
        before = self._before or {"metrics": _values(model.metrics_variables), "random": random_state(), "fixed": {}}
        variables, (beside, optimizers) = self._variables(), unlisted(model)
        values = [before["fixed"].get(id(one), value) for one, value in zip(variables, _values(variables), strict=True)]
        state = {
            "identity": self._identity,
            "epoch": self.epoch,
            "step": self.step,
            "stopped": self.stopped,
            "epochs": self.epochs,
            "seed": self.seed,
            "history": self.rows,
            "start": self.start,
            "logs": {name: float(value) for name, value in (self._logs or {}).items() if np.ndim(value) == 0},
            "seconds": time.perf_counter() - self._began if self.step else 0.0,
            "variables": values,
            "unlisted": {
                path: before["fixed"].get(id(one), keras.ops.convert_to_numpy(one)) for path, one in beside.items()
            },
            "optimizers": {path: _places(one, model) for path, one in optimizers.items()},
            "metrics": before["metrics"] if self.step else [],
            "random": before["random"],
            "callbacks": [_described(callback) | {"state": callback.get_state()} for callback in self.resumable()],
        }
        try:
            self._snapshots.write(state)
            self._write_history()
        except OSError as error:
            if must:
                raise
            if not self._warned:
                warnings.warn(f"A snapshot could not be written: {error}. Training goes on.", stacklevel=2)
            self._warned = True
        self._saved = time.perf_counter()
        self._cost = self._saved - began

    def _write_history(self):
        if self.rows:
            with replacing(self._folder / "history.csv") as partial:
                self.history.to_csv(partial)

    def _restore(self):
        state = self._restored
        self._assign(self._variables(), state["variables"])
        self._restore_unlisted(state.get("unlisted", {}), state.get("optimizers", {}))
        stored = list(state["callbacks"])
        for callback in self.resumable():
            wanted = _described(callback).items()  # earlier versions stored the name alone
            matches = (n for n, one in enumerate(stored) if all(one.get(key, value) == value for key, value in wanted))
            match = next(matches, None)
            if match is not None:
                callback.set_state(stored.pop(match)["state"])
        stored = [one for one in stored if one["name"] not in ("Progress", "LiveCurves")]  # where nobody watches now
        if stored:
            names = ", ".join(one["name"] + (f" of {one['monitor']}" if "monitor" in one else "") for one in stored)
            warnings.warn(f"The run had callbacks that this call lacks: {names}. It goes on without.", stacklevel=2)
        self._logs, self._elapsed = state["logs"], state["seconds"]
        set_random_state(state["random"])

    def _restore_unlisted(self, values, places):
        model = self._model
        for path, optimizer in unlisted(model)[1].items():
            if not optimizer.built and places.get(path):
                optimizer.build([model.variables[place] for place in places[path]])
        present = unlisted(model)[0]
        for path in present.keys() & values.keys():
            present[path].assign(values[path])
        forgotten = sorted(present.keys() ^ values.keys())
        if forgotten:
            warnings.warn(
                f"The run does not know the state of {', '.join(forgotten)}, which begins anew.", stacklevel=2
            )

    def build(self, model):
        """Make the variables of optimizer and metrics.

        On TensorFlow Keras makes them in the first step. Elsewhere its `fit` begins the data once for that, which on
        PyTorch draws a number that no later `fit` of the model draws.
        """
        self.set_model(model)
        if self.feed is not None:
            model._symbolic_build(data_batch=self.feed[0])
        elif not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)

    def _variables(self):
        """Return all that a step changes but the metrics: weights, seeds, what the optimizer keeps."""
        variables = [*self._model.variables, *self._model.optimizer.variables]
        return list({id(variable): variable for variable in variables}.values())

    @staticmethod
    def _assign(variables, values):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _skip(self, steps):
        """Take the next steps without training, as they are done."""
        model, train_function, logs = self._model, self._model.train_function, dict(self._logs)
        self._random = self._restored["random"]
        left = math.ceil(steps / model.steps_per_execution)

        def skipping(*arguments):  # the data, an iterator or a list of batches; on JAX the state comes first
            nonlocal left
            if not left:
                model.train_function, self._random = train_function, None
                return train_function(*arguments)
            left -= 1
            if not isinstance(arguments[-1], list):
                for _ in range(model.steps_per_execution):
                    next(arguments[-1], None)
            if not left:  # an epoch that begins or ends draws from PyTorch's generator, and data may from others
                set_random_state(self._random)
            return (logs, arguments[0]) if len(arguments) == 2 else logs

        model.train_function = skipping

    # When to look up from the work.

    def _is_due(self, before):
        if self._snapshots is None or self.feed is None:
            return False
        if self.steps is not None:
            return self.step // self.steps > before // self.steps
        return time.perf_counter() - self._saved >= SNAPSHOT_SECONDS and self._affordable()

    def _affordable(self):
        return time.perf_counter() - self._saved >= 50 * self._cost

    def _heed_signal(self):
        number, self._signal = self._signal, None
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if number is not None:  # the snapshot is written: let it do what it would have done
            ours = signal.signal(number, self._handlers[number])
            signal.raise_signal(number)
            signal.signal(number, ours)


def _places(optimizer, model) -> list[int]:
    """Return the places, among a model's variables, of those that an optimizer was built for; none if it has others."""
    places = {id(one): place for place, one in enumerate(model.variables)}
    found = [places[id(one)] for one in optimizer._trainable_variables if id(one) in places]
    return found if len(found) == len(optimizer._trainable_variables) else []


def _described(callback) -> dict[str, str]:
    """Return what tells a callback from others: its class, and what it watches and how."""
    watched = {name: getattr(callback, name, None) for name in ("monitor", "mode")}
    return {"name": type(callback).__name__} | {name: one for name, one in watched.items() if isinstance(one, str)}


def _values(variables) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


class RunCallbacks(keras.callbacks.CallbackList):
    """Keras' list of callbacks, which does not see the steps that are skipped, and complains in time."""

    def __init__(self, callbacks, **params):
        super().__init__(callbacks, add_history=True, **params)
        self._run = callbacks[-1]

    def on_train_begin(self, logs=None):
        refuse_unknown_monitors(self._run)
        super().on_train_begin(logs)

    def on_train_batch_begin(self, batch, logs=None):
        if batch >= self._run.skipped:
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        if batch >= self._run.skipped:
            super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        if not logs:
            raise ValueError("The training data gave no batch. Pass data with at least one row.")
        with contextlib.suppress(AttributeError):  # of several optimizers, none has the rate
            rate = self._run.model.optimizer.learning_rate
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(rate))  # before a callback lowers it
        super().on_epoch_end(epoch, logs)
