"""Trainings that are undone, as it is the model itself that is asked about: the learning rate that it bears."""

import itertools
from collections.abc import Iterator

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import check_ready, check_trainable, whole_number
from rnn_toolkit.diagnosis.reading import count_batches, fitted, read_batches, readable, some_batches
from rnn_toolkit.diagnosis.restoring import untouched
from rnn_toolkit.networks.optimization import unwrapped
from rnn_toolkit.training.feeding import Arrays

SMOOTHING = 0.8  # what a smoothed loss keeps of the one before: a mean of about five steps
DIVERGED = 4.0  # times the smallest smoothed loss; fastai's `lr_find` stops there
CHANGED = 0.1  # share of the first loss; anything less is chance, or a model that began near its best
SAFETY = 10.0  # what the rate of the smallest loss is divided by; fastai's "minimum" rule


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
            weights; the data are empty, differ in rows or can be read only once; or a number is out of range.

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
    check_trainable(model)
    if hasattr(unwrapped(model.optimizer), "optimizers"):
        raise ValueError(
            f"Model {model.name!r} is trained by several optimizers, and so at no single rate. Compile it with one: "
            "`rt.make_optimizer(rate_factors=...)` gives each variable a rate of its own."
        )
    data, batch_size = fitted(model, readable(data), batch_size=batch_size)
    some_batches(data, 1, batch_size=batch_size)  # raises on what cannot be read
    rates, losses, smoothed = np.geomspace(low, high, steps), [], []
    mean = 0.0
    with untouched(model):
        # Gradients are to be applied at each rate, and a moving average is not to take the place of the weights.
        settings = {"learning_rate": float(low), "gradient_accumulation_steps": None, "use_ema": False}
        optimizer = set_optimizer(model, _restarted(model.optimizer, **settings))
        for step, batch in zip(range(steps), _rounds(data, batch_size=batch_size, seed=seed), strict=False):
            optimizer.learning_rate = rates[step]
            losses.append(train_on(model, batch))
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


def fresh_model(model: keras.Model) -> keras.Model:
    """Return a model like another one, compiled for a dry run, whose trainable weights are at a random start.

    What was fitted and is not trained, such as a scaler or word vectors, stays. One that cannot be built anew, as some
    that are written as classes, is handed back as it is.
    """
    try:
        fresh = keras.models.clone_model(model)
        if not fresh.built:
            fresh.build(model.input_shape)
        for new, old in zip(fresh._flatten_layers(), model._flatten_layers(), strict=True):
            if not old.trainable_variables:
                store: dict = {}
                old.save_own_variables(store)
                new.load_own_variables(store)  # not by assigning: a scaler keeps what it computes from its variables
        fresh.compile(_restarted(model.optimizer), loss=model.loss)
    except Exception:  # the code of another's class may raise anything
        return model
    return fresh


def _restarted(optimizer, **settings):
    """Return an optimizer of the same kind that has taken no step, with some of its settings changed."""
    inside = unwrapped(optimizer)
    known = inside.get_config()
    fresh = type(inside).from_config(known | {name: value for name, value in settings.items() if name in known})
    return fresh if inside is optimizer else type(optimizer)(fresh, initial_scale=optimizer.initial_scale)


def set_optimizer(model, optimizer):
    """Let a model train by another optimizer: within `untouched`, which puts the old one back."""
    optimizer.build(model.trainable_variables)
    step = model.train_step

    def step_as_in_fit(*given):  # JAX hands in states, too
        # Which leaves out targets and weights that are not there, and knows no arrays, which are left in PyTorch.
        data = keras.utils.pack_x_y_sample_weight(*given[-1])
        return step(*given[:-1], keras.tree.map_structure(keras.ops.convert_to_tensor, data))

    # By setattr they would be tracked for saving. Metrics nobody reads, and TensorFlow makes the step twice for them.
    vars(model).update(optimizer=optimizer, train_function=None, train_step=step_as_in_fit, _compile_metrics=None)
    return optimizer


def train_on(model, batch) -> float:
    """Take a step, and return the loss before it."""
    model.reset_metrics()  # Keras 3.13 goes on with the mean of the steps before
    told = model.train_on_batch(*batch, return_dict=True)
    if "loss" not in told:
        raise NotImplementedError(f"a training step that tells no loss, but {sorted(told)}")
    return float(told["loss"])


def _rounds(data, *, batch_size: int, seed: int) -> Iterator[tuple]:
    """Yield batches `(x, y, sample_weight)` without end."""
    if isinstance(data, tuple | list):
        data = Arrays(tuple(one for one in data if one is not None), batch_size=batch_size, seed=seed)
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
