"""From a regular table to windows: splits in time and lazy batches.

A window is `lookback` rows of input and the `horizon` rows that follow. All channels of a row lie side by side in
memory (see `table.Table`), so that a window is one block and a batch is one gather.
"""

import bisect
import math
import warnings
from datetime import date

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import one_of, whole_number
from rnn_toolkit.tables.defaults import settled
from rnn_toolkit.tables.fitting import Preparation
from rnn_toolkit.tables.layout import Layout
from rnn_toolkit.tables.table import Table
from rnn_toolkit.tables.task import ForecastTask


class Windows(keras.utils.PyDataset):
    """Cut windows from a table lazily, a batch at a time: `(x, y, sample_weight)`, in raw units.

    From a target or covariate whose level is so high that float32 would blur its steps (a meter reading), the level is
    taken off: `table.offset`, `preparation.column_offset`. `backtest` and `forecast` put it back, in float64.

    Memory grows with the rows of the table, not with rows times look-back. Missing values are filled forward, flagged
    in an indicator channel where the training rows had any, and have weight 0 as targets. The weight of a value that
    is there is 1 / scale of its series, so that series of every size count alike in the loss.

    Args:
        frame: One row per time step, oldest first; many series as a long table with an id column.
        task: A `ForecastTask`; or the `preparation` of other windows or of a model: then nothing is fitted here.
        stride: Rows between the starts of two windows; one that shares a factor with the season shows some of its
            phases only, and is warned of.
        batch_size: Windows in a batch.
        shuffle: Whether to draw the windows in a new random order each epoch.
        seed: Seed of that order.
        short: What to do with a series of fewer rows than one window: "drop" it with a warning that names it, "pad"
            it at the front with rows marked missing, or raise an "error".

    Attributes:
        feature_names: Names of the channels of x.
        origins: DataFrame of series and cutoff, the last time step that the window's input holds; a row per window.
        preparation: All that was fitted on the table.

    Batches:
        x `(batch, lookback, features)`, y `(batch, horizon, targets)` and sample_weight `(batch, horizon, targets)`,
        all float32.

    Raises:
        TypeError, ValueError: If the table does not fit the task; the message says where and what to do.

    Example:
        >>> windows = Windows(pd.DataFrame({"load": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}), ForecastTask("load", 1, 3))
        >>> x, y, weight = windows[0]
        >>> x.shape, y[:, 0, 0].tolist()
        ((3, 3, 1), [4.0, 5.0, 6.0])
    """

    def __init__(self, frame, task, *, stride=1, batch_size=64, shuffle=False, seed=0, short="drop"):
        _check_options(task, ForecastTask | Preparation, stride=stride, batch_size=batch_size, seed=seed, short=short)
        fitted = task if isinstance(task, Preparation) else None
        task = fitted.task if fitted else task
        layout = fitted.lay_out(frame) if fitted else Layout.of(frame, task)
        layout = settled(frame, layout, layout.offsets[1:], padded=short == "pad")
        task = layout.task
        layout = _with_padding(layout, task.lookback + task.horizon if short == "pad" else 0)
        table = Table.of(frame, layout, preparation=fitted)
        all_starts = table.starts(table.offsets[:-1], table.offsets[1:])
        starts = all_starts if stride == 1 else table.starts(table.offsets[:-1], table.offsets[1:], stride)
        _report_short(table, starts, short)
        _report_phases(task, stride)
        self._set_up(table, starts, all_starts, batch_size=batch_size, shuffle=shuffle, seed=seed)

    @classmethod
    def of_table(cls, table, starts, *, all_starts=None, batch_size=64, shuffle=False, seed=0) -> "Windows":
        """Return windows over a table that is already laid out.

        Args:
            table: The table.
            starts: Their first rows.
            all_starts: Those that there would be with a stride of 1; `None` for the same.
            batch_size, shuffle, seed: As of the class.
        """
        windows = cls.__new__(cls)
        all_starts = starts if all_starts is None else all_starts
        windows._set_up(table, starts, all_starts, batch_size=batch_size, shuffle=shuffle, seed=seed)
        return windows

    def _set_up(self, table, starts, all_starts, *, batch_size, shuffle, seed):
        super().__init__()
        self.task, self.preparation, self.batch_size = table.task, table.preparation, batch_size
        self.table, self.starts, self.all_starts = table, starts, all_starts
        self._shuffle, self._seed = shuffle, seed
        self._scale = table.scale.astype("float32")  # (series, targets)
        num_channels = table.values.shape[1]
        self._blocks = np.lib.stride_tricks.as_strided(  # (rows, lookback * channels), overlapping
            table.values,
            shape=(max(len(table) - self.task.lookback + 1, 0), self.task.lookback * num_channels),
            strides=(table.values.strides[0], table.values.itemsize),
            writeable=False,
        )
        self.set_epoch(0)

    @classmethod
    def after_training(cls, frame, preparation: Preparation) -> "Windows":
        """Return all windows, in order, whose targets lie behind the training rows of a preparation."""
        table = Table.of(frame, _with_padding(preparation.lay_out(frame)), preparation=preparation)
        return cls.of_table(table, table.starts(table.end_of_training, table.offsets[1:]))

    def __len__(self) -> int:
        return -(-len(self.starts) // self.batch_size)

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"Batch {index} of {len(self)}.")
        first = index % len(self) * self.batch_size
        chosen = slice(first, first + self.batch_size)
        return self.cut(self.starts[chosen] if self._order is None else self.starts[self._order[chosen]])

    def __repr__(self) -> str:
        return (
            f"Windows({len(self.starts):,} windows of {self.task.lookback} + {self.task.horizon} rows, "
            f"{len(self.feature_names)} features, {len(self.task.target)} targets, {len(self)} batches)"
        )

    @property
    def feature_names(self) -> list[str]:
        """Names of the channels of x."""
        return self.preparation.feature_names

    @property
    def origins(self) -> pd.DataFrame:
        """Series and cutoff of every window, in the order of `to_arrays`."""
        table, last_rows = self.table, self.starts + self.task.lookback - 1
        names = pd.Categorical.from_codes(table.series_of(self.starts), table.names)
        return pd.DataFrame({"series": names, "cutoff": table.times(last_rows)})

    def cut(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cut the windows whose first rows are given; see the class for the shapes."""
        task, table = self.task, self.table
        x = self._blocks[starts].reshape(len(starts), task.lookback, table.values.shape[1])
        rows = starts[:, None] + np.arange(task.lookback, task.lookback + task.horizon)  # (batch, horizon)
        y = table.values[:, : len(task.target)][rows]
        scale = self._scale[table.series_of(starts)] if len(table.names) > 1 else self._scale
        return x, y, table.observed[rows] / scale[:, None]

    def to_arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all windows at once, in the order of `origins`; needs memory for rows times look-back."""
        return self.cut(self.starts)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, which depends on the seed and the epoch alone."""
        self._epoch, self._order = epoch, None
        if self._shuffle:
            generator = np.random.default_rng([self._seed, epoch])
            self._order = generator.permutation(len(self.starts)).astype(self.starts.dtype)

    def on_epoch_end(self):
        """Draw the order of the next epoch; Keras calls this."""
        self.set_epoch(self._epoch + 1)


def split_by_time(
    frame: pd.DataFrame,
    task: ForecastTask,
    *,
    validation: float | int | str | date = 0.15,
    test: float | int | str | date = 0.15,
    gap: int = 0,
    stride: int = 1,
    batch_size: int = 64,
    seed: int = 0,
    short: str = "drop",
) -> tuple[Windows, Windows, Windows]:
    """Split a table in time order into windows to train, validate and test on.

    Everything fitted (fills, category codes, levels, scales) comes from training rows. Windows of a later split look
    back over the border, as a real forecast would; no target of one split is a target of another.

    Args:
        frame: One row per time step, oldest first; many series as a long table.
        task: Roles of the columns.
        validation: Share of the table before `test`. A float is a share of the rows of the whole table, a horizon at
            least, cut at one time for all series; a whole number counts the last rows of each series; a date, or a
            string such as "2014-01-01", is the first time step of the split ("2014" on an axis of whole numbers).
        test: Share of the table at its end, likewise; 0 for none.
        gap: Rows before each border that are in no split. As many as the steps by which your data arrive late, or as
            a label needs to become known.
        stride: Rows between the starts of two training windows. Validation and test take every window. One that shares
            a factor with the season shows some of its phases only, and is warned of.
        batch_size: Windows in a batch.
        seed: Seed of the order of the training windows, which differs from epoch to epoch.
        short: What to do with a series too short for one training window: "drop", "pad" or "error"; see `Windows`.

    Returns:
        Three `Windows`: training (shuffled), validation and test (in order).

    Raises:
        TypeError, ValueError: If the table does not fit the task, or a split would be left without a window.

    Example:
        >>> frame = pd.DataFrame({"load": range(20)})
        >>> train, validation, test = split_by_time(frame, ForecastTask("load", 2, 4), validation=4, test=4)
        >>> [len(part.starts) for part in (train, validation, test)]
        [7, 3, 3]
    """
    whole_number(gap, "gap", minimum=0)
    _check_options(task, ForecastTask, stride=stride, batch_size=batch_size, seed=seed, short=short)
    shares = {"validation": validation, "test": test, "gap": gap}
    layout = Layout.of(frame, task)
    borders = _borders(layout, **shares)
    layout = settled(frame, layout, borders["train"][1], padded=short == "pad")
    task = layout.task
    later = layout.offsets[1:] - borders["train"][1]
    layout = _with_padding(layout, task.lookback + task.horizon + later if short == "pad" else 0)
    borders = _borders(layout, **shares)
    received = ", ".join(f"{name}={share!r}" for name, share in shares.items())
    if not (borders["train"][1] > layout.begins).any():
        raise ValueError(f"No row is left to train on. Received: {received}. Take smaller shares.")
    table = Table.of(frame, layout, ends=borders["train"][1])
    parts = []
    for name, (begins, ends) in borders.items():
        is_train = name == "train"
        all_starts = table.starts(begins, ends)
        starts = table.starts(begins, ends, stride) if is_train and stride > 1 else all_starts
        if is_train:
            _report_short(table, starts, short, ends=ends)
            _report_phases(task, stride)
        elif not len(starts) and shares[name] != 0:
            rows = int((ends - begins).max())
            problem = f"it has {rows} rows, the horizon {task.horizon}" if rows < task.horizon else "no target is there"
            raise ValueError(f"The {name} split has no window: {problem}. Received: {received}. Change the shares.")
        options = {"batch_size": batch_size, "shuffle": is_train, "seed": seed}
        parts.append(Windows.of_table(table, starts, all_starts=all_starts, **options))
    return parts[0], parts[1], parts[2]


def _with_padding(layout, at_least=0) -> Layout:
    """Return a layout with room for the rows before reach of each first window, and at least so many rows a series."""
    rows = np.maximum(np.diff(layout.offsets) + layout.task.before_reach, at_least)
    return layout if (rows == np.diff(layout.offsets)).all() else layout.with_room(at_least=rows)


def _borders(layout, *, validation, test, gap) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return first row and row behind the last of each split, `(num_series,)` each."""
    horizon = layout.task.horizon
    test_start = _border(layout, test, "test", layout.offsets[1:], least=horizon)
    validation_start = _border(layout, validation, "validation", test_start, least=horizon + gap)
    return {
        "train": (layout.offsets[:-1], np.maximum(validation_start - gap, layout.begins)),
        "validation": (validation_start, np.maximum(test_start - gap, validation_start)),
        "test": (test_start, layout.offsets[1:]),
    }


def _check_options(task, kind, *, stride, batch_size, seed, short):
    if not isinstance(task, kind):
        raise TypeError(
            f"`task` must be a ForecastTask, `rt.ForecastTask('column', horizon=…, lookback=…)`. Received: "
            f"{type(task).__name__}. A preparation that is fitted already is for `rt.Windows`."
        )
    whole_number(stride, "stride")
    whole_number(batch_size, "batch_size")
    whole_number(seed, "seed", minimum=0)
    one_of(short, "short", ("drop", "pad", "error"))


def _report_short(table, starts, short, ends=None):
    """Name the series without a window: warn, or raise where the user asked for it or none is left."""
    rows = (table.offsets[1:] if ends is None else ends) - table.begins
    without = np.setdiff1d(np.flatnonzero(rows > 0), table.series_of(starts))
    if not len(without):
        return
    kind = "rows" if ends is None else "training rows"
    named = ", ".join(f"{table.name_of(one)} has {rows[one]} {kind}" for one in without[:5])
    named += f", and {len(without) - 5} more" if len(without) > 5 else ""
    into = f" into {len(without)} of {len(table.names)} series" if len(table.names) > 1 else ""
    needed = table.task.fitted_lookback + table.task.horizon
    message = f"No window of lookback + horizon = {needed} rows with a target in it fits{into}: {named}."
    if not len(starts) or short == "error":
        raise ValueError(f"{message} Pass more rows, lower `lookback` or `horizon`, or pass short='pad'.")
    warnings.warn(f"{message} They are left out; short='pad' keeps those that are too short.", stacklevel=3)


def _report_phases(task, stride):
    """Warn of a stride that passes over phases of the season."""
    season = task.season_length or 1
    phases = season // math.gcd(stride, season)
    if phases == season:
        return
    others = [one for one in range(1, stride + season) if math.gcd(one, season) == 1]
    warnings.warn(
        f"With stride={stride} and season_length={season} the windows begin in {phases} of the {season} phases of the "
        "season, and what is learnt from them holds for these alone. Pass a stride without a common factor, such as "
        f"{min(others, key=lambda one: abs(one - stride))}, unless you forecast from these phases only.",
        stacklevel=3,
    )


def _border(layout, share, name, ends, *, least) -> np.ndarray:
    """Return the row of each series at which the share begins; `ends` is where the next split begins.

    A fraction above 0 holds at least so many rows of one series.
    """
    if isinstance(share, str | date | np.datetime64):
        try:
            is_time = isinstance(layout.grid, pd.DatetimeIndex)
            moment = pd.Timestamp(share) if is_time else int(share)
            if is_time and moment.tzinfo is None:
                moment = moment.tz_localize(layout.grid.tz, nonexistent="shift_forward", ambiguous=True)
            return np.clip(layout.rows_at(int(layout.grid.searchsorted(moment))), layout.begins, ends)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f"`{name}` is no date on the time axis, which begins with {layout.grid[0]}. Received: {share!r}. Write "
                "it as '2014-01-01', with a time zone only if the table has one, or as '2014' on an axis of whole "
                "numbers; or pass a fraction or number of rows."
            ) from error
    is_count = isinstance(share, int | np.integer) and not isinstance(share, bool)
    if not (is_count and share >= 0) and not (isinstance(share, float | np.floating) and 0 <= share < 1):
        raise ValueError(
            f"`{name}` must be a fraction from 0 to 1, a number of rows or a date. Received: {share!r}. Pass 0.15, 100 "
            "or '2014-01-01', say."
        )
    if is_count:
        return np.maximum(ends - share, layout.begins)

    def border_at(position):
        return np.clip(layout.rows_at(position), layout.begins, ends)

    # One time for all series: the latest with at least this share of all rows behind it, up to `ends`.
    wanted = round(share * int((layout.offsets[1:] - layout.begins).sum()))

    def is_too_late(position):
        behind = ends - border_at(position)
        return behind.sum() < wanted or (share > 0 and behind.max() < least)

    return border_at(bisect.bisect_left(range(1, len(layout.grid) + 1), True, key=is_too_late))
