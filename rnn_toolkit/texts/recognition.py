"""From a model and texts to tags by name; `networks/recognition.py` gives the labels."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import pandas as pd

from rnn_toolkit.networks.labels import Labels, find_layer
from rnn_toolkit.networks.recognition import check_num_axes, outputs_of
from rnn_toolkit.texts.layers import TokenEmbedding
from rnn_toolkit.texts.tags import tag_batches


def tag(model: keras.Model, texts: Iterable[str | Sequence[str]], *, batch_size: int = 64) -> pd.DataFrame:
    """Tag each token of texts.

    Args:
        model: A model of `build_tagger`, as built or loaded from its file.
        texts: Texts, which the model's vocabulary cuts into words or characters, or lists of tokens; in a list, a
            Series or an array.
        batch_size: Texts read at once.

    Returns:
        A row a token, in order: `text`, its text's position or, of a Series, index; `token` as it stands there; `tag`,
        the most probable one; and its `probability`. A text without tokens has no row.

    Raises:
        TypeError, ValueError: If a text is missing or no text, there are none, or the model is no tagger.

    Example:
        >>> from rnn_toolkit import fit_vocabulary
        >>> from rnn_toolkit.texts.models import build_tagger
        >>> model = build_tagger(fit_vocabulary(["Paris sleeps."]), ["B", "O"])
        >>> tag(model, ["Paris sleeps.", "Really?"])[["text", "token"]].T
                   0       1  2       3  4
        text       0       0  0       1  1
        token  Paris  sleeps  .  Really  ?
    """
    embedding, labels = ends_of(model, "tokens")
    batches = tag_batches(texts, vocabulary=embedding.vocabulary, batch_size=batch_size, bucket=True)
    index = texts.index if isinstance(texts, pd.Series) else pd.RangeIndex(len(batches.tokens))
    rows = zip(outputs_of(model, batches), batches.tokens, strict=True)
    probabilities = np.concatenate([row[: len(tokens)] for row, tokens in rows])  # (tokens, tags)
    return pd.DataFrame(
        {
            "text": index.repeat([len(tokens) for tokens in batches.tokens]),
            "token": [token for tokens in batches.tokens for token in tokens],
            "tag": [labels.classes[code] for code in probabilities.argmax(1)],
            "probability": probabilities.max(1),
        }
    )


def ends_of(model, labelled="texts") -> tuple[TokenEmbedding, Labels]:
    """Return a model's first and last layer, or say that it labels something else."""
    ends = find_layer(model, TokenEmbedding), find_layer(model, Labels)
    num_axes, other = {"texts": (2, "rt.tag"), "tokens": (3, "rt.classify")}[labelled]
    check_num_axes(model, num_axes, f"label {labelled}", other)
    return ends
