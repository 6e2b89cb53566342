"""From a model and texts to labels and tags by name, and to the words that led to them."""

import itertools
import logging
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import one_of
from rnn_toolkit.ngram_layers import NgramEvidence, WithEvidence
from rnn_toolkit.tagging import tag_batches, tokens_of
from rnn_toolkit.text import text_batches
from rnn_toolkit.text_layers import Labels, TokenEmbedding, text_layer_of
from rnn_toolkit.vocabulary import checked_texts


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
    if isinstance(texts, str):
        raise TypeError("`texts` must be a list, a Series or an array of texts. Received: str. Put it into a list.")
    batches = text_batches(
        texts, vocabulary=embedding.vocabulary, length=length, batch_size=batch_size, bucket=True, shuffle=False
    )
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
        >>> from rnn_toolkit.text_models import build_tagger
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


def explain_text(model: keras.Model, text: str, *, label=None) -> pd.DataFrame:
    """Say how much each token of a text spoke for a label, or against it.

    The gradient of the label's logit (the log of its odds) times what the token put into the network: to first order,
    what the logit would lose were the token's vector zero. Where a linear model stands beside the network, the evidence
    that the network reads at the token counts likewise, and what the token adds there is added; the tokens of a pair
    share its weight. It describes the model, not the language.

    Args:
        model: A model of `build_text_classifier`.
        text: A text with at least one token.
        label: The label to explain; `None` takes the one that the model gives.

    Returns:
        A row a token, in order: `token` as it stands in the text, and `score`, above zero where it spoke for the label.
        `plot_explanation` draws it; its `attrs` hold label and probability.

    Raises:
        TypeError, ValueError: If the text is none or empty, the label unknown, or the model no classifier.

    Example:
        >>> from rnn_toolkit import build_text_classifier, fit_vocabulary
        >>> model = build_text_classifier(fit_vocabulary(["good", "bad"]), ["no", "yes"])
        >>> explain_text(model, "so good", label="yes")["token"].tolist()
        ['so', 'good']

    Source: Gradient times input: Denil et al., 2014, "Extraction of salient sentences from labelled documents",
        arXiv:1412.6815.
    """
    embedding, labels = ends_of(model)
    if not isinstance(text, str):
        raise TypeError(f"`text` must be one text, a str. Received: {type(text).__name__}. Explain several one by one.")
    checked_texts([text], "text")
    if label is not None:
        one_of(label, "label", labels.classes)
    codes = embedding.vocabulary.encode(text)[None]  # (1, tokens)
    if not codes.size:
        raise ValueError(f"`text` holds no token to explain: {text!r}. Pass a text with words.")
    first = model.layers.index(embedding) + 1

    ngrams = next((layer for layer in model.layers if isinstance(layer, NgramEvidence)), None)
    linear, evidence = (None, None) if ngrams is None else ngrams(codes, training=False)

    def logits_of(vectors, evidence, linear):
        for layer in model.layers[first:]:  # there is no padding, and so no mask
            if layer is labels:
                vectors = layer(vectors, linear=linear, training=False)
            elif isinstance(layer, WithEvidence):
                vectors = layer([vectors, evidence])
            elif layer is not ngrams:
                vectors = layer(vectors, training=False) if layer._call_has_training_arg else layer(vectors)
        return vectors

    vectors = embedding(codes, training=False)
    activation, labels.activation = labels.activation, keras.activations.linear
    try:
        logits = logits_of(vectors, evidence, linear)
        probabilities = np.array(activation(logits))[0]
        place = int(probabilities.argmax()) if label is None else labels.classes.index(label)

        def slope_at(inputs, which):
            """Return the gradient of the label's log odds with respect to one of the inputs, without its batch axis."""

            def odds_of(given):
                logits = logits_of(*inputs[:which], given, *inputs[which + 1 :])
                return _log_odds(logits[0], place, labels.multi_label)

            return np.array(_gradient(odds_of, inputs[which]))[0]

        inputs = vectors, evidence, linear
        scores = (slope_at(inputs, 0) * np.array(vectors)[0]).sum(-1)
        if ngrams is not None:
            scores += (slope_at(inputs, 1) * np.array(evidence)[0]).sum(-1)
            scores += ngrams.shares(codes[0]) @ slope_at(inputs, 2)
    finally:
        labels.activation = activation
    table = pd.DataFrame({"token": _spelled(text, codes[0].tolist(), embedding.vocabulary), "score": scores})
    table.attrs = {"label": labels.classes[place], "probability": float(probabilities[place])}
    return table


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


def _spelled(text, codes, vocabulary) -> list[str]:
    """Return the tokens of a text as they stand there; subwords, of which some are single bytes, as they decode."""
    if vocabulary.unit != "subword":
        (tokens,) = tokens_of([text], vocabulary)
        if len(tokens) == len(codes):  # lower-casing may change the number of letters ("İ"), and so that of words
            return tokens
    return [vocabulary.decode([code]) for code in codes]


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


def _log_odds(logits, place, multi_label):
    """Return the log of a label's odds, from logits, as a probability near 1 has no slope left."""
    if multi_label:
        return logits[place]
    others = keras.ops.concatenate([logits[:place], logits[place + 1 :]])
    return logits[place] - keras.ops.logsumexp(others)


def _gradient(function, at):
    """Return the gradient of a number with respect to an array."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        with tensorflow.GradientTape() as tape:
            tape.watch(at)
            value = function(at)
        return tape.gradient(value, at)
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(function)(at)
    raise NotImplementedError(
        f"Explanations need gradients of TensorFlow or JAX. The backend is {keras.backend.backend()!r}. "
        "Load the model under one of these."
    )
