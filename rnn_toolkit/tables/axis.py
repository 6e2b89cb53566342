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
LOCAL_CLOCK = "If the steps go by the local clock, as noon and midnight do, drop the zone: `.tz_localize(None)`."


def time_index(frame: pd.DataFrame, task: ForecastTask) -> pd.Index:
    """Return the time of each row as a DatetimeIndex or an index of whole numbers."""
    where = "index" if task.time is None else f"column {task.time!r}"
    times = frame.index if task.time is None else pd.Index(frame[task.time], dtype=frame[task.time].dtype)
    if isinstance(times, pd.MultiIndex):
        raise TypeError("The index has several levels. Make columns of them: pass `frame.reset_index()`.")
    if isinstance(times, pd.PeriodIndex):
        times = times.to_timestamp()
    if times.dtype.kind == "M":  # also Arrow's
        times = pd.DatetimeIndex(times)
    if times.hasnans:
        raise ValueError(f"The {where} lacks a timestamp in row {int(np.argmax(times.isna()))}. Drop such rows.")
    if isinstance(times, pd.DatetimeIndex):
        return times
    if pd.api.types.is_integer_dtype(times):
        dated = [name for name, column in frame.items() if task.time is None and _holds_dates(column, task)]
        if dated:
            first = frame[dated[0]].dropna().iloc[0]
            raise ValueError(
                f"The time axis would be the row numbers, although column {dated[0]!r} holds timestamps, such as "
                f"{first!r}. Pass `time={dated[0]!r}` to the task, or `.set_index({dated[0]!r})`, converted by "
                "`pd.to_datetime` where they are text; or drop that column."
            )
        return times
    convert = "`pd.to_datetime` (`dayfirst=True` where the day stands first, `utc=True` where the offset changes)"
    convert = "`.astype(int)`" if pd.api.types.is_float_dtype(times) else convert  # years behind a merge, say
    raise TypeError(
        f"The {where} must hold timestamps or whole numbers. Received: {times.dtype}, such as {times[0]!r}. "
        f"Convert it with {convert}, or name another column with `time=`."
    )


def _holds_dates(column, task) -> bool:
    """Return whether a column holds timestamps, or one without a role text or numbers that are written like dates."""
    if pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype):
        return True
    if column.name in (*task.columns, task.series) or pd.api.types.is_float_dtype(column):
        return False
    first = column.head(10_000).dropna().head(20).astype(str).unique()
    if len(first) < 2 or not all(DATE.fullmatch(text) for text in first):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns of days before months, which do not matter here
        return not pd.to_datetime(first, errors="coerce", format="mixed", utc=True).hasnans


def ticks_of(times: pd.Index, frequency: str | int | None = None) -> np.ndarray:
    """Return times as whole numbers: the numbers themselves, or units of time since 1970.

    Steps of a calendar `frequency` go by the wall clock, where a midnight that exists twice is one.
    """
    if not isinstance(times, pd.DatetimeIndex):
        return times.to_numpy(dtype="int64")
    return (times.tz_localize(None) if times.tz is not None and _is_calendar(frequency) else times).asi8


def places_on(axis: pd.Index, times: pd.Index, frequency: str | int) -> np.ndarray:
    """Return the place of each time on an axis, -1 where it is none of its steps."""
    if isinstance(axis, pd.DatetimeIndex) and times.unit != axis.unit:
        times = times.as_unit(axis.unit)
    steps, ticks = ticks_of(axis, frequency), ticks_of(times, frequency)
    places = np.searchsorted(steps, ticks)
    is_step = np.append(steps, -1)[places] == ticks
    return np.where(is_step & (places < len(steps)), places, -1)


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
    zone = first.tz if _is_calendar(frequency) else None
    if zone is not None:
        first, last = _on_the_clock(first, last), last.tz_localize(None)
    step, day = pd.tseries.frequencies.to_offset(frequency), 1
    if isinstance(step, pd.offsets.MonthBegin) and first.day > 1:  # monthly on the 15th, say; the 30th is clipped
        day = max(first.day, last.day)
        first, last = first.replace(day=1), last.replace(day=1)
    count = len(pd.date_range(first, last, freq=step, unit=first.unit))
    if before:  # not by subtraction, which leaves the wall clock where summer time begins
        first = pd.date_range(end=first, periods=before + 1, freq=step, unit=first.unit)[0]
    axis = pd.date_range(first, periods=before + count + after, freq=step, unit=first.unit)
    if day > 1:
        axis += pd.to_timedelta(np.minimum(axis.days_in_month, day) - 1, unit="D").as_unit(first.unit)
    if zone is None:
        return axis
    # A time that the clock skips is the first one after it; of one that it shows twice, the first.
    return axis.tz_localize(zone, nonexistent="shift_forward", ambiguous=np.ones(len(axis), dtype=bool))


def _is_calendar(frequency) -> bool:
    """Return whether steps go by the calendar, as days and months do, and not by the stopwatch, as hours do."""
    if not isinstance(frequency, str):
        return False
    step = pd.tseries.frequencies.to_offset(frequency)
    return isinstance(step, pd.offsets.Day) or not isinstance(step, pd.offsets.Tick)


def _on_the_clock(first, last) -> pd.Timestamp:
    """Return what the clock would show at the first step if it skipped no hour, by the last step or as midnight."""
    clock, other = first.tz_localize(None), last.tz_localize(None)
    of_day = pd.Timedelta(0) if _skipped_before(last) else other - other.normalize()
    is_skipped = clock - _skipped_before(first) <= clock.normalize() + of_day < clock
    return clock.normalize() + of_day if is_skipped else clock


def _skipped_before(time) -> pd.Timedelta:
    """Return by how much the clock jumps to a time: an hour where summer time begins, mostly 0."""
    return max(time.utcoffset() - (time - pd.Timedelta(seconds=1)).utcoffset(), pd.Timedelta(0))


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
        candidates = [frequency for frequency, _ in votes.most_common()]
        candidates += ["B"] * any(frequency.endswith("D") for frequency in votes)
        found = _coarsest(times, candidates)
        if found:
            return found
    length = pd.Timedelta(np.timedelta64(shortest, times.unit))
    # What pandas does not guess: on one day of each month, twice a month, and days of a zone in the clock of another.
    rare = ["MS", "SMS", "SME"] * (length > pd.Timedelta(days=12)) + ["24h"] * (times.tz is not None)
    found = _coarsest(times, rare)
    if found:
        return found
    days = length / pd.Timedelta(days=1)
    return pd.tseries.frequencies.to_offset(f"{days:.0f}D" if days.is_integer() else length).freqstr


def _coarsest(times, candidates) -> str | None:
    """Return the frequency that has all times on its axis, with the fewest gaps; at a tie, the first."""
    fitting = {}
    for frequency in candidates:
        places = places_on(regular_axis(times[0], times[-1], frequency), times, frequency)
        if (places >= 0).all():
            every = int(np.gcd.reduce(np.diff(places)))  # "2B" and "3MS", which pandas does not guess
            fitting[(pd.tseries.frequencies.to_offset(frequency) * every).freqstr] = places[-1] // every
    return min(fitting, key=fitting.get, default=None)
