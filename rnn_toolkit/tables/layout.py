"""Where each row of a frame goes: a block of rows for each series, a row for each step of the axis they share."""

import dataclasses

import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns
from rnn_toolkit.tables.axis import (
    LOCAL_CLOCK,
    RESAMPLE,
    infer_frequency,
    places_on,
    regular_axis,
    ticks_of,
    time_index,
)
from rnn_toolkit.tables.task import ForecastTask


@dataclasses.dataclass
class Layout:
    """Lay the rows of a frame out on a regular axis, before any value is read.

    Attributes:
        task: Roles of the columns.
        names: Names of the series, in order of appearance.
        frequency: Distance of two rows: a pandas frequency, or a number for whole-number axes.
        grid: All time steps, oldest first, and the one after the last row.
        first: Position on `grid` of the first row of each series: `(num_series,)`.
        offsets: First row of each series, and the number of rows: `(num_series + 1,)`.
        begins: First row of each series that is not padding: `(num_series,)`.
        rows: Row that each row of the frame goes to.
    """

    task: ForecastTask
    names: list[str]
    frequency: str | int
    grid: pd.Index
    first: np.ndarray
    offsets: np.ndarray
    begins: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame, task: ForecastTask, frequency: str | int | None = None) -> "Layout":
        """Check a frame and lay it out; without `frequency`, that of the task is taken, or read off the frame."""
        check_frame(frame, [*task.columns, *(name for name in (task.time, task.series) if name is not None)], "frame")
        times = time_index(frame, task)
        number, names = _series(frame, task)
        ticks = ticks_of(times)
        _check_order(times, ticks, number, names)
        distinct = times if len(names) == 1 else times.unique().sort_values()
        frequency = frequency or task.frequency or infer_frequency(distinct)
        # One step more than there are rows, so that the step after the last row has a name, too.
        grid = regular_axis(distinct[0], distinct[-1], frequency, after=1)
        position = places_on(grid[:-1], times, frequency)
        if (position < 0).any():
            clock = "" if getattr(times, "tz", None) is None else f" {LOCAL_CLOCK}"
            raise ValueError(
                f"The time axis is irregular: {times[int(np.argmin(position))]} is not a step of frequency "
                f"{frequency!r} counted from {distinct[0]}. {RESAMPLE}{clock}"
            )
        first, last = np.full(len(names), len(grid)), np.zeros(len(names), dtype="int64")
        np.minimum.at(first, number, position)
        np.maximum.at(last, number, position)
        _check_gaps(position, number, last - first + 1, names)
        offsets = np.concatenate([[0], np.cumsum(last - first + 1)])
        rows = (offsets[:-1] - first)[number] + position
        return cls(task, names, frequency, grid, first, offsets, offsets[:-1], rows)

    def with_room(self, *, at_least: int | np.ndarray = 0, ahead: int = 0) -> "Layout":
        """Return a fresh layout with more rows.

        Args:
            at_least: Rows that each series has at least (a number, or one per series); missing ones are put before
                its first.
            ahead: Rows put behind the last row of each series.
        """
        spans = np.diff(self.offsets)
        pad = np.maximum(at_least - spans, 0)
        before = int(np.max(pad - self.first, initial=0))
        first, last = self.grid[0], self.grid[-2]
        if isinstance(first, pd.Timestamp) and first.unit == "ns" and not 1900 < first.year <= last.year < 2200:
            first, last = first.as_unit("us"), last.as_unit("us")  # nanoseconds end in 1677 and 2262
        offsets = np.concatenate([[0], np.cumsum(pad + spans + ahead)])
        begins = offsets[:-1] + pad
        return dataclasses.replace(
            self,
            grid=regular_axis(first, last, self.frequency, before=before, after=ahead + 1),
            first=self.first - pad + before,
            offsets=offsets,
            begins=begins,
            rows=self.rows + (begins - self.begins)[self.series_of(self.rows)],
        )

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def name_of(self, number: int) -> str:
        """Return how a message calls a series."""
        return _name_of(self.names, number)

    @property
    def time_zone(self) -> str | None:
        """Name of the axis' time zone."""
        zone = getattr(self.grid, "tz", None)
        return None if zone is None else str(zone)

    def times(self, rows: np.ndarray) -> pd.Index:
        """Return the time of each row."""
        return self.grid[self.first[self.series_of(rows)] + rows - self.offsets[self.series_of(rows)]]

    def has_clock_of(self, time_zone: str | None) -> bool:
        """Return whether clocks in a time zone show the same along the axis, as in UTC and Etc/UTC."""
        if self.time_zone == time_zone or None in (self.time_zone, time_zone):
            return self.time_zone == time_zone
        try:
            there = self.grid.tz_convert(time_zone)
        except (KeyError, ValueError):  # dateutil has zones without a name
            return False
        return self.grid.tz_localize(None).equals(there.tz_localize(None))

    def series_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of the series that each row belongs to."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def rows_at(self, position: int | np.ndarray) -> np.ndarray:
        """Return, for each series, its first row at or after a position of the grid (or its own): `(num_series,)`."""
        return self.offsets[:-1] + np.clip(position - self.first, 0, np.diff(self.offsets))


def key_of(value: object) -> str:
    """Return a text that is the same for all spellings of a value: 1, 1.0, "1.0" and True, a date and its midnight.

    A column changes its type on the way: whole numbers become floats in a merge that leaves gaps, truth values objects,
    and everything text in a CSV file. Text counts as a number only where Python writes the number like that, so "007",
    "1.10" and "1e3" are themselves.

    Example:
        >>> [key_of(value) for value in (1, 1.0, "1.0", True, np.float64(2.5), "2.5", "007", "a")]
        ['1', '1', '1', '1', '2.5', '2.5', '007', 'a']
    """
    text = str(value).removesuffix(" 00:00:00")
    text = {"True": "1", "False": "0"}.get(text, text)
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() and text == str(number) else text


def check_frame(frame, needed: list[str], name: str):
    """Raise unless a frame is one of pandas, and has rows and each needed column once."""
    if not isinstance(frame, pd.DataFrame):
        library, kind = type(frame).__module__.partition(".")[0], type(frame).__name__
        if hasattr(frame, "to_pandas"):
            raise TypeError(f"`{name}` must be a pandas DataFrame. Received: {kind} of {library}. Pass `.to_pandas()`.")
        raise TypeError(f"`{name}` must be a pandas DataFrame. Received: {kind}. Wrap it in one.")
    if frame.empty:
        raise ValueError(f"`{name}` is empty: its shape is {frame.shape}. Pass a table with rows and columns.")
    for column in needed:
        if column in frame.index.names and column not in frame.columns:
            raise ValueError(
                f"{column!r} is the index of the table, or a level of it, not a column. Pass "
                f"`{name}.reset_index()`; or leave out `time=`, which takes the index."
            )
    has_columns(frame.columns, needed, f"`{name}`")
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise ValueError(f"`{name}` has more than one column {repeated[0]!r}. Rename or drop all but one.")


def _series(frame, task) -> tuple[np.ndarray, list[str]]:
    """Return the number of each row's series, and the names of all series."""
    if task.series is None:
        return np.zeros(len(frame), dtype="int32"), ["all rows"]
    number, names = pd.factorize(frame[task.series], sort=False)
    names = [str(name) for name in names]
    if (number < 0).any():
        raise ValueError(f"Column {task.series!r} names no series in row {int(np.argmax(number < 0))}. Drop such rows.")
    if len(set(map(key_of, names))) < len(names):
        raise ValueError(
            f"Column {task.series!r} mixes types: two of its series are written alike, such as 1 and '1' or '1.0'. "
            "Convert it with `pd.to_numeric`, or with `.astype(int).astype(str)`."
        )
    return number, names


def _name_of(names, number) -> str:
    return "the table" if len(names) == 1 else f"series {names[number]!r}"


def _by_series(number):
    """Return the order that brings the rows of each series together."""
    return np.argsort(number, kind="stable") if (np.diff(number) < 0).any() else slice(None)


def _check_order(times, ticks, number, names):
    """Raise on timestamps that repeat or step back within a series."""
    order = _by_series(number)
    steps = np.diff(ticks[order])
    wrong = (steps <= 0) & (np.diff(number[order]) == 0)
    if not wrong.any():
        return
    repeats = wrong & (steps == 0)
    place = int(np.argmax(repeats if repeats.any() else wrong))
    before, row = np.arange(len(ticks))[order][place : place + 2]
    problem, mend = ("repeats", "Drop the duplicates") if repeats.any() else ("goes back", "Sort the table by time")
    mend += ", or name the column that tells the series apart with `series=`."
    is_clock = isinstance(times, pd.DatetimeIndex) and times[row] != times[row].normalize()
    if is_clock and times[row] - times[before] >= pd.Timedelta(hours=-1):
        mend += " An hour that repeats in autumn is a time-zone change: see `ambiguous=` of `tz_localize`."
    raise ValueError(f"Time {problem} at {times[row]} (row {row} of {_name_of(names, number[row])}). {mend}")


def _check_gaps(position, number, spans, names):
    """Raise on series of another frequency than the axis, or too sparse to be filled honestly."""
    order = _by_series(number)
    position, number = position[order], number[order]
    counts = np.bincount(number, minlength=len(names))
    closest = np.full(len(names), np.iinfo("int64").max)
    steps, same_series = np.diff(position), np.diff(number) == 0
    np.minimum.at(closest, number[1:][same_series], steps[same_series])
    sparse = (counts * 2 < spans) | ((closest > 1) & (counts > 2) & (len(names) > 1))
    if sparse.any():
        worst = int(np.argmax(sparse))
        raise ValueError(
            f"The time axis is full of gaps: {_name_of(names, worst)} has {counts[worst]} rows where the axis has "
            f"{spans[worst]} steps. Resample all series to one frequency, or cut the table where it is dense."
        )
