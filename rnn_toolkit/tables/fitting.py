"""What is fitted on the training rows of a table: category codes, levels and scales, as a `Preparation`.

Two rules hold for all of them. A level beside which float32 would blur the steps is taken off in float64 first (the
`offset`). And a scale is relative to the size of its own series: what rounding alone explains is no movement, and no
limit has a unit, so that a table in other units gives the same forecasts.
"""

import dataclasses
import functools
import re
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd

from rnn_toolkit.tables.covariates import Channel, channels_of, kind_of
from rnn_toolkit.tables.layout import Layout
from rnn_toolkit.tables.task import ForecastTask

ROUNDING = float(np.finfo("float32").eps)
BLUR = 1e-3  # of a step; a level is taken off where float32 would round by more
BLURRED = 0.1  # of a step; where float32 rounds by more all the same, the user is told
# Of the root mean square of single steps; no scale is smaller. A season that returns almost exactly, or a series that
# rests but for a few blows, would otherwise count a hundred times and more what others do.
LEAST_SCALE = 0.1
# Unknown to earlier versions; left out of a file where empty.
ADDED = ("naive_scale", "offset", "column_offset", "padded")


class Fitted(NamedTuple):
    """What is fitted on one target of one series; see `Preparation`."""

    offset: float
    level: float
    deviation: float
    naive_scale: float
    scale: float


@dataclasses.dataclass(frozen=True)
class Preparation:
    """Hold all that is fitted on the training rows of a table; JSON-able, and kept inside the model file.

    Attributes:
        task: The roles of the columns.
        frequency: Distance of two rows: a pandas frequency, or a number for whole-number axes.
        time_zone: Name of the axis' time zone, or `None`.
        train_ends: First timestamp (ISO 8601) or number of each series that is not part of its training rows.
        categories: Text column -> its categories; the code of a category is its place + 1, 0 means never seen.
        moments: Numeric covariate -> mean and standard deviation.
        flagged: Columns with missing values in the training rows; each has an indicator channel.
        series: Names of the series seen in training; the code of a series is its place + 1, 0 means never seen.
        level: Mean of each target, by series: `(num_series, num_targets)`.
        deviation: Standard deviation of each target, by series: `(num_series, num_targets)`; 0 where it never moves.
        scale: What `loss_scale` finds for each target, by series: `(num_series, num_targets)`.
        naive_scale: What `naive_scale` finds, likewise; empty where the task has no season or it is equal to `scale`.
        offset: What is taken off each target, by series, before it becomes float32; empty where all are 0.
        column_offset: Numeric covariate -> what is taken off it, unless that is 0.
        padded: Whether some series were padded at the front, as their training rows were fewer than a window needs.
    """

    task: ForecastTask
    frequency: str | int
    time_zone: str | None
    train_ends: tuple[str | int, ...]
    categories: dict[str, list[str]]
    moments: dict[str, tuple[float, float]]
    flagged: tuple[str, ...]
    series: tuple[str, ...]
    level: tuple[tuple[float, ...], ...]
    deviation: tuple[tuple[float, ...], ...]
    scale: tuple[tuple[float, ...], ...]
    naive_scale: tuple[tuple[float, ...], ...] = ()
    offset: tuple[tuple[float, ...], ...] = ()
    column_offset: dict[str, float] = dataclasses.field(default_factory=dict)
    padded: bool = False

    def to_dict(self) -> dict:
        """Return a dict of JSON types, to be undone by `from_dict`."""
        state = {name: value for name, value in dataclasses.asdict(self).items() if value or name not in ADDED}
        if state["task"]["reach"] is None:  # likewise
            del state["task"]["reach"]
        return state

    @classmethod
    def from_dict(cls, state: dict) -> "Preparation":
        """Rebuild a preparation from `to_dict`, also after a round trip through JSON."""
        by_series = ("level", "deviation", "scale", "naive_scale", "offset")
        as_tuples = {name: tuple(map(tuple, state.get(name, ()))) for name in by_series}
        names = {name: tuple(state[name]) for name in ("train_ends", "flagged", "series")}
        moments = {column: tuple(pair) for column, pair in state["moments"].items()}
        return cls(**{**state, **as_tuples, **names, "moments": moments, "task": ForecastTask(**state["task"])})

    def lay_out(self, frame: pd.DataFrame) -> Layout:
        """Lay out a frame as the training table was."""
        layout = Layout.of(frame, self.task, self.frequency)
        if not layout.has_clock_of(self.time_zone):
            raise ValueError(
                f"The time axis is in time zone {layout.time_zone}, but the model was trained on {self.time_zone}. "
                "Convert with `.dt.tz_convert` (or `.dt.tz_localize`) first."
            )
        return layout

    @functools.cached_property
    def channels(self) -> tuple[Channel, ...]:
        """Channels of the input tensor, in order."""
        return channels_of(self.task, self.categories, self.flagged)

    @property
    def feature_names(self) -> list[str]:
        """Names of the channels of the input tensor, in order."""
        return [channel.name for channel in self.channels]

    def of_series(self, statistic: str, codes: np.ndarray) -> np.ndarray:
        """Return a statistic such as `level` by series code `(n, targets)`; unseen series get the median."""
        table = np.asarray(getattr(self, statistic) or np.zeros_like(self.level), dtype="float64")
        return np.concatenate([np.median(table, axis=0, keepdims=True), table])[codes]


def fit(
    layout: Layout,
    raw: np.ndarray,
    targets: np.ndarray,
    words: dict[str, list[str]],
    offsets: dict[str, float],
    ends: np.ndarray,
) -> Preparation:
    """Fit a preparation on the training rows of a table that is laid out, but not filled yet.

    Args:
        layout: The rows.
        raw: The columns of the task less their offsets, missing values NaN: `(num_rows, num_columns)` float32. Text
            columns hold the place + 1 of each value in `words`; those of targets are not read.
        targets: The targets: `(num_rows, num_targets)` float64.
        words: Text column -> its values.
        offsets: Numeric covariate -> what was taken off it.
        ends: Row behind the training rows of each series: `(num_series,)`.

    Returns:
        The preparation.

    Raises:
        ValueError: If a target has no value or is constant in the training rows, or a season is longer than they are.
    """
    task = layout.task
    is_training = rows_before(layout, ends)
    moments, categories, flagged = {}, {}, []
    for place, name in enumerate(task.columns):
        values = (targets if name in task.target else raw)[is_training, place]
        missing = np.isnan(values)
        if missing.any() and name in task.changing:
            flagged.append(name)
        kind = kind_of(name, task, words)
        if kind == "category":  # sorted, because the order in which they appear may depend on later rows
            categories[name] = sorted(words[name][code - 1] for code in np.unique(values[~missing]).astype(int))
        elif kind == "numeric":
            mean, deviation = _moments(values, offsets.get(name, 0.0))
            # What never moves in training, and does later, is measured by its own size.
            moments[name] = (0.0, 1.0) if np.isnan(mean) else (mean, deviation or abs(mean) or 1.0)

    parts = [targets[begin:end].T for begin, end in zip(layout.offsets, ends, strict=False)]
    seen = [number for number, part in enumerate(parts) if not np.isnan(part).all()]

    def of_each(usual_scales):
        """Return each statistic `(num_series, num_targets)`."""
        fitted = [
            [
                fit_target(column, task.season_length, usual)
                for column, usual in zip(parts[number], usual_scales, strict=True)
            ]
            for number in seen
        ]
        return Fitted(*np.moveaxis(np.reshape(fitted, (len(seen), len(task.target), len(Fitted._fields))), -1, 0))

    _warn_of_values(task, layout, parts)
    fitted = of_each(np.full(len(task.target), np.inf))
    _check_training(task, fitted.deviation, longest=int((ends - layout.begins).max()))
    if (fitted.deviation == 0).any():  # then by what is usual in those that move
        fitted = of_each(np.nanmedian(np.where(fitted.deviation > 0, fitted.scale, np.nan), axis=0))
    is_missing = np.isnan(fitted.level)  # a series may lack one of several targets
    scale, naive = _complete(fitted.scale, is_missing), tuple(map(tuple, fitted.naive_scale.tolist()))
    after = layout.grid[(layout.first + ends - layout.offsets[:-1])[seen]]
    return Preparation(
        task=task,
        frequency=layout.frequency,
        time_zone=layout.time_zone,
        train_ends=tuple(one.isoformat() if isinstance(one, pd.Timestamp) else int(one) for one in after),
        categories=categories,
        moments=moments,
        flagged=tuple(flagged),
        series=tuple(layout.names[number] for number in seen),
        level=_complete(fitted.level, is_missing),
        deviation=_complete(fitted.deviation, is_missing),
        scale=scale,
        naive_scale=() if task.season_length is None or naive == scale else naive,
        offset=_complete(fitted.offset, is_missing) if fitted.offset.any() else (),
        column_offset={name: offset for name, offset in offsets.items() if offset},
        padded=bool((layout.begins - layout.offsets[:-1] > layout.task.before_reach).any()),
    )


def rows_before(layout: Layout, ends: np.ndarray) -> np.ndarray:
    """Return which rows lie before the end given for their series, `(num_rows,)` bool."""
    return np.arange(len(layout)) < np.repeat(ends, np.diff(layout.offsets))


def offset_of(values: np.ndarray, usual: float = np.inf, blur: float = BLUR) -> float:
    """Return what to take off float64 values before they become float32: their median, or 0 where that blurs no step.

    Args:
        values: A column, missing values NaN.
        usual: What counts as a step where the values never change.
        blur: Share of a step by which float32 may round.

    Example:
        >>> offset_of(np.array([2e9, 2e9 + 1, 2e9 + 5])), offset_of(np.array([20.0, 21.0, 25.0]))
        (2000000001.0, 0.0)
    """
    steps = np.abs(np.diff(values))
    steps = steps[steps > 0]  # not those from or to a missing value
    present = values[~np.isnan(values)]
    if not len(present):
        return 0.0
    level, step = float(np.median(present)), usual  # not the mean, which one wild value takes anywhere
    if len(steps):
        step = np.median(steps)
    elif present.min() < present.max():
        step = present.std()
    return level if ROUNDING * abs(level) > blur * step else 0.0


def naive_scale(values: np.ndarray, season_length: int | None, offset: float = 0.0) -> float:
    """Return the mean absolute seasonal difference of a series: the denominator of MASE.

    A season that returns exactly leaves nothing but rounding; then single steps are taken, then the deviation. It is
    0 where the series never moves.

    Args:
        values: The series, less an offset.
        season_length: Rows in one season, or `None` for single steps.
        offset: What was taken off it.

    Example:
        >>> naive_scale(np.array([1.0, 3.0, 2.0, 6.0]), season_length=2)
        2.0
        >>> naive_scale(np.array([1.0, 3.0, 1.0, 3.0]), season_length=2)
        2.0

    Source: Hyndman and Koehler, 2006, "Another look at measures of forecast accuracy", International Journal of
        Forecasting 22(4).
    """
    for lag in (season_length, 1):
        if lag is not None and lag < len(values):
            differences = np.abs(values[lag:] - values[:-lag])
            present = differences[~np.isnan(differences)]
            size = float(present.mean(dtype="float64")) if len(present) else 0.0
            if size > _rounding(values, offset):
                return size
    return float(np.nan_to_num(_moments(values, offset)[1]))


def loss_scale(values, season_length, offset: float = 0.0, usual: float = np.inf) -> float:
    """Return the size of a series' movements, for the loss, the network's inputs and the linear path.

    It is the seasonal difference as of `naive_scale`, or the deviation where no season is known, at least
    `LEAST_SCALE`. Of a series that never moves it is the level, if that is not 0, or what is `usual` in other series if
    that is less.
    """
    level, deviation = _moments(values, offset)
    scale = deviation if season_length is None else naive_scale(values, season_length, offset)
    if not scale > 0:
        return min(abs(level) or usual, usual)
    steps = np.diff(values)
    steps = steps[~np.isnan(steps)].astype("float64")
    return max(scale, LEAST_SCALE * float(np.sqrt(np.mean(steps**2)))) if len(steps) else scale


def fit_target(values: np.ndarray, season_length: int | None, usual: float = np.inf) -> Fitted:
    """Fit all statistics of one target of one series.

    Args:
        values: `(rows,)` float64, missing values NaN.
        season_length: Rows in one season, or `None`.
        usual: Scale of other series, by which one that never moves is judged.
    """
    offset = offset_of(values, usual)
    values = (values - offset).astype("float32")  # as the table holds them
    naive = naive_scale(values, season_length, offset)
    return Fitted(offset, *_moments(values, offset), naive, loss_scale(values, season_length, offset, usual))


def _rounding(values, offset) -> float:
    """Return the size of differences that float32 values, and the float64 they come from, may owe to rounding."""
    largest = float(np.abs(values[~np.isnan(values)]).max(initial=0.0))
    return ROUNDING * largest + 4 * float(np.finfo("float64").eps) * abs(offset)


def _warn_of_values(task, layout, parts):
    """Warn of the first values that cannot be meant as they are; `parts` are `(targets, rows)` by series."""
    for number, part in enumerate(parts):
        for name, values in zip(task.target, part, strict=True):
            found = _oddity(name, values[~np.isnan(values)])
            if found:
                where = "" if task.series is None else f" of series {layout.names[number]!r}"
                warnings.warn(f"Column {name!r}{where} {found}", stacklevel=5)
                return


def _oddity(name, present) -> str:
    """Say which values stand for missing ones, as -999 does, or lie so far apart that float32 blurs their steps."""
    low, high = (present.min(), present.max()) if len(present) else (0.0, 0.0)
    for value in (low, high):
        rest = present[present != value] if re.fullmatch(r"-?9{2,}(\.9+)?", f"{value:g}") else []
        if 1 < len(rest) < len(present) - 1 and np.abs(rest - value).min() > 2 * np.ptp(rest) > 0:
            return (
                f"holds {value:g} {len(present) - len(rest)} times, far from all other values ({rest.min():.3g} to "
                f"{rest.max():.3g}). If it stands for a missing value, set it to NaN: "
                f"`frame[{name!r}].replace({value:g}, float('nan'))`."
            )
    recent = present[-10_000:]  # enough to know a step by
    steps = np.abs(np.diff(recent))
    steps = steps[steps > 1e-12 * np.abs(recent[1:])]  # not those of rounding
    if len(steps) and ROUNDING * (high - low) > 2 * BLURRED * np.median(steps):
        return (
            f"goes from {low:.3g} to {high:.3g}, in steps of about {np.median(steps):.3g}: too far for float32, in "
            "which networks compute. If a few values stand for missing ones or errors, set them to NaN. If it is a "
            "counter, forecast its differences, `.diff()`."
        )
    return ""


def _check_training(task, deviation, *, longest):
    """Raise where the training rows hold nothing to learn from; `deviation` is `(num_series, num_targets)`."""
    if task.season_length is not None and task.season_length >= longest:
        raise ValueError(
            f"`season_length` is {task.season_length}, but the longest series has {longest} training rows. Pass more "
            "rows, a smaller `season_length`, or None."
        )
    for name, column in zip(task.target, deviation.T, strict=True):
        if not (column > 0).any():
            problem = "has no value in" if np.isnan(column).all() else "is constant over"
            raise ValueError(
                f"Target {name!r} {problem} the training rows: there is nothing to learn. Drop that target, pass rows "
                "in which it changes, or smaller shares for validation and test."
            )


def _moments(values, offset) -> tuple[float, float]:
    """Return mean, with its offset, and standard deviation of the values that are there; of none, NaN."""
    present = values[~np.isnan(values)].astype("float64")
    if not len(present):
        return np.nan, np.nan
    is_constant = present.max() - present.min() <= _rounding(values, offset)
    return float(present.mean()) + offset, 0.0 if is_constant else float(present.std())


def _complete(statistic, is_missing) -> tuple[tuple[float, ...], ...]:
    """Return a statistic `(num_series, num_targets)` as tuples, the median of the other series where it is missing."""
    median = np.nanmedian(np.where(is_missing, np.nan, statistic), axis=0)
    return tuple(tuple(map(float, row)) for row in np.where(is_missing, median, statistic))
