"""From windows to a compiled `keras.Sequential` that forecasts in raw units."""

import functools
import itertools
from collections.abc import Sequence

import keras
import numpy as np

from rnn_toolkit._checks import one_of, whole_number
from rnn_toolkit.networks.optimization import make_optimizer
from rnn_toolkit.networks.recurrent import recurrent_layers
from rnn_toolkit.tables.defaults import MOST_STEPS
from rnn_toolkit.tables.layers import (
    NORMALIZATIONS,
    LinearHighway,
    OrderedQuantiles,
    PatchDecoder,
    Patches,
    RawUnits,
    middle_three,
    raw_units_of,
)
from rnn_toolkit.tables.losses import ObservedMeanAbsoluteError, ScaledAbsoluteError, ScaledPinball, ScaledSquaredError
from rnn_toolkit.tables.pretrained import load_forecaster
from rnn_toolkit.tables.starts import fit_start
from rnn_toolkit.tables.windows import Windows

LEAST_SHARE = 0.1  # of the pretrained forecaster; with less it is left out
LOSSES = {"mae": ScaledAbsoluteError, "mse": ScaledSquaredError}


def build_forecaster(
    train: Windows,
    layers: Sequence[keras.Layer] | None = None,
    *,
    patch_length: int | str = "auto",
    normalization: str | None = "last",
    quantiles: Sequence[float] | None = None,
    loss: str = "mae",
    optimizer: keras.optimizers.Optimizer | None = None,
) -> keras.Sequential:
    """Build a compiled recurrent forecaster that takes raw windows and returns raw forecasts.

    Patches of the look-back run through the recurrent layers; a decoder answers for all patches of the horizon at
    once. A linear path is added, which starts as what forecasts later training windows best (`fit_start`); the network
    begins with no share of the answer, and `train` keeps what it adds where validation data gain by it. On tables of
    few rows the pretrained forecaster (`load_forecaster`) takes part, too: its forecast and the linear one, kept within
    the middle half of what the pretrained one expects, are averaged, with shares by their errors on later training
    windows. Normalisation, category codes and column roles are inside: the `.keras` file is the whole pipeline.

    Args:
        train: Windows of the training rows, from which the linear path and the preparation are fitted.
        layers: What lies between patches and decoder; `None` takes a GRU and dropout, of 8 units on fewer than a
            hundred windows, up to 128 on 10,000, and lets the pretrained forecaster take part unless the task has
            covariates. The last must return its last state, `(batch, units)`.
        patch_length: Time steps in a patch, a divisor of the look-back; 1 for none; "auto" takes the divisor that
            leaves about 14 steps.
        normalization: "window", "last", "series" or `None`; see `RawUnits`.
        quantiles: Levels to forecast, such as (0.1, 0.5, 0.9), with 0.5 in the middle; `None` forecasts one value.
        loss: "mae" or "mse" of a point forecast. Errors count on the scale of their series.
        optimizer: Any Keras optimizer; `None` takes `make_optimizer()`.

    Returns:
        `keras.Sequential` from `(batch, lookback, features)` to `(batch, horizon, targets)`, or
        `(batch, horizon, targets, quantiles)`.

    Raises:
        TypeError: If `train` is not `Windows`.
        ValueError: On an unknown normalisation or loss, a patch length that does not divide the look-back, or
            quantiles that are not increasing, not between 0 and 1, or without 0.5 in the middle.

    Example:
        >>> import pandas as pd
        >>> from rnn_toolkit.tables.task import ForecastTask
        >>> windows = Windows(pd.DataFrame({"load": range(40)}), ForecastTask("load", horizon=6, lookback=24))
        >>> build_forecaster(windows, recurrent_layers("gru", (8,))).output_shape
        (None, 6, 1)
    """
    if not isinstance(train, Windows):
        raise TypeError(f"`train` must be `rt.Windows`. Received: {type(train).__name__}. See `rt.split_by_time`.")
    one_of(normalization, "normalization", NORMALIZATIONS)
    one_of(loss, "loss", LOSSES)
    task = train.task
    length = _patch_length(patch_length, task.fitted_lookback)
    quantiles = None if quantiles is None else _checked_quantiles(quantiles)
    num_targets = len(task.target)
    units, pretrained = 128, None
    if layers is None:
        units = _units(len(train.all_starts) * num_targets)
        layers = [*recurrent_layers("gru", (units,)), keras.layers.Dropout(0.3)]
        pretrained = _pretrained(train) if normalization is not None else None
    core = [keras.layers.Cropping1D((task.before_reach, 0))] if task.before_reach else []
    core += [Patches(length), keras.layers.Dense(units, activation="relu")] if length > 1 else []
    core += layers
    core.append(PatchDecoder(task.horizon, length, num_targets * len(quantiles or (None,))))
    if quantiles is not None:
        core += [keras.layers.Reshape((task.horizon, num_targets, len(quantiles))), OrderedQuantiles()]
    other = None if pretrained is None else functools.partial(_differences_of, pretrained, train.table)
    linear, share = fit_start(train.table, train.all_starts, other)
    share = share if share > LEAST_SHARE else 0.0
    highway = LinearHighway(
        keras.Sequential(core, name="core"),
        horizon=task.horizon,
        num_targets=num_targets,
        season_length=task.season_length,
        partner=raw_units_of(pretrained).core if share else None,
        share=share,
        within=True,
        name="highway",
    )
    raw_units = RawUnits(highway, train.preparation, normalization=normalization, quantiles=quantiles, name="raw_units")
    model = keras.Sequential([keras.Input((task.lookback, len(train.feature_names))), raw_units], name="forecaster")
    if linear is not None:
        highway.start_from(linear)
    chosen = LOSSES[loss]() if quantiles is None else ScaledPinball(quantiles)
    model.compile(optimizer or make_optimizer(), loss=chosen, weighted_metrics=[ObservedMeanAbsoluteError()])
    return model


def _pretrained(train) -> keras.Sequential | None:
    """Return the pretrained forecaster of these windows; `None` where it knows too little or takes too long."""
    task = train.task
    if task.has_covariates or len(train.all_starts) * len(task.target) * task.lookback > MOST_STEPS:
        return None
    return load_forecaster(train)


def _differences_of(model, table, starts, targets) -> np.ndarray:
    """Return a model's three middle quantiles of targets less their last value, on the scale of each series."""
    outputs = keras.ops.convert_to_numpy(model(Windows.of_table(table, starts, batch_size=len(starts))[0][0]))
    last = table.values[starts + table.task.lookback - 1, targets][:, None, None]
    middle = middle_three(outputs[np.arange(len(starts)), :, targets])  # (windows, horizon, 3)
    return (middle - last) / table.scale[table.series_of(starts), targets][:, None, None]


def _patch_length(patch_length, lookback) -> int:
    """Return the checked patch length; "auto" is the divisor that comes nearest to 14 patches."""
    divisors = [length for length in range(1, lookback + 1) if lookback % length == 0]
    if patch_length == "auto":
        return min(divisors, key=lambda length: abs(lookback / length - 14))
    length = whole_number(patch_length, "patch_length")
    if length not in divisors:
        raise ValueError(
            f"`patch_length` must divide the look-back. Received: patch_length={length}, lookback={lookback}. "
            f"The nearest that does is {min(divisors, key=lambda one: abs(one - length))}."
        )
    return length


def _units(windows) -> int:
    """Return how wide a network may be: about six weights a training window, in powers of two up to 128.

    Source: That weights should grow with examples in proportion, Baum and Haussler, 1989, "What size net gives valid
        generalization?", Neural Computation 1(1). A GRU has some 6 units² of them, so that units go with the root.
    """
    return int(np.clip(2 ** np.round(np.log2(windows) / 2), 8, 128))


def _checked_quantiles(quantiles) -> tuple[float, ...]:
    levels = tuple(float(level) for level in quantiles)
    increasing = all(low < high for low, high in itertools.pairwise(levels))
    if not levels or not increasing or not (0 < levels[0] and levels[-1] < 1) or levels[len(levels) // 2] != 0.5:
        raise ValueError(
            "`quantiles` must increase, lie between 0 and 1, and have 0.5 in the middle. "
            f"Received: {quantiles}. For instance: (0.1, 0.5, 0.9)."
        )
    return levels
