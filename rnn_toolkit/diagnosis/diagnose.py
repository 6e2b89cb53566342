"""Why a training goes wrong: findings with evidence, cause and remedy."""

import re
from collections.abc import Mapping

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import check_ready, nearest

# They register their checks.
from rnn_toolkit.diagnosis import data_checks, history_checks, loss_checks, model_checks, split_checks  # noqa: F401
from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.findings import CHECKS, Diagnosis, diagnosis_of
from rnn_toolkit.diagnosis.reading import readable
from rnn_toolkit.diagnosis.restoring import graphs_as_they_are, untouched
from rnn_toolkit.diagnosis.thresholds import LIMITS, limits
from rnn_toolkit.networks.probing import owned_variables
from rnn_toolkit.watching import counted


def diagnose(
    model: keras.Model,
    train,
    validation=None,
    *,
    history: pd.DataFrame | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> Diagnosis:
    """Say what is wrong with a model, its data or its training: evidence, cause and remedy.

    Before training it looks at the data and the model, and whether one batch can be learnt by heart. With `history` it
    also looks at how the training went; with `rt.Monitor()` among the callbacks, at gradients and updates, too. The
    model is left as it was.

    Args:
        model: A built and compiled Keras model with one input of sequences and one loss, ours or not. Of others, what
            can be checked is checked.
        train: Training data as `train` takes them, readable more than once.
        validation: Validation data, likewise, or `None`.
        history: Table of `train`, or what `model.fit` returned; `None` before training.
        thresholds: Limits to judge by in place of those in `rnn_toolkit.diagnosis.thresholds.LIMITS`, by name.

    Returns:
        One row per finding, gravest first, likelier causes before what follows from them: `check`, `severity`
        ("error", "warning", "note"), `evidence`, `cause`, `remedy`, `more` (an address). It reads as text where it is
        printed. `attrs["checked"]` lists the checks that ran, `attrs["skipped"]` why others did not, and
        `attrs["failed"]` those that an error kept from running: nothing is known of what they look for.

    Raises:
        TypeError: If `model` is no Keras model, `history` no table, or data can be read only once.
        ValueError: If the model is not built or not compiled, x and y differ in rows or have none, the history is of
            another model, or a threshold unknown.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((8, 1)), keras.layers.GRU(4), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 8, 1))
        >>> report = diagnose(model, (x, np.full((64, 1), 7.0)))
        >>> report["check"][0], report["severity"][0]
        ('constant target', 'error')

    Source: Karpathy, 2019, "A recipe for training neural networks"; Zhang et al., 2021, "AutoTrainer", ICSE; and the
        sources of each threshold.
    """
    check_ready(model, purpose="A diagnosis")
    train = readable(train, "train")
    validation = None if validation is None else readable(validation, "validation")
    history, start = _checked_history(history, model)
    case = Case(model, train, validation, history, limits(thresholds), start)
    case.batches  # noqa: B018 - data that cannot be read end here
    missing = {
        "validation": "no validation data" if validation is None else "",
        "history": "no history" if history is None else "",
        "recurrent layers": "" if case.recurrent else "no recurrent layers",
        "": "",
    }
    found, checked, skipped, failed = [], [], {}, []
    with untouched(model), graphs_as_they_are():
        for name in counted(LIMITS, "diagnosis", "checks"):
            check, needs = CHECKS[name]
            if missing[needs]:
                skipped[name] = missing[needs]
                continue
            try:
                finding = check(case)
            except NotImplementedError as error:
                skipped[name] = str(error)
                continue
            except Exception as error:  # whatever one of them may run into, the others still tell
                skipped[name] = _in_a_line(error)
                failed.append(name)
                continue
            checked.append(name)
            if finding is not None:
                found.append((name, finding))
    return diagnosis_of(found, checked=checked, skipped=skipped, failed=failed)


def _in_a_line(error: Exception) -> str:
    """Return what an error says, without colours, and without the arguments that Keras lists behind it."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).partition("Arguments received by")[0]
    return f"{type(error).__name__}: {' '.join(text.split())[:200]}"


def _checked_history(history, model) -> tuple[pd.DataFrame | None, float]:
    """Return a history as a table, and the validation loss before it, or say why it cannot be one of this model."""
    if history is None:
        return None, np.inf
    history = getattr(history, "history", history)
    if isinstance(history, dict):
        history = pd.DataFrame(history, index=pd.RangeIndex(1, 1 + len(next(iter(history.values()), []))))
    if not isinstance(history, pd.DataFrame):
        raise TypeError(
            f"`history` must be the table of `rt.train`, or what `model.fit` returned. Received: "
            f"{type(history).__name__}."
        )
    start = np.inf
    if history.index.name == "epoch" and 0 in history.index:  # the model as it came, which has no training loss
        start, history = history.loc[0].get("val_loss", np.inf), history.drop(index=0)
    if "loss" not in history or not len(history):
        raise ValueError(
            f"`history` has no losses: {len(history)} rows, columns {list(history)}. Pass what `rt.train` returned."
        )
    names = {column.split("/", 1)[1] for column in history if column.startswith("update_ratio/")}
    own = set(owned_variables(model))
    strange = sorted(names - own)
    if strange:
        raise ValueError(
            f"`history` is of another model: it tells of a layer {strange[0]!r}, which {model.name!r} does not have."
            f"{nearest(strange[0], own)} Pass the history of this very model."
        )
    return history, start
