"""What can be wrong with a model before it is trained, and what shows inside. Each check takes a `Case`."""

import keras
import numpy as np

from rnn_toolkit.data_checks import input_scale
from rnn_toolkit.findings import Finding, percent
from rnn_toolkit.inspection import untouched
from rnn_toolkit.probing import array, compiled

BOUNDS = {"sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0)}
BOUNDS |= {"relu": (0.0, np.inf), "softplus": (0.0, np.inf)}
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


def frozen_layers(case) -> Finding | None:
    """Layers that are not trained although they still are at their random start."""
    if not case.model.trainable_variables:
        return Finding(
            "error",
            "No weight of the model is trainable.",
            "Nothing can be learnt.",
            "Set `model.trainable = True`, compile again, and train.",
        )
    names = [name for name, one in case.named.items() if not one.trainable and _at_random_start(one)]
    if not names:
        return None
    return Finding(
        "warning",
        f"Layer {names[0]!r} {f'and {len(names) - 1} more are' if len(names) > 1 else 'is'} frozen, and the weights "
        f"still "
        "lie as they were drawn.",
        "A layer that is not trained passes on random features; freezing is for weights that have been learnt.",
        f'Set `model.get_layer("{names[0]}").trainable = True`, compile again, and train.',
    )


def _at_random_start(layer) -> bool:
    cell = getattr(layer, "cell", None)
    if cell is not None and hasattr(cell, "recurrent_kernel"):
        kernel = array(cell.recurrent_kernel)
        return bool(np.allclose(kernel @ kernel.T, np.eye(len(kernel)), atol=1e-3))  # orthogonal, as Keras draws it
    kernel = getattr(layer, "kernel", getattr(layer, "embeddings", None))
    if kernel is None or not hasattr(kernel, "shape") or len(kernel.shape) != 2 or isinstance(layer, keras.layers.RNN):
        return False
    values, (rows, columns) = array(kernel), kernel.shape
    limit = 0.05 if hasattr(layer, "embeddings") else np.sqrt(6 / (rows + columns))  # uniform, as Keras draws it
    inside = np.abs(values).max() <= limit * 1.0001
    return bool(inside and values.size >= 20 and abs(values.std() / (limit / np.sqrt(3)) - 1) < 0.15)


def symmetric_initialisation(case) -> Finding | None:
    """Units that are copies of each other."""
    table = case.statistics
    # A last layer of zeros is a sound start: it gets gradients from the first step on, and hands some on from the next.
    counts = (table["zero_weights"] < 1) | table.index.isin(case.recurrent)
    share = table["identical_units"].where(counts).astype("float64")
    if not share.max() > case.limits["identical_units"]:
        return None
    return Finding(
        "error",
        f"{percent(share.max())} of the units of layer {share.idxmax()!r} have the very weights of another.",
        "Equal units get equal gradients and stay equal, so many do no more than one; all zeros never learn.",
        'Start with random weights: `kernel_initializer="glorot_uniform"`, `recurrent_initializer="orthogonal"`.',
    )


def dead_units(case) -> Finding | None:
    """Units that always say the same."""
    table = case.statistics
    share = table["dead_units"].where(table["zero_weights"].fillna(0) < 1).astype("float64")
    if not share.max() > case.limits["dead_units"]:
        return None
    kind = getattr(getattr(case.named[share.idxmax()], "activation", None), "__name__", "")
    first = 'Take `activation="tanh"`, ' if "relu" in kind else "Scale the inputs to deviation 1, "
    return Finding(
        "warning",
        f"{percent(share.max())} of the units of layer {share.idxmax()!r} give the same output at every step of every "
        "row.",
        "A unit that does not answer to its input gets no gradient and never comes back: a ReLU below zero, or gates "
        "driven into their bounds.",
        f"{first}biases of 0 and a lower learning rate, and start anew.",
    )


def saturated_gates(case) -> Finding | None:
    """Gates that stand at their bounds."""
    share = case.statistics["saturation"].astype("float64")
    if not share.max() > case.limits["saturation"]:
        return None
    return Finding(
        "note" if case.has_learnt else "warning",
        f"{percent(share.max())} of the gates of layer {share.idxmax()!r} stand within 5 % of open or shut.",
        "There the slope of a sigmoid or tanh is near zero, so almost no gradient gets through.",
        "Scale the inputs to deviation 1, keep Keras' initialisers, and lower the learning rate, in this order.",
    )


def exploding_gradients(case) -> Finding | None:
    """Gradients that grow on their way back through time."""
    if case.flow is None:
        return None
    radius = case.statistics["spectral_radius"].astype("float64")
    growth = _growth(case)
    highest = max(growth.values(), default=0.0)
    is_large = bool(radius.max() > case.limits["spectral_radius"])
    # Gates hold a state in check that a SimpleRNN would let grow.
    is_bare = is_large and isinstance(case.named[radius.idxmax()], keras.layers.SimpleRNN)
    is_growing = highest > case.limits["exploding"] or (is_large and highest > 10)
    burst = _burst(case)
    if not (is_growing or burst or (is_bare and not case.has_learnt)):
        return None
    name = radius.idxmax() if is_large or not growth else max(growth, key=growth.get)
    grows = f"; the gradient at the first step is {highest:.2g} times that at the last" if highest > 10 else ""
    burst = f" In training the gradients' norm went up to {burst:.2g}." if burst else ""
    return Finding(
        "note" if not burst and (case.has_learnt or not (is_large or case.has_trained)) else "warning",
        f"The recurrent kernel of layer {name!r} has a spectral radius of {radius.get(name, np.nan):.2g}{grows}."
        f"{burst}",
        "Above 1 each step back in time multiplies the gradient, or drives the state into its bounds.",
        'Start with `recurrent_initializer="orthogonal"`, clip: `rt.make_optimizer(clip=1.0)`, and prefer an LSTM or '
        "GRU.",
    )


def _burst(case) -> float | None:
    """Return the largest norm of a training's gradients, if it stands far above the others."""
    if case.history is None or "gradient_norm_max" not in case.history:
        return None
    largest, usual = case.history["gradient_norm_max"].max(), case.history["gradient_norm"].median()
    return float(largest) if largest > case.limits["gradient_burst"] * usual else None


def vanishing_gradients(case) -> Finding | None:
    """Gradients that do not reach the first steps."""
    if case.flow is None:
        return None
    growth = _growth(case)
    # A fresh network forgets much that it may yet learn to keep.
    limit = case.limits["vanishing"] if case.has_trained else case.limits["vanishing"] ** 2
    if not growth or max(growth.values()) > limit:
        return None
    name = max(growth, key=growth.get)
    share, is_simple = growth[name], isinstance(case.recurrent.get(name), keras.layers.SimpleRNN)
    first = "Take an LSTM or GRU" if is_simple else "Start an LSTM with a large forget bias"
    return Finding(
        "note" if case.has_learnt or not case.has_trained else "warning",
        f"Of the gradient at the last of {case.flow[name].count()} time steps, "
        f"{f'{share:.1g}' if share else 'nothing'} "
        f"arrives at the first, in layer {name!r}.",
        "What happened before cannot be learnt: each step back multiplies the gradient by less than 1.",
        f"{first}; over long sequences read several steps as one, `keras.layers.Conv1D(32, 8, strides=8)` before the "
        "recurrent layer.",
    )


def _growth(case) -> dict[str, float]:
    """Return what the first step read gets of the gradient at the last, of each layer of ten steps or more."""
    shares = case.flow.attrs["first_to_last"].items()
    return {name: share for name, share in shares if case.flow[name].count() >= 10 and np.isfinite(share)}


def input_not_used(case) -> Finding | None:
    """Outputs that are the same whatever comes in."""
    outputs = case.outputs["training"][0]
    outputs = outputs.reshape(len(outputs), -1)
    if len(outputs) < 2 or not np.isfinite(outputs).all():
        return None
    size = np.abs(outputs).mean() or 1.0
    if outputs.std(axis=0).max() / size > case.limits["unread"]:
        return None
    return Finding(
        "warning" if input_scale(case) else "error",  # where gates are shut by inputs out of scale, that is the cause
        f"The outputs of {len(outputs)} different rows are all the same.",
        "Nothing of the input gets through to the end: a layer is dead, multiplied by zero, or connected elsewhere.",
        "Look from layer to layer for the place where the spread ends: `rt.layer_statistics(model, x)`, column "
        "`activation_std`.",
    )


def random_outputs(case) -> Finding | None:
    """Outputs that differ when nothing does."""
    first = case.outputs["training"][0]
    with untouched(case.model):
        again = array(compiled(case.model)(case.batches["training"][0][0]))
    apart, size = np.abs(first - again).max(), np.abs(first).max()
    if not apart > case.limits["repeatable"] * size:
        return None
    return Finding(
        "note",
        f"Two passes over the same rows give outputs that differ by up to {apart / size:.1g} of their size.",
        "Some layer is random in use, too, such as dropout called with `training=True`; so is then what was measured "
        "here.",
        "If that is meant, read the other findings with care; else pass `training` on as it comes.",
    )


def one_batch(case) -> Finding | None:
    """A network that cannot learn even a single batch by heart."""
    if case.has_learnt:
        return None
    table = case.overfit
    if table.attrs["overfits"] or table.attrs["out_of_time"]:
        return None
    return Finding(
        "warning" if case.has_trained else "note",  # a small network may need its time
        f"Trained on one batch alone, the loss went from {table.attrs['initial']:.3g} to {table.attrs['final']:.3g} in "
        f"{len(table)} steps, and not to zero.",
        "A sound network learns a few rows by heart; one that cannot is too small, or something stands in its way.",
        "Mend the other findings first; then give it more units, `rt.recurrent_layers(units=(64,))`, and try again: "
        "`rt.overfit_one_batch(model, train)`.",
    )


def slow_kernel(case) -> Finding | None:
    """Options that switch off the fast kernel of a GPU."""
    for name, layer in case.recurrent.items():
        if not isinstance(layer, keras.layers.LSTM | keras.layers.GRU):
            continue
        wanted = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "unroll": False}
        wanted |= {"recurrent_dropout": 0.0} | ({"reset_after": True} if isinstance(layer, keras.layers.GRU) else {})
        for option, value in wanted.items():
            has = getattr(layer, option)
            has = getattr(has, "__name__", has)
            if has != value:
                return Finding(
                    "note",
                    f"Layer {name!r} has {option}={has!r}.",
                    "On a GPU, TensorFlow then steps through time one by one, several times slower than its fast "
                    "kernel.",
                    f"Leave it at {option}={value!r} if training is to be fast; `dropout` works with the fast kernel.",
                )
    return None


def parameters(case) -> Finding | None:
    """More weights than the examples can settle."""
    examples = len(case.train) * (case.train.x.shape[1] if case.is_language_model else 1)
    if not case.train.is_whole or case.num_parameters <= case.limits["parameters"] * examples:
        return None
    return Finding(
        "note",
        f"The model has {case.num_parameters:,} weights for {examples:,} training examples.",
        "It can learn them by heart, so only validation tells whether it learns more than that.",
        "Fewer units, `dropout=0.3`, early stopping (`rt.default_callbacks()`), or more data.",
    )
