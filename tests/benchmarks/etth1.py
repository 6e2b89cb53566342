"""ETTh1 by the published protocol: all seven columns, look-back 336 or 720, horizons 96 to 720, every test window.

    python tests/benchmarks/etth1.py --horizon 96 --lookback 336 --epochs 3 --seed 0

Rows 0-8639 train, 8640-11519 validate, 11520-14399 test; errors on values standardised by the training rows. The
columns are seven series of one model, each on the scale of its training rows. Nothing is chosen on test rows: epoch
and options are the validation split's. `--members 3` averages the forecasts of three seeds.
"""

import argparse
import time

import keras
import numpy as np

import rnn_toolkit as rt
from rnn_toolkit.tables.baselines import seasonal_naive


def fitted(options, train, validation, seed):
    """Train one model and print its history."""
    keras.utils.set_random_seed(seed)
    optimizer = rt.make_optimizer(1e-3, schedule="one_cycle", steps=options.epochs * len(train))
    model = rt.build_forecaster(train, patch_length=options.patch, loss=options.loss, optimizer=optimizer)
    began = time.perf_counter()
    history = rt.train(model, train, validation, epochs=options.epochs, progress=None)
    seconds = time.perf_counter() - began
    print(history.round(4).to_string())
    print(f"seed {seed}: trained {history.index[-1]} epochs in {seconds:.0f} s, {model.count_params():,} weights")
    return model


def main():
    """Train, and print the errors on validation and test rows, beside the baselines if asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--horizon", type=int, default=96)
    parser.add_argument("--lookback", type=int, default=336)
    parser.add_argument("--patch", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--loss", default="mae")
    parser.add_argument("--baselines", action="store_true")
    options = parser.parse_args()

    table = rt.datasets.load_etth1().iloc[:14_400]
    deviation = table.iloc[:8_640].std(ddof=0)
    frame = table.melt(var_name="column", value_name="value", ignore_index=False).reset_index()
    task = rt.ForecastTask("value", options.horizon, options.lookback, time="date", series="column")
    train, validation, test = rt.split_by_time(
        frame, task, validation=2_880, test=2_880, batch_size=256, seed=options.seed
    )
    seeds = range(options.seed, options.seed + options.members)
    models = [fitted(options, train, validation, seed) for seed in seeds]
    for name, windows in (("validation", validation), ("test", test)):
        with_baselines = options.baselines and name == "test"
        backtest = rt.backtest(models[0], windows, baselines=("naive", "nlinear") if with_baselines else ())
        for seed, model in zip(seeds, models, strict=True):
            backtest[f"seed {seed}"] = rt.backtest(model, windows, baselines=()).predicted
        backtest["mean of all seeds"] = backtest[[f"seed {seed}" for seed in seeds]].mean(axis=1)
        if with_baselines:
            past = windows.to_arrays()[0][..., 0]
            backtest["seasonal_naive"] = seasonal_naive(past, options.horizon, season_length=24).ravel()
        scale = backtest.series.map(deviation).to_numpy(dtype="float64")
        for forecaster in backtest.columns.drop(
            ["series", "cutoff", "time", "step", "target", "actual", "predicted", "scale"]
        ):
            error = (backtest[forecaster] - backtest.actual).to_numpy(dtype="float64") / scale
            print(
                f"horizon {options.horizon}, look-back {options.lookback}, {name}, {forecaster}: "
                f"MSE {np.mean(error**2):.4f}, MAE {np.mean(np.abs(error)):.4f}"
            )


if __name__ == "__main__":
    main()
