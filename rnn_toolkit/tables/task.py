"""Who plays which role in a table of time series, and what is fitted on its training rows.

`ForecastTask` says which column is what. `Preparation` is what a task becomes once it has seen training rows:
frequency, category codes, levels and scales. Both are plain values that fit into the config of a Keras layer.
"""

import dataclasses
import datetime
import functools
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from rnn_toolkit._checks import one_of, whole_number

# Name -> steps per cycle. Every feature becomes the sine and cosine of its phase, so that December borders January.
CALENDAR = {
    "minute": 60,
    "hour": 24,
    "day_of_week": 7,
    "day": 31,
    "week": 53,
    "day_of_year": 366,
    "month": 12,
    "quarter": 4,
}


@dataclasses.dataclass(frozen=True)
class ForecastTask:
    """Say what is forecast, how far, from how much past, and which column plays which role.

    Args:
        target: Column, or columns, to forecast.
        horizon: Steps to forecast, in rows of the regular time axis.
        lookback: Past steps shown to the model, in rows.
        time: Column of timestamps or whole numbers; `None` takes the index of the table.
        series: Column that names the series in a long table of many series.
        known: Covariates whose future is known when the forecast is made (prices, holidays).
        observed: Covariates known only up to the forecast (weather that was measured).
        static: Columns that never change within a series. May name the `series` column itself.
        calendar: Features computed from the time axis as sine and cosine: "minute", "hour", "day_of_week", "day",
            "week", "day_of_year", "month", "quarter".
        season_length: Rows in one season (24 for hourly rows with a daily rhythm). Used by the seasonal baselines,
            by the scale of the loss and of MASE.
        frequency: A pandas frequency ("h", "W-SAT", "ME") or, for whole numbers, the step; `None` reads it off the
            table.

    Raises:
        TypeError, ValueError: If a length is not a positive whole number, a column name is not text, a column plays
            two roles, or a calendar feature or the frequency is unknown.

    Example:
        >>> task = ForecastTask("load", horizon=24, lookback=168, known="price", calendar=("hour",))
        >>> task.target, task.known
        (('load',), ('price',))

    Source: Static, known and observed covariates as in Lim et al., 2021, "Temporal Fusion Transformers for
        interpretable multi-horizon time series forecasting", International Journal of Forecasting 37(4).
    """

    target: str | tuple[str, ...]
    horizon: int
    lookback: int
    _: dataclasses.KW_ONLY
    time: str | None = None
    series: str | None = None
    known: str | tuple[str, ...] = ()
    observed: str | tuple[str, ...] = ()
    static: str | tuple[str, ...] = ()
    calendar: str | tuple[str, ...] = ()
    season_length: int | None = None
    frequency: str | int | None = None

    def __post_init__(self):
        roles = {}
        for role in ("target", "known", "observed", "static", "calendar"):
            roles[role] = _names(getattr(self, role), role)
            object.__setattr__(self, role, roles[role])
        for role in ("time", "series"):
            roles[role] = () if getattr(self, role) is None else _names([getattr(self, role)], role)
        for length in ("horizon", "lookback"):
            object.__setattr__(self, length, whole_number(getattr(self, length), length))
        if self.season_length is not None:
            object.__setattr__(self, "season_length", whole_number(self.season_length, "season_length"))
        if self.frequency is not None:
            object.__setattr__(self, "frequency", _frequency(self.frequency))
        if not self.target:
            raise ValueError("`target` names no column. Received: (). Name at least one column to forecast.")
        for feature in roles.pop("calendar"):
            one_of(feature, "calendar", CALENDAR)
        played = [(column, role) for role, columns in roles.items() for column in columns]
        allowed = {(self.series, "static")}  # the id of a series is itself a static covariate
        counts = Counter(column for column, role in played if (column, role) not in allowed)
        for column, count in counts.items():
            if count > 1:
                names = " and ".join(role for one, role in played if one == column)
                raise ValueError(
                    f"Column {column!r} plays more than one role: {names}. Give each column one role; past values of "
                    "a target are inputs without being listed."
                )

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns besides the targets that a table must have, the series id left out."""
        return (*self.observed, *self.known, *(column for column in self.static if column != self.series))


def _names(value, role) -> tuple[str, ...]:
    """Return one or several column names as a tuple."""
    names = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"`{role}` must hold column names as text. Received: {name!r}. "
                "Columns that are numbers can be renamed: `frame.columns = frame.columns.astype(str)`."
            )
    return names


def _frequency(value) -> str | int:
    """Return a frequency as JSON takes it: the name pandas has for it, or a whole number."""
    if not isinstance(value, str | datetime.timedelta | pd.offsets.BaseOffset):
        return whole_number(value, "frequency")
    try:
        name = pd.tseries.frequencies.to_offset(value).freqstr
        is_forward = pd.tseries.frequencies.to_offset(name).n > 0
    except ValueError:
        is_forward = False
    if not is_forward:
        raise ValueError(
            f"`frequency` must be a pandas frequency such as 'h', 'D' or 'W-SAT'. Received: {value!r}. "
            "See the offset aliases of pandas."
        )
    return name


@dataclasses.dataclass(frozen=True)
class Channel:
    """One channel of the input tensor: where it comes from and how a model is to read it.

    `kind` is "target", "numeric", "category", "cyclic", "flag" or "series"; `shift` says how many rows ahead of its
    own time step the value is taken.
    """

    name: str
    kind: str
    column: str
    shift: int = 0


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

    @functools.cached_property
    def channels(self) -> tuple[Channel, ...]:
        """Channels of the input tensor, in order."""
        task = self.task

        def kind(column):
            return "category" if column in self.categories else "numeric"

        channels = [Channel(column, "target", column) for column in task.target]
        channels += [Channel(column, kind(column), column) for column in (*task.observed, *task.known, *task.static)]
        # A look-back shorter than the horizon needs several shifted copies to show every future step once.
        shifts = range(task.horizon, 0, -task.lookback)
        channels += [Channel(f"{column}+{by}", kind(column), column, by) for column in task.known for by in shifts]
        for feature in task.calendar:
            channels += [Channel(f"{wave}_{feature}", "cyclic", feature, task.horizon) for wave in ("sin", "cos")]
        channels += [Channel(f"{column}_missing", "flag", column) for column in self.flagged]
        if task.series is not None:
            channels.append(Channel("series_code", "series", task.series))
        return tuple(channels)

    @property
    def feature_names(self) -> list[str]:
        """Names of the channels of the input tensor, in order."""
        return [channel.name for channel in self.channels]

    def of_series(self, statistic: str, codes: np.ndarray) -> np.ndarray:
        """Return `level`, `deviation` or `scale` by series code `(n, targets)`; unseen series get the median."""
        table = np.asarray(getattr(self, statistic), dtype="float64")
        return np.concatenate([np.median(table, axis=0, keepdims=True), table])[codes]
