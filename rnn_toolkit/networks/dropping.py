"""What a recurrent network drops, or pays for, while it trains."""

import keras
from keras import ops

from rnn_toolkit._checks import check_share
from rnn_toolkit.networks.recurrent import cell_of


@keras.saving.register_keras_serializable("rnn_toolkit")
class WeightDrop(keras.layers.Wrapper):
    """Drop connections from state to state in training, the same for all steps and rows of a batch.

    Unlike `recurrent_dropout` it leaves a GPU's fast kernel in use.

    Args:
        layer: A recurrent layer with weights from state to state: `keras.layers.LSTM`, `GRU` or `SimpleRNN`.
        rate: Share of the recurrent kernel to drop.

    Source: Wan et al., 2013, "Regularization of neural networks using DropConnect", ICML; on recurrent kernels, Merity
        et al., 2018, "Regularizing and optimizing LSTM language models", ICLR.
    """

    def __init__(self, layer, rate: float = 0.5, **kwargs):
        known = cell_of(layer.cell) if isinstance(layer, keras.layers.RNN) else None
        if known is None or not known.recurrent:
            raise TypeError(
                "`layer` must be a recurrent layer with weights from state to state. Received: "
                f"{type(layer).__name__}. Pass an LSTM, a GRU or a SimpleRNN; wrap the layers inside a Bidirectional "
                "one by one."
            )
        check_share(rate, "rate")
        super().__init__(layer, **kwargs)
        self.rate = rate
        self.supports_masking = True
        self._seeds = keras.random.SeedGenerator()

    def call(self, inputs, mask=None, training=None, **kwargs):
        """Return what the layer returns, with a thinner kernel in training."""
        kwargs["mask"] = mask
        if not training:
            return self.layer(inputs, training=training, **kwargs)
        cell = self.layer.cell
        kernels = {name: getattr(cell, name) for name in cell_of(cell).recurrent}
        try:
            for name, kernel in kernels.items():
                thinner = keras.random.dropout(ops.convert_to_tensor(kernel), self.rate, seed=self._seeds)
                setattr(cell, name, thinner)
            return self.layer(inputs, training=training, **kwargs)
        finally:
            for name, kernel in kernels.items():
                setattr(cell, name, kernel)

    def compute_mask(self, inputs, mask=None):
        """Return the mask that the layer hands on."""
        return self.layer.compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape):
        """Return the shape that the layer returns."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable("rnn_toolkit")
class ActivationRegularization(keras.layers.Layer):
    """Add to the loss of training what the outputs cost: large ones, and ones that jump from step to step.

    Put it behind a recurrent layer that returns sequences. It changes nothing.

    Args:
        size: Cost of the mean square of the outputs ("AR", alpha).
        change: Cost of the mean square of their difference from one step to the next ("TAR", beta).

    Source: Merity et al., 2017, "Revisiting activation regularization for language RNNs", arXiv:1708.01009; 2 and 1
        are their values for words.
    """

    def __init__(self, size: float = 2.0, change: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.size, self.change = size, change
        self.supports_masking = True

    def call(self, inputs, training=None):
        """Return the inputs."""
        if training:
            self.add_loss(self.size * ops.mean(ops.square(inputs)))
            self.add_loss(self.change * ops.mean(ops.square(inputs[:, 1:] - inputs[:, :-1])))
        return inputs

    def compute_output_shape(self, input_shape):
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "size": self.size, "change": self.change}
