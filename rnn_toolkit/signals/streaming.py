"""From a signal in chunks to what a model says of it, while it comes in."""

import keras
import numpy as np
import pandas as pd
from keras import ops

from rnn_toolkit._checks import whole_number
from rnn_toolkit.networks.labels import Labels
from rnn_toolkit.networks.pooling import MaskedPooling
from rnn_toolkit.networks.recognition import check_not_nan, find_reader
from rnn_toolkit.signals.layers import LogMelSpectrogram, SequenceReader, SpecAugment, StridedConvolution, Symbols
from rnn_toolkit.signals.models import strides_of
from rnn_toolkit.signals.recognition import decode
from rnn_toolkit.signals.sequences import checked_sequences

# Layers that do to each step the same, whatever stands before it.
STEPWISE = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.SpatialDropout1D,
)


def stream(model: keras.Model, *, steps: int = 8) -> "Stream":
    """Let a model of ours read a signal that comes in chunks; it says the same as of the whole signal at once.

    Args:
        model: A `keras.Sequential` of `build_sequence_classifier` or `build_ctc_recognizer`, of waveforms with
            `streamable=True`, and with one-way layers: what reads backwards has to wait for the end.
        steps: Steps of the output that are computed at once: the fewer, the sooner, but the more work. At 8,000 samples
            a second, a hop of 10 ms and strides of 2, eight steps are 160 ms.

    Returns:
        A `Stream`. `stream.push(chunk)` takes the next samples or steps, as many as there are, and `stream.finish()`
        ends the signal; both return what is new.

    Raises:
        TypeError, ValueError: If the model is none of these, or a layer cannot work in chunks.

    Example:
        >>> from rnn_toolkit.networks.recurrent import recurrent_layers
        >>> from rnn_toolkit.signals.models import build_ctc_recognizer
        >>> model = build_ctc_recognizer((None, 1), "ab", recurrent_layers("gru", (4,), return_sequences=True))
        >>> model.layers[-1].set_weights([np.zeros((4, 3)), np.array([0.0, 5.0, 0.0])])  # it always hears an a
        >>> heard = stream(model, steps=2)
        >>> heard.push(np.ones((3, 1))), heard.push(np.ones((2, 1))), heard.finish()
        ('a', '', '')
    """
    reader = find_reader(model)
    if getattr(reader, "dynamic_range", None) is not None:
        raise ValueError(
            f"Model {model.name!r} measures a recording against its loudest moment, which may be yet to come. Build it "
            "with `streamable=True`."
        )
    if not isinstance(model, keras.Sequential) or not isinstance(reader, SequenceReader):
        raise ValueError(
            f"Model {model.name!r} does not read signals one layer after the other. Pass one of "
            "rt.build_sequence_classifier or rt.build_ctc_recognizer."
        )
    return Stream(model, reader, whole_number(steps, "steps"))


class Stream:
    """What a model has read of a signal, and what it makes of it; made by `stream`.

    Attributes:
        text: All that a recogniser has heard so far.
    """

    def __init__(self, model, reader, steps):
        self._reader, self._model = reader, model
        self._pooling = next((layer for layer in model.layers if isinstance(layer, MaskedPooling)), None)
        self._strides = strides_of(model)
        self._size = steps * self._strides  # of a block
        self._parts, self._head = _split(model)
        shape = (self._size, *reader.step_shape)
        x, valid = keras.Input(shape, batch_size=1), keras.Input((self._size,), batch_size=1, dtype="bool")
        befores = [keras.Input(one.shape[1:], batch_size=1) for part in self._parts for one in part.start()]
        outputs, afters = _Block(self._parts)([x, valid, *befores])
        self._block = keras.Model([x, valid, *befores], [outputs, *afters])
        self.reset()

    def reset(self) -> None:
        """Begin a new signal."""
        self.text, self._last, self._is_over, self._pooled = "", 0, False, None
        self._states = [one for part in self._parts for one in part.start()]
        self._waiting = np.zeros((0, *self._reader.step_shape), "float32")

    def push(self, chunk):
        """Read on.

        Args:
            chunk: The next part of the signal, of any length: `(timesteps, channels)` or `(samples,)`.

        Returns:
            Of a recogniser the text that is new, "" if there is none. Of a classifier a table as `classify` makes it,
            of one row: what it says of all that it has read, or of no row before the first block. Of a classifier of
            steps the probabilities of the new steps, `(steps, classes)`.

        Raises:
            TypeError, ValueError: If the chunk has other channels, is empty or holds NaN, or the signal has ended.
        """
        if self._is_over:
            raise ValueError("The signal has ended. Begin a new one by `reset()`.")
        (chunk,) = checked_sequences([chunk], "chunk")
        if chunk.shape[1:] != self._waiting.shape[1:]:
            raise ValueError(
                f"`chunk` has the shape {chunk.shape}, but the model reads {('any', *self._waiting.shape[1:])}. Pass "
                "the channels that it was trained on."
            )
        waiting = np.concatenate([self._waiting, chunk])
        whole = len(waiting) // self._size * self._size
        self._waiting = waiting[whole:]
        return self._said([self._read(block) for block in np.split(waiting[:whole], whole // self._size or 1) if whole])

    def finish(self):
        """Read what is left, end the signal, and return what is new, as `push` does."""
        left, self._waiting = self._waiting, self._waiting[:0]
        said = self._said([self._read(left)] if len(left) else [])
        self._is_over = True
        return said

    def _read(self, block) -> np.ndarray:
        """Return the steps of a block, `(steps, channels)`, as the layer before the pooling makes them."""
        x = np.zeros((1, self._size, *block.shape[1:]), "float32")
        x[0, : len(block)] = block
        valid = np.arange(self._size)[None] < len(block)
        # Of a single output Keras makes no list.
        answers = keras.tree.flatten(self._block.predict_on_batch([x, valid, *self._states]))
        outputs, *self._states = map(np.asarray, answers)
        check_not_nan(self._model.name, outputs)
        return outputs[0, : -(-len(block) // self._strides)]

    def _said(self, blocks):
        """Return what new steps say."""
        channels = self._block.outputs[0].shape[-1]
        steps = np.concatenate(blocks) if blocks else np.zeros((0, channels), "float32")
        last = self._model.layers[-1]
        if isinstance(last, Symbols):
            codes = steps.argmax(axis=1)
            text = last.text_of(decode(codes, self._last))
            self._last = int(codes[-1]) if len(codes) else self._last
            spaced = " " + text if text and self.text and " " in last.text_of([1, 1]) else text
            self.text += spaced
            return spaced
        if self._pooling is None:
            return steps
        if len(steps):
            self._pool(steps)
        classes = getattr(last, "classes", range(self._model.output_shape[-1]))
        rows = np.zeros((0, len(classes)))
        if self._pooled is not None:
            pooled = np.concatenate([self._sum_of(kind) for kind in self._pooling.kinds])[None].astype("float32")
            for layer in self._head:
                pooled = layer(pooled)
            rows = ops.convert_to_numpy(pooled)
        table = pd.DataFrame(rows, columns=list(classes))
        table.insert(0, "label", [classes[code] for code in rows.argmax(axis=1)], allow_duplicates=True)
        return table

    def _pool(self, steps) -> None:
        """Add steps to what is kept of all of them: the first, the last, the sum, the maximum, the weighted sum."""
        steps = steps.astype("float64")
        now = {"first": steps[0], "last": steps[-1], "sum": steps.sum(axis=0), "max": steps.max(axis=0)}
        now["count"] = len(steps)
        if "attention" in self._pooling.kinds:
            key, query = (
                ops.convert_to_numpy(one).astype("float64") for one in (self._pooling.key, self._pooling.query)
            )
            weights = np.exp(np.tanh(steps @ key) @ query)  # of a sum of tanh: they cannot overflow
            now |= {"weighted": weights @ steps, "weight": weights.sum()}
        old = self._pooled
        if old is not None:
            now["first"], now["max"] = old["first"], np.maximum(now["max"], old["max"])
            now |= {name: now[name] + old[name] for name in ("sum", "count", "weighted", "weight") if name in now}
        self._pooled = now

    def _sum_of(self, kind) -> np.ndarray:
        kept = self._pooled
        if kind == "mean":
            return kept["sum"] / kept["count"]
        return kept["weighted"] / kept["weight"] if kind == "attention" else kept[kind]


class _Part:
    """A layer that works on each step by itself; `start` has its states, and `read` returns those behind a block."""

    def __init__(self, layer):
        self.layer = layer

    def start(self) -> list[np.ndarray]:
        return []

    def read(self, inputs, valid, states):
        return self.layer(inputs), valid, states  # Keras tells the layers within a call that it is none of training


class _PastPart(_Part):
    """A layer in strides, which keeps the last steps before a block: zeros before the first."""

    def __init__(self, layer, step_shape):
        super().__init__(layer)
        self.shape = (1, layer.past, *step_shape)
        self.strides = int(np.ravel(layer.strides)[0])

    def start(self):
        return [np.zeros(self.shape, "float32")]

    def read(self, inputs, valid, states):
        is_valid = valid if len(inputs.shape) == 2 else valid[..., None]
        inputs = ops.concatenate([states[0], ops.where(is_valid, inputs, 0)], axis=1)
        return self.layer.over(inputs), valid[:, :: self.strides], [inputs[:, inputs.shape[1] - self.shape[1] :]]


class _RecurrentPart(_Part):
    """A recurrent layer, which keeps its state."""

    def __init__(self, layer):
        super().__init__(layer)
        config = layer.get_config() | {"return_state": True}
        self.twin = type(layer).from_config(config)
        self.twin.build((1, None, layer.cell.kernel.shape[0]))
        self.twin.set_weights(layer.get_weights())
        self.sizes = keras.tree.flatten(layer.cell.state_size)

    def start(self):
        return [np.zeros((1, size), "float32") for size in self.sizes]

    def read(self, inputs, valid, states):
        outputs, *states = self.twin(inputs, initial_state=states)
        return outputs, valid, states


class _Block(keras.layers.Layer):
    """Read a block of a signal from given states on."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def call(self, inputs):
        outputs, valid, *states = inputs
        afters = []
        for part in self.parts:
            count = len(part.start())
            outputs, valid, new = part.read(outputs, valid, states[:count])
            states, afters = states[count:], [*afters, *new]
        return outputs, afters


def _split(model) -> tuple[list[_Part], list]:
    """Return the layers up to the pooling, as parts that read blocks, and those from the pooling on."""
    parts: list[_Part] = []
    layers = list(model.layers)
    while layers and not isinstance(layers[0], MaskedPooling):
        layer = layers.pop(0)
        if isinstance(layer, LogMelSpectrogram):
            parts.append(_PastPart(layer, ()))
        elif isinstance(layer, StridedConvolution):
            parts.append(_PastPart(layer, (layer.kernel.shape[1] * layer.groups,)))
        elif isinstance(layer, keras.layers.RNN) and not layer.go_backwards and layer.return_sequences:
            parts.append(_RecurrentPart(layer))
        elif isinstance(layer, SequenceReader | Symbols | Labels | SpecAugment) or type(layer) in STEPWISE:
            parts.append(_Part(layer))
        else:
            is_backward = isinstance(layer, keras.layers.Bidirectional) or getattr(layer, "go_backwards", False)
            why = "reads backwards, from an end yet to come" if is_backward else "is not known to work in chunks"
            raise ValueError(
                f"Layer {layer.name!r} ({type(layer).__name__}) {why}. Build the model with one-way layers, such as "
                '`rt.recurrent_layers("gru", (96,), return_sequences=True)`.'
            )
    return parts, layers[1:]
