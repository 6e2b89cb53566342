"""Which words of a text spoke for a label."""

import keras
import pandas as pd

from rnn_toolkit._checks import one_of
from rnn_toolkit.networks.probing import numpy, slopes_of
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
    checked_texts([text], "text")
    if label is not None:
        one_of(label, "label", labels.classes)
    codes = embedding.vocabulary.encode(text)[None]  # (1, tokens)
    if not codes.size:
        raise ValueError(f"`text` holds no token to explain: {text!r}. Pass a text with words.")
    above = model.layers[model.layers.index(embedding) + 1 :]
    ngrams = next((layer for layer in model.layers if isinstance(layer, NgramEvidence)), None)
    inputs = [embedding(codes)]
    if ngrams:
        inputs += ngrams(codes)

    def logits_of(vectors, linear=None, evidence=None):
        for layer in above:  # there is no padding, and so no mask
            if layer is labels:
                vectors = layer(vectors, linear=linear)
            elif isinstance(layer, WithEvidence):
                vectors = layer([vectors, evidence])
            elif layer is not ngrams:
                vectors = layer(vectors)
        return vectors[0]

    activation, labels.activation = labels.activation, keras.activations.linear
    try:
        probabilities = numpy(activation(logits_of(*inputs)[None]))[0]
        place = int(probabilities.argmax()) if label is None else labels.classes.index(label)
        slopes = slopes_of(lambda *given: _log_odds(logits_of(*given), place, labels.multi_label), inputs)
    finally:
        labels.activation = activation
    scores, *others = [numpy(one * slope)[0].sum(-1) for one, slope in zip(inputs, slopes, strict=True)]
    if ngrams:
        scores += others[1] + ngrams.shares(codes[0]) @ numpy(slopes[1])[0]
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
