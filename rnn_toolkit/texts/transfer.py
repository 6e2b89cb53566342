"""From a language model to a classifier: what it has learnt of the language is copied."""

from collections.abc import Sequence

import keras
import numpy as np

from rnn_toolkit.networks.labels import find_layer
from rnn_toolkit.texts.batches import TextBatches
from rnn_toolkit.texts.models import build_text_classifier
from rnn_toolkit.texts.next_token import NextToken, recurrent_part


def classifier_from_language_model(
    language_model: keras.Model,
    classes: Sequence | int,
    *,
    pooling: Sequence[str] = ("last", "mean", "max"),
    dropout: float = 0.3,
    multi_label: bool = False,
    linear: TextBatches | None = None,
    ngrams: int | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> keras.Model:
    """Build a classifier that reads as a language model does, with a new head; train it with `fine_tune`.

    Few labels go further where a network has learnt from much text without labels how the language works. The
    vocabulary, the embedding and all layers of the language model are copied, with their weights and what they drop;
    it stays as it is.

    Args:
        language_model: A model of `build_language_model`, trained.
        classes: The labels in the order of their codes, such as `train.classes`; or their number.
        pooling: How the steps become one vector: some of "first", "last", "mean", "max", "attention", side by side.
        dropout: Share of the embedding's channels, and of the pooled vector, to drop in training, beside what the
            copied layers drop.
        multi_label: Whether a text may have several labels, or none.
        linear, ngrams: A linear model of runs of tokens beside the network, as in `build_text_classifier`; the copied
            layers read its evidence by weights that start at zero.
        optimizer: Any Keras optimizer; `None` takes `make_optimizer()`. `fine_tune` makes its own.

    Returns:
        A model as `build_text_classifier` returns it: from codes to probabilities.

    Raises:
        TypeError, ValueError: If the model is no language model, there are fewer than two classes, a pooling is
            unknown, or `linear` is no batches of the same vocabulary and classes.

    Example:
        >>> from rnn_toolkit import build_language_model, fit_vocabulary, recurrent_layers
        >>> layers = recurrent_layers("gru", (8,), return_sequences=True)
        >>> language_model = build_language_model(fit_vocabulary(["so good", "so bad"]), layers)
        >>> classifier_from_language_model(language_model, ["bad", "good"]).output_shape
        (None, 2)

    Source: Howard and Ruder, 2018, "Universal language model fine-tuning for text classification", ACL.
    """
    core = find_layer(language_model, NextToken)
    layers = [_copied(layer) for layer in core.stack]
    model = build_text_classifier(
        core.embedding.vocabulary,
        classes,
        layers,
        embedding=keras.ops.convert_to_numpy(core.embedding.embeddings),
        pooling=pooling,
        dropout=dropout,
        word_dropout=core.embedding.word_dropout,
        multi_label=multi_label,
        linear=linear,
        ngrams=ngrams,
        optimizer=optimizer,
    )
    for layer, learnt in zip(layers, core.stack, strict=True):
        layer.set_weights(list(map(_widened, learnt.get_weights(), [one.shape for one in layer.get_weights()])))
    return model


def _copied(layer):
    """Return a new layer of the same settings that returns its outputs only."""
    config = layer.get_config()
    config.pop("name")  # a name from a file may meet the same one, given anew
    config.get("layer", {}).pop("build_config", None)  # a wrapped layer may now read more than it did
    new = type(layer).from_config(config)
    if isinstance(recurrent_part(new), keras.layers.RNN):
        recurrent_part(new).return_state = False
    return new


def _widened(weight, shape):
    """Return a weight with zeros for what the layer did not read before, which is the evidence of a linear model."""
    return np.pad(weight, [(0, wanted - size) for wanted, size in zip(shape, weight.shape, strict=True)])
