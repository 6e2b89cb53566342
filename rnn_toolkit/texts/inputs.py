"""Texts as people have them: lists, columns, missing ones."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd


def listed(values, name) -> list:
    """Return what has one entry a text as a list, or say that it has not."""
    is_list = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
    if not is_list or getattr(values, "ndim", 1) != 1:
        shape = f" of shape {tuple(values.shape)}" if hasattr(values, "shape") else ""
        raise TypeError(
            f"`{name}` must be a list, a Series or an array with one entry a text. Received: {type(values).__name__}"
            f"{shape}. Put a single one into a list; of a table, pass the column."
        )
    return list(values)


def is_missing(value) -> bool:
    """Return whether a value is `None`, NaN or another sign that pandas has for what is not there."""
    return np.ndim(value) == 0 and pd.isna(value)


def checked_texts(texts, name="texts") -> list[str]:
    """Return texts as a list, or say which of them is none."""
    texts = listed(texts, name)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            if is_missing(text):
                raise ValueError(f"`{name}` has no text at position {place}: {text!r}. Drop it, or make it ''.")
            raise TypeError(
                f"`{name}` must hold str. Received at position {place}: {type(text).__name__}. Decode bytes by "
                "`text.decode('utf-8')`; turn other things into text by `str(...)`."
            )
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        place = np.searchsorted(np.cumsum([len(text) for text in texts]), error.start, side="right")
        raise ValueError(
            f"`{name}` holds half a character (a surrogate without its partner) at position {place}. Read the file "
            "with the encoding that it has, or with errors='replace'."
        ) from error
    return texts
