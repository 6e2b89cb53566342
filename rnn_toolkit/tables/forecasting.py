"""A model and recent rows -> future rows, in the units and the shape of the user's own table."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns, whole_number
from rnn_toolkit.tables.axis import name_of, ticks_of, time_index
from rnn_toolkit.tables.layers import RawUnits, raw_units_of
from rnn_toolkit.tables.table import Table
from rnn_toolkit.tables.windows import Windows

MAX_CALIBRATION_WINDOWS = 5_000  # evenly spaced; more change a quantile of the errors by little
TIME = "_time"  # holds the index of a table for a while, where a user's column would not be


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
        model: A model of `build_forecaster`, as trained or as loaded from its `.keras` file.
        frame: Recent rows, at least `lookback` for each series, with the columns of the task. Series that were not in
            the training table are welcome.
        future: The rows to come: time, series id and `known` columns. Only for tasks with known-future columns.
        horizon: Rows to forecast; `None` for the horizon of the task. Beyond it, forecasts are fed back as input, and
            observed covariates stay at their last value.
        level: Coverage of intervals in percent, such as `[80, 95]`. Of a model that was calibrated, the levels given
            to `conformalize`. Else of a quantile model, the levels its quantiles enclose; for other levels and models,
            the intervals come from the errors on those rows of `frame` that lie behind the training rows.

    Returns:
        A table like `frame`: time as its index or column, the series id, the targets, and `<target>-lo-<level>`,
        `<target>-hi-<level>`. One row per series and step.

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
    raw_units = raw_units_of(model)
    task = raw_units.preparation.task
    steps = task.horizon if horizon is None else whole_number(horizon, "horizon")
    levels = [] if level is None else _levels(level)
    blocks = -(-steps // task.horizon)
    table, ends = _table_with_room(frame, raw_units.preparation, future, steps, blocks * task.horizon)
    windows = Windows.of_table(table, (ends - task.lookback).astype("int64"))
    outputs = []
    for block in range(blocks):
        x, *_ = windows.cut(windows.starts + block * task.horizon)
        output = _outputs(model, x)  # (series, horizon, targets[, quantiles])
        rows = (ends + block * task.horizon)[:, None] + np.arange(task.horizon)  # (series, horizon)
        for place in range(len(task.target)):
            table.values[rows, place] = middle(output, raw_units)[..., place]
        outputs.append(output)
    output = np.concatenate(outputs, axis=1)[:, :steps]
    rows = ends[:, None] + np.arange(steps)
    table_columns = _time_and_series(frame, table, rows.ravel())
    point = middle(output, raw_units)
    bounds = {}
    if levels:
        margins = raw_units.margins or _margins_from(model, raw_units, frame, levels)
        for one in levels:
            bounds[one] = _bounds(output, raw_units, one, margins, table.scale)
    for place, name in enumerate(task.target):
        table_columns[name] = point[..., place].ravel()
        for one, (low, high) in bounds.items():
            table_columns[f"{name}-lo-{one:g}"] = low[..., place].ravel()
            table_columns[f"{name}-hi-{one:g}"] = high[..., place].ravel()
    result = pd.DataFrame(table_columns)
    if task.time is None:
        result = result.set_index(TIME)
        result.index.name = frame.index.name
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
        ValueError: If a level is not between 0 and 100, or there are too few windows for it.

    Source: Vovk et al., 2005, "Algorithmic learning in a random world"; for quantiles Romano et al., 2019,
        "Conformalized quantile regression", NeurIPS. Windows that overlap are not exchangeable, so that the coverage
        holds on average over long stretches, not for each.
    """
    raw_units = raw_units_of(model)
    margins = _margins(model, raw_units, windows, _levels(level))
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    if model.compiled:
        copy.compile_from_config(model.get_compile_config())
    raw_units_of(copy).margins = margins
    return copy


def middle(output: np.ndarray, raw_units: RawUnits) -> np.ndarray:
    """Return the point forecast `(batch, horizon, targets)`: the output itself, or its middle quantile."""
    return output if raw_units.quantiles is None else output[..., len(raw_units.quantiles) // 2]


def _outputs(model, x) -> np.ndarray:
    """Return what the model says to some thousand windows.

    Not by `predict`, which compiles anew for each model: that takes longer than the windows themselves.
    """
    pieces = [model(x[begin : begin + 1024], training=False) for begin in range(0, len(x), 1024)]
    return np.concatenate([keras.ops.convert_to_numpy(piece) for piece in pieces])


def _levels(level) -> list[float]:
    levels = [level] if np.isscalar(level) else list(level)
    for one in levels:
        if isinstance(one, str) or not 0 < one < 100:
            raise ValueError(f"`level` must be percentages between 0 and 100, such as [80, 95]. Received: {level!r}.")
    if not levels:
        raise ValueError("`level` names no percentage. Received: []. Pass [80, 95], say.")
    return sorted(levels)


def _table_with_room(frame, preparation, future, steps, room):
    """Lay out the frame and the future rows; return the table and the row after the last known one, by series."""
    task = preparation.task
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"`frame` must be a pandas DataFrame. Received: {type(frame).__name__}.")
    if len(frame) == 0:
        raise ValueError(f"`frame` is empty. Pass at least the last {task.lookback} rows of each series.")
    recent = Table(frame, preparation, ahead=room)
    last = recent.offsets[1:] - room
    short = last - recent.offsets[:-1] < task.lookback
    if short.any():
        worst = int(np.argmax(short))
        raise ValueError(
            f"`frame` has too few recent rows: {name_of(recent.names, worst)} has "
            f"{(last - recent.offsets[:-1])[worst]}, and the model looks back {task.lookback}. "
            f"Pass at least the last {task.lookback} rows of each series."
        )
    if not task.known:
        return recent, last
    rows = last[:, None] + np.arange(steps)
    _check_future(future, task, recent, rows)
    table = Table(_extended(frame, future, task), preparation, ahead=room)
    ends = table.offsets[:-1] + _positions(table, recent.times(last - 1)) - table.first + 1
    return table, ends


def _positions(table, times) -> np.ndarray:
    """Return the position of times on a table's grid."""
    return np.searchsorted(ticks_of(table.grid), ticks_of(times))


def _check_future(future, task, recent, rows):
    """Name exactly the known-future values that are missing."""
    needed = pd.DataFrame({"series": np.array(recent.names)[recent.series_of(rows.ravel())]})
    needed["time"] = recent.times(rows.ravel())
    if future is None:
        raise ValueError(
            f"`future` is needed: the model was trained with known-future columns {', '.join(map(repr, task.known))}. "
            f"Pass a table with these for {needed.time.iloc[0]} to {needed.time.iloc[-1]}."
        )
    has_columns(future.columns, [*task.known, *filter(None, (task.time, task.series))], "`future`")
    given = pd.DataFrame({"time": time_index(future, task)})
    given["series"] = recent.names[0] if task.series is None else future[task.series].astype(str).to_numpy()
    for column in task.known:
        there = pd.MultiIndex.from_frame(given[["series", "time"]][future[column].notna().to_numpy()])
        missing = needed[~pd.MultiIndex.from_frame(needed[["series", "time"]]).isin(there)]
        if len(missing):
            listed = ", ".join(
                str(time) if task.series is None else f"{series} at {time}"
                for series, time in missing.head(5).itertuples(index=False)
            )
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise ValueError(f"`future` lacks {column!r} for {listed}{more}. Add these rows, or fill the values.")


def _extended(frame, future, task) -> pd.DataFrame:
    """Put the future rows under the frame; what they lack is missing."""
    if task.time is None:
        name = TIME
        frame, future = (part.reset_index(drop=True).assign(**{name: part.index}) for part in (frame, future))
    else:
        name = task.time
        frame, future = frame.reset_index(drop=True), future.reset_index(drop=True)
    rows = frame.reindex(range(len(frame) + len(future)))
    for column in (name, *filter(None, (task.series,)), *task.known):
        rows[column] = pd.concat([frame[column], future[column]], ignore_index=True)
    return rows.set_index(name) if task.time is None else rows


def _time_and_series(frame, table, rows) -> dict:
    """Return the columns of time and series id, named as in the frame."""
    task = table.task
    columns = {task.time or TIME: table.times(rows)}
    if task.series is not None:
        columns[task.series] = frame[task.series].unique()[table.series_of(rows)]
    return columns


def _bounds(output, raw_units, level, margins, scale):
    """Return the lower and upper bound `(series, steps, targets)` of an interval."""
    low, high = _base_interval(output, raw_units, level)
    if not margins:
        return low, high
    if f"{level:g}" not in margins:
        raise ValueError(f"Level {level:g} was not calibrated. Available: {', '.join(margins)}. See `rt.conformalize`.")
    margin = np.asarray(margins[f"{level:g}"])  # (horizon, targets)
    steps = np.arange(low.shape[1])
    # Beyond the horizon no error was measured: the last width grows like a random walk's.
    growth = np.sqrt(np.maximum(steps + 1, len(margin)) / len(margin))[:, None]
    width = (margin[np.minimum(steps, len(margin) - 1)] * growth)[None] * scale[:, None]
    return np.minimum(low - width, middle(output, raw_units)), np.maximum(high + width, middle(output, raw_units))


def _base_interval(output, raw_units, level):
    """Return what is calibrated: the model's own interval where it has one, or its point forecast twice."""
    quantiles = raw_units.quantiles or ()
    wanted = ((1 - level / 100) / 2, (1 + level / 100) / 2)
    places = [place for want in wanted for place, have in enumerate(quantiles) if abs(have - want) < 1e-6]
    if len(places) == 2:
        return output[..., places[0]], output[..., places[1]]
    point = middle(output, raw_units)
    return point, point


def _margins_from(model, raw_units, frame, levels):
    """Return margins from the rows behind the training rows; none where the model's own quantiles suffice."""
    quantiles = raw_units.quantiles or ()
    own = [(1 - level / 100) / 2 for level in levels]
    if all(any(abs(have - want) < 1e-6 for have in quantiles) for want in own):
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
    if count < 100 / (100 - max(levels)):
        raise ValueError(f"{count} windows are too few for level {max(levels):g}.")
    chosen = np.unique(np.linspace(0, count - 1, num=min(count, MAX_CALIBRATION_WINDOWS)).astype(int))
    judged = Windows.of_table(windows.table, windows.starts[chosen])
    x, y, weight = judged.to_arrays()
    output = _outputs(model, x)
    scale = windows.table.scale[windows.table.series_of(judged.starts)][:, None]  # (windows, 1, targets)
    margins = {}
    for level in levels:
        low, high = _base_interval(output, raw_units, level)
        score = np.where(weight > 0, np.maximum(low - y, y - high) / scale, np.nan)
        there = np.sum(weight > 0, axis=0)  # (horizon, targets)
        share = np.minimum(np.ceil((there + 1) * level / 100) / np.maximum(there, 1), 1.0)
        margins[f"{level:g}"] = [
            [
                float(np.nanquantile(score[:, step, place], share[step, place], method="higher"))
                for place in range(y.shape[2])
            ]
            for step in range(y.shape[1])
        ]
    return margins
