"""Argument checks in one message form: what was received, what is needed, what to do.

Every public function checks at its border, before any work. Only built-in exceptions are raised.
"""

import difflib
import importlib
import numbers
from collections.abc import Iterable
from types import ModuleType

import keras


def nearest(name: object, choices: Iterable[object]) -> str:
    """Return ` Did you mean 'x'?` for the choice most like `name`, or an empty string."""
    folded = {str(choice).strip().casefold(): choice for choice in choices}
    matches = difflib.get_close_matches(str(name).strip().casefold(), folded, n=1)
    return f" Did you mean {folded[matches[0]]!r}?" if matches else ""


def whole_number(value: object, name: str, *, minimum: int = 1) -> int:
    """Return `value` as an `int`, or say why it is not a whole number of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):  # NumPy registers its whole numbers there
        raise TypeError(f"`{name}` must be a whole number. Received: {value!r}. Pass an int of at least {minimum}.")
    if value < minimum:
        raise ValueError(f"`{name}` must be at least {minimum}. Received: {value}. Pass a larger whole number.")
    return int(value)


def check_share(share: object, name: str, *, zero: bool = True) -> None:
    """Raise unless `share` is a number from 0, which counts unless `zero` is `False`, up to but not including 1."""
    if isinstance(share, bool) or not isinstance(share, numbers.Real) or not 0 <= share < 1 or not (share or zero):
        start = "from 0 up to, but not including," if zero else "above 0 and below"
        raise ValueError(f"`{name}` must be a share {start} 1. Received: {share}. Pass 0.5, say.")


def one_of(value: object, name: str, choices: Iterable[object]) -> None:
    """Raise unless `value` is one of `choices`; the message lists them and offers the nearest."""
    choices = list(choices)
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {listed}. Received: {value!r}.{nearest(value, choices)}")


def has_columns(available: Iterable[object], needed: Iterable[object], name: str) -> None:
    """Raise unless every needed column is available; the message offers the nearest name."""
    available = list(available)
    for column in needed:
        if column not in available:
            listed = ", ".join(str(one) for one in available)
            raise ValueError(
                f"{name} has no column {column!r}; it has: {listed}.{nearest(column, available)} "
                "Correct the name, or add the column."
            )


def check_ready(model, *, purpose: str, compiled: bool = True) -> None:
    """Raise unless a model is a built Keras model, and a compiled one."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`model` must be a Keras model. Received: {type(model).__name__}. Pass what `keras.Sequential` or a "
            "`rt.build_...` function returns."
        )
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} is not built: it has no weights yet. {purpose} needs them. Start it with "
            "`keras.Input(shape)`, or call it once on a batch."
        )
    if compiled and not getattr(model, "compiled", False):
        raise ValueError(
            f"Model {model.name!r} is not compiled: it has no loss. {purpose} needs one. Call "
            '`model.compile(rt.make_optimizer(), loss="mse")`, with the loss of your task.'
        )


def check_trainable(model) -> None:
    """Raise unless a model has a weight to train."""
    if not model.trainable_variables:
        raise ValueError(
            f"Model {model.name!r} has no trainable weights: all layers are frozen, or have none. A training "
            "needs some. Set `layer.trainable = True` where it should learn, and compile it again."
        )


def optional_package(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say with which line it is installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package `{module}`, which is not installed. "
            f'Run: pip install "rnn_toolkit[{extra}]"  (or: pip install {module.split(".")[0]})'
        ) from error
