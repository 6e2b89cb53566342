"""A model's layers and their outputs, seen from outside."""

import contextlib
import functools
import re

import keras
import numpy as np
from keras import ops


def _inner_layers(layer) -> list:
    """Return the layers directly inside; those that run once per time step cannot be watched from outside."""
    if isinstance(layer, keras.layers.RNN | keras.layers.TimeDistributed):
        return []
    return layer._flatten_layers(include_self=False, recursive=False)  # no public way reaches inside our own wrappers


def named_layers(model) -> dict:
    """Return every layer by a name of its own, inner layers before what holds them.

    Names that Keras has numbered through the whole process (`lstm_7`) are numbered anew within the model, so that the
    same model built twice has the same names.
    """
    named, seen = {}, set()

    def visit(layer, parent):
        if id(layer) not in seen:
            seen.add(id(layer))
            for inner in _inner_layers(layer):
                visit(inner, layer.name)
            numbered = re.fullmatch(r"((?:forward_|backward_)?(.+))_\d+", layer.name)
            is_given = numbered is None or numbered[2].replace("_", "") != type(layer).__name__.lower()
            name, number = (layer.name if is_given else numbered[1]), 0
            while name in named:
                number += 1
                name = f"{parent}/{name}" if is_given else f"{numbered[1]}_{number}"
            named[name] = layer

    visit(model, model.name)
    return named


def owned_variables(model) -> dict:
    """Return the trainable weights by the innermost layer that holds them."""
    owned, taken = {}, set()
    for name, layer in named_layers(model).items():
        own = [v for v in layer.trainable_variables if id(v) not in taken]
        taken.update(id(v) for v in own)
        if own:
            owned[name] = own
    return owned


def recurrent_states(model) -> list:
    layers = (layer for layer in model._flatten_layers() if getattr(layer, "stateful", False))
    return [v for layer in layers for v in keras.tree.flatten(getattr(layer, "states", None)) if v is not None]


def unlisted(model) -> tuple[dict, dict]:
    """Return variables that a model holds and Keras does not list, and its further optimizers, by where they hang.

    Such as the states of stateful layers, a `tf.Variable`, and the second optimizer of a model with a `train_step` of
    its own, whose variables are among them.
    """
    holders = (keras.Layer, keras.Optimizer, keras.Metric, keras.Loss, keras.random.SeedGenerator)
    listed = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    seen, variables, optimizers = {id(one) for one in [*listed, model.optimizer]}, {}, {}

    def visit(value, path):
        if isinstance(value, list | tuple | dict):
            items = value.items() if isinstance(value, dict) else enumerate(value)
        elif isinstance(value, holders):
            items = vars(value).items()
        elif isinstance(value, keras.Variable) or (hasattr(value, "assign") and hasattr(value, "shape")):
            items = ()
        else:
            return
        if id(value) in seen:
            return
        seen.add(id(value))
        if items == ():
            variables[path] = value
        elif isinstance(value, keras.Optimizer):
            optimizers[path] = value
        for name, one in items:
            visit(one, f"{path}.{name}" if path else str(name))

    visit(model, "")
    return variables, optimizers


@contextlib.contextmanager
def _recorded(named):
    """Note each call of the layers as (name, args, kwargs, output), in the order of their ends."""
    calls = []

    def wrap(name, call):
        @functools.wraps(call)
        def recording(*args, **kwargs):
            output = call(*args, **kwargs)
            calls.append((name, args, kwargs, output))
            return output

        return recording

    try:
        for name, layer in named.items():
            vars(layer)["call"] = wrap(name, layer.call)  # not by setattr, which would track it
        yield calls
    finally:
        for layer in named.values():
            vars(layer).pop("call", None)


def compiled_forward(model):
    """Return a function from inputs to outputs, without dropout, and to `{name: (layer, output, arguments)}`.

    The latter of the innermost layers; the arguments are those of recurrent layers, inputs, states and mask, and `None`
    of others. Compiled, because TensorFlow runs a recurrent layer eagerly ten times slower.
    """
    leaves = {name: layer for name, layer in named_layers(model).items() if not _inner_layers(layer)}
    leaves = {name: one for name, one in leaves.items() if not isinstance(one, keras.layers.InputLayer)}

    def watched(run):
        with _recorded(leaves) as calls:
            outputs = run()
        found = {}
        for name, args, kwargs, output in calls:
            values = next((one for one in keras.tree.flatten(output) if "float" in str(one.dtype)), None)
            if name in found or values is None or any(values is one for one in args):  # dropout hands its inputs on
                continue
            names = ("sequences", "initial_state", "mask")
            arguments = dict(zip(names, args, strict=False)) | kwargs
            is_recurrent = isinstance(leaves[name], keras.layers.RNN)
            found[name] = (values, tuple(arguments.get(one) for one in names) if is_recurrent else None)
        return outputs, found

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        traced = tf.function(lambda x: watched(lambda: model(x)), autograph=False)

        def run(x):
            return traced.get_concrete_function(x)(x)  # called itself, TensorFlow warns of the fifth model
    elif keras.backend.backend() == "jax":
        import jax

        stateless = jax.jit(lambda held, x: watched(lambda: model.stateless_call(*held, x)[0]))

        def run(x):
            groups = (model.trainable_variables, model.non_trainable_variables)
            return stateless(tuple([v.value for v in group] for group in groups), x)
    else:

        def run(x):
            return watched(lambda: model(x))

    def forward(x):
        made = run(keras.tree.map_structure(ops.convert_to_tensor, x))
        found = keras.tree.map_structure(lambda one: None if one is None else ops.convert_to_numpy(one), made[1])
        return made[0], {name: (leaves[name], *found[name]) for name in leaves if name in found}

    return forward


def slopes_of(function, inputs) -> list:
    """Return the gradients of a number with respect to tensors."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = function(*inputs)
        return tape.gradient(value, inputs)
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(function, argnums=range(len(inputs)))(*inputs)
    import torch

    inputs = [one.detach().requires_grad_() for one in inputs]
    return torch.autograd.grad(function(*inputs), inputs)


def numpy(tensor) -> np.ndarray:
    """Return a copy; JAX hands out its own memory, which the next step takes back."""
    return np.array(ops.convert_to_numpy(tensor))


def array(tensor) -> np.ndarray:
    return numpy(tensor).astype("float32")


def place_in_batch(arrays) -> str:
    """Return rows and columns of the first array with non-finite values, or an empty string."""
    for one in keras.tree.flatten(arrays):
        values = one if isinstance(one, np.ndarray) else (None if one is None else ops.convert_to_numpy(one))
        if values is not None and values.dtype.kind == "f" and not np.isfinite(values).all():
            places = np.nonzero(~np.isfinite(values))
            rows = "row " + ", ".join(str(row) for row in np.unique(places[0])[:5])
            return rows + (
                ", column " + ", ".join(str(c) for c in np.unique(places[-1])[:5]) if values.ndim > 1 else ""
            )
    return ""


def first_layer(model, x) -> str:
    """Return the name of the first layer with a non-finite output, in one eager pass, or an empty string."""
    named = named_layers(model)
    with _recorded(named) as calls:
        model(keras.tree.map_structure(ops.convert_to_tensor, x))
    for name, _, _, output in calls:
        for one in keras.tree.flatten(output):
            if "float" in str(one.dtype) and not np.isfinite(array(one)).all():
                return named[name].name
    return ""
