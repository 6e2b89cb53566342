"""A search: training steps until it is as good as random search, and the memory of many trials in one process.

    python tests/benchmarks/search.py steps vowels --trials 24 --seeds 2
    python tests/benchmarks/search.py steps sunspots --trials 24 --seeds 2
    python tests/benchmarks/search.py memory --trials 50

"steps" trains `--trials` networks drawn at random, each to its end, and notes the best validation loss and the training
steps it took. Then `rt.tune` searches the same space by each pruner, with the same number of trials; noted are the best
loss in as many steps, and after how many it was no longer behind random search.
"""

import argparse
import resource
import sys

import keras
import numpy as np
import optuna

import rnn_toolkit as rt
from rnn_toolkit.training import comparison

SPACE = {
    "cell": ["simple", "gru", "lstm"],
    "units": (4, 48, "log"),
    "rate": (1e-4, 1e-1, "log"),
    "dropout": (0.0, 0.5),
}


def vowels():
    """Return recordings of nine speakers, training and validation, and how a network for them ends."""
    table = rt.datasets.load_japanese_vowels().query("split == 'train'").reset_index(drop=True)
    x, _ = rt.pad(list(table["sequence"]), length=29)
    y = table["speaker"].astype(int).to_numpy() - 1
    held = np.arange(len(x)) % 3 == 0
    return (x[~held], y[~held]), (x[held], y[held]), 9


def sunspots():
    """Return windows of 48 months and the month that follows, the last fifth for validation."""
    values = np.sqrt(rt.datasets.load_sunspots().iloc[:, -1].to_numpy("float32")) / 5
    x = np.lib.stride_tricks.sliding_window_view(values, 49)
    x, y = x[:, :48, None], x[:, 48:]
    cut = int(0.8 * len(x))
    return (x[:cut:2], y[:cut:2]), (x[cut + 48 :: 2], y[cut + 48 :: 2]), None


def builder(shape, classes):
    """Return the function that builds a network."""

    def build(cell, units, rate, dropout):
        layers = rt.recurrent_layers(cell, (units,), dropout=dropout)
        end = keras.layers.Dense(classes, activation="softmax") if classes else keras.layers.Dense(1)
        model = keras.Sequential([keras.Input(shape), keras.layers.Masking(), *layers, end])
        model.compile(rt.make_optimizer(rate), "sparse_categorical_crossentropy" if classes else "mse")
        return model

    return build


def curve(table, monitor="val_loss"):
    """Return the epochs spent and the best loss behind each trial, in the order of the trials."""
    ordered = table.sort_index()
    return ordered["epochs"].cumsum().to_numpy(), ordered[monitor].cummin().to_numpy()


def steps(arguments):
    """Compare the ways to search on one task."""
    train, validation, classes = {"vowels": vowels, "sunspots": sunspots}[arguments.task]()
    build, per_epoch = builder(train[0].shape[1:], classes), -(-len(train[0]) // 32)
    tpe = optuna.samplers.TPESampler
    options = {"trials": arguments.trials, "epochs": arguments.epochs, "progress": None}
    for seed in range(arguments.seeds):
        optuna.samplers.TPESampler = optuna.samplers.RandomSampler
        table = rt.tune(build, SPACE, train, validation, pruner=None, seed=seed, **options)
        optuna.samplers.TPESampler = tpe
        spent, best = curve(table)
        goal, whole = best[-1], spent[-1] * per_epoch
        print(f"{arguments.task}, seed {seed}: random search reaches {goal:.4g} in {whole} steps", flush=True)
        for pruner in arguments.pruners:
            table = rt.tune(build, SPACE, train, validation, pruner=pruner, seed=seed, **options)
            spent, best = curve(table)
            level = spent[best <= goal]
            when = f"as good after {level[0] * per_epoch} steps" if len(level) else "never as good"
            total = f"{best[-1]:.4g} in {spent[-1] * per_epoch} steps, {(table['state'] == 'pruned').sum()} pruned"
            print(f"  rt.tune, pruner {pruner}: {total}; {when}", flush=True)


def memory(arguments):
    """Note the memory of the process behind each trial."""
    train, validation, classes = vowels()
    rt_fit, used = comparison.fit_anew, []

    def measured(*given, **options):
        history = rt_fit(*given, **options)
        with open("/proc/self/statm") as file:
            used.append(int(file.read().split()[1]) * resource.getpagesize() / 2**20)
        return history

    import rnn_toolkit.training.search as search

    search.fit_anew = measured
    build = builder(train[0].shape[1:], classes)
    rt.tune(build, SPACE, train, validation, trials=arguments.trials, epochs=1, seed=0, pruner=None, progress=None)
    for number in sorted({1, 5, 10, 20, 30, 40, arguments.trials}):
        if number <= len(used):
            print(f"{number} trials: {used[number - 1]:,.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["steps", "memory"])
    parser.add_argument("task", nargs="?", choices=["vowels", "sunspots"], default="vowels")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--pruners", nargs="+", default=["median", "hyperband"])
    arguments = parser.parse_args()
    {"steps": steps, "memory": memory}[arguments.what](arguments)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
