"""Looking at a model and its data without a trace: what a look may change is put back, whatever happens."""

import contextlib
import itertools

import keras
import numpy as np

from rnn_toolkit.probing import numpy, recurrent_states
from rnn_toolkit.snapshots import random_state, set_random_state


@contextlib.contextmanager
def untouched(model: keras.Model):
    """Let a model be trained, called or changed for a while, and leave it as it was: also behind an error.

    Weights, seeds and states, the optimizer with all that it keeps, metrics, attributes of the layers, and the global
    random generators are put back. Inside, `model.optimizer` may be replaced through `vars(model)`.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> with untouched(model):
        ...     _ = model.layers[0].kernel.assign([[7.0]])
        >>> float(model.layers[0].kernel.numpy()[0, 0])
        1.0
    """
    optimizer = getattr(model, "optimizer", None)
    inside = getattr(optimizer, "inner_optimizer", None)
    holders = [*model._flatten_layers(), *(one for one in (optimizer, inside) if one is not None)]
    attributes = [(one, dict(vars(one))) for one in holders]
    variables = [*model.variables, *model.metrics_variables, *recurrent_states(model)]  # the last are not tracked
    variables = {id(one): one for one in variables}
    variables |= {id(one): one for one in getattr(optimizer, "variables", ())}
    values = {name: numpy(one) for name, one in variables.items()}
    random = random_state()
    try:
        yield
    finally:
        for one, before in attributes:
            now = vars(one)  # not by setattr, which would track what is put back
            for name in [name for name in now if name not in before]:
                del now[name]
            now.update(before)
        for name, variable in variables.items():
            variable.assign(values[name])
        set_random_state(random)


def some_batches(data, count: int = 4, *, batch_size: int = 64) -> list[tuple]:
    """Return up to `count` batches `(x, y, sample_weight or None)`, evenly spread over the data, as arrays.

    Args:
        data: What `train` takes: arrays in a tuple, a `keras.utils.PyDataset`, or a `tf.data.Dataset`, of which the
            first batches are taken.
        count: Batches.
        batch_size: Rows of a batch, where data are arrays.

    Raises:
        TypeError: If the data can be read only once.
        ValueError: If there is no batch.

    Example:
        >>> [y.tolist() for x, y, weight in some_batches((np.zeros((6, 1)), np.arange(6)), count=2, batch_size=2)]
        [[0, 1], [4, 5]]
    """
    total = count_batches(data, batch_size=batch_size)
    if not total:  # none, or none that has a place
        return list(itertools.islice(read_batches(data), count))
    places = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    return list(read_batches(data, places, batch_size=batch_size))


def read_batches(data, places=None, *, batch_size: int = 64):
    """Yield batches as `some_batches` returns them, those at some places or all.

    Example:
        >>> [y.tolist() for x, y, weight in read_batches((np.zeros((6, 1)), np.arange(6)), [2, 0], batch_size=2)]
        [[4, 5], [0, 1]]
    """
    total = count_batches(data, batch_size=batch_size)
    if total == 0:
        raise ValueError(f"The data hold no batch. Received: {data!r}. Pass data with at least one row.")
    if total is None:
        if not hasattr(data, "element_spec"):
            raise TypeError(
                "The data must be readable more than once: arrays, a `keras.utils.PyDataset` or a `tf.data.Dataset`. "
                f"Received: {type(data).__name__}, which a look would use up. Pass `(x, y)`, or wrap it in a "
                "`keras.utils.PyDataset`."
            )
        yield from map(_parts, data)
        return
    for place in map(int, range(total) if places is None else places):
        if isinstance(data, tuple | list):
            rows = slice(place * batch_size, (place + 1) * batch_size)
            yield _parts(keras.tree.map_structure(lambda one, rows=rows: one[rows], tuple(data)))
        else:
            yield _parts(data[place])


def count_batches(data, *, batch_size: int = 64) -> int | None:
    """Return the number of batches, or `None` where only reading tells."""
    if isinstance(data, tuple | list):
        return -(-len(keras.tree.flatten(data[0])[0]) // batch_size)
    return data.num_batches if isinstance(data, keras.utils.PyDataset) else None


def recurrent_layers_of(named: dict) -> dict:
    """Return, of `named_layers`, those that go through time step by step."""
    return {name: layer for name, layer in named.items() if isinstance(layer, keras.layers.RNN)}


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


def _parts(batch) -> tuple:
    batch = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    x, y, weight = (*batch, None, None)[:3]
    return tuple(None if one is None else keras.tree.map_structure(_array, one) for one in (x, y, weight))


def _array(one) -> np.ndarray:
    return one if isinstance(one, np.ndarray) else np.asarray(one)
