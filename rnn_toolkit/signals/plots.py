"""Pictures of confusions, and of recordings with what was heard in them."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns
from rnn_toolkit.drawing import INK, ORANGE, axes_of
from rnn_toolkit.signals.evaluation import paired
from rnn_toolkit.signals.layers import FLOOR, LogMelSpectrogram
from rnn_toolkit.signals.sequences import checked_sequences


def plot_confusion(actual: Iterable, predicted: Iterable, *, ax=None):
    """Draw which labels were taken for which: a row a true label, shaded by the share of its rows.

    Args:
        actual: The true labels.
        predicted: As many predicted ones.
        ax: Matplotlib Axes to draw on; `None` makes a figure.

    Returns:
        The Axes.

    Raises:
        TypeError, ValueError: If they are no lists, are empty or differ in number.

    Example:
        >>> axes = plot_confusion(["a", "a", "b"], ["a", "b", "b"])
        >>> [text.get_text() for text in axes.texts]
        ['1', '1', '1']
    """
    actual, predicted = paired(actual, predicted, "label")
    classes = sorted({*actual, *predicted}, key=str)
    codes = {one: code for code, one in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), "int64")
    np.add.at(counts, ([codes[one] for one in actual], [codes[one] for one in predicted]), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 1.5 + 0.45 * len(classes)
    ax = axes_of(ax, size=(size + 0.5, size))
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ax.grid(False)  # which a style of the user's may have drawn across the numbers
    for row, column in np.argwhere(counts):
        color = "white" if shares[row, column] > 0.6 else INK
        ax.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=10, color=color)
    tilt = 90 if max(len(str(one)) for one in classes) > 3 else 0
    ax.set_xticks(range(len(classes)), [str(one) for one in classes], rotation=tilt)
    ax.set_yticks(range(len(classes)), [str(one) for one in classes])
    ax.set_xlabel("predicted", fontsize=12)
    ax.set_ylabel("true", fontsize=12)
    ax.set_title(f"{counts.trace() / len(actual):.1%} of {len(actual):,} right", loc="left", fontsize=14)
    ax.tick_params(length=0, labelsize=11)
    ax.spines[:].set_visible(False)
    return ax


def plot_spectrogram(recording, sampling_rate: int, *, alignment: pd.DataFrame | None = None, ax=None):
    """Draw the energy of a recording over time and frequency, and where its symbols were heard.

    Args:
        recording: A waveform, `(samples,)`.
        sampling_rate: Samples a second.
        alignment: Table of `align`: columns `symbol` and `seconds`.
        ax: Matplotlib Axes to draw on; `None` makes a figure.

    Returns:
        The Axes.

    Raises:
        TypeError, ValueError: If the recording is none, or the table lacks a column.

    Example:
        >>> heard = pd.DataFrame({"symbol": ["7"], "seconds": [0.5]})
        >>> [text.get_text() for text in plot_spectrogram(np.ones(8000), 8000, alignment=heard).texts]
        ['7']
    """
    (recording,) = checked_sequences([recording], "recording")
    if recording.ndim != 1:
        raise ValueError(f"`recording` must be a waveform, (samples,). Received: shape {recording.shape}.")
    energy = np.asarray(LogMelSpectrogram(sampling_rate)(recording[None]))[0].T  # (bands, frames)
    seconds = len(recording) / sampling_rate
    ax = axes_of(ax, size=(9, 3.5))
    picture = {"origin": "lower", "aspect": "auto", "cmap": "magma", "interpolation": "nearest"}
    ax.imshow(energy, extent=(0, seconds, 0, len(energy)), vmin=max(energy.min(), np.log(FLOOR)), **picture)
    ax.grid(False)
    mels = np.linspace(*1127 * np.log1p(np.array([20, sampling_rate / 2]) / 700), len(energy) + 2)
    ticks = [hertz for hertz in (250, 500, 1000, 2000, 4000, 8000) if hertz < sampling_rate / 2]
    places = np.interp(1127 * np.log1p(np.array(ticks) / 700), mels[1:-1], np.arange(len(energy)) + 0.5)
    ax.set_yticks(places, [f"{hertz:,}" for hertz in ticks])
    ax.set_xlabel("seconds", fontsize=12)
    ax.set_ylabel("hertz", fontsize=12)
    if alignment is not None:
        has_columns(alignment.columns, ["symbol", "seconds"], "`alignment`")
        for symbol, when in zip(alignment["symbol"], alignment["seconds"], strict=True):
            ax.axvline(when, color="white", linewidth=0.8, linestyle=":")
            above = {"xycoords": ax.get_xaxis_transform(), "ha": "center", "va": "bottom", "annotation_clip": False}
            ax.annotate(str(symbol), (when, 1.01), fontsize=12, color=ORANGE, weight="bold", **above)
    ax.tick_params(labelsize=11)
    ax.spines[:].set_visible(False)
    return ax
