"""Labels of any kind as codes, and their weights."""

import numbers
from collections.abc import Iterable, Mapping, Set

import numpy as np
import pandas as pd

from rnn_toolkit._checks import nearest


def listed(values, name, *, of="text") -> list:
    """Return what has one entry a row as a list, or say that it has not."""
    is_list = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
    if not is_list or getattr(values, "ndim", 1) != 1:
        shape = f" of shape {tuple(values.shape)}" if hasattr(values, "shape") else ""
        raise TypeError(
            f"`{name}` must be a list, a Series or an array with one entry a {of}. Received: {type(values).__name__}"
            f"{shape}. Put a single one into a list; of a table, pass the column."
        )
    return list(values)


def check_order(rows, others, name, other_name) -> None:
    """Raise where two columns hold the same rows in another order, as they are matched by their place."""
    if isinstance(rows, pd.Series) and isinstance(others, pd.Series) and not rows.index.equals(others.index):
        if len(rows) == len(others) and rows.index.is_unique and rows.index.isin(others.index).all():
            raise ValueError(
                f"`{other_name}` holds the rows of `{name}` in another order, by their indexes, and both are matched "
                f"by place. Pass `{other_name}.loc[{name}.index]`; or, if the order is right, "
                f"`{other_name}.to_numpy()`."
            )


def is_missing(value) -> bool:
    """Return whether a value is `None`, NaN or another sign that pandas has for what is not there."""
    return np.ndim(value) == 0 and pd.isna(value)


def checked_classes(classes, multi_label=False) -> list:
    """Return the classes of a model as a list of plain labels, or say why they are none."""
    if isinstance(classes, numbers.Integral) and not isinstance(classes, bool):
        classes = range(classes)
    if not isinstance(classes, Iterable) or isinstance(classes, str):
        raise TypeError(
            f"`classes` must be a list of labels, or their number. Received: {classes!r}. Pass `train.classes`."
        )
    return plain_classes(classes, fewest=2 - multi_label)


def sample_weights(class_weight, targets, classes) -> np.ndarray:
    """Return what each row counts, float32 `(rows,)`."""
    if targets is None or targets.ndim != 1:
        raise ValueError(
            "`class_weight` needs one label for each row. Received: "
            f"{'no labels' if targets is None else 'lists of labels'}. Pass `labels`, or leave the weights out."
        )
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(targets, minlength=len(classes))
        return (len(targets) / (len(classes) * np.maximum(counts, 1))).astype("float32")[targets]
    is_complete = isinstance(class_weight, Mapping) and set(class_weight) == set(classes)
    weights = class_weight.values() if is_complete else ()
    if not is_complete or not all(isinstance(one, numbers.Real) and 0 <= one < float("inf") for one in weights):
        raise ValueError(
            f"`class_weight` must be 'balanced', or a dict that gives each of {classes} a number from 0 on and nothing "
            f"else. Received: {class_weight!r}. Correct it, or leave it out."
        )
    return np.array([class_weight[one] for one in classes], "float32")[targets]


def encode_labels(labels, classes, num_rows, *, of="text") -> tuple[np.ndarray, list]:
    """Return the codes of labels, one a row or as ones and zeros, and the classes in the order of the codes."""
    if hasattr(labels, "__array__"):  # a table, say, or a tensor
        labels = np.asarray(labels)
        labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
        if labels.ndim == 2:
            _refuse_indicators(labels.tolist(), classes)
    labels = listed(labels, "labels", of=of)
    if len(labels) != num_rows:
        raise ValueError(f"There are {num_rows} {of}s but {len(labels)} labels. Pass a label for each {of}.")
    are_many = [isinstance(one, list | tuple | Set | np.ndarray) and getattr(one, "ndim", 1) == 1 for one in labels]
    if any(are_many) and not all(are_many):
        raise TypeError(
            f"`labels` mixes lists of labels and single ones, such as {labels[are_many.index(False)]!r} at position "
            f"{are_many.index(False)}. Put these into lists too."
        )
    is_multi = any(are_many)
    if is_multi:
        _refuse_indicators(labels, classes)
    rows, classes = encode_rows(labels if is_multi else zip(labels), classes, name="labels", fewest=2 - is_multi)
    if not is_multi:
        return np.array([code for (code,) in rows], "int32"), classes
    targets = np.zeros((len(rows), len(classes)), "float32")
    for target, row in zip(targets, rows, strict=True):
        target[row] = 1
    return targets, classes


def _refuse_indicators(rows, classes) -> None:
    """Raise where each row tells all classes by ones and zeros, which a list of labels would be: 0, 1 and 0 again."""
    rows = [list(row) for row in rows if not isinstance(row, Set)]
    width = len(rows[0]) if rows else 0
    if width > 1 and all(len(row) == width and all(one in (0, 1) for one in row) for row in rows):
        if classes is None or len(classes) == width or any(len(set(row)) < width for row in rows):
            raise ValueError(
                f"`labels` are rows of ones and zeros (one-hot or multi-hot), such as {rows[0]} at position 0. Name "
                "each row's label: `[names[code] for code in np.argmax(labels, 1)]`. Where it may have several, list "
                "them: `[[name for name, one in zip(names, row) if one] for row in labels]`."
            )


def encode_rows(rows, classes, *, name, fewest=2) -> tuple[list[list[int]], list]:
    """Return rows of labels as rows of codes, and the classes in the order of the codes."""
    rows = plain_rows(rows, name)
    if classes is None:
        examples = {type(one): one for row in rows for one in row}
        if len(examples) > 1:
            raise TypeError(f"`{name}` are of several types: {list(examples.values())}. Make all of them text.")
        classes = sorted({one for row in rows for one in row})
    classes = plain_classes(classes, fewest)
    codes = {one: code for code, one in enumerate(classes)}
    for place, row in enumerate(rows):
        for one in row:
            if one not in codes:
                shown = ", ".join(map(repr, classes[:20])) + ", ..." * (len(classes) > 20)
                raise ValueError(
                    f"`{name}` holds {one!r} at position {place}, but `classes` are {shown}.{nearest(one, classes)} "
                    "Correct the label, or add it to `classes`."
                )
    return [[codes[one] for one in row] for row in rows], classes


def plain_classes(classes, fewest=2) -> list:
    """Return the labels there are as plain Python has them, or say why they are none."""
    if isinstance(classes, set | frozenset):
        raise TypeError(f"`classes` must be in the order of their codes; a set has none. Received: {classes}. Sort it.")
    classes = [one for (one,) in plain_rows(zip(listed(classes, "classes")), "classes")]
    if len(set(classes)) < len(classes) or len(classes) < fewest:
        raise ValueError(
            f"`classes` must be two at least, all different. Received: {classes}. Pass `train.classes`, or name all "
            "labels there are; where they are taken from the rows' labels, pass rows of another one too."
        )
    return classes


def plain_rows(rows, name) -> list[list[str | int | bool]]:
    """Return rows of labels as plain Python has them, or say which of them is none."""
    return [[_plain(one, place, name) for one in row] for place, row in enumerate(rows)]


def _plain(label, place, name) -> str | int | bool:
    label = label.item() if hasattr(label, "item") and np.ndim(label) == 0 else label
    if isinstance(label, float) and label.is_integer():  # whole numbers beside a missing one, which was dropped
        return int(label)
    if isinstance(label, str | int):
        return label
    if is_missing(label):
        raise ValueError(f"`{name}` has none at position {place}: {label!r}. Drop that row, or label it.")
    raise TypeError(
        f"`{name}` must be text, whole numbers or bools. Received at position {place}: {label!r}. Convert it, by "
        "`.astype(str)`, say."
    )
