"""A regular time axis, read off the timestamps of a table.

Any pandas frequency and whole numbers. Gaps are allowed, as long as every timestamp is a step of the axis; what is
not regular is refused with the timestamp that shows it.
"""

from collections import Counter

import numpy as np
import pandas as pd

from rnn_toolkit._checks import whole_number
from rnn_toolkit.series import ForecastTask


def time_index(frame: pd.DataFrame, task: ForecastTask) -> pd.Index:
    """Return the time of each row as a DatetimeIndex or an index of whole numbers."""
    where = "index" if task.time is None else f"column {task.time!r}"
    times = frame.index if task.time is None else pd.Index(frame[task.time])
    if isinstance(times, pd.PeriodIndex):
        times = times.to_timestamp()
    if isinstance(times, pd.DatetimeIndex):
        if times.hasnans:
            raise ValueError(f"The {where} lacks a timestamp in row {int(np.argmax(times.isna()))}. Drop such rows.")
        return times.as_unit("ns")
    if pd.api.types.is_integer_dtype(times):
        dated = [name for name in frame.columns if pd.api.types.is_datetime64_any_dtype(frame[name])]
        if task.time is None and dated:
            raise ValueError(
                f"The time axis would be the row numbers, although column {dated[0]!r} holds timestamps. "
                f"Pass `time={dated[0]!r}` to the task, or drop that column."
            )
        return times
    if times.dtype == object and len({getattr(value, "utcoffset", lambda: None)() for value in times[:10_000]}) > 1:
        raise ValueError(
            f"The {where} changes its time zone (or offset) from row to row. "
            "Convert it with `pd.to_datetime(..., utc=True)`."
        )
    raise TypeError(
        f"The {where} must hold timestamps or whole numbers. Received: {times.dtype}, such as {times[0]!r}. "
        "Convert it with `pd.to_datetime`, or name another column with `time=`."
    )


def ticks_of(times: pd.Index) -> np.ndarray:
    return times.asi8 if isinstance(times, pd.DatetimeIndex) else times.to_numpy(dtype="int64")


def regular_axis(first, last, frequency, *, before=0, after=0) -> pd.Index:
    """Return every step from `before` steps before `first` to `after` steps after `last`."""
    if isinstance(first, pd.Timestamp):
        try:
            offset = pd.tseries.frequencies.to_offset(frequency)
        except ValueError as error:
            raise ValueError(
                f"`frequency` must be a pandas frequency such as 'h', 'D' or 'W-SAT'. Received: {frequency!r}."
            ) from error
        start = first - before * offset if before else first
        count = len(pd.date_range(first, last, freq=offset)) + before + after
        return pd.date_range(start, periods=count, freq=offset, unit="ns")
    step = whole_number(frequency, "frequency")
    return pd.RangeIndex(first - before * step, last + after * step + 1, step)


def infer_frequency(times: pd.Index) -> str | int:
    """Read the distance of two rows off a sorted axis that may have gaps."""
    ticks = ticks_of(times)
    if len(times) < 2:
        raise ValueError(
            f"The frequency cannot be read off {len(times)} time step. Pass more rows, or `frequency=` to the task."
        )
    shortest = int(np.diff(ticks).min())
    if not isinstance(times, pd.DatetimeIndex):
        return shortest
    for size in (14, 7, 4, 3):  # 14 rows hold two weekends, which tell business days from days
        starts = np.unique(np.linspace(0, max(len(times) - size, 0), num=40).astype(int))
        pieces = [times[start : start + size] for start in starts if len(times) >= 3]
        votes = Counter(frequency for frequency in map(pd.infer_freq, pieces) if frequency is not None)
        for frequency, _ in votes.most_common():
            if not off_axis(ticks, regular_axis(times[0], times[-1], frequency)).any():
                return frequency
    return pd.tseries.frequencies.to_offset(pd.Timedelta(shortest, "ns")).freqstr


def off_axis(ticks: np.ndarray, axis: pd.Index) -> np.ndarray:
    """Return which ticks are not on an axis."""
    steps = ticks_of(axis)
    if not len(steps):
        return np.ones(len(ticks), dtype=bool)
    return steps[np.minimum(np.searchsorted(steps, ticks), len(steps) - 1)] != ticks


def check_order(times, ticks, number, names, order):
    """Raise on time stamps that repeat or step back within a series; `order` brings series together."""
    steps = np.diff(ticks[order])
    same_series = np.diff(number[order]) == 0
    mends = {
        "repeats": "Drop the duplicates, or name the column that tells the series apart with `series=`. An hour that "
        "repeats in autumn is a time-zone change: convert to UTC with `tz_localize(..., ambiguous=...)`.",
        "goes back": "Sort the table by time first: `frame.sort_values(...)` or `frame.sort_index()`.",
    }
    for (problem, mend), wrong in zip(mends.items(), (steps == 0, steps < 0), strict=True):
        if (wrong & same_series).any():
            row = np.arange(len(ticks))[order][int(np.argmax(wrong & same_series)) + 1]
            raise ValueError(f"Time {problem} at {times[row]} (row {row}, series {names[number[row]]!r}). {mend}")


def check_gaps(position, number, spans, names):
    """Raise on series of another frequency than the axis, or too sparse to be filled honestly."""
    counts = np.bincount(number, minlength=len(names))
    closest = np.full(len(names), np.iinfo("int64").max)
    steps = np.diff(position)
    same_series = np.diff(number) == 0
    np.minimum.at(closest, number[1:][same_series], steps[same_series])
    slower = (closest > 1) & (counts > 2)
    if slower.any() and len(names) > 1:
        worst = int(np.argmax(slower))
        raise ValueError(
            f"The series have mixed frequencies: {names[worst]!r} has one row every {closest[worst]} steps of the "
            "axis they share. Resample all series to one frequency, or make a table for each frequency."
        )
    sparse = counts * 2 < spans
    if sparse.any():
        worst = int(np.argmax(sparse))
        raise ValueError(
            f"The time axis is full of gaps: series {names[worst]!r} has {counts[worst]} rows where its axis has "
            f"{spans[worst]} steps, so more than half would be filled. Resample to a coarser frequency, or cut the "
            "table where it is dense."
        )
