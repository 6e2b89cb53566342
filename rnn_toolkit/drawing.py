"""What all pictures share: colours, axes, ticks and titles.

Matplotlib is imported when the first picture is drawn, and its global settings are left alone.
"""

import pandas as pd

from rnn_toolkit._checks import optional_package

# Colours that people with a colour vision deficiency can tell apart: Okabe and Ito, 2008, "Color universal design".
INK, GREY, BLUE, ORANGE = "#333333", "#8c8c8c", "#0072b2", "#e69f00"
TINTS = ("#99c7e0", "#cce3f0", "#e0eef7")  # of blue, for the narrowest interval first
SERIES = (BLUE, ORANGE, "#009e73", "#cc79a7", GREY, "#d55e00", "#56b4e9")


def check_table(table, name):
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"`{name}` must be a pandas DataFrame. Received: {type(table).__name__}.")
    if not len(table) or not len(table.columns):
        raise ValueError(f"`{name}` holds nothing to draw: {len(table)} rows, {len(table.columns)} columns.")


def axes_of(ax, *, size=(9, 4)):
    """Return the Axes to draw on; a new figure has a size in inches."""
    if ax is not None:
        return ax
    pyplot = optional_package("matplotlib.pyplot", extra="plot", purpose="A picture")
    return pyplot.subplots(figsize=size, layout="constrained")[1]


def logarithmic(ax, ticks=()):
    """Make the y-axis logarithmic, with numbers that read like numbers."""
    from matplotlib import ticker

    ax.set_yscale("log")
    few = 0 < len(ticks) <= 5
    ax.yaxis.set_major_locator(ticker.FixedLocator(ticks) if few else ticker.LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_minor_locator(ticker.NullLocator())
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.3g}"))


def plain_numbers(ax):
    from matplotlib import ticker

    ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.3g}"))


def whole_ticks(ax, numbers, label):
    from matplotlib import ticker

    ax.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_xlabel(label, fontsize=12)


def mark(ax, x, text, *, before=False):
    """Draw a thin vertical line with its label at the top."""
    x, (low, high) = ax.convert_xunits(x), ax.get_xlim()
    before = before or x > low + 0.85 * (high - low)
    ax.axvline(x, color=GREY, linewidth=0.8, zorder=1)
    style = {"fontsize": 11, "color": INK, "va": "top", "ha": "right" if before else "left"}
    where = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points"}
    ax.annotate(text, (x, 1), (-4 if before else 4, 0), **where, **style)


def finish(ax, title, label):
    """Give a picture its title, its legend above the data, and as few other lines as it can do with."""
    has_legend = bool(ax.get_legend_handles_labels()[0])
    ax.set_title(title, loc="left", fontsize=14, pad=28 if has_legend else 12)
    ax.set_ylabel(label, fontsize=12)
    spacing = {"borderaxespad": 0, "borderpad": 0.2, "handlelength": 1.5, "columnspacing": 1.4}
    if has_legend:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=8, frameon=False, fontsize=11, **spacing)
    ax.tick_params(labelsize=11, length=3, color=GREY)
    ax.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(GREY)
