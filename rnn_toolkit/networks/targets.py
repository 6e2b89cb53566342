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
        raise TypeError(
            f"`{name}` must be a list, a Series or an array with one entry a {of}. Received: {type(values).__name__}. "
            "Put a single one into a list; of a table, pass the column."
        )
    return list(values)


def is_missing(value) -> bool:
    """Return whether a value is `None`, NaN or another sign that pandas has for what is not there."""
    return np.ndim(value) == 0 and pd.isna(value)


def checked_classes(classes, multi_label=False) -> list:
    """Return the classes of a model as a list of plain labels, or say why they are none."""
    if isinstance(classes, numbers.Integral) and not isinstance(classes, bool):
        classes = range(classes)
    if isinstance(classes, str) or not hasattr(classes, "__iter__"):
        raise TypeError(
            f"`classes` must be a list of labels, or their number. Received: {classes!r}. Pass `train.classes`."
        )
    classes = [one.item() if isinstance(one, np.generic) else one for one in classes]
    if len(set(classes)) < len(classes) or len(classes) < 2 - multi_label:
        raise ValueError(
            f"`classes` must be two at least, all different. Received: {classes}. Pass `train.classes`, or all labels "
            "there are."
        )
    return classes


def sample_weights(class_weight, targets, classes) -> np.ndarray:
    """Return what each row counts, float32 `(rows,)`."""
    if targets is None or targets.ndim != 1:
        raise ValueError(
            "`class_weight` needs one label for each row. Received: "
            f"{'no labels' if targets is None else 'lists of labels'}. Pass `labels`, or leave the weights out."
        )
    if class_weight == "balanced":
        counts = np.bincount(targets, minlength=len(classes))
        return (len(targets) / (len(classes) * np.maximum(counts, 1))).astype("float32")[targets]
    is_complete = isinstance(class_weight, Mapping) and set(class_weight) == set(classes)
    if not is_complete or not all(0 <= weight < float("inf") for weight in class_weight.values()):
        raise ValueError(
            f"`class_weight` must be 'balanced', or a dict that gives each of {classes} a number from 0 on and nothing "
            f"else. Received: {class_weight!r}. Correct it, or leave it out."
        )
    return np.array([class_weight[one] for one in classes], "float32")[targets]


def encode_labels(labels, classes, num_rows, *, of="text") -> tuple[np.ndarray, list]:
    """Return the codes of labels, one a row or as ones and zeros, and the classes in the order of the codes."""
    labels = listed(labels, "labels", of=of)
    if len(labels) != num_rows:
        raise ValueError(f"There are {num_rows} {of}s but {len(labels)} labels. Pass a label for each {of}.")
    are_many = [isinstance(label, list | tuple | Set | np.ndarray) for label in labels]
    if any(are_many) and not all(are_many):
        raise TypeError(
            f"`labels` mixes lists of labels and single ones, such as {labels[are_many.index(False)]!r} at position "
            f"{are_many.index(False)}. Put these into lists too."
        )
    is_multi = any(are_many)
    rows, classes = encode_rows(labels if is_multi else zip(labels), classes, name="labels", fewest=2 - is_multi)
    if not is_multi:
        return np.array([code for (code,) in rows], "int32"), classes
    targets = np.zeros((len(rows), len(classes)), "float32")
    for target, row in zip(targets, rows, strict=True):
        target[row] = 1
    return targets, classes


def encode_rows(rows, classes, *, name, fewest=2) -> tuple[list[list[int]], list]:
    """Return rows of labels as rows of codes, and the classes in the order of the codes."""
    rows = plain_rows(rows, name)
    if classes is None:
        examples = {type(one): one for row in rows for one in row}
        if len(examples) > 1:
            raise TypeError(f"`{name}` are of several types: {list(examples.values())}. Make all of them text.")
        classes = sorted({one for row in rows for one in row})
    else:
        classes = [one for (one,) in plain_rows(zip(listed(classes, "classes")), "classes")]
    codes = {one: code for code, one in enumerate(classes)}
    if len(codes) < len(classes) or len(codes) < fewest:
        raise ValueError(
            f"`classes` must be two at least, all different. Received: {classes}. Pass rows of another class too, or "
            "name all classes there are in `classes`."
        )
    for place, row in enumerate(rows):
        for one in row:
            if one not in codes:
                shown = ", ".join(map(repr, classes[:20])) + ", ..." * (len(classes) > 20)
                raise ValueError(
                    f"`{name}` holds {one!r} at position {place}, but `classes` are {shown}.{nearest(one, classes)} "
                    "Correct the label, or add it to `classes`."
                )
    return [[codes[one] for one in row] for row in rows], classes


def plain_rows(rows, name) -> list[list[str | int | bool]]:
    """Return rows of labels as plain Python has them, or say which of them is none."""
    return [[_plain(one, place, name) for one in row] for place, row in enumerate(rows)]


def _plain(label, place, name) -> str | int | bool:
    label = label.item() if isinstance(label, np.generic) else label
    if isinstance(label, str | int):
        return label
    if is_missing(label):
        raise ValueError(f"`{name}` has none at position {place}: {label!r}. Drop that row, or label it.")
    raise TypeError(
        f"`{name}` must be text, whole numbers or bools. Received at position {place}: {label!r}. Convert it, by "
        "`.astype(str)`, say."
    )
