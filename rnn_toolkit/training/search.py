"""Search a space of arguments for those with which a network learns best, by Optuna."""

import contextlib
import math
import numbers
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import one_of, optional_package, whole_number
from rnn_toolkit.training.comparison import best_value, check_arguments, checked_options, fit_anew, moving_line
from rnn_toolkit.training.identity import FORMAT, differences, identity_of_data
from rnn_toolkit.training.snapshots import held

HEARTBEAT_SECONDS = 30  # between two signs of life of a worker; one that misses three is taken for dead


def tune(
    build: Callable,
    space: Mapping[str, list | tuple],
    train=None,
    validation=None,
    *,
    trials: int = 50,
    epochs: int = 20,
    batch_size: int = 32,
    monitor: str = "val_loss",
    mode: str = "min",
    pruner: str | None = "median",
    run_dir: str | os.PathLike | None = None,
    storage: str | None = None,
    seed: int | None = None,
    progress: str | None = "auto",
) -> pd.DataFrame:
    """Search a space of arguments for those with which a network learns best.

    Optuna proposes each trial from the results of those before, and a trial that falls behind is stopped early. The
    trials are counted over all calls: with a `run_dir` or a `storage` the same call goes on where an earlier one was
    stopped, and one with more `trials` goes on from there: run a script with `trials` 1, 2, 3, and each trial has a
    process of its own. With a `storage`, several processes or machines share a search by the same call. A trial that
    fails is recorded, and the search goes on; one whose process died does not count. The arguments of the best are
    `best = table[list(space)].iloc[0].to_dict()`, its network `build(**best)`.

    Args:
        build: Returns a compiled model, made anew in each call; or `(model, train, validation)`, where the data depend
            on the arguments too, such as look-back or batch size; then keep the validation targets the same.
        space: Argument of `build` -> a list of choices, or the ends of a range, `(low, high)` or `(low, high, "log")`;
            a range between two ints gives ints.
        train: Training data, as in `train`.
        validation: Data to judge the trials by, likewise. The best looks better on them than it is: score it on others.
        trials: Number of trials, those of earlier calls included.
        epochs: Largest number of epochs of a trial, as in `train`.
        batch_size: Rows in a batch of arrays.
        monitor: What is searched for: a column of the history. Take a metric where penalties on weights differ.
        mode: "min" if lower is better, or "max".
        pruner: "median" stops a trial whose best is worse than the median of earlier trials at the same epoch,
            "hyperband" gives many trials few epochs and few many; `None` lets each come to its end.
        run_dir: Folder for the search, `study.db`, in use by one process at a time.
        storage: Instead, the address of a database, "postgresql://user:password@host/database" say. The search is
            stored there under the last name in `run_dir`, or as "search".
        seed: Seed of all trials' weights, and of the proposals unless a `storage` is shared. `None` draws.
        progress: "auto" shows one moving line in a terminal or notebook; `None` is silent.

    Returns:
        A row per trial, the best of those that came to their end first: its best value, `state` ("complete", "pruned",
        "failed", or "stopped" if Ctrl-C or the end of its process stopped it), `epochs`, `seconds`, the arguments, and
        `error`.
        After Ctrl-C, what there is by then. Pictures: `optuna.visualization.matplotlib` with
        `optuna.load_study(study_name="search", storage="sqlite:///<run_dir>/study.db")`.

    Raises:
        ImportError: If Optuna or the driver of the database is not installed.
        ConnectionError: If the storage cannot be reached.
        TypeError, ValueError: If the space is empty, malformed or names what `build` does not take; `run_dir` or
            `storage` holds another search (the differences are listed); or all trials failed.

    Source: Akiba et al., 2019, "Optuna: a next-generation hyperparameter optimization framework", KDD.

    Example:
        >>> def build(rate, init):
        ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer=init)])
        ...     model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
        ...     return model
        >>> data, space = (np.ones((2, 1)), np.zeros((2, 1))), {"rate": (1e-3, 0.25, "log"), "init": ["ones", "zeros"]}
        >>> table = tune(build, space, data, data, trials=2, epochs=1, seed=0)
        >>> table.columns.tolist()
        ['val_loss', 'state', 'epochs', 'seconds', 'rate', 'init', 'error']
    """
    whole_number(trials, "trials")
    one_of(pruner, "pruner", ("median", "hyperband", None))
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f'`space` must name what to vary, {{"units": [32, 64]}} say. Received: {space!r}.')
    dimensions = {name: _Dimension(name, values) for name, values in space.items()}
    check_arguments(build, space)
    options = checked_options(train, validation, epochs, batch_size, monitor, mode)
    optuna = optional_package("optuna", extra="tune", purpose="`rt.tune`")
    pruners = {"median": optuna.pruners.MedianPruner(), "hyperband": optuna.pruners.HyperbandPruner(1, epochs)}
    identity = {"format": FORMAT, "space": {name: repr(values) for name, values in space.items()}}
    identity |= {"monitor": monitor, "mode": mode, "epochs": epochs, "pruner": pruner}
    identity |= identity_of_data(options["train"], options["validation"], batch_size=batch_size)

    def objective(trial):
        # Two workers that look at the same moment may begin one trial too many.
        if sum(_counts(one) for one in study.get_trials(deepcopy=False)[: trial.number]) >= trials:
            trial.set_user_attr("surplus", True)
            raise optuna.TrialPruned
        arguments = {name: one.suggest(trial) for name, one in dimensions.items()}
        report = _Report(trial, monitor, epochs)
        try:
            history = fit_anew(build, arguments, **options, seed=seed, callbacks=[report])
            best = best_value(history, monitor, mode)
        except Exception as error:
            trial.set_user_attr("error", f"{type(error).__name__}: {error}"[:1000])
            raise
        trial.set_user_attr("value", best)
        if report.pruned:
            raise optuna.TrialPruned
        return best

    verbosity = optuna.logging.get_verbosity()
    with contextlib.ExitStack() as stack:
        if storage is None and run_dir is not None:
            stack.enter_context(held(Path(run_dir).expanduser()))
        stack.callback(optuna.logging.set_verbosity, verbosity)
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        kept = _storage(optuna, storage, run_dir)
        if kept is not None:
            stack.callback(kept.engine.dispose)
            stack.callback(kept.remove_session)
        study = optuna.create_study(
            storage=kept,
            study_name="search" if storage is None or run_dir is None else Path(run_dir).name,
            direction="minimize" if mode == "min" else "maximize",
            pruner=pruners.get(pruner, optuna.pruners.NopPruner()),
            load_if_exists=True,
        )
        _refuse_another(study, identity)
        if storage is None:  # no other process is at work: what runs has died
            for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        with contextlib.suppress(KeyboardInterrupt), moving_line(trials, progress) as show:
            while True:
                with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                    optuna.storages.fail_stale_trials(study)
                counted = [one for one in study.get_trials(deepcopy=False) if _counts(one)]
                done = sum(one.state.is_finished() for one in counted)
                show(_standing(counted, study, trials), done)
                if done >= trials:
                    break
                if len(counted) >= trials:  # the last are with other workers, which may die
                    time.sleep(1)
                    continue
                # Made anew for each trial, so that a search that goes on proposes what it would have proposed.
                study.sampler = optuna.samplers.TPESampler(seed=None if seed is None or storage else seed + done)
                study.optimize(objective, n_trials=1, catch=(Exception,))
        table = _table(study, dimensions, monitor, mode)
    errors = table["error"].sort_index()
    if (errors != "").all() and len(errors):
        raise ValueError(
            f"All {len(errors)} trials failed; the first with {errors.iloc[0]}. Call `build` once by hand, with the "
            f"arguments of that trial: {table.loc[errors.index[0], list(space)].to_dict()}."
        )
    return table


class _Dimension:
    """One argument's values: choices, or a range."""

    def __init__(self, name, values):
        self.name, self.values = name, values
        received = f"Received: {values!r}."
        if isinstance(values, list):
            # Optuna stores plain values alone: others, such as (64, 32), go by how they are written.
            plain = [one.item() if isinstance(one, np.generic) else one for one in values]
            labels = [one if one is None or isinstance(one, bool | int | float | str) else repr(one) for one in plain]
            if not labels or len(set(labels)) < len(labels):
                raise ValueError(f"`space[{name!r}]` must list different choices. {received} Pass [32, 64], say.")
            self.choices = dict(zip(labels, plain, strict=True))
            return
        self.choices = None
        ends = values[:2] if isinstance(values, tuple) and values[2:] in ((), ("log",)) else ()
        is_real = [isinstance(end, numbers.Real) and not isinstance(end, bool) for end in ends]
        if is_real != [True, True]:
            raise TypeError(
                f'`space[{name!r}]` must be a list of choices, (low, high) or (low, high, "log"). {received}'
            )
        self.log = len(values) == 3
        if not -math.inf < ends[0] < ends[1] < math.inf or (self.log and ends[0] <= 0):
            above = ", and low above 0" if self.log else ""
            raise ValueError(f"`space[{name!r}]` must have low below high, both finite{above}. {received}")
        self.whole = all(isinstance(end, numbers.Integral) for end in ends)
        self.ends = [int(end) if self.whole else float(end) for end in ends]

    def suggest(self, trial):
        if self.choices is not None:
            return self.choices[trial.suggest_categorical(self.name, list(self.choices))]
        return (trial.suggest_int if self.whole else trial.suggest_float)(self.name, *self.ends, log=self.log)

    def value(self, params):
        value = params.get(self.name)
        return value if self.choices is None or self.name not in params else self.choices[value]


class _Report(keras.callbacks.Callback):
    """Tell a trial the result of each epoch, and stop it where it falls behind."""

    pruned = False

    def __init__(self, trial, monitor, epochs):
        super().__init__()
        self.trial, self.monitor, self.epochs = trial, monitor, epochs

    def on_epoch_end(self, epoch, logs=None):
        value = logs.get(self.monitor, math.nan)
        if math.isfinite(value):
            self.trial.report(value, epoch + 1)
            if epoch + 1 < self.epochs and not self.model.stop_training and self.trial.should_prune():
                self.pruned = self.model.stop_training = True


def _standing(counted, study, trials) -> str:
    states = [one.state.name for one in counted]
    parts = [f"trial {min(len(counted) + 1, trials)}/{trials}"]
    if "COMPLETE" in states:
        parts.append(f"best {study.best_value:.4g} (trial {study.best_trial.number})")
    tally = {"pruned": states.count("PRUNED"), "failed": states.count("FAIL")}
    return ", ".join(parts + [f"{number} {word}" for word, number in tally.items() if number])


def _counts(trial) -> bool:
    """Return whether a trial is one of those asked for: not one whose process died, nor one too many."""
    return "surplus" not in trial.user_attrs and (trial.state.name != "FAIL" or "error" in trial.user_attrs)


def _table(study, dimensions, monitor, mode) -> pd.DataFrame:
    """Return the trials, best first."""
    trials = [one for one in study.get_trials(deepcopy=False) if "surplus" not in one.user_attrs]
    noted = [one.user_attrs for one in trials]
    columns = {
        monitor: pd.Series([one.get("value") for one in noted], dtype=float),
        "state": [one.state.name.lower() if _counts(one) else "stopped" for one in trials],
        "epochs": [len(one.intermediate_values) for one in trials],
        "seconds": [one.duration.total_seconds() if one.duration else math.nan for one in trials],
    }
    for name, dimension in dimensions.items():  # as objects, so that ints stay ints beside floats
        columns[name] = pd.Series([dimension.value(one.params) for one in trials], dtype=object)
    table = pd.DataFrame(columns | {"error": [one.get("error", "") for one in noted]})
    table.index = pd.Index([one.number for one in trials], name="trial")
    table["state"] = table["state"].replace("fail", "failed")
    is_behind = table["state"] != "complete"
    return table.iloc[np.lexsort((table[monitor] * (1 if mode == "min" else -1), is_behind))]


def _storage(optuna, storage, run_dir):
    """Return where a study is kept: `None` in memory, a file, or a database, whose password no error shows."""
    if storage is None:
        path = None if run_dir is None else Path(run_dir).expanduser() / "study.db"
        return path and optuna.storages.RDBStorage(f"sqlite:///{path}")
    sqlalchemy = optional_package("sqlalchemy", extra="tune", purpose="`storage`")
    for attempt in (1, 2):
        try:
            address = sqlalchemy.engine.make_url(storage)
            if address.drivername in ("postgres", "postgresql"):
                address = address.set(drivername="postgresql+psycopg")  # the driver that the extra brings
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                return optuna.storages.RDBStorage(
                    address.render_as_string(hide_password=False),
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=3 * HEARTBEAT_SECONDS,
                )
        except ImportError:
            raise ImportError(
                'The driver of the database in `storage` is not installed. Run: pip install "rnn_toolkit[tune]"  (or: '
                "pip install 'psycopg[binary]')"
            ) from None
        except Exception as error:  # SQLAlchemy's and Optuna's own
            reason = type(getattr(error, "orig", None) or error).__name__
        time.sleep(attempt)  # two workers that begin at once make the tables at once; the second finds them there
    raise ConnectionError(
        f"`storage` cannot be reached ({reason}). Pass the address of a running database, such as "
        "postgresql://user:password@host:5432/database; the one given is not shown, as it may hold a password."
    )


def _refuse_another(study, identity):
    """Raise if a study was begun with another space, other data or other terms."""
    stored = study.user_attrs.get("identity")
    if stored is None:
        study.set_user_attr("identity", identity)
        return
    differing = differences(stored, identity, has_trained=False)
    if differing:
        raise ValueError(
            f"The study holds another search: {'; '.join(differing)}. Pass another `run_dir`, whose name is also that "
            "of a search in a `storage`."
        )
