"""A new series with little data: a forecaster fine-tuned, one from scratch, and what needs no training.

    RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit KERAS_BACKEND=jax python tests/benchmarks/new_series.py --seeds 3

A column of ETTh1 is the new series: 871 of its 17,420 hours are known (5 %), of which the last 174 choose the epoch,
and all windows of the last 3,484 hours judge, once. A forecaster learns from the six other columns,
from hours before the known ones. 24 hours ahead from 96; every model is one of the defaults.
"""

import argparse
import time

import keras
import pandas as pd

import rnn_toolkit as rt

KNOWN, CHOOSE, TEST = 871, 174, 3484
TASK = rt.ForecastTask("value", horizon=24, lookback=96, series="series", season_length=24)


def table(frame, columns):
    """Return columns as a long table of series."""
    return pd.concat([pd.DataFrame({"series": name, "value": frame[name]}) for name in columns])


def judge(model, test, baselines=()):
    """Return the mean absolute error on the test windows, of the model and the baselines."""
    return rt.score(rt.backtest(model, test, baselines=baselines))["MAE"]


def main():
    """Print the errors of all, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--series", nargs="+", default=["OT", "HUFL"])
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    frame = rt.datasets.load_etth1()
    for name in arguments.series:
        others = table(frame.iloc[: -TEST - KNOWN], [one for one in frame.columns if one != name])
        source, source_validation, _ = rt.split_by_time(others, TASK, validation=0.15, test=0, stride=7)
        known = table(frame.iloc[-TEST - KNOWN :], [name])
        train, validation, test = rt.split_by_time(known, TASK, validation=CHOOSE, test=TEST)
        # The same rows as the teacher's windows: what is fitted to a table has been fitted to the others.
        cuts = (0, KNOWN - CHOOSE), (KNOWN - CHOOSE - TASK.lookback, KNOWN), (KNOWN - TASK.lookback, KNOWN + TEST)
        for_teacher = [rt.Windows(known.iloc[slice(*cut)], source.preparation, shuffle=cut[0] == 0) for cut in cuts]
        for seed in range(arguments.seeds):
            keras.utils.set_random_seed(seed)
            began = time.perf_counter()
            layers = [*rt.recurrent_layers("gru", (64,)), keras.layers.Dropout(0.3)]
            teacher = rt.build_forecaster(source, layers)
            rt.train(teacher, source, source_validation, epochs=5, progress=None)
            errors = {"learnt from the others": judge(teacher, for_teacher[2])}
            rt.fine_tune(teacher, *for_teacher[:2], progress=None)
            errors["fine-tuned"] = judge(teacher, for_teacher[2])
            scratch = rt.build_forecaster(train, [*rt.recurrent_layers("gru", (64,)), keras.layers.Dropout(0.3)])
            rt.train(scratch, train, validation, epochs=30, progress=None)
            first = judge(scratch, test, baselines=("naive", "seasonal_naive", "nlinear"))
            errors["from scratch"] = first
            default = rt.build_forecaster(train)
            rt.train(default, train, validation, epochs=30, progress=None)
            errors["from scratch, default"] = judge(default, test)
            shipped = rt.load_forecaster(train)
            errors["shipped forecaster"] = judge(shipped, test)
            rt.fine_tune(shipped, train, validation, epochs_per_stage=0, learning_rate=1e-4, epochs=5, progress=None)
            errors["shipped, fine-tuned"] = judge(shipped, test)
            found = {model: scores.iloc[0] for model, scores in errors.items()} | first.iloc[1:].to_dict()
            shown = ", ".join(f"{model} {error:.4f}" for model, error in found.items())
            print(f"{name}, seed {seed}: {shown}; {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
