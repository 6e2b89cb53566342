"""Train a network that has learnt something else before, layer by layer."""

import copy
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import pandas as pd

from rnn_toolkit._checks import check_ready, whole_number
from rnn_toolkit.networks.optimization import make_optimizer
from rnn_toolkit.networks.pooling import MaskedPooling
from rnn_toolkit.networks.recurrent import NORMALIZERS
from rnn_toolkit.training import train as training
from rnn_toolkit.training.callbacks import usual_callbacks
from rnn_toolkit.training.feeding import checked
from rnn_toolkit.training.identity import num_batches
from rnn_toolkit.training.resumable import NoteInterrupt


def fine_tune(
    model: keras.Model,
    train,
    validation=None,
    *,
    epochs: int = 10,
    epochs_per_stage: int = 1,
    learning_rate: float = 1e-3,
    decay: float = 2.6,
    schedule: str | None = "one_cycle",
    batch_size: int = 32,
    run_dir: str | os.PathLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    progress: str | None = "auto",
) -> pd.DataFrame:
    """Train a model whose lower layers know something already, without making them forget it.

    In stages: first the head alone, then one layer more each time ("gradual unfreezing"); lower layers train at lower
    rates ("discriminative rates"). Each stage goes on from the best weights of the one before, and with validation data
    the model is left at the best weights of all stages. Afterwards it is compiled as before, with a fresh optimizer,
    and the same layers are trainable as before, also if an error or Ctrl-C ends the training.

    A layer is frozen with its `trainable`; it still drops out what it drops in training. Layers that were frozen from
    the beginning stay so. A normalisation belongs to the layer below it, and what stands behind a `MaskedPooling` to
    one head.

    Args:
        model: A compiled model, such as one of `classifier_from_language_model`; changed in place, as by `train`.
        train: Training data, as in `train`.
        validation: Data to stop and choose by, likewise.
        epochs: Largest number of epochs of the last stage, in which all layers train.
        epochs_per_stage: Those of each stage before; 0 trains all layers from the start.
        learning_rate: Highest rate of the head.
        decay: What the rate is divided by from one layer to the one below; 1 trains all at the same rate.
        schedule: How the rate changes within each stage, as in `make_optimizer`; `None` leaves it constant. Gradients
            are clipped.
        batch_size: Rows in a batch of arrays.
        run_dir: Folder for the runs of the stages, `stage-1` and so on, each a `run_dir` of `train`: whatever stopped
            the training, the same call goes on. `None` writes nothing.
        callbacks: Instead of `default_callbacks()`, in each stage; then the weights that the last stage ends with stay.
        progress: "auto", "live" or `None`, as in `train`.

    Returns:
        The table that `train` returns, for all stages: a row an epoch, with the number of its `stage`.

    Raises:
        TypeError, ValueError: If the model is not compiled or has nothing to train, a number is out of range, the
            schedule cannot know its steps, or what `train` raises.

    Example:
        >>> import numpy as np
        >>> layers = [keras.layers.SimpleRNN(2), keras.layers.Dense(1)]
        >>> model = keras.Sequential([keras.Input((3, 1)), *layers])
        >>> model.compile(loss="mse")
        >>> data = np.zeros((4, 3, 1)), np.zeros((4, 1))
        >>> fine_tune(model, data, epochs=2, progress=None)["stage"].tolist()
        [1, 2, 2]

    Source: Howard and Ruder, 2018, "Universal language model fine-tuning for text classification", ACL; 2.6 is theirs.
        "one_cycle" takes the place of their slanted triangles.
    """
    whole_number(epochs, "epochs")
    whole_number(epochs_per_stage, "epochs_per_stage", minimum=0)
    whole_number(batch_size, "batch_size")
    if not 1 <= decay < float("inf"):
        raise ValueError(f"`decay` must be at least 1. Received: {decay}. Try 2.6; 1 trains all layers at one rate.")
    check_ready(model, purpose="A training")
    groups = _groups(model)
    if not groups:
        raise ValueError(f"Model {model.name!r} has no layer to train. Set `layer.trainable = True`.")
    train = checked(train, "train")
    num_steps = None if schedule in (None, "constant") else _num_steps(train, batch_size)
    settings = model.get_compile_config()
    layers, fixed = _trainability(model)

    def stages():
        for stage in range(1 if epochs_per_stage else len(groups), len(groups) + 1):
            _put_back(layers, fixed)
            for layer in itertools.chain.from_iterable(groups[:-stage]):
                layer.trainable = False
            stage_epochs = epochs if stage == len(groups) else epochs_per_stage
            optimizer = make_optimizer(
                learning_rate,
                schedule=schedule,
                steps=num_steps and max(num_steps * stage_epochs, 2),  # up and down takes two
                rate_factors=_rate_factors(model, groups, decay),
            )
            compile_anew(model, {**settings, "optimizer": keras.saving.serialize_keras_object(optimizer)})
            yield stage, train, stage_epochs

    try:
        options = {"batch_size": batch_size, "run_dir": run_dir, "callbacks": callbacks, "progress": progress}
        return train_in_stages(model, stages(), validation, **options)
    finally:
        _put_back(layers, fixed)
        compile_anew(model, settings)


def train_in_stages(model, stages, validation, *, run_dir, callbacks, **options) -> pd.DataFrame:
    """Train stage by stage, each from the best weights of the one before, to the last or to Ctrl-C.

    Args:
        model: A compiled model; changed in place.
        stages: Gives number, training data and epochs of each stage, once the model is ready for it.
        validation: Data to stop and choose by, or `None`.
        run_dir: Folder for the runs of the stages, or `None`.
        callbacks: Those of each stage, or `None` for the usual ones.
        **options: Further arguments of `train`.

    Returns:
        The histories as one, without the starts of all stages but the first: there the stage before ended.
    """
    monitor, histories = "loss" if validation is None else "val_loss", []
    for stage, data, epochs in stages:
        stop = NoteInterrupt()
        chosen = usual_callbacks(model, monitor=monitor) if callbacks is None else callbacks
        folder = None if run_dir is None else Path(run_dir) / f"stage-{stage}"
        options |= {"epochs": epochs, "run_dir": folder, "callbacks": [*chosen, stop]}
        histories.append(training.train(model, data, validation, **options).assign(stage=stage))
        if stop.asked:
            break
    history = pd.concat([histories[0], *(one.loc[1:] for one in histories[1:])])
    return history.set_index(pd.RangeIndex(len(history), name="epoch") + int(0 not in histories[0].index))


def replace_head(model: keras.Model, head: keras.Layer | Sequence[keras.Layer]) -> keras.Model:
    """Build a model that begins as a trained one does, with new layers on top; train it with `fine_tune`.

    The layers below the last one that has weights are copied with theirs; the trained model stays as it is.

    Args:
        model: A trained `keras.Sequential` or functional model.
        head: The new layers, or one.

    Returns:
        The new model, of the same kind, to be compiled.

    Raises:
        TypeError: If the model is of another kind.
        ValueError: If no layer is left to keep, or the head does not fit.

    Example:
        >>> layers = [keras.layers.GRU(4, name="reader"), keras.layers.Dense(9, activation="softmax")]
        >>> trained = keras.Sequential([keras.Input((None, 1)), *layers])
        >>> model = replace_head(trained, keras.layers.Dense(2, activation="softmax", name="new"))
        >>> [layer.name for layer in model.layers], model.output_shape
        (['reader', 'new'], (None, 2))
    """
    if not isinstance(model, keras.Sequential) and not hasattr(model, "operations"):  # of functional models alone
        raise TypeError(f"`model` must be Sequential or functional. Received: {type(model).__name__}.")
    head = [head] if isinstance(head, keras.Layer) else list(head)
    weighted = [place for place, layer in enumerate(model.layers) if layer.weights]
    copied = keras.models.clone_model(model) if weighted else model
    below = copied.layers[weighted[-1]].input if weighted else ()  # of several branches, that of the last head
    if all(any(one is given for given in copied.inputs) for one in keras.tree.flatten(below)):
        raise ValueError(
            f"Model {model.name!r} has no layer below its head; its layers are: "
            f"{', '.join(layer.name for layer in model.layers)}. Build a new model, or train this one as it is, with "
            "`fine_tune`."
        )
    copied.set_weights(model.get_weights())
    try:
        if isinstance(model, keras.Sequential):
            return keras.Sequential([*copied.inputs, *copied.layers[: weighted[-1]], *head])
        output = below
        for layer in head:
            output = layer(output)
        return keras.Model(copied.inputs, output)
    except (ValueError, TypeError) as error:
        kept = [(one._keras_history.operation.name, one.shape) for one in keras.tree.flatten(below)]
        told = " and ".join(f"layer {name!r}, which returns the shape {shape}" for name, shape in kept)
        raise ValueError(f"`head` does not fit on {told}: {error}") from error


def _groups(model) -> list[list]:
    """Return the layers that have something to train, in the groups that are unfrozen one by one, the lowest first."""
    groups = []
    for layer in itertools.chain.from_iterable(map(_inner, model.layers)):
        if not layer.trainable_variables:
            continue
        if groups and (isinstance(layer, tuple(NORMALIZERS.values())) or isinstance(groups[-1][0], MaskedPooling)):
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return groups


def _inner(layer) -> list:
    """Return the layers within a layer that holds a whole model, such as a forecaster's; otherwise the layer."""
    within = layer._flatten_layers(include_self=False)
    if not isinstance(layer, keras.Model) and not any(isinstance(one, keras.Model) for one in within):
        return [layer]
    children = layer.layers if isinstance(layer, keras.Model) else layer._layers
    return list(itertools.chain.from_iterable(map(_inner, children)))


def _rate_factors(model, groups, decay) -> list[float]:
    """Return what each trainable variable's rate is multiplied by; variables outside of all layers belong on top."""
    factors = {}
    for depth, group in enumerate(reversed(groups)):
        for layer in group:
            factors |= {id(variable): decay**-depth for variable in layer.variables}
    return [factors.get(id(variable), 1.0) for variable in model.trainable_variables]


def _num_steps(train, batch_size) -> int:
    """Return the training steps in an epoch, or say that nobody knows them."""
    steps = num_batches(train, batch_size)
    if steps is None:
        raise ValueError(
            f"`train` does not say how many batches it has: {type(train).__name__}. The schedule needs it; pass "
            "arrays or a PyDataset, or schedule=None."
        )
    return steps


def _trainability(model) -> tuple[list, list]:
    """Return whether each layer is trainable, outer layers first, and the variables that are not."""
    # Keras has no public way to all layers within layers; setting `trainable` on one sets it on those within.
    layers = [(layer, layer.trainable) for layer in model._flatten_layers(include_self=False)]
    return layers, [variable for variable in model.variables if not variable.trainable]


def _put_back(layers, fixed):
    for layer, trainable in layers:
        layer.trainable = trainable
    for variable in fixed:
        variable.trainable = False


def compile_anew(model, settings):
    """Compile a model by its `get_compile_config()`, with a fresh optimizer."""
    model.compile_from_config(copy.deepcopy(settings))  # Keras changes what it reads
