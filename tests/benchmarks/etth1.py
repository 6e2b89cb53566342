"""ETTh1 by the published protocol: all seven columns, look-back 336 or 720, horizons 96 to 720, every test window.

    python tests/benchmarks/etth1.py --horizon 96 --lookback 336 --epochs 3 --seed 0

Rows 0-8639 train, 8640-11519 validate, 11520-14399 test; errors on values standardised by the training rows. The
columns are seven series of one model. Nothing is chosen on test rows: the best epoch is the validation split's.
"""

import argparse
import time

import keras
import numpy as np

import rnn_toolkit as rt


def main():
    """Train once and print one line of results beside the baselines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--horizon", type=int, default=96)
    parser.add_argument("--lookback", type=int, default=336)
    parser.add_argument("--patch", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--baselines", action="store_true")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)

    table = rt.datasets.load_etth1().iloc[:14_400]
    deviation = table.iloc[:8_640].std(ddof=0)
    frame = table.melt(var_name="column", value_name="value", ignore_index=False).reset_index()
    task = rt.ForecastTask(
        "value", options.horizon, options.lookback, time="date", series="column", static="column", season_length=24
    )
    train, validation, test = rt.split_by_time(
        frame, task, validation=2_880, test=2_880, batch_size=256, seed=options.seed
    )
    optimizer = rt.make_optimizer(1e-3, schedule="one_cycle", steps=options.epochs * len(train))
    model = rt.build_forecaster(train, patch_length=options.patch, optimizer=optimizer)
    began = time.perf_counter()
    history = rt.train(model, train, validation, epochs=options.epochs, progress=None)
    seconds = time.perf_counter() - began
    print(history.round(4).to_string())

    baselines = ("naive", "seasonal_naive", "nlinear") if options.baselines else ()
    for split, windows, beside in (("validation", validation, ()), ("test", test, baselines)):
        backtest = rt.backtest(model, windows, baselines=beside)
        scale = backtest.series.map(deviation).to_numpy(dtype="float64")
        for name in ("predicted", *beside):
            error = (backtest[name] - backtest.actual).to_numpy(dtype="float64") / scale
            print(
                f"horizon {options.horizon}, look-back {options.lookback}, seed {options.seed}, {split}, {name}: "
                f"MSE {np.mean(error**2):.4f}, MAE {np.mean(np.abs(error)):.4f}"
            )
    print(f"trained {len(history)} epochs in {seconds:.0f} s, {model.count_params():,} weights")


if __name__ == "__main__":
    main()
