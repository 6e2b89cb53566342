"""A model of one weight, whose gradients can be worked out by hand, and how it is trained, a row a step."""

import keras
import numpy as np
import pandas as pd
import pytest

NOT_ON_TORCH = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras runs one step at a time there, and not compiled"
)
# TensorFlow takes longer to compile a step than to run it a few times; JAX compiles every loop anyway.
EAGERLY = keras.backend.backend() == "tensorflow"


def line(optimizer="sgd", *, loss="mse", **compiling) -> keras.Model:
    """Return y = w x with w = 1: the loss (w x - 0)² of x = 3 has the gradient 2 · 3 · 3 w = 18.

    It runs as is quickest, unless told otherwise.
    """
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="line")
    model = keras.Sequential([keras.Input((1,)), dense], name="model")
    how = {} if {"jit_compile", "steps_per_execution"} & compiling.keys() else {"run_eagerly": EAGERLY}
    model.compile(optimizer, loss, **how | compiling)
    return model


def fit(model, x, callbacks, y=None, **options) -> pd.DataFrame:
    """Fit one row a step in the given order, and return the history."""
    x = np.array(x, "float32").reshape(len(x), -1)
    y = np.zeros((len(x), 1), "float32") if y is None else np.array(y, "float32").reshape(-1, 1)
    options = {"batch_size": 1, "shuffle": False, "verbose": 0} | options
    return pd.DataFrame(model.fit(x, y, callbacks=callbacks, **options).history)


def weight(model) -> float:
    """Return the weight."""
    return float(model.get_weights()[0].item())
