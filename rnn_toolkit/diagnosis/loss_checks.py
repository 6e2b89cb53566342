"""What can be wrong between targets, loss and the last activation."""

import keras
import numpy as np

from rnn_toolkit.diagnosis.findings import Finding, percent

BOUNDS = {"sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0)}
FROM_LOGITS = "`keras.losses.SparseCategoricalCrossentropy(from_logits=True)`"


def loss_and_activation(case) -> Finding | None:
    """A loss that does not fit the last activation, or the form of the targets."""
    y, outputs = case.batches["training"][0][1], case.outputs["training"][0]
    if case.loss is None or y is None or not np.isfinite(outputs).all():
        return None
    check = {"numbers": _for_numbers, "binary": _for_binary, "ctc": _for_ctc}.get(case.kind, _for_classes)
    return check(case, y, outputs, _head_activation(case))


def _for_logits() -> str:
    """Return how grave a second softmax is: TensorFlow's backend goes back to the logits (nn.py, `_get_logits`)."""
    return "warning" if keras.backend.backend() == "tensorflow" else "error"


def _head_activation(case) -> str:
    layers = [one for one in case.named.values() if hasattr(one, "activation") and not hasattr(one, "cell")]
    layers += [one for one in case.named.values() if isinstance(one, keras.layers.Softmax)]
    last = layers[-1] if layers else None
    return "softmax" if isinstance(last, keras.layers.Softmax) else getattr(last and last.activation, "__name__", "")


def _is_within(outputs, low=0.0, high=1.0) -> bool:
    return bool(outputs.min() >= low - 1e-3 and outputs.max() <= high + 1e-3)


def _for_classes(case, y, outputs, activation):
    adds_up = np.abs(outputs.sum(axis=-1) - 1).max() < 1e-2
    width = outputs.shape[-1]
    if width == 1:
        return Finding(
            "error",
            f"The model has one output, but its loss, {case.loss_name}, wants one for each class.",
            "A softmax over a single output is always 1, whatever the network says.",
            'For two classes take `Dense(1, activation="sigmoid")` with `loss="binary_crossentropy"`; else an output '
            "each.",
        )
    if case.from_logits and adds_up and _is_within(outputs):
        return Finding(
            _for_logits(),
            "The outputs add up to 1, as behind a softmax, and the loss applies another (from_logits=True).",
            "Behind two softmaxes the loss cannot fall far, and gradients shrink; TensorFlow sees through it, JAX and "
            "PyTorch "
            "do not.",
            'Take one away: `Dense(classes, activation=None)`, or `loss="sparse_categorical_crossentropy"`.',
        )
    if not case.from_logits and not _is_within(outputs):
        return Finding(
            "error",
            f"The outputs go from {outputs.min():.2g} to {outputs.max():.2g}, but {case.loss_name} reads them as "
            "probabilities.",
            "What lies outside 0 to 1 is cut off there, and gets no gradient.",
            f'End with `Dense(classes, activation="softmax")`, or take {FROM_LOGITS}.',
        )
    if not case.from_logits and not adds_up:
        return Finding(
            _for_logits(),
            f"The outputs of a row add up to {outputs.sum(axis=-1).mean():.2f}, not to 1, behind a last activation "
            f"that "
            f"is {activation or 'no softmax'}, with one of {width} classes to be told.",
            "Probabilities of classes that exclude each other must add up to 1; as it stands, no probability can be "
            "trusted, nor on JAX and PyTorch the loss.",
            'End with `Dense(classes, activation="softmax")`; for several labels at once take `"sigmoid"` with '
            '`loss="binary_crossentropy"`.',
        )
    return None


def _for_binary(case, y, outputs, activation):
    values = np.unique(y)
    if len(values) and (values.max() > 1 or values.min() < 0):
        return Finding(
            "error",
            f"The targets go from {values.min():g} to {values.max():g}, but binary cross-entropy knows 0 and 1.",
            "Other numbers reward outputs beyond any bound, so the loss falls below zero and means nothing.",
            'For codes of classes take `Dense(classes, activation="softmax")` and '
            '`loss="sparse_categorical_crossentropy"`.',
        )
    if activation == "softmax":
        alone = outputs.shape[-1] == 1
        return Finding(
            "error",
            f"The last activation is a softmax over {outputs.shape[-1]} output{'s' * (not alone)}, under a binary "
            "cross-entropy.",
            "A softmax over one output is always 1."
            if alone
            else "A softmax ties the outputs; the loss takes each alone.",
            'Take `activation="sigmoid"`; or, for classes that exclude each other, `loss="categorical_crossentropy"`.',
        )
    if case.from_logits and activation in ("sigmoid", "hard_sigmoid"):
        return Finding(
            _for_logits(),
            "The last activation is a sigmoid, and the loss applies another (from_logits=True).",
            "Behind two sigmoids no probability comes below one half.",
            'Take one away: `Dense(1, activation=None)`, or `loss="binary_crossentropy"`.',
        )
    if not case.from_logits and not _is_within(outputs):
        return Finding(
            "error",
            f"The outputs go from {outputs.min():.2g} to {outputs.max():.2g}, but the loss reads them as "
            f"probabilities.",
            "What lies outside 0 to 1 is cut off there, and gets no gradient.",
            'End with `Dense(1, activation="sigmoid")`, or take `keras.losses.BinaryCrossentropy(from_logits=True)`.',
        )
    return None


def _for_numbers(case, y, outputs, activation):
    squeezed = [tuple(size for size in one.shape[1:] if size != 1) for one in (y, outputs)]
    if squeezed[0] != squeezed[1] and not case.rescales:
        codes = y.dtype.kind in "iub" and len(np.unique(y)) <= outputs.shape[-1]
        return Finding(
            "error",
            f"The targets of a row have shape {y.shape[1:]}, the outputs {outputs.shape[1:]}, under {case.loss_name}.",
            "They are stretched to fit each other without a word, so each output is drawn to every target.",
            'The targets look like codes of classes: take `loss="sparse_categorical_crossentropy"` and a softmax.'
            if codes
            else f"Give the last layer the shape of the targets: `Dense({int(np.prod(y.shape[1:]))})`.",
        )
    targets = y[np.isfinite(y)] if y.dtype.kind == "f" else y
    if activation == "softmax" and set(np.unique(targets)) <= {0, 1}:
        return Finding(
            "error",
            f"Probabilities of classes are trained with {case.loss_name}.",
            "Its gradient vanishes where the network is surely wrong, so it learns slowly or not at all.",
            'Take cross-entropy: `loss="categorical_crossentropy"`, or `"sparse_categorical_crossentropy"` for codes.',
        )
    low, high = BOUNDS.get(activation, (-np.inf, np.inf))
    beyond = float(np.mean((targets < low) | (targets > high))) if targets.size and not case.rescales else 0.0
    if beyond > 0.01:
        return Finding(
            "error",
            f"{percent(beyond)} of the targets lie outside {low:g} to {high:g}, which is all that the last activation, "
            f"{activation}, can reach.",
            "The network cannot answer with them, however long it is trained.",
            "End with a linear layer: `keras.layers.Dense(outputs, activation=None)`.",
        )
    return None


def _for_ctc(case, y, outputs, activation):
    lengths = (y != 0).sum(axis=1)
    inside = np.arange(y.shape[1]) < lengths[:, None]
    if ((y == 0) & inside).any():
        return Finding(
            "error",
            "Some label sequences hold the code 0 within.",
            "For CTC, 0 is the blank and the padding; labels behind it are not counted as they stand.",
            "Number the labels from 1 on, and pad with 0 on the right: `codes + 1`.",
        )
    repeats = ((y[:, 1:] == y[:, :-1]) & inside[:, 1:]).sum(axis=1)
    if (lengths + repeats > outputs.shape[1]).any():
        return Finding(
            "error",
            f"The longest labels need {int((lengths + repeats).max())} steps, but the outputs have {outputs.shape[1]}.",
            "CTC gives each label a step of its own, and one between equal neighbours; what does not fit is never "
            "learnt.",
            "Shorten the inputs less before the recurrent layers (smaller strides), or leave such rows out.",
        )
    return None


def initial_loss(case) -> Finding | None:
    """A fresh network that does far worse than a constant."""
    if case.has_trained or case.history is not None or "training" not in case.constant_losses:
        return None
    now, floor = case.losses["training"], case.constant_losses["training"]
    if not np.isfinite(now) or not floor > 0 or now / floor <= case.limits["initial_loss"]:
        return None
    width = case.outputs["training"][0].shape[-1]
    wanted = f", and log({width}) = {np.log(width):.2f} knows nothing" if case.kind == "classes" else ""
    return Finding(
        "warning",
        f"Before any training the loss is {now:.3g}; the best constant has {floor:.3g}{wanted}.",
        "The first guesses are far off and sure of themselves: targets or inputs out of scale, or too large a start.",
        "Scale targets and inputs by the training rows, and start the last layer with Keras' own initialiser and zero "
        "biases.",
    )
