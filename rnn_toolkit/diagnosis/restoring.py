"""A model that is looked at, or trained for a while, and left as it was, whatever happens meanwhile."""

import contextlib

import keras

from rnn_toolkit.networks.probing import numpy, recurrent_states
from rnn_toolkit.training.snapshots import random_state, set_random_state


@contextlib.contextmanager
def untouched(model: keras.Model):
    """Let a model be trained, called or changed for a while, and leave it as it was: also behind an error.

    Weights, their regularizers, seeds and states, the optimizer with all that it keeps, metrics, attributes of the
    layers, and the global random generators are put back. Inside, `model.optimizer` may be replaced through
    `vars(model)`.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> with untouched(model):
        ...     _ = model.layers[0].kernel.assign([[7.0]])
        >>> float(model.layers[0].kernel.numpy()[0, 0])
        1.0
    """
    optimizer = getattr(model, "optimizer", None)
    inside = getattr(optimizer, "inner_optimizer", None)
    holders = [*model._flatten_layers(), *(one for one in (optimizer, inside) if one is not None)]
    attributes = [(one, dict(vars(one))) for one in holders]
    kept = [*model.variables, *model.metrics_variables, *getattr(optimizer, "variables", ())]
    kept += recurrent_states(model)  # which are not tracked
    values = [(one, numpy(one)) for one in {id(one): one for one in kept}.values()]
    regularizers = [(one, getattr(one, "regularizer", None)) for one in model.trainable_variables]
    random = random_state()
    try:
        yield
    finally:
        for variable, regularizer in regularizers:
            variable.regularizer = regularizer
        for one, before in attributes:
            now = vars(one)  # not by setattr, which would track what is put back
            for name in [name for name in now if name not in before]:
                del now[name]
            now.update(before)
        for variable, value in values:
            variable.assign(value)
        set_random_state(random)


@contextlib.contextmanager
def graphs_as_they_are():
    """Keep TensorFlow from rewriting its graphs for a while: that takes longer than it saves in some dozen runs."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options(before)
