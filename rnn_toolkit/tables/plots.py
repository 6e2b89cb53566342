"""Tables in, Axes out: pictures of a forecast, and of the errors of many forecasts."""

import re

import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns, nearest, one_of, whole_number
from rnn_toolkit.drawing import BLUE, INK, ORANGE, SERIES, TINTS, axes_of, check_table, finish, mark, whole_ticks
from rnn_toolkit.tables.axis import regular_axis, ticks_of, time_index
from rnn_toolkit.tables.baselines import seasonal_naive
from rnn_toolkit.tables.evaluation import score
from rnn_toolkit.tables.task import ForecastTask

BAND = re.compile(r"(.+)-(lo|hi)-(\d+(?:\.\d+)?)")
UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "D": "days", "B": "business days", "W": "weeks"}
UNITS |= {"MS": "months", "ME": "months", "QS": "quarters", "QE": "quarters", "YS": "years", "YE": "years"}


def plot_forecast(
    forecast: pd.DataFrame,
    frame: pd.DataFrame | None = None,
    *,
    target: str | None = None,
    series: object = None,
    baseline: int | None = None,
    ax=None,
):
    """Draw a forecast and its intervals behind the rows that led to it, and beside what came true.

    Which columns hold the time, the series and the targets stands in `forecast.attrs["roles"]`, where `rt.forecast`
    writes it. `frame` is read by the same names; a table without the time column by its index.

    Args:
        forecast: Table of `forecast`, with or without intervals (`<target>-lo-80`, `<target>-hi-80`).
        frame: The table it was made from. Rows from the first forecast time step on are drawn as what came true.
        target: Column to draw; `None` for the first.
        series: Series to draw from a table of many; `None` for the first.
        baseline: Rows in one season, to draw the last season of `frame` repeated beside the forecast; `None` for none.
        ax: Matplotlib Axes to draw on; `None` makes a figure.

    Returns:
        The Axes.

    Raises:
        TypeError: If a table is no DataFrame, its time is neither timestamps nor whole numbers, the times of the two
            tables do not compare, or `baseline` has the wrong type.
        ValueError: If `forecast` has lost its roles, a table has no rows or lacks a column, a time repeats, `target` or
            `series` is unknown, or the history is shorter than the season of the `baseline`.

    Example:
        >>> frame = pd.DataFrame({"load": [2.0, 4.0, 2.0]}, index=pd.date_range("2024", periods=3, freq="D"))
        >>> ahead = pd.DataFrame({"load": [3.0, 3.0]}, index=pd.date_range("2024-01-04", periods=2, freq="D"))
        >>> ahead.attrs["roles"] = {"target": ["load"], "frequency": "D"}  # as `rt.forecast` does
        >>> ax = plot_forecast(ahead, frame, baseline=2)
        >>> ax.get_title("left"), [line.get_label() for line in ax.lines][:3]
        ('load: 2 days ahead', ['history', 'forecast', 'seasonal naive'])
    """
    check_table(forecast, "forecast")
    time, series_column, targets, frequency = _roles(forecast)
    target = targets[0] if target is None else target
    one_of(target, "target", targets)
    series = _chosen_series(forecast, series_column, series)
    places, ahead = _values(forecast, "forecast", target, time, series_column, series)
    history = actual = ahead.iloc[:0]
    if frame is not None:
        history, actual = _past_and_truth(frame, target, time, series_column, series, ahead)
    beside = None if baseline is None else _seasonal_naive(baseline, len(ahead), history, frequency)
    bands = _bands(forecast.iloc[places], target)
    shown = history.tail(max(4 * len(ahead), 30))

    ax = axes_of(ax)
    marker, edge = ("o", 8) if len(ahead) == 1 else (None, 0)  # a single step has neither length nor area
    if len(shown):
        _draw(ax, _with_gaps(shown, frequency), "history", color=INK, linewidth=1.5)
    _draw(ax, ahead, "forecast", color=BLUE, linewidth=2.25, marker=marker, zorder=3)
    for place, (level, tint, low, high) in enumerate(bands):
        style = {"color": tint, "linewidth": edge, "zorder": 1.9 - place / 100}  # the wider, the further behind
        ax.fill_between(_x(ahead.index), low, high, label=f"{level} %", **style)
    if beside is not None:
        style = {"color": ORANGE, "linewidth": 1.75, "linestyle": "--", "marker": marker}
        _draw(ax, pd.Series(beside, ahead.index), "seasonal naive", **style)
    if actual.notna().any():
        dots = {"marker": "o", "markersize": 3} if len(actual) <= 36 else {}  # more would hide the forecast
        _draw(ax, _with_gaps(actual, frequency), "actual", color=INK, linewidth=1, zorder=3, **dots)
    _time_ticks(ax, ahead.index)
    units = UNITS.get(str(frequency).partition("-")[0], "steps")
    subject = target if series_column is None else f"{series}, {target}"
    finish(ax, f"{subject}: {len(ahead)} {units if len(ahead) > 1 else units[:-1]} ahead", target)
    if len(history):
        mark(ax, _x(history.index)[-1], "cutoff", before=True)
    return ax


def plot_errors(backtest: pd.DataFrame, *, target: str | None = None, ax=None):
    """Draw how the mean absolute error grows with each step ahead: the model's beside its baselines'.

    Args:
        backtest: Table of `backtest`.
        target: Target to draw; `None` for the first. Targets have units of their own, and are never pooled.
        ax: Matplotlib Axes to draw on; `None` makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: If a column is missing, there are no rows or missing values, or `target` is unknown.

    Example:
        >>> rows = {"step": [1, 2], "target": "load", "actual": 2.0, "predicted": [2.0, 3.0], "naive": 0.5, "scale": 1}
        >>> backtest = pd.DataFrame(rows)
        >>> {line.get_label(): line.get_ydata().tolist() for line in plot_errors(backtest).lines}
        {'model': [0.0, 1.0], 'naive': [1.5, 1.5]}
    """
    check_table(backtest, "backtest")
    has_columns(backtest.columns, ["target"], "`backtest`")
    targets = backtest["target"].unique().tolist()
    target = targets[0] if target is None else target
    one_of(target, "target", targets)
    rows = backtest[backtest["target"] == target].assign(scale=1.0)  # MASE is not drawn
    errors = score(rows, by="step")["MAE"].unstack(sort=False)

    ax = axes_of(ax)
    marker = "o" if len(errors) == 1 else None
    for place, forecaster in enumerate(errors.columns):  # the model first
        # The model's line is broad and solid, so that it shows beneath a baseline's that lies on it; the straight line
        # is dashed where the last value's is not, which it often lies on.
        style = {"color": SERIES[place % len(SERIES)], "linewidth": 1.5 if place else 3, "zorder": 3 if place else 2}
        style["linestyle"] = (2.5 * (place // 2 % 2), (2.5, 2.5)) if place else "-"
        ax.plot(errors.index, errors[forecaster], label=forecaster.replace("_", " "), marker=marker, **style)
    ax.set_ylim(bottom=0)
    whole_ticks(ax, errors.index, "steps ahead")
    finish(ax, f"{target}: mean absolute error by steps ahead", target)
    return ax


def _roles(forecast) -> tuple[str | None, str | None, list[str], str | int | None]:
    """Return time column and series column (`None` without), targets and frequency, as `rt.forecast` wrote them."""
    roles = forecast.attrs.get("roles")
    if roles is None:
        raise ValueError(
            "`forecast` does not say which columns hold its time and its targets. Pass the table of `rt.forecast`, or "
            "say it: `forecast.attrs['roles'] = {'target': ['load'], 'time': 'day', 'series': None}`."
        )
    return roles.get("time"), roles.get("series"), roles["target"], roles.get("frequency")


def _chosen_series(forecast, column, series):
    """Return the series to draw, `None` where the table has but one."""
    names = [None] if column is None else forecast[column].unique().tolist()
    if series is None:
        return names[0]
    if series not in names:
        listed = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise ValueError(f"`forecast` has no series {series!r}; it has: {listed}.{nearest(series, names)}")
    return series


def _values(table, name, target, time, series_column, series):
    """Return the positions of the rows of a series, oldest first, and its target by time."""
    has_columns(table.columns, [target, *filter(None, (series_column,))], f"`{name}`")
    time = time if time in table.columns else None
    places = np.arange(len(table))
    if series_column is not None:
        places = np.flatnonzero((table[series_column] == series).to_numpy())
    times = time_index(table.iloc[places], ForecastTask(target, horizon=1, lookback=1, time=time))
    if times.has_duplicates:
        raise ValueError(f"`{name}` has more than one row for {times[times.duplicated()][0]}. Drop the duplicates.")
    order = np.argsort(ticks_of(times), kind="stable")
    values = table[target].to_numpy("float64", na_value=np.nan)[places[order]]
    return places[order], pd.Series(values, times[order])


def _past_and_truth(frame, target, time, series_column, series, ahead):
    """Return the target before the first time step that is forecast, and at the time steps that are."""
    check_table(frame, "frame")
    _, values = _values(frame, "frame", target, time or ahead.index.name, series_column, series)
    is_past = values.index < ahead.index[0]
    if not is_past.any():
        whose = "" if series_column is None else f" of series {series!r}"
        raise ValueError(
            f"`frame` has no row{whose} before {ahead.index[0]}. Pass the table that the forecast was made from."
        )
    return values[is_past], values[~is_past & (values.index <= ahead.index[-1])]


def _seasonal_naive(season_length, num_steps, history, frequency) -> np.ndarray:
    """Return the last season of the history, repeated."""
    season_length = whole_number(season_length, "baseline")
    if len(history) < season_length:
        raise ValueError(
            f"`baseline` is a season of {season_length} rows, but {len(history)} lead to the forecast. Pass more rows."
        )
    season = history.tail(season_length)
    season = _with_gaps(season, frequency).tail(season_length).ffill().bfill()
    return seasonal_naive(season.to_numpy()[None], num_steps, season_length=season_length)[0]


def _bands(rows, target) -> list[tuple]:
    """Return level, tint, lower and upper bound of each interval, the narrowest first."""
    matches = [match for match in map(BAND.fullmatch, map(str, rows.columns)) if match and match[1] == target]
    levels = sorted({match[3] for match in matches}, key=float)
    bands = []
    for place, level in enumerate(levels, start=len(levels) == 1):
        names = [f"{target}-lo-{level}", f"{target}-hi-{level}"]
        has_columns(rows.columns, names, "`forecast`")
        bounds = (rows[name].to_numpy("float64", na_value=np.nan) for name in names)
        bands.append((level, TINTS[min(place, len(TINTS) - 1)], *bounds))
    return bands


def _with_gaps(values, frequency) -> pd.Series:
    """Add a missing value for each missing row, so that no line is drawn across."""
    if frequency is None:
        return values
    return values.reindex(values.index.union(regular_axis(values.index[0], values.index[-1], frequency)))


def _x(times) -> np.ndarray:
    return (times.tz_convert(None) if isinstance(times, pd.DatetimeIndex) and times.tz else times).to_numpy()


def _draw(ax, values, label, **style):
    ax.plot(_x(values.index), values.to_numpy(), label=label, **style)


def _time_ticks(ax, times):
    from matplotlib import dates, ticker

    if isinstance(times, pd.DatetimeIndex):
        locator = dates.AutoDateLocator(tz=times.tz, minticks=4, maxticks=9)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=times.tz))
    else:
        ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:.0f}"))
