"""How far back the loss reaches: the gradient that each time step of each recurrent layer gets."""

import keras
import numpy as np
import pandas as pd
from keras import ops

from rnn_toolkit._checks import check_ready
from rnn_toolkit.diagnosis.restoring import untouched
from rnn_toolkit.networks.probing import named_layers, numpy
from rnn_toolkit.training.feeding import checked

COMPILED_FROM = 100  # numbers in a row of x: of fewer steps TensorFlow takes longer to make a loop than to run it


def gradient_flow(model: keras.Model, x, y, sample_weight=None) -> pd.DataFrame:
    """Measure how much each time step still counts for the loss: the norm of d loss / d h_t, by recurrent layer.

    It is the total derivative: through the recurrence, and through all that lies above. A line that falls by orders
    of magnitude towards the first step read is a gradient that vanishes, one that rises so is one that explodes.
    Where each step has a loss of its own, as in a language model, those nearby hide how far the gradient of one
    reaches; a `sample_weight` of `(batch, timesteps)`, zero but for the last step, shows it.

    Where a layer above is all zeros, as the head of `build_forecaster` is before training, no step gets anything.

    Without dropout, in float32 also where a model computes in less, and the model is left as it was.

    Args:
        model: A compiled model with recurrent layers of Keras, nested, stacked, bidirectional or with a cell of one's
            own. Those in a `TimeDistributed` or a loop of one's own, and `ConvLSTM`s, are not seen. h_t is the state
            that the cell also puts out, and of stacked cells that of the last. Where a cell puts out no state, it is
            the first one, and what that does to the output of its own step does not count.
        x: Inputs of one batch, arrays; 64 rows are enough, and memory grows with them.
        y: Targets of the same rows.
        sample_weight: Weights of the same rows, as `fit` takes them.

    Returns:
        A row per time step of the layers' inputs (index `step`, from 0), a column per recurrent layer, NaN where a
        layer has no such step. Each value is the mean over rows of the Euclidean norm over units of the gradient of
        the row's own loss, which is the batch's, a mean, times the number of rows. Rows that mask a step out do not
        count there, and where all do it is NaN. A layer called again has a column for each call: `lstm/1`.
        `attrs["loss"]` is the loss; `attrs["backwards"]` names the layers that read from the end;
        `attrs["first_to_last"]` says by layer what the first step read gets of what the last one gets, the median
        over rows, each from its own first to its own last step that is not masked.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not built, not compiled, or has no recurrent layer; if `x` and `y` differ in rows.

    Example:
        >>> rnn = keras.layers.SimpleRNN(1, activation=None, name="rnn")
        >>> model = keras.Sequential([keras.Input((3, 1)), rnn])
        >>> model.compile(loss="mse")
        >>> rnn.set_weights([np.ones((1, 1)), np.full((1, 1), 0.5), np.zeros(1)])
        >>> x = np.array([[[0.0], [0.0], [1.0]]])
        >>> gradient_flow(model, x, np.zeros((1, 1))).rnn.tolist()  # 2 * (1 - 0), halved at each step back
        [0.5, 1.0, 2.0]

    Source: Pascanu et al., 2013, "On the difficulty of training recurrent neural networks", ICML, section 2.
    """
    check_ready(model, purpose="The flow of its gradients")
    layers = {name: one for name, one in named_layers(model).items() if isinstance(one, keras.layers.RNN)}
    x, y, sample_weight = (*checked((x, y, sample_weight), "(x, y)"), None)[:3]
    data = keras.tree.map_structure(
        lambda one: None if one is None else ops.convert_to_tensor(one), (x, y, sample_weight)
    )
    num_rows = len(keras.tree.flatten(x)[0])
    with untouched(model):
        _prepare(model, layers)
        loss, found = _differentiate(model, layers, data) if layers else (None, [])
    if not found:
        names = ", ".join(layer.name for layer in model.layers)
        raise ValueError(
            f"Model {model.name!r} has no recurrent layer whose steps can be seen: it has {names}. The "
            "gradient over time needs an LSTM, a GRU, a SimpleRNN or an RNN, outside of `TimeDistributed`. Pass a "
            "model with one."
        )
    flow, first_to_last, backwards = {}, {}, []
    for layer_name, gradient, mask in found:
        calls = sum(one == layer_name for one, *_ in found[: len(flow)])
        name = f"{layer_name}/{calls}" if calls else layer_name
        norms = np.sqrt(np.square(numpy(gradient).astype("float64")).sum(axis=-1)) * num_rows
        kept = np.ones(norms.shape, "bool") if mask is None else numpy(mask).astype("bool").reshape(norms.shape)
        with np.errstate(invalid="ignore"):
            flow[name] = pd.Series(np.where(kept, norms, 0.0).sum(axis=0) / kept.sum(axis=0))  # (timesteps,)
        if layers[layer_name].go_backwards:
            backwards.append(name)
            norms, kept = norms[:, ::-1], kept[:, ::-1]
        first_to_last[name] = _first_to_last(norms, kept)
    frame = pd.DataFrame(flow).rename_axis("step")
    frame.attrs |= {"loss": float(numpy(loss)), "backwards": backwards, "first_to_last": first_to_last}
    return frame


class _Nudged:
    """A cell whose inputs carry, behind their own features, what is added to its state h after the step."""

    def __init__(self, cell, features, place):
        self.cell, self.features, self.place = cell, features, place

    def __call__(self, inputs, states, **kwargs):
        output, after = self.cell(inputs[:, : self.features], states, **kwargs)
        flat = keras.tree.flatten(after)
        h = flat[self.place]
        flat[self.place] = h + ops.cast(inputs[:, self.features :], h.dtype)
        return flat[self.place] if output is h else output, keras.tree.pack_sequence_as(after, flat)


def _prepare(model, layers):
    """Let a model compute in float32, and its recurrent layers step by step; `untouched` undoes it."""
    for layer in model._flatten_layers():
        if layer.compute_dtype != layer.variable_dtype:  # float16 loses gradients below 6e-8
            vars(layer)["_dtype_policy"] = keras.dtype_policies.DTypePolicy(layer.variable_dtype)
    for variable in model.trainable_variables:
        variable.regularizer = None  # it does not depend on h, and cannot be computed where assignments are dropped
    for layer in layers.values():
        vars(layer)["unroll"] = False  # an unrolled loop of 200 steps compiles for half a minute
        if hasattr(layer, "use_cudnn"):
            vars(layer)["use_cudnn"] = False  # JAX has a fused kernel for both directions, which passes the loop by


def _differentiate(model, layers, data):
    """Return the loss, and of each call of a layer its name, the gradient with respect to all its h_t, and the mask."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def run():
            with tf.GradientTape(watch_accessed_variables=False) as tape:

                def zeros(number, shape, dtype):
                    nudges = ops.zeros(shape, dtype)
                    tape.watch(nudges)
                    return nudges

                loss, calls = _loss(model, layers, zeros, data)
            names[:], nudges, masks = zip(*calls, strict=True) if calls else ((), (), ())
            return loss, tape.gradient(loss, nudges, unconnected_gradients=tf.UnconnectedGradients.ZERO), masks

        names = []
        # Long loops compiled, as they run ten times faster, and once, which TensorFlow otherwise warns of.
        is_short = np.prod(keras.tree.flatten(data[0])[0].shape[1:]) < COMPILED_FROM
        loss, gradients, masks = (run if is_short else tf.function(run, autograph=False).get_concrete_function())()
    elif backend == "jax":
        import jax

        variables = model.variables
        held = [v.value for v in variables]

        def shaped(held, data):
            states = zip(variables, held, strict=True)
            _, calls = _loss(model, layers, lambda number, *shape: ops.zeros(*shape), data, states)
            names[:] = [name for name, *_ in calls]
            return [nudges for _, nudges, _ in calls]

        def run(nudges, held, data):
            states = zip(variables, held, strict=True)
            loss, calls = _loss(model, layers, lambda number, *shape: nudges[number], data, states)
            return loss, [mask for *_, mask in calls]

        names = []
        nudges = [ops.zeros(one.shape, one.dtype) for one in jax.eval_shape(shaped, held, data)]
        (loss, masks), gradients = jax.jit(jax.value_and_grad(run, has_aux=True))(nudges, held, data)
    else:
        import torch

        loss, calls = _loss(model, layers, lambda number, *shape: ops.zeros(*shape).requires_grad_(), data)
        names, nudges, masks = zip(*calls, strict=True) if calls else ((), (), ())
        gradients = torch.autograd.grad(loss, nudges, materialize_grads=True) if calls else ()
    return loss, list(zip(names, gradients, masks, strict=True))


def _loss(model, layers, nudges_of, data, states=()):
    """Return the loss, and of each call of a layer its name, what was added to its states, and its mask."""
    calls = []
    for name, layer in layers.items():
        vars(layer)["inner_loop"] = _nudging(name, layer, nudges_of, calls)
    x, y, sample_weight = data
    with keras.StatelessScope(state_mapping=list(states), collect_losses=True):  # what a call assigns is dropped
        loss = model.compute_loss(x=x, y=y, y_pred=model(x), sample_weight=sample_weight, training=False)
    return loss, calls


def _nudging(name, layer, nudges_of, calls):
    """Return an inner loop that adds to h after each step what `nudges_of` gives, zeros to differentiate by."""

    def inner_loop(sequences, initial_state, mask, training=False):
        if len(sequences.shape) != 3:  # of ConvLSTM
            return type(layer).inner_loop(layer, sequences, initial_state, mask=mask, training=training)
        cell, mask = layer.cell, keras.tree.flatten(mask)[0]
        output, after = cell(sequences[:, 0], initial_state)
        after = keras.tree.flatten(after)
        place = next((place for place, one in enumerate(after) if one is output), 0)
        shape = (*ops.shape(sequences)[:2], after[place].shape[-1])
        nudges = nudges_of(len(calls), shape, sequences.dtype)
        calls.append((name, nudges, mask))
        inputs = ops.concatenate([sequences, nudges], axis=-1)
        vars(layer)["cell"] = _Nudged(cell, sequences.shape[-1], place)
        try:
            return keras.layers.RNN.inner_loop(layer, inputs, initial_state, mask=mask, training=training)
        finally:
            vars(layer)["cell"] = cell

    return inner_loop


def _first_to_last(norms, kept) -> float:
    """Return the median over rows of the first norm that is kept, by the last one; in the order in which steps run."""
    rows = np.arange(len(norms))
    first, last = norms[rows, kept.argmax(axis=1)], norms[rows, kept.shape[1] - 1 - kept[:, ::-1].argmax(axis=1)]
    usable = kept.any(axis=1) & ~(last == 0)
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.median(first[usable] / last[usable])) if usable.any() else float("nan")
