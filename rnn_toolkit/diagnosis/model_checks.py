"""What can be wrong with a model before it is trained, and what shows inside. Each check takes a `Case`."""

import keras
import numpy as np

from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.data_checks import input_scale
from rnn_toolkit.diagnosis.dry_runs import set_optimizer, train_on
from rnn_toolkit.diagnosis.findings import Finding, check, error, percent, warning
from rnn_toolkit.diagnosis.layer_health import statistics_of
from rnn_toolkit.diagnosis.restoring import untouched
from rnn_toolkit.networks.probing import array


@check("frozen layers")
def frozen_layers(case: Case) -> Finding | None:
    """Layers that are not trained although they still are at their random start."""
    if not case.model.trainable_variables:
        return error(
            "No weight of the model is trainable.",
            "Nothing can be learnt.",
            "Set `model.trainable = True`, compile again, and train.",
        )
    names = [name for name, one in case.named.items() if not one.trainable and _at_random_start(one)]
    if not names:
        return None
    more = f", as are {len(names) - 1} more" if len(names) > 1 else ""
    layer = case.named[names[0]]
    holders = [one.name for one in case.model.layers if layer in one._flatten_layers()]  # it may lie inside another
    return warning(
        f"Layer {names[0]!r} is frozen{more}, and the weights still lie as they were drawn.",
        "A layer that is not trained passes on random features; freezing is for weights that have been learnt.",
        f'Set `model.get_layer("{[*holders, names[0]][0]}").trainable = True`, compile again, and train.',
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


@check("symmetric initialisation")
def symmetric_initialisation(case: Case) -> Finding | None:
    """Units that are copies of each other."""
    table = case.statistics
    # A last layer of zeros is a sound start: it gets gradients from the first step on, and hands some on from the next.
    counts = (table["zero_weights"] < 1) | table.index.isin(case.recurrent)
    share = table["identical_units"].where(counts).astype("float64")
    if not share.max() > case.limits["identical_units"] or _grow_apart(case, share.idxmax()):
        return None
    return error(
        f"{percent(share.max())} of the units of layer {share.idxmax()!r} have the very weights of another.",
        "Equal units get equal gradients and stay equal, so many do no more than one; all zeros never learn.",
        'Start with random weights, as Keras does: `keras.layers.GRU(32, kernel_initializer="glorot_uniform")`.',
    )


def _grow_apart(case: Case, name: str) -> bool:
    """Return whether the equal units of a layer soon differ, as those of an output do, which learn different things."""
    with untouched(case.model):
        set_optimizer(case.model, keras.optimizers.SGD(0.01))
        for _ in range(2):
            train_on(case.model, case.batches["training"][0])
        share = statistics_of(case.model, {}).loc[name, "identical_units"]
    return not share > case.limits["identical_units"]


@check("dead units")
def dead_units(case: Case) -> Finding | None:
    """Units that always say the same."""
    table = case.statistics
    share = table["dead_units"].where(table["zero_weights"].fillna(0) < 1).astype("float64")
    if not share.max() > case.limits["dead_units"]:
        return None
    kind = getattr(getattr(case.named[share.idxmax()], "activation", None), "__name__", "")
    return warning(
        f"{percent(share.max())} of the units of layer {share.idxmax()!r} always give the same output.",
        "Without an answer to its input a unit gets no gradient: a ReLU below zero, or gates driven into their bounds.",
        'Take a `keras.layers.Activation("tanh")`, biases of 0 and a lower learning rate, and start anew.'
        if "relu" in kind
        else "Scale the inputs to deviation 1, take biases of 0 and a lower learning rate, and start anew.",
    )


@check("saturated gates", needs="recurrent layers")
def saturated_gates(case: Case) -> Finding | None:
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


@check("exploding gradients", needs="recurrent layers")
def exploding_gradients(case: Case) -> Finding | None:
    """Gradients that grow on their way back through time."""
    radius = case.statistics["spectral_radius"].astype("float64")
    growth = _growth(case)
    highest = max(growth.values(), default=0.0)
    is_large = bool(radius.max() > case.limits["spectral_radius"])
    # Gates hold a state in check that a SimpleRNN would let grow.
    is_bare = is_large and case.is_simple(radius.idxmax())
    is_growing = highest > case.limits["exploding"] or (is_large and highest > 10)
    burst = _burst(case)
    if not (is_growing or burst or (is_bare and not case.has_learnt)):
        return None
    name = radius.idxmax() if is_large or not growth else max(growth, key=growth.get)
    grows = f"; the gradient at the first step is {highest:.2g} times that at the last" if highest > 10 else ""
    seen = f" In training the gradients' norm went up to {burst:.2g}." if burst else ""
    return Finding(
        "note" if not burst and (case.has_learnt or not (is_large or case.has_trained)) else "warning",
        f"The recurrent kernel of layer {name!r} has a spectral radius of {radius.get(name, np.nan):.2g}{grows}.{seen}",
        "Above 1 each step back in time multiplies the gradient, or drives the state into its bounds.",
        "Take an LSTM or GRU as Keras starts it, `keras.layers.GRU(32)`, and clip: `rt.make_optimizer(clip=1.0)`.",
    )


def _burst(case: Case) -> float | None:
    """Return the largest norm of a training's gradients, if it stands far above the others."""
    if case.history is None or "gradient_norm_max" not in case.history:
        return None
    largest, usual = case.history["gradient_norm_max"].max(), case.history["gradient_norm"].median()
    # Where all has been learnt, the usual norm is next to nothing; one below 1 is small beside no other.
    return float(largest) if largest > case.limits["gradient_burst"] * max(usual, 1.0) else None


@check("vanishing gradients", needs="recurrent layers")
def vanishing_gradients(case: Case) -> Finding | None:
    """Gradients that do not reach the first steps."""
    growth = _growth(case)
    name = max(growth, key=growth.get, default="")
    share = growth.get(name, 1.0)
    # A fresh network forgets much that it may yet learn to keep; a GRU as Keras starts it keeps half of each step.
    limit = case.limits["vanishing"] if case.has_trained else case.limits["vanishing"] ** 2
    if share > limit or share ** (1 / (case.flow[name].count() - 1)) > case.limits["vanishing_step"]:
        return None
    return Finding(
        "note" if case.has_learnt or not case.has_trained else "warning",
        f"Of the gradient at the last of {case.flow[name].count()} time steps, {share:.1g} arrives at the first, in "
        f"layer {name!r}.",
        "What happened before cannot be learnt: each step back multiplies the gradient by less than 1.",
        f"{'Take an LSTM or GRU' if case.is_simple(name) else 'Take an LSTM with a large forget bias'}; or read "
        "several steps as one, `keras.layers.Conv1D(32, 8, strides=8)` before the recurrent layer.",
    )


def _growth(case: Case) -> dict[str, float]:
    """Return what the first step read gets of the gradient at the last, of each layer of ten steps or more."""
    shares = case.flow.attrs["first_to_last"].items()
    return {name: share for name, share in shares if case.flow[name].count() >= 10 and np.isfinite(share)}


@check("input not used")
def input_not_used(case: Case) -> Finding | None:
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
        'Look for the layer where the deviation falls to zero: `rt.layer_statistics(model, x)["activation_std"]`.',
    )


@check("cannot overfit one batch")
def one_batch(case: Case) -> Finding | None:
    """A network that cannot learn even a single batch by heart."""
    if case.has_learnt:
        return None
    table = case.overfit
    if table.attrs["overfits"] or table.attrs["out_of_time"]:
        return None
    first, last = table.attrs["initial"], table.attrs["final"]
    # A small network may need its time, and a forecaster of ours is as small as its rows are few: its start says most.
    is_sound = case.rescales and last < case.limits["on_its_way"] * first
    return Finding(
        "note" if is_sound or not case.has_trained else "warning",
        f"Trained on one batch alone, the loss went from {first:.3g} to {last:.3g} in {len(table)} steps.",
        "A sound network learns a few rows by heart; one that cannot is too small, or something stands in its way.",
        "Mend the other findings, give it more units, and try again: `rt.overfit_one_batch(model, train)`.",
    )
