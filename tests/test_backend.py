"""The main path on whatever backend Keras runs on; CI runs this file on JAX, too, without TensorFlow."""

import keras
import numpy as np
import pandas as pd
import pytest

import rnn_toolkit as rt

# On TensorFlow the wings' own tests say the same in less time.
pytestmark = [pytest.mark.slow] if keras.backend.backend() == "tensorflow" else []


@pytest.fixture(scope="module")
def frame():
    return rt.datasets.load_airline_passengers()


@pytest.fixture(scope="module")
def splits(frame):
    task = rt.ForecastTask("passengers", horizon=6, lookback=24, calendar="month", season_length=12)
    return rt.split_by_time(frame, task)


@pytest.mark.parametrize("cell", ["simple", "lstm", "gru"])
def test_every_cell_trains_saves_and_forecasts(cell, frame, splits, tmp_path):
    train, validation, test = splits
    model = rt.build_forecaster(train, rt.recurrent_layers(cell, (8, 4), dropout=0.1, normalization="layer"))
    history = rt.train(model, train, validation, epochs=3, run_dir=tmp_path, progress=None)
    assert np.isfinite(history[1:].to_numpy()).all() and np.isfinite(history.val_loss[0])
    loaded = keras.saving.load_model(tmp_path / "best.keras")
    ahead = rt.forecast(loaded, frame.tail(24))
    pd.testing.assert_frame_equal(ahead, rt.forecast(model, frame.tail(24)))
    assert ahead.index[0] == pd.Timestamp("1961-01-01")
    scores = rt.score(rt.backtest(loaded, test))
    assert scores.loc["model", "MAE"] < scores.loc["naive", "MAE"]


def test_quantiles_and_calibration_work(frame, splits):
    train, validation, _ = splits
    model = rt.build_forecaster(train, rt.recurrent_layers("gru", (8,)), quantiles=(0.1, 0.5, 0.9))
    rt.train(model, train, validation, epochs=2, progress=None)
    result = rt.forecast(rt.conformalize(model, validation, level=80), frame, level=80)
    assert (result["passengers-lo-80"] < result["passengers-hi-80"]).all()


def test_many_series_with_covariates_and_gaps_train():
    frame = rt.datasets.load_weather().groupby("airport").head(400)
    task = rt.ForecastTask(
        "temperature",
        horizon=6,
        lookback=24,
        time="time",
        series="airport",
        observed=("pressure", "wind_direction"),
        static="airport",
        calendar=("hour",),
        season_length=24,
    )
    train, validation, _ = rt.split_by_time(frame, task)
    model = rt.build_forecaster(train, rt.recurrent_layers("gru", (8,), bidirectional=True))
    history = rt.train(model, train, validation, epochs=2, progress=None)
    assert history.loss.iloc[-1] < history.loss[1] * 1.1
