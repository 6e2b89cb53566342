"""The user's frame on a regular axis: one float32 matrix, a row per series and time step.

Left out on purpose: resampling, outlier treatment and interpolation. pandas does the first in one line; the others
look into the future, or decide what only the user can know.
"""

import functools

import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns
from rnn_toolkit.tables.axis import (
    RESAMPLE,
    check_gaps,
    check_order,
    infer_frequency,
    name_of,
    off_axis,
    regular_axis,
    ticks_of,
    time_index,
)
from rnn_toolkit.tables.fitting import fit, loss_scale
from rnn_toolkit.tables.task import CALENDAR, Preparation


class Table:
    """Lay a frame on a regular axis: one float32 matrix, a row per series and time step, a column per channel.

    Attributes:
        preparation: What was fitted on the training rows.
        values: Channels, filled where missing: `(num_rows, num_channels)` float32.
        observed: True where a target was really there: `(num_rows, num_targets)` bool.
        names: Names of the series, in order.
        codes: Codes of the series in `preparation`, 0 for one never seen: `(num_series,)`.
        offsets: First row of each series, and the number of rows: `(num_series + 1,)`.
        begins: First row of each series that is not padding: `(num_series,)`.
        first: Position on `grid` of the first row of each series: `(num_series,)`.
        grid: All time steps, oldest first, and the one after the last row.
    """

    def __init__(self, frame, task, *, train_rows=None, pad_to=0, ahead=0):
        """Check the frame, regularise it, fit a preparation unless `task` already is one, and fill.

        Args:
            frame: The user's table.
            task: A `ForecastTask`, to be fitted, or a `Preparation`, used as it is.
            train_rows: Function of the table that returns the end row of the training rows for each series,
                `(num_series,)`; `None` takes all rows.
            pad_to: Rows that each series has at least (a number, or one per series); missing ones are put before its
                first.
            ahead: Rows of unknown targets put behind the last row of each series.
        """
        fitted = task if isinstance(task, Preparation) else None
        self.task = fitted.task if fitted else task
        self._check_columns(frame)
        times = time_index(frame, self.task)
        self.time_zone = str(times.tz) if getattr(times, "tz", None) is not None else None
        if fitted and self.time_zone != fitted.time_zone:
            raise ValueError(
                f"The time axis is in time zone {self.time_zone}, but the model was trained on {fitted.time_zone}. "
                "Convert with `.dt.tz_convert` (or `.dt.tz_localize`) first."
            )
        self._lay_out(frame, times, fitted, pad_to, ahead)
        raw, categories = self._read_columns(frame, fitted)
        self.observed = ~np.isnan(raw[:, : len(self.task.target)])
        self.preparation = fitted or fit(self, raw, categories, train_rows)
        known = {name: code for code, name in enumerate(self.preparation.series, start=1)}
        self.codes = np.array([known.get(name, 0) for name in self.names])
        self.values = self._fill(raw)
        del self._rows

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @functools.cached_property
    def scale(self) -> np.ndarray:
        """Scale of each series and target `(num_series, num_targets)`: from training, or of its own if never seen."""
        return self._or_own("scale", self.values, lambda column: loss_scale(column, self.task.season_length))

    def _or_own(self, statistic, values, own):
        """Return a statistic from training `(num_series, num_targets)`, or each unseen series' own.

        Its own is computed from the first look-back alone, which no window forecasts: so it holds no target.
        """
        result = self.preparation.of_series(statistic, self.codes)
        for number in np.flatnonzero(self.codes == 0):
            rows = slice(self.offsets[number], min(self.offsets[number] + self.task.lookback, self.offsets[number + 1]))
            for place, is_there in enumerate(self.observed[rows].T):
                if is_there.any():
                    result[number, place] = own(np.where(is_there, values[rows, place], np.nan))
        return result

    @functools.cached_property
    def end_of_training(self) -> np.ndarray:
        """Row of each series behind its training rows `(num_series,)`; one never seen goes by the latest end of all."""
        ends = list(self.preparation.train_ends)
        if isinstance(self.grid, pd.DatetimeIndex):
            ends = pd.to_datetime(ends, utc=self.time_zone is not None)
        positions = self.grid.searchsorted(pd.Index(ends))
        return self.rows_at(np.concatenate([[positions.max()], positions])[self.codes])

    def times(self, rows: np.ndarray) -> pd.Index:
        """Return the time of each row."""
        return self.grid[self.first[self.series_of(rows)] + rows - self.offsets[self.series_of(rows)]]

    def series_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of the series that each row belongs to."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def rows_at(self, position: int | np.ndarray) -> np.ndarray:
        """Return, for each series, its first row at or after a position of the grid (or its own): `(num_series,)`."""
        return self.offsets[:-1] + np.clip(position - self.first, 0, np.diff(self.offsets))

    def _check_columns(self, frame):
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(f"`frame` must be a pandas DataFrame. Received: {type(frame).__name__}. Wrap it in one.")
        if frame.empty:
            raise ValueError(f"`frame` is empty: its shape is {frame.shape}. Pass a table with rows and columns.")
        needed = [*self.task.target, *self.task.covariates]
        needed += [column for column in (self.task.time, self.task.series) if column is not None]
        for column in needed:
            if column in frame.index.names and column not in frame.columns:
                raise ValueError(
                    f"{column!r} is the index of the table, or a level of it, not a column. Pass "
                    "`frame.reset_index()`; or leave out `time=`, which takes the index."
                )
        has_columns(frame.columns, needed, "`frame`")
        repeated = frame.columns[frame.columns.duplicated()]
        if len(repeated):
            raise ValueError(
                f"`frame` has more than one column {repeated[0]!r}. Rename or drop columns until each name is unique."
            )

    def _lay_out(self, frame, times, fitted, pad_to, ahead):
        """Find the axis, and the row of the matrix that each row of the frame goes to (`self._rows`)."""
        if self.task.series is None:
            self.names, number = ["all rows"], np.zeros(len(frame), dtype="int32")
        else:
            number, names = pd.factorize(frame[self.task.series], sort=False)
            self.names = [str(name) for name in names]
            if (number < 0).any():
                raise ValueError(
                    f"Column {self.task.series!r} names no series in row {int(np.argmax(number < 0))}. "
                    "Fill or drop the rows without a series."
                )
            if len(set(self.names)) < len(self.names):
                raise ValueError(
                    f"Column {self.task.series!r} mixes types: two of its series are written alike, such as 1 and '1'. "
                    "Convert it with `.astype(str)`."
                )
        ticks = ticks_of(times)
        order = np.argsort(number, kind="stable") if (np.diff(number) < 0).any() else slice(None)
        check_order(times, ticks, number, self.names, order)
        frequency = fitted.frequency if fitted else self.task.frequency
        distinct = times if len(self.names) == 1 else times.unique().sort_values()
        self.frequency = frequency if frequency is not None else infer_frequency(distinct)
        grid = regular_axis(distinct[0], distinct[-1], self.frequency)
        off_grid = off_axis(ticks, grid)
        if off_grid.any():
            raise ValueError(
                f"The time axis is irregular: {times[int(np.argmax(off_grid))]} is not a step of frequency "
                f"{self.frequency!r} counted from {distinct[0]}. {RESAMPLE}"
            )
        position = np.searchsorted(ticks_of(grid), ticks)
        lowest = np.full(len(self.names), len(grid))
        highest = np.zeros(len(self.names), dtype="int64")
        np.minimum.at(lowest, number, position)
        np.maximum.at(highest, number, position)
        check_gaps(position[order], number[order], highest - lowest + 1, self.names)
        pad = np.maximum(pad_to - (highest - lowest + 1), 0)
        before = int(np.max(pad - lowest, initial=0))
        # One step more than there are rows, so that the step after the last row has a name, too.
        self.grid = regular_axis(distinct[0], distinct[-1], self.frequency, before=before, after=ahead + 1)
        self.first = lowest - pad + before
        self.offsets = np.concatenate([[0], np.cumsum(highest - lowest + 1 + pad + ahead)])
        self.begins = self.offsets[:-1] + pad
        self._rows = (self.begins - lowest)[number] + position

    def _read_columns(self, frame, fitted):
        """Return the unfilled matrix of targets and covariates, and the categories of the text columns."""
        columns = (*self.task.target, *self.task.observed, *self.task.known, *self.task.static)
        raw = np.full((len(self), len(columns)), np.nan, dtype="float32")
        categories = dict(fitted.categories) if fitted else {}
        for place, name in enumerate(columns):
            column = frame[name]
            is_text = not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
            is_text = is_text or name == self.task.series  # the number of a series is a name, not a quantity
            if column.isna().all():  # then its type says nothing
                is_text, column = name in categories, pd.Series(np.nan, index=column.index)
            if fitted and name not in self.task.target and is_text != (name in fitted.categories):
                expected, received = ("text", "numbers") if name in fitted.categories else ("numbers", "text")
                raise ValueError(f"Column {name!r} holds {received}, but {expected} in training. Convert it first.")
            if is_text:
                _check_text(column, is_target=name in self.task.target, is_name=name == self.task.series)
                number, values = pd.factorize(column)
                values = [str(value) for value in values]
                if not fitted:
                    categories[name] = values
                codes = {value: code for code, value in enumerate(categories[name], start=1)}
                raw[self._rows, place] = np.array([*(codes.get(value, 0) for value in values), np.nan])[number]
            else:
                with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is named below
                    raw[self._rows, place] = column.to_numpy(dtype="float64", na_value=np.nan)
            infinite = np.isinf(raw[:, place])
            if infinite.any():
                where = self.times(np.flatnonzero(infinite)[:1])[0]
                raise ValueError(
                    f"Column {name!r} holds {int(infinite.sum())} infinite values (or ones beyond float32), the first "
                    f"at {where}. Replace them with NaN; missing values are allowed."
                )
            if name in self.task.static:
                self._spread_static(raw, place, name)
        return raw, categories

    def _spread_static(self, raw, place, name):
        """Give every row of a series its static value; rows for missing time steps have none of their own."""
        for number in range(len(self.names)):
            rows = slice(self.offsets[number], self.offsets[number + 1])
            values = raw[rows, place][~np.isnan(raw[rows, place])]
            if len(values) and (values != values[0]).any():
                raise ValueError(
                    f"Static column {name!r} changes within {name_of(self.names, number)}. "
                    "Make it `known` or `observed`, or correct the table."
                )
            raw[rows, place] = values[0] if len(values) else np.nan

    def _fill(self, raw):
        """Build the channels: forward-filled columns, shifted copies, calendar waves, flags and series codes."""
        preparation, task = self.preparation, self.task
        columns = (*task.target, *task.observed, *task.known, *task.static)
        series = np.repeat(np.arange(len(self.names)), np.diff(self.offsets)) if len(self.names) > 1 else None
        missing = {name: np.isnan(raw[:, columns.index(name)]) for name in preparation.flagged}
        level = self._or_own("level", raw, np.nanmean)
        for place, name in enumerate(columns):
            is_target = place < len(task.target)
            start = level[:, place] if is_target else np.full(len(self.names), preparation.moments.get(name, (0.0,))[0])
            _forward_fill(raw[:, place], self.offsets, start)
        channels = preparation.channels
        if len(channels) == len(columns):
            return raw
        values = np.empty((len(self), len(channels)), dtype="float32")
        values[:, : len(columns)] = raw
        for place, channel in enumerate(channels[len(columns) :], start=len(columns)):
            if channel.kind == "cyclic":
                values[:, place] = self._wave(channel)
            elif channel.kind == "flag":
                values[:, place] = missing[channel.column]
            elif channel.kind == "series":
                values[:, place] = self.codes[0] if series is None else self.codes[series]
            else:
                source = raw[:, columns.index(channel.column)]
                values[: -channel.shift, place] = source[channel.shift :]
                values[-channel.shift :, place] = source[-1]
        return values

    def _wave(self, channel):
        """Return the sine or cosine of a calendar feature, `channel.shift` steps ahead, for every row."""
        if not isinstance(self.grid, pd.DatetimeIndex):
            raise ValueError(
                f"Calendar feature {channel.column!r} needs timestamps, but the time axis holds whole numbers. "
                "Pass timestamps, or leave `calendar` empty."
            )
        grid = regular_axis(self.grid[0], self.grid[-1], self.frequency, after=channel.shift)[channel.shift :]
        number = grid.isocalendar().week if channel.column == "week" else getattr(grid, channel.column)
        angle = 2 * np.pi * np.asarray(number, dtype="float64") / CALENDAR[channel.column]
        wave = (np.sin if channel.name.startswith("sin") else np.cos)(angle).astype("float32")
        return np.concatenate([wave[a : a + n] for a, n in zip(self.first, np.diff(self.offsets), strict=True)])


def _forward_fill(column, offsets, start):
    """Carry the last value forward within each series, in place; rows before the first value get `start`."""
    missing = np.isnan(column)
    if not missing.any():
        return
    for begin, end, value in zip(offsets, offsets[1:], start, strict=False):
        gaps = missing[begin:end]
        if gaps.any():
            last = np.maximum.accumulate(np.where(gaps, -1, np.arange(end - begin)))
            column[begin:end] = np.where(last < 0, value, column[begin:end][last])


def _check_text(column, *, is_target, is_name):
    """Raise on a text column that is a target, or that holds numbers with a few words among them."""
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise ValueError(
            f"Column {column.name!r} holds dates. Use the `calendar` features, or convert it to a number of days."
        )
    is_bool = pd.api.types.is_bool_dtype(column)
    if not is_target and (is_name or is_bool or isinstance(column.dtype, pd.CategoricalDtype)):
        return
    if is_bool:
        raise ValueError(
            f"Column {column.name!r} must hold numbers, but holds truth values. Convert it with `.astype('float64')`."
        )
    present = column.dropna().astype(str)
    is_number = pd.to_numeric(present, errors="coerce").notna()
    if is_target or is_number.mean() > 0.5:
        odd = present[~is_number] if not is_number.all() else present
        raise ValueError(
            f"Column {column.name!r} must hold numbers, but holds text, such as {odd.iloc[0] if len(odd) else None!r}. "
            "Convert it with `pd.to_numeric(..., errors='coerce')`; if it is a category, use `.astype('category')`."
        )
