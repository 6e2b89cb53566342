"""What can be wrong between training and validation data. Each check takes a `Case`; returns a `Finding` or nothing."""

import numpy as np

from rnn_toolkit.diagnosis.findings import Finding, percent
from rnn_toolkit.tables.windows import Windows

FEWEST = 20  # rows, of which a share can be told


def leakage(case) -> Finding | None:
    """Validation rows that training has seen the answers of, and answers among the inputs."""
    copied = _copied_target(case)
    if copied is not None:
        return copied
    train, validation = case.data["training"], case.data["validation"]
    if isinstance(train, Windows) and isinstance(validation, Windows):
        shared = _shared_targets(train, validation)
    else:
        shared = _shared_steps(case)
    if shared <= case.limits["overlap"]:
        return None
    return Finding(
        "error",
        f"{percent(shared)} of the validation windows lie among the steps that training windows were cut from.",
        "Windows overlap, so a random split puts neighbours on both sides: the validation loss then praises memory.",
        "Split by time before cutting windows: `train, validation, test = rt.split_by_time(frame, task)`.",
    )


def _copied_target(case):
    y = case.train.y
    if y is None or case.is_language_model or y.ndim > 3 or case.train.x.ndim != 3 or case.train.x.dtype.kind != "f":
        return None
    if y.dtype.kind != "f" and case.labels(case.train) is None:
        return None
    target = y.reshape(len(y), -1)[:, 0].astype("float64")
    if np.ptp(target) == 0:
        return None
    steps = case.train.x.astype("float64")
    same = (steps == target[:, None, None]).mean(axis=0)  # (timesteps, features)
    if same.max() < case.limits["copied_target"]:
        return None
    step, feature = np.unravel_index(same.argmax(), same.shape)
    return Finding(
        "error",
        f"Feature {feature} at step {step} of the inputs equals the target in {percent(same.max())} of the rows.",
        "The answer stands among the inputs; where the model is used, it will not be there.",
        f"Take the column out, or cut the window before the target: `x = np.delete(x, {feature}, axis=2)`.",
    )


def _shared_targets(train, validation) -> float:
    def target_rows(windows):
        rows = windows.starts[:, None] + windows.task.lookback + np.arange(windows.task.horizon)
        return windows.table.times(rows.ravel()), np.asarray(windows.table.series_of(rows.ravel()))

    (times, series), (other_times, other_series) = target_rows(train), target_rows(validation)
    seen = set(zip(series.tolist(), times.tolist(), strict=True))
    pairs = list(zip(other_series.tolist(), other_times.tolist(), strict=True))
    return float(np.mean([pair in seen for pair in pairs])) if pairs else 0.0


def _shared_steps(case, length=4) -> float:
    """Return the share of validation windows whose last steps lie within a training window."""
    if case.validation is None or case.train.x.ndim != 3 or case.train.x.dtype.kind != "f":
        return 0.0
    if case.train.x.shape[1] < 2 * length or len(case.validation) < FEWEST:
        return 0.0
    inputs, others = case.train.x[:4_000], case.validation.x[:1_000]
    runs = np.lib.stride_tricks.sliding_window_view(inputs, length, axis=1)  # (rows, places, features, length)
    inner = np.ascontiguousarray(runs[:, :-1]).reshape(-1, inputs.shape[2] * length)  # whole rows are duplicates
    varied = inner.std(axis=1) > 0
    seen = set(_hashes(inner[varied]))
    last = np.ascontiguousarray(np.moveaxis(others[:, -length:], 1, 2)).reshape(len(others), -1)
    varied = last.std(axis=1) > 0
    return float(np.mean([one in seen for one in _hashes(last[varied])])) if varied.any() else 0.0


def duplicates(case) -> Finding | None:
    """Rows that stand in training and in validation."""
    if case.validation is None or len(case.validation) < FEWEST or case.is_language_model:
        return None
    train, validation = (
        [one.reshape(len(one), -1) for one in sample.inputs] for sample in (case.train, case.validation)
    )
    if any(a.shape[1] != b.shape[1] for a, b in zip(train, validation, strict=True)):  # texts, padded to their own
        width = max(a.shape[1] for a in (*train, *validation))
        train, validation = ([np.pad(a, [(0, 0), (0, width - a.shape[1])]) for a in one] for one in (train, validation))
    seen = set(_hashes(np.concatenate(train, axis=1)))
    share = float(np.mean([one in seen for one in _hashes(np.concatenate(validation, axis=1))]))
    if share <= case.limits["duplicates"]:
        return None
    return Finding(
        "warning",
        f"{percent(share)} of the {len(case.validation):,} validation rows stand among the training rows, too.",
        "The network has seen their answers, so its validation loss is better than what new rows will give.",
        "Drop duplicates before the split: `frame = frame.drop_duplicates(subset=inputs)`.",
    )


def _hashes(rows) -> list[bytes]:
    rows = np.ascontiguousarray(rows)
    return [row.tobytes() for row in rows]


def missing_class(case) -> Finding | None:
    """Classes that training never shows."""
    labels = case.labels(case.train)
    if labels is None or not len(labels) or case.is_language_model or not case.train.is_whole:
        return None
    seen = set(np.unique(labels).tolist())
    later = case.labels(case.validation) if case.validation is not None else None
    missing = sorted(set(np.unique(later).tolist()) - seen) if later is not None else []
    where = "in the validation rows"
    width = case.outputs["training"][0].shape[-1]
    if not missing and width > 1:
        missing, where = sorted(set(range(width)) - seen), "among the outputs of the model"
    if not missing or len(seen) < 2:
        return None
    return Finding(
        "warning",
        f"Class {missing[0]}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''} stands {where}, "
        "but in no training row.",
        "What was never shown is never answered.",
        "Split so that each class is in both parts: `train_test_split(x, y, stratify=y)`; or leave the class out.",
    )


def different_distributions(case) -> Finding | None:
    """Training and validation that differ in kind."""
    if case.validation is None or min(len(case.train), len(case.validation)) < FEWEST:
        return None
    found = _shifted_inputs(case) or _shifted_labels(case) or _shifted_tokens(case)
    if found is None:
        return None
    return Finding(
        "warning",
        found,
        "What is learnt on the one holds on the other only as far as they are alike, so the validation loss says "
        "little.",
        "Look at both, `pd.DataFrame(x.reshape(-1, x.shape[-1])).describe()`; prepare them by the same code, scaled by "
        "the "
        "training rows, and draw them from the same source.",
    )


def _shifted_inputs(case):
    if case.train.x.dtype.kind != "f" or case.train.x.ndim != 3:
        return None
    samples = [case.train.x, case.validation.x]
    inside = [case.received(split) for split in ("training", "validation")]
    if inside[0] is not None and (case.rescales or inside[0].shape[2] != case.train.x.shape[2]):
        samples = inside
    width = 1 if samples is inside else case.train.x.shape[2]  # a model's own channels are looked at together
    first, second = (one.reshape(-1, width).astype("float64") for one in samples)
    if first.shape[1] != second.shape[1]:
        return None
    spread = first.std(axis=0)
    shift = np.abs(second.mean(axis=0) - first.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    ratio = second.std(axis=0) / np.where(spread > 0, spread, np.inf)
    feature = int(np.argmax(shift))
    if shift[feature] > case.limits["input_shift"]:
        return (
            f"Feature {feature} has a mean of {second[:, feature].mean():.3g} in validation and "
            f"{first[:, feature].mean():.3g} in training, {shift[feature]:.1f} deviations apart."
        )
    feature = int(np.argmax(ratio))
    if ratio[feature] > 2 * case.limits["input_shift"]:
        return f"Feature {feature} varies {ratio[feature]:.1f} times as much in validation as in training."
    return None


def _shifted_labels(case):
    labels, others = case.labels(case.train), case.labels(case.validation)
    if labels is None or others is None or case.is_language_model or min(len(labels), len(others)) < FEWEST:
        return None
    apart = _total_variation(labels, others)
    if apart <= case.limits["label_shift"]:
        return None
    return f"The shares of the classes differ by {percent(apart)} between training and validation."


def _shifted_tokens(case):
    if not case.is_text:
        return None
    codes, others = (sample.x[sample.x > 0] for sample in (case.train, case.validation))
    if min(len(codes), len(others)) < 1_000:
        return None
    half = len(case.train) // 2
    first, second = (part[part > 0] for part in (case.train.x[:half], case.train.x[half:]))
    apart = _total_variation(codes, others) - _total_variation(first, second)
    if apart <= case.limits["token_shift"]:
        return None
    return (
        f"The shares of the tokens differ by {percent(apart)} between training and validation, beyond what two halves "
        f"of "
        "training differ by."
    )


def _total_variation(first, second) -> float:
    size = int(max(first.max(), second.max())) + 1
    shares = [np.bincount(np.clip(one, 0, None), minlength=size) / len(one) for one in (first, second)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)
