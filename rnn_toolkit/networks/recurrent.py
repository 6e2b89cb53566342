"""Recurrent layers: the cells, and all that is known of them."""

from collections.abc import Sequence

import keras

from rnn_toolkit._checks import one_of, whole_number

CELLS = {"simple": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
NORMALIZERS = {"batch": keras.layers.BatchNormalization, "layer": keras.layers.LayerNormalization}


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
    return_sequences: bool = False,
) -> list[keras.Layer]:
    """Make a stack of recurrent layers.

    Args:
        cell: "simple" (vanilla RNN), "lstm" (forget bias 1) or "gru".
        units: Units of each layer, the first layer first.
        bidirectional: Whether each layer reads both ways; doubles its output.
        dropout: Share of the inputs of each layer to drop in training, the same at every time step.
        recurrent_dropout: Share of the state to drop, likewise. Turns off the fast kernel on a GPU.
        normalization: "layer" or "batch" to normalise the output of each layer, or `None`.
        kernel_regularizer: Any Keras regulariser of the input kernels, such as `"l2"` or `keras.regularizers.L1L2()`.
        kernel_initializer: Any Keras initialiser of the input kernels.
        recurrent_initializer: Any Keras initialiser of the recurrent kernels. Orthogonal ones keep gradients alive
            over many steps.
        return_sequences: Whether the last layer returns all time steps, or only the last.

    Returns:
        Keras layers, to be put into a `keras.Sequential`.

    Raises:
        ValueError: On an unknown cell or normalisation, or a share outside [0, 1).

    Example:
        >>> model = keras.Sequential([keras.Input((24, 3)), *recurrent_layers("lstm", (32, 16)), keras.layers.Dense(1)])
        >>> model.output_shape
        (None, 1)

    Source: Orthogonal kernels: Saxe et al., 2014, arXiv:1312.6120. Forget bias: Jozefowicz et al., 2015, ICML. One
        mask for all time steps: Gal and Ghahramani, 2016, NeurIPS.
    """
    one_of(cell, "cell", CELLS)
    one_of(normalization, "normalization", (None, *NORMALIZERS))
    sizes = [whole_number(size, "units") for size in (units if isinstance(units, Sequence) else (units,))]
    if not sizes:
        raise ValueError("`units` holds no layer. Received: (). Pass the units of at least one layer, such as (64,).")
    for name, share in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
        if not 0 <= share < 1:
            raise ValueError(f"`{name}` must be a share from 0 up to, but not including, 1. Received: {share}.")
    layers = []
    for place, size in enumerate(sizes, start=1):
        layer = CELLS[cell](
            size,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            kernel_regularizer=keras.regularizers.get(kernel_regularizer),
            kernel_initializer=keras.initializers.get(kernel_initializer),
            recurrent_initializer=keras.initializers.get(recurrent_initializer),
            return_sequences=return_sequences or place < len(sizes),
        )
        layers.append(keras.layers.Bidirectional(layer) if bidirectional else layer)
        if normalization is not None:
            layers.append(NORMALIZERS[normalization]())
    return layers
