"""From a model and texts to labels and tags by name."""

import itertools
import logging
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import pandas as pd

from rnn_toolkit.texts.batches import text_batches
from rnn_toolkit.texts.layers import Labels, TokenEmbedding, text_layer_of
from rnn_toolkit.texts.tags import tag_batches


def classify(
    model: keras.Model, texts: Iterable[str], *, length: int | None = None, batch_size: int = 64
) -> pd.DataFrame:
    """Label texts, with a probability for each class.

    Args:
        model: A model of `build_text_classifier`, as built or loaded from its file.
        texts: List, Series or array of texts; the index of a Series is kept. An empty text is read as one unknown
            token.
        length: Largest number of tokens to read of a text, the last ones, as in `text_batches`; `None` reads all.
        batch_size: Texts read at once.

    Returns:
        A row a text: `label`, and a column for each class with its probability. Where texts may have several labels,
        `label` is a list of those with at least 0.5.

    Raises:
        TypeError, ValueError: If a text is missing or no text, there are none, or the model is no classifier.

    Example:
        >>> from rnn_toolkit import build_text_classifier, fit_vocabulary
        >>> model = build_text_classifier(fit_vocabulary(["good", "bad"]), ["no", "yes"])
        >>> classify(model, ["bad", "so good"]).columns.tolist()
        ['label', 'no', 'yes']
    """
    embedding, labels = ends_of(model)
    batches = text_batches(texts, vocabulary=embedding.vocabulary, length=length, batch_size=batch_size, bucket=True)
    probabilities = np.empty((len(batches.lengths), len(labels.classes)), "float32")
    probabilities[batches.order] = np.concatenate(outputs_of(model, batches))
    if labels.multi_label:
        label = [[one for one, share in zip(labels.classes, row, strict=True) if share >= 0.5] for row in probabilities]
    else:
        label = [labels.classes[code] for code in probabilities.argmax(1)]
    index = texts.index if isinstance(texts, pd.Series) else None
    table = pd.DataFrame(probabilities, columns=labels.classes, index=index)
    table.insert(0, "label", label, allow_duplicates=True)
    return table


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
    rows = [None] * len(batches.tokens)
    outputs = itertools.chain.from_iterable(outputs_of(model, batches))  # each (timesteps, tags)
    for place, output in zip(batches.order, outputs, strict=True):
        rows[place] = output[: len(batches.tokens[place])]
    probabilities = np.concatenate(rows)  # (tokens, tags)
    return pd.DataFrame(
        {
            "text": index.repeat([len(tokens) for tokens in batches.tokens]),
            "token": [token for tokens in batches.tokens for token in tokens],
            "tag": [labels.classes[code] for code in probabilities.argmax(1)],
            "probability": probabilities.max(1),
        }
    )


def outputs_of(model, batches) -> list[np.ndarray]:
    """Return what a model makes of each batch; without the warning that would fill the page.

    A model is compiled anew for new widths of its batches, twice at most. TensorFlow counts that together with other
    models, and takes a few that are asked in a row for one that never stops compiling.
    """
    logger = logging.getLogger("tensorflow")
    logger.addFilter(_is_not_about_tracing)
    try:
        return [model.predict_on_batch(x) for (x,) in batches]
    finally:
        logger.removeFilter(_is_not_about_tracing)


def _is_not_about_tracing(record) -> bool:
    """Say whether TensorFlow logs something else than its count of compilations."""
    return "triggered tf.function retracing" not in record.getMessage()


def ends_of(model, labelled="texts") -> tuple[TokenEmbedding, Labels]:
    """Return a model's first and last layer, or say that it labels something else."""
    ends = text_layer_of(model, TokenEmbedding), text_layer_of(model, Labels)
    num_axes, other = {"texts": (2, "tag"), "tokens": (3, "classify")}[labelled]
    if len(model.output_shape) != num_axes:
        raise ValueError(
            f"Model {model.name!r} does not label {labelled}: its output has the shape {model.output_shape}. Use "
            f"`rt.{other}`."
        )
    return ends
