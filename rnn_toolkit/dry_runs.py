"""Trainings that leave no trace: which learning rate a model bears, and whether it can learn a few rows by heart.

Both train the model itself, for it is that one which is asked about, and put everything back.
"""

import itertools
import time
from collections.abc import Iterator

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import whole_number
from rnn_toolkit.feeding import Arrays
from rnn_toolkit.inspection import check_ready, count_batches, read_batches, some_batches, untouched
from rnn_toolkit.optimization import make_optimizer, unwrapped
from rnn_toolkit.probing import recurrent_states

# find_learning_rate
SMOOTHING = 0.8  # what a smoothed loss keeps of the one before: a mean of about five steps
DIVERGED = 4.0  # times the smallest smoothed loss; fastai's `lr_find` stops there
CHANGED = 0.1  # share of the first loss; anything less is chance, or a model that began near its best
SAFETY = 10.0  # what the rate of the smallest loss is divided by; fastai's "minimum" rule

# overfit_one_batch
OVERFIT_RATE = 1e-2  # at the top of one cycle, on whose way up a large model has learnt already
LEARNT = 0.2  # share of the loss of a constant guess that may be left


def find_learning_rate(
    model: keras.Model,
    data,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 64,
    seed: int = 0,
) -> pd.DataFrame:
    """Raise the learning rate step by step until the loss diverges, and suggest one: the learning-rate range test.

    It trains the model from where it is, with a fresh optimizer of the same kind and settings but without a schedule;
    afterwards model, optimizer and random generators are as before, also behind an error or Ctrl-C.
    `plot_learning_rates` draws the table.

    Args:
        model: A compiled model.
        data: Training data as `train` takes them. If there are fewer batches than steps, they come round again.
        low: Rate of the first step.
        high: Rate of the last step, should the loss not diverge before; the rate rises geometrically.
        steps: Training steps.
        batch_size: Rows in a batch of arrays. Take that of the training: a larger batch bears a higher rate.
        seed: Seed of the order of the rows of arrays, and of the batches of data that have no order of their own.

    Returns:
        A row per step, index `step` from 1: `learning_rate`; `loss`, that of the step's batch, before the step is
        taken; `smoothed_loss`, its exponential mean over about five steps. `attrs` holds `suggestion`, the rate to
        train at, a tenth of `largest_stable`: the rate at which the smoothed loss was smallest, or, if no rate lowered
        it by a tenth, the highest that did not raise it by a tenth; `lowered`, whether some rate lowered it by a tenth;
        and `diverged`, whether it became four times its smallest, or not finite. If the loss neither fell nor
        diverged, the rates are NaN.

    Raises:
        TypeError, ValueError: If the model is not built or not compiled; it has several optimizers, or no trainable
            weights; the data are empty or can be read only once; or a number is out of range.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.ones((64, 1)), np.tile([[11.0], [9.0]], (32, 1))
        >>> table = find_learning_rate(model, (x, y), low=0.01, steps=50, batch_size=1)
        >>> 0.1 < table.attrs["largest_stable"] < 1  # SGD bears rates below 1 here
        True

    Source: Smith, 2017, "Cyclical learning rates for training neural networks", WACV, section 3.3. To stop at four
        times the smallest loss, and a tenth of its rate: Howard and Gugger, 2020, "fastai: a layered API for deep
        learning", `lr_find` and its rule "minimum".
    """
    check_ready(model, purpose="A test of learning rates")
    steps = whole_number(steps, "steps", minimum=2)
    batch_size = whole_number(batch_size, "batch_size")
    if not 0 < low < high < float("inf"):
        raise ValueError(f"`low` and `high` must be rates, the lower first. Received: {low} and {high}.")
    _check_trainable(model)
    if hasattr(unwrapped(model.optimizer), "optimizers"):
        raise ValueError(
            f"Model {model.name!r} is trained by several optimizers, and so at no single rate. Compile it with one: "
            "`rt.make_optimizer(rate_factors=...)` gives each variable a rate of its own."
        )
    some_batches(data, 1, batch_size=batch_size)  # raises on what cannot be read
    rates, losses, smoothed = np.geomspace(low, high, steps), [], []
    mean = 0.0
    with untouched(model):
        optimizer = _set_optimizer(model, _fresh(model.optimizer, float(low)))
        for step, batch in zip(range(steps), _rounds(data, batch_size=batch_size, seed=seed), strict=False):
            optimizer.learning_rate = rates[step]
            losses.append(_train_on(model, batch))
            mean = SMOOTHING * mean + (1 - SMOOTHING) * losses[-1]
            smoothed.append(mean / (1 - SMOOTHING ** (step + 1)))  # as Adam does it, so that the first counts in full
            if _has_diverged(smoothed):
                break
    table = pd.DataFrame({"learning_rate": rates[: len(losses)], "loss": losses, "smoothed_loss": smoothed})
    table.index = pd.RangeIndex(1, len(table) + 1, name="step")
    diverged, largest, first = _has_diverged(smoothed), float("nan"), smoothed[0]
    margin = CHANGED * abs(first)
    lowered = bool(np.nanmin(smoothed) < first - margin) if np.isfinite(first) else False
    if lowered:
        largest = float(table["learning_rate"][table["smoothed_loss"].idxmin()])
    elif diverged and np.isfinite(first):
        largest = float(table["learning_rate"][table["smoothed_loss"] <= first + margin].iloc[-1])
    table.attrs = {"suggestion": largest / SAFETY, "largest_stable": largest, "lowered": lowered, "diverged": diverged}
    return table


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
        sound and broken models of `tests/test_dry_runs.py`.
    """
    check_ready(model, purpose="To overfit a batch")
    steps = whole_number(steps, "steps", minimum=2)
    batch_size = whole_number(batch_size, "batch_size")
    if not seconds > 0:
        raise ValueError(f"`seconds` must be positive. Received: {seconds}. Pass 5, say.")
    optimizer = make_optimizer(learning_rate, schedule="one_cycle", steps=steps, clip=1.0)
    _check_trainable(model)
    batch = _varied_rows(model, some_batches(data, 4), batch_size)
    inside = getattr(model.optimizer, "inner_optimizer", None)
    regularizers = [(variable, variable.regularizer) for variable in model.trainable_variables]
    losses, out_of_time = [], False
    with untouched(model):
        try:
            for variable, _ in regularizers:
                variable.regularizer = None
            _switch_training_off(model)
            _set_optimizer(model, optimizer if inside is None else keras.optimizers.LossScaleOptimizer(optimizer))
            while len(losses) < steps and not out_of_time:
                for state in recurrent_states(model):
                    state.assign(np.zeros(state.shape))
                losses.append(_train_on(model, batch))
                if len(losses) == 1:
                    floor, constant = _references(model, batch)
                    varies = constant - floor > 1e-6 * (losses[0] - floor)  # else all targets are the same
                    limit = floor + LEARNT * ((min(losses[0], constant) if varies else losses[0]) - floor)
                    begin = time.perf_counter()
                if losses[-1] <= limit or not np.isfinite(losses[-1]):
                    break
                out_of_time = time.perf_counter() - begin > seconds
        finally:
            for variable, regularizer in regularizers:
                variable.regularizer = regularizer
    table = pd.DataFrame({"loss": losses}, index=pd.RangeIndex(1, len(losses) + 1, name="step"))
    final = float(table["loss"].min())
    table.attrs = {"initial": losses[0], "final": final, "floor": floor, "constant": constant}
    table.attrs |= {"overfits": bool(final <= limit), "out_of_time": out_of_time and len(losses) < steps}
    return table


def _check_trainable(model):
    if not model.trainable_variables:
        raise ValueError(
            f"Model {model.name!r} has no trainable weights: all layers are frozen. A training needs some. Set "
            "`layer.trainable = True` where it should learn, and compile it again."
        )


def _fresh(optimizer, learning_rate: float):
    """Return an optimizer of the same kind and settings that has taken no step, at a constant rate."""
    inside = unwrapped(optimizer)
    # Gradients are to be applied at each rate, and a moving average is not to take the place of the weights.
    settings = {"learning_rate": learning_rate, "gradient_accumulation_steps": None, "use_ema": False}
    known = inside.get_config()
    fresh = type(inside).from_config(known | {name: value for name, value in settings.items() if name in known})
    if inside is optimizer:
        return fresh
    return type(optimizer)(fresh, initial_scale=optimizer.initial_scale)


def _set_optimizer(model, optimizer):
    """Let a model train by another optimizer: within `untouched`, which puts the old one back."""
    optimizer.build(model.trainable_variables)
    vars(model).update(optimizer=optimizer, train_function=None)  # by setattr it would be tracked for saving
    return optimizer


def _train_on(model, batch) -> float:
    """Take a step, and return the loss before it."""
    model.reset_metrics()  # Keras 3.13 goes on with the mean of the steps before
    return float(model.train_on_batch(*batch, return_dict=True)["loss"])


def _rounds(data, *, batch_size: int, seed: int) -> Iterator[tuple]:
    """Yield batches `(x, y, sample_weight)` without end."""
    if isinstance(data, tuple | list):
        data = Arrays(tuple(data), batch_size=batch_size, seed=seed)
    total, generator = count_batches(data), np.random.default_rng(seed)
    for number in itertools.count():
        if total is None:
            yield from read_batches(data)
            continue
        if isinstance(data, Arrays):
            data.set_epoch(number)
        # As in `train`: what has an order of its own, such as the streams of a text, keeps it.
        for place in range(total) if hasattr(data, "set_epoch") else generator.permutation(total):
            yield keras.utils.unpack_x_y_sample_weight(data[int(place)])


def _has_diverged(smoothed) -> bool:
    """Say whether a loss has grown; a smallest loss near zero is left by chance, so the first must be passed too."""
    return not np.isfinite(smoothed[-1]) or smoothed[-1] > max(
        smoothed[0], min(smoothed) + (DIVERGED - 1) * abs(min(smoothed))
    )


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
    """Return rows of the batch that has the most targets: one of each target first, then others."""

    def first_of_each(batch):
        targets = keras.tree.flatten(batch[1])[0]
        return np.sort(np.unique(targets.reshape(len(targets), -1), axis=0, return_index=True)[1])

    batch = max(batches, key=lambda one: len(first_of_each(one)))
    if any(one.shape[0] is not None for one in getattr(model, "inputs", None) or ()):
        return batch
    rows = first_of_each(batch)
    rows = np.concatenate([rows, np.setdiff1d(np.arange(len(keras.tree.flatten(batch[1])[0])), rows)])
    rows = np.sort(rows[:count])
    return tuple(None if one is None else keras.tree.map_structure(lambda array: array[rows], one) for one in batch)


def _references(model, batch) -> tuple[float, float]:
    """Return the loss of a perfect model and that of the best constant, or 0 and NaN where they are not known."""
    _, y, weight = batch
    shape = getattr(model, "output_shape", None)
    loss = model.loss
    name = loss if isinstance(loss, str) else getattr(loss, "name", getattr(loss, "__name__", ""))
    if not isinstance(y, np.ndarray) or not isinstance(shape, tuple) or not isinstance(name, str):
        return 0.0, float("nan")
    is_class = "crossentropy" in name
    perfect = y.astype("float32")
    if "sparse" in name and is_class:
        perfect = np.eye(shape[-1], dtype="float32")[y.astype(int).reshape(y.shape[: len(shape) - 1])]
    elif perfect.ndim == len(shape) - 1 and shape[-1] == 1:
        perfect = perfect[..., None]
    if perfect.ndim != len(shape) or perfect.shape[-1] != shape[-1]:
        return 0.0, float("nan")
    axes = tuple(range(perfect.ndim - 1)) if is_class else 0
    constant = np.broadcast_to(perfect.mean(axis=axes, keepdims=True), perfect.shape)

    def cost(guess):
        if is_class and getattr(loss, "from_logits", False):
            guess = np.clip(guess, 1e-7, 1 - 1e-7)
            guess = np.log(guess / (1 - guess)) if "binary" in name else np.log(guess)
        value = model.compute_loss(None, y, keras.ops.convert_to_tensor(guess.astype("float32")), weight)
        return float(keras.ops.convert_to_numpy(value))

    return cost(perfect), cost(constant)
