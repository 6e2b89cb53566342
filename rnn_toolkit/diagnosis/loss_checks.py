"""What can be wrong between targets, loss and the last activation. Each check takes a `Case`."""

import keras
import numpy as np

from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.findings import Finding, check, error, note, percent

BOUNDS = dict.fromkeys(("sigmoid", "hard_sigmoid", "softmax"), (0.0, 1.0)) | {"tanh": (-1.0, 1.0)}
BOUNDS |= dict.fromkeys(("relu", "softplus"), (0.0, np.inf))


@check("loss and activation")
def loss_and_activation(case: Case) -> Finding | None:
    """A loss that does not fit the last activation, or the form of the targets."""
    y, outputs = case.batches["training"][0][1], case.outputs["training"][0]
    if case.loss is None or not case.loss.is_known or y is None or not np.isfinite(outputs).all():
        return None
    judge = {"numbers": _for_numbers, "binary": _for_binary, "ctc": _for_ctc}.get(case.kind, _for_classes)
    return judge(case, y, outputs, _head_activation(case))


def _head_activation(case: Case) -> str:
    """Return the activation of the layer whose outputs are the model's: others may stand behind it."""
    outputs = case.outputs["training"][0].ravel()
    for layer, values, _ in case.inside["training"].values():
        layer = getattr(layer, "layer", layer)  # of `TimeDistributed`
        activation = "softmax" if isinstance(layer, keras.layers.Softmax) else getattr(layer, "activation", None)
        if activation is not None and values.size == outputs.size and np.allclose(values.ravel(), outputs, atol=1e-6):
            return activation if isinstance(activation, str) else getattr(activation, "__name__", "")
    return ""


def _for_classes(case: Case, y, outputs, activation: str) -> Finding | None:
    if outputs.shape[-1] == 1:
        return error(
            f"The model has one output, but its loss, {case.loss.name}, wants one for each class.",
            "A softmax over a single output is always 1, whatever the network says.",
            'Of two classes: a sigmoid and `model.compile("adam", "binary_crossentropy")`; of more, an output each.',
        )
    adds_up = np.abs(outputs.sum(axis=-1) - 1).max() < 3e-2  # in bfloat16, too
    found = _for_probabilities(case, outputs, "softmax", has_it=adds_up)
    if found is not None or case.loss.from_logits or adds_up:
        return found
    return Finding(
        _despite_logits(),
        f"The outputs of a row add up to {outputs.sum(axis=-1).mean():.2f}, not to 1 (activation: {activation}).",
        "Probabilities of classes that exclude each other add up to 1; these cannot be trusted.",
        'End with a softmax; of several labels at once, a sigmoid and `model.compile("adam", "binary_crossentropy")`.',
    )


def _for_binary(case: Case, y, outputs, activation: str) -> Finding | None:
    if y.size and (y.max() > 1 or y.min() < 0):
        return error(
            f"The targets go from {y.min():g} to {y.max():g}, but binary cross-entropy knows 0 and 1.",
            "Other numbers reward outputs beyond any bound, so the loss falls below zero and means nothing.",
            'For codes of classes take a softmax and `model.compile("adam", "sparse_categorical_crossentropy")`.',
        )
    alone = outputs.shape[-1] == 1
    if activation == "softmax" and (alone or not np.allclose(y.sum(axis=-1), 1)):  # of one label each it does no harm
        return error(
            f"Under a binary cross-entropy stands a softmax over {outputs.shape[-1]} output{'s' * (not alone)}.",
            f"A softmax {'over one output is always 1' if alone else 'ties the outputs; the loss takes each alone'}.",
            'Take a sigmoid; or, where one class is right, `model.compile("adam", "categorical_crossentropy")`.',
        )
    return _for_probabilities(case, outputs, "sigmoid", has_it=activation in ("sigmoid", "hard_sigmoid", "softmax"))


def _for_probabilities(case: Case, outputs, wanted: str, *, has_it: bool) -> Finding | None:
    """Find outputs that are probabilities where the loss makes some itself, or are none where it does not."""
    are_possible = bool(outputs.min() >= -1e-3 and outputs.max() <= 1 + 1e-3)
    if case.loss.from_logits and has_it and are_possible:
        return Finding(
            _despite_logits(),
            f"The outputs have gone through a {wanted}, and the loss applies another (from_logits=True).",
            "Behind two of them the loss cannot fall far; TensorFlow sees through it, JAX and PyTorch do not.",
            f"Take one away: `keras.layers.Dense({outputs.shape[-1]})`, or a loss without from_logits.",
        )
    if case.loss.from_logits or are_possible:
        return None
    return error(
        f"The outputs go from {outputs.min():.2g} to {outputs.max():.2g}, but the loss reads them as probabilities.",
        "What lies outside 0 to 1 is cut off there, and gets no gradient.",
        f'End with a {wanted}, `keras.layers.Activation("{wanted}")`, or give the loss from_logits=True.',
    )


def _despite_logits() -> str:
    """Return how grave it is: TensorFlow's backend goes back to the logits (nn.py, `_get_logits`)."""
    return "warning" if keras.backend.backend() == "tensorflow" else "error"


def _for_numbers(case: Case, y, outputs, activation: str) -> Finding | None:
    squeezed = [tuple(size for size in one.shape[1:] if size != 1) for one in (y, outputs)]
    if squeezed[0] != squeezed[1] and not case.rescales:
        codes = y.dtype.kind in "iub" and len(np.unique(y)) <= outputs.shape[-1]
        return error(
            f"The targets of a row have shape {y.shape[1:]}, the outputs {outputs.shape[1:]}, under {case.loss.name}.",
            "They are stretched to fit each other without a word, so each output is drawn to every target.",
            'Of codes of classes take a softmax and `model.compile("adam", "sparse_categorical_crossentropy")`.'
            if codes
            else f"Give the last layer the shape of the targets: `keras.layers.Dense({int(np.prod(y.shape[1:]))})`.",
        )
    targets = y[np.isfinite(y)] if y.dtype.kind == "f" else y
    if activation == "softmax" and set(np.unique(targets)) <= {0, 1}:
        return note(
            f"Probabilities of classes are trained with {case.loss.name}.",
            "Its gradient vanishes where the network is surely wrong, so it learns slowly or not at all.",
            'Take cross-entropy: `model.compile("adam", "categorical_crossentropy")`, or its sparse form for codes.',
        )
    low, high = BOUNDS.get(activation, (-np.inf, np.inf))
    beyond = float(np.mean((targets < low) | (targets > high))) if targets.size and not case.rescales else 0.0
    if beyond <= case.limits["out_of_reach"]:
        return None
    return error(
        f"{percent(beyond)} of the targets lie outside {low:g} to {high:g}, where its {activation} ends.",
        "The network cannot answer with them, however long it is trained.",
        f"End with a linear layer: `keras.layers.Dense({outputs.shape[-1]}, activation=None)`.",
    )


def _for_ctc(case: Case, y, outputs, activation: str) -> Finding | None:
    lengths = (y != 0).sum(axis=1)
    inside = np.arange(y.shape[1]) < lengths[:, None]
    if ((y == 0) & inside).any():
        return error(
            "Some label sequences hold the code 0 within.",
            "For CTC, 0 is the blank and the padding; labels behind it are not counted as they stand.",
            "Number the labels from 1 on: `y, lengths = rt.pad([codes + 1 for codes in sequences])`.",
        )
    needed = lengths + ((y[:, 1:] == y[:, :-1]) & inside[:, 1:]).sum(axis=1)
    if needed.max() <= outputs.shape[1]:
        return None
    return error(
        f"The longest labels need {int(needed.max())} steps, but the outputs have {outputs.shape[1]}.",
        "CTC gives each label a step of its own, and one between equal neighbours; what does not fit is never learnt.",
        "Shorten the inputs less before the recurrent layers (smaller strides), or leave such rows out.",
    )
