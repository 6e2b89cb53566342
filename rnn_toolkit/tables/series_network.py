"""A recurrent forecaster that has already learnt: it reads any series, of any scale and season, without training.

One network for all series. What makes that possible is what it is shown: never a value, only differences over a running
scale. What it answers is a mixture of simple forecasts (the last value, smoothed levels, past seasons, trends), each
weighted anew for every step ahead, and quantiles around it. It goes through the history once and answers for any
steps ahead at once, so that errors do not build up.
"""

import math

import keras
from keras import ops

from rnn_toolkit.tables.layers import OrderedQuantiles

LAGS = 3  # seasons looked back at
SMOOTHING = (0.1, 0.3, 0.6)  # weights of the newest value in the levels
TRACKS = 5 + len(SMOOTHING)
FEWEST = 1e-6  # least scale; the caller brings the values to a size of about 1
LEAST_SCALE = 0.1  # of the mean step
LARGEST = 10.0  # beyond that many scales a difference is squeezed
FARTHEST = 64.0  # steps ahead; beyond, the trend stands still


@keras.saving.register_keras_serializable("rnn_toolkit")
class SeriesFeatures(keras.layers.Layer):
    """Turn a history into what a recurrent network reads at each step, knowing nothing of later ones.

    Call arguments:
        history: Values `(batch, time)`, oldest first, missing ones as the last one seen, and those before a short
            series begins as its first.
        there: 1 where a value was there, else 0, `(batch, time)`.
        season: Steps in a season `(batch, 1)`, 1 for none.

    Returns:
        Features `(batch, time, features)`, and tracks `(batch, time, TRACKS)`: the value, whether it was there, the
        running scale, the deviation from the mean of the season that ends there, the mean step, and the levels.
    """

    def call(self, history, there, season):
        """Return features and tracks."""
        time = ops.shape(history)[1]
        step = ops.expand_dims(ops.arange(time), 0)  # (1, time)
        season, values = ops.cast(season, "int32"), history
        seen = ops.cumsum(there, axis=1)
        begun = ops.cast(seen > 0, "float32")

        def lagged(tensor, steps):  # what was there that many steps before each step, and whether anything was
            place = step - steps
            is_there = ops.cast(place >= 0, "float32") * at(begun, place)
            return at(tensor, place), is_there

        before, had_before = lagged(values, 1)
        season_before, had_season = lagged(values, season)
        age = ops.cast(step - ops.transpose(step), "float32")  # (time, time)
        past = ops.cast(age >= 0, "float32")
        age = ops.maximum(age, 0.0)

        def smoothed(tensor, weight, decay):  # running mean of what is there, recent steps counting more
            kernel = ops.exp(-decay * age) * past
            return ops.matmul(tensor * weight, kernel) / ops.maximum(ops.matmul(weight, kernel), 1e-9)

        slow = 1 / 30
        seasonal = smoothed(ops.abs(values - season_before), there * had_season, slow)
        num_seasonal = ops.cumsum(there * had_season, axis=1)
        stepwise = smoothed(ops.abs(values - before), there * had_before, slow)
        # A season that returns almost exactly must not blow everything else up.
        usual = ops.clip(seasonal, LEAST_SCALE * stepwise, 3 * stepwise)
        scale = ops.where(num_seasonal > 2, usual, stepwise) + FEWEST
        # The mean over the season that ends at each step, and how far each step is from it.
        total, num = ops.cumsum(values * begun, axis=1), ops.cumsum(begun, axis=1)
        total_before, _ = lagged(total, season)
        num_before, _ = lagged(num, season)
        is_whole = ops.cast(step - season >= 0, "float32")
        mean = (total - total_before * is_whole) / ops.maximum(num - num_before * is_whole, 1.0)
        mean_before, had_mean = lagged(mean, season)
        deviation = values - mean
        sums, weights = 0.0, 0.0
        for lag in range(1, LAGS + 1):
            one, is_there = lagged(deviation, lag * season)
            is_there = is_there * lagged(num, lag * season)[0] / ops.cast(season, "float32")
            is_there = ops.minimum(is_there, 1.0) * ops.cast(season > 1, "float32")
            sums, weights = sums + one * is_there, weights + is_there
        adjusted = values - sums / ops.maximum(weights, 1.0)  # for the season, as far as it was known before
        adjusted_before, _ = lagged(adjusted, 1)
        rise = smoothed(adjusted - adjusted_before, had_before, slow)
        levels, errors = [], []
        for alpha in SMOOTHING:
            level = smoothed(adjusted, there, -math.log(1 - alpha))
            error = adjusted - lagged(level, 1)[0]
            levels.append(level)
            errors.append(smoothed(ops.abs(error), there * had_before, 0.1))

        def relative(difference, is_there=1.0):
            return squeezed(difference / scale) * is_there * begun

        features = [
            relative(values - before, had_before),
            relative(values - season_before, had_season),
            relative(adjusted - values),
            relative(adjusted - adjusted_before, had_before),
            relative(rise * 4),
            relative(mean - values),
            relative(mean - mean_before, had_mean),
            *[relative(level - adjusted) for level in levels],
            *[relative(error) for error in errors],
        ]
        for lag in range(1, LAGS + 1):  # of the next step
            value, is_there = lagged(values, lag * season - 1)
            features += [relative(value - values, is_there), is_there]
        one = ops.ones_like(values)
        ratio = ops.log((stepwise + FEWEST) / (seasonal + FEWEST))
        features += [
            there,
            had_before,
            one / ops.cast(season, "float32"),
            ops.log1p(seen) / 5.0,
            ops.clip(ratio, -4.0, 4.0) * ops.cast(num_seasonal > 2, "float32"),
        ]
        tracks = [values, begun, scale, deviation, rise, *levels]
        return ops.stack(features, axis=-1), ops.stack(tracks, axis=-1)

    def compute_output_shape(self, history_shape, there_shape, season_shape):
        """Return the shapes of what `call` returns."""
        return (*history_shape, 12 + 2 * len(SMOOTHING) + 2 * LAGS), (*history_shape, TRACKS)


@keras.saving.register_keras_serializable("rnn_toolkit")
class StepsAhead(keras.layers.Layer):
    """Say what is known of a step that is asked for: simple forecasts of it, and how far it is.

    Call arguments:
        tracks: As `SeriesFeatures` returns them.
        states: States of the recurrent layers `(batch, time, units)`.
        season: Steps in a season `(batch, 1)`.
        origin: Last step known, `(batch, origins)`, from 0.
        steps: Steps ahead of each origin, from 1: `(batch, origins, steps)`.

    Returns:
        The states at the origins `(batch, origins, 1, units)`; features `(batch, origins, steps, features)`; simple
        forecasts as differences to the value at the origin, in scales, `(batch, origins, steps, forecasts)`; and value
        and scale at the origin `(batch, origins, 1, 2)`.
    """

    NUM_FORECASTS = LAGS + 2 * len(SMOOTHING) + 3

    def call(self, tracks, states, season, origin, steps):
        """Return states, features, forecasts, and the value and scale at each origin."""
        season = ops.expand_dims(ops.cast(season, "int32"), -1)  # (batch, 1, 1)
        origin, steps = ops.cast(origin, "int32"), ops.cast(steps, "int32")
        shape = ops.shape(steps)
        place = ops.expand_dims(origin, -1)  # (batch, origins, 1)
        here = ops.take_along_axis(tracks, place, axis=1)  # (batch, origins, tracks)
        base, _, scale, _, rise, *levels = (here[..., one : one + 1] for one in range(TRACKS))
        history, begun, deviation = tracks[..., 0], tracks[..., 1], tracks[..., 3]
        is_seasonal = ops.cast(season > 1, "float32")

        def pick(tensor, where):
            return ops.reshape(at(tensor, ops.reshape(where, (shape[0], -1))), shape)

        one = ops.ones_like(ops.cast(steps, "float32"))
        ahead, length = ops.minimum(ops.cast(steps, "float32"), FARTHEST), ops.cast(season, "float32")
        whole = (steps + season - 1) // season  # seasons to go back to what is known
        features, forecasts, sums, weights = [], [], 0.0, 0.0
        for lag in range(LAGS):
            where = place + steps - (whole + lag) * season
            is_there = ops.cast(where >= 0, "float32") * pick(begun, where)
            difference = (pick(history, where) - base) / scale * is_there
            swing = pick(deviation, where) / scale * is_there * is_seasonal
            sums, weights = sums + swing, weights + is_there
            features += [squeezed(difference), squeezed(swing), is_there]
            forecasts += [difference]
        typical = sums / ops.maximum(weights, 1.0)
        level = [(one_level - base) / scale for one_level in levels]
        forecasts += [one_level + typical for one_level in level]
        # Differences of levels tell the slope; each is a forecast when it lasts.
        forecasts += [(level[2] - level[1]) * ahead, (level[1] - level[0]) * ahead / 7.0]
        forecasts += [rise / scale * ahead, (level[2] - level[1]) * one, typical]
        forecasts += [one * level[0]]
        features += [
            squeezed(typical),
            *[squeezed(one_level * one) for one_level in level],
            squeezed(rise / scale * ahead),
            ops.log1p(ahead) / 3.0,
            ops.sqrt(ahead) / 5.0,
            ahead / 30.0,
            one / ahead,
            ops.minimum(ahead / length, 8.0) / 4.0 * is_seasonal,
            ops.cast(whole * season - steps, "float32") / length,  # share of the season behind the step
            one / length,
            is_seasonal * one,
        ]
        taken = ops.take_along_axis(states, place, axis=1)
        forecasts = [ops.clip(one_forecast, -300.0, 300.0) for one_forecast in forecasts]
        return (
            ops.expand_dims(taken, 2),
            ops.stack(features, axis=-1),
            ops.stack(forecasts, axis=-1),
            ops.expand_dims(ops.concatenate([base, scale], axis=-1), 2),
        )

    def compute_output_shape(self, tracks_shape, states_shape, season_shape, origin_shape, steps_shape):
        """Return the shapes of what `call` returns."""
        return (
            (*origin_shape, 1, states_shape[-1]),
            (*steps_shape, 3 * LAGS + 10 + len(SMOOTHING)),
            (*steps_shape, self.NUM_FORECASTS),
            (*origin_shape, 1, 2),
        )


@keras.saving.register_keras_serializable("rnn_toolkit")
class Mixture(keras.layers.Layer):
    """Weigh the simple forecasts, put quantiles around their sum, and go back to the units of the history.

    Call arguments:
        outputs: Weights of the forecasts, and what the quantiles need: `(..., forecasts + quantiles)`.
        forecasts: `(..., forecasts)`.
        units: Value and scale at the origin, `(..., 2)`.

    Returns:
        Quantiles `(..., quantiles)`.
    """

    def call(self, outputs, forecasts, units):
        """Return the quantiles."""
        num_forecasts = forecasts.shape[-1]
        middle = ops.sum(outputs[..., :num_forecasts] * forecasts, axis=-1, keepdims=True)
        quantiles = OrderedQuantiles()(outputs[..., num_forecasts:]) + middle
        return quantiles * units[..., 1:] + units[..., :1]

    def compute_output_shape(self, outputs_shape, forecasts_shape, units_shape):
        """Return `(..., quantiles)`."""
        return (*outputs_shape[:-1], outputs_shape[-1] - forecasts_shape[-1])


@keras.saving.register_keras_serializable("rnn_toolkit")
class DenseOverSteps(keras.layers.Dense):
    """A dense layer that reads all steps as rows of one matrix.

    TensorFlow 2.20 computes products of tensors with four axes by oneDNN, which destroys memory on some processors.
    """

    def call(self, inputs, training=None):
        """Return outputs of the inputs' shape, `units` last."""
        outputs = super().call(ops.reshape(inputs, (-1, inputs.shape[-1])), training=training)
        return ops.reshape(outputs, (*ops.shape(inputs)[:-1], self.units))


def series_network(quantiles, *, units: int = 96, layers: int = 2, head: int = 128) -> keras.Model:
    """Build the network, untrained.

    Args:
        quantiles: Levels to forecast, the median in the middle.
        units: Units of each recurrent layer.
        layers: Recurrent layers.
        head: Units of the head's hidden layers.

    Returns:
        A model from a dict of `history` and `there` `(batch, time)`, `season` `(batch, 1)`, `origin`
        `(batch, origins)` and `steps` `(batch, origins, steps)` to quantiles `(batch, origins, steps, quantiles)`.
    """
    history = keras.Input((None,), name="history")
    there = keras.Input((None,), name="there")
    season = keras.Input((1,), dtype="int32", name="season")
    origin = keras.Input((None,), dtype="int32", name="origin")
    steps = keras.Input((None, None), dtype="int32", name="steps")
    features, tracks = SeriesFeatures(name="features")(history, there, season)
    x = keras.layers.Dense(64, name="embed")(features)
    states = [features]
    for number in range(1, layers + 1):
        x = keras.layers.GRU(units, return_sequences=True, name=f"gru_{number}")(x)
        states.append(x)
    states = keras.layers.Concatenate(name="states")(states)
    state, ahead, forecasts, in_units = StepsAhead(name="ahead")(tracks, states, season, origin, steps)
    state = DenseOverSteps(head, name="from_state")(state)  # once for all steps
    x = keras.layers.Add(name="known")([state, DenseOverSteps(head, name="from_step")(ahead)])
    x = keras.layers.Activation("silu", name="head_1")(x)
    x = DenseOverSteps(head, activation="silu", name="head_2")(x)
    width = StepsAhead.NUM_FORECASTS + len(quantiles)
    outputs = DenseOverSteps(width, kernel_initializer="zeros", name="weights")(x)
    outputs = Mixture(name="quantiles")(outputs, forecasts, in_units)
    inputs = {"history": history, "there": there, "season": season, "origin": origin, "steps": steps}
    return keras.Model(inputs, outputs, name="pretrained")


def at(tensor, place):
    """Return the entries of `(batch, time)` at places `(batch, n)`, clipped to those there are."""
    place = ops.clip(place, 0, ops.shape(tensor)[1] - 1)
    place = ops.broadcast_to(place, (ops.shape(tensor)[0], ops.shape(place)[1]))
    return ops.take_along_axis(tensor, place, axis=1)


def squeezed(values):
    """Return values that stay within `LARGEST`, small ones as they are."""
    return LARGEST * ops.tanh(values / LARGEST)
