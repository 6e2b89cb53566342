"""Who plays which role in a table of time series: `ForecastTask`, a plain value that JSON takes."""

import dataclasses
import datetime
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

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


class Role(NamedTuple):
    """What holds for the columns of a role besides their values."""

    is_ahead: bool = False  # the future is known when the forecast is made
    is_static: bool = False  # never changes within a series


# The fields of `ForecastTask` that name columns of values, in the order of the channels.
ROLES = {"target": Role(), "observed": Role(), "known": Role(is_ahead=True), "static": Role(is_static=True)}


@dataclasses.dataclass(frozen=True)
class ForecastTask:
    """Say what is forecast, how far, from how much past, and which column plays which role.

    Args:
        target: Column, or columns, to forecast.
        horizon: Steps to forecast, in rows of the regular time axis.
        lookback: Past steps shown to the model, in rows; `None` chooses `reach`, and a look-back that reaches as far
            as helps the pretrained forecaster, when the table is split.
        time: Column of timestamps, periods or whole numbers; `None` takes the index of the table.
        series: Column that names the series in a long table of many series.
        known: Covariates whose future is known when the forecast is made (prices, holidays).
        observed: Covariates known only up to the forecast (weather that was measured).
        static: Columns that never change within a series. May name the `series` column itself.
        calendar: Features computed from the time axis as sine and cosine: "minute", "hour", "day_of_week", "day",
            "week", "day_of_year", "month", "quarter".
        season_length: Rows in one season (24 for hourly rows with a daily rhythm). Used by the seasonal baselines,
            by the scale of the loss and of MASE. "auto", or leaving out both lengths, takes the cycle of the calendar
            at which the training rows repeat, if they do; 1 is none.
        frequency: A pandas frequency ("h", "W-SAT", "ME") or, for whole numbers, the step; `None` reads it off the
            table.
        reach: Rows at the end of the look-back that everything fitted to the table sees, and that a window needs;
            the rows before them are for the pretrained forecaster, and may lie before the first. `None` is the
            whole look-back, or, where that is chosen, three to five seasons, or what the rows allow.

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
    lookback: int | None = None
    _: dataclasses.KW_ONLY
    time: str | None = None
    series: str | None = None
    known: str | tuple[str, ...] = ()
    observed: str | tuple[str, ...] = ()
    static: str | tuple[str, ...] = ()
    calendar: str | tuple[str, ...] = ()
    season_length: int | str | None = None
    frequency: str | int | None = None
    reach: int | None = None

    def __post_init__(self):
        roles = {}
        for role in (*ROLES, "calendar"):
            roles[role] = _names(getattr(self, role), role)
            object.__setattr__(self, role, roles[role])
        for role in ("time", "series"):
            roles[role] = () if getattr(self, role) is None else _names([getattr(self, role)], role)
        for length in ("horizon", "lookback", "season_length", "reach"):
            given = getattr(self, length)
            is_open = (given is None and length != "horizon") or (length, given) == ("season_length", "auto")
            object.__setattr__(self, length, given if is_open else whole_number(given, length))
        if self.reach is not None and not (self.lookback or 0) >= self.reach:
            raise ValueError(
                f"`reach` is a part of the look-back. Received: reach={self.reach}, lookback={self.lookback}. Pass a "
                "longer `lookback`, or leave out both."
            )
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
    def fitted_lookback(self) -> int:
        """Rows that everything fitted to the table sees, 0 while they are not chosen."""
        return self.reach or self.lookback or 0

    @property
    def before_reach(self) -> int:
        """Rows of the look-back that only the pretrained forecaster sees."""
        return (self.lookback or 0) - self.fitted_lookback

    @property
    def has_covariates(self) -> bool:
        """Whether the model sees anything besides the targets."""
        return any((self.known, self.observed, self.static, self.calendar))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of values, the targets first."""
        return tuple(column for role in ROLES for column in getattr(self, role))

    @property
    def ahead(self) -> tuple[str, ...]:
        """Columns whose future is known when the forecast is made."""
        return tuple(column for role, one in ROLES.items() if one.is_ahead for column in getattr(self, role))

    @property
    def changing(self) -> tuple[str, ...]:
        """Columns that change within a series."""
        return tuple(column for role, one in ROLES.items() if not one.is_static for column in getattr(self, role))


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
    offset = pd.tseries.frequencies.to_offset(value)  # an unknown one is refused there, with those there are
    if offset.n <= 0:
        raise ValueError(f"`frequency` must go forward in time. Received: {value!r}. Pass 'h', 'D' or 'W-SAT', say.")
    return offset.freqstr
