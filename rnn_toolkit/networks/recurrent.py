"""Recurrent layers: the cells, and all that is known of them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from keras import ops

from rnn_toolkit._checks import check_share, one_of, whole_number
from rnn_toolkit.networks.probing import array

NORMALIZERS = {"batch": keras.layers.BatchNormalization, "layer": keras.layers.LayerNormalization}

BLOCKS = 16  # of a sequence whose length is not known beforehand


@keras.saving.register_keras_serializable("rnn_toolkit")
class MinGRUCell(keras.layers.Layer):
    """Take one step of a minGRU: h = (1 - z) h + z (W x + b), with an update gate z that sees the input alone.

    Args:
        units: Size of the state.
        kernel_initializer: Any Keras initialiser of the kernel.
        kernel_regularizer: Any Keras regulariser of the kernel.
    """

    def __init__(self, units: int, *, kernel_initializer="glorot_uniform", kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        """Make kernel and bias, each with the update gate first."""
        options = {"initializer": self.kernel_initializer, "regularizer": self.kernel_regularizer}
        self.kernel = self.add_weight(shape=(input_shape[-1], 2 * self.units), name="kernel", **options)
        self.bias = self.add_weight(shape=(2 * self.units,), initializer=_long_memory, name="bias")

    def parts(self, inputs):
        """Return the logarithm of the share of the old state that is kept, and what is added; `(..., units)` both."""
        update, candidate = ops.split(ops.matmul(inputs, self.kernel) + self.bias, 2, axis=-1)
        return ops.log_sigmoid(-update), ops.sigmoid(update) * candidate

    def call(self, inputs, states):
        """Return output and state, which are the same."""
        log_kept, added = self.parts(inputs)
        state = ops.exp(log_kept) * states[0] + added
        return state, [state]

    def get_config(self):
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _long_memory(shape, dtype=None):
    """Return biases with which the update gates keep the state for 1 to 100 steps, evenly spread on a log scale."""
    steps = ops.logspace(0, 2, shape[0] // 2)
    return ops.cast(ops.concatenate([-ops.log(steps), ops.zeros_like(steps)]), dtype)


@keras.saving.register_keras_serializable("rnn_toolkit")
class MinGRU(keras.layers.RNN):
    """A recurrent layer that reads all time steps at once, because its gate does not depend on its state.

    Over many steps it is several times faster than a GRU where there is no fast kernel. What it can make of the order
    of its inputs it makes by several layers, one on the other.

    Args:
        units: Size of the output.
        dropout: Share of the inputs to drop in training, the same at every time step.
        kernel_initializer: Any Keras initialiser of the kernel.
        kernel_regularizer: Any Keras regulariser of the kernel.
        **kwargs: Those of `keras.layers.RNN`.

    Example:
        >>> layer = MinGRU(4, return_sequences=True)
        >>> layer(np.ones((2, 5, 3), "float32")).shape == (2, 5, 4)
        True

    Source: Feng et al., 2024, "Were RNNs all we needed?", arXiv:2410.01201. Biases for memories of different length:
        Tallec and Ollivier, 2018, "Can recurrent neural networks warp time?", ICLR.
    """

    def __init__(
        self, units: int, *, dropout=0.0, kernel_initializer="glorot_uniform", kernel_regularizer=None, **kwargs
    ):
        dtype = {"dtype": kwargs.get("dtype")}
        cell = MinGRUCell(units, kernel_initializer=kernel_initializer, kernel_regularizer=kernel_regularizer, **dtype)
        super().__init__(cell, **kwargs)
        self.units, self.dropout = units, dropout
        self._drop = keras.layers.SpatialDropout1D(dropout, **dtype)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Return the last output, all outputs and the last state, as Keras' own loop over the steps does."""
        mask = keras.tree.flatten(mask)[0]
        log_kept, added = self.cell.parts(self._drop(sequences, training=training))
        valid = None if mask is None else ops.expand_dims(ops.cast(mask, added.dtype), -1)  # (batch, timesteps, 1)
        if valid is not None:
            log_kept, added = log_kept * valid, added * valid
        if self.go_backwards:
            log_kept, added = ops.flip(log_kept, axis=1), ops.flip(added, axis=1)
            valid = None if valid is None else ops.flip(valid, axis=1)
        states = _states(log_kept, added, keras.tree.flatten(initial_state)[0])
        outputs = states * valid if valid is not None and self.zero_output_for_mask else states
        return states[:, -1], outputs, [states[:, -1]]

    def get_config(self):
        """Return the arguments of the constructor."""
        config = super().get_config()
        cell = config.pop("cell")["config"]
        names = ("units", "kernel_initializer", "kernel_regularizer")
        return {**config, **{name: cell[name] for name in names}, "dropout": self.dropout}

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer."""
        return cls(**config)


def _states(log_kept, added, state):
    """Return h_t = exp(log_kept_t) h_(t-1) + added_t for all t; all are `(batch, timesteps, units)`.

    The sequence is cut into blocks that are gone through side by side, each from a state of zero; what the state
    before a block adds to it comes after that.
    """
    timesteps, units = ops.shape(added)[1], added.shape[-1]
    blocks = max(round(timesteps**0.5), 1) if isinstance(timesteps, int) else BLOCKS
    length = -(-timesteps // blocks)

    def cut(values):  # steps that fill up the last block keep the state
        filling = ops.zeros((ops.shape(values)[0], blocks * length - timesteps, units), values.dtype)
        values = ops.reshape(ops.concatenate([values, filling], axis=1), (-1, blocks, length, units))
        return ops.transpose(values, (2, 0, 1, 3))  # (length, batch, blocks, units)

    log_kept, added = cut(log_kept), cut(added)

    def step(states, both):
        kept, added = ops.split(both, 2, axis=-1)
        states = kept * states + added
        return states, states

    # As one tensor: of several, Keras cannot scan a number that TensorFlow does not know (backend/tensorflow/core.py).
    both = ops.concatenate([ops.exp(log_kept), added], axis=-1)
    _, states = ops.scan(step, ops.zeros_like(added[0]), both)
    kept = ops.exp(ops.cumsum(log_kept, axis=0))  # of the state before the block
    before = [state]
    for block in range(blocks - 1):
        before.append(kept[-1, :, block] * before[-1] + states[-1, :, block])
    states = states + kept * ops.stack(before, axis=1)
    return ops.reshape(ops.transpose(states, (1, 2, 0, 3)), (-1, blocks * length, units))[:, :timesteps]


@dataclasses.dataclass(frozen=True)
class Cell:
    """A kind of recurrent layer, and what is known of it beside what Keras knows.

    Args:
        layer: Class of the layer.
        cell: Class of what it runs at each step. Its `kernel` leads from the inputs to the blocks.
        blocks: What the columns of the kernels make, in blocks of `units`. The "candidate" becomes the new state.
        watch: Makes of a cell with weights a function for one step: from what the kernel and its bias make of the
            inputs, `(batch, blocks * units)`, and a list of states, all NumPy arrays, to the gates `(batch, gates)`,
            the gate that keeps the old state `(batch, units)` or `None`, and the new states.
        bounded: By activation of the cell, those with which its gates have bounds.
        at_bounds: Says which of the gates, an array, stand within 5 % of their bounds.
        recurrent: Weights of the cell that lead from state to state.
        keeps: By block, whether a larger bias makes the state last longer (1), shorter (-1), or neither (0).
    """

    layer: type
    cell: type
    blocks: tuple[str, ...]
    watch: Callable
    bounded: Mapping[str, tuple]
    at_bounds: Callable = lambda gates: (gates < 0.05) | (gates > 0.95)
    recurrent: tuple[str, ...] = ("recurrent_kernel",)
    keeps: tuple[int, ...] = ()


def cell_of(cell) -> Cell | None:
    """Return what is known of a Keras cell, such as the `cell` of a recurrent layer, or `None`."""
    return next((known for known in CELLS.values() if isinstance(cell, known.cell)), None)


def _activate(activation, values: np.ndarray) -> np.ndarray:
    """Return an activation of an array; those of the defaults without a way through the backend."""
    if activation is keras.activations.tanh:
        return np.tanh(values)
    if activation is keras.activations.sigmoid:
        return 0.5 + 0.5 * np.tanh(0.5 * values)
    return array(activation(ops.convert_to_tensor(values)))


def _watch_simple(cell):
    recurrent = array(cell.recurrent_kernel)

    def step(z, states):
        h = _activate(cell.activation, z + states[0] @ recurrent)
        return h, None, [h]

    return step


def _watch_lstm(cell):
    recurrent = array(cell.recurrent_kernel)

    def step(z, states):
        h, c = states
        i, f, candidate, o = np.split(z + h @ recurrent, 4, axis=1)
        i, f, o = (_activate(cell.recurrent_activation, one) for one in (i, f, o))
        c = f * c + i * _activate(cell.activation, candidate)
        return np.concatenate([i, f, o], axis=1), f, [o * _activate(cell.activation, c), c]

    return step


def _watch_gru(cell):
    recurrent, units = array(cell.recurrent_kernel), cell.units
    bias = array(cell.bias)[1] if cell.reset_after and cell.use_bias else 0.0

    def step(z, states):
        (h,) = states
        recur = h @ recurrent + bias
        gates = _activate(cell.recurrent_activation, (z + recur)[:, : 2 * units])
        update, reset = np.split(gates, 2, axis=1)
        own = reset * recur[:, 2 * units :] if cell.reset_after else (reset * h) @ recurrent[:, 2 * units :]
        return gates, update, [update * h + (1 - update) * _activate(cell.activation, z[:, 2 * units :] + own)]

    return step


def _watch_mingru(cell):
    def step(z, states):
        update, candidate = np.split(z, 2, axis=1)
        update = _activate(keras.activations.sigmoid, update)
        return update, 1 - update, [(1 - update) * states[0] + update * candidate]

    return step


_SIGMOIDS = {"recurrent_activation": (keras.activations.sigmoid, keras.activations.hard_sigmoid)}
CELLS = {
    "simple": Cell(
        layer=keras.layers.SimpleRNN,
        cell=keras.layers.SimpleRNNCell,
        blocks=("candidate",),
        watch=_watch_simple,  # without gates, the outputs
        bounded={"activation": (keras.activations.tanh,)},
        at_bounds=lambda outputs: np.abs(outputs) > 0.95,
    ),
    "lstm": Cell(
        layer=keras.layers.LSTM,
        cell=keras.layers.LSTMCell,
        blocks=("input", "forget", "candidate", "output"),
        watch=_watch_lstm,
        bounded=_SIGMOIDS,
        keeps=(-1, 1, 0, 0),
    ),
    "gru": Cell(
        layer=keras.layers.GRU,
        cell=keras.layers.GRUCell,
        blocks=("update", "reset", "candidate"),
        watch=_watch_gru,
        bounded=_SIGMOIDS,
        keeps=(1, 0, 0),
    ),
    "mingru": Cell(
        layer=MinGRU,
        cell=MinGRUCell,
        blocks=("update", "candidate"),
        watch=_watch_mingru,
        bounded={},
        recurrent=(),
    ),
}


@keras.saving.register_keras_serializable("rnn_toolkit")
class KeepingBias(keras.initializers.Initializer):
    """Biases with which the first unit of a layer keeps its state for a step, the last for many.

    Args:
        steps: For how many, at most; the units are spread evenly below that.
        keeps: What `Cell.keeps` says of the layer's cell.

    Example:
        >>> biases = KeepingBias(5, (1, 0, 0))((2, 6))  # of a GRU of 2 units; the second row is added, too
        >>> keras.ops.convert_to_numpy(keras.ops.exp(biases[0])).round().tolist()
        [1.0, 4.0, 1.0, 1.0, 1.0, 1.0]

    Source: Tallec and Ollivier, 2018, "Can recurrent neural networks warp time?", ICLR.
    """

    def __init__(self, steps: int, keeps: Sequence[int]):
        self.steps, self.keeps = steps, tuple(keeps)

    def __call__(self, shape, dtype=None):
        """Return the biases, `(blocks * units,)` or with a second row of zeros."""
        units = shape[-1] // len(self.keeps)
        logs = ops.log(ops.linspace(1.0, self.steps - 1.0, units))
        biases = ops.concatenate([sign * logs for sign in self.keeps])
        return ops.cast(biases if len(shape) == 1 else ops.stack([biases, ops.zeros_like(biases)]), dtype)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {"steps": self.steps, "keeps": self.keeps}


def recurrent_layers(
    cell: str = "gru",
    units: int | Sequence[int] = (64,),
    *,
    bidirectional: bool = False,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    normalization: str | None = None,
    kernel_regularizer=None,
    kernel_initializer="glorot_uniform",
    recurrent_initializer="orthogonal",
    memory: int | None = None,
    return_sequences: bool = False,
) -> list[keras.Layer]:
    """Make a stack of recurrent layers.

    Args:
        cell: "simple" (vanilla RNN), "lstm" (forget bias 1), "gru", or "mingru", for long sequences in small batches:
            its gate sees the input alone, so that all steps are computed at once; it learns less than a GRU.
        units: Units of each layer, the first layer first.
        bidirectional: Whether each layer reads both ways; doubles its output.
        dropout: Share of the inputs of each layer to drop in training, the same at every time step.
        recurrent_dropout: Share of the state to drop, likewise. Turns off the fast kernel on a GPU.
        normalization: "layer" or "batch" to normalise the output of each layer, or `None`.
        kernel_regularizer: Any Keras regulariser of the input kernels, such as `"l2"` or `keras.regularizers.L1L2()`.
        kernel_initializer: Any Keras initialiser of the input kernels.
        recurrent_initializer: Any Keras initialiser of the recurrent kernels. Orthogonal ones keep gradients alive
            over many steps.
        memory: Steps over which an LSTM or GRU is to remember: its gates begin so that each unit keeps its state for
            another time, up to this. For sequences of a hundred steps and more in which little happens; `None` leaves
            the biases of Keras, with which a state fades within some steps until training changes that.
        return_sequences: Whether the last layer returns all time steps, or only the last.

    Returns:
        Keras layers, to be put into a `keras.Sequential`.

    Raises:
        ValueError: On an unknown cell or normalisation, a share outside [0, 1), or a cell without what is asked for.

    Example:
        >>> model = keras.Sequential([keras.Input((24, 3)), *recurrent_layers("lstm", (32, 16)), keras.layers.Dense(1)])
        >>> model.output_shape
        (None, 1)

    Source: Orthogonal kernels: Saxe et al., 2014, arXiv:1312.6120. Forget bias: Jozefowicz et al., 2015, ICML. One
        mask for all time steps: Gal and Ghahramani, 2016, NeurIPS. Memory: Tallec and Ollivier, 2018, ICLR.
    """
    one_of(cell, "cell", CELLS)
    one_of(normalization, "normalization", (None, *NORMALIZERS))
    sizes = [whole_number(size, "units") for size in (units if isinstance(units, Sequence) else (units,))]
    if not sizes:
        raise ValueError("`units` holds no layer. Received: (). Pass the units of at least one layer, such as (64,).")
    for name, share in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
        check_share(share, name)
    known = CELLS[cell]
    if recurrent_dropout and not known.recurrent:
        raise ValueError(
            f"`recurrent_dropout` needs weights from state to state, which {cell!r} has not. Received: "
            f"{recurrent_dropout}. Pass `dropout` instead, or another cell."
        )
    if memory is not None and not known.keeps:
        raise ValueError(
            f"`memory` is for 'lstm' and 'gru', whose gates have biases. Received: memory={memory}, cell={cell!r}."
        )
    layers = []
    for place, size in enumerate(sizes, start=1):
        options = {  # in this order: an initialiser draws its seed when it is made
            "dropout": dropout,
            "kernel_regularizer": keras.regularizers.get(kernel_regularizer),
            "kernel_initializer": keras.initializers.get(kernel_initializer),
        }
        if known.recurrent:
            options["recurrent_initializer"] = keras.initializers.get(recurrent_initializer)
            options["recurrent_dropout"] = recurrent_dropout
        if memory is not None:
            options["bias_initializer"] = KeepingBias(whole_number(memory, "memory", minimum=3), known.keeps)
            options |= {"unit_forget_bias": False} if cell == "lstm" else {}
        layer = known.layer(size, return_sequences=return_sequences or place < len(sizes), **options)
        layers.append(keras.layers.Bidirectional(layer) if bidirectional else layer)
        if normalization is not None:
            layers.append(NORMALIZERS[normalization]())
    return layers
