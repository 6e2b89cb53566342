"""What makes two calls of `train` the same run: model, optimizer, loss, the size of the data and some of their rows.

Structure counts, spelling does not. A notebook cell that is run again gets other names from Keras (`lstm_3`), so names
are left out, and where a functional model refers to a layer by its name, the layer's place in the model stands instead.
Nor does the file in which a class stands count: it may move from one version to the next.
"""

import hashlib
import itertools
import json
import math
import zlib
from collections import defaultdict

import keras
import numpy as np

from rnn_toolkit.networks.optimization import schedule_of, single_optimizers
from rnn_toolkit.training.snapshots import random_state, set_random_state

NAMING = ("name", "module", "build_config", "padded")  # keys of a config that say nothing about what is computed
FORMAT = 2  # of an identity; before 2, layers were referred to by their names
FUNCTIONAL = {"layers", "input_layers", "output_layers"}  # keys of the config of a functional model
SAMPLE_ROWS = 64  # of each array or batch
LONGEST = 50  # items of a dict or list that are compared one by one; of longer ones, only the checksum


def identity_of(model: keras.Model, train, validation=None, *, batch_size: int) -> dict:
    """Describe a run by JSON values.

    Args:
        model: A compiled, built model.
        train: What `train` takes.
        validation: Likewise, or `None`.
        batch_size: Rows in a batch of arrays.

    Returns:
        A dict: format, model, optimizer, loss, loss_weights, train, validation and sample.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> identity = identity_of(model, (np.zeros((6, 1)), np.zeros(6)), batch_size=4)
        >>> identity["loss"], identity["train"]
        ('mse', {'rows': 6, 'batch_size': 4})
    """
    return {
        "format": FORMAT,
        "model": {
            "config": _config(model),
            "weights": [f"{weight.name} {tuple(weight.shape)} {weight.dtype}" for weight in model.weights],
        },
        "optimizer": optimizers_of(model),
        "loss": _plain(model.loss),
        "loss_weights": _plain(getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)),
    } | identity_of_data(train, validation, batch_size=batch_size)


def identity_of_data(train, validation=None, *, batch_size: int) -> dict:
    """Describe training and validation data, or `None`, by the items train, validation and sample of an identity."""
    return {
        "train": {} if train is None else _size(train, batch_size),
        "validation": {} if validation is None else _size(validation, batch_size),
        "sample": {"train": _sample(train), "validation": _sample(validation)},
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
    if stored.get("format", 1) < FORMAT:  # in what order the layers stood is not known; in what order they are used, is
        stored, present = (_renamed(one, _by_first_use) for one in (stored, present))
    stored = {name: present[name] for name in present if name == "loss_weights"} | stored  # of earlier versions, too
    samples = [one.get("sample", {}) for one in (stored, present)]
    stored, present = (dict(_leaves({**one, "sample": {}})) for one in (stored, present))
    names = [name for name in {**stored, **present} if not _is_same(_meaning(name, stored), _meaning(name, present))]
    if has_trained:
        names = [name for name in names if not (name.startswith("optimizer.") and name.endswith(".learning_rate"))]
    shown = [f"{name} is {present.get(name, 'gone')}, was {stored.get(name, 'not there')}" for name in names[:8]]
    shown += [f"and {len(names) - 8} more"] if len(names) > 8 else []
    changed = [name for name in ("train", "validation") if not _are_alike(*(one.get(name) for one in samples))]
    changed = [name for name in changed if not {f"{name}.rows", f"{name}.batches"} & set(names)]
    return shown + [f"{name} holds other values" for name in changed]


def _is_same(one, other) -> bool:
    """Compare values, fitted numbers to six digits, as another processor may round them otherwise."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6) or (math.isnan(one) and math.isnan(other))
    return one == other


def _meaning(name, leaves):
    """Return what counts of a leaf: not where a class stands, which earlier versions stored, nor a weight's name."""
    if name == "format" or name.rpartition(".")[2] == "module":
        return None
    value = leaves.get(name, leaves)  # no leaf is a dict
    return value.rpartition(" (")[2] if name.startswith("model.weights.") and isinstance(value, str) else value


def _config(model):
    try:
        return _plain(_renamed(model.get_config(), _by_place))
    except Exception:  # a subclassed model need not have one, and a layer's may fail in its own way
        return None


def _renamed(value, scheme, rename=None):
    """Return a config in which functional models refer to their layers by the names of a scheme."""
    if isinstance(value, dict):
        rename = scheme(value) if value.keys() >= FUNCTIONAL else rename
        return {key: _renamed(one, scheme, rename) for key, one in value.items()}
    if not isinstance(value, list | tuple):
        return value
    if rename is not None and [type(one) for one in value] == [str, int, int]:  # name, number of call and of output
        return [rename(value[0]), *value[1:]]
    return [_renamed(one, scheme, rename) for one in value]


def _by_place(config):
    """Name each layer of a functional model by its place."""
    places = {layer["name"]: f"layer {place}" for place, layer in enumerate(config["layers"], start=1)}
    return lambda name: places.get(name, name)


def _by_first_use(config):
    """Name each layer of a functional model by when it is first referred to."""
    uses = defaultdict(itertools.count(1).__next__)
    return lambda name: f"layer {uses[name]}"


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
        return {"rows": _num_rows(data), "batch_size": batch_size}
    return {"kind": type(data).__name__, "batches": num_batches(data)}


def _num_rows(arrays) -> int:
    return keras.tree.flatten(arrays)[0].shape[0]  # a sparse matrix has no `len`


def _sample(data) -> list | None:
    """Return numbers that tell data from others, a list for each array; `None` where two readings differ."""
    if isinstance(data, tuple):
        return [_row_means(one) for one in keras.tree.flatten(data) if one is not None]
    if not isinstance(data, keras.utils.PyDataset):
        return None
    state = random_state()  # which the batches may draw from
    if hasattr(data, "set_epoch"):
        data.set_epoch(0)
    first, last, again = (_sample(tuple(data[place])) for place in (0, len(data) - 1, 0))
    set_random_state(state)
    return first + last if first == again else None


def _row_means(array) -> list[float]:
    """Return a weighted mean of some rows of an array; those of text and the like, of their checksums."""
    array = np.asarray(array)
    if not (array.ndim and array.size):  # a sparse matrix is of no kind that NumPy knows
        return []
    rows = array[np.linspace(0, len(array) - 1, min(len(array), SAMPLE_ROWS)).astype(int)]
    try:
        rows = np.nan_to_num(rows.astype("float64"), nan=0.5, posinf=1, neginf=-1).reshape(len(rows), -1)
    except (TypeError, ValueError):
        rows = np.array([[zlib.crc32(str(row).encode())] for row in rows], "float64")
    return (rows * np.linspace(1, 2, rows.shape[1])).mean(1).tolist()


def _are_alike(stored, present) -> bool:
    """Compare samples to six digits, as another processor may round the weights of rows otherwise."""
    if stored is None or present is None:  # earlier versions took none
        return True
    return len(stored) == len(present) and all(
        len(one) == len(other) and np.allclose(one, other, rtol=0, atol=1e-6 * np.abs([0, *one]).max())
        for one, other in zip(stored, present, strict=True)
    )


def num_batches(data, batch_size: int = 1) -> int | None:
    """Return the number of batches of what `checked` returns, or `None` if a data set does not know."""
    if isinstance(data, tuple):
        return -(-_num_rows(data) // batch_size)
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches
    if hasattr(data, "cardinality"):  # a tf.data.Dataset
        number = int(data.cardinality())
        return number if number >= 0 else None
    return len(data) if hasattr(data, "__len__") else None


def is_endless(data) -> bool:
    """Return whether a data set says of itself that it never ends."""
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches is None
    return hasattr(data, "cardinality") and int(data.cardinality()) == -1  # tf.data.INFINITE_CARDINALITY


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
        return {"class": type(value).__name__} | _plain(_renamed(value.get_config(), _by_place))
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
