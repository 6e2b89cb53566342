"""Pictures of what a diagnosis measures: gradients over time, and the learning rates tried."""

import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns
from rnn_toolkit.drawing import BLUE, GREY, SERIES, axes_of, check_table, finish, logarithmic, mark, whole_ticks


def plot_learning_rates(table: pd.DataFrame, *, ax=None):
    """Draw the loss over the learning rate, and mark the rate to train at.

    The best rates lie where the loss falls, well before it is smallest; beyond that the training diverges.

    Args:
        table: Table of `find_learning_rate`: columns `learning_rate`, `loss` and `smoothed_loss`. Losses far above the
            first, as where it diverged, are beyond the upper edge.
        ax: Matplotlib Axes to draw on; `None` makes a figure.

    Returns:
        The Axes.

    Raises:
        TypeError, ValueError: If it is no such table, has no row, or no finite loss.

    Example:
        >>> losses = {"learning_rate": [0.001, 0.01, 0.1], "loss": [3.0, 1.0, 9.0], "smoothed_loss": [3.0, 2.0, 5.0]}
        >>> table = pd.DataFrame(losses)
        >>> table.attrs["suggestion"] = 0.001
        >>> plot_learning_rates(table).get_title("left")
        'Learning rate to train at: 0.001'
    """
    check_table(table, "table")
    has_columns(table.columns, ["learning_rate", "loss", "smoothed_loss"], "`table`")
    losses = table[["loss", "smoothed_loss"]].astype("float64")
    losses = losses.where(np.isfinite(losses))
    if losses.isna().all(axis=None):
        raise ValueError(
            f"`table` has no finite loss in {len(table)} steps. Look for values that are not finite in the data, or "
            "try lower rates: find_learning_rate(model, data, low=1e-9)."
        )
    ax = axes_of(ax)
    ax.plot(table["learning_rate"], losses["loss"], color=GREY, linewidth=1, alpha=0.6, label="each step")
    ax.plot(table["learning_rate"], losses["smoothed_loss"], color=BLUE, linewidth=2, label="smoothed")
    ax.set_xscale("log")
    ax.set_xlim(table["learning_rate"].min(), table["learning_rate"].max())
    smoothed = losses["smoothed_loss"].dropna()
    low, first = losses.min(axis=None), losses["loss"].dropna().iloc[0] if smoothed.empty else smoothed.iloc[0]
    top = first + 0.5 * (first - low)
    if top > low:
        ax.set_ylim(low - 0.05 * (top - low), min(top, losses.max(axis=None)) + 0.05 * (top - low))
    ax.set_xlabel("learning rate", fontsize=12)
    suggestion = table.attrs.get("suggestion", float("nan"))
    is_known = np.isfinite(suggestion)
    finish(ax, f"Learning rate to train at: {suggestion:.2g}" if is_known else "No learning rate stands out", "loss")
    if is_known:
        mark(
            ax, suggestion, f"{suggestion:.2g}", before=suggestion > table["learning_rate"].iloc[int(0.85 * len(table))]
        )
    return ax


def plot_gradient_flow(flow: pd.DataFrame, *, ax=None):
    """Draw how much of the loss's gradient reaches each time step of each recurrent layer.

    Args:
        flow: Table of `gradient_flow`: a row per time step, a column per layer. A layer that reads from the end
            (`flow.attrs["backwards"]`) is dashed; its gradient travels to the right.
        ax: Matplotlib Axes to draw on; `None` makes a figure.

    Returns:
        The Axes. Its title compares the two ends of the layer in which they differ most; steps that get nothing are
        left out of a line, since the y-axis is logarithmic.

    Raises:
        TypeError: If `flow` is no DataFrame.
        ValueError: If it is empty, or no value in it is above zero and finite.

    Example:
        >>> flow = pd.DataFrame({"lstm": [0.002, 0.02, 0.2]}, index=pd.RangeIndex(3, name="step"))
        >>> plot_gradient_flow(flow).get_title("left")
        'Gradients: step 0 gets 0.01 times what step 2 gets'
    """
    check_table(flow, "flow")
    values = flow.astype("float64")
    drawn = values.where(np.isfinite(values) & (values > 0))
    if drawn.isna().all(axis=None):
        raise ValueError(
            "`flow` holds no value above zero that could be drawn. If all are zero, a layer above the recurrent ones "
            "is zero, as a head is before training; if they are not finite, the gradient explodes. Train a few steps "
            "first, or lower the weights."
        )
    ax, backwards = axes_of(ax), flow.attrs.get("backwards", ())
    colours = [one for one in SERIES if one != GREY]
    marker = "o" if len(drawn) == 1 else None
    for place, name in enumerate(drawn):
        style = {"color": colours[place % len(colours)], "linestyle": "--" if name in backwards else "-"}
        label = None if len(drawn.columns) == 1 else name
        ax.plot(drawn.index, drawn[name], linewidth=2, marker=marker, label=label, **style)
    low, high = np.floor(np.log10([drawn.min(axis=None), drawn.max(axis=None)])).astype(int)
    decades = np.arange(low, high + 1, -(-(high - low + 1) // 5)) if high - low > 2 else ()
    logarithmic(ax, [10.0**one for one in decades])
    whole_ticks(ax, drawn.index, "time step")
    finish(ax, f"Gradients: {_flow_in_words(values, backwards)}", "gradient of the loss")
    return ax


def _flow_in_words(flow, backwards) -> str:
    """Return what the first step read gets of what the last one gets, in the layer where they differ most."""
    worst, words = -1.0, "too few steps to compare"
    for name in flow:
        read = flow[name].dropna()[:: -1 if name in backwards else 1]
        where = f" in {name}" if len(flow.columns) > 1 else ""
        if not np.isfinite(read).all():
            return f"not finite at step {read.index[~np.isfinite(read)][-1]}{where}"
        reached = read[read > 0]
        if len(read) < 2 or reached.empty:
            continue
        first, last = read.index[0], reached.index[-1]
        if read[first] == 0:
            return f"nothing reaches beyond step {reached.index[0]}{where}"
        ratio = read[first] / reached[last]
        if abs(np.log(ratio)) > worst:
            worst = abs(np.log(ratio))
            words = f"step {first} gets {ratio:.2g} times what step {last} gets{where}"
    return words
