"""What can be wrong with the data. Each check takes a `Case` and returns a `Finding`, or nothing.

Where a layer inside the model scales its inputs, what counts is what the first recurrent layer receives.
"""

import keras
import numpy as np

from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.findings import Finding, check, error, percent, warning
from rnn_toolkit.diagnosis.reference_loss import weight_of_each
from rnn_toolkit.diagnosis.sample import FEWEST
from rnn_toolkit.tables.baselines import fit_nlinear, nlinear
from rnn_toolkit.tables.windows import Windows


@check("non-finite values")
def non_finite_values(case: Case) -> Finding | None:
    """NaN and infinities in inputs, targets or weights."""
    for split, sample in case.samples.items():
        inputs = [("inputs", one) for one in sample.inputs]
        for what, values in (*inputs, ("targets", sample.y), ("weights", sample.weight)):
            if values is None or values.dtype.kind != "f":
                continue
            bad = ~np.isfinite(values)
            if what == "targets":  # a weight of zero hides a missing one
                bad &= weight_of_each(sample.weight, bad.shape) != 0
            if bad.any():
                rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
                return error(
                    f"The {split} {what} hold {int(bad.sum()):,} values that are not finite, in {len(rows):,} of "
                    f"{len(sample):,} rows; the first is row {rows[0]} as the batches come.",
                    "One NaN makes the loss of its batch NaN, and then every weight: nothing is learnt from there on.",
                    "Drop such rows: `keep = [np.isfinite(row).all() for row in x]; x, y = x[keep], y[keep]`, and for "
                    "targets the same with y; `rt.split_by_time` fills and marks what is missing.",
                )
    return None


@check("constant target")
def constant_target(case: Case) -> Finding | None:
    """A target that is always the same."""
    y, labels = case.train.y, case.labels("training")
    if y is None or len(y) < 2 or y.dtype.kind not in "biuf":
        return None
    values = y[np.isfinite(y)] if labels is None else labels
    if not len(values) or values.min() != values.max():
        return None
    return error(
        f"Every {'target' if labels is None else 'label'} of the {len(y):,} training rows looked at is {values[0]:g}.",
        "There is nothing to learn: a constant answers everything, and the loss falls to zero for the wrong reason.",
        "Look at how the target is made, `pd.Series(np.ravel(y)).describe()`; shuffle rows unless split by time.",
    )


@check("labels out of range")
def labels_out_of_range(case: Case) -> Finding | None:
    """Codes beyond the model's classes or embeddings."""
    labels = case.labels("training") if case.kind == "classes" else None
    if labels is not None and len(labels) and (labels.max() >= case.width or labels.min() < 0):
        return error(
            f"The labels go from {labels.min()} to {labels.max()}, but the model has {case.width} outputs.",
            "Codes must lie from 0 to the number of classes less one; others give NaN or nonsense without a word.",
            f"Give the last layer {int(labels.max()) + 1} units, or encode the labels anew: "
            "`codes, classes = pd.factorize(np.ravel(labels))`.",
        )
    sizes = [one.input_dim for one in case.layers_of(keras.layers.Embedding)] if case.is_text else []
    lowest, highest = (int(case.train.x.min(initial=0)), int(case.train.x.max(initial=0))) if sizes else (0, 0)
    if lowest < 0:
        return error(
            f"The inputs hold the code {lowest}, but the rows of an embedding are numbered from 0 on.",
            "A code without a row reads another one's, or zeros, or ends the training, depending on the backend.",
            f"Number the codes from 0 on, `x = x + {-lowest}`, and enlarge the embedding by {-lowest}.",
        )
    if sizes and highest >= max(sizes):
        return error(
            f"The inputs hold the code {highest}, but the embedding has {max(sizes)} rows.",
            "A code without a row reads another one's, or zeros, depending on the backend.",
            f"Make the embedding `keras.layers.Embedding({highest + 1}, 32)`, or encode by the model's vocabulary.",
        )
    return None


@check("masked rows")
def masked_rows(case: Case) -> Finding | None:
    """Rows in which nothing is left to read, or which count for nothing."""
    if case.is_language_model:
        return None
    masks = [one.mask_value for one in case.layers_of(keras.layers.Masking)]
    for split, sample in case.samples.items():
        x, weight = sample.x, sample.weight
        shares = {"hold nothing but padding": 0.0, "have a weight of 0": 0.0}
        if case.is_text or (x.ndim == 3 and masks):
            empty = x == (0 if case.is_text else masks[0])
            shares["hold nothing but padding"] = float(empty.reshape(len(x), -1).all(axis=1).mean())
        if weight is not None:
            shares["have a weight of 0"] = float((weight.reshape(len(x), -1) == 0).all(axis=1).mean())
        what = max(shares, key=shares.get)
        if shares[what] >= case.limits["masked_rows"]:
            return warning(
                f"{percent(shares[what])} of the {len(sample):,} {split} rows {what}.",
                "Such rows teach nothing, or teach the label of an empty row, and only seem to be data.",
                "See whence they come, and drop them: `keep = [row.any() for row in x]; x, y = x[keep], y[keep]`.",
            )
    return None


@check("padding side")
def padding_side(case: Case) -> Finding | None:
    """Padding before the sequence instead of behind it."""
    x = case.train.x
    if len(x) < FEWEST or case.is_language_model or case.rescales or not (case.is_text or case.is_sequence):
        return None
    filled = (x != 0) if case.is_text else (x != 0).any(axis=2)  # (rows, timesteps)
    first, behind = filled.argmax(axis=1), filled[:, ::-1].argmax(axis=1)
    # Zeros in between are values of zero, as in demand that comes and goes, and not padding.
    is_whole = filled.any(axis=1) & (filled.sum(axis=1) == x.shape[1] - first - behind)
    run = 1 if case.is_text else 2
    left, right = (float(np.mean(is_whole & (zeros >= run))) for zeros in (first, behind))
    if left <= max(2 * right, case.limits["padded_left"]):
        return None
    return warning(
        f"{percent(left)} of the training rows are padded on the left, {percent(right)} on the right.",
        "Without a mask the padding gets into the state; with one, a GPU's fast kernel wants it on the right.",
        "Pad on the right, `x, lengths = rt.pad(sequences)`, and mask: `keras.layers.Embedding(9, 8, mask_zero=True)`.",
    )


@check("class imbalance")
def class_imbalance(case: Case) -> Finding | None:
    """A class that is rare, without weights."""
    labels, weight = case.labels("training"), case.train.weight
    if labels is None or case.is_language_model or len(labels) > len(case.train):  # most words of a text are no name
        return None
    if weight is not None and len(np.unique(weight[weight > 0])) > 1:
        return None
    counts = np.bincount(np.clip(labels, 0, None))
    counts = counts[counts > 0]
    if len(counts) < 2 or counts.max() <= case.limits["imbalance"] * counts.min():
        return None
    least, most, rare = counts.min(), counts.max(), percent(counts.min() / counts.sum())
    return warning(
        f"The rarest class has {least:,} of {counts.sum():,} training rows ({rare}), the commonest {most:,}.",
        "The loss is nearly as low when the rare class is never answered, and accuracy hides it.",
        'Weigh the classes, `rt.text_batches(texts, labels, vocabulary=vocabulary, class_weight="balanced")`.'
        if case.has_vocabulary
        else "Weigh the rows: `from sklearn.utils import compute_sample_weight; "
        'train = (x, y, compute_sample_weight("balanced", y))`.',
    )


@check("unknown tokens")
def unknown_tokens(case: Case) -> Finding | None:
    """Tokens that the vocabulary does not know."""
    for split, sample in case.samples.items() if case.has_vocabulary else ():
        codes = sample.x[sample.x > 0]
        share = float(np.mean(codes == 1)) if len(codes) else 0.0
        if share > case.limits["unknown"]:
            return warning(
                f"The vocabulary does not know {percent(share)} of the {split} tokens.",
                "All of them are one and the same code to the network.",
                'Fit a larger one on training texts, or one of subwords: `rt.fit_vocabulary(texts, unit="subword")`.',
            )
    return None


@check("input scale")
def input_scale(case: Case) -> Finding | None:
    """Inputs far from mean 0 and deviation 1, where the first layer receives them."""
    if not case.is_sequence or not np.isfinite(case.train.x).all():
        return None
    received = case.received("training")
    if received is None and case.normalizes:
        return None
    received = case.train.x.astype("float64") if received is None else received
    scale = np.sqrt(np.mean(received**2, axis=(0, 1)))  # (features,)
    feature = int(scale.argmax())
    if scale[feature] > case.limits["input_scale"]:
        how = "large saturates gates from the first step on"
    elif 0 < scale[feature] < case.limits["input_smallness"]:
        how = "small drowns in the biases and in what the state says"
    else:
        return None
    return warning(
        f"The first recurrent layer receives values of {scale[feature]:.3g} (root mean square of feature {feature}).",
        f"Weights start at a size that suits inputs of mean 0 and deviation 1; what is so {how}.",
        "Let the model begin with a scaler: `scaler = keras.layers.Normalization(); scaler.adapt(x_train)`.",
    )


@check("target scale")
def target_scale(case: Case) -> Finding | None:
    """Targets that a fresh network is far away from."""
    y = case.train.y
    if (
        case.loss is None
        or not case.loss.is_known
        or case.kind != "numbers"
        or y is None
        or y.dtype.kind not in "fiu"
        or case.rescales
        or not np.isfinite(y).all()
    ):
        return None
    y = y.astype("float64")  # the squares of half precision end at 65,504
    size = float(np.sqrt(np.mean(y**2)))
    if max(size, size / (float(y.std()) or 1.0)) <= case.limits["target_scale"]:
        return None
    return warning(
        f"The targets have a mean of {y.mean():.4g} and a deviation of {y.std():.3g}; a network starts around 0.",
        "The first thousands of steps go into finding the level, with gradients as large as the targets.",
        "Scale them, `y = (y - y_train.mean()) / y_train.std()`, and predictions back, as `rt.build_forecaster` does.",
    )


@check("look-back")
def look_back(case: Case) -> Finding | None:
    """Windows that end before what would help."""
    if case.is_language_model:
        return _truncation(case)
    series, length = _series_of(case)
    if len(series) < 12 * length or not length:
        return None
    error = {many: _linear_error(series, many, reach=4 * length) for many in (length, 2 * length, 4 * length)}
    best = min((2 * length, 4 * length), key=error.get)
    gain = error[length] - error[best]
    if not (
        gain > case.limits["lookback_gain"] * error[length] and gain > case.limits["lookback_worth"] * series.var()
    ):
        return None
    return warning(
        f"A linear model that sees {best} steps back, not {length}, has {percent(gain / error[length])} less error.",
        "What comes next depends on what lies before the window, a season perhaps; no network can see it there.",
        f'Cut longer windows: `rt.ForecastTask("target", horizon=1, lookback={best})`, at least one season and a bit.',
    )


def _truncation(case: Case) -> Finding | None:
    steps = case.train.x.shape[1]
    if steps >= case.limits["truncation"]:
        return None
    return warning(
        f"Gradients go back through {steps} tokens at most.",
        "The state is carried from batch to batch, but what it should keep for longer than that is never learnt.",
        "Cut longer rows: `rt.language_model_batches(text, vocabulary, steps=128)`.",
    )


def _series_of(case: Case) -> tuple[np.ndarray, int]:
    """Return a series that the training windows were cut from in order, and their length, or nothing."""
    train, x = case.train_data, case.train.x
    if isinstance(train, Windows):
        task, table = train.task, train.table
        ends = np.append(table.offsets[1:2], len(table))[0]
        last = int(train.starts[train.starts < ends].max(initial=0)) + task.lookback + task.horizon
        return table.values[table.begins[0] : last, 0].astype("float64"), task.fitted_lookback
    is_array = isinstance(train, tuple | list) and case.train.is_whole and case.is_sequence and len(x) > 2
    if not is_array or x.shape[1] < 2 or not np.array_equal(x[1:, :-1, 0], x[:-1, 1:, 0]):
        return np.zeros(0), 0
    return np.concatenate([x[0, :, 0], x[1:, -1, 0]]).astype("float64"), x.shape[1]


def _linear_error(series, lookback: int, *, reach: int) -> float:
    """Return the squared error of the next step, on the later half, of a linear model fitted on the earlier half."""
    if len(series) - reach < 8 * lookback:
        return np.inf
    rows = np.lib.stride_tricks.sliding_window_view(series[reach - lookback :], lookback + 1)
    half = len(rows) // 2
    weights = fit_nlinear([(rows[:half, :-1], rows[:half, -1:])])
    guessed = nlinear(rows[half:, :-1, None], weights)[:, 0, 0]
    return float(np.mean((guessed - rows[half:, -1]) ** 2))
