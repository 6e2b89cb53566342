"""Losses and metrics for windows of many scales, with missing values.

`Windows` gives every target a weight: 1 / scale of its series, or 0 where the value is missing. The losses take it as
a change of units, so that an error counts on the scale of its series; the metrics take it as a mask, and stay in the
units of the user.
"""

import keras
from keras import ops


def _like(weight, values):
    """Return the weight in the type of `values`, with trailing axes added until it broadcasts against them."""
    weight = ops.cast(weight, values.dtype)
    return ops.reshape(weight, (*ops.shape(weight), *(1,) * (len(values.shape) - len(weight.shape))))


class _ScaledLoss(keras.losses.Loss):
    """Multiply errors, not losses, by the weight: a squared error then counts 1 / scale squared."""

    def __call__(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            y_true, y_pred = (ops.cast(values, self.dtype) for values in (y_true, y_pred))
            y_true = y_true * _like(sample_weight, y_true)
            y_pred = y_pred * _like(sample_weight, y_pred)
        return super().__call__(y_true, y_pred)


@keras.saving.register_keras_serializable("rnn_toolkit")
class ScaledSquaredError(_ScaledLoss):
    """Squared error on the scale of each series.

    Example:
        >>> import numpy as np
        >>> y_true, y_pred = np.array([[[10.0]], [[1.0]]]), np.array([[[20.0]], [[2.0]]])
        >>> weight = np.array([[[0.1]], [[1.0]]])  # scales 10 and 1: both errors count 1
        >>> float(ScaledSquaredError()(y_true, y_pred, weight))
        1.0
    """

    def call(self, y_true, y_pred):
        """Return the squared errors, elementwise."""
        return ops.square(y_true - y_pred)


@keras.saving.register_keras_serializable("rnn_toolkit")
class ScaledAbsoluteError(_ScaledLoss):
    """Absolute error on the scale of each series.

    Example:
        >>> import numpy as np
        >>> float(ScaledAbsoluteError()(np.array([[[10.0]]]), np.array([[[30.0]]]), np.array([[[0.1]]])))
        2.0
    """

    def call(self, y_true, y_pred):
        """Return the absolute errors, elementwise."""
        return ops.abs(y_true - y_pred)


@keras.saving.register_keras_serializable("rnn_toolkit")
class ScaledPinball(_ScaledLoss):
    """Pinball loss of several quantiles on the scale of each series.

    Args:
        quantiles: Levels between 0 and 1, in the order of the last axis of the prediction.

    Example:
        >>> import numpy as np
        >>> y_true, y_pred = np.array([[[10.0]]]), np.array([[[[8.0, 12.0]]]])
        >>> float(ScaledPinball((0.25, 0.75))(y_true, y_pred))  # 2 above the lower, 2 below the upper
        0.5

    Source: Koenker and Bassett, 1978, "Regression quantiles", Econometrica 46(1).
    """

    def __init__(self, quantiles, name="scaled_pinball", **kwargs):
        super().__init__(name=name, **kwargs)
        self.quantiles = tuple(quantiles)

    def call(self, y_true, y_pred):
        """Return the pinball losses `(batch, horizon, targets, quantiles)`."""
        error = ops.expand_dims(y_true, -1) - y_pred
        level = ops.convert_to_tensor(self.quantiles, dtype=error.dtype)
        return ops.maximum(level * error, (level - 1) * error)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "quantiles": self.quantiles}


@keras.saving.register_keras_serializable("rnn_toolkit")
class ObservedMeanAbsoluteError(keras.metrics.Mean):
    """Mean absolute error over the values that are there, in the units of the data.

    Pass it as a weighted metric. Of quantile forecasts the middle one is judged.

    Example:
        >>> import numpy as np
        >>> metric = ObservedMeanAbsoluteError()
        >>> metric.update_state(np.array([[[10.0], [0.0]]]), np.array([[[13.0], [9.0]]]), np.array([[[0.1], [0.0]]]))
        >>> float(metric.result())
        3.0
    """

    def __init__(self, name="mae", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: y_true `(batch, horizon, targets)`; a weight of 0 marks a missing value."""
        if len(y_pred.shape) > len(y_true.shape):
            y_pred = y_pred[..., y_pred.shape[-1] // 2]
        error = ops.abs(ops.cast(y_true, self.dtype) - ops.cast(y_pred, self.dtype))
        is_there = None if sample_weight is None else ops.cast(_like(sample_weight, error) > 0, error.dtype)
        super().update_state(error, is_there)
