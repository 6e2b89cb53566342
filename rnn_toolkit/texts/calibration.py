"""How sure a text classifier is, and how much of it is its network: two numbers, fitted to texts held out."""

import itertools

import keras
import numpy as np

from rnn_toolkit.texts.batches import TextBatches, check_labelled
from rnn_toolkit.texts.layers import LEARNT_WITH, Labels, text_layer_of
from rnn_toolkit.texts.recognition import ends_of, outputs_of

SHARES = np.linspace(0, 1, 25)  # of the network in the mixture
SCALES = np.geomspace(0.25, 4, 33)  # of the mixture: below 1 it is less sure, above it surer


def calibrate(model: keras.Model, validation: TextBatches) -> keras.Model:
    """Choose how sure a classifier is by texts it has not learnt from, and how much of its answer is its network's.

    A network that knows its training texts by heart is too sure of others. Where a linear model stands beside it, what
    the network adds may be worth more or less than in training.

    Args:
        model: A trained model of `build_text_classifier` or `classifier_from_language_model`; not changed.
        validation: Labelled batches of held-out texts, as `text_batches` makes them; their weights count.

    Returns:
        A copy of the model with the smallest log loss on these texts among 33 scales, from 1/4 to 4, and with a linear
        model 25 shares of the network, from 0 to 1; compiled with a fresh optimizer. It trains on as before.

    Raises:
        TypeError, ValueError: If the model is no classifier of texts, or `validation` has no labels, others, or another
            vocabulary.

    Example:
        >>> from rnn_toolkit import build_text_classifier, fit_vocabulary, text_batches
        >>> vocabulary = fit_vocabulary(["good", "bad"])
        >>> texts = text_batches(["bad", "good"], ["no", "yes"], vocabulary=vocabulary)
        >>> model = build_text_classifier(vocabulary, texts.classes)
        >>> calibrate(model, texts).output_shape
        (None, 2)

    Source: Guo et al., 2017, "On calibration of modern neural networks", ICML, temperature scaling.
    """
    embedding, labels = ends_of(model)
    fitting = {"classes": labels.classes, "multi_label": labels.multi_label}
    check_labelled(validation, "validation", vocabulary=embedding.vocabulary, **fitting)
    batches = [validation[place] for place in range(len(validation))]
    targets = np.concatenate([batch[1] for batch in batches])
    weights = np.concatenate([batch[2] for batch in batches]) if len(batches[0]) > 2 else np.ones(len(targets))

    def logits_of(scales):
        copy = _copied(model, scales)
        text_layer_of(copy, Labels).activation = keras.activations.linear
        return np.concatenate(outputs_of(copy, [batch[:1] for batch in batches])).astype("float64")

    def loss_of(scales):
        own, other = scales
        return weights @ _log_loss(own * network + other * linear, targets, labels.multi_label)

    network, linear = logits_of((1.0, 0.0)), logits_of((0.0, 1.0))  # without a linear model the second is zero
    shares = SHARES if linear.any() else [1.0]
    full = sum(LEARNT_WITH) if linear.any() else LEARNT_WITH[0]
    choices = [
        (float(full * scale * share), float(full * scale * (1 - share)))
        for share, scale in itertools.product(shares, SCALES)
    ]
    return _copied(model, min(choices, key=loss_of))


def _copied(model, scales) -> keras.Model:
    """Return a copy of a classifier with other scales."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    if model.compiled:
        copy.compile_from_config(model.get_compile_config())
    text_layer_of(copy, Labels).scales = scales
    return copy


def _log_loss(logits, targets, multi_label) -> np.ndarray:
    """Return minus the log of what each text's labels were given."""
    if multi_label:
        return (np.logaddexp(0, logits) - targets * logits).sum(1)
    return np.logaddexp.reduce(logits, axis=1) - np.take_along_axis(logits, targets[:, None], 1)[:, 0]
