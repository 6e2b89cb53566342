"""Code of ours inside a compiled training step: around `optimizer.apply`, which gets the gradients on every backend.

Keras shows a callback the losses only. While `fit` runs, `optimizer.apply` is replaced, and what is computed around it
becomes part of the compiled step. Left out: several replicas (`tf.distribute`), where no single call sees the gradients
of the whole batch.
"""

import functools

import keras
import numpy as np
from keras import ops

from rnn_toolkit._checks import check_ready, check_trainable
from rnn_toolkit.networks.optimization import unwrapped
from rnn_toolkit.networks.probing import numpy


class Interception:
    """Stands in for `optimizer.apply` while callbacks look into it."""

    def __init__(self, apply):
        self.apply, self.wrappers = apply, []

    def __call__(self, grads, trainable_variables=None):
        return functools.reduce(lambda inner, outer: functools.partial(outer, inner), self.wrappers, self.apply)(
            grads, trainable_variables
        )


def intercept(model, wrapper, *, outermost=False):
    """Let `wrapper(apply, grads, variables)` be called instead of `optimizer.apply`, within others or around them."""
    check_ready(model, purpose="A look at its gradients")
    check_trainable(model)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)  # no variable can be made within a condition
    attributes = vars(unwrapped(model.optimizer))  # not by setattr, which would track it for saving
    if not isinstance(attributes.get("apply"), Interception):
        attributes["apply"] = Interception(unwrapped(model.optimizer).apply)
    wrappers = attributes["apply"].wrappers
    wrappers.insert(len(wrappers) if outermost else 0, wrapper)
    model.make_train_function(force=True)  # `fit` has made it already, but not traced it


def release(model, wrapper):
    """Undo `intercept`; do nothing if it is undone, or was never done."""
    attributes = {} if model is None else vars(unwrapped(model.optimizer))
    stand_in = attributes.get("apply")
    if isinstance(stand_in, Interception) and wrapper in stand_in.wrappers:
        stand_in.wrappers.remove(wrapper)
        if not stand_in.wrappers:
            del attributes["apply"]
        model.train_function = None


class Inside:
    """Arrays that the compiled step fills: `sum` adds up, `max` keeps the largest.

    Variables of their own, which no model or optimizer saves; on JAX, which knows no assignment, NumPy arrays that
    the step sends its values out to.
    """

    def __init__(self, **sizes: int):
        self._on_jax = keras.backend.backend() == "jax"
        zeros = {name: np.zeros(size, "float32") for name, size in sizes.items()}
        make = functools.partial(keras.Variable, trainable=False, dtype="float32", name="monitoring")
        self._held = zeros if self._on_jax else {name: make(values) for name, values in zeros.items()}

    def add(self, values):
        if self._on_jax:
            import jax

            jax.debug.callback(self._add_arrays, values)
            return
        for name, value in values.items():
            held = self._held[name]
            held.assign({"sum": ops.add, "max": ops.maximum}[name](held, value))

    def _add_arrays(self, values):
        for name, value in values.items():
            self._held[name] = {"sum": np.add, "max": np.maximum}[name](self._held[name], np.asarray(value))

    def read(self) -> dict[str, np.ndarray]:
        if self._on_jax:
            import jax

            jax.effects_barrier()  # values may still be on their way
        return {name: np.array(held) if self._on_jax else numpy(held) for name, held in self._held.items()}

    def write(self, **values):
        for name, value in values.items():
            if self._on_jax:
                self._held[name] = np.array(value, "float32")
            else:
                self._held[name].assign(value)


def is_distributed(model) -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    with model.distribute_strategy.scope():
        return tf.distribute.has_strategy()


def float32(tensor):
    return ops.cast(tensor, "float32")
