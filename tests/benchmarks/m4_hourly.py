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
    backtest = rt.backtest(model, test, baselines=("naive", "seasonal_naive", "naive2", "nlinear"))
    print(rt.score(backtest).round(4).to_string())
    print(f"seed {options.seed}: trained {steps} steps in {seconds:.0f} s, {model.count_params():,} weights")


if __name__ == "__main__":
    main()
