"""What is fitted on the training rows of a table: category codes, levels and scales, as a `Preparation`."""

import numpy as np
import pandas as pd

from rnn_toolkit.tables.task import Preparation


def fit(table, raw: np.ndarray, categories: dict[str, list[str]], train_rows=None) -> Preparation:
    """Fit a preparation on the training rows of a table that is laid out, but not filled yet.

    Args:
        table: A `table.Table` that knows its series, offsets and axis.
        raw: Targets and covariates, missing ones NaN: `(num_rows, num_columns)`. Text columns hold codes; they are
            changed to those of the preparation, in place.
        categories: Text column -> its categories, by code - 1.
        train_rows: Function of the table that returns the end row of the training rows for each series; `None` takes
            all rows.

    Returns:
        The preparation.

    Raises:
        ValueError: If a target has no value or is constant in the training rows, or a season is longer than they are.
    """
    task = table.task
    ends = table.offsets[1:] if train_rows is None else train_rows(table)
    is_training = np.zeros(len(table), dtype=bool)
    for begin, end in zip(table.offsets, ends, strict=False):
        is_training[begin:end] = True
    moments, kept, flagged = {}, {}, []
    for place, name in enumerate((*task.target, *task.observed, *task.known, *task.static)):
        values = raw[is_training, place]
        missing = np.isnan(values)
        if missing.any() and name not in task.static:
            flagged.append(name)
        if name in categories:
            kept[name] = _reorder(categories[name], values[~missing], raw[:, place])
        elif name not in task.target:
            mean, deviation = _moments(values)
            moments[name] = (0.0, 1.0) if np.isnan(mean) else (mean, deviation or 1.0)

    parts = [raw[begin:end, : len(task.target)].T for begin, end in zip(table.offsets, ends, strict=False)]
    seen = [number for number, part in enumerate(parts) if not np.isnan(part).all()]
    pairs = [[_moments(column) for column in parts[number]] for number in seen]
    level, deviation = np.moveaxis(np.reshape(pairs, (len(seen), len(task.target), 2)), -1, 0)
    _check_training(task, deviation, longest=int((ends - table.begins).max()))
    is_missing = np.isnan(level)  # a series may lack one of several targets
    deviation = np.where(deviation == 0, 1.0, deviation)
    scale = np.array([[loss_scale(column, task.season_length) for column in parts[number]] for number in seen])
    after = table.grid[(table.first + ends - table.offsets[:-1])[seen]]
    return Preparation(
        task=task,
        frequency=table.frequency,
        time_zone=table.time_zone,
        train_ends=tuple(one.isoformat() if isinstance(one, pd.Timestamp) else int(one) for one in after),
        categories=kept,
        moments=moments,
        flagged=tuple(flagged),
        series=tuple(table.names[number] for number in seen),
        level=_complete(level, is_missing),
        deviation=_complete(deviation, is_missing),
        scale=_complete(scale, is_missing),
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
            f"`season_length` is {task.season_length}, but the longest series has {longest} training rows, so that no "
            "season has one before it. Pass more rows, a smaller `season_length`, or None."
        )
    for name, column in zip(task.target, deviation.T, strict=True):
        if np.isnan(column).all():
            raise ValueError(
                f"Target {name!r} has no value in the training rows: all are missing (NaN). Pass rows with values, or "
                "smaller shares for validation and test."
            )
        if not np.nanmax(column) > 0:
            raise ValueError(
                f"Target {name!r} is constant over the training rows: there is nothing to learn. Drop that target, or "
                "pass rows in which it changes."
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


def _reorder(categories, codes, column) -> list[str]:
    """Keep the categories seen in training, give the others code 0 in the column, and return the kept ones.

    They are sorted, because the order in which they appear may depend on rows after the training rows.
    """
    kept = sorted({categories[code - 1] for code in np.unique(codes.astype("int64"))})
    code_of = {name: code for code, name in enumerate(kept, start=1)}
    new_code = np.array([0, *(code_of.get(name, 0) for name in categories)], dtype="float32")
    present = ~np.isnan(column)
    column[present] = new_code[column[present].astype("int64")]
    return kept
