"""From the shape of a sequence to compiled `keras.Sequential` models that label it, its steps, or write it down."""

import math
import numbers
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from rnn_toolkit.networks.labels import Labels, check_every_step, compile_for_steps
from rnn_toolkit.networks.optimization import make_optimizer
from rnn_toolkit.networks.pooling import MaskedPooling
from rnn_toolkit.networks.recurrent import recurrent_layers
from rnn_toolkit.networks.targets import checked_classes
from rnn_toolkit.signals.batches import SequenceBatches
from rnn_toolkit.signals.layers import LogMelSpectrogram, SequenceReader, SpecAugment, StridedConvolution, Symbols


def build_sequence_classifier(
    input_shape: Sequence[int | None],
    classes: Sequence | int,
    layers: Sequence[keras.layers.Layer] | None = None,
    *,
    adapt_to: SequenceBatches | None = None,
    sampling_rate: int | None = None,
    streamable: bool = False,
    each_step: bool = False,
    pooling: Sequence[str] = ("mean", "max"),
    dropout: float = 0.3,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> keras.Sequential:
    """Build a compiled recurrent classifier of sequences of any length; spectrogram, scales and labels lie inside.

    Padding is masked throughout, so that a sequence gets the same answer whatever it is batched with.

    Args:
        input_shape: `(None, channels)`, or `(None,)` for waveforms.
        classes: The labels in the order of their codes, such as `train.classes`; or their number.
        layers: Layers between the input and the pooling, the last of which returns sequences, with
            `StridedConvolution` and `SpecAugment` before the recurrent ones where wanted. `None` takes a bidirectional
            GRU of 64 units; for waveforms `SpecAugment`, a convolution in strides of two frames, and 96 units.
        adapt_to: Training batches, whose mean and deviation in each channel (or band of the spectrogram) the inputs are
            normalised by; `None` takes the inputs as they are.
        sampling_rate: Of waveforms, samples a second: the model then begins with `LogMelSpectrogram`, 13 cepstral
            coefficients a frame.
        streamable: Whether waveforms are to be read while they come in, by `stream`. If not, a recording's energy is
            measured against its loudest moment, down to 40 dB below it, and, if it gets one label, silence at its ends
            is cut off: what a microphone and a room add then counts less.
        each_step: Whether to label each step, as `sequence_batches` with labels a step trains it, and not the whole.
        pooling: How the steps become one vector, as in `MaskedPooling`.
        dropout: Share of the pooled vector to drop in training.
        optimizer: Any Keras optimizer; `None` takes `make_optimizer()`.

    Returns:
        `keras.Sequential` from sequences to probabilities, `(batch, classes)`, or of steps `(batch, timesteps,
        classes)`, with accuracy as its metric.

    Raises:
        TypeError, ValueError: If the shape or the classes are none, layers return only the last step, or `adapt_to`
            holds sequences of another shape or other classes.

    Example:
        >>> build_sequence_classifier((None, 12), ["a", "b"]).output_shape
        (None, 2)
    """
    classes = checked_classes(classes)
    first = _first_layers(input_shape, classes, sampling_rate, adapt_to, streamable, trim=not each_step)
    layers = _default_layers(sampling_rate) if layers is None else layers
    last = [] if each_step else [MaskedPooling(pooling)]
    model = keras.Sequential(
        [*first, *layers, *last, keras.layers.Dropout(dropout), Labels(classes)], name="sequence_classifier"
    )
    if not each_step:
        model.compile(optimizer or make_optimizer(), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model
    compile_for_steps(model, optimizer or make_optimizer())
    if strides_of(model) > 1:
        raise ValueError(
            f"`layers` make one step of {strides_of(model)}, but each step is to get a label. Leave the strides out."
        )
    return model


def build_ctc_recognizer(
    input_shape: Sequence[int | None],
    alphabet: Sequence,
    layers: Sequence[keras.layers.Layer] | None = None,
    *,
    adapt_to: SequenceBatches | None = None,
    sampling_rate: int | None = None,
    streamable: bool = False,
    dropout: float = 0.3,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> keras.Sequential:
    """Build a compiled model that writes down the symbols in a sequence; it learns by itself where they stand.

    At each step it scores each symbol, and the blank for none. The loss sums over all ways to place a transcript's
    symbols (connectionist temporal classification). A symbol takes a step, and a blank stands between equal neighbours:
    a transcript that needs more steps than strides leave is reported here, before any training.

    Args:
        input_shape: `(None, channels)`, or `(None,)` for waveforms.
        alphabet: The symbols in the order of their codes, such as "0123456789" or a list of words.
        layers: As in `build_sequence_classifier`.
        adapt_to: Training batches of `transcript_batches`: for the normalisation, and to check that they can be learnt.
        sampling_rate, streamable: As in `build_sequence_classifier`, but nothing is cut off.
        dropout: Share of the channels below the symbols to drop in training.
        optimizer: Any Keras optimizer; `None` takes `make_optimizer()`.

    Returns:
        `keras.Sequential` from sequences to logits, `(batch, steps, 1 + len(alphabet))`, with `keras.losses.CTC`.

    Raises:
        TypeError, ValueError: As in `build_sequence_classifier`; or if transcripts of `adapt_to` are too long for their
            sequences.

    Example:
        >>> build_ctc_recognizer((None,), "0123456789", sampling_rate=8000).output_shape
        (None, None, 11)

    Source: Graves et al., 2006, "Connectionist temporal classification", ICML.
    """
    symbols = Symbols(alphabet)
    first = _first_layers(input_shape, symbols.alphabet, sampling_rate, adapt_to, streamable)
    layers = _default_layers(sampling_rate) if layers is None else layers
    model = keras.Sequential([*first, *layers, keras.layers.SpatialDropout1D(dropout), symbols], name="ctc_recognizer")
    check_every_step(model)
    if adapt_to is not None:
        check_transcripts(model, adapt_to)
    model.compile(optimizer or make_optimizer(), loss=keras.losses.CTC())
    return model


def check_transcripts(model: keras.Model, batches: SequenceBatches) -> None:
    """Raise if transcripts need more steps than a recogniser makes of their sequences.

    Args:
        model: A model of `build_ctc_recognizer`.
        batches: What `transcript_batches` made, of validation sequences, say.

    Raises:
        ValueError: If a transcript is too long, with the numbers.
    """
    if getattr(batches, "kind", None) != "transcripts":
        raise ValueError("`batches` holds no transcripts. Make them by `rt.transcript_batches`.")
    codes = batches.targets
    needed = (codes != 0).sum(axis=1) + ((codes[:, 1:] == codes[:, :-1]) & (codes[:, 1:] != 0)).sum(axis=1)
    steps = np.array([len(one) for one in batches.sequences])
    strides = strides_of(model)
    steps = -(-steps // strides)
    wrong = np.flatnonzero(needed > steps)
    if len(wrong):
        first = wrong[0]
        raise ValueError(
            f"{len(wrong)} of {len(steps)} transcripts are too long for their sequences, the first at position {first}:"
            f" its {int((codes[first] != 0).sum())} symbols need {needed[first]} steps (one each, and a blank between "
            f"equal neighbours), but strides of {strides} leave {steps[first]}. Use smaller strides, or leave such "
            "rows out."
        )


def strides_of(model: keras.Model) -> int:
    """Return how many steps of the input become one of the output."""
    return math.prod(np.ravel(getattr(layer, "strides", 1))[0] for layer in model.layers)


def _first_layers(input_shape, labels, sampling_rate, adapt_to, streamable, trim=False) -> list:
    """Return the input, the layer that reads it, and the normalisation."""
    input_shape = tuple(input_shape) if isinstance(input_shape, list | tuple) else (input_shape,)
    has_channels = len(input_shape) == 2 and isinstance(input_shape[1], numbers.Integral)
    if len(input_shape) != 1 and not (has_channels and sampling_rate is None):
        raise ValueError(
            "`input_shape` must be (None, channels), or for waveforms (None,). Received: "
            f"{input_shape} with sampling_rate={sampling_rate}. Pass the shape of one sequence, its length left open."
        )
    whole = {} if streamable else {"dynamic_range": 40.0, "trim": trim}
    is_sound = sampling_rate is not None
    reader = LogMelSpectrogram(sampling_rate, coefficients=13, **whole) if is_sound else SequenceReader()
    first = [keras.Input(input_shape), reader]
    if adapt_to is None:
        return first
    if not isinstance(adapt_to, SequenceBatches):
        raise TypeError(
            f"`adapt_to` must be batches of sequences. Received: {type(adapt_to).__name__}. Pass what "
            "`rt.sequence_batches` or `rt.transcript_batches` made of the training rows."
        )
    if adapt_to.classes not in (None, labels):
        raise ValueError(
            f"`adapt_to` has the classes or symbols {adapt_to.classes}. The model was given {labels}. Pass the same."
        )
    received = adapt_to.sequences[0].shape[1:]
    if received != input_shape[1:]:
        raise ValueError(
            f"`adapt_to` holds sequences of the shape {(None, *received)}. Received `input_shape`: {input_shape}. Pass "
            "the shape of the training sequences."
        )
    mean, variance = _moments(reader, adapt_to)
    return [*first, keras.layers.Normalization(mean=mean, variance=variance)]


def _moments(reader, batches) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each channel over all valid steps."""
    total, squares, count = 0.0, 0.0, 0
    for place in range(len(batches)):
        x = batches[place][0]
        valid = ops.convert_to_numpy(reader.compute_mask(x))
        steps = ops.convert_to_numpy(reader(x)).astype("float64")[valid]  # (steps, channels)
        if not count:
            shift = steps.mean(axis=0)  # so that the squares of a channel far from zero lose no digits
        steps = steps - shift
        total, squares, count = total + steps.sum(axis=0), squares + (steps**2).sum(axis=0), count + len(steps)
    mean = total / count
    variance = squares / count - mean**2
    # A channel that never changes is only centred.
    return mean + shift, np.where(variance > 1e-10 * np.maximum((mean + shift) ** 2, 1e-12), variance, 1.0)


def _default_layers(sampling_rate) -> list:
    options = {"bidirectional": True, "return_sequences": True}
    if sampling_rate is None:
        return recurrent_layers("gru", (64,), **options)
    return [
        SpecAugment(),
        StridedConvolution(96, 5, strides=2),
        *recurrent_layers("gru", (96,), dropout=0.2, **options),
    ]
