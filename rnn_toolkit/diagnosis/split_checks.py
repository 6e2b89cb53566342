"""What can be wrong between training and validation data. Each check takes a `Case`; returns a `Finding` or nothing."""

import numpy as np

from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.findings import Finding, check, error, percent, warning
from rnn_toolkit.diagnosis.sample import FEWEST

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
    x, y = case.train.x, case.train.y
    if y is None or y.ndim > 3 or not case.is_sequence:
        return None
    if y.dtype.kind != "f" and case.labels("training") is None:
        return None
    target = y.reshape(len(y), -1)[:, 0].astype("float64")
    if np.ptp(target) == 0:
        return None
    same = (x.astype("float64") == target[:, None, None]).mean(axis=0)  # (timesteps, features)
    if same.max() < case.limits["copied_target"]:
        return None
    step, feature = np.unravel_index(same.argmax(), same.shape)
    return error(
        f"Feature {feature} at step {step} of the inputs equals the target in {percent(same.max())} of the rows.",
        "The answer stands among the inputs; where the model is used, it will not be there.",
        f"Take the column out, or cut the window before the target: `x = np.delete(x, {feature}, axis=2)`.",
    )


def _shared_steps(case: Case, length=4) -> float:
    """Return the share of validation windows whose last steps lie within a training window."""
    if not case.is_sequence or case.train.x.shape[1] < 2 * length or len(case.validation) < FEWEST:
        return 0.0
    runs = np.lib.stride_tricks.sliding_window_view(case.train.x[:4_000], length, axis=1)
    inner = runs[:, :-1].reshape(-1, runs.shape[2] * length)  # without the last, as whole rows are duplicates
    last = np.moveaxis(case.validation.x[:1_000, -length:], 1, 2).reshape(-1, inner.shape[1])
    seen, others = ([row.tobytes() for row in rows[rows.std(axis=1) > STILL]] for rows in (inner, last))
    seen = set(seen)
    return float(np.mean([one in seen for one in others])) if others else 0.0


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
        "Split so that each class is in both parts: `train_test_split(x, y, stratify=y)`; or leave the class out.",
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
    if share <= case.limits["duplicates"]:
        return None
    return warning(
        f"{percent(share)} of the {len(case.validation):,} validation rows stand among the training rows, too.",
        "The network has seen their answers, so its validation loss is better than what new rows will give.",
        "Drop duplicates before the split: `frame = frame.drop_duplicates(subset=inputs)`.",
    )


@check("different distributions", needs="validation")
def different_distributions(case: Case) -> Finding | None:
    """Training and validation that differ in kind."""
    if min(len(case.train), len(case.validation)) < FEWEST:
        return None
    found = _shifted_inputs(case) or _shifted_labels(case)
    if found is None:
        return None
    return warning(
        found,
        "What is learnt on the one holds on the other only as far as they are alike: the validation loss says little.",
        "Look at both, `pd.DataFrame(x.reshape(-1, x.shape[-1])).describe()`; prepare both by the same code.",
    )


def _shifted_inputs(case: Case) -> str | None:
    if not case.is_sequence:
        return None
    samples, width = [case.train.x, case.validation.x], case.train.x.shape[2]
    inside = [case.received(split) for split in ("training", "validation")]
    if inside[0] is not None and (case.rescales or inside[0].shape[2] != width):
        samples, width = inside, 1  # a model's own channels are looked at together
    first, second = (one.reshape(-1, width).astype("float64") for one in samples)
    spread = first.std(axis=0)
    spread = np.where(spread > 0, spread, np.inf)
    shift, ratio = np.abs(second.mean(axis=0) - first.mean(axis=0)) / spread, second.std(axis=0) / spread
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


def _shifted_labels(case: Case) -> str | None:
    labels, others = case.labels("training"), case.labels("validation")
    if labels is None or others is None or case.is_language_model or min(len(labels), len(others)) < FEWEST:
        return None
    apart = _total_variation(labels, others)
    if apart <= case.limits["label_shift"]:
        return None
    return f"The shares of the classes differ by {percent(apart)} between training and validation."


def _total_variation(first, second) -> float:
    size = int(max(first.max(), second.max())) + 1
    shares = [np.bincount(np.clip(one, 0, None), minlength=size) / len(one) for one in (first, second)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)
