"""Cases for the checks: small models, which no check trains, and measurements that are given instead of made."""

import functools

import keras
import numpy as np
import pandas as pd

from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.thresholds import limits

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 12, 2)).astype("float32")
Y = X[:, -3:, :1].mean(axis=1)
CODES = RANDOM.integers(1, 9, (60, 6)).astype("int32")
LABELS = (np.arange(60) % 3).astype("int32")
SPARSE = keras.losses.SparseCategoricalCrossentropy


@functools.cache
def averaging(shape, outputs=1, loss="mse", is_text=False):
    """Return a compiled model without recurrent layers, the same one for the same arguments."""
    layers = [keras.layers.Embedding(10, 4)] if is_text else []
    head = keras.layers.Dense(outputs, activation="softmax" if outputs > 1 else None)
    inputs = keras.Input(shape, dtype="int32" if is_text else "float32")
    model = keras.Sequential([inputs, *layers, keras.layers.GlobalAveragePooling1D(), head])
    model.compile("adam", loss)
    return model


def case_of(train, validation=None, *, loss="mse", outputs=1, **changes):
    """Return a case of data, with changed limits."""
    model = averaging(train[0].shape[1:], outputs, loss, train[0].dtype.kind == "i")
    return Case(model, train, validation, None, limits(changes))


def classes_of(train, validation=None, **changes):
    """Return a case of three classes."""
    return case_of(train, validation, loss="sparse_categorical_crossentropy", outputs=3, **changes)


def gru(units=4, **options):
    """Return a compiled model of one recurrent layer."""
    layer = keras.layers.GRU(units, name="memory", **options)
    model = keras.Sequential([keras.Input((12, 2)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), "mse")
    return model


@functools.cache
def trained_gru():
    """Return a model of one recurrent layer whose optimizer has taken steps; the same one each time."""
    model = gru()
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(10)
    return model


def outputs_case(outputs, y, *, loss, activation=None, **measured):
    """Return a case of which outputs and targets of one batch are given, and whatever else."""
    outputs, y = np.asarray(outputs, "float32"), np.asarray(y)
    head = keras.layers.Dense(outputs.shape[-1], activation=activation)
    model = keras.Sequential([keras.Input((12, 2)), keras.layers.Flatten(), head])
    model.compile("adam", loss)
    case = Case(model, (X[: len(y)], y), None, None, limits())
    inside = {"training": {"head": (head, outputs, None)}}
    vars(case).update({"outputs": {"training": [outputs]}, "inside": inside} | measured)
    return case


def trained_case(history, *, losses=None, constants=None, overfits=True, rates=1e-3, reached=0.5, **measured):
    """Return a case of a trained model with a history, all other measurements given."""
    history = pd.DataFrame(history).set_axis(range(1, len(history["loss"]) + 1))
    case = Case(trained_gru(), (X, Y), (X, Y), history, limits())
    table, test = pd.DataFrame({"loss": [1.0, 0.0]}), pd.DataFrame({"smoothed_loss": [2.0, reached]})
    final = 0.0 if overfits else 0.95
    table.attrs |= {"overfits": overfits, "initial": 1.0, "final": final, "constant": 1.0, "out_of_time": False}
    test.attrs |= {"suggestion": rates, "lowered": True}
    given = {"losses": losses or {}, "constant_losses": constants or {"training": 1.0, "validation": 1.0}}
    given |= {"tells": lambda split: False}  # what a network that nobody trained gives by chance
    vars(case).update(given | {"overfit": table, "rates": test} | measured)
    return case


def falling(first, last, epochs=10, **columns):
    """Return a history whose losses fall evenly, with columns of one value."""
    losses = np.linspace(first, last, epochs)
    return {"loss": losses, "val_loss": losses} | {name: np.full(epochs, value) for name, value in columns.items()}
