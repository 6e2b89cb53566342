"""A model and recent rows -> future rows, in the units and the shape of the user's own table."""

import dataclasses
import warnings
from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import whole_number
from rnn_toolkit.tables.axis import places_on, time_index
from rnn_toolkit.tables.evaluation import check_finite
from rnn_toolkit.tables.intervals import base_interval, bounds_of, levels_of, own_places
from rnn_toolkit.tables.layers import raw_units_of
from rnn_toolkit.tables.layout import Layout, check_frame
from rnn_toolkit.tables.pretrained import fit_to_frame, is_pretrained
from rnn_toolkit.tables.table import Table, as_in_training, codes_of, warn_of_unknown
from rnn_toolkit.tables.windows import Windows

MAX_CALIBRATION_WINDOWS = 5_000  # evenly spaced; more change a quantile of the errors by little


def forecast(
    model: keras.Model,
    frame: pd.DataFrame,
    *,
    future: pd.DataFrame | None = None,
    horizon: int | None = None,
    level: Sequence[float] | float | None = None,
) -> pd.DataFrame:
    """Forecast the rows that follow a table.

    Args:
        model: A model of `build_forecaster`, as trained or as loaded from its `.keras` file; or `load_forecaster()`,
            which forecasts any table without training: its columns of numbers, with the index or its column of dates as
            time, and its column of words, if any, as name of the series.
        frame: Recent rows, at least `task.fitted_lookback` for each series, with the columns of the task; up to
            `task.lookback` help the pretrained forecaster. A series with fewer is padded where training padded some
            (`short="pad"`), and left out with a warning elsewhere. Series that were not in the training table are
            welcome; a warning names them if none was.
        future: The rows to come: time, series id and `known` columns, in any order and time zone. What it holds of
            other rows and series is passed over. Only for tasks with known-future columns.
        horizon: Rows to forecast; `None` for the horizon of the task. Beyond it, forecasts are fed back as input, and
            observed covariates stay at their last value.
        level: Coverage of intervals in percent, such as `[80, 95]`. Of a model that was calibrated, the levels given
            to `conformalize`. Else of a quantile model, the levels its quantiles enclose; for other levels and models,
            the intervals come from the errors on those rows of `frame` that lie behind the training rows.

    Returns:
        A table like `frame`: time as its index or column, in the type that it has there, the series id, the targets,
        and `<target>-lo-<level>`, `<target>-hi-<level>`. One row per series and step. `.attrs["roles"]` says which
        column holds the time (`None` for the index) and the series, which are targets, and the frequency;
        `plot_forecast` reads it.

    Raises:
        ValueError: If the model carries no preparation, a column or too many recent rows are missing, known-future
            values are missing (each is named), or a level cannot be had.

    Example:
        >>> from rnn_toolkit import ForecastTask, build_forecaster, recurrent_layers
        >>> frame = pd.DataFrame({"load": np.sin(np.arange(40.0))}, index=pd.date_range("2024", periods=40, freq="D"))
        >>> windows = Windows(frame, ForecastTask("load", horizon=3, lookback=6))
        >>> model = build_forecaster(windows, recurrent_layers("gru", (4,)))
        >>> forecast(model, frame.tail(6)).index.strftime("%d %b").tolist()
        ['10 Feb', '11 Feb', '12 Feb']
    """
    if is_pretrained(model):
        if future is not None:
            raise ValueError("The pretrained forecaster knows no covariates. Received: `future`. Leave it out.")
        model, frame = fit_to_frame(model, frame, horizon)
    raw_units = raw_units_of(model)
    preparation, task = raw_units.preparation, raw_units.preparation.task
    steps = task.horizon if horizon is None else whole_number(horizon, "horizon")
    levels = [] if level is None else levels_of(level)
    blocks = -(-steps // task.horizon)
    frame, layout, ends = _with_steps_ahead(frame, preparation, blocks * task.horizon)
    table = Table.of(*_with_future(frame, future, layout, preparation, ends, steps), preparation=preparation)
    windows = Windows.of_table(table, ends - task.lookback)
    is_flag = [channel.kind == "flag" and channel.column in task.target for channel in preparation.channels]
    outputs = []
    for block in range(blocks):
        x, *_ = windows.cut(windows.starts + block * task.horizon)
        outputs.append(_outputs(model, x))  # (series, horizon, targets[, quantiles])
        following = (ends + block * task.horizon)[:, None] + np.arange(task.horizon)  # (series, horizon)
        table.values[following, : len(task.target)] = raw_units.point(outputs[-1])
        table.values[following[..., None], np.flatnonzero(is_flag)] = 0.0  # they are there now
    offset = table.offset[:, None]  # (series, 1, targets), float64
    output = np.concatenate(outputs, axis=1)[:, :steps]
    output = output + (offset if raw_units.quantiles is None else offset[..., None])
    margins = (raw_units.margins or _margins_from(model, raw_units, frame, levels)) if levels else None
    bounds = {one: bounds_of(output, raw_units, one, margins, table.scale) for one in levels}
    rows = (ends[:, None] + np.arange(steps)).ravel()
    given, times = frame.index if task.time is None else frame[task.time], table.times(rows)
    if isinstance(given.dtype, pd.PeriodDtype):
        times = times.to_period(pd.PeriodIndex(given).freqstr)
    elif (times.astype(given.dtype) == times).all():  # small whole numbers may end before the forecast does
        times = times.astype(given.dtype)
    result = pd.DataFrame({} if task.time is None else {task.time: times}, index=range(len(rows)))
    if task.series is not None:
        result[task.series] = frame[task.series].unique()[table.series_of(rows)]
    for place, name in enumerate(task.target):
        result[name] = raw_units.point(output)[..., place].ravel()
        for one, (low, high) in bounds.items():
            result[f"{name}-lo-{one:g}"] = low[..., place].ravel()
            result[f"{name}-hi-{one:g}"] = high[..., place].ravel()
    if task.time is None:
        result.index = times.rename(frame.index.name)
    result.attrs["roles"] = {
        "time": task.time,
        "series": task.series,
        "target": list(task.target),
        "frequency": preparation.frequency,
    }
    return result


def conformalize(
    model: keras.Model, windows: Windows, *, level: Sequence[float] | float = (50, 80, 90, 95)
) -> keras.Model:
    """Calibrate a forecaster's intervals on windows that it was not trained on.

    For each step ahead, the intervals become as wide as the errors on these windows were (split conformal
    prediction); those of a quantile model are widened or narrowed until they cover. The widths are kept in the model
    file, so that `forecast(..., level=...)` needs recent rows only.

    Args:
        model: A trained model of `build_forecaster`; not changed.
        windows: Windows of held-out rows, of the same task: the validation split, say.
        level: Coverages in percent to calibrate.

    Returns:
        A copy of the model with calibrated intervals, compiled with a fresh optimizer.

    Raises:
        ValueError: If a level is not between 0 and 100, or a target has too few values for it at some step ahead:
            95 percent need 19.

    Source: Vovk et al., 2005, "Algorithmic learning in a random world"; for quantiles Romano et al., 2019,
        "Conformalized quantile regression", NeurIPS. Windows that overlap are not exchangeable, so that the coverage
        holds on average over long stretches, not for each.
    """
    raw_units = raw_units_of(model)
    margins = _margins(model, raw_units, windows, levels_of(level))
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    if model.compiled:
        copy.compile_from_config(model.get_compile_config())
    raw_units_of(copy).margins = margins
    return copy


def _outputs(model, x) -> np.ndarray:
    """Return what the model says to some thousand windows.

    Not by `predict`, which compiles anew for each model: that takes longer than the windows themselves.
    """
    pieces = [model(x[begin : begin + 1024], training=False) for begin in range(0, len(x), 1024)]
    outputs = np.concatenate([keras.ops.convert_to_numpy(piece) for piece in pieces])
    check_finite(outputs)
    return outputs


def _with_steps_ahead(frame, preparation, ahead) -> tuple[pd.DataFrame, Layout, np.ndarray]:
    """Return the rows of series that can be forecast, a layout with rows ahead, and the row behind each's last one."""
    lookback = preparation.task.lookback
    needed = preparation.task.fitted_lookback
    layout = preparation.lay_out(frame)
    counts = np.diff(layout.offsets)
    short = np.flatnonzero(counts < needed)
    if len(short) and not preparation.padded:
        named = ", ".join(f"{layout.name_of(one)} has {counts[one]}" for one in short[:5])
        named += f", {len(short) - 5} more have less," * (len(short) > 5)
        message = f"`frame` has too few recent rows: {named}, and the model looks back {needed}."
        if len(short) == len(counts):
            raise ValueError(f"{message} Pass at least the last {needed} rows of each series.")
        warnings.warn(f"{message} They are not forecast; train with short='pad' to forecast them, too.", stacklevel=3)
        frame = frame[~np.isin(layout.series_of(layout.rows), short)]
        layout = preparation.lay_out(frame)
    layout = layout.with_room(at_least=lookback, ahead=ahead)
    ends = layout.offsets[1:] - ahead
    _check_ends(frame, layout, ends)
    return frame, layout, ends


def _check_ends(frame, layout, ends):
    """Raise on rows at the end of a series in which nothing was measured: they are not history."""
    task = layout.task
    measured = [*task.target, *task.observed]
    rows = layout.rows[frame[measured].notna().any(axis=1).to_numpy()]
    last = layout.offsets[:-1] - 1
    np.maximum.at(last, layout.series_of(rows), rows)
    empty = ends - 1 - last
    if empty.any():
        worst = int(np.argmax(empty))
        raise ValueError(
            f"`frame` ends with {empty[worst]} rows without a value of {', '.join(map(repr, measured))} in "
            f"{layout.name_of(worst)}, from {layout.times(last[[worst]] + 1)[0]} on. A forecast begins behind the last "
            f"row: drop them, `frame.dropna(subset={measured}, how='all')`. What is known of them goes into `future`."
        )


def _with_future(frame, future, layout, preparation, ends, steps) -> tuple[pd.DataFrame, Layout]:
    """Put what is known of the rows to come under the frame, and name exactly the values that are missing."""
    task = layout.task
    if not task.ahead:
        return frame, layout
    needed = (ends[:, None] + np.arange(steps)).ravel()
    if future is None:
        times = layout.times(needed)
        raise ValueError(
            f"`future` is needed: the model was trained with known-future columns {', '.join(map(repr, task.ahead))}. "
            f"Pass a table with these for {times.min()} to {times.max()}."
        )

    def listed(rows):
        places = zip(layout.series_of(rows[:5]), layout.times(rows[:5]), strict=True)
        names = [str(time) if task.series is None else f"{layout.names[one]} at {time}" for one, time in places]
        return ", ".join(names) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")

    rows, given = _rows_ahead(frame, future, layout, ends)
    repeated = rows[pd.Series(rows).duplicated()]
    if len(repeated):
        raise ValueError(f"`future` has more than one row for {listed(repeated)}. Drop the duplicates.")
    for column in task.ahead:
        categories = preparation.categories.get(column)
        try:
            given[column] = as_in_training(given[column], categories)
        except ValueError as error:
            raise ValueError(f"`future` does not fit: {error}") from error
        missing = np.setdiff1d(needed, rows[given[column].notna()])
        if len(missing):
            raise ValueError(f"`future` lacks {column!r} for {listed(missing)}. Add these rows, or fill the values.")
        if categories is None and np.isinf(given[column]).any():
            infinite = listed(rows[np.isinf(given[column])])
            raise ValueError(f"`future` holds an infinite {column!r} for {infinite}. Pass finite values.")
        warn_of_unknown("values of `future` in", column, given[column].dropna().unique(), categories or ())
    extended = pd.concat([frame, given], ignore_index=True)
    return extended, dataclasses.replace(layout, rows=np.concatenate([layout.rows, rows]))


def _rows_ahead(frame, future, layout, ends) -> tuple[np.ndarray, pd.DataFrame]:
    """Return which rows of the layout a table knows of those to come, and their known columns."""
    task = layout.task
    keys = [name for name in (task.time, task.series) if name is not None]
    if isinstance(future, pd.DataFrame):
        future = future.reset_index(
            [name for name in keys if name in future.index.names and name not in future.columns]
        )
        if task.time is None and frame.index.name in future.columns:
            future = future.set_index(frame.index.name)
    check_frame(future, [*task.ahead, *keys], "future")
    grid, zone = layout.grid, getattr(layout.grid, "tz", None)
    try:
        times = time_index(future, task)
        # A time without a zone is no moment, and a number is no time: these do not compare.
        kinds = [(isinstance(one, pd.DatetimeIndex), getattr(one, "tz", None) is None) for one in (times, grid)]
        if kinds[0] != kinds[1]:
            received = f"its times are {times.dtype}, those of `frame` {grid.dtype}"
            raise ValueError(f"{received}. Convert them, with `pd.to_datetime` or `.tz_localize`, say.")
    except (TypeError, ValueError) as error:
        raise type(error)(f"`future` does not go on from `frame`: {error}") from error
    times = times if zone is None else times.tz_convert(zone)
    places = places_on(grid, times, layout.frequency)
    series = np.zeros(len(future), dtype=int)
    if task.series is not None:
        number, names = pd.factorize(future[task.series])
        series = np.append(codes_of(names, layout.names) - 1, -1)[number]
    rows = layout.offsets[series] + places - layout.first[series]
    is_ahead = (series >= 0) & (places >= 0) & (rows >= ends[series]) & (rows < layout.offsets[series + 1])
    return rows[is_ahead], future.loc[is_ahead, list(task.ahead)].reset_index(drop=True)


def _margins_from(model, raw_units, frame, levels):
    """Return margins from the rows behind the training rows; none where the model's own quantiles suffice."""
    if all(own_places(raw_units, level) for level in levels):
        return None
    try:
        return _margins(model, raw_units, Windows.after_training(frame, raw_units.preparation), levels)
    except ValueError as error:
        raise ValueError(
            f"`level` needs rows that the model was not trained on: {error} Pass a `frame` that holds them (from "
            f"{max(raw_units.preparation.train_ends)} on), or calibrate once with `rt.conformalize(model, validation)`."
        ) from error


def _margins(model, raw_units, windows, levels) -> dict[str, list]:
    """Return, for each level, the width `(horizon, targets)` on the scale of a series that covers held-out values."""
    count = len(windows.starts)
    chosen = np.unique(np.linspace(0, count - 1, num=min(count, MAX_CALIBRATION_WINDOWS)).astype(int))
    starts, table = windows.starts[chosen], windows.table
    x, y, weight = windows.cut(starts)
    output = _outputs(model, x)
    scale = table.scale[table.series_of(starts)][:, None]  # (windows, 1, targets)
    there = np.sum(weight > 0, axis=0)  # (horizon, targets)
    margins = {}
    for level in levels:
        low, high = base_interval(output, raw_units, level)
        score = np.where(weight > 0, np.maximum(low - y, y - high) / scale, np.inf)
        # Of n errors, as exchangeable as the one to come, the (n + 1) * level-th smallest covers it; rounded, because
        # 100 * 0.07 is a little more than 7.
        rank = np.ceil(np.round((there + 1) * level / 100, 9)).astype(int)
        if (rank > there).any():
            step, target = np.argwhere(rank > there)[0]
            raise ValueError(
                f"{count} windows are too few for level {level:g}: {step + 1} steps ahead, target "
                f"{windows.task.target[target]!r} has {there[step, target]} values in them, and needs "
                f"{np.ceil(np.round(level / (100 - level), 9)):g}. Pass more rows, or a lower `level`."
            )
        widths = np.take_along_axis(np.sort(score, axis=0), rank[None] - 1, axis=0)[0]
        margins[f"{level:g}"] = widths.tolist()
    return margins
