"""Tables in, Axes out: pictures of a training, its learning rates, a forecast, and the errors of many forecasts.

Each function draws on `ax`, or on a new figure, and returns the Axes for whatever a user wants to change. Matplotlib
is imported when the first picture is drawn, and its global settings are left alone.
"""

import datetime
import re

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns, nearest, one_of, optional_package, whole_number
from rnn_toolkit.axis import infer_frequency, off_axis, regular_axis, ticks_of, time_index
from rnn_toolkit.baselines import seasonal_naive
from rnn_toolkit.evaluation import score
from rnn_toolkit.optimization import SCHEDULES, learning_rates, unwrapped
from rnn_toolkit.series import ForecastTask

# Colours that people with a colour vision deficiency can tell apart: Okabe and Ito, 2008, "Color universal design".
INK, GREY, BLUE, ORANGE = "#333333", "#8c8c8c", "#0072b2", "#e69f00"
TINTS = ("#99c7e0", "#cce3f0", "#e0eef7")  # of blue, for the narrowest interval first
SERIES = (BLUE, ORANGE, "#009e73", "#cc79a7", GREY, "#d55e00", "#56b4e9")

BAND = re.compile(r"(.+)-(lo|hi)-(\d+(?:\.\d+)?)")
UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "D": "days", "B": "business days", "W": "weeks"}
UNITS |= {"MS": "months", "ME": "months", "QS": "quarters", "QE": "quarters", "YS": "years", "YE": "years"}


def plot_history(history: pd.DataFrame, *, ax=None):
    """Draw the loss of each epoch, and mark the best epoch.

    The shade between the lines behind the best epoch is overfitting: training rows are still learnt, others no longer.

    Args:
        history: Table of `train`: column `loss`, and where there are any `val_loss` and `learning_rate`; the index is
            the epoch. The y-axis is logarithmic where losses differ tenfold; the learning rate is drawn if it changes.
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
    _is_table(history, "history")
    has_columns(history.columns, ["loss"], "`history`")
    watched = "val_loss" if "val_loss" in history else "loss"
    losses = history[[name for name in ("loss", "val_loss") if name in history]].astype("float64")
    losses = losses.where(np.isfinite(losses))
    if losses[watched].isna().all():
        raise ValueError(
            f"`history` has no finite {watched} in {len(history)} epochs. If the training diverged, lower the learning "
            "rate or clip gradients, and train again."
        )
    ax = _axes(ax)
    best, marker = losses[watched].idxmin(), "o" if len(losses) == 1 else None
    ax.plot(losses.index, losses["loss"], color=GREY, linewidth=2, marker=marker, label="training")
    if watched == "val_loss":
        ax.plot(losses.index, losses["val_loss"], color=BLUE, linewidth=2, marker=marker, label="validation")
        late = losses.loc[best:]
        grows = late["val_loss"] > late["loss"]
        if grows.sum() > 1:
            style = {"color": TINTS[-1], "linewidth": 0, "label": "overfitting"}
            ax.fill_between(late.index, late["loss"], late["val_loss"], where=grows, **style)
    ax.plot([best], [losses[watched][best]], "o", color=BLUE if watched == "val_loss" else GREY, markersize=7)
    if losses.min(axis=None) > 0 and losses.max(axis=None) >= 10 * losses.min(axis=None):
        _logarithmic(ax)
    if "learning_rate" in history and history["learning_rate"].nunique() > 1:
        _draw_learning_rate(ax, history["learning_rate"])
    _whole_ticks(ax, losses.index, "epoch")
    kind = "Validation" if watched == "val_loss" else "Training"
    _finish(ax, f"{kind} loss: best at epoch {best} of {losses.index[-1]}", "loss")
    _mark(ax, best, f"{losses[watched][best]:.4g}")
    return ax


def plot_schedule(
    schedule: str | list[str] | keras.optimizers.schedules.LearningRateSchedule | keras.optimizers.Optimizer,
    *,
    learning_rate: float = 1e-3,
    steps: int | None = None,
    ax=None,
):
    """Draw the learning rate of each training step, before any training.

    Args:
        schedule: A schedule of `make_optimizer` by name, or a list of names to compare; a Keras schedule; or an
            optimizer. "plateau" cannot be drawn beforehand.
        learning_rate: Highest learning rate of a schedule by name.
        steps: Training steps: `epochs * len(train)`. `None` takes 1000 by name, else those the schedule is made for.
        ax: Matplotlib Axes to draw on; `None` makes a figure.

    Returns:
        The Axes.

    Raises:
        TypeError: If `schedule` is none of these.
        ValueError: If a name is unknown, "plateau", or none is given; if `learning_rate` or `steps` is out of range.

    Example:
        >>> ax = plot_schedule("one_cycle", learning_rate=0.01, steps=100)
        >>> ax.get_title("left"), ax.texts[0].get_text()
        ('One cycle: learning rate over 100 steps', '0.01 at step 30')
    """
    if steps is not None:
        steps = whole_number(steps, "steps", minimum=2)
    if isinstance(schedule, str | list | tuple):
        names = [schedule] if isinstance(schedule, str) else list(schedule)
        if not names:
            raise ValueError("`schedule` is an empty list. Pass at least one name, 'cosine' say.")
        steps = steps or 1000
        rates = {str(name).replace("_", " "): _rates_by_name(name, learning_rate, steps) for name in names}
    else:
        name, rate = _own_rate(schedule)
        steps = steps or _steps_of(rate)
        rates = {name: rate}

    ax, colours = _axes(ax), [one for one in SERIES if one != GREY]
    ax.margins(y=0.1)  # room for the label of the highest rate
    for place, (name, rate) in enumerate(rates.items()):
        x, y = _rate_curve(rate, steps)
        ax.plot(x, y, color=colours[place % len(colours)], linewidth=2, label=name if len(rates) > 1 else None)
    ax.set_xlim(0, steps)
    ax.set_ylim(bottom=0)
    _plain_numbers(ax)
    ax.set_xlabel("training step", fontsize=12)
    subject = f"{name[0].upper()}{name[1:]}: learning rate" if len(rates) == 1 else "Learning rate"
    _finish(ax, f"{subject} over {steps:,} steps", "learning rate")
    if len(rates) == 1 and 0 < y.argmax() < len(y) - 1:
        _mark(ax, x[y.argmax()], f"{y.max():.3g} at step {x[y.argmax()]:,}")
    return ax


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
    _is_table(forecast, "forecast")
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

    ax = _axes(ax)
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
    _finish(ax, f"{subject}: {len(ahead)} {units if len(ahead) > 1 else units[:-1]} ahead", unit)
    if len(history):
        _mark(ax, _x(history.index)[-1], "cutoff", before=True)
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
    _is_table(backtest, "backtest")
    has_columns(backtest.columns, ["target"], "`backtest`")
    targets = backtest["target"].unique().tolist()
    target = targets[0] if target is None else target
    one_of(target, "target", targets)
    errors = score(backtest[backtest["target"] == target], by="step")["MAE"].unstack(sort=False)

    ax = _axes(ax)
    marker = "o" if len(errors) == 1 else None
    for place, forecaster in enumerate(errors.columns):  # the model first
        style = {"color": SERIES[place % len(SERIES)], "linewidth": 1.5 if place else 2.5, "zorder": 2 if place else 3}
        ax.plot(errors.index, errors[forecaster], label=forecaster.replace("_", " "), marker=marker, **style)
    ax.set_ylim(bottom=0)
    _whole_ticks(ax, errors.index, "steps ahead")
    name, unit = _name_and_unit(target)
    _finish(ax, f"{name}: mean absolute error by steps ahead", unit)
    return ax


def _is_table(table, name):
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"`{name}` must be a pandas DataFrame. Received: {type(table).__name__}.")
    if not len(table) or not len(table.columns):
        raise ValueError(f"`{name}` holds nothing to draw: {len(table)} rows, {len(table.columns)} columns.")


def _rates_by_name(name, learning_rate, steps):
    if name == "plateau":
        raise ValueError(
            "The learning rate of 'plateau' depends on the losses and cannot be drawn before training. Train first; "
            "then `plot_history` draws it from the column learning_rate of the history."
        )
    one_of(name, "schedule", [one for one in SCHEDULES if one != "plateau"])
    return learning_rates(name, learning_rate, steps)


def _own_rate(schedule) -> tuple:
    """Return name and learning rate, a number or a Keras schedule, of a schedule or an optimizer."""
    name, kinds = type(schedule).__name__, keras.optimizers.schedules.LearningRateSchedule
    if isinstance(schedule, kinds):
        return name, schedule
    if not isinstance(schedule, keras.optimizers.Optimizer):
        raise TypeError(
            "`schedule` must be a name, a list of names, a Keras schedule or an optimizer. Received: "
            f"{name}. Pass 'cosine', say, or model.optimizer."
        )
    rate = getattr(unwrapped(schedule), "_learning_rate", None)  # the public property is the rate of one step only
    return name, rate if isinstance(rate, kinds) else float(keras.ops.convert_to_numpy(schedule.learning_rate))


def _steps_of(rate) -> int:
    """Return the steps that a Keras schedule is made for, 1000 where it does not say."""
    return getattr(rate, "decay_steps", 1000) + getattr(rate, "warmup_steps", 0)


def _rate_curve(rate, steps) -> tuple[np.ndarray, np.ndarray]:
    """Return training steps and the learning rate of each."""
    top = {min(getattr(rate, "warmup_steps", 0), steps)}  # a corner, which must not be cut off
    x = np.array(sorted(top.union(np.linspace(0, steps, min(steps, 400) + 1).round().astype(int).tolist())))
    if not callable(rate):
        return x, np.full(len(x), rate)
    # Traced once: called step by step, JAX compiles the two branches of a warm-up each time, 80 ms a step.
    return x, keras.ops.convert_to_numpy(keras.ops.map(rate, keras.ops.convert_to_tensor(x)))


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
    _is_table(frame, "frame")
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


def _axes(ax):
    """Return the Axes to draw on."""
    if ax is not None:
        return ax
    pyplot = optional_package("matplotlib.pyplot", extra="plot", purpose="A picture")
    return pyplot.subplots(figsize=(9, 4), layout="constrained")[1]


def _draw(ax, values, label, **style):
    ax.plot(_x(values.index), values.to_numpy(), label=label, **style)


def _draw_learning_rate(ax, rates):
    """Draw the learning rate as a thin step line with a scale of its own, behind the losses."""
    right = ax.twinx()
    right.step(rates.index, rates, where="mid", color=GREY, linewidth=1, linestyle=":")
    right.set_ylabel("learning rate (dotted)", fontsize=12, color=GREY)
    if rates.min() > 0:
        _logarithmic(right, rates.unique())
    right.margins(y=0.12)  # room for the label of the best epoch
    right.tick_params(colors=GREY, labelsize=11, length=0)
    right.spines[:].set_visible(False)
    ax.set_zorder(right.get_zorder() + 1)
    ax.patch.set_visible(False)


def _logarithmic(ax, ticks=()):
    """Make the y-axis logarithmic, with numbers that read like numbers."""
    from matplotlib import ticker

    ax.set_yscale("log")
    few = 0 < len(ticks) <= 5
    ax.yaxis.set_major_locator(ticker.FixedLocator(ticks) if few else ticker.LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_minor_locator(ticker.NullLocator())
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.3g}"))


def _plain_numbers(ax):
    from matplotlib import ticker

    ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.3g}"))


def _whole_ticks(ax, numbers, label):
    from matplotlib import ticker

    ax.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_xlabel(label, fontsize=12)


def _time_ticks(ax, times):
    from matplotlib import dates, ticker

    if isinstance(times, pd.DatetimeIndex):
        locator = dates.AutoDateLocator(tz=times.tz, minticks=4, maxticks=9)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=times.tz))
    else:
        ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:.0f}"))


def _mark(ax, x, text, *, before=False):
    """Draw a thin vertical line with its label at the top."""
    x, (low, high) = ax.convert_xunits(x), ax.get_xlim()
    before = before or x > low + 0.85 * (high - low)
    ax.axvline(x, color=GREY, linewidth=0.8, zorder=1)
    style = {"fontsize": 11, "color": INK, "va": "top", "ha": "right" if before else "left"}
    where = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points"}
    ax.annotate(text, (x, 1), (-4 if before else 4, 0), **where, **style)


def _finish(ax, title, label):
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
