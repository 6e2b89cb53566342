"""The user's frame on a regular axis: one float32 matrix, a row per series and time step.

Left out on purpose: resampling, outlier treatment and interpolation. pandas does the first in one line; the others
look into the future, or decide what only the user can know.
"""

import functools

import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns
from rnn_toolkit.axis import check_gaps, check_order, infer_frequency, off_axis, regular_axis, ticks_of, time_index
from rnn_toolkit.series import CALENDAR, Preparation


class Table:
    """Lay a frame on a regular axis: one float32 matrix, a row per series and time step, a column per channel.

    Attributes:
        preparation: What was fitted on the training rows.
        values: Channels, filled where missing: `(num_rows, num_channels)` float32.
        observed: True where a target was really there: `(num_rows, num_targets)` bool.
        names: Names of the series, in order.
        codes: Codes of the series in `preparation`, 0 for one never seen: `(num_series,)`.
        offsets: First row of each series, and the number of rows: `(num_series + 1,)`.
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
            pad_to: Rows that each series has at least; missing ones are put before its first.
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
        self.preparation = fitted or self._fit(raw, categories, train_rows)
        known = {name: code for code, name in enumerate(self.preparation.series, start=1)}
        self.codes = np.array([known.get(name, 0) for name in self.names])
        self.values = self._fill(raw)
        del self._rows

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @functools.cached_property
    def scale(self) -> np.ndarray:
        """Scale of each series and target `(num_series, num_targets)`: from training, or of its own if never seen."""
        scale = self.preparation.of_series("scale", self.codes)
        for number in np.flatnonzero(self.codes == 0):
            rows = self.values[self.offsets[number] : self.offsets[number + 1], : scale.shape[1]]
            scale[number] = [naive_scale(column, self.task.season_length) for column in rows.T]
        return scale

    def times(self, rows: np.ndarray) -> pd.Index:
        """Return the time of each row."""
        return self.grid[self.first[self.series_of(rows)] + rows - self.offsets[self.series_of(rows)]]

    def series_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of the series that each row belongs to."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def rows_at(self, position: int) -> np.ndarray:
        """Return, for each series, its first row at or after a position of the grid: `(num_series,)`."""
        return self.offsets[:-1] + np.clip(position - self.first, 0, np.diff(self.offsets))

    def _check_columns(self, frame):
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(f"`frame` must be a pandas DataFrame. Received: {type(frame).__name__}. Wrap it in one.")
        if frame.empty:
            raise ValueError(f"`frame` is empty: its shape is {frame.shape}. Pass a table with rows and columns.")
        needed = [*self.task.target, *self.task.covariates]
        needed += [column for column in (self.task.time, self.task.series) if column is not None]
        has_columns(frame.columns, needed, "`frame`")

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
                f"{self.frequency!r} counted from {distinct[0]}. Resample first, for instance "
                "`frame.resample('h').mean()`, or pass `frequency=` to the task."
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
        self._rows = (self.offsets[:-1] + pad - lowest)[number] + position

    def _read_columns(self, frame, fitted):
        """Return the unfilled matrix of targets and covariates, and the categories of the text columns."""
        columns = (*self.task.target, *self.task.observed, *self.task.known, *self.task.static)
        raw = np.full((len(self), len(columns)), np.nan, dtype="float32")
        categories = dict(fitted.categories) if fitted else {}
        for place, name in enumerate(columns):
            column = frame[name]
            is_text = not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
            is_text = is_text or name == self.task.series  # the number of a series is a name, not a quantity
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
                    f"Static column {name!r} changes within series {self.names[number]!r}. "
                    "Make it `known` or `observed`, or correct the table."
                )
            raw[rows, place] = values[0] if len(values) else np.nan

    def _fit(self, raw, categories, train_rows):
        ends = self.offsets[1:] if train_rows is None else train_rows(self)
        stays = np.zeros(len(self), dtype=bool)
        for begin, end in zip(self.offsets, ends, strict=False):
            stays[begin:end] = True
        columns = (*self.task.target, *self.task.observed, *self.task.known, *self.task.static)
        num_targets = len(self.task.target)
        moments, kept = {}, {}
        flagged = []
        for place, name in enumerate(columns):
            values = raw[stays, place]
            missing = np.isnan(values)
            if missing.any() and name not in self.task.static:
                flagged.append(name)
            if name in categories:
                kept[name] = _reorder(categories[name], values[~missing], raw, place)
            elif place >= num_targets:
                present = values[~missing].astype("float64")
                deviation = float(present.std()) if len(present) else 0.0
                moments[name] = (float(present.mean()) if len(present) else 0.0, deviation or 1.0)
        seen, statistics = {}, {"level": [], "deviation": [], "scale": []}
        for number, name in enumerate(self.names):
            rows = raw[self.offsets[number] : ends[number], :num_targets]
            if np.isnan(rows).all(axis=0).any():
                continue
            deviation = np.array([np.nanstd(column, dtype="float64") for column in rows.T])
            seen[name] = bool((deviation == 0).any())
            statistics["level"].append([np.nanmean(column, dtype="float64") for column in rows.T])
            statistics["deviation"].append(np.where(deviation > 0, deviation, 1.0))
            statistics["scale"].append(
                [naive_scale(column, self.task.season_length) for column in rows.T]
                if self.task.season_length
                else statistics["deviation"][-1]
            )
        self._check_training(seen, num_rows=int(stays.sum()))
        after = self.grid[int(np.max(self.first + ends - self.offsets[:-1]))]
        return Preparation(
            task=self.task,
            frequency=self.frequency,
            time_zone=self.time_zone,
            train_end=after.isoformat() if isinstance(after, pd.Timestamp) else int(after),
            categories=kept,
            moments=moments,
            flagged=tuple(flagged),
            series=tuple(seen),
            **{name: tuple(tuple(map(float, row)) for row in rows) for name, rows in statistics.items()},
        )

    def _check_training(self, is_constant, *, num_rows):
        """Raise where the training rows hold nothing that can be learned; `is_constant` has the usable series."""
        if not is_constant:
            listed = ", ".join(repr(column) for column in self.task.target)
            raise ValueError(
                f"No series has a value of every target ({listed}) in its training rows ({num_rows} rows in all): the "
                "values are missing (NaN). Pass rows with values, or take smaller shares for validation and test."
            )
        if all(is_constant.values()):
            raise ValueError(
                f"A target is constant over the training rows (series {', '.join(map(repr, [*is_constant][:5]))}): "
                "there is nothing to learn. Drop that target, or pass rows in which it changes."
            )

    def _fill(self, raw):
        """Build the channels: forward-filled columns, shifted copies, calendar waves, flags and series codes."""
        preparation, task = self.preparation, self.task
        columns = (*task.target, *task.observed, *task.known, *task.static)
        series = np.repeat(np.arange(len(self.names)), np.diff(self.offsets)) if len(self.names) > 1 else None
        missing = {name: np.isnan(raw[:, columns.index(name)]) for name in preparation.flagged}
        level = preparation.of_series("level", self.codes)
        for place, name in enumerate(columns):
            if place < len(task.target):
                start = level[:, place]
                start[self.codes == 0] = self._own_level(raw[:, place])[self.codes == 0]
            else:
                start = np.full(len(self.names), preparation.moments.get(name, (0.0,))[0])
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

    def _own_level(self, column):
        """Return the mean of each series as it stands here: what an unseen series starts from."""
        sums = [column[a:b][~np.isnan(column[a:b])] for a, b in zip(self.offsets, self.offsets[1:], strict=False)]
        return np.array([values.mean(dtype="float64") if len(values) else 0.0 for values in sums])

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


def naive_scale(values: np.ndarray, season_length: int | None) -> float:
    """Return the mean absolute (seasonal) difference of a series, or 1 where it never changes.

    Example:
        >>> naive_scale(np.array([1.0, 3.0, 2.0, 6.0]), season_length=2)
        2.0
    """
    season = season_length if season_length is not None and season_length < len(values) else 1
    differences = np.abs(values[season:] - values[:-season])
    present = differences[~np.isnan(differences)]
    return float(present.mean(dtype="float64")) if len(present) and present.any() else 1.0


def _reorder(categories, codes, raw, place):
    """Keep the categories seen in training, give the others code 0 in `raw`, and return the kept ones."""
    seen = np.unique(codes.astype("int64"))
    new_code = np.zeros(len(categories) + 1, dtype="float32")
    kept = [code for code in seen if code > 0]
    new_code[kept] = np.arange(1, len(kept) + 1)
    present = ~np.isnan(raw[:, place])
    raw[present, place] = new_code[raw[present, place].astype("int64")]
    return [categories[code - 1] for code in kept]


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
    is_category = is_name or pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)
    if is_category and not is_target:
        return
    present = column.dropna().astype(str)
    is_number = pd.to_numeric(present, errors="coerce").notna()
    if is_target or is_number.mean() > 0.5:
        odd = present[~is_number] if not is_number.all() else present
        raise ValueError(
            f"Column {column.name!r} must hold numbers, but holds text, such as {odd.iloc[0] if len(odd) else None!r}. "
            "Convert it with `pd.to_numeric(..., errors='coerce')`; if it is a category, use `.astype('category')`."
        )
