"""What is fitted on the training rows of a table: category codes, levels and scales, as a `Preparation`."""

import dataclasses
import functools

import numpy as np
import pandas as pd

from rnn_toolkit.tables.covariates import Channel, channels_of, kind_of
from rnn_toolkit.tables.layout import Layout, key_of
from rnn_toolkit.tables.task import ForecastTask


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
        deviation: Standard deviation of each target, by series: `(num_series, num_targets)`.
        scale: Mean absolute seasonal difference of each target (the denominator of MASE; Hyndman and Koehler 2006,
            International Journal of Forecasting 22(4)), by series: `(num_series, num_targets)`.
        padded: Whether some series were padded at the front, as their training rows were fewer than a window's.
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
    padded: bool = False

    def to_dict(self) -> dict:
        """Return a dict of JSON types, to be undone by `from_dict`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, state: dict) -> "Preparation":
        """Rebuild a preparation from `to_dict`, also after a round trip through JSON."""
        as_tuples = {name: tuple(map(tuple, state[name])) for name in ("level", "deviation", "scale")}
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
        """Return `level`, `deviation` or `scale` by series code `(n, targets)`; unseen series get the median."""
        table = np.asarray(getattr(self, statistic), dtype="float64")
        return np.concatenate([np.median(table, axis=0, keepdims=True), table])[codes]


def fit(layout: Layout, raw: np.ndarray, words: dict[str, list[str]], ends: np.ndarray) -> Preparation:
    """Fit a preparation on the training rows of a table that is laid out, but not filled yet.

    Args:
        layout: The rows.
        raw: The columns of the task, missing values NaN: `(num_rows, num_columns)`. Text columns hold the place + 1 of
            each value in `words`.
        words: Text column -> its values.
        ends: Row behind the training rows of each series: `(num_series,)`.

    Returns:
        The preparation.

    Raises:
        ValueError: If a target has no value or is constant in the training rows, or a season is longer than they are.
    """
    task = layout.task
    is_training = np.zeros(len(layout), dtype=bool)
    for begin, end in zip(layout.offsets, ends, strict=False):
        is_training[begin:end] = True
    moments, categories, flagged = {}, {}, []
    for place, name in enumerate(task.columns):
        values = raw[is_training, place]
        missing = np.isnan(values)
        if missing.any() and name in task.changing:
            flagged.append(name)
        kind = kind_of(name, task, words)
        if kind == "category":  # sorted, because the order in which they appear may depend on later rows
            categories[name] = sorted(words[name][code - 1] for code in np.unique(values[~missing]).astype(int))
        elif kind == "numeric":
            mean, deviation = _moments(values)
            moments[name] = (0.0, 1.0) if np.isnan(mean) else (mean, deviation or 1.0)

    parts = [raw[begin:end, : len(task.target)].T for begin, end in zip(layout.offsets, ends, strict=False)]
    seen = [number for number, part in enumerate(parts) if not np.isnan(part).all()]
    pairs = [[_moments(column) for column in parts[number]] for number in seen]
    level, deviation = np.moveaxis(np.reshape(pairs, (len(seen), len(task.target), 2)), -1, 0)
    _check_training(task, deviation, longest=int((ends - layout.begins).max()))
    is_missing = np.isnan(level)  # a series may lack one of several targets
    deviation = np.where(deviation == 0, 1.0, deviation)
    scale = np.array([[loss_scale(column, task.season_length) for column in parts[number]] for number in seen])
    after = layout.grid[(layout.first + ends - layout.offsets[:-1])[seen]]
    return Preparation(
        task=task,
        frequency=layout.frequency,
        time_zone=layout.time_zone,
        train_ends=tuple(one.isoformat() if isinstance(one, pd.Timestamp) else int(one) for one in after),
        categories=categories,
        moments=moments,
        flagged=tuple(flagged),
        series=tuple(key_of(layout.names[number]) for number in seen),
        level=_complete(level, is_missing),
        deviation=_complete(deviation, is_missing),
        scale=_complete(scale, is_missing),
        padded=bool((layout.begins > layout.offsets[:-1]).any()),
    )


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


def loss_scale(values: np.ndarray, season_length: int | None) -> float:
    """Return the size of a series' movements: its seasonal difference, or its deviation where no season is known."""
    if season_length is not None:
        return naive_scale(values, season_length)
    _, deviation = _moments(values)
    return deviation if deviation > 0 else 1.0


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


def _moments(values) -> tuple[float, float]:
    """Return mean and standard deviation of the values that are there; of none, NaN."""
    present = values[~np.isnan(values)].astype("float64")
    if not len(present):
        return np.nan, np.nan
    is_constant = present.min() == present.max()  # rounding gives equal values a deviation that is not quite 0
    return float(present.mean()), 0.0 if is_constant else float(present.std())


def _complete(statistic, is_missing) -> tuple[tuple[float, ...], ...]:
    """Return a statistic `(num_series, num_targets)` as tuples, the median of the other series where it is missing."""
    median = np.nanmedian(np.where(is_missing, np.nan, statistic), axis=0)
    return tuple(tuple(map(float, row)) for row in np.where(is_missing, median, statistic))
