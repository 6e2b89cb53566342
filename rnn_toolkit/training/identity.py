"""What makes two calls of `train` the same run: model, optimizer, loss and the size of the data.

Names that Keras hands out (`lstm_3`) do not count: a notebook cell that is run again gives others. Nor does the file
in which a class stands: it may move from one version to the next.
"""

import hashlib
import json

import keras
import numpy as np

from rnn_toolkit.networks.optimization import schedule_of, single_optimizers

NAMING = ("name", "module", "build_config")  # keys of a config that say nothing about what is computed
LONGEST = 50  # items of a dict or list that are compared one by one; of longer ones, only the checksum


def identity_of(model: keras.Model, train, validation=None, *, batch_size: int) -> dict:
    """Describe a run by JSON values.

    Args:
        model: A compiled, built model.
        train: What `train` takes.
        validation: Likewise, or `None`.
        batch_size: Rows in a batch of arrays.

    Returns:
        A dict of dicts: model, optimizer, loss, train and validation.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> identity = identity_of(model, (np.zeros((6, 1)), np.zeros(6)), batch_size=4)
        >>> identity["loss"], identity["train"]
        ('mse', {'rows': 6, 'batch_size': 4})
    """
    return {
        "model": {
            "config": _config(model),
            "weights": [f"{weight.name} {tuple(weight.shape)} {weight.dtype}" for weight in model.weights],
        },
        "optimizer": optimizers_of(model),
        "loss": _plain(model.loss),
        "train": _size(train, batch_size),
        "validation": {} if validation is None else _size(validation, batch_size),
    }


def differences(stored: dict, present: dict, *, has_trained: bool) -> list[str]:
    """List where two runs differ, in words.

    Args:
        stored: What `identity_of` returned when the run began.
        present: What it returns now.
        has_trained: Whether the present model has taken a step: then its rate may have been lowered, and says nothing.

    Example:
        >>> differences({"train": {"rows": 6}}, {"train": {"rows": 8}}, has_trained=False)
        ['train.rows is 8, was 6']
    """
    stored, present = dict(_leaves(stored)), dict(_leaves(present))
    names = [name for name in {**stored, **present} if stored.get(name) != present.get(name)]
    names = [name for name in names if name.rpartition(".")[2] != "module"]  # which earlier versions have stored
    if has_trained:
        names = [name for name in names if not (name.startswith("optimizer.") and name.endswith(".learning_rate"))]
    shown = [f"{name} is {present.get(name, 'gone')}, was {stored.get(name, 'not there')}" for name in names[:8]]
    return shown + ([f"and {len(names) - 8} more"] if len(names) > 8 else [])


def _config(model):
    try:
        return _plain(model.get_config())
    except NotImplementedError:  # a subclassed model need not have one
        return None


def optimizers_of(model) -> dict:
    """Describe the optimizers of a model by their number."""
    return {str(n): _of_optimizer(one) for n, one in enumerate(single_optimizers(model), start=1)}


def _of_optimizer(optimizer):
    config = _plain(optimizer.get_config()) | {"class": type(optimizer).__name__}
    schedule = schedule_of(optimizer)
    if schedule is None:
        config["learning_rate"] = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    else:
        config["learning_rate"] = _plain(schedule)
    return config


def _size(data, batch_size) -> dict:
    if isinstance(data, tuple):
        return {"rows": len(keras.tree.flatten(data[0])[0]), "batch_size": batch_size}
    return {"kind": type(data).__name__, "batches": num_batches(data)}


def num_batches(data) -> int | None:
    """Return the number of batches of a data set, or `None` if it does not know."""
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches
    if isinstance(data, tuple | np.ndarray):
        return None
    if hasattr(data, "cardinality"):  # a tf.data.Dataset
        number = int(data.cardinality())
        return number if number >= 0 else None
    return len(data) if hasattr(data, "__len__") else None


def _plain(value):
    """Return a value as JSON values, without what only names, and long ones as their checksums."""
    if isinstance(value, dict):
        items = {str(key): _plain(one) for key, one in value.items() if key not in NAMING}
        return items if len(items) <= LONGEST else _checksum(items)
    if isinstance(value, list | tuple | set):
        items = [_plain(one) for one in (sorted(value, key=str) if isinstance(value, set) else value)]
        nested = any(isinstance(item, dict) for item in items)
        return items if nested or len(items) <= LONGEST else _checksum(items)
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if value is None or isinstance(value, str | int | float):
        return value
    if hasattr(value, "get_config"):
        return {"class": type(value).__name__} | _plain(value.get_config())
    return getattr(value, "__name__", type(value).__name__)


def _checksum(items):
    content = json.dumps(items, sort_keys=True).encode()
    return f"{len(items)} items ({hashlib.sha256(content).hexdigest()[:8]})"


def _leaves(value, path=()):
    """Yield the dotted path and the value of every leaf."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield ".".join(path), value
    else:
        for name, one in items:
            yield from _leaves(one, path if name == "config" else (*path, str(name)))
