"""Beijing PM2.5, 24 hours ahead from weather and calendar: train on 2010-2012, stop by 2013, test on 2014.

python tests/benchmarks/beijing_pm25.py --seed 0
"""

import argparse
import time

import keras

import rnn_toolkit as rt


def main():
    """Train once and print the scores beside the baselines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lookback", type=int, default=168)
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--normalization", default="last")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)

    task = rt.ForecastTask(
        "pm25",
        horizon=24,
        lookback=options.lookback,
        observed=("dew_point", "temperature", "pressure", "wind_direction", "wind_speed", "snow_hours", "rain_hours"),
        calendar=("hour", "day_of_week", "month"),
        season_length=24,
    )
    frame = rt.datasets.load_beijing_pm25()
    train, validation, test = rt.split_by_time(
        frame, task, validation="2013-01-01", test="2014-01-01", batch_size=256, seed=options.seed
    )
    optimizer = rt.make_optimizer(1e-3, schedule="one_cycle", steps=options.epochs * len(train))
    model = rt.build_forecaster(
        train, patch_length=options.patch, normalization=options.normalization, optimizer=optimizer
    )
    began = time.perf_counter()
    history = rt.train(model, train, validation, epochs=options.epochs, progress=None)
    seconds = time.perf_counter() - began
    print(history.round(4).to_string())
    print(rt.score(rt.backtest(model, test)).round(3).to_string())
    print(
        f"seed {options.seed}: trained {history.index[-1]} epochs in {seconds:.0f} s, {model.count_params():,} weights"
    )


if __name__ == "__main__":
    main()
