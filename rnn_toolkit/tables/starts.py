"""The linear forecast that a network starts from: in closed form, and as good as the best simple forecast.

Least squares over the look-back overfits a short table, and copying wastes a long one. So ridge regressions of what
simple forecasts leave over, with penalties from almost none to infinite, on the whole look-back and on its recent half,
are tried on later training windows, and averaged by their errors there. All are linear in the look-back, and so is
their mean: one matrix for the highway.

Left out on purpose: a search for the best parameters of exponential smoothing, series by series. A fixed set of them is
mixed instead, for all series at once.
"""

import itertools
from collections.abc import Callable

import numpy as np
from scipy.optimize import lsq_linear

from rnn_toolkit.tables.baselines import evenly, whole_windows
from rnn_toolkit.tables.table import Table

MAX_JUDGED_WINDOWS = 1000  # in each fold
MAX_COMPARED_WINDOWS = 256  # with another forecaster, which may take its time
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of another forecaster, to be averaged likewise
# Rate of level, rate of trend beside it and its damping, rate of the season: what is usual in Hyndman and
# Athanasopoulos, 2021, chapter 8.
LEVELS, TRENDS, SEASONS = (0.1, 0.3, 0.6, 1.0), ((0.0, 1.0), (0.1, 0.9), (0.1, 1.0), (0.3, 0.9)), (0.1, 0.4)
# Of the mean square of the look-back's differences in all training windows.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, np.inf)
CUTS = (0.5, 0.625, 0.75, 0.875)  # of the time that the targets span: what lies before is fitted, up to the next judged
# A model that errs 10 % more counts 0.4 times as much. Chosen on tables of the benchmark; 5 to 20 is alike.
SHARPNESS = 10
# What is believed of the shares before any window was judged, each twice as much as the one before; and how much
# sharper each window makes the choice that overlaps with none before. Chosen on 264 tables for development (RESULTS).
BELIEF, SHARPNESS_A_WINDOW = 2.0 ** np.arange(5) / 31, 4


def fit_start(table: Table, starts: np.ndarray, other: Callable | None = None) -> tuple[np.ndarray | None, float]:
    """Fit the linear model that forecasts best on later windows among the training windows.

    Args:
        table: The table that the windows are cut from.
        starts: First rows of the training windows, `(num_windows,)`.
        other: A forecaster that needs no fit: from first rows of windows and their targets, `(num_windows,)` both, to
            the differences to the last value, on the scale of each series: its middle, and the bounds between which the
            linear forecast may lie where both are averaged, `(num_windows, horizon, 3)`, the middle in the middle.

    Returns:
        Weights `(lookback + 1, horizon)` float32 of the differences to the last value, on the scale of each series; the
        last row is the constant. One matrix for all series and targets. `None` if no window has all its targets. And
        the share of the other forecaster in the mean of both.

    Source: Penalties by rolling origins, Hyndman and Athanasopoulos, 2021, Forecasting: Principles and Practice, 3rd
        edition, section 5.10. Means of forecasts: Timmermann, 2006, "Forecast combinations", Handbook of Economic
        Forecasting 1.
    """
    windows, targets = whole_windows(table, starts)
    if not len(windows):
        return None, 0.0
    lookback, horizon = table.task.fitted_lookback, table.task.horizon
    series = table.series_of(windows)
    times = table.first[series] + windows + table.task.lookback - table.offsets[series]  # of the first target
    cuts = times.min() + np.array(CUTS) * (times.max() + 1 - times.min())
    known = np.searchsorted(cuts, times + horizon)  # the first fold that may learn from a window
    judged = np.searchsorted(cuts, times, side="right") - 1  # the fold that is judged by it
    # Second moments of x less its last value, 1, and y likewise: all that a fit needs of the windows.
    moments = np.zeros((len(cuts) + 1, *[lookback + 1 + horizon] * 2))
    for rows, differences in _differences(table, windows, targets):
        for fold in np.unique(known[rows]):
            part = differences[known[rows] == fold]
            moments[fold] += part.T @ part
    moments = moments.cumsum(axis=0)
    season = table.task.season_length or 1
    half = season * round(lookback / 2 / season)  # whole seasons
    simple = [simple_forecasts(rows, horizon, season) for rows in ((half, lookback) if half > 1 else (lookback,))]
    scale = np.trace(moments[-1][:lookback, :lookback]) / lookback or 1.0
    errors, folds = [], []
    for fold in range(len(cuts)):
        chosen = evenly(np.flatnonzero(judged == fold), MAX_JUDGED_WINDOWS)
        if len(chosen) and moments[fold][lookback, lookback] > 0:
            models = _models(moments[fold], simple, scale)
            folds.append((models, chosen))
            sums = np.zeros(len(models) + 1)  # of the errors of each model, and the number of windows
            for _, part in _differences(table, windows[chosen], targets[chosen]):
                x, y = part[:, : lookback + 1], part[:, lookback + 1 :]
                sums += [*(np.abs(x @ one - y).mean(axis=1).sum() for one in models), len(part)]
            errors.append(sums)
    models = _models(moments[-1], simple, scale)
    if not errors:
        # Nothing to judge by: the mixture of simple forecasts.
        return _over_lookback(models[-1], table), float(BELIEF @ SHARES) if other else 0.0
    total = np.sum(errors, axis=0)
    shares, of_other = _by_error(total[:-1] / total[-1]), 0.0
    if other is not None:
        places = [evenly(chosen, MAX_COMPARED_WINDOWS // len(folds)) for _, chosen in folds]
        linear, truth = [], []
        for (then, _), own, chosen in zip(folds, errors, places, strict=True):
            ((_, part),) = _differences(table, windows[chosen], targets[chosen])
            elsewhere = total - own if len(folds) > 1 else own  # what chose the linear model must not judge it
            then = np.tensordot(_by_error(elsewhere[:-1] / elsewhere[-1]), then, axes=1)
            linear.append(part[:, : lookback + 1] @ then)
            truth.append(part[:, lookback + 1 :])
        linear, truth, places = map(np.concatenate, (linear, truth, places))
        # All at once, as a network is compiled for each number.
        low, middle, high = np.moveaxis(other(windows[places], targets[places]), -1, 0)
        within = np.clip(linear, low, high)
        forecasts = [within + share * (middle - within) if share else linear for share in SHARES]
        by_share = np.array([np.abs(one - truth).mean() for one in forecasts])
        belief = BELIEF * _by_error(by_share, SHARPNESS_A_WINDOW * total[-1] / horizon)
        of_other = belief @ SHARES / belief.sum()
    return _over_lookback(np.tensordot(shares, models, axes=1), table), float(of_other)


def _over_lookback(weights, table) -> np.ndarray:
    """Return weights of the rows within reach as weights of the whole look-back."""
    return np.pad(weights, ((table.task.before_reach, 0), (0, 0))).astype("float32")


def _by_error(errors, sharpness=SHARPNESS) -> np.ndarray:
    """Return shares that sum to 1, larger for those with smaller errors."""
    shares = ((errors + 1e-9) / (errors.min() + 1e-9)) ** -sharpness
    return shares / shares.sum()


def simple_forecasts(lookback: int, horizon: int, season_length: int | None) -> np.ndarray:
    """Return forecasts that learn nothing as matrices over the look-back, `(num_forecasts, lookback, horizon)`.

    The last value and the mean of all first; then drift, exponential smoothing, and where the look-back holds two
    seasons the last season, and that with the drift between both.

    Example:
        >>> last, mean, drift, *_ = simple_forecasts(3, 2, None)
        >>> values = np.array([3.0, 1.0, 5.0])
        >>> (values @ last).tolist(), (values @ mean).round().tolist(), (values @ drift).tolist()
        ([5.0, 5.0], [3.0, 3.0], [6.0, 7.0])
    """
    steps = np.arange(horizon)
    last = np.zeros((lookback, horizon))
    last[-1] = 1
    slope = np.zeros((lookback, 1))
    slope[-1] += 1 / max(lookback - 1, 1)
    slope[0] -= 1 / max(lookback - 1, 1)
    forecasts = [last, np.full_like(last, 1 / lookback), last + slope * (steps + 1)]
    length = season_length or 1
    is_seasonal = 1 < length <= lookback // 2
    if is_seasonal:
        repeat, drift = np.zeros_like(last), np.zeros((lookback, 1))
        repeat[lookback - length + steps % length, steps] = 1
        drift[-length:], drift[-2 * length : -length] = 1 / length, -1 / length
        forecasts += [repeat, repeat + drift * (steps // length + 1)]
    for level, (trend, damping) in itertools.product(LEVELS, TRENDS):
        for season in SEASONS if is_seasonal else (0.0,):
            forecasts.append(_smoothing(lookback, horizon, length if is_seasonal else 1, level, trend, damping, season))
    return np.array(forecasts)


def _smoothing(lookback, horizon, length, level, trend, damping, seasonal) -> np.ndarray:
    """Return additive exponential smoothing with a damped trend as a matrix `(lookback, horizon)`.

    Source: Hyndman and Athanasopoulos, 2021, table 8.6.
    """
    rows, steps = np.eye(lookback), np.arange(horizon)
    state, slope = rows[:length].mean(axis=0), np.zeros(lookback)
    if trend and lookback > length:
        slope = (rows[-length:].mean(axis=0) - state) / (lookback - length)
    middle = (length - 1) / 2
    places = rows[:length] - state - np.outer(np.arange(length) - middle, slope)
    state = state + middle * slope
    for step in range(length, lookback):
        state = state + damping * slope
        error = rows[step] - state - places[step % length]
        state = state + level * error
        slope = damping * slope + trend * level * error
        places[step % length] += seasonal * (1 - level) * error
    ahead = np.cumsum(damping ** (steps + 1))
    return (state + np.outer(ahead, slope) + places[(lookback + steps) % length]).T


def _models(moments, simple, scale) -> np.ndarray:
    """Return ridge models, `(num_models, lookback + 1, horizon)`; for shorter simple forecasts, of the last rows alone.

    The fewer the rows, the fewer the weights to be fitted. The last model is the mixture of the last simple forecasts.
    """
    models = []
    for forecasts in simple:
        first = simple[-1].shape[1] - forecasts.shape[1]
        few = _ridges(moments[first:, first:], forecasts, scale)
        models += [*np.pad(few, ((0, 0), (first, 0), (0, 0)))]
    return np.array(models)


def _ridges(moments, simple, scale) -> list[np.ndarray]:
    """Return each ridge model of each simple forecast's residual, `(lookback + 1, horizon)`.

    Simple are the mean of the look-back, the last value, and a mixture of all; the last model is the mixture itself.
    """
    lookback = simple.shape[1]
    center = np.eye(lookback + 1)  # takes the mean off the look-back
    center[:lookback, :lookback] -= 1 / lookback
    gram, models = moments[: lookback + 1, : lookback + 1], []
    for basis, bases in ((center, [simple[1]]), (np.eye(lookback + 1), [simple[0], _mixture(moments, simple)])):
        sizes, axes = np.linalg.eigh(basis @ gram @ basis)
        axes = basis @ axes
        for base in bases:
            base = np.concatenate([base, np.zeros_like(base[:1])])  # no constant
            along = axes.T @ (moments[: lookback + 1, lookback + 1 :] - gram @ base)
            models += [base + axes @ (along / (np.maximum(sizes, 0) + one * scale)[:, None]) for one in PENALTIES]
    return models


def _mixture(moments, simple) -> np.ndarray:
    """Return half the best convex combination of simple forecasts, and half the mean of the best five."""
    lookback = simple.shape[1]
    products = moments[:lookback, :lookback] @ simple
    gram = np.tensordot(products, simple, axes=([1, 2], [1, 2]))
    along = np.tensordot(simple, moments[:lookback, lookback + 1 :], axes=([1, 2], [0, 1]))
    sizes, axes = np.linalg.eigh(gram)
    roots = np.sqrt(np.maximum(sizes, 1e-9 * sizes[-1] + 1e-30))
    once = 100 * roots[-1]  # so heavy that the shares sum to 1
    # Not `nnls`, which some versions of SciPy give up where forecasts are alike.
    shares = lsq_linear(
        np.concatenate([roots[:, None] * axes.T, np.full((1, len(simple)), once)]),
        np.append(axes.T @ along / roots, once),
        bounds=(0, np.inf),
        method="bvls",
        max_iter=100 * len(simple),
    ).x
    best = np.argsort(gram.diagonal() - 2 * along, kind="stable")[:5]
    shares /= 2 * shares.sum()
    shares[best] += 0.5 / len(best)
    return np.tensordot(shares, simple, axes=1)


def _differences(table, windows, targets, batch_size=4096):
    """Yield windows on the scale of their series, less their last value: places, and `[x, 1, y]` of each."""
    lookback, size = table.task.fitted_lookback, table.task.lookback + table.task.horizon
    cut = np.lib.stride_tricks.sliding_window_view(table.values, size, axis=0)  # (rows, channels, size)
    for begin in range(0, len(windows), batch_size):
        rows = slice(begin, begin + batch_size)
        scale = table.scale[table.series_of(windows[rows]), targets[rows]][:, None]
        values = cut[windows[rows], targets[rows], table.task.before_reach :] / scale  # float64
        values -= values[:, lookback - 1, None]
        yield rows, np.insert(values, lookback, 1.0, axis=1)
