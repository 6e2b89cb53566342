"""Labels of any kind as codes, and their weights."""

from collections.abc import Mapping, Set

import numpy as np

from rnn_toolkit._checks import nearest
from rnn_toolkit.texts.inputs import is_missing, listed


def sample_weights(class_weight, targets, classes) -> np.ndarray:
    """Return what each text counts, or say why the weights do not fit."""
    if targets is None or targets.ndim != 1:
        raise ValueError(
            "`class_weight` needs one label for each text. Received: "
            f"{'no labels' if targets is None else 'lists of labels'}. Pass `labels`, or leave the weights out."
        )
    if class_weight == "balanced":
        counts = np.bincount(targets, minlength=len(classes))
        return (len(targets) / (len(classes) * np.maximum(counts, 1))).astype("float32")[targets]
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"`class_weight` must be 'balanced', a dict or None. Received: {class_weight!r}.")
    for one in [*classes, *class_weight]:
        weight = class_weight.get(one) if one in classes else None
        if isinstance(weight, bool | None) or not 0 <= weight < float("inf"):
            raise ValueError(
                f"`class_weight` must give each of {classes} a number from 0 on, and nothing else. Received: "
                f"{class_weight!r}, which is wrong at {one!r}.{nearest(one, classes)}"
            )
    return np.array([class_weight[one] for one in classes], "float32")[targets]


def encode_labels(labels, classes, num_texts) -> tuple[np.ndarray, list]:
    """Return the codes of labels, one a text or as ones and zeros, and the classes in the order of the codes."""
    labels = listed(labels, "labels")
    if len(labels) != num_texts:
        raise ValueError(f"There are {num_texts} texts but {len(labels)} labels. Pass a label for each text.")
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
    rows = [[_label(one, place, name) for one in row] for place, row in enumerate(rows)]
    if classes is None:
        examples = {type(one): one for row in rows for one in row}
        if len(examples) > 1:
            raise TypeError(f"`{name}` are of several types: {list(examples.values())}. Make all of them text.")
        classes = sorted({one for row in rows for one in row})
    else:
        classes = [_label(one, place, "classes") for place, one in enumerate(listed(classes, "classes"))]
    codes = {one: code for code, one in enumerate(classes)}
    if len(codes) < len(classes) or len(codes) < fewest:
        raise ValueError(
            f"`classes` must be two at least, all different. Received: {classes}. Pass texts of another class too, or "
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


def _label(label, place, name) -> str | int | bool:
    """Return a label as plain Python has it, or say why it is none."""
    label = label.item() if isinstance(label, np.generic) else label
    if isinstance(label, str | int):
        return label
    if is_missing(label):
        raise ValueError(f"`{name}` has none at position {place}: {label!r}. Drop that text, or label it.")
    raise TypeError(
        f"`{name}` must be text, whole numbers or bools. Received at position {place}: {label!r}. Convert it, by "
        "`.astype(str)`, say."
    )
