"""One vector for a sequence of steps, padding aside."""

from collections.abc import Sequence

import keras
from keras import ops

from rnn_toolkit._checks import one_of

POOLINGS = ("first", "last", "mean", "max", "attention")


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
