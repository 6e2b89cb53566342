"""The proof that nothing leaks: change the later rows of a table, and see what changes in the earlier splits."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd

from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows, split_by_time


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
    out, once with everything after the training rows changed and once with the test rows changed. In columns with
    missing values the last row before the change is hidden, too: filling that looks ahead shows there.

    Args:
        frame: The table, as for `split_by_time`.
        task: Roles of the columns.
        validation: Share, as for `split_by_time`.
        test: Share, as for `split_by_time`.
        gap: Rows kept empty, as for `split_by_time`.
        pipeline: Your own way from a table to `(train, validation, test)`, each a `Windows`, an array, or a tuple of
            arrays (inputs, targets, weights); `None` checks `split_by_time` itself on your table. Of `Windows` it is
            also checked that no row is a target twice.
        seed: Seed of the changes.

    Returns:
        One row per check: `check`, `leaks` (bool) and `evidence` (str). `report.leaks.any()` is the verdict.

    Raises:
        TypeError, ValueError: If the table does not fit the task, or the pipeline returns something else.

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
    task = reference[0].task  # with what the split has chosen
    final = reference if pipeline is None else None
    pipeline = pipeline or (lambda table: split_by_time(table, task, **shares))
    rows = []
    for later, rows_of in ((1, "later"), (2, "test")):
        if not len(reference[later].starts):
            continue
        before_frame, after_frame = _disturb(frame, task, reference[later], seed)
        before, after = _parts(pipeline(before_frame)), _parts(pipeline(after_frame))
        for split, old, new in zip(("training", "validation")[:later], before, after, strict=False):
            for what, share in _differences(old, new).items():
                evidence = (
                    f"{100 * share:.3g} % of the values changed with the {rows_of} rows" if share else "nothing changed"
                )
                rows.append((f"{split} {what} against {rows_of} rows", share > 0, evidence))
    parts = final or _parts(pipeline(frame.copy()))
    if all(isinstance(part, Windows) for part in parts):
        train, validating, testing = map(_target_steps, parts)
        for name, earlier, late in (
            ("training targets among later ones", train, validating),
            ("earlier targets among test targets", train.union(validating), testing),
        ):
            shared = int(earlier.isin(late).sum())
            rows.append((name, shared > 0, f"{shared} rows are targets of both"))
    return pd.DataFrame(rows, columns=["check", "leaks", "evidence"])


def _disturb(frame, task, later, seed) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the frame, and the frame with other numbers and words from the first target of `later` on."""
    layout = later.preparation.lay_out(frame)
    rows, series = layout.rows, layout.series_of(layout.rows)
    is_later = rows >= later.table.first_targets(later.starts)[series]
    last = layout.offsets[:-1] - 1
    np.maximum.at(last, series[~is_later], rows[~is_later])
    is_last = rows == last[series]
    generator = np.random.default_rng(seed)
    before, after = frame.copy(), frame.copy()
    for name in task.changing:
        column = frame[name]
        hidden = column.mask(is_last) if column.isna().any() else column
        before[name] = hidden
        is_category = isinstance(column.dtype, pd.CategoricalDtype)
        if pd.api.types.is_bool_dtype(column) and not is_category:
            after[name] = hidden ^ is_later
        elif pd.api.types.is_numeric_dtype(column):
            size = 10 * (np.nanstd(column.to_numpy(dtype="float64", na_value=np.nan)) or 1.0)
            noise = size * (3 + generator.random(len(frame)))
            after[name] = hidden.astype("float64") + np.where(is_later, noise, 0.0)
        else:
            changed = hidden.astype(object).mask(is_later, "(a word that no other row holds)")
            after[name] = changed.astype("category") if is_category else changed
    return before, after


def _parts(splits) -> tuple:
    """Return what a pipeline returned as `Windows` or tuples of arrays."""
    train, validation, test = splits
    return tuple(part if isinstance(part, Windows) else _arrays(part) for part in (train, validation, test))


def _arrays(split) -> tuple[np.ndarray, ...]:
    arrays = tuple(split) if isinstance(split, tuple | list) else (split,)
    for array in arrays:
        if not hasattr(array, "__array__"):
            raise TypeError(
                f"`pipeline` must return `Windows`, arrays, or tuples of arrays. Received: {type(array).__name__}. "
                "Return the arrays that your model is trained on."
            )
    return tuple(map(np.asarray, arrays))


def _differences(before, after) -> dict[str, float]:
    """Return which share of the inputs, targets and statistics of a split differs between two runs."""
    statistics = {}
    if isinstance(before, Windows):
        statistics["statistics"] = float(before.preparation != after.preparation)
        if len(before.starts) != len(after.starts):
            return {"windows": 1.0, **statistics}
        series = before.table.series_of(before.starts)
        borders = np.flatnonzero(np.diff(series, append=-1))  # the last window of each series
        places = np.concatenate([_spread_out(np.arange(len(series))), _spread_out(borders)])
        before, after = before.cut(before.starts[places]), after.cut(after.starts[places])
    pairs = zip(("inputs", "targets", "weights"), before, after, strict=False)
    return {what: _share_changed(old, new) for what, old, new in pairs} | statistics


def _spread_out(places) -> np.ndarray:
    """Return at most 5,000 of the places, evenly spread: enough to see a leak, and little to cut."""
    return places[np.linspace(0, len(places) - 1, num=min(len(places), 5_000)).astype(int)]


def _share_changed(old, new) -> float:
    if old.shape != new.shape:
        return 1.0
    return float(((old != new) & ((old == old) | (new == new))).mean())  # NaN is not equal to itself


def _target_steps(windows: Windows) -> pd.MultiIndex:
    """Return series and time of every row that is a target of some window."""
    task, table = windows.task, windows.table
    depth = np.zeros(len(table) + 1, dtype="int64")
    np.add.at(depth, windows.starts + task.lookback, 1)
    np.add.at(depth, windows.starts + task.lookback + task.horizon, -1)
    rows = np.flatnonzero(np.cumsum(depth[:-1]) > 0)
    return pd.MultiIndex.from_arrays([np.array(table.names)[table.series_of(rows)], table.times(rows)])
