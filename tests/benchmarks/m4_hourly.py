"""M4 Hourly by the competition's rules: 414 series, 48 hours ahead, one model for all of them.

    python tests/benchmarks/m4_hourly.py --seed 0             # the official test values
    python tests/benchmarks/m4_hourly.py --seed 0 --choose    # the last 48 training values instead, to choose options

The competition ranks by OWA, the mean of sMAPE and MASE, each over that of Naive2. An error counts 1 / scale in MASE
and about 100 / level in sMAPE, so the windows' weights, which are 1 / scale, are set to the sum of both.
"""

import argparse
import time

import keras
import numpy as np
import pandas as pd

import rnn_toolkit as rt


class ForOWA(keras.utils.PyDataset):
    """Windows whose weights follow OWA: 1 / (2.395 scale) + 200 / (18.383 * 2 level), up to a constant."""

    def __init__(self, windows):
        super().__init__()
        self.windows = windows
        levels = windows.preparation.of_series("level", np.arange(len(windows.preparation.series) + 1))
        self.levels = levels[:, 0].astype("float32")

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, index):
        x, y, weight = self.windows[index]
        level = self.levels[x[:, 0, -1].astype(int)][:, None, None]
        return x, y, weight + (weight > 0) * (100 / 18.383 * 2.395) / level

    def on_epoch_end(self):
        self.windows.on_epoch_end()


def naive2(history: np.ndarray, horizon: int, *, season_length: int) -> np.ndarray:
    """Repeat the last value after taking the season out, and put the season back: the yardstick of the competition.

    The season counts if the autocorrelation at its length is significant at 90 %, and all values are positive; its
    factors come from a classical multiplicative decomposition. Otherwise the last value is repeated.

    Args:
        history: Past values, `(rows,)`; fewer than three seasons count as none.
        horizon: Steps to forecast, in rows.
        season_length: Rows in one season.

    Returns:
        `(horizon,)`.

    Source: Makridakis, Spiliotis and Assimakopoulos, 2020, "The M4 Competition: 100,000 time series and 61 forecasting
        methods", International Journal of Forecasting 36(1). Decomposition: Hyndman and Athanasopoulos, 2021,
        Forecasting: Principles and Practice, 3rd edition, section 3.4.
    """
    factors = np.ones(season_length)
    if (history > 0).all() and _is_seasonal(history, season_length):
        factors = _seasonal_factors(history, season_length)
    rows = len(history)
    return history[-1] / factors[(rows - 1) % season_length] * factors[(rows + np.arange(horizon)) % season_length]


def _is_seasonal(history, season_length) -> bool:
    """Return whether the autocorrelation at the length of the season is significant."""
    if season_length == 1 or len(history) < 3 * season_length:
        return False
    centered = history - history.mean()
    products = [(centered[lag:] * centered[: len(history) - lag]).sum() for lag in range(season_length + 1)]
    if products[0] == 0:  # a constant series has no season
        return False
    *shorter, own = np.array(products[1:]) / products[0]
    # 1.645: two-sided test at 90 %. The variance is that of Bartlett's formula, as in the competition.
    return bool(abs(own) > 1.645 * np.sqrt((1 + 2 * np.square(shorter).sum()) / len(history)))


def _seasonal_factors(history, season_length) -> np.ndarray:
    """Return the factor of each place in the season, with a mean of 1."""
    half = season_length // 2
    kernel = np.full(season_length + (season_length + 1) % 2, 1 / season_length)
    if season_length % 2 == 0:
        kernel[[0, -1]] /= 2
    trend = np.convolve(history, kernel, mode="valid")
    ratios = history[half : half + len(trend)] / trend
    factors = np.array(
        [ratios[(place - half) % season_length :: season_length].mean() for place in range(season_length)]
    )
    return factors / factors.mean()


def add_naive2(backtest: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Put Naive2 beside a backtest of one cutoff a series, from all rows of the series up to it."""
    forecasts = []
    for series, rows in backtest.groupby("series", observed=True, sort=False):
        history = frame[(frame.series == series) & (frame.step <= rows.cutoff.iloc[0])]
        forecasts.append(naive2(history.value.to_numpy(dtype="float32").astype(float), len(rows), season_length=24))
    return backtest.assign(naive2=np.concatenate(forecasts))


def owa(scores: pd.DataFrame) -> pd.Series:
    """Return the mean of the ratios of sMAPE and MASE to those of Naive2."""
    return (scores[["sMAPE", "MASE"]] / scores.loc["naive2", ["sMAPE", "MASE"]]).mean(axis=1)


def main():
    """Train once, for a fixed number of steps, and print the scores beside the baselines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--choose", action="store_true")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)

    frame = rt.datasets.load_m4_hourly()
    if options.choose:
        frame = frame[frame.split == "train"]
    task = rt.ForecastTask("value", horizon=48, lookback=168, time="step", series="series", season_length=24)
    train, _, test = rt.split_by_time(
        frame, task, validation=0, test=48, batch_size=256, stride=options.stride, seed=options.seed
    )
    steps = options.epochs * len(train)
    optimizer = rt.make_optimizer(2e-3, schedule="one_cycle", steps=steps)
    layers = [*rt.recurrent_layers("gru", (128,)), keras.layers.Dropout(0.1)]
    model = rt.build_forecaster(train, layers, patch_length=24, optimizer=optimizer)
    began = time.perf_counter()
    history = rt.train(model, ForOWA(train), epochs=options.epochs, progress=None, callbacks=[])
    seconds = time.perf_counter() - began
    print(history.round(4).to_string())
    backtest = rt.backtest(model, test, baselines=("naive", "seasonal_naive", "nlinear"))
    scores = rt.score(add_naive2(backtest, frame))
    print(scores.assign(OWA=owa(scores)).round(4).to_string())
    print(f"seed {options.seed}: trained {steps} steps in {seconds:.0f} s, {model.count_params():,} weights")


if __name__ == "__main__":
    main()
