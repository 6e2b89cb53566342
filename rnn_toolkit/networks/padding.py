"""Sequences of different length as one array."""

from collections.abc import Iterable

import numpy as np

from rnn_toolkit._checks import whole_number


def pad(sequences: Iterable, *, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Put sequences of different lengths into one array, with zeros on the right, where cuDNN needs them.

    Args:
        sequences: Rows of numbers, or arrays of shape `(timesteps, features)`; some may be empty.
        length: Time steps of the result; `None` takes those of the longest. Of longer sequences the last steps stay.

    Returns:
        The array of shape `(num_sequences, timesteps)` or `(num_sequences, timesteps, features)`, at least one step
        long, int32 for whole numbers and float32 for others; and the lengths, int32 of shape `(num_sequences,)`.

    Raises:
        TypeError, ValueError: If there is no sequence, one does not hold numbers, or their features differ in number.

    Example:
        >>> array, lengths = pad([[5, 6, 7], [], [8]])
        >>> array.tolist(), lengths.tolist()
        ([[5, 6, 7], [0, 0, 0], [8, 0, 0]], [3, 0, 1])
    """
    if length is not None:
        whole_number(length, "length")
    rows, first = [], None
    for place, sequence in enumerate(sequences):
        try:
            row = np.asarray(sequence)
        except ValueError:  # ragged
            row = np.asarray(None)
        if not row.ndim or (row.size and row.dtype.kind not in "biuf"):
            raise TypeError(
                f"`sequences` must hold rows of numbers. Received at position {place}: {type(sequence).__name__} of "
                f"{row.dtype}. Pass lists of numbers or arrays of shape (timesteps, features); encode texts first."
            )
        if row.size and first is not None and row.shape[1:] != rows[first].shape[1:]:
            raise ValueError(
                f"`sequences` must have time steps of one shape. Received: {rows[first].shape[1:]} at position "
                f"{first}, {row.shape[1:]} at position {place}. Give all of them the same features."
            )
        first = place if first is None and row.size else first
        rows.append(row)
    if not rows:
        raise ValueError("`sequences` is empty. Pass at least one sequence.")
    rows = [row if length is None else row[-length:] for row in rows]
    lengths = np.array([len(row) for row in rows], "int32")
    timesteps = length or max(int(lengths.max()), 1)
    kinds = {row.dtype.kind for row in rows if row.size}
    features = rows[first or 0].shape[1:]
    array = np.zeros((len(rows), timesteps, *features), "int64" if kinds <= set("biu") else "float32")
    for row, target in zip(rows, array, strict=True):
        if row.size:
            target[: len(row)] = row
    if array.dtype == "int64":
        edges = [int(edge) for row in rows if row.size for edge in (row.min(), row.max())]
        if edges and max(map(abs, edges)) > np.iinfo("int32").max:
            raise ValueError(f"`sequences` holds {max(edges, key=abs)}, which int32 cannot. Pass floats.")
        array = array.astype("int32")
    return array, lengths
