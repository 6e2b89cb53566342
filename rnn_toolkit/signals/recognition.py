"""From a model and recordings to transcripts, to where their symbols stand, and to a label a step.

`rt.classify`, which gives a sequence its label, serves texts as well: `networks/recognition.py`.
"""

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops

from rnn_toolkit._checks import whole_number
from rnn_toolkit.networks.labels import Labels, find_layer
from rnn_toolkit.networks.recognition import check_num_axes, find_reader, outputs_of
from rnn_toolkit.signals.layers import Symbols
from rnn_toolkit.signals.models import strides_of


def transcribe(
    model: keras.Model, recording, *, beam_width: int | None = None, batch_size: int = 64
) -> str | list[str]:
    """Write down the symbols in a recording.

    Args:
        model: A model of `build_ctc_recognizer`, as built or loaded from its file.
        recording: An array as the model reads it, `(timesteps, channels)` or `(samples,)` at its sampling rate; or for
            a model of waveforms the path of a WAV file, which is brought to that rate; or a list or a Series of such.
        beam_width: Beginnings of transcripts to follow at once; `None` takes the likeliest symbol at each step, which
            is faster and seldom worse.
        batch_size: Recordings read at once.

    Returns:
        The symbols as a text, joined by spaces where some are words; of several recordings a list of them.

    Raises:
        TypeError, ValueError: If a recording is empty, silent, holds NaN or has other channels than the model reads; or
            if the model is no recogniser.

    Example:
        >>> from rnn_toolkit.signals.models import build_ctc_recognizer
        >>> model = build_ctc_recognizer((None, 1), "ab")
        >>> model.layers[-1].set_weights([np.zeros((128, 3)), np.array([0.0, 5.0, 0.0])])  # it always hears an a
        >>> transcribe(model, np.ones((4, 1)))
        'a'

    Source: Beam search: Graves, 2012, "Supervised sequence labelling with recurrent neural networks", section 7.5.
    """
    symbols = find_layer(model, Symbols)
    if beam_width is not None:
        whole_number(beam_width, "beam_width")
    is_one = _is_one(recording)
    texts = [
        symbols.text_of(_decoded(logits, beam_width))
        for logits in _outputs(model, [recording] if is_one else recording, batch_size)
    ]
    return texts[0] if is_one else texts


def align(model: keras.Model, recording) -> pd.DataFrame:
    """Say where in a recording a model hears each symbol of its transcript.

    A recogniser tells that a symbol is there, often at its end: it need not know where it begins.

    Args:
        model: A model of `build_ctc_recognizer`.
        recording: One recording, as in `transcribe`.

    Returns:
        A row a symbol, in order: `symbol`; `step`, the step of the input at which it is surest (of a waveform
        `seconds`), and its `probability` there. `plot_spectrogram` draws it.

    Raises:
        TypeError, ValueError: As in `transcribe`.

    Example:
        >>> from rnn_toolkit.signals.models import build_ctc_recognizer
        >>> model = build_ctc_recognizer((None, 1), "ab")
        >>> model.layers[-1].set_weights([np.zeros((128, 3)), np.array([0.0, 5.0, 0.0])])
        >>> align(model, np.ones((4, 1)))["symbol"].tolist()
        ['a']
    """
    symbols, reader = find_layer(model, Symbols), find_reader(model)
    (logits,) = _outputs(model, [recording], 1)
    shares = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    best = logits.argmax(axis=1)
    begins = np.flatnonzero(np.diff(best, prepend=-1))
    rows = []
    for begin, end in zip(begins, [*begins[1:], len(best)], strict=True):
        code = best[begin]
        if code:
            step = begin + int(shares[begin:end, code].argmax())
            rows.append({"symbol": symbols.alphabet[code - 1], "step": step, "probability": shares[step, code]})
    table = pd.DataFrame(rows, columns=["symbol", "step", "probability"])
    table["step"] = ((table["step"] + 1) * strides_of(model)).astype("int64")
    rate = getattr(reader, "sampling_rate", None)
    if rate is not None:
        table["step"] = table["step"] / rate
        table = table.rename(columns={"step": "seconds"})
    return table


def label_steps(model: keras.Model, sequences: Iterable, *, batch_size: int = 64) -> pd.DataFrame:
    """Label each step of sequences.

    Args:
        model: A model of `build_sequence_classifier` with `each_step`.
        sequences: As in `classify`.
        batch_size: Sequences read at once.

    Returns:
        A row a step, in order: `sequence`, its sequence's position or, of a Series, index; `step`; `label`, the most
        probable one; and its `probability`.

    Raises:
        TypeError, ValueError: As in `classify`.

    Example:
        >>> from rnn_toolkit.signals.models import build_sequence_classifier
        >>> model = build_sequence_classifier((None, 1), ["off", "on"], each_step=True)
        >>> label_steps(model, [np.ones((2, 1)), np.ones((1, 1))])[["sequence", "step"]].to_numpy().tolist()
        [[0, 0], [0, 1], [1, 0]]
    """
    labels = find_layer(model, Labels)
    check_num_axes(model, 3, "label steps", "rt.classify")
    rows = _outputs(model, sequences, batch_size)
    index = sequences.index if isinstance(sequences, pd.Series) else pd.RangeIndex(len(rows))
    probabilities = np.concatenate(rows)  # (steps, classes)
    lengths = [len(row) for row in rows]
    return pd.DataFrame(
        {
            "sequence": index.repeat(lengths),
            "step": np.concatenate([np.arange(length) for length in lengths]),
            "label": [labels.classes[code] for code in probabilities.argmax(1)],
            "probability": probabilities.max(1),
        }
    )


def decode(codes, last: int = 0) -> list[int]:
    """Return the symbols that the likeliest codes of steps stand for: repeats count once, and blanks not at all.

    Args:
        codes: Code of each step; 0 is the blank.
        last: Code of the step before.

    Example:
        >>> decode([0, 1, 1, 0, 1, 2])
        [1, 1, 2]
    """
    before = np.concatenate([[last], codes[:-1]]) if len(codes) else codes
    return [int(code) for code, old in zip(codes, before, strict=True) if code and code != old]


def _is_one(recording) -> bool:
    """Say whether something is one recording, and not several."""
    if isinstance(recording, str | Path):
        return True
    if isinstance(recording, pd.Series):
        return recording.dtype.kind in "iuf"
    if isinstance(recording, np.ndarray):
        return recording.dtype != object and recording.ndim < 3
    return False


def _outputs(model, sequences, batch_size) -> list[np.ndarray]:
    """Return what a model makes of each sequence, padding cut off."""
    batches = find_reader(model).batches(sequences, batch_size=batch_size)
    strides = strides_of(model)
    rows = zip(outputs_of(model, batches), batches.lengths, strict=True)
    return [row[: -(-length // strides)] for row, length in rows]


def _decoded(logits, beam_width) -> list[int]:
    if beam_width is None:
        return decode(logits.argmax(axis=1))
    options = {"strategy": "beam_search", "beam_width": beam_width, "mask_index": 0}
    paths, _ = ops.ctc_decode(logits[None], np.array([len(logits)], "int32"), **options)
    codes = ops.convert_to_numpy(paths)[0, 0]
    return codes[codes > 0].tolist()
