"""The few layers that Keras lacks: patches, ordered quantiles, and raw units around a network.

Only `keras.ops`, so that the same code runs on every backend.
"""

import keras
import numpy as np
from keras import ops

from rnn_toolkit._checks import one_of
from rnn_toolkit.tables.covariates import KINDS, embedding_width
from rnn_toolkit.tables.fitting import Preparation

NORMALIZATIONS = ("window", "last", "series", None)


@keras.saving.register_keras_serializable("rnn_toolkit")
class Patches(keras.layers.Layer):
    """Lay several consecutive time steps side by side, so that a recurrent layer takes fewer, richer steps.

    Args:
        length: Time steps in a patch; must divide the time axis.

    Call arguments:
        inputs: `(batch, time, channels)`.

    Returns:
        `(batch, time / length, length * channels)`.

    Example:
        >>> tuple(Patches(2)(np.arange(4.0).reshape(1, 4, 1)).shape)
        (1, 2, 2)

    Source: Lin et al., 2023, "SegRNN: Segment recurrent neural network for long-term time series forecasting",
        arXiv:2308.11200.
    """

    def __init__(self, length, **kwargs):
        super().__init__(**kwargs)
        self.length = length

    def call(self, inputs):
        """Return the patches."""
        return ops.reshape(inputs, (-1, *self.compute_output_shape(inputs.shape)[1:]))

    def compute_output_shape(self, input_shape):
        """Return `(batch, time / length, length * channels)`."""
        batch, time, channels = input_shape
        if time % self.length:
            raise ValueError(f"`length` must divide the time axis. Received: length={self.length}, {time} time steps.")
        return batch, time // self.length, self.length * channels

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable("rnn_toolkit")
class PatchDecoder(keras.layers.Layer):
    """Answer for all future patches at once, each from the last state and a learned embedding of its place.

    One recurrent step per patch, all of them side by side, so that errors do not build up along the horizon.

    Args:
        steps: Time steps to answer for.
        length: Time steps in a patch.
        channels: Values per time step.

    Call arguments:
        inputs: Last state of a recurrent stack, `(batch, units)`.

    Returns:
        `(batch, steps, channels)`.

    Example:
        >>> tuple(PatchDecoder(steps=10, length=4, channels=2)(np.zeros((3, 8))).shape)
        (3, 10, 2)

    Source: "Parallel multi-step forecasting" in Lin et al., 2023, "SegRNN", arXiv:2308.11200.
    """

    def __init__(self, steps, length, channels, **kwargs):
        super().__init__(**kwargs)
        self.steps, self.length, self.channels = steps, length, channels
        self.num_patches = -(-steps // length)
        self.head = keras.layers.Dense(length * channels, kernel_initializer="zeros")

    def build(self, input_shape):
        """Make the embedding of the places and the recurrent step."""
        units = input_shape[-1]
        self.places = self.add_weight(
            shape=(self.num_patches, units), initializer=keras.initializers.RandomNormal(stddev=0.5), name="places"
        )
        self.cell = keras.layers.GRUCell(units)
        self.cell.build((None, units))
        self.head.build((None, units))

    def call(self, inputs):
        """Return the values of all steps."""
        units = inputs.shape[-1]
        states = ops.reshape(ops.repeat(inputs[:, None], self.num_patches, axis=1), (-1, units))
        places = ops.broadcast_to(self.places, (ops.shape(inputs)[0], self.num_patches, units))
        outputs, _ = self.cell(ops.reshape(places, (-1, units)), [states])  # (batch * patches, units)
        values = ops.reshape(self.head(outputs), (-1, self.num_patches * self.length, self.channels))
        return values[:, : self.steps]

    def compute_output_shape(self, input_shape):
        """Return `(batch, steps, channels)`."""
        return input_shape[0], self.steps, self.channels

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "steps": self.steps, "length": self.length, "channels": self.channels}


class _Around(keras.layers.Layer):
    """A layer around a network, its `core`, with which it is saved.

    Raw values and codes need float32: under a policy of less precision, only the core follows it.
    """

    def __init__(self, core, **kwargs):
        super().__init__(**kwargs)
        self.dtype_policy = keras.backend.result_type(self.variable_dtype, "float32")
        self.core = core

    @property
    def layers(self):
        """Layers inside, for `summary(expand_nested=True)`."""
        return [self.core]

    def build_core(self, input_shape):
        """Build the network, unless it is built already, as it is when loaded from a file."""
        if not self.core.built:
            self.core.build(input_shape)

    def get_config(self):
        """Return the arguments of the constructor, all of them JSON types."""
        return {**super().get_config(), "core": keras.saving.serialize_keras_object(self.core)}

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer and the network inside."""
        return cls(keras.saving.deserialize_keras_object(config.pop("core")), **config)


@keras.saving.register_keras_serializable("rnn_toolkit")
class LinearHighway(_Around):
    """Add a linear forecast of the targets to what a network returns, so that the network learns what is not linear.

    The linear part works on differences to the last value, with one matrix for all targets. It starts as the repeat
    of the last season, or of the last value without one; `start_from` gives it a better start.

    Args:
        core: Layer from `(batch, lookback, channels)` to `(batch, horizon, targets)`, or with a last axis of
            quantiles. The targets are the first channels.
        horizon: Steps to forecast.
        num_targets: Channels that are targets.
        season_length: Rows in a season; `None`, or one longer than the look-back, repeats the last value.
        partner: Layer with forecasts of its own, `(batch, horizon, targets, quantiles)`, three quantiles or more; the
            middle one counts. It is not trained.
        share: The partner's share; the linear forecast has the rest.
        within: Whether the linear forecast stays between the partner's quantiles beside the middle one; not in files
            of earlier versions.

    Call arguments:
        inputs: `(batch, lookback, channels)`.

    Source: The autoregressive highway of Lai et al., 2018, "Modeling long- and short-term temporal patterns with deep
        neural networks", SIGIR; differences to the last value as in NLinear, Zeng et al., 2023, AAAI.
    """

    def __init__(
        self, core, *, horizon, num_targets, season_length=None, partner=None, share=0.0, within=False, **kwargs
    ):
        super().__init__(core, **kwargs)
        self.horizon, self.num_targets, self.season_length = horizon, num_targets, season_length
        self.partner, self.share, self.within = partner, share, within
        if partner is not None:
            partner.trainable = False

    def build(self, input_shape):
        """Make the matrix of the linear part, and the network."""
        lookback, steps = input_shape[1], np.arange(self.horizon)
        repeat = np.zeros((lookback, self.horizon), dtype="float32")
        if self.season_length is not None and self.season_length <= lookback:
            repeat[lookback - self.season_length + steps % self.season_length, steps] = 1.0
        self.kernel = self.add_weight(
            shape=repeat.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(repeat, dtype=dtype),
            name="linear",
        )
        self.bias = self.add_weight(shape=(self.horizon,), initializer="zeros", name="bias")
        self.build_core(input_shape)

    def start_from(self, weights: np.ndarray) -> None:
        """Set the linear part to a fitted model `(lookback + 1, horizon)`, whose last row is the constant."""
        self.kernel.assign(weights[:-1])
        self.bias.assign(weights[-1])

    def call(self, inputs, training=None):
        """Return the sum of both forecasts."""
        targets = inputs[..., : self.num_targets]
        last = targets[:, -1:]
        linear = ops.einsum("blt,lh->bht", targets - last, self.kernel) + last + self.bias[:, None]
        if self.partner is not None:
            low, middle, high = ops.unstack(middle_three(self.partner(inputs)), 3, axis=-1)
            if self.within:
                linear = ops.minimum(ops.maximum(linear, low), high)
            linear += self.share * (middle - linear)
        outputs = ops.cast(self.core(inputs, training=training), self.compute_dtype)
        return outputs + (linear if len(outputs.shape) == 3 else ops.expand_dims(linear, -1))

    def compute_output_shape(self, input_shape):
        """Return the shape of the network's output."""
        return self.core.compute_output_shape(input_shape)

    def get_config(self):
        """Return the arguments of the constructor."""
        own = {"horizon": self.horizon, "num_targets": self.num_targets, "season_length": self.season_length}
        if self.partner is not None:
            own |= {"partner": keras.saving.serialize_keras_object(self.partner)}
            own |= {"share": self.share, "within": self.within}
        return super().get_config() | own

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer, and what lies inside."""
        if "partner" in config:
            config = config | {"partner": keras.saving.deserialize_keras_object(config["partner"])}
        return super().from_config(config)


def middle_three(quantiles):
    """Return the three in the middle of the last axis."""
    place = quantiles.shape[-1] // 2
    return quantiles[..., place - 1 : place + 2]


@keras.saving.register_keras_serializable("rnn_toolkit")
class OrderedQuantiles(keras.layers.Layer):
    """Turn free numbers into quantiles that cannot cross: the middle one as it is, the others by positive steps.

    Call arguments:
        inputs: `(..., quantiles)`.

    Returns:
        `(..., quantiles)`, increasing along the last axis.

    Example:
        >>> low, middle, high = OrderedQuantiles()(np.array([[7.0, 5.0, -3.0]]))[0]
        >>> float(low) < float(middle) == 5.0 < float(high)
        True
    """

    def call(self, inputs):
        """Return the ordered quantiles."""
        place = inputs.shape[-1] // 2
        middle, steps = inputs[..., place : place + 1], ops.softplus(inputs)
        below = ops.flip(ops.cumsum(ops.flip(steps[..., :place], -1), -1), -1)
        above = ops.cumsum(steps[..., place + 1 :], -1)
        return ops.concatenate([middle - below, middle, middle + above], -1)


@keras.saving.register_keras_serializable("rnn_toolkit")
class RawUnits(_Around):
    """Let a network work on normalised windows and answer in the units of the data.

    Targets are centred and scaled, numeric covariates standardised by their training moments, categories embedded;
    what the network returns is scaled and shifted back. Everything this needs is a part of the layer, and so of the
    `.keras` file.

    Args:
        core: Layer from `(batch, lookback, encoded channels)` to `(batch, horizon, targets)`, or with a last axis of
            quantiles.
        preparation: What was fitted on the training rows (`Windows.preparation`).
        normalization: "last": last value of each window, and the scale of its series in training, the one that the
            loss uses; "window": mean and deviation of each window; "series": mean and deviation of its series in
            training; `None`: raw. A series that was never seen in training, or never moved, takes the mean and
            deviation of the window instead.
        quantiles: Levels of the last axis, or `None` for a point forecast.
        margins: Widths that calibrate intervals, set by `rnn_toolkit.conformalize`.

    Call arguments:
        inputs: Raw windows `(batch, lookback, channels)`, as `Windows` cuts them.

    Source: Kim et al., 2022, "Reversible instance normalization for accurate time-series forecasting against
        distribution shift", ICLR; the last value as in Zeng et al., 2023, "Are transformers effective for time series
        forecasting?", AAAI.
    """

    def __init__(self, core, preparation, *, normalization="window", quantiles=None, margins=None, **kwargs):
        super().__init__(core, **kwargs)
        one_of(normalization, "normalization", NORMALIZATIONS)
        self.preparation = preparation
        self.normalization = normalization
        self.quantiles = None if quantiles is None else tuple(quantiles)
        self.margins = margins
        # Zeros: a category never seen in training keeps them, and counts as none.
        self.embeddings = [
            keras.layers.Embedding(
                len(words) + 1, embedding_width(words), "zeros", name=f"embed_{place}", dtype=self.dtype_policy
            )
            for place, words in enumerate(preparation.categories.values())
        ]
        self._embedding_of = dict(zip(preparation.categories, self.embeddings, strict=True))

    @property
    def layers(self):
        """Layers inside, for `summary(expand_nested=True)`."""
        return [*self.embeddings, self.core]

    def build(self, input_shape):
        """Build what is inside for the number of encoded channels."""
        for embedding in self.embeddings:
            embedding.build(input_shape[:2])
        channels = self.preparation.channels
        width = len(self.preparation.task.target)
        width += sum(KINDS[channel.kind].width(channel, self.preparation) for channel in channels)
        self.build_core((*input_shape[:2], width))

    def call(self, inputs, training=None):
        """Return forecasts `(batch, horizon, targets)`, or `(batch, horizon, targets, quantiles)`."""
        targets = inputs[..., : len(self.preparation.task.target)]
        center, scale = self._statistics(inputs, targets)  # (batch, 1, targets)
        divisor = ops.where(
            scale > 0, scale, ops.ones_like(scale)
        )  # a window of zeros, and nothing known of its series
        normalised = ops.concatenate([(targets - center) / divisor, *self._encode(inputs)], axis=-1)
        outputs = ops.cast(self.core(normalised, training=training), self.compute_dtype)
        if self.quantiles is not None:
            center, scale = ops.expand_dims(center, -1), ops.expand_dims(scale, -1)
        return outputs * scale + center

    def point(self, outputs):
        """Return the point forecast `(batch, horizon, targets)`: the output itself, or its middle quantile."""
        return outputs if self.quantiles is None else outputs[..., len(self.quantiles) // 2]

    def _statistics(self, inputs, targets):
        """Return center and scale `(batch, 1, targets)` of each window."""
        if self.normalization is None:
            return ops.zeros_like(targets[:, :1]), ops.ones_like(targets[:, :1])
        codes = self._codes(inputs)
        deviation = self._by_series("deviation", codes)
        is_known = ops.logical_and(ops.reshape(codes > 0, (-1, 1, 1)), deviation > 0)
        center = ops.mean(targets, axis=1, keepdims=True)
        # A window in which nothing happens is not blown up to noise: its scale has a floor.
        floor = ops.where(is_known, 1e-2 * deviation, 1e-4 * ops.abs(center))
        scale = ops.maximum(ops.std(targets, axis=1, keepdims=True), floor)
        if self.normalization == "window":
            return center, scale
        if self.normalization == "last":
            return targets[:, -1:], ops.where(is_known, self._by_series("scale", codes), scale)
        level = self._by_series("level", codes, less="offset")
        return ops.where(is_known, level, center), ops.where(is_known, deviation, scale)

    def _codes(self, inputs):
        """Return the code of each window's series; the only series of a table has code 1."""
        if self.preparation.task.series is None:
            return ops.ones((ops.shape(inputs)[0],), dtype="int32")
        return ops.cast(inputs[:, 0, -1], "int32")

    def _by_series(self, statistic, codes, less=None):
        """Look up a statistic of the training rows, less another one: `(batch, 1, targets)`."""
        every = np.arange(len(self.preparation.series) + 1)
        table = self.preparation.of_series(statistic, every)
        if less is not None:
            table -= self.preparation.of_series(less, every)  # in float64
        return ops.expand_dims(ops.take(ops.convert_to_tensor(table, dtype=self.compute_dtype), codes, axis=0), 1)

    def _encode(self, inputs):
        """Return the channels besides the targets as a network reads them, each `(batch, lookback, n)`."""
        encoded = []
        for place, channel in enumerate(self.preparation.channels):
            kind = KINDS[channel.kind]
            if kind.width(channel, self.preparation):
                values = inputs[..., place : place + 1]
                encoded.append(kind.encode(values, channel, self.preparation, self._embedding_of))
        return encoded

    def compute_output_shape(self, input_shape):
        """Return the shape of the forecasts."""
        task = self.preparation.task
        shape = (input_shape[0], task.horizon, len(task.target))
        return shape if self.quantiles is None else (*shape, len(self.quantiles))

    def get_config(self):
        """Return the arguments of the constructor, all of them JSON types."""
        own = {name: getattr(self, name) for name in ("normalization", "quantiles", "margins")}
        return super().get_config() | own | {"preparation": self.preparation.to_dict()}

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer and what is inside."""
        return super().from_config(config | {"preparation": Preparation.from_dict(config["preparation"])})


def raw_units_of(model: keras.Model, *, required: bool = True) -> RawUnits | None:
    """Return the layer that carries a forecaster's preparation; without one, say so, or return `None`."""
    layer = next((layer for layer in model.layers if isinstance(layer, RawUnits)), None)
    if layer is None and required:
        raise ValueError(
            f"Model {model.name!r} carries no preparation of its inputs; only models of `rt.build_forecaster` "
            "and `rt.load_forecaster` do. "
            "Pass `rt.Windows` instead of a table, or wrap your network in `rnn_toolkit.tables.layers.RawUnits`."
        )
    return layer
