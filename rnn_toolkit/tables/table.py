"""The user's frame on a regular axis: one float32 matrix, a row per series and time step.

A frame passes each room once: `Layout` (which row goes where), the borders of the splits, `fit` (what the training rows
teach), `Table` (the filled matrix).

Left out on purpose: resampling, outlier treatment and interpolation. pandas does the first in one line; the others
look into the future, or decide what only the user can know.
"""

import functools
import itertools
import warnings

import numpy as np
import pandas as pd

from rnn_toolkit.tables.axis import ticks_of
from rnn_toolkit.tables.covariates import KINDS
from rnn_toolkit.tables.fitting import Preparation, fit, fit_target, offset_of, rows_before
from rnn_toolkit.tables.layout import Layout, key_of

MEASURE = r"-?[$€£¥]?\s?-?[\d,]*\.?\d+\s?([$€£¥%°]|[A-Za-zµ°/]+)?"  # $10.01, 5 % and -3 kg; not 1.5e3 kg, 5 m2 or <5


class Table(Layout):
    """A layout filled with values: one float32 matrix, a row per series and time step, a column per channel.

    Attributes:
        preparation: What was fitted on the training rows.
        values: Channels less their offsets, filled where missing: `(num_rows, num_channels)` float32.
        targets: Targets as they were given, NaN where missing: `(num_rows, num_targets)` float64.
        observed: True where a target was really there: `(num_rows, num_targets)` bool.
        codes: Codes of the series in `preparation`, 0 for one never seen: `(num_series,)`.
    """

    def __init__(self, layout: Layout, raw: np.ndarray, targets: np.ndarray, words: dict, preparation: Preparation):
        """Fill the columns that `read` returns, in place."""
        super().__init__(**vars(layout) | {"rows": None})  # of the frame, which is not needed any more
        self.preparation = preparation
        self.targets, self.observed = targets, ~np.isnan(targets)
        self.codes = codes_of(self.names, preparation.series)
        if self.task.series not in preparation.categories and preparation.train_ends:
            warn_of_unknown("series in", self.task.series, self.names, preparation.series)
        self.values = self._fill(raw, words)

    @classmethod
    def of(cls, frame: pd.DataFrame, layout: Layout, *, preparation=None, ends=None) -> "Table":
        """Read a frame that is laid out, fit a preparation unless there is one, and fill.

        Args:
            frame: The frame.
            layout: Its layout.
            preparation: What was fitted before; `None` fits on the training rows.
            ends: Row behind the training rows of each series, `(num_series,)`; `None` takes all rows.
        """
        ends = layout.offsets[1:] if ends is None else ends
        raw, targets, words, offsets = read(frame, layout, preparation, ends)
        if preparation is None:
            preparation = fit(layout, raw, targets, words, offsets, ends)
            return cls(layout, raw, targets, words, preparation)
        table = cls(layout, raw, targets, words, preparation)
        blurred = [
            number
            for number, (begin, end) in enumerate(itertools.pairwise(table.offsets))
            if any(offset_of(column, blur=0.1) for column in (targets[begin:end] - table.offset[number]).T)
        ]
        if blurred:
            named = ", ".join(map(table.name_of, blurred[:5]))
            named += f" and {len(blurred) - 5} more" if len(blurred) > 5 else ""
            warnings.warn(
                f"So far from the level in training, float32 blurs the steps of {named}. Forecasts are off by as much: "
                "train anew, with later rows.",
                stacklevel=4,
            )
        return table

    @functools.cached_property
    def offset(self) -> np.ndarray:
        """What was taken off each target `(num_series, num_targets)`: as in training, or its own if never seen."""
        return self._or_own("offset")

    @functools.cached_property
    def scale(self) -> np.ndarray:
        """Scale of each series and target `(num_series, num_targets)`: from training, or of its own if never seen."""
        return self._or_own("scale")

    @functools.cached_property
    def moves(self) -> np.ndarray:
        """Whether a target moves, in training or in its first look-back if never seen: `(num_series, num_targets)`."""
        return self._or_own("deviation") > 0

    def _or_own(self, statistic):
        """Return a statistic from training `(num_series, num_targets)`, or each unseen series' own.

        Its own is computed from the first look-back alone, which no window forecasts: so it holds no target.
        """
        result = self.preparation.of_series(statistic, self.codes)
        usual = self.preparation.of_series("scale", np.zeros(1, int))[0]
        for number in np.flatnonzero(self.codes == 0):
            rows = slice(self.offsets[number], min(self.offsets[number] + self.task.lookback, self.offsets[number + 1]))
            for place, values in enumerate(self.targets[rows].T):
                if not np.isnan(values).all():
                    fitted = fit_target(values, self.task.season_length, usual[place])
                    result[number, place] = getattr(fitted, statistic)
        return result

    @functools.cached_property
    def end_of_training(self) -> np.ndarray:
        """Row of each series behind its training rows `(num_series,)`; one never seen goes by the latest end of all."""
        ends = self.preparation.train_ends
        if isinstance(self.grid, pd.DatetimeIndex):
            ends = np.array([pd.Timestamp(one).to_datetime64() for one in ends], dtype=f"M8[{self.grid.unit}]")
        positions = np.searchsorted(ticks_of(self.grid), np.asarray(ends).astype("int64"))
        return self.rows_at(np.concatenate([[positions.max()], positions])[self.codes])

    def starts(self, begins: np.ndarray, ends: np.ndarray, stride: int = 1) -> np.ndarray:
        """Return the first rows of all windows that have a target, and all of them in [begin, end) of their series."""
        firsts = np.maximum(begins - self.task.lookback, self.offsets[:-1])
        lasts = ends - self.task.lookback - self.task.horizon
        kind = "int32" if len(self) < np.iinfo("int32").max else "int64"
        each = [np.arange(first, last + 1, stride, dtype=kind) for first, last in zip(firsts, lasts, strict=True)]
        starts = np.concatenate(each)
        if self.observed.all():
            return starts
        present = np.concatenate([[0], np.cumsum(self.observed.any(axis=1))])
        from_row = starts + self.task.lookback
        return starts[present[from_row + self.task.horizon] > present[from_row]]

    def first_targets(self, starts: np.ndarray) -> np.ndarray:
        """Return the first row of each series that is a target of a window, its end if none is: `(num_series,)`."""
        rows = self.offsets[1:].copy()
        np.minimum.at(rows, self.series_of(starts), starts + self.task.lookback)
        return rows

    def _fill(self, raw, words):
        """Return the channels: columns filled forward, then what is computed from them, the axis and the series."""
        preparation, columns = self.preparation, self.task.columns
        raw[:, : self.targets.shape[1]] = self.targets - np.repeat(self.offset, np.diff(self.offsets), axis=0)
        missing = {name: np.isnan(raw[:, columns.index(name)]) for name in preparation.flagged}
        level = self._or_own("level") - self.offset
        for place, channel in enumerate(preparation.channels[: len(columns)]):
            if channel.kind == "target":
                start = level[:, place]
            else:
                _take_codes(raw[:, place], channel.column, words, preparation.categories)
                start = np.full(len(self.names), KINDS[channel.kind].start(channel.column, preparation))
            _forward_fill(raw[:, place], self.offsets, start)
        if len(preparation.channels) == len(columns):
            return raw
        values = np.empty((len(self), len(preparation.channels)), dtype="float32")
        values[:, : len(columns)] = raw
        filled = dict(zip(columns, raw.T, strict=True))
        for place, channel in enumerate(preparation.channels[len(columns) :], start=len(columns)):
            values[:, place] = KINDS[channel.kind].lay(channel, self, filled, missing)
        return values


def read(
    frame: pd.DataFrame, layout: Layout, preparation: Preparation | None, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, list[str]], dict[str, float]]:
    """Read the columns of a frame that is laid out, each in the type that it had in training.

    Returns:
        The covariates of the task less their offsets, missing values NaN, in the place of each column of the task,
        `(num_rows, num_columns)` float32; text columns hold codes. The targets, `(num_rows, num_targets)` float64. The
        words of each text column; the code of a word is its place + 1. And the offset of each covariate that has one,
        that of the preparation, or the one that fits the rows before `ends`.

    Raises:
        ValueError: If a column holds infinite values, or text among numbers, or a static one changes.
    """
    task, words = layout.task, {}
    offsets = {} if preparation is None else preparation.column_offset
    targets = np.full((len(layout), len(task.target)), np.nan)
    raw = np.full((len(layout), len(task.columns)), np.nan, dtype="float32")
    for place, name in enumerate(task.columns):
        column = frame[name]
        if column.isna().all():  # then its type says nothing
            continue
        if preparation is not None and name not in (*task.target, task.series):
            column = as_in_training(column, preparation.categories.get(name))
        is_text = not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
        if is_text or name == task.series:  # the number of a series is a name, not a quantity
            _check_text(column, is_target=name in task.target, is_name=name == task.series)
            number, values = pd.factorize(column)
            words[name] = list({key_of(value): str(value) for value in values}.values())
            read_as = np.array([*codes_of(values, words[name]), np.nan])[number]
        else:
            if column.dtype.kind == "c":
                raise ValueError(f"Column {name!r} holds complex numbers. Take their `.real`, `.imag` or `.abs()`.")
            read_as = column.to_numpy(dtype="float64", na_value=np.nan)
        numbers = np.full(len(layout), np.nan)
        numbers[layout.rows] = read_as
        infinite = np.abs(numbers) > np.finfo("float32").max
        if infinite.any():
            where = layout.times(np.flatnonzero(infinite)[:1])[0]
            raise ValueError(
                f"Column {name!r} holds {int(infinite.sum())} infinite values (or ones beyond float32), the first "
                f"at {where}. Replace them with NaN; missing values are allowed."
            )
        if name not in task.changing:
            _spread_static(numbers, name, layout)
        if name in task.target:
            targets[:, place] = numbers
        else:
            if preparation is None and name not in words:
                offsets[name] = offset_of(numbers[rows_before(layout, ends)])
            raw[:, place] = numbers - offsets.get(name, 0.0)
    return raw, targets, words, offsets


def _spread_static(column, name, layout):
    """Give every row of a series its static value, in place; rows for missing time steps have none of their own."""
    for number, (begin, end) in enumerate(zip(layout.offsets, layout.offsets[1:], strict=False)):
        values = column[begin:end][~np.isnan(column[begin:end])]
        if len(values) and (values != values[0]).any():
            raise ValueError(
                f"Static column {name!r} changes within {layout.name_of(number)}. "
                "Make it `known` or `observed`, or correct the table."
            )
        column[begin:end] = values[0] if len(values) else np.nan


def _take_codes(column, name, words, categories):
    """Turn the codes of words into those of the categories seen in training, 0 for others, in place."""
    if name in words:
        present = ~np.isnan(column)
        codes = codes_of(words[name], categories[name])
        warn_of_unknown("values of", name, words[name], categories[name])
        column[present] = codes[column[present].astype("int64") - 1]


def as_in_training(column, categories) -> pd.Series:
    """Return a covariate in the type that it had in training: a category, or numbers without categories."""
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    message = f"Column {column.name!r} holds {{}}, but {{}} in training. Convert it first."
    if categories is not None:
        if is_number and pd.to_numeric(pd.Series(map(key_of, categories), dtype=object), errors="coerce").isna().all():
            raise ValueError(message.format("numbers", "text"))
        return column.astype(object).astype("category")
    try:
        return column if is_number else pd.Series(column.astype(object).to_numpy("float64", na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise ValueError(message.format("text", "numbers")) from error


def codes_of(values, known) -> np.ndarray:
    """Return the place + 1 of each value among the known ones, 0 for others: `(num_values,)`."""
    codes = {key_of(one): code for code, one in enumerate(known, start=1)}
    return np.array([codes.get(key_of(value), 0) for value in values], dtype="int64")


def warn_of_unknown(what, column, received, known):
    """Warn if no value of a column was there in training."""
    if not len(received) or not len(known) or codes_of(received, known).any():
        return
    listed = [", ".join(map(repr, map(str, one[:3]))) + ", ..." * (len(one) > 3) for one in (received, known)]
    warnings.warn(
        f"None of the {what} column {column!r} was there in training. Received: {listed[0]}; known: {listed[1]}. All "
        "count as never seen. If they are others, that is right; if they are the same, write them as in training.",
        stacklevel=2,
    )


def _forward_fill(column, offsets, start):
    """Carry the last value forward within each series, in place; rows before the first value get `start`."""
    missing = np.isnan(column)
    if not missing.any():
        return
    for begin, end, value in zip(offsets, offsets[1:], start, strict=False):
        gaps = missing[begin:end]
        if gaps.any():
            last = np.maximum.accumulate(np.where(gaps, -1, np.arange(end - begin)))
            column[begin:end] = np.where(last < 0, value, column[begin:end][last])


def _check_text(column, *, is_target, is_name):
    """Raise on a text column that is a target, or that holds numbers with a few words among them."""
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise ValueError(
            f"Column {column.name!r} holds dates. Use the `calendar` features, or convert it to a number of days."
        )
    is_bool = pd.api.types.is_bool_dtype(column)
    if not is_target and (is_name or is_bool or isinstance(column.dtype, pd.CategoricalDtype)):
        return
    present = column.dropna().astype(str)
    is_number = pd.to_numeric(present, errors="coerce").notna()
    has_commas = present.str.fullmatch(r"[-+]?\d[\d.]*,[\d.,]*")
    if is_target or (is_number | has_commas).mean() > 0.5:
        if has_commas.any():
            raise ValueError(
                f"Column {column.name!r} must hold numbers, but holds text with commas, such as "
                f"{present[has_commas].iloc[0]!r}. Read the file by `pd.read_csv(..., decimal=',')` if these are "
                "decimal commas, or by `pd.read_csv(..., thousands=',')`."
            )
        odd = column.dropna() if is_number.all() else column.dropna()[~is_number.to_numpy()]
        one = odd.iloc[0] if len(odd) else ""
        found = f"text, such as {one!r}" if isinstance(one, str) else f"a {type(one).__name__}, such as {one}"
        convert = "`pd.to_numeric(..., errors='coerce')`, truth values with `.astype(float)`, words with "
        convert += "`.astype('category')`"
        if isinstance(one, str) and not is_number.all() and present.str.fullmatch(MEASURE).all():  # to pandas NaN
            convert = r"`.str.replace(r'[^\d.-]', '', regex=True).astype(float)`, which keeps digits, points and minus"
        raise ValueError(f"Column {column.name!r} must hold numbers, but holds {found}. Convert it with {convert}.")
