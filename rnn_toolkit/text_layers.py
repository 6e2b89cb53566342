"""The layers between texts as codes and labels by name; vocabulary and names lie in them.

Only `keras.ops`, so that the same code runs on every backend.
"""

from collections.abc import Sequence

import keras
from keras import ops

from rnn_toolkit._checks import one_of
from rnn_toolkit.vocabulary import Vocabulary

POOLINGS = ("first", "last", "mean", "max", "attention")
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
class MaskedPooling(keras.layers.Layer):
    """Sum up a sequence in one vector, from its valid steps only.

    Args:
        kinds: What to put side by side: "first", "last", "mean", "max", "attention". A layer that reads backwards has
            read all of the text at the "first" step.

    Call arguments:
        inputs: `(batch, timesteps, channels)`.
        mask: `(batch, timesteps)`, true where a step is valid; Keras hands it on from an embedding.

    Returns:
        `(batch, len(kinds) * channels)`.

    Example:
        >>> import numpy as np
        >>> steps = np.array([[[1.0], [3.0], [100.0]]])
        >>> MaskedPooling(["last", "mean", "max"])(steps, mask=np.array([[True, True, False]])).numpy().tolist()
        [[3.0, 2.0, 3.0]]

    Source: Attention: Yang et al., 2016, "Hierarchical attention networks for document classification", NAACL. Several
        side by side: "concat pooling" in Howard and Ruder, 2018, "Universal language model fine-tuning for text
        classification", ACL.
    """

    def __init__(self, kinds: Sequence[str] = ("mean", "max"), **kwargs):
        super().__init__(**kwargs)
        self.kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        for kind in self.kinds or (None,):
            one_of(kind, "pooling", POOLINGS)
        self.supports_masking = True

    def build(self, input_shape):
        """Make what attention learns."""
        if len(input_shape) != 3:
            raise ValueError(
                f"Pooling needs all steps, (batch, timesteps, channels). Received: shape {tuple(input_shape)}. Pass "
                "layers of which the last returns sequences, such as `rt.recurrent_layers(..., return_sequences=True)`."
            )
        if "attention" in self.kinds:
            channels = input_shape[-1]
            self.key = self.add_weight(shape=(channels, channels), initializer="glorot_uniform", name="key")
            self.query = self.add_weight(shape=(channels,), initializer="glorot_uniform", name="query")

    def call(self, inputs, mask=None):
        """Return the sums."""
        mask = ops.ones(ops.shape(inputs)[:2], "bool") if mask is None else mask
        valid = ops.cast(mask, inputs.dtype)[..., None]  # (batch, timesteps, 1)
        # Below all others, as in Keras (layers/activations/softmax.py), where half precision ends at 65504.
        lowest = -3e4 if self.compute_dtype == "float16" else -1e9
        num_valid = ops.maximum(ops.sum(ops.cast(mask, "int32"), axis=1), 1)
        pooled = []
        for kind in self.kinds:
            if kind == "first":
                pooled.append(inputs[:, 0])
            elif kind == "last":
                pooled.append(ops.take_along_axis(inputs, num_valid[:, None, None] - 1, axis=1)[:, 0])
            elif kind == "mean":
                pooled.append(ops.sum(inputs * valid, axis=1) / ops.cast(num_valid, inputs.dtype)[:, None])
            elif kind == "max":
                highest = ops.max(ops.where(valid > 0, inputs, lowest), axis=1)
                pooled.append(ops.where(ops.any(mask, axis=1)[:, None], highest, 0))
            else:
                scores = ops.matmul(ops.tanh(ops.matmul(inputs, self.key)), self.query)[..., None]
                scores = ops.where(valid > 0, scores, lowest)
                # `ops.softmax` warns where there is but one step.
                weights = ops.exp(scores - ops.logsumexp(scores, axis=1, keepdims=True))
                pooled.append(ops.sum(inputs * weights * valid, axis=1))
        return ops.concatenate(pooled, axis=-1)

    def compute_mask(self, inputs, mask=None):
        """Return that one vector needs no mask."""

    def compute_output_shape(self, input_shape):
        """Return `(batch, len(kinds) * channels)`."""
        return input_shape[0], len(self.kinds) * input_shape[-1]

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "kinds": self.kinds}


@keras.saving.register_keras_serializable("rnn_toolkit")
class Labels(keras.layers.Dense):
    """Give each label its probability, and carry the labels' names.

    Args:
        classes: The labels in the order of their codes.
        multi_label: Whether a text may have several labels, or none: then each has a probability of its own.
        scales: What the logits of the inputs and those of another model are multiplied by, except in training, where
            it is 1 and 1/2. `calibrate` sets them.

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
        if linear is None and own == 1:
            return super().call(inputs)
        logits = own * ops.add(ops.matmul(inputs, self.kernel), self.bias)
        return self.activation(logits if linear is None else logits + other * linear)

    def compute_output_spec(self, inputs, linear=None, training=None):
        """Return what Keras' layer does, which knows no other logits."""
        return super().compute_output_spec(inputs)

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


def check_share(share, name):
    if not 0 <= share < 1:
        raise ValueError(
            f"`{name}` must be a share from 0 up to, but not including, 1. Received: {share}. Pass 0.5, say."
        )
