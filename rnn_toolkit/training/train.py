"""Fit any Keras model, keep the best of it, and go on after whatever happened, as if it had not happened."""

import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import pandas as pd

from rnn_toolkit._checks import check_ready, one_of, whole_number
from rnn_toolkit.training.callbacks import BestModel, usual_callbacks
from rnn_toolkit.training.feeding import checked, positioned
from rnn_toolkit.training.identity import identity_of, num_batches
from rnn_toolkit.training.progress import LiveCurves, Progress
from rnn_toolkit.training.resumable import ResumableCallback
from rnn_toolkit.training.runs import Run, RunCallbacks
from rnn_toolkit.training.snapshots import held
from rnn_toolkit.watching import is_interactive

# Keras' own that begin anew in each `fit`, and what takes their place.
FORGETFUL = {
    keras.callbacks.EarlyStopping: "rt.callbacks.EarlyStopping",
    keras.callbacks.ReduceLROnPlateau: "rt.callbacks.ReduceLROnPlateau",
    keras.callbacks.ModelCheckpoint: "rt.callbacks.BestModel",
    keras.callbacks.SwapEMAWeights: "rt.callbacks.AveragedWeights",
    keras.callbacks.BackupAndRestore: "the snapshots of `train`",
}


def train(
    model: keras.Model,
    train,
    validation=None,
    *,
    epochs: int = 100,
    batch_size: int = 32,
    run_dir: str | os.PathLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    resume: bool = True,
    snapshot_steps: int | None = None,
    progress: str | None = "auto",
) -> pd.DataFrame:
    """Fit a model, stop when it no longer gets better, and leave it at its best weights.

    The model as it came competes: validation data are looked at before the first epoch, too ("epoch 0"), and a training
    that does not beat it changes nothing.

    With a `run_dir` nothing is lost: whatever stopped a training, the same call goes on, and ends where it would have
    ended (bit for bit on a CPU). A finished run returns its history at once; with more `epochs` it goes on from there,
    also if it stopped early.
    Ctrl-C, the notebook's stop button and an error all leave the model at its best weights. Pressed once, training ends
    and the code behind it goes on; pressed twice within five seconds, it is a `KeyboardInterrupt` as usual. SIGTERM
    writes a snapshot before the process ends.

    Works on any compiled Keras model and any data that Keras takes. A `tf.data.Dataset` cannot be put back to a step,
    so its runs go on from the beginning of an epoch, and a shuffled one in another order; a warning says so. Data are
    shuffled in each epoch, unless they order themselves (`set_epoch`), or a layer of the model is `stateful`.

    Several processes can train one model together, on JAX (`keras.distribution.initialize`, then `DataParallel`): all
    make the same call, each with its own part of the rows, in as many batches, and one `run_dir` that all can read. The
    first writes it. If one dies, stop the others and start all again.

    Args:
        model: A compiled model; changed in place, as `fit` does.
        train: Training data: `Windows`, another `PyDataset`, a `tf.data.Dataset`, or a tuple of arrays `(x, y)` or
            `(x, y, sample_weight)`.
        validation: Data to stop and choose by, likewise. Without it the training loss is watched.
        epochs: Largest number of passes through the training data, those of earlier calls included.
        batch_size: Rows in a batch of arrays.
        run_dir: Folder for the run, made if missing: `best.keras` (the best model so far), `history.csv`, and
            `snapshots/` to go on from. Each file is whole at any moment. `None` writes nothing.
        callbacks: Instead of `default_callbacks()` (and `AveragedWeights` if the optimizer keeps an average): Keras
            callbacks, or an empty list for none. Those that derive from `rt.callbacks.ResumableCallback` go on where
            an interruption left them, the others begin anew.
        resume: Whether to go on if `run_dir` holds a run. With `False` that is an error, and nothing is overwritten.
        snapshot_steps: Steps between two snapshots within an epoch. `None` writes one a minute, and one at the end of
            each epoch; both wait while writing would take more than a fiftieth of the time.
        progress: "auto" shows one moving line in a terminal or notebook; "live" draws the curves as they grow;
            `None` is silent.

    Returns:
        One row per epoch, earlier calls included: loss and metrics, those of the validation data (`val_…`), learning
        rate and seconds; the index is the epoch, from 1. With validation data, row 0 is the model as it came.

    Raises:
        TypeError, ValueError: If the model is not compiled or not built; there is no training data; a callback watches
            validation data and there are none, or what is not among the metrics; two would write the same
            `best.keras`; or `run_dir` cannot be written, is in
            use, or holds another run (the differences are listed).

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2, 1)), keras.layers.SimpleRNN(1)])
        >>> model.compile("sgd", "mse")
        >>> history = train(model, (np.zeros((4, 2, 1)), np.zeros((4, 1))), epochs=2, progress=None)
        >>> history.index.tolist(), "loss" in history
        ([1, 2], True)
    """
    whole_number(epochs, "epochs")
    whole_number(batch_size, "batch_size")
    one_of(progress, "progress", ("auto", "live", None))
    if snapshot_steps is not None:
        whole_number(snapshot_steps, "snapshot_steps")
    check_ready(model, purpose="A training")
    if hasattr(train, "shape") and model.loss is not None:
        raise TypeError(
            f"`train` is one {type(train).__name__}, and the loss needs targets. Pass both as one: "
            "train(model, (x, y), (x_validation, y_validation))."
        )
    train, validation = checked(train, "train"), None if validation is None else checked(validation, "validation")
    for layer in model._flatten_layers():
        if hasattr(layer, "check_batches"):  # of layers that can train on some batches only
            layer.check_batches(train)
            layer.check_batches(validation)
    monitor = "loss" if validation is None else "val_loss"
    if callbacks is None:
        callbacks = usual_callbacks(model, monitor=monitor)
    callbacks = list(callbacks)
    run = Run(epochs, steps=snapshot_steps)
    with contextlib.ExitStack() as stack:
        if run_dir is not None:
            folder = run_dir = stack.enter_context(held(Path(run_dir).expanduser()))
            identity = identity_of(model, train, validation, batch_size=batch_size)
            has_trained = int(keras.ops.convert_to_numpy(model.optimizer.iterations)) > 0
            run.open(folder, identity, resume=resume, has_trained=has_trained, model=model)
            _report_forgetful(callbacks)
        # Rows that go on from those of the batch before must stay in order.
        stateful = [layer.name for layer in model._flatten_layers() if getattr(layer, "stateful", False)]
        shuffle = not stateful
        if stateful and keras.backend.backend() == "jax":
            warnings.warn(
                f"On JAX, Keras' `fit` forgets the state of a stateful layer after each batch, so {stateful[0]!r} "
                'begins each batch anew. Train it on TensorFlow: `os.environ["KERAS_BACKEND"] = "tensorflow"` before '
                "Keras is imported.",
                stacklevel=2,
            )
        run.feed = positioned(train, batch_size=batch_size, seed=run.seed, shuffle=shuffle)
        if run.feed is None and run_dir is not None:
            warnings.warn(
                f"Training data of type {type(train).__name__} cannot be put back to a step. Should this run be "
                "interrupted, it goes on from the beginning of an epoch, and if the data are shuffled, in another "
                "order. Pass arrays or a PyDataset to be exact.",
                stacklevel=2,
            )
        record = keras.callbacks.LambdaCallback(on_epoch_end=run.record)
        if validation is not None:
            run.validation = _arguments(validation, batch_size)
        run.given = callbacks
        run.callbacks = [*callbacks, record, *_shown(progress, epochs, monitor, run)]
        given = {"run_dir": run_dir, "data": run.feed, "probe": _first_inputs(train)}
        for callback in run.resumable():
            stack.callback(callback.on_run)
            callback.on_run(**given)
        _refuse_one_file_for_two(callbacks)
        if run.is_finished():
            run.leave_at_best(model)
            if progress is not None:
                sys.stdout.write(run.why_it_is_finished() + "\n")
            return run.history
        fed = train if run.feed is None else run.feed
        steps = num_batches(fed, batch_size)
        stack.enter_context(run.signals())
        try:
            run.build(model)
            model.fit(
                **_arguments(fed, batch_size),
                validation_data=validation,
                validation_batch_size=batch_size if isinstance(validation, tuple) else None,
                initial_epoch=run.epoch,
                epochs=epochs,
                shuffle=shuffle and run.feed is None and isinstance(train, tuple | keras.utils.PyDataset),
                callbacks=RunCallbacks([*run.callbacks, run], model=model, epochs=epochs, steps=steps),
                verbose=0,
            )
        except KeyboardInterrupt:
            run.leave("stopped" if run_dir is None else "stopped; the same call goes on")
            if run.passed_on:
                raise
        except BaseException as error:
            run.leave(f"stopped by {type(error).__name__}")
            if run.epoch or run.step:
                error.add_note(run.where_it_stands())
            raise
    return run.history


def load_best(run_dir: str | os.PathLike, *, safe_mode: bool = True, custom_objects: dict | None = None) -> keras.Model:
    """Load the best model of a run, which may still be going on.

    Args:
        run_dir: Folder that was given to `train`.
        safe_mode: Whether to refuse code inside the file, that of a `Lambda` layer say, as `keras.saving.load_model`
            does. `False` only for files of one's own.
        custom_objects: Classes and functions of one's own by the names that the file has for them, if they are not
            registered with Keras.

    Returns:
        The compiled model.

    Raises:
        FileNotFoundError: If there is none.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="head")])
        >>> model.compile("sgd", "mse")
        >>> folder = tempfile.mkdtemp()
        >>> _ = train(model, (np.zeros((4, 1)), np.zeros((4, 1))), epochs=1, run_dir=folder, progress=None)
        >>> load_best(folder).layers[0].name
        'head'
    """
    path = _existing(run_dir, "best.keras")
    return keras.saving.load_model(path, safe_mode=safe_mode, custom_objects=custom_objects)


def load_history(run_dir: str | os.PathLike) -> pd.DataFrame:
    """Load the history of a run, which may still be going on.

    Args:
        run_dir: Folder that was given to `train`.

    Returns:
        The table that `train` returns, up to the last epoch that was finished.

    Raises:
        FileNotFoundError: If there is none.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "history.csv").write_text("epoch,loss\\n1,0.5\\n2,0.25\\n")
        >>> load_history(folder).loss.tolist()
        [0.5, 0.25]
    """
    # As text first: before pandas 3 its own reading of numbers was not exact to the last bit.
    history = pd.read_csv(_existing(run_dir, "history.csv"), dtype=str).astype("float64")
    return history.set_index(pd.Index(history.pop("epoch").astype("int64")))


def _report_forgetful(callbacks):
    for callback in callbacks:
        better, name = FORGETFUL.get(type(callback)), type(callback).__name__
        if better is not None and getattr(callback, "save_best_only", True):
            warnings.warn(f"keras.callbacks.{name} forgets its state on a resume. Take {better}.", stacklevel=3)
        if hasattr(callback, "get_state") and not isinstance(callback, ResumableCallback):
            warnings.warn(
                f"{name} has a `get_state`, but forgets its state on a resume, as it is no ResumableCallback. "
                f"Derive it from that: class {name}(rt.callbacks.ResumableCallback).",
                stacklevel=3,
            )


def _refuse_one_file_for_two(callbacks):
    best = [one for one in callbacks if isinstance(one, BestModel) and one.run_dir is not None]
    if len({one.run_dir.absolute() for one in best}) < len(best):
        raise ValueError(
            "Two BestModel callbacks would write the same best.keras: they watch "
            f"{', '.join(repr(one.monitor) for one in best)}. Give one a folder of its own: BestModel(..., "
            f"run_dir={str(best[-1].run_dir / best[-1].monitor)!r})."
        )


def _arguments(data, batch_size) -> dict:
    """Return data as arguments of `fit` and `evaluate`."""
    if not isinstance(data, tuple):
        return {"x": data}
    return dict(zip(("x", "y", "sample_weight"), data, strict=False)) | {"batch_size": batch_size}


def _first_inputs(data):
    """Return a few rows of x, to look at the model with; `None` for data that can be read only once."""
    if isinstance(data, tuple):
        return keras.tree.map_structure(lambda array: array[:64], data[0])
    return data[0][0] if isinstance(data, keras.utils.PyDataset) else None


def _shown(progress, epochs, monitor, run):
    if progress is None or not is_interactive():
        return []
    if progress == "live":
        return [LiveCurves(lambda: run.history, epochs, monitor=monitor)]
    return [Progress(epochs, monitor=monitor)]


def _existing(run_dir, name) -> Path:
    path = Path(run_dir).expanduser() / name
    if not path.exists():
        raise FileNotFoundError(f"There is no {name} in {run_dir}. Pass the `run_dir` of a training, `rt.train(…)`.")
    return path
