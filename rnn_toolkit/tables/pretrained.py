"""The forecaster that ships with the package, and what fits it to a table or to windows: no training needed."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops

from rnn_toolkit._checks import whole_number
from rnn_toolkit.networks.optimization import make_optimizer
from rnn_toolkit.tables.axis import time_index
from rnn_toolkit.tables.fitting import Preparation
from rnn_toolkit.tables.layers import RawUnits, _Around
from rnn_toolkit.tables.layout import Layout, check_frame
from rnn_toolkit.tables.losses import ObservedMeanAbsoluteError, ScaledPinball
from rnn_toolkit.tables.series_network import Mixture, series_network
from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows

FILE = Path(__file__).parent / "pretrained.keras"
LOOKBACK = 160  # rows, what it was taught on; three seasons where these are longer,
MOST = 480  # but no more than that
QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
DAY = 86_400  # seconds


def load_forecaster(train: Windows | None = None) -> keras.Model:
    """Load the forecaster that ships with the package: it has learnt from synthetic series, and forecasts any other.

    It takes series of any scale and frequency, of one row or many, with missing values. What it cannot do: it knows no
    covariates and no calendar, and no bounds (of counts, the lower ones of an interval may be negative). Each target of
    each series is forecast by itself. It sees the last 160 rows, or three seasons up to 480 rows; a season that it has
    not seen whole it cannot repeat, and it was taught on none longer than 60 rows, nor beyond 64 steps ahead, where
    trends stand still. With many rows, or covariates that matter, a network of `build_forecaster` may be better:
    `score` tells.

    The season comes from the frequency: 12 rows of months, 4 of quarters, 52 of weeks, 7 of days, 24 of hours, and
    none of years or of numbered rows. For another, fit it to windows whose task has a `season_length`. Fine-tune it at
    a low rate: `fine_tune(model, train, validation, epochs_per_stage=0, learning_rate=1e-4)`.

    Args:
        train: Windows to fit the model to: for `backtest`, `fine_tune`, `conformalize`, and for a season length of
            one's own. `None` for a model that `forecast` takes with any table.

    Returns:
        Without windows, a model for `forecast(model, frame, horizon=...)`. With windows, a compiled `keras.Sequential`
        like one of `build_forecaster`, from `(batch, lookback, features)` to quantiles
        `(batch, horizon, targets, quantiles)`; it sees no more than the look-back.

    Raises:
        TypeError: If `train` is not `Windows`.
        ValueError: If its task has covariates.

    Example:
        >>> from rnn_toolkit import forecast
        >>> frame = pd.DataFrame({"sales": [1.0, 3.0, 2.0, 6.0]}, index=pd.period_range("2024-01", periods=4, freq="M"))
        >>> forecast(load_forecaster(), frame, horizon=2, level=80).columns.tolist()
        ['sales', 'sales-lo-80', 'sales-hi-80']
    """
    network = series_network(QUANTILES)
    network.load_weights(FILE)  # not `load_model`, so that an older Keras than the one that wrote it can
    return network if train is None else fit_to_windows(network, train)


@keras.saving.register_keras_serializable("rnn_toolkit")
class EachSeries(_Around):
    """Forecast each target of a window by itself, with the pretrained network.

    Args:
        core: Model of `series_network`.
        horizon: Steps to forecast.
        season_length: Rows in a season, 1 for none.
        flags: For each target, the channel that is 1 where it is missing; `None` where it never is.

    Call arguments:
        inputs: `(batch, lookback, channels)`, the targets first.

    Returns:
        `(batch, horizon, targets, quantiles)`.
    """

    def __init__(self, core, *, horizon, season_length, flags, **kwargs):
        super().__init__(core, **kwargs)
        self.horizon, self.season_length, self.flags = horizon, season_length, tuple(flags)
        self.predict = None  # instead of the core, where no gradient is needed

    def build(self, input_shape):
        """Do nothing: the network is built."""

    def call(self, inputs, training=None):
        """Return the quantiles of all steps."""
        lookback, targets = inputs.shape[1], len(self.flags)
        present = [ops.ones_like(inputs[..., 0]) if flag is None else 1 - inputs[..., flag] for flag in self.flags]
        history = ops.reshape(ops.transpose(inputs[..., :targets], (0, 2, 1)), (-1, lookback))
        ones = ops.ones_like(history[:, :1], dtype="int32")
        steps = ops.arange(1, self.horizon + 1, dtype="int32")[None, None] * ones[..., None]
        outputs = (self.predict or self.core)(
            {
                "history": history,
                "there": ops.reshape(ops.stack(present, axis=1), (-1, lookback)),
                "season": self.season_length * ones,
                "origin": (lookback - 1) * ones,
                "steps": steps,
            }
        )
        outputs = ops.reshape(outputs, (-1, targets, self.horizon, outputs.shape[-1]))
        return ops.transpose(outputs, (0, 2, 1, 3))

    def compute_output_shape(self, input_shape):
        """Return `(batch, horizon, targets, quantiles)`."""
        return input_shape[0], self.horizon, len(self.flags), self.core.output_shape[-1]

    def get_config(self):
        """Return the arguments of the constructor."""
        own = {"horizon": self.horizon, "season_length": self.season_length, "flags": self.flags}
        return super().get_config() | own


def is_pretrained(model) -> bool:
    """Return whether a model is the pretrained network as it ships, not yet fitted to a table."""
    return any(isinstance(layer, Mixture) for layer in getattr(model, "layers", ()))


def fit_to_windows(network: keras.Model, windows: Windows) -> keras.Sequential:
    """Return the model of `load_forecaster(windows)`, which holds the network itself, not a copy."""
    if not isinstance(windows, Windows):
        raise TypeError(f"`train` must be `rt.Windows`. Received: {type(windows).__name__}. See `rt.split_by_time`.")
    task = windows.task
    covariates = [*task.known, *task.observed, *task.static, *task.calendar]
    if covariates:
        raise ValueError(
            f"The pretrained forecaster knows no covariates. Received a task with {', '.join(map(repr, covariates))}. "
            "Leave them out of the task, or build a model that learns them with `rt.build_forecaster`."
        )
    return _fitted(network, windows.preparation)


def fit_to_frame(network: keras.Model, frame: pd.DataFrame, horizon: int) -> tuple[keras.Sequential, pd.DataFrame]:
    """Return a model for any table, and the last rows of each of its series, which it looks back at.

    The time axis is the index, or the column of dates; the column of words names the series; the numbers are targets.
    """
    task = _roles(frame, whole_number(horizon, "horizon"))
    layout = Layout.of(frame, task)
    season = usual_season(layout.frequency)
    lookback = max(LOOKBACK, min(3 * season, MOST))  # of all series, so that none depends on those beside it
    unknown = ((0.0,) * len(task.target),)
    preparation = Preparation(
        task=dataclasses.replace(task, lookback=lookback, season_length=season),
        frequency=layout.frequency,
        time_zone=layout.time_zone,
        train_ends=(),  # there was no training
        categories={},
        moments={},
        flagged=task.target,
        series=("",),  # none of those to come: each is measured by itself
        level=unknown,
        deviation=unknown,
        scale=((1.0,) * len(task.target),),
        padded=True,
    )
    model = _fitted(network, preparation)
    model.layers[-1].core.predict = network.predict_on_batch  # compiled once for all tables
    margin = np.zeros((horizon, len(task.target))).tolist()
    model.layers[-1].margins = {"50": margin, "80": margin, "90": margin, "95": margin}  # its own quantiles
    if task.series is None:
        return model, frame.tail(lookback)
    return model, frame.groupby(task.series, sort=False, observed=True).tail(lookback)


def _fitted(network, preparation) -> keras.Sequential:
    task = preparation.task
    flagged = list(preparation.flagged)
    flags = [len(task.target) + flagged.index(name) if name in flagged else None for name in task.target]
    core = EachSeries(network, horizon=task.horizon, season_length=task.season_length or 1, flags=flags, name="series")
    raw_units = RawUnits(core, preparation, normalization="last", quantiles=QUANTILES, name="raw_units")
    shape = (task.lookback, len(preparation.feature_names))
    model = keras.Sequential([keras.Input(shape), raw_units], name="pretrained_forecaster")
    loss = ScaledPinball(QUANTILES)
    model.compile(make_optimizer(1e-4), loss=loss, weighted_metrics=[ObservedMeanAbsoluteError()])
    model.optimizer.build(model.trainable_variables)  # else its file holds less than Keras looks for
    return model


def usual_season(frequency: str | int) -> int:
    """Return the rows in the season that a frequency usually has, 1 for none.

    Example:
        >>> [usual_season(frequency) for frequency in ("YE", "QE", "MS", "W-SAT", "D", "B", "h", "30min", "min", 1)]
        [1, 4, 12, 52, 7, 5, 24, 48, 60, 1]
    """
    if not isinstance(frequency, str):
        return 1
    offset = pd.tseries.frequencies.to_offset(frequency)
    name = offset.rule_code.partition("-")[0]
    in_a_year = {"W": 52, "SME": 24, "SMS": 24, "B": 5, "D": 7}
    in_a_year |= {"ME": 12, "MS": 12, "BME": 12, "BMS": 12, "QE": 4, "QS": 4, "BQE": 4, "BQS": 4}
    if name in in_a_year:
        season = in_a_year[name] / offset.n
        return int(season) if season.is_integer() else 52 if (name, offset.n) == ("D", 7) else 1
    try:
        seconds = pd.Timedelta(offset).total_seconds()
    except ValueError:  # years and what else has no fixed length
        return 1
    for cycle in (DAY, DAY // 24, 60):
        if 2 <= cycle / seconds <= 288 and (cycle / seconds).is_integer():
            return int(cycle / seconds)
    return 52 if seconds == 7 * DAY else 7 if seconds == DAY else 1


def _roles(frame, horizon) -> ForecastTask:
    """Return the task that the types of the columns tell."""
    check_frame(frame, [], "frame")
    kinds = {"dates": [], "words": [], "numbers": []}
    for name, column in frame.items():
        is_date = pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype)
        kinds["dates" if is_date else "numbers" if pd.api.types.is_numeric_dtype(column) else "words"].append(name)
    dates, words, numbers = kinds.values()
    has_time = isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex)
    if len(dates) > 1 - has_time or len(words) > 1 or not numbers:
        raise ValueError(
            "The pretrained forecaster takes the index or one column of dates for the time, at most one column of "
            "words for the names of the series, and forecasts all columns of numbers. Received: dates "
            f"{dates}, words {words}, numbers {numbers}, and {'a' if has_time else 'no'} time in the index. Pass the "
            "columns that matter, `frame[['month', 'sales']]`, say, or a task of your own: "
            "`rt.load_forecaster(rt.Windows(frame, task))`."
        )
    freq = frame.index.freqstr if isinstance(frame.index, pd.DatetimeIndex) else None
    frequency = freq if has_time and len(frame) == 1 else None  # which one row does not tell
    task = ForecastTask(tuple(numbers), horizon, lookback=1, time=dates[0] if dates else None, frequency=frequency)
    time_index(frame, task)  # raises where the words are dates written as text
    empty = [name for name in numbers if frame[name].isna().all()]
    if empty:
        raise ValueError(f"Column {empty[0]!r} holds no value. Drop it, or fill it.")
    return dataclasses.replace(task, series=words[0] if words else None)
