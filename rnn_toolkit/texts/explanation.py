"""Which words of a text spoke for a label."""

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import one_of
from rnn_toolkit.texts.inputs import checked_texts
from rnn_toolkit.texts.ngrams import NgramEvidence, WithEvidence
from rnn_toolkit.texts.recognition import ends_of


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


def _spelled(text, codes, vocabulary) -> list[str]:
    """Return the tokens of a text as they stand there."""
    tokens = vocabulary.split(text)
    if len(tokens) == len(codes):  # lower-casing may change the number of letters ("İ"), and so that of words
        return tokens
    return [vocabulary.decode([code]) for code in codes]


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
