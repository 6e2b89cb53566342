"""What a forecast must beat: the last value, the last season, a straight line, and a linear model over the look-back.

Each baseline is forecast from the rows of a table. A new one is a name in `BASELINES` and a branch of
`baseline_forecasts`.

Left out on purpose: exponential smoothing and ARIMA. They are fitted series by series; statsforecast does it well.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from rnn_toolkit.tables.fitting import fit_target
from rnn_toolkit.tables.table import Table

BASELINES = ("naive", "seasonal_naive", "drift", "nlinear")
# Enough to fit the linear model closely; more would only take time.
MAX_TRAINING_WINDOWS = 50_000
# Share of the inputs' mean square. Makes the normal equations solvable (the last row of a look-back, subtracted from
# itself, is always 0), steadies the fit on a table of a hundred rows, and changes nothing to speak of on a large one.
# Of 1e-4 to 1e-1 the best or close to it on the validation rows of the bundled tables, ETTh1 and Beijing PM2.5.
PENALTY = 1e-2


def seasonal_naive(history: np.ndarray, horizon: int, *, season_length: int) -> np.ndarray:
    """Repeat the last season.

    Args:
        history: Past values, `(batch, rows)` or `(batch, rows, targets)`, at least one season.
        horizon: Steps to forecast, in rows.
        season_length: Rows in one season.

    Returns:
        `(batch, horizon)` or `(batch, horizon, targets)`.

    Raises:
        ValueError: If there is less than one season.

    Example:
        >>> seasonal_naive(np.array([[1.0, 3.0, 2.0]]), 3, season_length=2).tolist()
        [[3.0, 2.0, 3.0]]

    Source: Hyndman and Athanasopoulos, 2021, Forecasting: Principles and Practice, 3rd edition, section 5.2.
    """
    if history.shape[1] < season_length:
        raise ValueError(f"`history` has {history.shape[1]} rows, less than a season of {season_length}. Pass more.")
    return history[:, -season_length:][:, np.arange(horizon) % season_length]


def fit_nlinear(batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Fit one linear model of the differences to the last value, by ridge regression in closed form.

    Args:
        batches: Pairs of inputs `(batch, lookback)` and the steps that follow, `(batch, horizon)`, on one scale;
            at least one pair. Memory grows with one batch.

    Returns:
        Weights `(lookback + 1, horizon)`, the last row for the constant.

    Example:
        >>> x = np.array([[0.0, 1.0], [0.0, 2.0], [3.0, 5.0]])  # each step goes on by as much as the one before
        >>> y = np.array([[2.0], [4.0], [7.0]])
        >>> nlinear(np.array([[[10.0], [14.0]]]), fit_nlinear([(x, y)])).round().tolist()
        [[[18.0]]]

    Source: Zeng et al., 2023, "Are transformers effective for time series forecasting?", AAAI Conference on
        Artificial Intelligence 37 (NLinear; there fitted by gradient descent).
    """
    gram = moment = 0.0
    for x, y in batches:
        last = x[:, -1:].astype("float64")
        inputs = np.concatenate([x - last, np.ones_like(last)], axis=1)  # (batch, lookback + 1)
        gram = gram + inputs.T @ inputs
        moment = moment + inputs.T @ (y - last)
    penalty = PENALTY * np.trace(gram[:-1, :-1]) / (len(gram) - 1) or 1.0  # a look-back of one row leaves only zeros
    gram[:-1, :-1] += penalty * np.eye(len(gram) - 1)  # the constant goes free
    return np.linalg.solve(gram, moment)


def nlinear(history: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Forecast with the weights of `fit_nlinear`, each target by itself.

    Args:
        history: Past values, `(batch, lookback, targets)`.
        weights: `(lookback + 1, horizon)`.

    Returns:
        `(batch, horizon, targets)`.

    Example:
        >>> nlinear(np.array([[[1.0], [3.0]]]), np.array([[0.5], [0.0], [0.25]])).tolist()
        [[[2.25]]]
    """
    series = np.moveaxis(history, 1, -1)  # (batch, targets, lookback)
    flat = series.reshape(-1, series.shape[-1])  # one product instead of one per window
    forecasts = (flat - flat[:, -1:]) @ weights[:-1] + weights[-1] + flat[:, -1:]
    return np.moveaxis(forecasts.reshape(*series.shape[:-1], -1), -1, 1)


def baseline_forecasts(name: str, table: Table, starts: np.ndarray, *, batch_size: int = 1024) -> np.ndarray | None:
    """Forecast the targets of some windows of a table with one baseline.

    Each forecast sees the rows of its series up to its cutoff, filled where missing: also those before the window,
    and none from before the first value that is there.

    Args:
        name: One of `BASELINES`.
        table: The table that the windows are cut from.
        starts: First rows of the windows, `(num_windows,)`.
        batch_size: Windows at a time.

    Returns:
        `(num_windows, horizon, targets)` float32, less `table.offset`; `None` for "seasonal_naive" where the task has
        no season, and for "nlinear" where no training window ends before the first target of its series among `starts`.
    """
    task, num_targets = table.task, len(table.task.target)
    season = task.season_length or 1
    if name == "seasonal_naive" and task.season_length is None:
        return None
    values = table.values[:, :num_targets]
    first_rows = _first_observed(table)
    if name == "nlinear":
        # Rows that are judged are not learnt from, where training windows are judged, say.
        ends = np.minimum(table.end_of_training, table.first_targets(starts))
        weights = fit_on_windows(table, table.starts(table.offsets[:-1], ends))
        if weights is None:
            return None
    forecasts = np.empty((len(starts), task.horizon, num_targets), dtype="float32")
    for begin in range(0, len(starts), batch_size):
        part = slice(begin, begin + batch_size)
        cutoffs = starts[part] + task.lookback - 1
        series = table.series_of(cutoffs)
        first, last = first_rows[series], values[cutoffs]  # (batch, targets)
        if name == "naive":
            forecasts[part] = last[:, None]
        elif name == "seasonal_naive":
            rows = cutoffs[:, None] + np.arange(1 - season, 1)  # may begin before the series, and is not used then
            repeated = seasonal_naive(values[np.maximum(rows, 0)], task.horizon, season_length=season)
            is_whole = rows[:, :1] >= first
            forecasts[part] = np.where(is_whole[:, None], repeated, last[:, None])
        elif name == "drift":
            first = np.minimum(first, cutoffs[:, None])
            start = np.take_along_axis(values, first, axis=0)
            slope = np.asarray((last - start) / np.maximum(cutoffs[:, None] - first, 1))[:, None]  # (batch, 1, targets)
            forecasts[part] = last[:, None] + slope * np.arange(1, task.horizon + 1).reshape(1, -1, 1)
        else:
            # The constant counts in scales of the series, and as good as nothing where it has never moved.
            own = np.where(table.moves, table.scale, 1e-4 * table.scale)
            own = own[series][:, None].astype("float32")  # (batch, 1, targets)
            history = values[starts[part][:, None] + np.arange(task.before_reach, task.lookback)] / own
            forecasts[part] = nlinear(history, weights) * own
    return forecasts


def mase_scales(table: Table, starts: np.ndarray) -> np.ndarray:
    """Return the `naive_scale` of each target in training, NaN where it has none, by series: `(num_series, targets)`.

    The preparation has it where the task has a season. Without one it is taken over single steps of the rows before
    the end of training; a series that has none of them counts up to its first target.
    """
    task, preparation = table.task, table.preparation
    scales = preparation.of_series("naive_scale" if preparation.naive_scale else "scale", table.codes)
    ends, first = table.end_of_training, table.first_targets(starts)
    ends = np.where(ends - table.offsets[:-1] > 1, ends, first)
    for number in range(len(table.names)):
        if task.season_length is None or table.codes[number] == 0:
            rows = slice(table.offsets[number], ends[number])
            scales[number] = [fit_target(column, task.season_length).naive_scale for column in table.targets[rows].T]
    return np.where(scales > 0, scales, np.nan)


def fit_on_windows(table: Table, starts: np.ndarray) -> np.ndarray | None:
    """Fit the linear model on windows of a table, each divided by the scale of its series.

    Args:
        table: The table that the windows are cut from.
        starts: First rows of the windows, `(num_windows,)`. At most `MAX_TRAINING_WINDOWS` of them are used, evenly.

    Returns:
        Weights `(reach + 1, horizon)` float32, as of `fit_nlinear`: one matrix for all series and targets, as
        published. `None` if no window has all its targets.
    """
    windows, targets = whole_windows(table, starts)
    return fit_nlinear(_training_batches(table, windows, targets)).astype("float32") if len(windows) else None


def whole_windows(table: Table, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first row and target of windows that have every step of that target, at most `MAX_TRAINING_WINDOWS`."""
    first_targets, after = starts + table.task.lookback, starts + table.task.lookback + table.task.horizon
    missing = np.concatenate([np.zeros((1, table.observed.shape[1]), int), np.cumsum(~table.observed, axis=0)])
    windows, targets = np.nonzero(missing[after] == missing[first_targets])  # (windows, targets)
    chosen = evenly(np.arange(len(windows)), MAX_TRAINING_WINDOWS)
    return starts[windows[chosen]], targets[chosen]


def evenly(places: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of some places, spread evenly."""
    return places[np.unique(np.linspace(0, len(places) - 1, num=most).astype(int))] if len(places) else places


def _first_observed(table) -> np.ndarray:
    """Return the first row of each series that has the target, its end if none has: `(num_series, targets)`."""
    rows = np.where(table.observed, np.arange(len(table))[:, None], len(table))
    return np.minimum(np.minimum.reduceat(rows, table.offsets[:-1], axis=0), table.offsets[1:, None])


def _training_batches(table, starts, targets, batch_size=4096) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    before, lookback = table.task.before_reach, table.task.lookback
    size = lookback + table.task.horizon
    windows = np.lib.stride_tricks.sliding_window_view(table.values, size, axis=0)  # (rows, channels, size)
    for begin in range(0, len(starts), batch_size):
        rows, target = starts[begin : begin + batch_size], targets[begin : begin + batch_size]
        series = windows[rows, target] / table.scale[table.series_of(rows), target][:, None]  # (batch, size)
        yield series[:, before:lookback], series[:, lookback:]
