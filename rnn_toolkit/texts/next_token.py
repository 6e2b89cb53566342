"""The one layer of a language model, whose state goes on from batch to batch.

Only `keras.ops`, so that the same code runs on every backend. Dropout with one mask for all time steps ("locked") is
Keras' own `SpatialDropout1D`, and dropped connections are those of `WeightDrop`.
"""

import keras
from keras import ops

from rnn_toolkit.networks.dropping import WeightDrop


@keras.saving.register_keras_serializable("rnn_toolkit")
class NextToken(keras.layers.Layer):
    """Score, behind each token of a text, every token that may follow.

    Where a row's first code is negative, the row goes on from the same row of the batch before, with the state that
    was left there: so `TokenStreams` marks its batches, and no `stateful=True` is needed. Other rows begin anew, such
    as all rows of a plain array of codes. Training and reading have states of their own, so that a validation within
    an epoch does no harm; they are no part of a saved model.

    Args:
        embedding: A `TokenEmbedding`.
        layers: One-way recurrent layers that return sequences, and any layers that work on each step by itself.
        tied: Whether the embedding also scores the outputs, turned round; a projection to its width is added where the
            last layer has another one.
        batch_size: Rows whose state is kept; further rows always begin anew.

    Call arguments:
        inputs: Codes, int32 `(batch, timesteps)`.

    Returns:
        Logits, `(batch, timesteps, len(vocabulary))`.

    Source: Tied weights: Press and Wolf, 2017, "Using the output embedding to improve language models", EACL.
    """

    made_by = "rt.build_language_model"

    def __init__(self, embedding, layers, *, tied: bool = False, batch_size: int = 64, **kwargs):
        super().__init__(**kwargs)
        self.embedding, self.stack, self.tied, self.batch_size = embedding, list(layers), tied, batch_size
        for place, layer in enumerate(self.stack):
            inner = recurrent_part(layer)
            if isinstance(layer, keras.layers.Bidirectional) or getattr(inner, "go_backwards", False):
                raise ValueError(
                    f"`layers` reads backwards at position {place}. A model that is to say what comes next must not "
                    "see it. Pass one-way layers."
                )
            if isinstance(inner, keras.layers.RNN):
                if not inner.return_sequences:
                    raise ValueError(
                        f"`layers` returns only the last step at position {place} ({inner.name}). "
                        "Pass return_sequences=True."
                    )
                inner.return_state = True
        self.recurrent = [layer for layer in self.stack if isinstance(recurrent_part(layer), keras.layers.RNN)]
        if not self.recurrent:
            raise ValueError("`layers` holds no recurrent layer. Pass some, such as `rt.recurrent_layers(...)`.")
        self.projection = None
        self.head = None if tied else keras.layers.Dense(embedding.input_dim)

    @property
    def layers(self):
        """Layers inside, for `summary(expand_nested=True)`."""
        return [self.embedding, *self.stack, *filter(None, (self.projection, self.head))]

    def build(self, input_shape):
        """Build what is inside, and make room for the states."""
        shape = (None, None, self.embedding.output_dim)
        if not self.embedding.built:
            self.embedding.build(input_shape)
        for layer in self.stack:
            if not layer.built:
                layer.build(shape)
            shape = layer.compute_output_shape(shape)
            shape = shape[0] if isinstance(shape[0], tuple | list) else shape
        if self.tied:
            if shape[-1] != self.embedding.output_dim:
                self.projection = keras.layers.Dense(self.embedding.output_dim, use_bias=False)
                self.projection.build(shape)
            self.bias = self.add_weight(shape=(self.embedding.input_dim,), initializer="zeros", name="bias")
        else:
            self.head.build(shape)
        # With `autocast`, what is assigned within a call in half precision is lost on PyTorch (Keras 3.15).
        self._kept, options = {}, {"initializer": "zeros", "trainable": False, "autocast": False}
        for mode in ("training", "reading"):
            shapes = [(self.batch_size, size) for size in self._state_sizes()]
            self._kept[mode] = [self.add_weight(shape=shape, name=f"{mode}_state", **options) for shape in shapes]

    def _state_sizes(self):
        return keras.tree.flatten([recurrent_part(layer).cell.state_size for layer in self.recurrent])

    def call(self, inputs, training=None):
        """Return the logits, and keep the states."""
        goes_on = inputs[:, :1] < 0  # (batch, 1)
        kept = self._kept["training" if training else "reading"]
        num_rows = ops.shape(inputs)[0]
        states = []
        for state in kept:
            room = ops.concatenate([state, ops.zeros((num_rows, state.shape[-1]), state.dtype)])[:num_rows]
            states.append(ops.where(goes_on, ops.cast(room, self.compute_dtype), 0))
        logits, states = self.read(ops.abs(inputs), states)
        for old, new in zip(kept, states, strict=True):
            new = ops.stop_gradient(ops.cast(new, old.dtype))
            old.assign(ops.concatenate([new, old[num_rows:]])[: self.batch_size])
        return logits

    def read(self, codes, states):
        """Return the logits behind each code and the states behind the last one; `states` are those before the first.

        Args:
            codes: int32 `(batch, timesteps)`.
            states: A list of `(batch, units)`, in the order of the layers; an LSTM has two.
        """
        states, after = list(states), []
        outputs = self.embedding(codes)  # Keras tells the layers within a call whether it is one of training
        outputs = ops.add(outputs, 0)  # a new tensor has no mask: streams hold no padding, and masks cost time
        for layer in self.stack:
            if layer not in self.recurrent:
                outputs = layer(outputs)
                continue
            size = len(keras.tree.flatten(recurrent_part(layer).cell.state_size))
            outputs, *new = layer(outputs, initial_state=states[:size])
            states, after = states[size:], [*after, *new]
        if not self.tied:
            return self.head(outputs), after
        outputs = outputs if self.projection is None else self.projection(outputs)
        return ops.matmul(outputs, ops.transpose(self.embedding.embeddings)) + self.bias, after

    def check_batches(self, data) -> None:
        """Raise if rows go on from the batch before whose state is not kept; `train` calls it."""
        if not isinstance(data, keras.utils.PyDataset) or len(data) < 2:
            return
        codes = ops.convert_to_numpy(data[1][0])
        if (codes[self.batch_size :, :1] < 0).any():
            raise ValueError(
                f"The batches hold {len(codes)} rows that go on from the batch before, but the model keeps the state "
                f"of {self.batch_size}. Build it with `batch_size={len(codes)}`, or cut the batches with "
                f"`rt.language_model_batches(..., batch_size={self.batch_size})`."
            )

    def no_states(self, num_rows):
        """Return the states at the beginning of texts, a list of arrays of zeros, `(num_rows, units)`."""
        states = [ops.zeros((num_rows, size), self.compute_dtype) for size in self._state_sizes()]
        return list(map(ops.convert_to_numpy, states))

    def save_own_variables(self, store):
        """Save what is learnt; states are no part of a model."""
        if self.tied:
            store["bias"] = self.bias

    def load_own_variables(self, store):
        """Load what was saved."""
        if self.tied:
            self.bias.assign(store["bias"])

    def compute_output_shape(self, input_shape):
        """Return `(batch, timesteps, len(vocabulary))`."""
        return (*input_shape, self.embedding.input_dim)

    def get_config(self):
        """Return the arguments of the constructor."""
        embedding, *layers = map(keras.saving.serialize_keras_object, (self.embedding, *self.stack))
        own = {"embedding": embedding, "layers": layers, "tied": self.tied, "batch_size": self.batch_size}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer and what is inside."""
        parts = config.pop("embedding"), *config.pop("layers")
        embedding, *layers = map(keras.saving.deserialize_keras_object, parts)
        return cls(embedding, layers, **config)


def recurrent_part(layer):
    """Return the layer inside a `WeightDrop`, or the layer itself."""
    return layer.layer if isinstance(layer, WeightDrop) else layer


class _Reading(keras.layers.Layer):
    """Read with states in and out."""

    def __init__(self, core):
        super().__init__()
        self.core = core

    def call(self, inputs):
        codes, *states = inputs
        logits, states = self.core.read(codes, states)
        return [ops.cast(logits, "float32"), *states]


def reader_of(core):
    """Return what makes of codes and states, in a list, the logits behind each code and the states there, as arrays.

    It is a model of the same layers, which Keras compiles once.
    """
    if not hasattr(core, "_reader"):
        inputs = [keras.Input((None,), dtype="int32")]
        inputs += [keras.Input(state.shape[1:], dtype=str(state.dtype)) for state in core.no_states(1)]
        # Not by setattr, which would make the layer hold a model that holds the layer.
        vars(core)["_reader"] = keras.Model(inputs, _Reading(core)(inputs))
    return core._reader.predict_on_batch
