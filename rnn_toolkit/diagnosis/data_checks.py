"""What can be wrong with the data. Each check takes a `Case` and returns a `Finding`, or nothing.

Where a layer inside the model scales its inputs, what counts is what the first recurrent layer receives.
"""

import keras
import numpy as np

from rnn_toolkit.diagnosis.findings import Finding, percent
from rnn_toolkit.diagnosis.reading import some_batches
from rnn_toolkit.tables.windows import Windows

FEWEST = 20  # rows, of which a share can be told


def non_finite_values(case) -> Finding | None:
    """NaN and infinities in inputs, targets or weights."""
    for split, sample in case.samples.items():
        for what, values in (
            *(("inputs", one) for one in sample.inputs),
            ("targets", sample.y),
            ("weights", sample.weight),
        ):
            if values is None or values.dtype.kind != "f":
                continue
            bad = ~np.isfinite(values)
            if what == "targets" and sample.weight is not None:  # a weight of zero hides a missing target
                weight = sample.weight.reshape(sample.weight.shape + (1,) * (bad.ndim - sample.weight.ndim))
                bad &= np.broadcast_to(weight != 0, bad.shape)
            if bad.any():
                rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
                return Finding(
                    "error",
                    f"The {split} {what} hold {int(bad.sum()):,} values that are not finite, in {len(rows):,} of "
                    f"{len(sample):,} rows; the first is row {rows[0]} as the batches come.",
                    "One NaN makes the loss of its batch NaN, and then every weight: nothing is learnt from there on.",
                    "Fill or drop them before training: `keep = np.isfinite(x).all(axis=(1, 2)); x, y = x[keep], "
                    "y[keep]`; "
                    "`rt.split_by_time` fills missing values and marks them.",
                )
    return None


def constant_target(case) -> Finding | None:
    """A target that is always the same."""
    y = case.train.y
    if y is None or len(y) < 2:
        return None
    labels = case.labels(case.train)
    if labels is not None:
        is_constant, what = len(labels) > 0 and labels.min() == labels.max(), "label"
    else:
        values = y[np.isfinite(y)]
        is_constant, what = y.dtype.kind in "fiu" and len(values) > 0 and np.ptp(values) == 0, "target"
    if not is_constant:
        return None
    value = labels[0] if labels is not None else values[0]
    return Finding(
        "error",
        f"Every {what} of the {len(y):,} training rows looked at is {value:g}.",
        "There is nothing to learn: a constant answers everything, and the loss falls to zero for the wrong reason.",
        "Look at how the target is made, and shuffle before a split that is not by time: `pd.Series(y).describe()`.",
    )


def labels_out_of_range(case) -> Finding | None:
    """Codes beyond the model's classes or embeddings."""
    if case.kind == "classes":
        width, labels = case.outputs["training"][0].shape[-1], case.labels(case.train)
        if labels is not None and len(labels) and (labels.max() >= width or labels.min() < 0):
            return Finding(
                "error",
                f"The labels go from {labels.min()} to {labels.max()}, but the model has {width} outputs.",
                "Codes must lie from 0 to the number of classes less one; others give NaN or nonsense without a word.",
                f"Give the last layer {int(labels.max()) + 1} units, or encode the labels anew: "
                "`codes, classes = pd.factorize(labels)`.",
            )
    if case.is_text:
        sizes = [one.input_dim for one in case.layers_of(keras.layers.Embedding)]
        highest = int(case.train.x.max(initial=0))
        if sizes and highest >= max(sizes):
            return Finding(
                "error",
                f"The inputs hold the code {highest}, but the embedding has {max(sizes)} rows.",
                "A code without a row reads another one's, or zeros, depending on the backend.",
                f"Make the embedding `keras.layers.Embedding({highest + 1}, ...)`, or encode by the model's "
                f"vocabulary.",
            )
    return None


def constant_inputs(case) -> Finding | None:
    """Features that never change."""
    x = case.train.x
    if x.dtype.kind != "f" or x.ndim != 3 or len(x) < FEWEST:
        return None
    flat = x.reshape(-1, x.shape[2])
    still = np.flatnonzero(np.ptp(flat, axis=0) == 0)
    if not len(still):
        return None
    if len(still) == x.shape[2]:
        return Finding(
            "error",
            f"None of the {x.shape[2]} input features ever changes in the {len(x):,} training rows looked at.",
            "A network that is shown the same thing each time can only answer with a constant.",
            "Look at how the inputs are made, `pd.DataFrame(x[0]).describe()`, from the table on.",
        )
    return Finding(
        "note",
        f"{len(still)} of {x.shape[2]} input features never change, such as number {still[0]}.",
        "A constant tells nothing; scaled by its deviation it would divide by zero.",
        f"Leave them out: `x = np.delete(x, {still[:5].tolist()}, axis=2)`.",
    )


def input_scale(case) -> Finding | None:
    """Inputs far from mean 0 and deviation 1, where the first layer receives them."""
    x = case.train.x
    if x.dtype.kind != "f" or x.ndim != 3 or not np.isfinite(x).all():
        return None
    received = case.received("training")
    if received is None and case.normalizes:
        return None
    scale = np.sqrt(np.mean((x if received is None else received).astype("float64") ** 2, axis=(0, 1)))  # (features,)
    large, small = case.limits["input_scale"], case.limits["input_smallness"]
    if scale.max() <= large and (scale.max() >= small or not scale.max()):
        return None
    feature, is_large = int(scale.argmax()), scale.max() > large
    how = "saturates gates from the first step on" if is_large else "drowns in the biases and in what the state says"
    return Finding(
        "warning",
        f"The first recurrent layer receives values of {scale[feature]:.3g} (root mean square of feature {feature}); "
        "about 1 is wanted.",
        f"Weights start at a size that suits inputs of mean 0 and deviation 1; what is so "
        f"{'large' if is_large else 'small'} "
        f"{how}.",
        "Put a scaler fitted on the training rows into the model, first: `scaler = keras.layers.Normalization(); "
        "scaler.adapt(x_train)`.",
    )


def target_scale(case) -> Finding | None:
    """Targets that a fresh network is far away from."""
    y = case.train.y
    if case.kind != "numbers" or y is None or y.dtype.kind not in "fiu" or case.rescales or not np.isfinite(y).all():
        return None
    size = float(np.sqrt(np.mean(y.astype("float64") ** 2)))
    spread = float(y.std()) or 1.0
    if max(size, size / spread) <= case.limits["target_scale"]:
        return None
    return Finding(
        "warning",
        f"The targets have a mean of {y.mean():.4g} and a deviation of {y.std():.3g}, while a network starts at "
        f"outputs "
        "around 0.",
        "The first thousands of steps go into finding the level, with gradients as large as the targets.",
        "Scale them by the training rows, `y = (y - y_train.mean()) / y_train.std()`, and scale predictions back; "
        "`rt.build_forecaster` does it inside the model.",
    )


def padding_side(case) -> Finding | None:
    """Padding before the sequence instead of behind it."""
    left, right = _padded_sides(case)
    if left <= max(right, 0.05):
        return None
    return Finding(
        "warning",
        f"{percent(left)} of the training rows are padded on the left, {percent(right)} on the right.",
        "A network that is not told about the padding carries it into the state, and with a mask only padding on the "
        "right lets a GPU use its fast kernel.",
        "Pad on the right, and mask: `codes, lengths = rt.pad(sequences)`, `keras.layers.Embedding(..., "
        "mask_zero=True)`.",
    )


def _padded_sides(case) -> tuple[float, float]:
    """Return the shares of rows with runs of zeros before and behind what they hold."""
    x = case.train.x
    if len(x) < FEWEST or case.is_language_model or not (case.is_text or (x.ndim == 3 and x.dtype.kind == "f")):
        return 0.0, 0.0
    empty = (x == 0) if x.ndim == 2 else (x == 0).all(axis=2)  # (rows, timesteps)
    filled = ~empty.all(axis=1)
    run = 1 if case.is_text else 2
    return float((empty[:, :run].all(axis=1) & filled).mean()), float((empty[:, -run:].all(axis=1) & filled).mean())


def masked_rows(case) -> Finding | None:
    """Rows in which nothing is left to read, or which count for nothing."""
    for split, sample in case.samples.items():
        x = sample.x
        rows = np.zeros(len(sample), "bool")
        if case.is_text and not case.is_language_model:
            rows |= (x == 0).all(axis=1)
        elif x.ndim == 3 and case.layers_of(keras.layers.Masking):
            value = case.layers_of(keras.layers.Masking)[0].mask_value
            rows |= (x == value).all(axis=(1, 2))
        weightless = np.zeros(len(sample), "bool")
        if sample.weight is not None and not case.is_language_model:
            weightless = (sample.weight.reshape(len(sample), -1) == 0).all(axis=1)
        share, what = float(rows.mean()), "hold nothing but padding"
        if weightless.mean() > share:
            share, what = float(weightless.mean()), "have a weight of 0"
        if share >= case.limits["masked_rows"]:
            return Finding(
                "warning",
                f"{percent(share)} of the {len(sample):,} {split} rows {what}.",
                "Such rows teach nothing, or teach the label of an empty row, and only seem to be data.",
                "Find out where they come from, and drop them: `keep = (x != 0).any(axis=1); x, y = x[keep], y[keep]`.",
            )
    return None


def padding_share(case) -> Finding | None:
    """Batches that are mostly padding."""
    x = case.train.x
    if not case.is_text or case.is_language_model or not len(x):
        return None
    batches = some_batches(case.data["training"])
    share = float(np.mean([np.mean(x == 0) for x, _, _ in batches]))
    if share < case.limits["padding"]:
        return None
    return Finding(
        "note",
        f"{percent(share)} of the steps in a batch are padding.",
        "Padding costs as much time as text.",
        "Put texts of like length together: `rt.text_batches(texts, labels, vocabulary=vocabulary, bucket=True)`.",
    )


def unknown_tokens(case) -> Finding | None:
    """Tokens that the vocabulary does not know."""
    if case.embedding is None:
        return None
    for split, sample in case.samples.items():
        codes = sample.x[sample.x > 0]
        share = float(np.mean(codes == 1)) if len(codes) else 0.0
        if share > case.limits["unknown"]:
            return Finding(
                "warning",
                f"The vocabulary does not know {percent(share)} of the {split} tokens.",
                "All of them are one and the same code to the network.",
                "Fit a larger one on the training texts, or one of subwords: `rt.fit_vocabulary(texts, "
                'unit="subword")`.',
            )
    return None


def class_imbalance(case) -> Finding | None:
    """A class that is rare, without weights."""
    labels = case.labels(case.train)
    if labels is None or not len(labels) or case.is_language_model or case.train.y.ndim > 2:
        return None
    if case.train.weight is not None and np.ptp(case.train.weight[case.train.weight > 0]) > 0:
        return None
    counts = np.bincount(np.clip(labels, 0, None))
    counts = counts[counts > 0]
    if len(counts) < 2 or counts.max() <= case.limits["imbalance"] * counts.min():
        return None
    rare = percent(counts.min() / counts.sum())
    return Finding(
        "warning",
        f"The rarest class has {counts.min():,} of {counts.sum():,} training rows ({rare}), the most frequent "
        f"{counts.max():,}.",
        "The loss is nearly as low when the rare class is never answered, and accuracy hides it.",
        'Weigh the classes, `rt.text_batches(..., class_weight="balanced")` or `fit(..., class_weight={...})`, and '
        "judge "
        "by the F1 score of each class.",
    )


def look_back(case) -> Finding | None:
    """Windows that end before what would help."""
    if case.is_language_model:
        return _truncation(case)
    series, length = _series_of(case)
    if series is None or len(series) < 12 * length:
        return None
    horizon = 1 if case.train.y.ndim < 2 else case.train.y.shape[1]
    short = _linear_error(series, length, horizon, reach=4 * length)
    longer = {2 * length: 0.0, 4 * length: 0.0}
    longer = {many: _linear_error(series, many, horizon, reach=4 * length) for many in longer}
    best = min(longer, key=longer.get)
    gain = short - longer[best]
    if not (gain > case.limits["lookback_gain"] * short and gain > case.limits["lookback_worth"] * series.var()):
        return None
    return Finding(
        "warning",
        f"A linear model that sees {best} steps back has {percent(gain / short)} less squared error than "
        f"one "
        f"that sees the {length} steps that the windows hold.",
        "What comes next depends on what lies before the window, a season perhaps; no network can see it there.",
        f"Cut longer windows: `rt.ForecastTask(..., lookback={best})`, at least one season and a bit.",
    )


def _truncation(case):
    steps = case.train.x.shape[1]
    if steps >= case.limits["truncation"]:
        return None
    return Finding(
        "warning",
        f"Gradients go back through {steps} tokens at most.",
        "The state is carried from batch to batch, but what it should keep for longer than that is never learnt.",
        "Cut longer rows: `rt.language_model_batches(text, vocabulary, steps=128)`.",
    )


def _series_of(case):
    """Return a series that the training windows were cut from in order, and their length, or `None`."""
    train = case.data["training"]
    if isinstance(train, Windows):
        task, table = train.task, train.table
        ends = np.append(table.offsets[1:2], len(table))[0]
        last = int(train.starts[train.starts < ends].max(initial=0)) + task.lookback + task.horizon
        return table.values[table.offsets[0] : last, 0].astype("float64"), task.lookback
    x = case.train.x
    if not (
        isinstance(train, tuple | list) and case.train.is_whole and x.ndim == 3 and x.dtype.kind == "f" and len(x) > 2
    ):
        return None, 0
    if x.shape[1] < 2 or not np.array_equal(x[1:, :-1, 0], x[:-1, 1:, 0]):
        return None, 0
    return np.concatenate([x[0, :, 0], x[1:, -1, 0]]).astype("float64"), x.shape[1]


def _linear_error(series, lookback, horizon, *, reach) -> float:
    """Return the squared error, on the later half, of a linear model fitted on the earlier half."""
    starts = np.arange(reach, len(series) - horizon + 1)
    if len(starts) < 8 * lookback:
        return np.inf
    lags = series[starts[:, None] - 1 - np.arange(lookback)]
    target = series[starts]
    lags = np.column_stack([lags - lags[:, :1], np.ones(len(lags))])  # changes, so that a trend does no harm
    target = target - series[starts - 1]
    half = len(starts) // 2
    penalty = 1e-3 * half * np.var(lags[:half]) * np.eye(lags.shape[1])
    weights = np.linalg.solve(lags[:half].T @ lags[:half] + penalty, lags[:half].T @ target[:half])
    return float(np.mean((lags[half:] @ weights - target[half:]) ** 2))
