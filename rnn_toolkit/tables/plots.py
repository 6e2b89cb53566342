"""Tables in, Axes out: pictures of a forecast, and of the errors of many forecasts."""

import datetime
import re

import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns, nearest, one_of, whole_number
from rnn_toolkit.drawing import BLUE, INK, ORANGE, SERIES, TINTS, axes_of, check_table, finish, mark, whole_ticks
from rnn_toolkit.tables.axis import infer_frequency, off_axis, regular_axis, ticks_of, time_index
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
    baseline: int | pd.Series | np.ndarray | None = None,
    last: int | None = None,
    ax=None,
):
    """Draw a forecast and its intervals behind the rows that led to it, and beside what came true.

    The time is the index of `forecast` if that holds timestamps or has a name; else the first column of timestamps;
    else the first column, if it counts up in whole numbers; else the index. The series id is the first other column
    that is neither a target nor of floats. `frame` is read by the same names, or by its index if it has no such column.

    Args:
        forecast: Table of `forecast`, with or without intervals (`<target>-lo-80`, `<target>-hi-80`).
        frame: The table it was made from. Rows from the first forecast time step on are drawn as what came true.
        target: Column to draw; `None` for the first. A unit in its name, as in "load [MW]", labels the y-axis.
        series: Series to draw from a table of many; `None` for the first.
        baseline: What a simpler forecast says: rows in one season, to repeat the last season of `frame`; or values,
            one for each row of `forecast` or of the series drawn.
        last: Rows of history to draw; `None` for four times as many as are forecast, and at least 30.
        ax: Matplotlib Axes to draw on; `None` makes a figure.

    Returns:
        The Axes.

    Raises:
        TypeError: If a table is no DataFrame, its time is neither timestamps nor whole numbers, the times of the two
            tables do not compare, or `baseline` or `last` has the wrong type.
        ValueError: If a table has no rows or lacks a column, a time repeats, `target` or `series` is unknown, or
            `baseline` does not fit.

    Example:
        >>> frame = pd.DataFrame({"load": [2.0, 4.0, 2.0]}, index=pd.date_range("2024", periods=3, freq="D"))
        >>> ahead = pd.DataFrame({"load": [3.0, 3.0]}, index=pd.date_range("2024-01-04", periods=2, freq="D"))
        >>> ax = plot_forecast(ahead, frame, baseline=2)
        >>> ax.get_title("left"), [line.get_label() for line in ax.lines][:3]
        ('load: 2 days ahead', ['history', 'forecast', 'seasonal naive'])
    """
    check_table(forecast, "forecast")
    last = None if last is None else whole_number(last, "last")
    time, series_column, targets = _roles(forecast, target)
    target = targets[0] if target is None else target
    one_of(target, "target", targets)
    series = _chosen_series(forecast, series_column, series)
    places, ahead = _values(forecast, "forecast", target, time, series_column, series)
    history = actual = ahead.iloc[:0]
    if frame is not None:
        history, actual = _past_and_truth(frame, target, time, series_column, series, ahead)
    beside = None if baseline is None else _baseline_values(baseline, len(forecast), places, history)
    bands = _bands(forecast.iloc[places], target)
    shown = history.tail(max(4 * len(ahead), 30) if last is None else last)
    frequency = _frequency(shown.index.append(ahead.index))

    ax = axes_of(ax)
    marker, edge = ("o", 8) if len(ahead) == 1 else (None, 0)  # a single step has neither length nor area
    if len(shown):
        _draw(ax, _with_gaps(shown, frequency), "history", color=INK, linewidth=1.5)
    _draw(ax, ahead, "forecast", color=BLUE, linewidth=2.25, marker=marker, zorder=3)
    for place, (level, tint, low, high) in enumerate(bands):
        style = {"color": tint, "linewidth": edge, "zorder": 1.9 - place / 100}  # the wider, the further behind
        ax.fill_between(_x(ahead.index), low, high, label=f"{level} %", **style)
    if beside is not None:
        name = getattr(baseline, "name", None) or "baseline"
        label = "seasonal naive" if isinstance(baseline, int | np.integer) else str(name)
        _draw(ax, pd.Series(beside, ahead.index), label, color=ORANGE, linewidth=1.75, linestyle="--", marker=marker)
    if actual.notna().any():
        dots = {"marker": "o", "markersize": 3} if len(actual) <= 36 else {}  # more would hide the forecast
        _draw(ax, _with_gaps(actual, frequency), "actual", color=INK, linewidth=1, zorder=3, **dots)
    _time_ticks(ax, ahead.index)
    units = UNITS.get(str(frequency).partition("-")[0], "steps")
    name, unit = _name_and_unit(target)
    subject = name if series_column is None else f"{series}, {name}"
    finish(ax, f"{subject}: {len(ahead)} {units if len(ahead) > 1 else units[:-1]} ahead", unit)
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
    errors = score(backtest[backtest["target"] == target], by="step")["MAE"].unstack(sort=False)

    ax = axes_of(ax)
    marker = "o" if len(errors) == 1 else None
    for place, forecaster in enumerate(errors.columns):  # the model first
        style = {"color": SERIES[place % len(SERIES)], "linewidth": 1.5 if place else 2.5, "zorder": 2 if place else 3}
        ax.plot(errors.index, errors[forecaster], label=forecaster.replace("_", " "), marker=marker, **style)
    ax.set_ylim(bottom=0)
    whole_ticks(ax, errors.index, "steps ahead")
    name, unit = _name_and_unit(target)
    finish(ax, f"{name}: mean absolute error by steps ahead", unit)
    return ax


def _roles(forecast, target):
    """Return the time column (`None` for the index), the series column (`None` without), and the targets."""
    matches = [BAND.fullmatch(str(name)) for name in forecast.columns]
    bounded = {match[1] for match in matches if match}
    named = [name for name, match in zip(forecast.columns, matches, strict=True) if not match]
    free = [name for name in named if name != target and name not in bounded]
    if len(free) == len(named):
        free = free[:-1]  # one column at least is a target
    index, types, time = forecast.index, pd.api.types, None
    if not isinstance(index, pd.DatetimeIndex | pd.PeriodIndex) and index.name is None:
        # The id of a series repeats from row to row, a time does not.
        counts = types.is_integer_dtype(forecast[free[0]]) and np.diff(forecast[free[0]]).all() if free else False
        dated = [name for name in free if types.is_datetime64_any_dtype(forecast[name])]
        time = next(iter(dated), free[0] if counts else None)
    free = [name for name in free if name != time]
    series = free[0] if free and not types.is_float_dtype(forecast[free[0]]) else None
    return time, series, [name for name in named if name not in (time, series)]


def _chosen_series(forecast, column, series):
    """Return the series to draw, `None` where the table has but one."""
    if column is None:
        if series is not None:
            raise ValueError(f"`series` is {series!r}, but `forecast` has no column that names series. Leave it out.")
        return None
    names = forecast[column].unique().tolist()
    if series is None:
        return names[0]
    if series not in names:
        listed = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise ValueError(f"`forecast` has no series {series!r}; it has: {listed}.{nearest(series, names)}")
    return series


def _values(table, name, target, time, series_column, series):
    """Return the positions of the rows of a series, oldest first, and its target by time."""
    has_columns(table.columns, [target, *filter(None, (time, series_column))], f"`{name}`")
    places = np.arange(len(table))
    if series_column is not None:
        places = np.flatnonzero((table[series_column] == series).to_numpy())
    times = time_index(table.iloc[places], ForecastTask(target, horizon=1, lookback=1, time=time))
    if times.has_duplicates:
        raise ValueError(
            f"`{name}` has more than one row for {times[times.duplicated()][0]}. Drop the duplicates, or, if there are "
            "many series, add the column that names them to `forecast` and `frame`."
        )
    order = np.argsort(ticks_of(times), kind="stable")
    values = table[target].to_numpy("float64", na_value=np.nan)[places[order]]
    return places[order], pd.Series(values, times[order])


def _past_and_truth(frame, target, time, series_column, series, ahead):
    """Return the target before the first time step that is forecast, and at the time steps that are."""
    check_table(frame, "frame")
    time = next((name for name in (time, ahead.index.name) if name in frame.columns), None)
    _, values = _values(frame, "frame", target, time, series_column, series)
    zones = [getattr(times, "tz", "whole numbers") for times in (ahead.index, values.index)]  # a zone, None, or numbers
    if zones[0] != zones[1] and not all(isinstance(zone, datetime.tzinfo) for zone in zones):
        raise TypeError(
            f"Times of `forecast` and `frame` do not compare: {ahead.index[0]} and {values.index[0]}. Pass the table "
            "that the forecast was made from."
        )
    is_past = values.index < ahead.index[0]
    if not is_past.any():
        whose = "" if series_column is None else f" of series {series!r}"
        raise ValueError(
            f"`frame` has no row{whose} before {ahead.index[0]}, where the forecast begins. Pass the table that the "
            "forecast was made from, or leave it out."
        )
    return values[is_past], values[~is_past & (values.index <= ahead.index[-1])]


def _baseline_values(baseline, num_rows, places, history) -> np.ndarray:
    """Return what is drawn as the baseline, one value for each step ahead."""
    if isinstance(baseline, pd.Series | np.ndarray):
        if np.shape(baseline) not in ((num_rows,), (len(places),)):
            raise ValueError(
                f"`baseline` has shape {np.shape(baseline)}, but needs one value for each of the {num_rows} rows of "
                f"`forecast`, or of the {len(places)} that are drawn."
            )
        values = np.asarray(baseline, dtype="float64")
        return values[places] if len(values) == num_rows else values
    season_length = whole_number(baseline, "baseline")
    if len(history) < season_length:
        raise ValueError(
            f"`baseline` is a season of {season_length} rows, but {len(history)} rows lead to the forecast. Pass a "
            "longer `frame`, or a shorter season."
        )
    season = history.tail(season_length)
    season = _with_gaps(season, _frequency(season.index)).tail(season_length).ffill().bfill()
    return seasonal_naive(season.to_numpy()[None], len(places), season_length=season_length)[0]


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


def _frequency(times) -> str | int | None:
    """Return the distance of two rows, `None` where it cannot be told."""
    try:
        return infer_frequency(times)
    except ValueError:
        return None


def _with_gaps(values, frequency) -> pd.Series:
    """Add a missing value for each missing row, so that no line is drawn across."""
    if frequency is None:
        return values
    axis = regular_axis(values.index[0], values.index[-1], frequency)
    return values if off_axis(ticks_of(values.index), axis).any() else values.reindex(axis)


def _name_and_unit(target) -> tuple[str, str]:
    """Split "load [MW]" into name and unit; without a unit, the name stands for it."""
    match = re.fullmatch(r"(.+?)\s*(?:\[(.+)\]|\((.+)\))", str(target))
    return (match[1], match[2] or match[3]) if match else (str(target), str(target))


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
