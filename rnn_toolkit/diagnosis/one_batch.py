"""Can a model learn one batch by heart? A training that is undone."""

import time

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import check_ready, check_trainable, whole_number
from rnn_toolkit.diagnosis.dry_runs import set_optimizer, train_on
from rnn_toolkit.diagnosis.reading import fitted, readable, some_batches
from rnn_toolkit.diagnosis.reference_loss import ReferenceLoss
from rnn_toolkit.diagnosis.restoring import untouched
from rnn_toolkit.networks.optimization import make_optimizer
from rnn_toolkit.networks.probing import recurrent_states

OVERFIT_RATE = 1e-2  # at the top of one cycle, on whose way up a large model has learnt already
LEARNT = 0.2  # share of the loss of a constant guess that may be left


def overfit_one_batch(
    model: keras.Model,
    data,
    *,
    steps: int = 100,
    learning_rate: float = OVERFIT_RATE,
    batch_size: int = 8,
    seconds: float = 5.0,
) -> pd.DataFrame:
    """Let a model learn a few rows by heart, which every sound model can.

    One that cannot will not learn from all of the data either: a loss that does not fit the last layer, outputs that
    cannot reach the targets, weights that are frozen or all alike, gradients that do not arrive. Dropout and all else
    that happens in training only is switched off meanwhile, and so are regularizers of weights and activations. It
    trains with an Adam of its own; afterwards model, optimizer and random generators are as before, also behind an
    error or Ctrl-C.

    Args:
        model: A compiled model.
        data: Training data as `train` takes them. Of up to four batches that with the most targets is taken.
        steps: Largest number of training steps; it ends as soon as the rows are learnt.
        learning_rate: Highest rate of the Adam, which rises to it in the first third of the steps and falls again.
        batch_size: Rows to learn, of different targets if there are any. A model of a fixed batch size learns all rows.
        seconds: Seconds after which no further step is taken; making the training step does not count.

    Returns:
        A row per step, index `step` from 1: `loss`, before the step is taken. `attrs` holds `initial`, the first loss;
        `final`, the smallest; `floor`, that of a perfect model, zero but for soft labels; `constant`, that of a model
        which always gives the mean target (label shares), NaN where it is not known; `overfits`, whether `final` is
        within a fifth of the way from `floor` to the smaller of `initial` and `constant`; and `out_of_time`, whether
        the seconds ran out before.

    Raises:
        TypeError, ValueError: If the model is not built, not compiled or has no trainable weights; the data are empty
            or can be read only once; or a number is out of range.

    Example:
        >>> model = keras.Sequential([keras.Input((3, 1)), keras.layers.GRU(8), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> table = overfit_one_batch(model, (np.eye(3)[:, :, None], np.array([[1.0], [0.0], [-1.0]])))
        >>> table.attrs["overfits"], table.attrs["floor"]
        (True, 0.0)

    Source: Karpathy, 2019, "A recipe for training neural networks": overfit a single batch. The fifth is calibrated on
        sound and broken models of `tests/diagnosis/test_one_batch.py`.
    """
    check_ready(model, purpose="To overfit a batch")
    steps = whole_number(steps, "steps", minimum=2)
    batch_size = whole_number(batch_size, "batch_size")
    if not seconds > 0:
        raise ValueError(f"`seconds` must be positive. Received: {seconds}. Pass 5, say.")
    optimizer = make_optimizer(learning_rate, schedule="one_cycle", steps=steps, clip=1.0)
    check_trainable(model)
    data, rows = fitted(model, readable(data))
    batch = _varied_rows(model, some_batches(data, 4, batch_size=rows), batch_size)
    inside = getattr(model.optimizer, "inner_optimizer", None)
    losses, out_of_time = [], False
    with untouched(model):
        for variable in model.trainable_variables:
            variable.regularizer = None
        _switch_training_off(model)
        set_optimizer(model, optimizer if inside is None else keras.optimizers.LossScaleOptimizer(optimizer))
        while len(losses) < steps and not out_of_time:
            for state in recurrent_states(model):
                state.assign(np.zeros(state.shape))
            losses.append(train_on(model, batch))
            if len(losses) == 1:
                floor, constant = _references(model, batch)
                varies = constant - floor > 1e-6 * (losses[0] - floor)  # else all targets are the same
                first = min(losses[0], constant) if varies else losses[0]
                limit = first - (1 - LEARNT) * abs(first - floor)  # a loss of one's own may begin below zero
                begin = time.perf_counter()
            if losses[-1] <= limit or not np.isfinite(losses[-1]):
                break
            out_of_time = time.perf_counter() - begin > seconds
    table = pd.DataFrame({"loss": losses}, index=pd.RangeIndex(1, len(losses) + 1, name="step"))
    final = float(table["loss"].min())
    table.attrs = {"initial": losses[0], "final": final, "floor": floor, "constant": constant}
    table.attrs |= {"overfits": bool(final <= limit), "out_of_time": out_of_time and len(losses) < steps}
    return table


def _switch_training_off(model):
    """Call every layer as in use, not as in training: within `untouched`, which puts the layers back."""

    def as_in_use(call):
        return lambda *args, **kwargs: call(*args, **kwargs | {"training": False})

    for layer in model._flatten_layers():
        if layer._call_has_training_arg:
            vars(layer)["call"] = as_in_use(layer.call)  # not by setattr, which would track it
        if getattr(layer, "activity_regularizer", None) is not None:
            vars(layer)["activity_regularizer"] = None


def _varied_rows(model, batches, count: int) -> tuple:
    """Return rows of the batch that has the most targets, or inputs without any: one of each first, then others."""

    def first_of_each(batch):
        targets = keras.tree.flatten(batch[0] if batch[1] is None else batch[1])[0]
        return np.sort(np.unique(targets.reshape(len(targets), -1), axis=0, return_index=True)[1])

    batch = max(batches, key=lambda one: len(first_of_each(one)))
    if any(one.shape[0] is not None for one in getattr(model, "inputs", None) or ()):
        return batch
    rows = first_of_each(batch)
    rows = np.concatenate([rows, np.setdiff1d(np.arange(len(keras.tree.flatten(batch[0])[0])), rows)])
    rows = np.sort(rows[:count])
    return tuple(None if one is None else keras.tree.map_structure(lambda array: array[rows], one) for one in batch)


def _references(model, batch) -> tuple[float, float]:
    """Return the loss of a perfect model and that of the best constant, or 0 and NaN where they are not known."""
    _, y, weight = batch
    shape = getattr(model, "output_shape", None)
    if not isinstance(y, np.ndarray) or not isinstance(shape, tuple) or isinstance(model.loss, list | tuple | dict):
        return 0.0, float("nan")
    loss = ReferenceLoss(model.loss)
    perfect = loss.perfect(y, shape[1:])
    if perfect is None:
        return 0.0, float("nan")
    constants = loss.constants(y, weight, width=shape[-1])
    return loss.of(y, perfect, weight), loss.of_constants(constants, y, weight, shape=perfect.shape[1:])
