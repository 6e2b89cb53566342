"""How long a training step takes with each cell, by length and batch size: seconds, and the GRU's over those of each.

python tests/benchmarks/cells.py
KERAS_BACKEND=jax python tests/benchmarks/cells.py --lengths 1000 --batch-sizes 4
"""

import argparse
import time

import keras
import numpy as np
import pandas as pd

import rnn_toolkit as rt

UNITS, FEATURES = 64, 8


def step_seconds(cell, length, batch_size, repeats=5):
    """Return the median time of a training step, compiled before."""
    x = np.random.default_rng(0).normal(size=(batch_size, length, FEATURES)).astype("float32")
    model = keras.Sequential([keras.Input(x.shape[1:]), *rt.recurrent_layers(cell, (UNITS,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    times = []
    for _ in range(2 + repeats):
        began = time.perf_counter()
        float(np.ravel(model.train_on_batch(x, x[:, 0, :1]))[0])
        times.append(time.perf_counter() - began)
    return float(np.median(times[2:]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=["gru", "lstm", "simple", "mingru"])
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 1000, 4000])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[4, 32])
    options = parser.parse_args()
    rows = {
        (size, length): {cell: step_seconds(cell, length, size) for cell in options.cells}
        for size in options.batch_sizes
        for length in options.lengths
    }
    table = pd.DataFrame(rows).T.rename_axis(["batch size", "length"])
    print(table.round(4).to_string(), table.rdiv(table["gru"], axis=0).round(2).to_string(), sep="\n\n")
