"""Pictures of a training and of its learning rates: each on `ax` or a new figure, and returned for changes."""

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns, one_of, whole_number
from rnn_toolkit.drawing import (
    BLUE,
    GREY,
    SERIES,
    TINTS,
    axes_of,
    check_table,
    finish,
    logarithmic,
    mark,
    plain_numbers,
    whole_ticks,
)
from rnn_toolkit.networks.optimization import SCHEDULES, learning_rates


def plot_history(history: pd.DataFrame, *, ax=None):
    """Draw the loss of each epoch, and mark the best epoch.

    The shade between the lines behind the best epoch is overfitting: training rows are still learnt, others no longer.
    It is drawn where the validation loss rises by a twentieth or more; less is to and fro.

    Args:
        history: Table of `train`: column `loss`, and where there are any `val_loss` and `learning_rate`; the index is
            the epoch, 0 the start. The y-axis is logarithmic where losses differ tenfold; the learning rate is drawn if
            it changes.
        ax: Matplotlib Axes to draw on; `None` makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: If there is no column `loss`, or no finite loss.

    Example:
        >>> history = pd.DataFrame({"loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 2.5, 2.75]}, index=[1, 2, 3])
        >>> plot_history(history).get_title("left")
        'Validation loss: best at epoch 2 of 3'
    """
    check_table(history, "history")
    has_columns(history.columns, ["loss"], "`history`")
    watched = "val_loss" if "val_loss" in history else "loss"
    losses = history[[name for name in ("loss", "val_loss") if name in history]].astype("float64")
    losses = losses.where(np.isfinite(losses))
    if losses[watched].isna().all():
        raise ValueError(
            f"`history` has no finite {watched} in {len(history)} epochs. If the training diverged, lower the learning "
            "rate or clip gradients, and train again."
        )
    ax = axes_of(ax)
    best, marker = losses[watched].idxmin(), "o" if losses["loss"].count() <= 1 else None
    ax.plot(losses.index, losses["loss"], color=GREY, linewidth=2, marker=marker, label="training")
    if watched == "val_loss":
        ax.plot(losses.index, losses["val_loss"], color=BLUE, linewidth=2, marker=marker, label="validation")
        late = losses.loc[best:]
        grows = late["val_loss"] > late["loss"]
        if grows.sum() > 1 and late["val_loss"].max() > late["val_loss"][best] + 0.05 * abs(late["val_loss"][best]):
            style = {"color": TINTS[-1], "linewidth": 0, "label": "overfitting"}
            ax.fill_between(late.index, late["loss"], late["val_loss"], where=grows, **style)
    ax.plot([best], [losses[watched][best]], "o", color=BLUE if watched == "val_loss" else GREY, markersize=7)
    if losses.min(axis=None) > 0 and losses.max(axis=None) >= 10 * losses.min(axis=None):
        logarithmic(ax)
    if "learning_rate" in history and history["learning_rate"].nunique() > 1:
        _draw_learning_rate(ax, history["learning_rate"].dropna())
    whole_ticks(ax, losses.index, "epoch")
    kind = "Validation" if watched == "val_loss" else "Training"
    where = "the start is best" if best == 0 and losses["loss"].isna()[0] else f"best at epoch {best}"
    told = f"{where} of {losses.index[-1]}" if losses.index[-1] else "the start, before the first epoch"
    finish(ax, f"{kind} loss: {told}", "loss")
    mark(ax, best, f"{losses[watched][best]:.4g}")
    return ax


def plot_schedule(schedule: str | list[str], *, learning_rate: float = 1e-3, steps: int = 1000, ax=None):
    """Draw the learning rate of each training step, before any training.

    Args:
        schedule: A schedule of `make_optimizer` by name, or a list of names to compare.
        learning_rate: Highest learning rate.
        steps: Training steps: `epochs * len(train)`.
        ax: Matplotlib Axes to draw on; `None` makes a figure.

    Returns:
        The Axes.

    Raises:
        TypeError: If `steps` is no whole number.
        ValueError: If a name is unknown, or none is given; if `learning_rate` or `steps` is out of range.

    Example:
        >>> ax = plot_schedule("one_cycle", learning_rate=0.01, steps=100)
        >>> ax.get_title("left"), ax.texts[0].get_text()
        ('One cycle: learning rate over 100 steps', '0.01 at step 30')
    """
    whole_number(steps, "steps", minimum=2)
    names = list(schedule) if isinstance(schedule, list | tuple) else [schedule]
    if not names:
        raise ValueError("`schedule` is an empty list. Pass at least one name, 'cosine' say.")
    for name in names:
        one_of(name, "schedule", SCHEDULES)
    curves = [_rate_curve(learning_rates(name, learning_rate, steps), steps) for name in names]
    names = [name.replace("_", " ") for name in names]

    ax, colours = axes_of(ax), [one for one in SERIES if one != GREY]
    ax.margins(y=0.1)  # room for the label of the highest rate
    for place, (name, (x, y)) in enumerate(zip(names, curves, strict=True)):
        ax.plot(x, y, color=colours[place % len(colours)], linewidth=2, label=name if len(names) > 1 else None)
    ax.set_xlim(0, steps)
    ax.set_ylim(bottom=0)
    plain_numbers(ax)
    ax.set_xlabel("training step", fontsize=12)
    subject = f"{names[0].capitalize()}: learning rate" if len(names) == 1 else "Learning rate"
    finish(ax, f"{subject} over {steps:,} steps", "learning rate")
    if len(names) == 1 and 0 < y.argmax() < len(y) - 1:
        mark(ax, x[y.argmax()], f"{y.max():.3g} at step {x[y.argmax()]:,}")
    return ax


def _rate_curve(rate, steps) -> tuple[np.ndarray, np.ndarray]:
    """Return training steps and the learning rate of each, a number or a Keras schedule."""
    top = {min(getattr(rate, "warmup_steps", 0), steps)}  # a corner, which must not be cut off
    x = np.array(sorted(top.union(np.linspace(0, steps, min(steps, 400) + 1).round().astype(int).tolist())))
    if not callable(rate):
        return x, np.full(len(x), rate)
    # Traced once: called step by step, JAX compiles the two branches of a warm-up each time, 80 ms a step.
    return x, keras.ops.convert_to_numpy(keras.ops.map(rate, keras.ops.convert_to_tensor(x)))


def _draw_learning_rate(ax, rates):
    """Draw the learning rate as a thin step line with a scale of its own, behind the losses."""
    right = ax.twinx()
    right.step(rates.index, rates, where="mid", color=GREY, linewidth=1, linestyle=":")
    right.set_ylabel("learning rate (dotted)", fontsize=12, color=GREY)
    if rates.min() > 0:
        logarithmic(right, rates.unique())
    right.margins(y=0.12)  # room for the label of the best epoch
    right.tick_params(colors=GREY, labelsize=11, length=0)
    right.spines[:].set_visible(False)
    ax.set_zorder(right.get_zorder() + 1)
    ax.patch.set_visible(False)
