"""Sequences as people have them, as a table with a sequence a row; and splits that keep groups apart.

`datasets/files.py` reads recordings and `.ts` files. Images need nothing of this: an array `(images, rows, pixels)` is
a list of sequences of rows, and
`images.reshape(len(images), -1, 1)` one of pixels.
"""

import numbers
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from rnn_toolkit._checks import has_columns, whole_number


def cut_sequences(
    frame: pd.DataFrame,
    by: str,
    columns: Sequence[str],
    *,
    label: str | None = None,
    window: int | None = None,
    stride: int | None = None,
) -> pd.DataFrame:
    """Cut a long table into sequences: one for each id, or windows of one length.

    Args:
        frame: A row a time step, those of an id in the order of time.
        by: The column of ids. No window goes from one id to the next.
        columns: The columns that become channels.
        label: The column of labels; within a sequence there must be one. `None` gives none: to label each step, cut the
            column of labels in the same way.
        window: Steps of a window; `None` makes one sequence of each id. What is left behind the last whole window is
            dropped, and so are ids that are shorter.
        stride: Steps from one window to the next; `None` takes `window`, so that none overlap.

    Returns:
        A row a sequence: `sequence`, float32 `(timesteps, channels)`; the id; and with `label` the label. Split it by
        id (`split_by_group`): windows of one id resemble each other.

    Raises:
        ValueError: If a column is missing, a row has no id, a sequence has several labels, or all ids are shorter than
            a window.

    Example:
        >>> frame = pd.DataFrame({"machine": ["a"] * 4 + ["b"] * 2, "load": range(6)})
        >>> table = cut_sequences(frame, "machine", ["load"], window=2)
        >>> [(row.machine, row.sequence[:, 0].tolist()) for row in table.itertuples()]
        [('a', [0.0, 1.0]), ('a', [2.0, 3.0]), ('b', [4.0, 5.0])]
    """
    columns = [columns] if isinstance(columns, str) else list(columns)
    has_columns(frame.columns, [by, *columns, *([] if label is None else [label])], "`frame`")
    _check_groups_known(frame, by, "frame")
    for name, count in (("window", window), ("stride", stride)):
        whole_number(1 if count is None else count, name)
    rows = []
    for one, part in frame.groupby(by, sort=False, observed=True):
        values = part[columns].to_numpy("float32")
        size = len(values) if window is None else window
        for first in range(0, len(values) - size + 1, stride or size):
            row = {"sequence": values[first : first + size], by: one}
            if label is not None:
                labels = part[label].iloc[first : first + size].unique()
                if len(labels) > 1:
                    raise ValueError(
                        f"`frame` has the labels {labels[:5].tolist()} within one sequence of {one!r}, from its row "
                        f"{first} on. Cut shorter windows, or label each step."
                    )
                row[label] = labels[0]
            rows.append(row)
    if not rows:
        raise ValueError(f"No id of `frame` has the {window or 1} rows of a window. Lower `window`, or pass more rows.")
    return pd.DataFrame(rows)


def split_by_group(
    table: pd.DataFrame,
    group: str,
    *,
    validation: float | Sequence = 0.15,
    test: float | Sequence = 0.15,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Split rows so that no group (speaker, machine, person) stands on two sides.

    A network soon knows a voice or a machine by heart. Only groups it has never met tell how it does on the next one.

    Args:
        table: Any table with a column of groups.
        group: That column.
        validation: Share of the groups to validate on, at least one; or a list of them; 0 or an empty list for none.
        test: Likewise, to test on.
        seed: Seed by which groups are drawn.

    Returns:
        Training, validation and test rows, in their order.

    Raises:
        TypeError, ValueError: If the column is missing, a row has no group, a group is unknown or asked for twice, or
            none is left to train on.

    Example:
        >>> table = pd.DataFrame({"speaker": ["a", "a", "b", "c"]})
        >>> parts = split_by_group(table, "speaker", validation=["b"], test=["c"])
        >>> [part["speaker"].tolist() for part in parts]
        [['a', 'a'], ['b'], ['c']]
    """
    has_columns(table.columns, [group], "`table`")
    _check_groups_known(table, group, "table")
    groups = table[group].unique().tolist()
    wanted = {"validation": validation, "test": test}
    for name, part in wanted.items():
        if isinstance(part, str) or not isinstance(part, numbers.Real | Iterable):
            raise TypeError(f"`{name}` must be a share, or a list of groups. Received: {part!r}. Pass 0.15, say.")
    named = [one for part in wanted.values() if not isinstance(part, numbers.Real) for one in part]
    unknown = [one for one in named if one not in groups]
    if unknown or len(set(named)) < len(named):
        what = f"{unknown[0]!r} is no group" if unknown else "one group is to stand on two sides"
        raise ValueError(f"{what[0].upper() + what[1:]} of {group!r}. Received: {named}; there are {groups[:20]}.")
    free = [one for one in groups if one not in named]
    np.random.default_rng(seed).shuffle(free)
    for name, part in wanted.items():
        if isinstance(part, numbers.Real):
            if not 0 <= part < 1:
                raise ValueError(f"`{name}` must be a share from 0 up to, but not including, 1. Received: {part}.")
            count = min(max(round(part * len(groups)), 1), len(free)) if part else 0
            wanted[name], free = free[:count], free[count:]
    if not free:
        raise ValueError(
            f"`table` has {len(groups)} groups in {group!r}, and none is left to train on. Name fewer for `validation` "
            "and `test`."
        )
    parts = tuple(table[table[group].isin(ones)] for ones in (free, wanted["validation"], wanted["test"]))
    check_groups(*parts, group=group)
    return parts


def _check_groups_known(table, group, name) -> None:
    """Raise where a row has no group, as it would be left out without a word."""
    if table[group].isna().any():
        raise ValueError(
            f"{int(table[group].isna().sum())} rows of `{name}` have no {group!r}. Fill it in, or drop them."
        )


def check_groups(*parts: pd.DataFrame, group: str) -> pd.DataFrame:
    """Say how many rows of each group each part has, and raise where a group stands in two of them.

    Args:
        parts: Tables, such as the training, validation and test rows of a split made elsewhere.
        group: The column of groups.

    Returns:
        A row a group, a column a part: the number of rows.

    Raises:
        ValueError: If a group stands in two parts, or the column is missing.

    Example:
        >>> parts = pd.DataFrame({"who": ["a", "a"]}), pd.DataFrame({"who": ["b"]})
        >>> check_groups(*parts, group="who").to_numpy().tolist()
        [[2, 0], [0, 1]]
    """
    for part in parts:
        has_columns(part.columns, [group], "A part")
    counts = pd.DataFrame({place: part[group].value_counts() for place, part in enumerate(parts)})
    counts = counts.fillna(0).astype("int64").rename_axis(group).rename_axis("part", axis=1)
    shared = counts.index[(counts > 0).sum(axis=1) > 1].tolist()
    if shared:
        raise ValueError(
            f"{len(shared)} of {len(counts)} groups of {group!r} stand in several parts, such as {shared[0]!r}: what "
            f"is learnt from them is tested on them. Split by `rt.split_by_group(table, {group!r})`."
        )
    return counts


def checked_sequences(sequences, name="sequences") -> list[np.ndarray]:
    """Return sequences as float32 arrays of one shape of steps, or say which of them is none."""
    if isinstance(sequences, str | bytes | Mapping) or not hasattr(sequences, "__iter__"):
        raise TypeError(
            f"`{name}` must be a list, a Series or an array of sequences. Received: {type(sequences).__name__}. Put a "
            "single one into a list."
        )
    rows = []
    for place, sequence in enumerate(sequences):
        try:
            row = np.asarray(sequence)
        except ValueError:  # ragged
            row = np.asarray(None)
        if row.dtype.kind not in "biuf" or row.ndim not in (1, 2):
            raise TypeError(
                f"`{name}` must hold arrays of numbers, (timesteps, channels) or (samples,). Received at position "
                f"{place}: {type(sequence).__name__} of {row.dtype}, shape {row.shape}."
            )
        if not row.size:
            raise ValueError(f"`{name}` has an empty sequence at position {place}. Leave it out.")
        if rows and row.shape[1:] != rows[0].shape[1:]:
            raise ValueError(
                f"`{name}` must have the same channels throughout. Received: shape {rows[0].shape} at position 0, "
                f"{row.shape} at position {place}."
            )
        row = row.astype("float32")
        if not np.isfinite(row).all():
            step, *channel = np.argwhere(~np.isfinite(row))[0].tolist()
            where = f"step {step}" + (f" of channel {channel[0]}" if channel else "")
            raise ValueError(
                f"`{name}` holds {row[(step, *channel)]} at {where} of position {place}. Fill gaps before, "
                "`pd.DataFrame(sequence).interpolate()`, say, or leave the sequence out."
            )
        rows.append(row)
    if not rows:
        raise ValueError(f"`{name}` is empty. Pass at least one sequence.")
    return rows
