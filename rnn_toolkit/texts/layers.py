"""The first and the last layer of a model of texts: codes to vectors, with the vocabulary, and labels by name.

Only `keras.ops`, so that the same code runs on every backend.
"""

from collections.abc import Sequence

import keras
from keras import ops

from rnn_toolkit._checks import check_share
from rnn_toolkit.texts.vocabulary import Vocabulary

# What counts of a network's log odds, and of another model's beside it. With all of the latter, only texts on which
# that model errs teach the network much; with none of it, the network learns what is known already. Of 1/4, 1/2 and 1,
# half was best on customer messages in five folds, and better than all on held-out film reviews.
LEARNT_WITH = (1.0, 0.5)


@keras.saving.register_keras_serializable("rnn_toolkit")
class TokenEmbedding(keras.layers.Embedding):
    """Look up a vector for each code, and carry the vocabulary that made the codes.

    Padding is masked.

    Args:
        vocabulary: A `Vocabulary`.
        output_dim: Numbers in a vector.
        word_dropout: Share of the vocabulary to drop in training, each word wherever it stands in the batch.

    Call arguments:
        inputs: Codes, int32 `(batch, timesteps)`.

    Returns:
        `(batch, timesteps, output_dim)`.

    Source: "Embedding dropout" in Gal and Ghahramani, 2016, "A theoretically grounded application of dropout in
        recurrent neural networks", NeurIPS.
    """

    made_by = "rt.build_text_classifier or rt.build_tagger"

    def __init__(self, vocabulary: Vocabulary, output_dim: int, *, word_dropout: float = 0.0, **kwargs):
        kwargs = {"mask_zero": True} | kwargs
        kwargs.pop("input_dim", None)  # it stands in the config of Keras' layer
        super().__init__(len(vocabulary), output_dim, **kwargs)
        check_share(word_dropout, "word_dropout")
        self.vocabulary, self.word_dropout = vocabulary, word_dropout
        self._seeds = keras.random.SeedGenerator() if word_dropout else None

    def call(self, inputs, training=None):
        """Return the vectors."""
        outputs = super().call(inputs)
        if not (training and self.word_dropout):
            return outputs
        kept = keras.random.dropout(ops.ones((self.input_dim, 1)), self.word_dropout, seed=self._seeds)
        return outputs * ops.cast(ops.take(kept, inputs, axis=0), outputs.dtype)

    def compute_output_spec(self, inputs, training=None):
        """Return what Keras' layer does, which knows no `training`."""
        return super().compute_output_spec(inputs)

    def get_config(self):
        """Return the arguments of the constructor."""
        state = keras.saving.serialize_keras_object(self.vocabulary)
        return {**super().get_config(), "vocabulary": state, "word_dropout": self.word_dropout}

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer and its vocabulary."""
        return cls(keras.saving.deserialize_keras_object(config.pop("vocabulary")), **config)


@keras.saving.register_keras_serializable("rnn_toolkit")
class Labels(keras.layers.Dense):
    """Give each label its probability, and carry the labels' names.

    Args:
        classes: The labels in the order of their codes.
        multi_label: Whether a text may have several labels, or none: then each has a probability of its own.
        scales: What the logits of the inputs and those of another model are multiplied by, except in training. Files
            of an earlier version, which fitted both to texts held out, have others than 1 and 1/2.

    Call arguments:
        inputs: `(..., channels)`.
        linear: Logits of another model, `(..., len(classes))`, of which half is added to those of the inputs.

    Returns:
        `(..., len(classes))`; without `multi_label` they add up to 1.
    """

    made_by = TokenEmbedding.made_by

    def __init__(
        self, classes: Sequence, *, multi_label: bool = False, scales: tuple[float, float] = LEARNT_WITH, **kwargs
    ):
        kwargs = {"activation": "sigmoid" if multi_label else "softmax"} | kwargs
        kwargs.pop("units", None)  # it stands in the config of Keras' layer
        super().__init__(len(classes), **kwargs)
        self.classes, self.multi_label, self.scales = list(classes), multi_label, tuple(scales)

    def call(self, inputs, linear=None, training=None):
        """Return the probabilities."""
        own, other = LEARNT_WITH if training else self.scales
        logits = own * ops.add(ops.matmul(inputs, self.kernel), self.bias)
        return self.activation(logits if linear is None else logits + other * linear)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "classes": self.classes, "multi_label": self.multi_label, "scales": self.scales}


def text_layer_of(model: keras.Model, kind: type):
    """Return a model's layer of a kind, such as `Labels`, or say that it has none."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`model` must be a Keras model. Received: {type(model).__name__}. Load one from its file by "
            "`keras.saving.load_model(path)`."
        )
    for layer in model.layers:
        if isinstance(layer, kind):
            return layer
    raise ValueError(
        f"Model {model.name!r} carries no `{kind.__module__}.{kind.__name__}`. Build it with {kind.made_by}, or put "
        "that layer into your own."
    )
