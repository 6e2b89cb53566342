"""The first and the last layer of a model of texts: codes to vectors, with the vocabulary, and labels by name.

Only `keras.ops`, so that the same code runs on every backend.
"""

import keras
from keras import ops

from rnn_toolkit._checks import check_share
from rnn_toolkit.texts.batches import TextBatches, text_batches
from rnn_toolkit.texts.vocabulary import Vocabulary


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
    reads, for_steps = "texts", "rt.tag"

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

    def check_batches(self, data) -> None:
        """Raise if the batches were encoded by another vocabulary; `train` calls it."""
        if getattr(data, "vocabulary", self.vocabulary) != self.vocabulary:
            raise ValueError(
                f"The batches were encoded by another vocabulary, {data.vocabulary!r}, than the model was built with, "
                f"{self.vocabulary!r}. Fit one to the training texts, and use it for all of them."
            )

    def batches(self, texts, *, length=None, batch_size=64) -> TextBatches:
        """Return texts as batches of codes, those of like length together."""
        options = {"length": length, "batch_size": batch_size, "bucket": True}
        return text_batches(texts, vocabulary=self.vocabulary, **options)

    def get_config(self):
        """Return the arguments of the constructor."""
        state = keras.saving.serialize_keras_object(self.vocabulary)
        return {**super().get_config(), "vocabulary": state, "word_dropout": self.word_dropout}

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer and its vocabulary."""
        return cls(keras.saving.deserialize_keras_object(config.pop("vocabulary")), **config)
