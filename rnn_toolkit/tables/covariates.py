"""What there is to know of each kind of covariate: how it is laid out, how wide it is, how a network reads it.

A new kind is a role or a field in `task.py` and a class here; what it fits on training rows is a field of
`fitting.Preparation`. Everything else asks the classes.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from keras import ops

from rnn_toolkit.tables.axis import regular_axis
from rnn_toolkit.tables.task import CALENDAR, ForecastTask


class Channel(NamedTuple):
    """One channel of the input tensor: its kind (a key of `KINDS`), and how many rows ahead its value is taken."""

    name: str
    kind: str
    column: str
    shift: int = 0


class Kind:
    """A kind of channels. As it stands: a column of the table, filled forward, read as it is."""

    def start(self, column, preparation) -> float:
        """Return what stands in rows before the first value of a series."""
        return 0.0

    def lay(self, channel, table, filled, missing) -> np.ndarray:
        """Return the value of every row of a table.

        Args:
            channel: The channel.
            table: A `layout.Layout` that knows the `codes` of its series.
            filled: Column -> its values, filled forward: `(num_rows,)`.
            missing: Flagged column -> whether its value is missing: `(num_rows,)`.
        """
        source, by = filled[channel.column], channel.shift
        return np.concatenate([source[by:], np.repeat(source[-1:], min(by, len(source)))])

    def width(self, channel, preparation) -> int:
        """Return how many channels a network is shown."""
        return 1

    def encode(self, values, channel, preparation, embeddings):
        """Return what a network is shown: raw values `(batch, lookback, 1)` -> `(batch, lookback, width)`."""
        return values


class Target(Kind):
    """A target, which `RawUnits` normalises by itself."""

    def width(self, channel, preparation):
        return 0


class Numeric(Kind):
    """Numbers, standardised by the moments of the training rows."""

    def start(self, column, preparation):
        return preparation.moments[column][0] - preparation.column_offset.get(column, 0.0)

    def encode(self, values, channel, preparation, embeddings):
        return (values - self.start(channel.column, preparation)) / preparation.moments[channel.column][1]


class Category(Kind):
    """Words, as codes, which are embedded."""

    def width(self, channel, preparation):
        return embedding_width(preparation.categories[channel.column])

    def encode(self, values, channel, preparation, embeddings):
        return embeddings[channel.column](ops.cast(values[..., 0], "int32"))


class Cyclic(Kind):
    """Sine or cosine of a calendar feature, computed from the time axis."""

    def lay(self, channel, table, filled, missing):
        if not isinstance(table.grid, pd.DatetimeIndex):
            raise ValueError(
                f"Calendar feature {channel.column!r} needs timestamps, but the time axis holds whole numbers. "
                "Pass timestamps, or leave `calendar` empty."
            )
        grid = regular_axis(table.grid[0], table.grid[-1], table.frequency, after=channel.shift)[channel.shift :]
        number = grid.isocalendar().week if channel.column == "week" else getattr(grid, channel.column)
        angle = 2 * np.pi * np.asarray(number, dtype="float64") / CALENDAR[channel.column]
        wave = (np.sin if channel.name.startswith("sin") else np.cos)(angle).astype("float32")
        return np.concatenate([wave[a : a + n] for a, n in zip(table.first, np.diff(table.offsets), strict=True)])


class Flag(Kind):
    """1 where a column has no value, 0 elsewhere."""

    def lay(self, channel, table, filled, missing):
        return missing[channel.column]


class Series(Target):
    """Code of the series, by which `RawUnits` looks up scales; a network is shown it only as a static column."""

    def lay(self, channel, table, filled, missing):
        return np.repeat(table.codes, np.diff(table.offsets))


KINDS = {
    "target": Target(),
    "numeric": Numeric(),
    "category": Category(),
    "cyclic": Cyclic(),
    "flag": Flag(),
    "series": Series(),
}


def embedding_width(words: list[str]) -> int:
    """Return how many numbers stand for each category of a text column."""
    return min(8, len(words))


def kind_of(column: str, task: ForecastTask, categories: dict) -> str:
    """Return the kind of a column of values; `categories` names those that hold words."""
    return "target" if column in task.target else "category" if column in categories else "numeric"


def channels_of(task: ForecastTask, categories: dict, flagged: tuple[str, ...]) -> tuple[Channel, ...]:
    """Return the channels of the input tensor, in order; the columns of the task come first."""
    kinds = {column: kind_of(column, task, categories) for column in task.columns}
    channels = [Channel(column, kind, column) for column, kind in kinds.items()]
    # A look-back shorter than the horizon needs several shifted copies to show every future step once.
    shifts = range(task.horizon, 0, -task.lookback)
    channels += [Channel(f"{column}+{by}", kinds[column], column, by) for column in task.ahead for by in shifts]
    for feature in task.calendar:
        channels += [Channel(f"{wave}_{feature}", "cyclic", feature, task.horizon) for wave in ("sin", "cos")]
    channels += [Channel(f"{column}_missing", "flag", column) for column in flagged]
    if task.series is not None:
        channels.append(Channel("series_code", "series", task.series))
    return tuple(channels)
