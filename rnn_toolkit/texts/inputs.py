"""Texts as people have them: lists, columns, missing ones."""

import numpy as np

from rnn_toolkit.networks.targets import is_missing, listed


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
