"""What a forecast must beat: the last value, the last season, a straight line, and a linear model over the look-back.

A forecaster takes `history`, `(batch, rows)` or `(batch, rows, targets)`, oldest row first and nothing missing, and
returns `(batch, horizon)` or `(batch, horizon, targets)`. `baseline_forecasts` feeds them from the rows of a table.

Left out on purpose: exponential smoothing and ARIMA. They are fitted series by series; statsforecast does it well.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from rnn_toolkit._checks import one_of, whole_number
from rnn_toolkit.tables.fitting import naive_scale
from rnn_toolkit.tables.table import Table

BASELINES = ("naive", "seasonal_naive", "drift", "nlinear", "naive2")
# Enough to fit the linear model closely; more would only take time.
MAX_TRAINING_WINDOWS = 50_000
# Share of the inputs' mean square. Makes the normal equations solvable (the last row of a look-back, subtracted from
# itself, is always 0), steadies the fit on a table of a hundred rows, and changes nothing to speak of on a large one.
# Of 1e-4 to 1e-1 the best or close to it on the validation rows of the bundled tables, ETTh1 and Beijing PM2.5.
PENALTY = 1e-2


def naive(history: np.ndarray, horizon: int) -> np.ndarray:
    """Repeat the last value.

    Args:
        history: Past values, `(batch, rows)` or `(batch, rows, targets)`.
        horizon: Steps to forecast, in rows.

    Returns:
        `(batch, horizon)` or `(batch, horizon, targets)`.

    Raises:
        TypeError, ValueError: If `history` has another number of axes or no row, or `horizon` is no positive number.

    Example:
        >>> naive(np.array([[1.0, 3.0, 2.0]]), 2).tolist()
        [[2.0, 2.0]]

    Source: Hyndman and Athanasopoulos, 2021, Forecasting: Principles and Practice, 3rd edition, section 5.2.
    """
    history, horizon = _checked(history, horizon)
    return np.repeat(history[:, -1:], horizon, axis=1)


def seasonal_naive(history: np.ndarray, horizon: int, *, season_length: int) -> np.ndarray:
    """Repeat the last season; where there is less than one, repeat the last value.

    Args:
        history: Past values, `(batch, rows)` or `(batch, rows, targets)`.
        horizon: Steps to forecast, in rows.
        season_length: Rows in one season.

    Returns:
        `(batch, horizon)` or `(batch, horizon, targets)`.

    Raises:
        TypeError, ValueError: As for `naive`, and if `season_length` is no positive whole number.

    Example:
        >>> seasonal_naive(np.array([[1.0, 3.0, 2.0]]), 3, season_length=2).tolist()
        [[3.0, 2.0, 3.0]]

    Source: Hyndman and Athanasopoulos, 2021, Forecasting: Principles and Practice, 3rd edition, section 5.2.
    """
    history, horizon = _checked(history, horizon)
    season_length = whole_number(season_length, "season_length")
    if history.shape[1] < season_length:
        return naive(history, horizon)
    return history[:, -season_length:][:, np.arange(horizon) % season_length]


def drift(history: np.ndarray, horizon: int) -> np.ndarray:
    """Go on along the straight line through the first and the last value.

    Args:
        history: Past values, `(batch, rows)` or `(batch, rows, targets)`.
        horizon: Steps to forecast, in rows.

    Returns:
        `(batch, horizon)` or `(batch, horizon, targets)`.

    Raises:
        TypeError, ValueError: As for `naive`.

    Example:
        >>> drift(np.array([[1.0, 3.0, 2.0]]), 2).tolist()
        [[2.5, 3.0]]

    Source: Hyndman and Athanasopoulos, 2021, Forecasting: Principles and Practice, 3rd edition, section 5.2.
    """
    history, horizon = _checked(history, horizon)
    return _line(history[:, 0], history[:, -1], history.shape[1] - 1, horizon)


def naive2(history: np.ndarray, horizon: int, *, season_length: int) -> np.ndarray:
    """Repeat the last value after taking the season out, and put the season back: the yardstick of the M4 competition.

    The season counts if the autocorrelation at its length is significant at 90 %, and all values are positive; its
    factors come from a classical multiplicative decomposition. Otherwise this is `naive`.

    Args:
        history: Past values, `(batch, rows)` or `(batch, rows, targets)`; fewer than three seasons count as none.
        horizon: Steps to forecast, in rows.
        season_length: Rows in one season.

    Returns:
        `(batch, horizon)` or `(batch, horizon, targets)`, float64.

    Raises:
        TypeError, ValueError: As for `seasonal_naive`.

    Example:
        >>> naive2(np.array([[1.0, 3.0] * 8]), 3, season_length=2).round(6).tolist()
        [[1.0, 3.0, 1.0]]

    Source: Makridakis, Spiliotis and Assimakopoulos, 2020, "The M4 Competition: 100,000 time series and 61 forecasting
        methods", International Journal of Forecasting 36(1). Decomposition: Hyndman and Athanasopoulos, 2021,
        Forecasting: Principles and Practice, 3rd edition, section 3.4.
    """
    history, horizon = _checked(history, horizon)
    season_length = whole_number(season_length, "season_length")
    rows = history.shape[1]
    series = np.moveaxis(history, 1, -1).astype("float64")  # (batch[, targets], rows)
    factors = np.ones((*series.shape[:-1], season_length))
    seasonal = _is_seasonal(series, season_length) & (series > 0).all(axis=-1)
    if seasonal.any():
        factors[seasonal] = _seasonal_factors(series[seasonal], season_length)
    level = series[..., -1:] / factors[..., [(rows - 1) % season_length]]
    return np.moveaxis(level * factors[..., (rows + np.arange(horizon)) % season_length], -1, 1)


def fit_nlinear(batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Fit one linear model of the differences to the last value, by ridge regression in closed form.

    Args:
        batches: Pairs of inputs `(batch, lookback)` and the steps that follow, `(batch, horizon)`, on one scale.
            Memory grows with one batch.

    Returns:
        Weights `(lookback + 1, horizon)`, the last row for the constant.

    Raises:
        ValueError: If there is no batch.

    Example:
        >>> x = np.array([[0.0, 1.0], [0.0, 2.0], [3.0, 5.0]])  # each step goes on by as much as the one before
        >>> y = np.array([[2.0], [4.0], [7.0]])
        >>> nlinear(np.array([[10.0, 14.0]]), fit_nlinear([(x, y)])).round().tolist()
        [[18.0]]

    Source: Zeng et al., 2023, "Are transformers effective for time series forecasting?", AAAI Conference on
        Artificial Intelligence 37 (NLinear; there fitted by gradient descent).
    """
    gram = moment = None
    for x, y in batches:
        last = x[:, -1:].astype("float64")
        inputs = np.concatenate([x - last, np.ones_like(last)], axis=1)  # (batch, lookback + 1)
        if gram is None:
            gram, moment = np.zeros((inputs.shape[1],) * 2), np.zeros((inputs.shape[1], y.shape[1]))
        gram += inputs.T @ inputs
        moment += inputs.T @ (y - last)
    if gram is None:
        raise ValueError("`batches` is empty: nothing to fit. Pass at least one pair of inputs and targets.")
    penalty = PENALTY * np.trace(gram[:-1, :-1]) / (len(gram) - 1) or 1.0  # a look-back of one row leaves only zeros
    gram[:-1, :-1] += penalty * np.eye(len(gram) - 1)  # the constant goes free
    return np.linalg.solve(gram, moment)


def nlinear(history: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Forecast with the weights of `fit_nlinear`.

    Args:
        history: Past values, `(batch, lookback)` or `(batch, lookback, targets)`.
        weights: `(lookback + 1, horizon)`.

    Returns:
        `(batch, horizon)` or `(batch, horizon, targets)`.

    Raises:
        TypeError, ValueError: As for `naive`, and if `weights` belong to another look-back.

    Example:
        >>> nlinear(np.array([[1.0, 3.0]]), np.array([[0.5], [0.0], [0.25]])).tolist()
        [[2.25]]
    """
    history, _ = _checked(history, weights.shape[1])
    if len(weights) != history.shape[1] + 1:
        raise ValueError(
            f"`weights` were fitted on a look-back of {len(weights) - 1} rows, but `history` has {history.shape[1]}. "
            "Cut the history to the same look-back."
        )
    series = np.moveaxis(history, 1, -1)  # (batch[, targets], lookback)
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
        `(num_windows, horizon, targets)` float32; `None` for "seasonal_naive" where the task has no season, and for
        "nlinear" where no training window ends before the first target of its series among `starts`.

    Raises:
        ValueError: If the baseline is unknown.
    """
    one_of(name, "baselines", BASELINES)
    task, num_targets = table.task, len(table.task.target)
    season = task.season_length or 1
    if name == "seasonal_naive" and task.season_length is None:
        return None
    values = table.values[:, :num_targets]
    first_rows = _first_observed(table)
    if name == "nlinear":
        weights = fit_on_windows(table, _starts_before(table, training_ends(table, starts)))
        if weights is None:
            return None
    forecasts = np.empty((len(starts), task.horizon, num_targets), dtype="float32")
    for begin in range(0, len(starts), batch_size):
        part = slice(begin, begin + batch_size)
        cutoffs = starts[part] + task.lookback - 1
        series = table.series_of(cutoffs)
        first, last = first_rows[series], values[cutoffs]  # (batch, targets)
        if name == "naive":
            forecasts[part] = naive(last[:, None], task.horizon)
        elif name == "seasonal_naive":
            rows = cutoffs[:, None] + np.arange(1 - season, 1)  # may begin before the series, and is not used then
            repeated = seasonal_naive(values[np.maximum(rows, 0)], task.horizon, season_length=season)
            is_whole = rows[:, :1] >= first
            forecasts[part] = np.where(is_whole[:, None], repeated, last[:, None])
        elif name == "drift":
            first = np.minimum(first, cutoffs[:, None])
            start = np.take_along_axis(values, first, axis=0)
            forecasts[part] = _line(start, last, cutoffs[:, None] - first, task.horizon)
        elif name == "naive2":
            for window, cutoff in enumerate(cutoffs, start=begin):
                for target, row in enumerate(np.minimum(first_rows[table.series_of(cutoff)], cutoff)):
                    history = values[None, row : cutoff + 1, target]
                    forecasts[window, :, target] = naive2(history, task.horizon, season_length=season)[0]
        else:
            own = table.scale[series][:, None].astype("float32")  # (batch, 1, targets)
            history = values[starts[part][:, None] + np.arange(task.lookback)] / own
            forecasts[part] = nlinear(history, weights) * own
    return forecasts


def training_ends(table: Table, starts: np.ndarray) -> np.ndarray:
    """Return, for each series, the row after the last that a baseline may be fitted on: `(num_series,)`.

    That is the end of the training rows, or the first target of the windows to be judged if it comes earlier, as it
    does where training windows are judged.
    """
    return np.minimum(table.end_of_training, first_targets(table, starts))


def first_targets(table: Table, starts: np.ndarray) -> np.ndarray:
    """Return the first row of each series that is a target of a window, its end if none is: `(num_series,)`."""
    rows = table.offsets[1:].copy()
    np.minimum.at(rows, table.series_of(starts), starts + table.task.lookback)
    return rows


def mase_scales(table: Table, starts: np.ndarray) -> np.ndarray:
    """Return the mean absolute (seasonal) difference of each target in training, by series: `(num_series, targets)`.

    The preparation has it where the task has a season. Without one it is taken over single steps of the rows before
    the end of training; a series that has none of them counts up to its first target.
    """
    task = table.task
    scales = table.preparation.of_series("scale", table.codes)
    ends, first = table.end_of_training, first_targets(table, starts)
    ends = np.where(ends - table.offsets[:-1] > 1, ends, first)
    for number in range(len(table.names)):
        if task.season_length is None or table.codes[number] == 0:
            rows = slice(table.offsets[number], ends[number])
            present = np.where(table.observed[rows], table.values[rows, : len(task.target)], np.nan)
            scales[number] = [naive_scale(column, task.season_length) for column in present.T]
    return scales


def _checked(history, horizon) -> tuple[np.ndarray, int]:
    history = np.asarray(history)
    if history.ndim not in (2, 3) or not history.shape[1]:
        raise ValueError(
            "`history` must have the shape (batch, rows) or (batch, rows, targets), with at least one row. "
            f"Received: {history.shape}. Reshape it, or pass more rows."
        )
    return history, whole_number(horizon, "horizon")


def _line(first, last, rows, horizon) -> np.ndarray:
    """Return the line through two values that lie `rows` apart, from the step after the last one on."""
    slope = np.asarray((last - first) / np.maximum(rows, 1))[:, None]  # (batch, 1[, targets])
    steps = np.arange(1, horizon + 1).reshape(1, -1, *[1] * (slope.ndim - 2))
    return last[:, None] + slope * steps


def _is_seasonal(series, season_length) -> np.ndarray:
    """Return which series `(..., rows)` have a significant autocorrelation at the length of the season."""
    rows = series.shape[-1]
    if season_length == 1 or rows < 3 * season_length:
        return np.zeros(series.shape[:-1], dtype=bool)
    centered = series - series.mean(axis=-1, keepdims=True)
    products = [(centered[..., lag:] * centered[..., : rows - lag]).sum(axis=-1) for lag in range(season_length + 1)]
    variance = np.where(products[0] > 0, products[0], 1.0)  # a constant series has no season
    correlation = np.stack(products[1:], axis=-1) / variance[..., None]  # (..., season_length)
    # 1.645: two-sided test at 90 %. The variance is that of Bartlett's formula, as in the competition.
    limit = 1.645 * np.sqrt((1 + 2 * (correlation[..., :-1] ** 2).sum(axis=-1)) / rows)
    return np.abs(correlation[..., -1]) > limit


def _seasonal_factors(series, season_length) -> np.ndarray:
    """Return the factor of each place in the season, with a mean of 1: `(num_series, season_length)`."""
    half = season_length // 2
    if season_length % 2:
        kernel = np.full(season_length, 1 / season_length)
    else:
        kernel = np.full(season_length + 1, 1 / season_length)
        kernel[[0, -1]] /= 2
    trend = np.lib.stride_tricks.sliding_window_view(series, len(kernel), axis=-1) @ kernel
    ratios = series[:, half : half + trend.shape[-1]] / trend
    factors = [
        ratios[:, (place - half) % season_length :: season_length].mean(axis=-1) for place in range(season_length)
    ]
    return np.stack(factors, axis=-1) / np.mean(factors, axis=0)[:, None]


def _first_observed(table) -> np.ndarray:
    """Return the first row of each series that has the target, its end if none has: `(num_series, targets)`."""
    rows = np.where(table.observed, np.arange(len(table))[:, None], len(table))
    return np.minimum(np.minimum.reduceat(rows, table.offsets[:-1], axis=0), table.offsets[1:, None])


def fit_on_windows(table: Table, starts: np.ndarray) -> np.ndarray | None:
    """Fit the linear model on windows of a table, each divided by the scale of its series.

    Args:
        table: The table that the windows are cut from.
        starts: First rows of the windows, `(num_windows,)`. At most `MAX_TRAINING_WINDOWS` of them are used, evenly.

    Returns:
        Weights `(lookback + 1, horizon)` float32, as of `fit_nlinear`: one matrix for all series and targets, as
        published. `None` if no window has all its targets.
    """
    first_targets, after = starts + table.task.lookback, starts + table.task.lookback + table.task.horizon
    missing = np.concatenate([np.zeros((1, table.observed.shape[1]), int), np.cumsum(~table.observed, axis=0)])
    windows, targets = np.nonzero(missing[after] == missing[first_targets])  # (windows, targets)
    if not len(windows):
        return None
    chosen = np.unique(np.linspace(0, len(windows) - 1, num=MAX_TRAINING_WINDOWS).astype(int))
    return fit_nlinear(_training_batches(table, starts[windows[chosen]], targets[chosen])).astype("float32")


def _starts_before(table, ends) -> np.ndarray:
    """Return the first rows of all windows whose targets all come before `ends`, a row for each series."""
    size = table.task.lookback + table.task.horizon
    return np.concatenate(
        [np.arange(first, end - size + 1) for first, end in zip(table.offsets[:-1], ends, strict=True)]
    )


def _training_batches(table, starts, targets, batch_size=4096) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    lookback, size = table.task.lookback, table.task.lookback + table.task.horizon
    windows = np.lib.stride_tricks.sliding_window_view(table.values, size, axis=0)  # (rows, channels, size)
    for begin in range(0, len(starts), batch_size):
        rows, target = starts[begin : begin + batch_size], targets[begin : begin + batch_size]
        series = windows[rows, target] / table.scale[table.series_of(rows), target][:, None]  # (batch, size)
        yield series[:, :lookback], series[:, lookback:]
