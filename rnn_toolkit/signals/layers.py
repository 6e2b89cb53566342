"""The layers that read sequences: what is padding, spectrograms, strides; and the symbols that are heard.

Each layer sees the past only and works on steps, so that a signal can also be read in chunks. A layer with strides
makes `ceil(steps / strides)` of its steps: one step for each `strides` of them, of which the last may lack a few. Only
`keras.ops`, so that the same code runs on every backend.
"""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops
from scipy.fft import dct

from rnn_toolkit._checks import check_share, whole_number
from rnn_toolkit.datasets.files import read_recording
from rnn_toolkit.networks.labels import check_codes
from rnn_toolkit.signals.batches import SequenceBatches, checked_alphabet, sequence_batches

FLOOR = 1e-5  # energy of a band that counts as silence; a tone of full amplitude has about a thousand
NEVER = -1e4  # logit of what cannot be: its probability is zero in float32


@keras.saving.register_keras_serializable("rnn_toolkit")
class SequenceReader(keras.layers.Layer):
    """Read sequences of numbers: mask the padding, which is what stands behind the last step that is not zero.

    `sequence_batches` sees to it that a sequence's own zeros at its end are not taken for padding. A sequence of
    padding alone counts as one step of zeros.

    Call arguments:
        inputs: `(batch, timesteps, channels)`, or `(batch, timesteps)` of one channel.

    Returns:
        `(batch, timesteps, channels)`.
    """

    made_by = "rt.build_sequence_classifier or rt.build_ctc_recognizer"
    reads, for_steps = "sequences", "rt.label_steps"
    strides = 1

    def __init__(self, **kwargs):
        super().__init__(**{"autocast": False} | kwargs)  # half precision would take the mark of an end for zero
        self.supports_masking = True

    def build(self, input_shape):
        """Note what a step looks like."""
        self.step_shape = tuple(input_shape[2:])

    def call(self, inputs):
        """Return the sequences, with an axis for channels."""
        inputs = ops.cast(inputs, self.compute_dtype)
        return inputs[..., None] if len(inputs.shape) == 2 else ops.add(inputs, 0)

    def compute_mask(self, inputs, mask=None):
        """Return which steps are no padding, `(batch, timesteps)`."""
        inputs = ops.convert_to_tensor(inputs)
        is_filled = inputs != 0 if len(inputs.shape) == 2 else ops.any(inputs != 0, axis=2)
        places = ops.cumsum(ops.ones_like(is_filled, "int32"), axis=1)
        lengths = ops.max(ops.where(is_filled, places, 1), axis=1, keepdims=True)
        return (places <= lengths)[:, :: self.strides]

    def compute_output_shape(self, input_shape):
        """Return `(batch, timesteps, channels)`."""
        return (*input_shape, 1) if len(input_shape) == 2 else tuple(input_shape)

    def batches(self, sequences, *, length=None, batch_size=64) -> SequenceBatches:
        """Return sequences as batches, those of like length together."""
        batches = sequence_batches(sequences, length=length, batch_size=batch_size, bucket=True)
        received = batches.sequences[0].shape[1:]
        if received != self.step_shape:
            wanted = f"(timesteps, {self.step_shape[0]})" if self.step_shape else "(samples,)"
            raise ValueError(
                f"The model reads sequences of the shape {wanted}. Received: {batches.sequences[0].shape}. Pass the "
                "channels it was trained on; of a stereo recording the mean of both, `recording.mean(axis=1)`."
            )
        return batches


@keras.saving.register_keras_serializable("rnn_toolkit")
class LogMelSpectrogram(SequenceReader):
    """Turn waveforms into the logarithm of the energy in bands of frequency, a frame every few milliseconds.

    `keras.layers.MelSpectrogram` looks behind a recording's end and takes its floor from the loudest recording of the
    batch, so that padding and neighbours change what it makes of a recording. Here a frame ends where its hop ends,
    sees nothing behind it, and silence has a floor of its own.

    Args:
        sampling_rate: Samples a second.
        bands: Bands of the mel scale, from 20 Hz to half the sampling rate.
        frame: Milliseconds of a frame.
        hop: Milliseconds from one frame to the next.
        dynamic_range: Decibels: energy is measured against the loudest band of the whole recording, and what is more
            than this below it counts as silence. So how near the microphone was and what hums in the room matter less,
            but a model with it cannot `stream`. `None` keeps the energy as it is.
        trim: Whether to cut the silence from both ends of the recording: frames within 6 dB of that limit.
        coefficients: Cepstral coefficients: so many of the first of the bands' cosine transform, instead of the bands.
            They tell the outline of a frame's spectrum, which is what is said, and leave out the lines of the voice
            that says it. 13 are usual; `None` returns the bands.

    Call arguments:
        inputs: `(batch, samples)`, padded with zeros on the right.

    Returns:
        `(batch, frames, bands)`, or `(batch, frames, coefficients)`, with `ceil(samples / hop)` frames; what `trim`
        cuts is masked, behind the others.

    Source: Bands: the formula of the Hidden Markov Model Toolkit, as in `keras.layers.MelSpectrogram`. Coefficients:
        Davis and Mermelstein, 1980, "Comparison of parametric representations for monosyllabic word recognition in
        continuously spoken sentences", IEEE Transactions on Acoustics, Speech, and Signal Processing 28(4).
    """

    reads = "recordings"

    def __init__(
        self,
        sampling_rate: int,
        *,
        bands: int = 40,
        frame: float = 25,
        hop: float = 10,
        dynamic_range: float | None = None,
        trim: bool = False,
        coefficients: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dynamic_range, self.trim, self.coefficients = dynamic_range, trim, coefficients
        if trim and not (dynamic_range or 0) > 6:
            raise ValueError(f"`trim` needs a `dynamic_range` above 6 dB. Received: {dynamic_range}. Try 40.")
        self.sampling_rate = whole_number(sampling_rate, "sampling_rate", minimum=1000)
        self.bands, self.frame, self.hop = whole_number(bands, "bands"), frame, hop
        self.strides, self.size = round(sampling_rate * hop / 1000), round(sampling_rate * frame / 1000)
        if not 0 < self.strides <= self.size:
            raise ValueError(
                f"`frame` must be at least as long as `hop`, and that one sample. Received: {frame} and {hop} ms."
            )
        self._bins = 2 ** int(np.ceil(np.log2(self.size)))
        self._window = np.hanning(self.size + 1)[:-1].astype("float32")
        self._weights = mel_weights(self._bins // 2 + 1, bands, sampling_rate)
        if not 0 < (coefficients or 1) <= bands:
            raise ValueError(f"`coefficients` must be 1 to `bands`, {bands}. Received: {coefficients}. Try 13.")
        self._cosines = dct(np.eye(bands, dtype="float32"), norm="ortho")[:, :coefficients]  # (bands, coefficients)

    def build(self, input_shape):
        """Check that waveforms come in."""
        if len(input_shape) != 2:
            raise ValueError(f"Waveforms have the shape (batch, samples). Received: {tuple(input_shape)}.")
        super().build(input_shape)

    @property
    def past(self) -> int:
        """Samples before a hop that its frame sees."""
        return self.size - self.strides

    def call(self, inputs):
        """Return the spectrograms."""
        return self._answer(self._read(inputs)[0])

    def compute_mask(self, inputs, mask=None):
        """Return which frames are neither padding nor cut off, `(batch, frames)`."""
        return self._read(inputs)[1] if self.trim else super().compute_mask(inputs, mask)

    def over(self, inputs):
        """Return the frames of signals that have their past before them."""
        return self._answer(self._log_energy(inputs))

    def _answer(self, frames):
        """Return the coefficients of frames, or the frames."""
        frames = frames if self.coefficients is None else ops.matmul(frames, self._cosines)
        return ops.cast(frames, self.compute_dtype)

    def _log_energy(self, inputs):
        frames = ops.extract_sequences(inputs, self.size, self.strides)  # (batch, frames, size)
        real, imaginary = ops.rfft(ops.multiply(frames, self._window), self._bins)
        energy = ops.matmul(ops.square(real) + ops.square(imaginary), self._weights)
        return ops.log(ops.maximum(energy, FLOOR if self.dynamic_range is None else 1e-30))

    def _read(self, inputs):
        """Return the spectrograms in float32, and which of their frames are left by `trim`."""
        valid = super().compute_mask(inputs)
        inputs = ops.pad(ops.cast(inputs, "float32"), [(0, 0), (self.past, self.strides - 1)])
        frames = self._log_energy(inputs)
        if self.dynamic_range is None:
            return frames, None
        decibel = np.log(10) / 10
        frames = ops.maximum(frames - ops.max(frames, axis=(1, 2), keepdims=True), -self.dynamic_range * decibel)
        if not self.trim:
            return frames, None
        is_loud = ops.logical_and(valid, ops.max(frames, axis=2) > (6 - self.dynamic_range) * decibel)
        places = ops.cumsum(ops.ones_like(is_loud, "int32"), axis=1) - 1  # (batch, frames); also of an unknown length
        first = ops.cast(ops.argmax(is_loud, axis=1), "int32")[:, None]
        last = ops.max(ops.where(is_loud, places, 0), axis=1, keepdims=True)
        frames = ops.take_along_axis(frames, ops.minimum(first + places, last)[..., None], axis=1)
        return frames, places <= last - first

    def compute_output_shape(self, input_shape):
        """Return `(batch, frames, bands)`, or of coefficients."""
        return input_shape[0], strided(input_shape[1], self.strides), self.coefficients or self.bands

    def batches(self, recordings, *, length=None, batch_size=64) -> SequenceBatches:
        """Return recordings, arrays or paths of WAV files, as batches; those of like length together."""
        options = {"sampling_rate": self.sampling_rate, "mono": True}
        rows = [read_recording(one, **options)[0] if isinstance(one, str | Path) else one for one in recordings]
        batches = super().batches(rows, length=length, batch_size=batch_size)
        silent = [place for place, one in enumerate(batches.sequences) if not one.any()]
        if silent:
            raise ValueError(
                f"{len(silent)} of {len(rows)} recordings are silent, all zeros, the first at position {silent[0]}. "
                "There is nothing to hear in them: record them anew, or leave them out."
            )
        return batches

    def get_config(self):
        """Return the arguments of the constructor."""
        names = ("sampling_rate", "bands", "frame", "hop", "dynamic_range", "trim", "coefficients")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("rnn_toolkit")
class StridedConvolution(keras.layers.Conv1D):
    """Convolve in time, in strides: fewer steps for the recurrent layers behind it, each of which says more.

    With a kernel as long as a stride it cuts the sequence into patches. It sees the past only, and padding as zeros.

    Args:
        filters: Channels of the output.
        kernel_size: Steps that an output sees, at least `strides`.
        strides: Steps from one output to the next.

    Call arguments:
        inputs: `(batch, timesteps, channels)`.
        mask: `(batch, timesteps)`, true where a step is valid.

    Returns:
        `(batch, ceil(timesteps / strides), filters)`.
    """

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, **kwargs):
        size, step = (one[0] if isinstance(one, list | tuple) else one for one in (kernel_size, strides))
        kwargs = {"activation": "gelu"} | kwargs | {"padding": "valid"}
        super().__init__(filters, size, strides=step, **kwargs)
        if size < step:
            raise ValueError(
                f"`kernel_size` must be at least `strides`, or steps are passed over. Received: {size} and {step}."
            )
        self.supports_masking = True

    @property
    def past(self) -> int:
        """Steps before a stride that its output sees."""
        return self.kernel_size[0] - self.strides[0]

    def call(self, inputs, mask=None):
        """Return the outputs."""
        if mask is not None:
            inputs = ops.where(mask[..., None], inputs, 0)
        return self.over(ops.pad(inputs, [(0, 0), (self.past, self.strides[0] - 1), (0, 0)]))

    def over(self, inputs):
        """Return the outputs over signals that have their past before them."""
        return super().call(inputs)

    def compute_mask(self, inputs, mask=None):
        """Return which outputs see a valid step of their own."""
        return None if mask is None else mask[:, :: self.strides[0]]

    def compute_output_shape(self, input_shape):
        """Return `(batch, ceil(timesteps / strides), filters)`."""
        return input_shape[0], strided(input_shape[1], self.strides[0]), self.filters


@keras.saving.register_keras_serializable("rnn_toolkit")
class SpecAugment(keras.layers.Layer):
    """In training, blank stretches of time and of neighbouring channels, drawn anew for each sequence of each batch.

    What is left must do, so the network learns to hear each sign of a word, and not one alone. Zero, the mean of inputs
    that were normalised, stands in for what is blanked.

    Args:
        time: Largest share of the steps that one stretch may take.
        channels: Largest share of the channels that one stretch may take.
        count: Stretches of each kind.
        seed: Seed of the draws; `None` draws one.

    Source: Park et al., 2019, "SpecAugment", Interspeech; without time warping.
    """

    def __init__(self, *, time: float = 0.2, channels: float = 0.25, count: int = 2, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        for name, share in (("time", time), ("channels", channels)):
            check_share(share, name)
        self.time, self.channels, self.count, self.seed = time, channels, whole_number(count, "count"), seed
        self._seeds = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, mask=None, training=None):
        """Return the sequences with stretches blanked."""
        if not training:
            return inputs
        batch, steps, channels = ops.shape(inputs)
        lengths = steps if mask is None else ops.sum(ops.cast(mask, "float32"), axis=1, keepdims=True)
        kept = ops.logical_and(
            self._kept(batch, steps, ops.cast(lengths, "float32"), self.time)[..., None],
            self._kept(batch, channels, float(channels), self.channels)[:, None],
        )
        return ops.where(kept, inputs, 0)

    def _kept(self, batch, size, lengths, share):
        """Return which of `size` places stay, `(batch, size)`; stretches lie within the lengths."""
        places = ops.cast(ops.arange(size), "float32")
        kept = ops.ones((batch, size), "bool")
        for _ in range(self.count):
            width, start = (keras.random.uniform((batch, 1), seed=self._seeds) for _ in range(2))
            width = width * share * lengths
            start = start * (lengths - width)
            kept = ops.logical_and(kept, ops.logical_or(places < start, places >= start + width))
        return kept

    def compute_output_shape(self, input_shape):
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self):
        """Return the arguments of the constructor."""
        names = ("time", "channels", "count", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("rnn_toolkit")
class Symbols(keras.layers.Dense):
    """Score, at each step, every symbol of an alphabet and the blank, and carry the alphabet.

    Padding is a blank for certain. So a padded sequence costs what it costs alone, `keras.losses.CTC` needs neither
    lengths nor a mask (it would take each row for as long as the batch, and a mask would be multiplied onto the losses
    of the rows), and decoding reads nothing there.

    Args:
        alphabet: The symbols, in the order of their codes, which count from 1: 0 is the blank.

    Call arguments:
        inputs: `(batch, timesteps, channels)`.
        mask: `(batch, timesteps)`, true where a step is valid.

    Returns:
        Logits, `(batch, timesteps, 1 + len(alphabet))`, without a mask.
    """

    made_by = "rt.build_ctc_recognizer"

    def __init__(self, alphabet: Sequence, **kwargs):
        kwargs.pop("units", None)  # it stands in the config of Keras' layer
        self.alphabet = checked_alphabet(alphabet)
        super().__init__(1 + len(self.alphabet), **kwargs)

    def call(self, inputs, mask=None):
        """Return the logits."""
        logits = super().call(inputs)
        if mask is None:
            return logits
        is_blank = ops.arange(len(self.alphabet) + 1) == 0
        return ops.where(mask[..., None], logits, ops.where(is_blank, 0.0, NEVER))

    def compute_mask(self, inputs, mask=None):
        """Return that the logits need no mask."""

    def check_batches(self, data) -> None:
        """Raise if the batches code symbols otherwise than the model; `train` calls it."""
        check_codes(getattr(data, "classes", None), self.alphabet)

    def text_of(self, codes) -> str:
        """Return the symbols of codes as a text, with spaces between them where some are words."""
        separator = "" if all(isinstance(one, str) and len(one) == 1 for one in self.alphabet) else " "
        return separator.join(str(self.alphabet[code - 1]) for code in codes)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "alphabet": self.alphabet}


def strided(steps: int | None, strides: int) -> int | None:
    """Return the number of steps that strides leave."""
    return None if steps is None else -(-steps // strides)


def mel_weights(bins: int, bands: int, sampling_rate: int) -> np.ndarray:
    """Return what each frequency counts in each band, `(bins, bands)`: triangles on the mel scale, one high."""
    frequencies = np.linspace(0, sampling_rate / 2, bins)
    low, high = 1127 * np.log1p(np.array([20, sampling_rate / 2]) / 700)
    mels = 1127 * np.log1p(frequencies / 700)[:, None]
    edges = np.linspace(low, high, bands + 2)
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype("float32")
