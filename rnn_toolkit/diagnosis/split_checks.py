"""What can be wrong between training and validation data. Each check takes a `Case`; returns a `Finding` or nothing."""

from collections import Counter

import numpy as np

from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.findings import Finding, check, error, percent, warning
from rnn_toolkit.diagnosis.sample import FEWEST
from rnn_toolkit.tables.windows import Windows

STILL = 1e-15  # deviation of silence: batches of signals mark its end by a number that small


@check("leakage", needs="validation")
def leakage(case: Case) -> Finding | None:
    """Validation rows that training has seen the answers of, and answers among the inputs."""
    copied = _copied_target(case)
    if copied is not None:
        return copied
    shared = _shared_steps(case)
    if shared <= case.limits["overlap"]:
        return None
    return error(
        f"{percent(shared)} of the validation windows lie among the steps that training windows were cut from.",
        "Windows overlap, so a random split puts neighbours on both sides: the validation loss then praises memory.",
        "Split by time before cutting windows: `train, validation, test = rt.split_by_time(frame, task)`.",
    )


def _copied_target(case: Case) -> Finding | None:
    """Find a feature that holds the target: at the end of a window, all through it, or at each target's own step."""
    x, y = case.train.x, case.train.y
    if y is None or y.ndim > 3 or not case.is_sequence:
        return None
    if y.dtype.kind != "f" and case.labels("training") is None:
        return None
    targets, steps = y.reshape(len(y), y.shape[1] if y.ndim > 1 else 1, -1).astype(x.dtype), x.shape[1]
    first, horizon = targets[:, 0, 0], targets.shape[1]
    of_each_step = horizon == steps and targets.shape[2] < x.shape[2]  # where all features are asked for, it is a task
    for feature in range(x.shape[2]):
        column = x[..., feature]
        is_still = np.ptp(column, axis=1).max() == 0
        for step in {steps - 1, steps - horizon if horizon < steps else steps - 1}:
            # What changes seldom is mostly as before; that the next value is, too, gives nothing away.
            usual = 0.0 if is_still or not step else np.mean(column[:, step] == column[:, step - 1])
            if _equal(column[:, step], first, usual) >= case.limits["copied_target"]:
                return _leak_of(feature, f"at step {step}")
        if of_each_step and _equal(column.ravel(), targets[..., 0].ravel(), 0.0) >= case.limits["copied_target"]:
            return _leak_of(feature, "at each step")
    return None


def _leak_of(feature: int, where: str) -> Finding:
    return error(
        f"Feature {feature} {where} of the inputs equals the target, far more often than chance would have it.",
        "The answer stands among the inputs; where the model is used, it will not be there.",
        f"Take the column out, `x = np.delete(x, {feature}, axis=2)`, or cut the window before the target.",
    )


def _equal(values, target, usual: float) -> float:
    """Return how often values equal a target, from 0 for no more than by chance, or than usual, to 1 for always."""
    same = float(np.mean(values == target))
    if same < 0.5 or np.ptp(target) == 0:
        return 0.0
    (seen, counts), (asked, times) = (np.unique(one, return_counts=True) for one in (values, target))
    _, here, there = np.intersect1d(seen, asked, return_indices=True)
    usual = max(usual, float(np.sum(counts[here] / len(values) * times[there] / len(target))))
    return 0.0 if (1 - usual) * len(target) < FEWEST / 2 else (same - usual) / (1 - usual)


def _shared_steps(case: Case, length=4) -> float:
    """Return the share of validation windows whose last steps lie within a training window.

    As many steps are compared as tell training windows apart: four of two symbols are the same by chance. What is a
    duplicate as a whole is no leak of windows.
    """
    if not case.is_sequence or len(case.validation) < FEWEST:
        return 0.0
    x, steps = case.train.x, case.train.x.shape[1]
    train = {row.tobytes(): row for row in x[:4_000]}
    others = [row for row in case.validation.x[:1_000] if row.tobytes() not in train]
    train = np.stack(list(train.values()))
    while others and 2 * length <= steps + 4:
        ends = Counter(_runs(train[:, -length:]))
        pairs, many = sum(count * (count - 1) for count in ends.values()), max(ends.total(), 2)
        if pairs / (many * (many - 1)) * len(train) * (steps - length) < 0.05:  # matches of a window by chance
            inner = np.lib.stride_tricks.sliding_window_view(train, length, axis=1)[:, :-1]
            seen = set(_runs(np.moveaxis(inner, 3, 2).reshape(-1, length, x.shape[2])))
            runs = _runs(np.stack(others)[:, -length:])
            return float(np.mean([run in seen for run in runs])) if runs else 0.0
        length += length // 2
    return 0.0


def _runs(rows) -> list[bytes]:
    """Return the rows `(rows, steps, features)` in which something changes."""
    return [row.tobytes() for row in rows[(np.ptp(rows, axis=1) > STILL).any(axis=1)]]


@check("missing class")
def missing_class(case: Case) -> Finding | None:
    """Classes that training never shows."""
    labels, others = case.labels("training"), case.labels("validation")
    if labels is None or case.is_language_model or not case.train.is_whole:
        return None
    seen = set(labels.tolist())
    missing, where = sorted(set(() if others is None else others.tolist()) - seen), "in the validation rows"
    if not missing and case.width > 1:
        missing, where = sorted(set(range(case.width)) - seen), "among the outputs of the model"
    if not missing or len(seen) < 2:
        return None
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return warning(
        f"Class {missing[0]}{more} stands {where}, but in no training row.",
        "What was never shown is never answered.",
        "Split with each class in both parts, or leave it out: `from sklearn.model_selection import train_test_split; "
        "parts = train_test_split(x, y, stratify=y)`.",
    )


@check("duplicates", needs="validation")
def duplicates(case: Case) -> Finding | None:
    """Rows that stand in training and in validation."""
    if len(case.validation) < FEWEST or case.is_language_model:
        return None
    seen, rows = (
        [b"".join(one.tobytes().rstrip(b"\0") for one in row) for row in zip(*sample.inputs, strict=True)]
        for sample in (case.train, case.validation)  # without zeros behind: texts are padded to a width of their own
    )
    seen = set(seen)
    share = float(np.mean([row in seen for row in rows]))
    if share <= case.limits["duplicates"] or share <= case.limits["duplicates"] + 1.5 * _by_chance(case):
        return None
    return warning(
        f"{percent(share)} of the {len(case.validation):,} validation rows stand among the training rows, too.",
        "The network has seen their answers, so its validation loss is better than what new rows will give.",
        "Drop them before the split: `kept = np.unique(x, axis=0, return_index=True)[1]; x, y = x[kept], y[kept]`.",
    )


def _by_chance(case: Case) -> float:
    """Return the share of rows that would be alike if nothing was copied, as where rows are short and of few symbols.

    Each step is taken to depend on the one before it alone.
    """
    random, alike = np.random.default_rng(0), 0.0
    for sample in case.train.inputs:
        rows = sample.reshape(len(sample), sample.shape[1] if sample.ndim > 1 else 1, -1)
        shifts = random.integers(1, max(len(rows), 2), 5)
        pairs = [(rows == np.roll(rows, shift, axis=0)).all(axis=2) for shift in shifts]
        same = np.concatenate(pairs)  # (pairs, timesteps)
        one, both = same.mean(axis=0), (same[:, 1:] & same[:, :-1]).mean(axis=0)
        share = one[0] * np.prod(both / np.maximum(one[:-1], 1e-12))
        alike = share if sample is case.train.inputs[0] else alike * share
    return float(1 - (1 - min(alike, 1.0)) ** len(case.train))


@check("different distributions", needs="validation")
def different_distributions(case: Case) -> Finding | None:
    """Training and validation that differ in kind."""
    if min(len(case.train), len(case.validation)) < FEWEST:
        return None
    seen, season = _phases(case)
    if seen < season:
        return warning(
            f"Training windows begin at {seen} of the {season} steps of a season, and others come to be forecast.",
            "A stride that shares a factor with the season shows the same weekdays, say, again and again.",
            'Cut by another stride: `rt.split_by_time(frame, rt.ForecastTask("target", 1, 8), stride=1)`.',
        )
    found = _shifted_inputs(case) or _shifted_labels(case)
    if found is None:
        return None
    return warning(
        found,
        "What is learnt on the one holds on the other only as far as they are alike: the validation loss says little.",
        "Look at both, `pd.DataFrame(x.reshape(-1, x.shape[-1])).describe()`; prepare both by the same code.",
    )


def _phases(case: Case) -> tuple[int, int]:
    """Return at how many steps of a season training windows begin, and how many there are; 0 and 0 without a season."""
    windows = case.train_data
    if not isinstance(windows, Windows) or len(windows.starts) < 3 * (windows.task.season_length or np.inf):
        return 0, 0
    first = windows.table.offsets[np.searchsorted(windows.table.offsets, windows.starts, "right") - 1]
    return len(np.unique((windows.starts - first) % windows.task.season_length)), windows.task.season_length


def _shifted_inputs(case: Case) -> str | None:
    if not case.is_sequence:
        return None
    samples, width = [case.train.x, case.validation.x], case.train.x.shape[2]
    inside = [case.received(split) for split in ("training", "validation")]
    if inside[0] is not None and (case.rescales or inside[0].shape[2] != width):
        samples, width = inside, 1  # a model's own channels are looked at together
    first, second = (one.reshape(-1, width).astype("float64") for one in samples)
    spread = np.where(first.std(axis=0) > 0, first.std(axis=0), np.inf)
    # By the larger deviation: a flag that is hardly ever set has next to none where it is not.
    shift = np.abs(second.mean(axis=0) - first.mean(axis=0)) / np.maximum(spread, second.std(axis=0))
    feature = int(np.argmax(shift))
    if shift[feature] > case.limits["input_shift"]:
        return (
            f"Feature {feature} has a mean of {second[:, feature].mean():.3g} in validation and "
            f"{first[:, feature].mean():.3g} in training, {shift[feature]:.1f} deviations apart."
        )
    ratio, least = second.std(axis=0) / spread, 2 * case.limits["input_shift"]
    for feature in np.flatnonzero(ratio > least):  # likewise: most of its values must lie further apart, too
        ranges = [np.ptp(np.quantile(one[:, feature], (0.05, 0.95))) for one in (first, second)]
        if ranges[1] > least * ranges[0] > 0:
            return f"Feature {feature} varies {ratio[feature]:.1f} times as much in validation as in training."
    return None


def _shifted_labels(case: Case) -> str | None:
    labels, others = case.labels("training"), case.labels("validation")
    if labels is None or others is None or case.is_language_model or min(len(labels), len(others)) < FEWEST:
        return None
    apart, chance = _total_variation(labels, others, [len(case.train), len(case.validation)])
    if apart - chance <= case.limits["label_shift"]:
        return None
    return (
        f"The shares of the classes differ by {percent(apart)} between training and validation; "
        f"rows drawn at random differ by {percent(chance)}."
    )


def _total_variation(first, second, rows) -> tuple[float, float]:
    """Return half of the differences of the shares, and what is expected of so many rows drawn from one source."""
    size = int(max(first.max(), second.max())) + 1
    shares = [np.bincount(np.clip(one, 0, None), minlength=size) / len(one) for one in (first, second)]
    pooled = np.average(shares, axis=0, weights=rows)
    deviations = np.sqrt(pooled * (1 - pooled) * sum(1 / count for count in rows))
    return float(np.abs(shares[0] - shares[1]).sum() / 2), float(np.sqrt(2 / np.pi) * deviations.sum() / 2)
