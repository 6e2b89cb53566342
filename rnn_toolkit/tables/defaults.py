"""What a task leaves open, chosen from the training rows: the season and the look-back."""

import dataclasses
import sys

import numpy as np
import pandas as pd

from rnn_toolkit.tables.layout import Layout

CYCLES = {"minute": 60, "hour": 3600, "day": 86_400, "week": 604_800, "year": 31_557_600}  # seconds
# Two tell a trend from a season, and a third steadies both. On four seasonal tables of the benchmark, without their
# last part, five were better than three on three, by up to a quarter, and 2 % worse on one.
FEW_SEASONS, MORE_SEASONS = 3, 5
MORE_ROWS = 160  # more than three only so far, which is what the pretrained forecaster was taught on
MOST_STEPS = 50_000  # windows times look-back up to which the pretrained forecaster takes part: half a second an epoch


def settled(frame: pd.DataFrame, layout: Layout, ends: np.ndarray, *, padded: bool) -> Layout:
    """Return a layout whose task has look-back and season, and say in one line what was chosen.

    Args:
        frame: The table.
        layout: Its layout.
        ends: Row behind the training rows of each series, `(num_series,)`; no later row is looked at.
        padded: Whether series that are too short are padded; else a look-back should leave out few of them.
    """
    task = layout.task
    season, lookback, reach = task.season_length, task.lookback, task.reach
    if lookback is not None and season != "auto":
        return layout
    rows = ends - layout.begins
    rows = int(np.quantile(rows[rows > 0], 0.5 if padded else 0.2)) if (rows > 0).any() else 0
    if season == "auto" or (lookback is None and season is None):
        season = _season_length(frame, layout, ends)
    if lookback is None:
        shared = task.horizon * (len(layout.names) > 1)  # many series have windows enough together
        least = 2 * task.horizon if padded else 0  # padded series give a window however short they are
        reach = max(lookback_for(rows + shared, task.horizon, season), least)
        lookback = max(reach, _lookback_of_pretrained(layout, ends, reach))
    name = "no season" if season in (None, 1) else f"a season of {season} rows"
    more = "" if reach in (None, lookback) else f", {lookback} for the pretrained forecaster"
    sys.stdout.write(f"Chosen from {rows} training rows: {name}, a look-back of {reach or lookback} rows{more}.\n")
    task = dataclasses.replace(task, lookback=lookback, reach=reach if more else None, season_length=season)
    return dataclasses.replace(layout, task=task)


def _lookback_of_pretrained(layout, ends, reach) -> int:
    """Return how many rows the pretrained forecaster is shown: as many as it knows, as there are, and as cost little.

    What is fitted here does better with many short windows, and the pretrained forecaster with long ones: on 260 small
    tables it errs 7 % less for the rows before them.
    """
    task = layout.task
    if task.has_covariates:
        return 0
    windows = np.maximum(ends - layout.begins - reach - task.horizon + 1, 1)  # a padded series has one
    longest = (layout.offsets[1:] - layout.begins).max() - task.horizon
    return min(MORE_ROWS, int(longest), MOST_STEPS // (int(windows.sum()) * len(task.target)))


def lookback_for(rows: int, horizon: int, season_length: int | None) -> int:
    """Return how much of the past to show, in rows.

    That is three seasons, or up to five within 160 rows, and as many as the horizon has; fewer where the rows would not
    last for as many training windows as the horizon has steps, and for more than three seasons those of one season
    besides. Without a season it is twice the horizon and at least 24, but no more than a third of the rows.

    Example:
        >>> lookback_for(100, 12, 12), lookback_for(50, 12, 12), lookback_for(70, 5, None)
        (60, 24, 23)
    """
    if season_length in (None, 1):
        return max(min(max(2 * horizon, 24), rows // 3, rows - horizon), 1)
    few = max(FEW_SEASONS, -(-horizon // season_length))
    for seasons in range(max(few, min(MORE_SEASONS, MORE_ROWS // season_length)), 0, -1):
        besides = season_length * (seasons > few)
        if seasons * season_length + 2 * horizon + besides <= rows:
            return seasons * season_length
    return max(min(season_length, rows - horizon), 1)


def _season_length(frame, layout, ends) -> int | None:
    """Return the cycle of the calendar at which changes from row to row repeat best, if they do.

    A cycle must explain significantly much, by twice the deviation that the autocorrelation of noise has; of several
    that are about as good, the shortest is taken.
    """
    if not isinstance(layout.grid, pd.DatetimeIndex) or len(layout.grid) < 3:
        return None
    some = layout.grid[-101:]  # all steps together may be more than a Timedelta holds
    step = (some[-1] - some[0]) / (len(some) - 1) / pd.Timedelta(seconds=1)
    lengths = sorted({round(cycle / step) for cycle in CYCLES.values() if cycle / step > 1.9})
    values = np.full((len(layout), len(layout.task.target)), np.nan)
    values[layout.rows] = frame[list(layout.task.target)].apply(pd.to_numeric, errors="coerce")
    values[np.isinf(values)] = np.nan  # refused later
    best, found = 0.0, None
    chosen = np.unique(np.linspace(0, len(layout.names) - 1, num=100).astype(int))
    for length in lengths:
        repeats = []
        for begin, end in zip(layout.begins[chosen], ends[chosen], strict=True):
            changes = np.diff(values[begin:end], axis=0)
            if len(changes) >= 2 * length:
                count = np.maximum((~np.isnan(changes)).sum(axis=0), 1)
                changes = np.nan_to_num(changes - np.nansum(changes, axis=0) / count)
                power = np.square(changes).sum(axis=0)
                again = (changes[length:] * changes[:-length]).sum(axis=0) / np.where(power > 0, power, 1)
                repeats.extend(again - 2 / np.sqrt(len(changes)))
        if repeats and np.median(repeats) > 0 and np.median(repeats) > 1.1 * best:
            best, found = np.median(repeats), length
    return found
