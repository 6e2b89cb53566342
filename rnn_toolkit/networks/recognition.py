"""From a model and whatever it reads to labels by name.

A model's first layer knows how to read what people have: its method `batches` returns batches of `(x,)` in a
`BucketedBatches`, `reads` says of what, and `for_steps` names the function for models that label each step instead.
"""

import contextlib
import itertools
import logging
from collections.abc import Iterable

import keras
import numpy as np
import pandas as pd

from rnn_toolkit.networks.labels import Labels, check_model, find_layer


def classify(model: keras.Model, inputs: Iterable, *, length: int | None = None, batch_size: int = 64) -> pd.DataFrame:
    """Label texts or sequences, with a probability for each class.

    Args:
        model: A model of `build_text_classifier` or `build_sequence_classifier`, as built or loaded from its file.
        inputs: What the model reads, in a list, a Series or an array: texts; arrays `(timesteps, channels)`; or
            recordings, arrays `(samples,)` at the model's sampling rate or paths of WAV files. The index of a Series is
            kept. An empty text is read as one unknown token.
        length: Largest number of tokens or steps to read of each, the last ones, as in `text_batches` and
            `sequence_batches`; `None` reads all.
        batch_size: Rows read at once.

    Returns:
        A row an input: `label`, and a column for each class with its probability. Where texts may have several labels,
        `label` is a list of those with at least 0.5.

    Raises:
        TypeError, ValueError: If an input is missing or of the wrong kind, there are none, or the model is no
            classifier.

    Example:
        >>> from rnn_toolkit import build_text_classifier, fit_vocabulary
        >>> model = build_text_classifier(fit_vocabulary(["good", "bad"]), ["no", "yes"])
        >>> classify(model, ["bad", "so good"]).columns.tolist()
        ['label', 'no', 'yes']
    """
    reader, labels = find_reader(model), find_layer(model, Labels)
    check_num_axes(model, 2, f"label {reader.reads}", reader.for_steps)
    if isinstance(inputs, str):
        raise TypeError(
            f"`{reader.reads}` must be a list, a Series or an array. Received: str. Put a single one into a list."
        )
    batches = reader.batches(inputs, length=length, batch_size=batch_size)
    probabilities = np.stack(outputs_of(model, batches)).astype("float32")
    if labels.multi_label:
        label = [[one for one, share in zip(labels.classes, row, strict=True) if share >= 0.5] for row in probabilities]
    else:
        label = [labels.classes[code] for code in probabilities.argmax(1)]
    index = inputs.index if isinstance(inputs, pd.Series) else None
    table = pd.DataFrame(probabilities, columns=labels.classes, index=index)
    table.insert(0, "label", label, allow_duplicates=True)
    return table


def find_reader(model):
    """Return the layer that knows how to read what people have, or say that the model has none."""
    check_model(model)
    for layer in model.layers:
        if hasattr(layer, "batches"):
            return layer
    raise ValueError(
        f"Model {model.name!r} carries no layer that reads texts or sequences. Build it with "
        "rt.build_text_classifier or rt.build_sequence_classifier, or put such a layer into your own: "
        "`rnn_toolkit.texts.layers.TokenEmbedding`, say."
    )


def check_num_axes(model, num_axes, what, other):
    """Say that a model labels steps where one label is asked for, or the other way round."""
    if len(model.output_shape) != num_axes:
        raise ValueError(
            f"Model {model.name!r} does not {what}: its output has the shape {model.output_shape}. Use `{other}`."
        )


def outputs_of(model, batches) -> list[np.ndarray]:
    """Return what a model makes of each row, in the order of the rows, padding included."""
    with each_model_compiled():
        outputs = [model.predict_on_batch(x) for (x,) in batches]
    rows = [np.empty(0)] * len(batches.lengths)
    for place, row in zip(batches.order, itertools.chain.from_iterable(outputs), strict=True):
        rows[place] = row
    for one in outputs:
        check_not_nan(model.name, one)
    return rows


def check_not_nan(name, outputs) -> None:
    """Raise where a model answers with NaN, whose first place would be taken for its answer."""
    if np.isnan(outputs).any():
        raise ValueError(
            f"Model {name!r} answers with NaN: its training went wrong. Take its best weights (`rt.load_best(run_dir)`)"
            " or let `rt.diagnose` say why."
        )


@contextlib.contextmanager
def each_model_compiled():
    """Keep away a warning that would fill the page.

    A model is compiled anew for new widths of its batches, twice at most. TensorFlow counts that together with other
    models, and takes a few that are asked in a row for one that never stops compiling.
    """
    logger = logging.getLogger("tensorflow")
    logger.addFilter(_is_not_about_tracing)
    try:
        yield
    finally:
        logger.removeFilter(_is_not_about_tracing)


def _is_not_about_tracing(record) -> bool:
    """Say whether TensorFlow logs something else than its count of compilations."""
    return "triggered tf.function retracing" not in record.getMessage()
