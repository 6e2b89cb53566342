"""Train variants of a network that differ in a few arguments, several seeds each, and compare what they reach."""

import contextlib
import inspect
import itertools
import math
import os
import sys
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import nearest, one_of, whole_number
from rnn_toolkit.training import train as training
from rnn_toolkit.training.callbacks import usual_callbacks
from rnn_toolkit.training.feeding import checked
from rnn_toolkit.training.resumable import NoteInterrupt
from rnn_toolkit.watching import is_interactive


def compare(
    build: Callable,
    variants: Mapping[str, Mapping],
    train=None,
    validation=None,
    *,
    seeds: int = 3,
    epochs: int = 100,
    batch_size: int = 32,
    monitor: str = "val_loss",
    mode: str = "min",
    baselines: Mapping[str, float] | None = None,
    run_dir: str | os.PathLike | None = None,
    progress: str | None = "auto",
) -> pd.DataFrame:
    """Train variants of a network with several seeds each, and say what each reaches and how far chance moves it.

    A difference that is not clearly larger than the spread may be chance. Whatever is chosen by such a table looks
    better on the validation rows than it is: score it on test rows.

    Args:
        build: Returns a compiled model, made anew in each call; or `(model, train, validation)`, where the data depend
            on the arguments too, such as the batch size.
        variants: Name -> arguments of `build`.
        train: Training data, as in `train`.
        validation: Validation data, likewise; the same for all variants, or the results cannot be compared.
        seeds: Number of trainings of each variant, with the seeds 0, 1, … for weights, dropout and order.
        epochs: Largest number of epochs of each training, as in `train`.
        batch_size: Rows in a batch of arrays.
        monitor: What is compared, and what each training stops by: a column of the history. Take a metric where
            variants differ in their loss or in penalties on weights, which are part of the loss.
        mode: "min" if lower is better, or "max".
        baselines: Name -> what something simpler reaches on the same rows, such as copying or a linear model.
        run_dir: Folder for the runs, one of `train` for each variant and seed: the same call goes on where an earlier
            one was stopped, and more variants or seeds cost only their own time. `None` writes nothing.
        progress: "auto" shows one moving line in a terminal or notebook; `None` is silent.

    Returns:
        A row per variant and baseline: `mean` of the best value of each training, `spread` (their standard deviation),
        `seconds` of a training, and the value of each seed. After Ctrl-C, what there is by then. As a picture:
        `table["mean"].plot.barh(xerr=table["spread"])`.

    Raises:
        TypeError, ValueError: If there is no variant, a baseline has the name of one, an argument is unknown to
            `build`, the watched value is not among the metrics, penalties are compared as losses, or what `train`
            raises.

    Example:
        >>> def build(rate):
        ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        ...     model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
        ...     return model
        >>> data, variants = (np.ones((2, 1)), np.zeros((2, 1))), {"none": {"rate": 0.0}, "some": {"rate": 0.25}}
        >>> compare(build, variants, data, data, seeds=1, epochs=1)["mean"].tolist()  # (1 + 0)², (0.5 - 0.5)²
        [1.0, 0.0]
    """
    whole_number(seeds, "seeds")
    if not isinstance(variants, Mapping) or not all(isinstance(one, Mapping) for one in variants.values()):
        raise TypeError(
            f'`variants` must be a dict of dicts, {{"lstm": {{"cell": "lstm"}}}} say. Received: {variants}.'
        )
    if not variants:
        raise ValueError('`variants` is empty. Pass at least one, {"as it is": {}} say.')
    simpler = {name: {"mean": float(value)} for name, value in (baselines or {}).items()}
    twice = [name for name in simpler if name in variants]
    if twice:
        raise ValueError(f"`baselines` holds {twice[0]!r}, which is a variant, too. Give it another name.")
    for arguments in variants.values():
        check_arguments(build, arguments)
    options = checked_options(train, validation, epochs, batch_size, monitor, mode)
    tasks = list(itertools.product(variants, range(seeds)))
    values, seconds = {}, {}
    with moving_line(len(tasks), progress) as show, contextlib.suppress(KeyboardInterrupt):
        for name, seed in tasks:
            show(f"{name}, seed {seed}", len(values))
            # Quoted, so that any name is a folder of its own.
            folder = run_dir and Path(run_dir) / f"{urllib.parse.quote(str(name), safe=' ,=()+')}-seed-{seed}"
            try:
                history = fit_anew(build, variants[name], **options, seed=seed, run_dir=folder)
            except Exception as error:
                error.add_note(f"This was variant {name!r} with seed {seed}.")
                raise
            values[name, seed], seconds[name, seed] = best_value(history, monitor, mode), history["seconds"].sum()
        show(f"{name}, seed {seed}: {values[name, seed]:.4g}", len(values))
    rows = {}
    for name in variants:
        own = {f"seed_{seed}": values.get((name, seed), math.nan) for seed in range(seeds)}
        found = pd.Series(own, dtype=float)
        times = [one for (of, _), one in seconds.items() if of == name]
        rows[name] = {"mean": found.mean(), "spread": found.std(), "seconds": np.mean(times or [math.nan])} | own
    return pd.DataFrame.from_dict(rows | simpler, orient="index").rename_axis("variant")


def check_arguments(build, names):
    """Raise unless `build` takes the arguments of these names, and needs no others."""
    signature = inspect.signature(build)
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        close = "".join(nearest(name, signature.parameters) for name in names if name not in signature.parameters)
        raise ValueError(f"`build{signature}` cannot be called with {', '.join(names)}: {error}.{close}") from None


def checked_options(train, validation, epochs, batch_size, monitor, mode) -> dict:
    whole_number(epochs, "epochs")
    one_of(mode, "mode", ("min", "max"))
    if train is not None and validation is None and monitor.startswith("val_"):
        raise ValueError(f"There are no validation data to judge by {monitor!r}. Pass `validation`.")
    data = {"train": train, "validation": validation}
    data = {name: one if one is None else checked(one, name) for name, one in data.items()}
    return data | {"epochs": epochs, "batch_size": batch_size, "monitor": monitor, "mode": mode}


def fit_anew(build, arguments, *, train, validation, seed, monitor, mode, callbacks=(), **options) -> pd.DataFrame:
    """Build a network with nothing left of those before, train it, and return its history."""
    policy, distribution = keras.config.dtype_policy(), keras.distribution.distribution()
    keras.utils.clear_session()  # which forgets these two as well
    keras.config.set_dtype_policy(policy)
    if distribution is not None:
        keras.distribution.set_distribution(distribution)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    model = build(**arguments)
    if isinstance(model, tuple):
        model, train, validation = model
    if monitor in ("loss", "val_loss") and getattr(model, "losses", ()):
        raise ValueError(
            "The network has penalties on weights or activations, which are part of its loss, so losses with other "
            "penalties cannot be compared. Compile it with a metric and watch that: monitor='val_mae', say."
        )
    stop = NoteInterrupt()
    callbacks = [*usual_callbacks(model, monitor=monitor, mode=mode), *callbacks, stop]
    try:
        history = training.train(model, train, validation, callbacks=callbacks, progress=None, **options)
    finally:
        _forget_graphs()
    if stop.asked:  # which `train` takes for its regular end
        raise KeyboardInterrupt
    return history


def _forget_graphs():
    """Take from the backend what it would keep of each training for as long as the process lives.

    JAX keeps what it has compiled, some 40 MiB a training. On TensorFlow, Keras' optimizers add up the gradients of all
    devices, also of one, by a function with a gradient of its own (backend/tensorflow/optimizer.py). Nobody asks for
    that gradient, but TensorFlow holds it for good, and with it the graph of the training, some 8 MiB.
    """
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()
    elif keras.backend.backend() == "tensorflow":
        from tensorflow.python.framework import ops

        kept = getattr(ops.gradient_registry, "_registry", {})
        for name in [name for name in kept if name.startswith("CustomGradient-")]:
            function = kept[name]["type"]
            for inner in ("tape_grad_fn", "grad_fn"):  # one within the other (python/ops/custom_gradient.py)
                function = inspect.getclosurevars(function).nonlocals.get(inner, function)
            if "all_reduce" in getattr(function, "__qualname__", ""):
                del kept[name]


def best_value(history, monitor, mode) -> float:
    found = history.get(monitor, pd.Series(dtype=float)).replace([math.inf, -math.inf], math.nan).dropna()
    if found.empty:
        raise ValueError(f"The training gave no finite {monitor!r}. Lower the learning rate, or clip gradients.")
    return float(found.min() if mode == "min" else found.max())


@contextlib.contextmanager
def moving_line(total, progress):
    """Give a function that shows how far a search has come, in one moving line where somebody watches."""
    one_of(progress, "progress", ("auto", None))
    if progress is None or not is_interactive():
        yield lambda text, done: None
        return
    from tqdm import tqdm  # here, so that importing the package stays quick

    with tqdm(total=total, file=sys.stdout, bar_format="|{bar:10}| {desc}, {elapsed}", maxinterval=0) as bar:

        def show(text, done):
            bar.n = done
            bar.set_description_str(text)

        yield show
