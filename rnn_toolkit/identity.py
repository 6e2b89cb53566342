"""What makes two calls of `train` the same run: model, optimizer, loss and the size of the data.

Names that Keras hands out (`lstm_3`) do not count: a notebook cell that is run again gives others.
"""

import hashlib
import json

import keras
import numpy as np

from rnn_toolkit.optimization import schedule_of

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
    optimizers = getattr(model.optimizer, "optimizers", [model.optimizer])
    return {
        "model": {
            "config": _config(model),
            "weights": [f"{weight.name} {tuple(weight.shape)} {weight.dtype}" for weight in model.weights],
        },
        "optimizer": {str(number): _of_optimizer(one) for number, one in enumerate(optimizers, start=1)},
        "loss": _plain(model.loss),
        "train": _size(train, batch_size),
        "validation": {} if validation is None else _size(validation, batch_size),
    }


def present_rates(optimizer) -> dict:
    """Return the present rate of each optimizer that has a plain one."""
    optimizers = enumerate(getattr(optimizer, "optimizers", [optimizer]), start=1)
    return {str(number): _rate(one) for number, one in optimizers if schedule_of(one) is None}


def differences(stored: dict, present: dict, *, rates: dict) -> list[str]:
    """List where two runs differ, in words.

    Args:
        stored: What `identity_of` returned when the run began.
        present: What it returns now.
        rates: What `present_rates` returned at the last snapshot: a model in memory has that one by now.

    Example:
        >>> differences({"loss": "mse", "train": {"rows": 6}}, {"loss": "mse", "train": {"rows": 8}}, rates={})
        ['train.rows is 8, was 6']
    """
    stored, present = dict(_leaves(stored)), dict(_leaves(present))
    for number, rate in rates.items():
        name = f"optimizer.{number}.learning_rate"
        if present.get(name) == rate:
            present[name] = stored.get(name)
    names = [name for name in {**stored, **present} if stored.get(name) != present.get(name)]
    shown = [f"{name} is {present.get(name, 'gone')}, was {stored.get(name, 'not there')}" for name in names[:8]]
    return shown + ([f"and {len(names) - 8} more"] if len(names) > 8 else [])


def _config(model):
    try:
        return _plain(model.get_config())
    except NotImplementedError:  # a subclassed model need not have one
        return None


def _of_optimizer(optimizer):
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    config = _plain(optimizer.get_config()) | {"class": type(optimizer).__name__}
    schedule = schedule_of(optimizer)
    config["learning_rate"] = _rate(optimizer) if schedule is None else _plain(schedule)
    return config


def _rate(optimizer) -> float:
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


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
    """Return a value as JSON values, without the names that Keras hands out, and long ones as their checksums."""
    if isinstance(value, dict):
        items = {str(key): _plain(one) for key, one in value.items() if key not in ("name", "build_config")}
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
