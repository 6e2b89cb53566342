"""From a regular table to windows: splits in time, lazy batches, and the proof that nothing leaks.

A window is `lookback` rows of input and the `horizon` rows that follow. All channels of a row lie side by side in
memory (see `table.Table`), so that a window is one block and a batch is one gather.
"""

import warnings
from collections.abc import Callable
from datetime import date

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import one_of, whole_number
from rnn_toolkit.axis import time_index
from rnn_toolkit.series import ForecastTask, Preparation
from rnn_toolkit.table import Table


class Windows(keras.utils.PyDataset):
    """Cut windows from a table lazily, a batch at a time: `(x, y, sample_weight)`, in raw units.

    Memory grows with the rows of the table, not with rows times look-back. Missing values are filled forward, flagged
    in an indicator channel where the training rows had any, and have weight 0 as targets. The weight of a value that
    is there is 1 / scale of its series, so that series of every size count alike in the loss.

    Args:
        frame: One row per time step, oldest first; many series as a long table with an id column.
        task: A `ForecastTask`; or the `preparation` of other windows or of a model: then nothing is fitted here.
        stride: Rows between the starts of two windows.
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
        if not isinstance(task, ForecastTask | Preparation):
            raise TypeError(
                f"`task` must be a ForecastTask. Received: {type(task).__name__}. "
                "Write `rt.ForecastTask('column', horizon=…, lookback=…)`."
            )
        roles = task.task if isinstance(task, Preparation) else task
        table = Table(frame, task, pad_to=roles.lookback + roles.horizon if short == "pad" else 0)
        starts = _starts(table, table.offsets[:-1], table.offsets[1:], stride)
        _report_short(table, starts, short)
        self._set_up(table, starts, batch_size=batch_size, shuffle=shuffle, seed=seed)

    @classmethod
    def _of_table(cls, table, starts, *, batch_size=64, shuffle=False, seed=0) -> "Windows":
        """Return windows over a table that is already laid out; `starts` are their first rows."""
        windows = cls.__new__(cls)
        windows._set_up(table, starts, batch_size=batch_size, shuffle=shuffle, seed=seed)
        return windows

    def _set_up(self, table, starts, *, batch_size, shuffle, seed):
        super().__init__()
        self.task, self.preparation, self.batch_size = table.task, table.preparation, batch_size
        self.table, self.starts = table, starts
        self._shuffle, self._seed, self._epoch = shuffle, seed, 0
        self._scale = table.scale.astype("float32")  # (series, targets)
        num_channels = table.values.shape[1]
        self._blocks = np.lib.stride_tricks.as_strided(  # (rows, lookback * channels), overlapping
            table.values,
            shape=(max(len(table) - self.task.lookback + 1, 0), self.task.lookback * num_channels),
            strides=(table.values.strides[0], table.values.itemsize),
            writeable=False,
        )
        self._order = None
        self._reorder()

    @classmethod
    def after_training(cls, frame, preparation: Preparation, *, batch_size=64) -> "Windows":
        """Return all windows, in order, whose targets lie behind the training rows of a preparation."""
        table = Table(frame, preparation)
        end = preparation.train_end
        if isinstance(table.grid, pd.DatetimeIndex):
            end = pd.Timestamp(end)
        starts = _starts(table, table.rows_at(int(table.grid.searchsorted(end))), table.offsets[1:], 1)
        return cls._of_table(table, starts, batch_size=batch_size)

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
        x = self._blocks[starts].reshape(len(starts), task.lookback, -1)
        rows = starts[:, None] + np.arange(task.lookback, task.lookback + task.horizon)  # (batch, horizon)
        y = table.values[:, : len(task.target)][rows]
        scale = self._scale[table.series_of(starts)] if len(table.names) > 1 else self._scale
        return x, y, table.observed[rows] / scale[:, None]

    def to_arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all windows at once, in the order of `origins`; needs memory for rows times look-back."""
        return self.cut(self.starts)

    def on_epoch_end(self):
        """Draw the order of the next epoch; Keras calls this."""
        self._epoch += 1
        self._reorder()

    def _reorder(self):
        if self._shuffle:
            generator = np.random.default_rng([self._seed, self._epoch])
            self._order = generator.permutation(len(self.starts)).astype(self.starts.dtype)


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
        validation: Share of the table before `test`. A float is a share of the rows of the whole table, cut at one
            time for all series; a whole number counts the last rows of each series; a date, or a string such as
            "2014-01-01", is the first time step of the split.
        test: Share of the table at its end, likewise; 0 for none.
        gap: Rows before each border that are in no split. As many as the steps by which your data arrive late, or as
            a label needs to become known.
        stride: Rows between the starts of two training windows. Validation and test take every window.
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
    if not isinstance(task, ForecastTask):
        raise TypeError(f"`task` must be a ForecastTask. Received: {type(task).__name__}.")
    borders = {}

    def train_ends(table):
        """Find the borders once the axis is known, and before anything is fitted."""
        test_start = _border(table, test, "test", table.offsets[1:])
        validation_start = _border(table, validation, "validation", test_start)
        borders["validation"] = (validation_start, np.maximum(test_start - gap, validation_start))
        borders["test"] = (test_start, table.offsets[1:])
        borders["train"] = (table.offsets[:-1], np.maximum(validation_start - gap, table.offsets[:-1]))
        return borders["train"][1]

    pad_to = task.lookback + task.horizon if short == "pad" else 0
    table = Table(frame, task, train_rows=train_ends, pad_to=pad_to)
    parts = []
    for name in ("train", "validation", "test"):
        is_train = name == "train"
        starts = _starts(table, *borders[name], stride if is_train else 1)
        if is_train:
            _report_short(table, starts, short, ends=borders[name][1])
        wanted = {"train": 1, "validation": validation, "test": test}[name]
        if not len(starts) and wanted != 0:
            rows = int((borders[name][1] - borders[name][0]).max())
            raise ValueError(
                f"The {name} split has no window: at most {rows} rows of a series, where "
                f"{'lookback + horizon' if is_train else 'horizon'} = "
                f"{task.lookback + task.horizon if is_train else task.horizon} are needed. Received: "
                f"validation={validation!r}, test={test!r}, gap={gap}. Change the shares, or pass more rows."
            )
        parts.append(Windows._of_table(table, starts, batch_size=batch_size, shuffle=is_train, seed=seed))
    return tuple(parts)


def check_leakage(
    frame: pd.DataFrame,
    task: ForecastTask,
    *,
    validation: float | int | str | date = 0.15,
    test: float | int | str | date = 0.15,
    gap: int = 0,
    pipeline: Callable | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Change the later rows of a table and report whatever changed in the earlier splits.

    A pipeline that does not leak gives the same training windows, whatever the rows after them hold. This is tried
    out, once with everything after the training rows changed and once with the test rows changed.

    Args:
        frame: The table, as for `split_by_time`.
        task: Roles of the columns.
        validation: Share, as for `split_by_time`.
        test: Share, as for `split_by_time`.
        gap: Rows kept empty, as for `split_by_time`.
        pipeline: Your own way from a table to `(train, validation, test)`, each a `Windows`, arrays, or a tuple of
            arrays; `None` checks `split_by_time` itself on your table.
        seed: Seed of the changes.

    Returns:
        One row per check: `check`, `leaks` (bool) and `evidence` (str). `report.leaks.any()` is the verdict.

    Example:
        >>> frame = pd.DataFrame({"load": np.sin(np.arange(60.0))})
        >>> task = ForecastTask("load", horizon=2, lookback=4)
        >>> bool(check_leakage(frame, task).leaks.any())
        False
        >>> def scale_then_split(table):
        ...     return split_by_time(table / table.abs().max(), task)
        >>> bool(check_leakage(frame, task, pipeline=scale_then_split).leaks.any())
        True
    """
    shares = {"validation": validation, "test": test, "gap": gap}
    reference = split_by_time(frame, task, **shares)
    pipeline = pipeline or (lambda table: split_by_time(table, task, **shares))
    before = pipeline(frame.copy())
    rows = []
    for border, later in ((1, "validation and test"), (2, "test")):
        changed = pipeline(_disturb(frame, task, reference[border], seed))
        for part in range(border):
            split = ("training", "validation")[part]
            differences = _differences(before[part], changed[part])
            for what, share in differences.items():
                evidence = f"{share:.1%} of the values changed with the {later} rows" if share else "nothing changed"
                rows.append((f"{split} {what} against {later} rows", share > 0, evidence))
    if all(isinstance(part, Windows) for part in before):
        train, validating, testing = map(_is_target, before)
        for name, earlier, later in (
            ("training", train, validating),
            ("training and validation", train | validating, testing),
        ):
            shared = int((earlier & later).sum())
            rows.append((f"{name} targets among later targets", shared > 0, f"{shared} rows are targets of both"))
    return pd.DataFrame(rows, columns=["check", "leaks", "evidence"])


def _starts(table, begins, ends, stride) -> np.ndarray:
    """Return the first rows of all windows whose targets lie in [begin, end) of each series and are not all missing."""
    whole_number(stride, "stride")
    task = table.task
    firsts = np.maximum(begins - task.lookback, table.offsets[:-1])
    lasts = ends - task.lookback - task.horizon
    kind = "int32" if len(table) < np.iinfo("int32").max else "int64"
    starts = [np.arange(first, last + 1, stride, dtype=kind) for first, last in zip(firsts, lasts, strict=True)]
    starts = np.concatenate(starts)
    if table.observed.all():
        return starts
    present = np.concatenate([[0], np.cumsum(table.observed.any(axis=1))])
    from_row = starts + task.lookback
    return starts[present[from_row + task.horizon] > present[from_row]]


def _report_short(table, starts, short, ends=None):
    """Name the series without a window: warn, or raise where the user asked for it or none is left."""
    one_of(short, "short", ("drop", "pad", "error"))
    rows = (table.offsets[1:] if ends is None else ends) - table.offsets[:-1]
    without = np.setdiff1d(np.flatnonzero(rows > 0), table.series_of(starts))
    if not len(without):
        return
    needed = table.task.lookback + table.task.horizon
    named = ", ".join(f"{table.names[one]!r} ({rows[one]} rows)" for one in without[:5])
    named += f" and {len(without) - 5} more" if len(without) > 5 else ""
    message = (
        f"{len(without)} of {len(table.names)} series are shorter than one window (lookback + horizon = {needed}), "
        f"or have no target in it: {named}."
    )
    if not len(starts) or short == "error":
        raise ValueError(f"{message} Pass more rows, lower `lookback` or `horizon`, or pass short='pad'.")
    warnings.warn(f"{message} They are left out; short='pad' keeps them.", stacklevel=3)


def _border(table, share, name, ends) -> np.ndarray:
    """Return the row of each series at which the share begins; `ends` is where the next split begins."""
    begins = table.offsets[:-1]
    if isinstance(share, str | date | np.datetime64):
        if not isinstance(table.grid, pd.DatetimeIndex):
            raise TypeError(f"`{name}` is a date, but the time axis holds whole numbers. Received: {share!r}.")
        moment = pd.Timestamp(share)
        if moment.tzinfo is None and table.grid.tz is not None:
            moment = moment.tz_localize(table.grid.tz)
        return np.minimum(table.rows_at(int(table.grid.searchsorted(moment))), ends)
    if isinstance(share, bool) or not isinstance(share, int | float | np.integer | np.floating):
        raise TypeError(f"`{name}` must be a fraction, a number of rows or a date. Received: {share!r}.")
    if share < 0 or (isinstance(share, float) and share >= 1):
        raise ValueError(f"`{name}` must be a fraction from 0 to 1, or a number of rows. Received: {share}.")
    if isinstance(share, int | np.integer):
        return np.maximum(ends - share, begins)
    # One time for all series: the latest with at least this share of all rows behind it, up to `ends`.
    wanted = round(share * len(table))
    low, high = 0, len(table.grid)
    while low < high:
        middle = (low + high + 1) // 2
        behind = np.maximum(ends - table.rows_at(middle), 0).sum()
        low, high = (middle, high) if behind >= wanted else (low, middle - 1)
    return np.minimum(table.rows_at(low), ends)


def _disturb(frame, task, later, seed) -> pd.DataFrame:
    """Return the frame with everything changed from the first target of `later` on: other numbers, other words."""
    table = later.table
    numbers, places = np.unique(table.series_of(later.starts), return_index=True)
    times = table.times(later.starts[places] + task.lookback)
    first = pd.Series(times, index=[table.names[number] for number in numbers])
    names = table.names * len(frame) if task.series is None else frame[task.series].astype(str).to_numpy()
    changed = (time_index(frame, task).to_series(index=range(len(frame))) >= first.reindex(names).array).to_numpy()
    generator = np.random.default_rng(seed)
    frame = frame.copy()
    for name in (*task.target, *task.observed, *task.known):
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            noise = 10 * float(column.std()) * (3 + generator.random(len(frame)))
            frame[name] = column.astype("float64").where(~changed, column + noise)
        else:
            frame[name] = column.astype(object).where(~changed, "never seen before")
    return frame


def _differences(before, after) -> dict[str, float]:
    """Return which share of the inputs, targets and statistics of a split differs between two runs."""
    statistics = {}
    if isinstance(before, Windows):
        statistics["statistics"] = float(before.preparation != after.preparation)
        if len(before.starts) != len(after.starts):
            return {"windows": 1.0, **statistics}
        places = np.unique(np.linspace(0, len(before.starts) - 1, num=5_000).astype(int))
        before, after = before.cut(before.starts[places]), after.cut(after.starts[places])
    pairs = zip(("inputs", "targets", "weights"), _arrays(before), _arrays(after), strict=False)
    return {what: _share_changed(old, new) for what, old, new in pairs} | statistics


def _arrays(split) -> tuple[np.ndarray, ...]:
    return tuple(map(np.asarray, split)) if isinstance(split, tuple | list) else (np.asarray(split),)


def _share_changed(old, new) -> float:
    return 1.0 if old.shape != new.shape else float((~np.isclose(old, new, rtol=0, atol=0, equal_nan=True)).mean())


def _is_target(windows) -> np.ndarray:
    """Return, for each row of the table, whether it is a target of some window."""
    task, steps = windows.task, np.zeros(len(windows.table) + 1, dtype="int64")
    np.add.at(steps, windows.starts + task.lookback, 1)
    np.add.at(steps, windows.starts + task.lookback + task.horizon, -1)
    return np.cumsum(steps[:-1]) > 0
