"""A regular time axis, read off the timestamps of a table.

Any pandas frequency and whole numbers. Gaps are allowed, as long as every timestamp is a step of the axis; what is
not regular is refused with the timestamp that shows it.
"""

import re
import warnings
from collections import Counter

import numpy as np
import pandas as pd

from rnn_toolkit.tables.task import ForecastTask

# More steps than this between the first row and the last must come from that many rows: laying out the axis of a table
# of a few rows a millisecond apart, over years, would take more memory than there is.
MOST_STEPS = 20_000_000
# 2024-01-05, 5.1.2024, 05/Jan/2024, 2024-01, January 5, 2024, 20240105 and 2024Q1, maybe with a time of day.
DATE = re.compile(
    r"(\d{4}[-/. ]\w{1,9}([-/. ]\d{1,2})?|\d{1,2}[-/. ]+\w{1,9}[-/., ]+\d{4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}"
    r"|(19|20)\d{6}|\d{4}-?Q[1-4])([T ,]+\d.*)?"
)
RESAMPLE = "Resample first, for instance `frame.resample('h').mean()`, or pass `frequency=` to the task."


def time_index(frame: pd.DataFrame, task: ForecastTask) -> pd.Index:
    """Return the time of each row as a DatetimeIndex or an index of whole numbers."""
    where = "index" if task.time is None else f"column {task.time!r}"
    times = frame.index if task.time is None else pd.Index(frame[task.time], dtype=frame[task.time].dtype)
    if isinstance(times, pd.MultiIndex):
        raise TypeError("The index has several levels. Make columns of them: pass `frame.reset_index()`.")
    if isinstance(times, pd.PeriodIndex):
        times = times.to_timestamp()
    if times.hasnans:
        raise ValueError(f"The {where} lacks a timestamp in row {int(np.argmax(times.isna()))}. Drop such rows.")
    if isinstance(times, pd.DatetimeIndex):
        return times if times.unit == "ns" else times.as_unit("ns")
    if pd.api.types.is_integer_dtype(times):
        dated = [name for name, column in frame.items() if task.time is None and _holds_dates(column, task)]
        if dated:
            first = frame[dated[0]].dropna().iloc[0]
            raise ValueError(
                f"The time axis would be the row numbers, although column {dated[0]!r} holds timestamps, such as "
                f"{first!r}. Pass `time={dated[0]!r}` to the task, converted by `pd.to_datetime` if they are text, or "
                "drop that column."
            )
        return times
    raise TypeError(
        f"The {where} must hold timestamps or whole numbers. Received: {times.dtype}, such as {times[0]!r}. "
        "Convert it with `pd.to_datetime` (`utc=True` where the offset changes), or name another column with `time=`."
    )


def _holds_dates(column, task) -> bool:
    """Return whether a column holds timestamps, or one without a role text or numbers that are written like dates."""
    if pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype):
        return True
    if column.name in (*task.columns, task.series) or pd.api.types.is_float_dtype(column):
        return False
    first = column.dropna().head(20).astype(str).unique()
    if len(first) < 2 or not all(DATE.fullmatch(text) for text in first):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns of days before months, which do not matter here
        return not pd.to_datetime(first, errors="coerce", format="mixed", utc=True).hasnans


def ticks_of(times: pd.Index) -> np.ndarray:
    """Return times as whole numbers: nanoseconds, or the numbers themselves."""
    if not isinstance(times, pd.DatetimeIndex):
        return times.to_numpy(dtype="int64")
    return times.asi8 if times.unit == "ns" else times.as_unit("ns").asi8  # `as_unit` always copies


def regular_axis(first, last, frequency, *, before=0, after=0) -> pd.Index:
    """Return every step from `before` steps before `first` to `after` steps after `last`."""
    if isinstance(first, pd.Timestamp) != isinstance(frequency, str):
        kind, needed = ("timestamps", "'h'") if isinstance(first, pd.Timestamp) else ("whole numbers", "1")
        raise TypeError(
            f"The time axis holds {kind}, but the frequency is {frequency!r}. Pass one such as {needed}, or another "
            "column as `time=`."
        )
    if isinstance(frequency, int):
        return pd.RangeIndex(first - before * frequency, last + after * frequency + 1, frequency)
    count = len(pd.date_range(first, last, freq=frequency))
    if before:  # not by subtraction, which leaves the wall clock where summer time begins
        first = pd.date_range(end=first, periods=before + 1, freq=frequency)[0]
    return pd.date_range(first, periods=before + count + after, freq=frequency, unit="ns")


def infer_frequency(times: pd.Index) -> str | int:
    """Read the distance of two rows off a sorted axis that may have gaps."""
    ticks = ticks_of(times)
    if len(times) < 2:
        raise ValueError(
            f"The frequency cannot be read off {len(times)} time step. Pass more rows, or `frequency=` to the task."
        )
    steps = np.diff(ticks)
    shortest = int(steps.min())
    if (ticks[-1] - ticks[0]) // shortest > max(MOST_STEPS, 100 * len(times)):
        place = int(np.argmin(steps))
        raise ValueError(
            f"The time axis is irregular: {times[place]} and {times[place + 1]} are much closer than other steps. "
            f"{RESAMPLE}"
        )
    if not isinstance(times, pd.DatetimeIndex):
        return shortest
    for size in (14, 7, 4, 3):  # 14 rows hold two weekends, which tell business days from days
        starts = np.unique(np.linspace(0, max(len(times) - size, 0), num=40).astype(int))
        pieces = [times[start : start + size] for start in starts if len(times) >= 3]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas 3.1 announces that it will return offsets: `freqstr` below
            guesses = [pd.infer_freq(piece) for piece in pieces]
        votes = Counter(pd.tseries.frequencies.to_offset(guess).freqstr for guess in guesses if guess is not None)
        candidates = [frequency for frequency, _ in votes.most_common()] + ["B"] * ("D" in votes)
        axes = {frequency: regular_axis(times[0], times[-1], frequency) for frequency in candidates}
        fitting = {frequency: len(axis) for frequency, axis in axes.items() if not off_axis(ticks, axis).any()}
        if fitting:
            return min(fitting, key=fitting.get)  # the fewest gaps; at a tie, the most common
    day = pd.Timedelta(days=1).value
    size = f"{shortest // day}D" if shortest % day == 0 else pd.Timedelta(shortest, "ns")
    return pd.tseries.frequencies.to_offset(size).freqstr


def off_axis(ticks: np.ndarray, axis: pd.Index) -> np.ndarray:
    """Return which ticks are not on an axis."""
    steps = ticks_of(axis)
    if not len(steps):
        return np.ones(len(ticks), dtype=bool)
    return steps[np.minimum(np.searchsorted(steps, ticks), len(steps) - 1)] != ticks
