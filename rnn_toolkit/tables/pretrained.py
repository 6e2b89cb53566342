"""A recurrent forecaster that has already learnt: it reads any series, of any scale and season, without training.

One network for all series. What makes that possible is what it is shown: never a value, only differences, to the value
before and to the values one, two and three seasons before the step that is asked for, over a running scale. What it
answers is a difference, too. It goes through the history once and answers for any steps ahead at once, each with its
quantiles, so that errors do not build up.
"""

import keras
from keras import ops

from rnn_toolkit.tables.layers import OrderedQuantiles

LAGS = 3  # seasons looked back at, before the step that is asked for
FEWEST = 1e-6  # least scale; the caller brings the values to a size of about 1
LARGEST = 10.0  # beyond that many scales a difference is squeezed


@keras.saving.register_keras_serializable("rnn_toolkit")
class SeriesFeatures(keras.layers.Layer):
    """Turn a history into what a recurrent network reads at each step, knowing nothing of later ones.

    Call arguments:
        history: Values `(batch, time)`, oldest first, missing ones as the last one seen, and those before a short
            series begins as its first.
        there: 1 where a value was there, else 0, `(batch, time)`.
        season: Steps in a season `(batch, 1)`, 1 for none.

    Returns:
        Features `(batch, time, 14)`; the means of the values over the season that ends at each step `(batch, time)`;
        and the running scale `(batch, time)`.
    """

    def call(self, history, there, season):
        """Return features, moving mean and scale."""
        step = ops.expand_dims(ops.arange(ops.shape(history)[1]), 0)  # (1, time)
        season, values = ops.cast(season, "int32"), history
        seen = ops.cumsum(there, axis=1)
        has_begun = ops.cast(seen > 0, "float32")

        def lagged(steps):  # the value and whether it was there, that many steps before each step
            place = step - steps
            is_there = ops.cast(place >= 0, "float32") * _at(there, place)
            return _at(values, place), is_there

        before, had_before = lagged(1)
        season_before, had_season = lagged(season)
        decay = ops.exp(ops.cast(step, "float32") / ops.cast(ops.maximum(24, 2 * season), "float32"))
        seasonal, num_seasonal = _mean(ops.abs(values - season_before), there * had_season, decay)
        stepwise, _ = _mean(ops.abs(values - before), there * had_before, decay)
        scale = ops.where(num_seasonal > 2, ops.minimum(seasonal, 3 * stepwise), stepwise) + FEWEST
        # The mean over the last season, or over the last steps where there is none.
        width = ops.where(season > 1, season, 6)
        total = ops.cumsum(values * has_begun, axis=1)
        num = ops.cumsum(has_begun, axis=1)
        place = step - width
        total_before = ops.where(place >= 0, _at(total, place), 0.0)
        num_before = ops.where(place >= 0, _at(num, place), 0.0)
        mean = (total - total_before) / ops.maximum(num - num_before, 1.0)
        mean_before = ops.where(place >= 0, _at(mean, place), mean)

        def relative(difference, is_there=1.0):
            return _squeezed(difference / scale) * is_there * has_begun

        features = [
            relative(values - before, had_before),
            relative(values - season_before, had_season),
            relative(mean - values),
            relative(mean - mean_before),
        ]
        for lag in range(1, LAGS + 1):  # of the next step
            value, is_there = lagged(lag * season - 1)
            features += [relative(value - values, is_there)]
            features += [is_there] if lag < LAGS else []
        one = ops.ones_like(values)
        ratio = ops.log((stepwise + FEWEST) / (seasonal + FEWEST))
        features += [
            there,
            had_before,
            one / ops.cast(season, "float32"),
            ops.log1p(seen) / 5.0,
            ops.clip(ratio, -4.0, 4.0) * ops.cast(num_seasonal > 2, "float32"),
        ]
        return ops.stack(features, axis=-1), mean, scale

    def compute_output_shape(self, history_shape, there_shape, season_shape):
        """Return the shapes of what `call` returns."""
        return (*history_shape, 4 + 2 * LAGS - 1 + 5), history_shape, history_shape


@keras.saving.register_keras_serializable("rnn_toolkit")
class StepsAhead(keras.layers.Layer):
    """Say what is known of a step that is asked for: the same place in earlier seasons, and how far it is.

    Call arguments:
        history, there: As `SeriesFeatures` takes them, `(batch, time)`.
        mean, scale: As it returns them, `(batch, time)`.
        season: Steps in a season `(batch, 1)`.
        origin: Last step known, `(batch, origins)`, from 0.
        steps: Steps ahead of each origin, from 1: `(batch, origins, steps)`.

    Returns:
        Features `(batch, origins, steps, 17)`; the value at the origin and its scale `(batch, origins, 1)`.
    """

    def call(self, history, there, mean, scale, season, origin, steps):
        """Return the features, and the value and scale at each origin."""
        season = ops.expand_dims(ops.cast(season, "int32"), -1)  # (batch, 1, 1)
        origin, steps = ops.cast(origin, "int32"), ops.cast(steps, "int32")
        shape = ops.shape(steps)
        base, own_scale = (ops.expand_dims(_at(one, origin), -1) for one in (history, scale))
        own_mean = ops.expand_dims(_at(mean, origin), -1)
        origin = ops.expand_dims(origin, -1)  # (batch, origins, 1)

        def pick(tensor, place):
            return ops.reshape(_at(tensor, ops.reshape(place, (shape[0], -1))), shape)

        whole = (steps + season - 1) // season  # seasons to go back to what is known
        features, deviations, weights = [], [], []
        for lag in range(LAGS + 1):
            place = origin + steps - (whole + lag) * season
            is_there = ops.cast(place >= 0, "float32") * pick(there, place)
            value = pick(history, place)
            center = pick(mean, ops.minimum(place + season // 2, origin))  # the mean of the season around it
            deviations.append((value - center) / own_scale * is_there)
            weights.append(is_there)
            if lag < LAGS:
                features += [_squeezed((value - base) / own_scale) * is_there, _squeezed(deviations[-1]), is_there]
        typical = sum(deviations) / ops.maximum(sum(weights), 1.0)
        ahead, length = ops.cast(steps, "float32"), ops.cast(season, "float32")
        within = ops.cast(whole * season - steps, "float32") / length  # share of the season behind the step
        one = ops.ones_like(ahead)
        features += [
            _squeezed(typical),
            _squeezed((own_mean - base) / own_scale) * one,
            ops.log1p(ahead) / 3.0,
            ops.sqrt(ahead) / 5.0,
            ops.minimum(ahead / length, 8.0) / 4.0 * ops.cast(season > 1, "float32"),
            within,
            one / length,
            ops.cast(season > 1, "float32") * one,
        ]
        return ops.stack(features, axis=-1), base, own_scale

    def compute_output_shape(self, history_shape, there_shape, mean_shape, scale_shape, season_shape, origin_shape, steps_shape):
        """Return the shapes of what `call` returns."""
        return (*steps_shape, 3 * LAGS + 8), (*origin_shape, 1), (*origin_shape, 1)


@keras.saving.register_keras_serializable("rnn_toolkit")
class AtOrigins(keras.layers.Layer):
    """Take the states at the origins, and repeat each for every step that is asked of it.

    Call arguments:
        states: `(batch, time, units)`.
        origin: `(batch, origins)`.
        steps: `(batch, origins, steps)`.

    Returns:
        `(batch, origins, steps, units)`.
    """

    def call(self, states, origin, steps):
        """Return the states."""
        taken = ops.take_along_axis(states, ops.expand_dims(ops.cast(origin, "int32"), -1), axis=1)
        shape = ops.shape(steps)
        return ops.broadcast_to(ops.expand_dims(taken, 2), (shape[0], shape[1], shape[2], states.shape[-1]))

    def compute_output_shape(self, states_shape, origin_shape, steps_shape):
        """Return `(batch, origins, steps_shape, units)`."""
        return (*steps_shape, states_shape[-1])


@keras.saving.register_keras_serializable("rnn_toolkit")
class BackInUnits(keras.layers.Layer):
    """Scale and shift answers back: `(batch, origins, steps, quantiles)`."""

    def call(self, answers, base, scale):
        """Return the answers in the units of the history."""
        return answers * ops.expand_dims(scale, -1) + ops.expand_dims(base, -1)

    def compute_output_shape(self, answers_shape, base_shape, scale_shape):
        """Return the shape of the answers_shape."""
        return answers_shape


def series_network(*, units: int = 128, layers: int = 2, head: int = 128, quantiles) -> keras.Model:
    """Build the network, untrained.

    Args:
        units: Units of each recurrent layer.
        layers: Recurrent layers.
        head: Units of the head's hidden layers.
        quantiles: Levels to forecast, the median in the middle.

    Returns:
        A model from `history` and `there` `(batch, time)`, `season` `(batch, 1)`, `origin` `(batch, origins)` and `steps`
        `(batch, origins, steps)` to quantiles `(batch, origins, steps, quantiles)`.
    """
    history = keras.Input((None,), name="history")
    there = keras.Input((None,), name="there")
    season = keras.Input((1,), dtype="int32", name="season")
    origin = keras.Input((None,), dtype="int32", name="origin")
    steps = keras.Input((None, None), dtype="int32", name="steps")
    features, mean, scale = SeriesFeatures(name="series")(history, there, season)
    x = keras.layers.Dense(units // 2, name="embed")(features)
    states = []
    for number in range(layers):
        x = keras.layers.GRU(units, return_sequences=True, name=f"gru_{number + 1}")(x)
        states.append(x)
    state = keras.layers.Concatenate(name="states")([*states, features])
    ahead, base, own_scale = StepsAhead(name="ahead")(history, there, mean, scale, season, origin, steps)
    x = keras.layers.Concatenate(name="known")([AtOrigins(name="at_origins")(state, origin, steps), ahead])
    for number in range(2):
        x = keras.layers.Dense(head, activation="silu", name=f"head_{number + 1}")(x)
    x = keras.layers.Concatenate(name="skip")([x, ahead])
    answers = keras.layers.Dense(len(quantiles), name="answer", kernel_initializer="zeros")(x)
    answers = OrderedQuantiles(name="quantiles")(answers)
    outputs = BackInUnits(name="units")(answers, base, own_scale)
    return keras.Model([history, there, season, origin, steps], outputs, name="pretrained")


def _at(tensor, place):
    """Return the entries of `(batch, time)` at places `(batch, n)`, clipped to those there are."""
    place = ops.clip(place, 0, ops.shape(tensor)[1] - 1)
    place = ops.broadcast_to(place, (ops.shape(tensor)[0], ops.shape(place)[1]))
    return ops.take_along_axis(tensor, place, axis=1)


def _mean(values, there, weight):
    """Return a running mean of what is there, recent steps counting more, and how many there were."""
    weight = weight * there
    total = ops.cumsum(weight, axis=1)
    return ops.cumsum(weight * values, axis=1) / ops.maximum(total, 1e-9), ops.cumsum(there, axis=1)


def _squeezed(values):
    return LARGEST * ops.tanh(values / LARGEST)
