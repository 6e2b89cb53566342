"""Clipping where gradients explode: two numbers to be added, far apart in a long sequence.

    KERAS_BACKEND=jax python tests/benchmarks/clipping.py simple 200 --steps 3000 --seeds 3

A sequence holds numbers between 0 and 1, and marks at two of them, one in each half: the sum of the two is asked for.
To say 1 always has a mean square error of 1/6. Each run sees fresh sequences, and is judged on 1,000 others.

Source: Hochreiter and Schmidhuber, 1997, "Long short-term memory", Neural Computation 9, experiment 4; numbers from 0
    to 1 and the error of 1/6 as in Le et al., 2015, arXiv:1504.00941.
"""

import argparse
import time

import keras
import numpy as np

import rnn_toolkit as rt
from rnn_toolkit.networks.optimization import QuantileClippedAdam
from rnn_toolkit.networks.recurrent import CELLS

CLIPS = {
    "none": (keras.optimizers.Adam, {}),
    "global norm 1": (keras.optimizers.Adam, {"global_clipnorm": 1.0}),
    "value 0.5": (keras.optimizers.Adam, {"clipvalue": 0.5}),
    "0.9 quantile": (QuantileClippedAdam, {"clip_quantile": 0.9}),  # of the norms of the last 100 steps
}
SOLVED = 1 / 60  # a tenth of the error of saying 1
EPOCH = 100  # steps between two looks at the error


def sequences(rng, number: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sequences `(number, length, 2)` and their sums `(number, 1)`."""
    values = rng.uniform(size=(number, length)).astype("float32")
    marks, rows, half = np.zeros_like(values), np.arange(number), length // 2
    for first, last in ((0, half), (half, length)):
        marks[rows, rng.integers(first, last, size=number)] = 1
    return np.stack([values, marks], axis=-1), (values * marks).sum(axis=1, keepdims=True)


class Fresh(keras.utils.PyDataset):
    """Batches that no other step has seen."""

    def __init__(self, seed: int, length: int, batch_size: int):
        super().__init__()
        self.seed, self.length, self.batch_size, self.epoch = seed, length, batch_size, 0

    def __len__(self):
        return EPOCH

    def __getitem__(self, index):
        return sequences(np.random.default_rng((self.seed, self.epoch, index)), self.batch_size, self.length)

    def on_epoch_end(self):
        self.epoch += 1


def run(clip: str, seed: int, arguments) -> dict:
    """Train one network; return its last and best error, the step that solved the task, and its largest gradient."""
    keras.utils.set_random_seed(seed)
    layers = rt.recurrent_layers(arguments.cell, arguments.units)
    model = keras.Sequential([keras.Input((arguments.length, 2)), *layers, keras.layers.Dense(1)])
    kind, options = CLIPS[clip]
    model.compile(kind(arguments.rate, **options), "mse")
    held_out = sequences(np.random.default_rng((seed, 10**6)), 1000, arguments.length)
    fresh = Fresh(seed, arguments.length, arguments.batch)
    options = {"validation_data": held_out, "validation_batch_size": 250, "epochs": arguments.steps // EPOCH}
    history = model.fit(fresh, verbose=0, shuffle=False, callbacks=[rt.Monitor()], **options).history
    errors = np.array(history["val_loss"])
    solved = np.flatnonzero(errors < SOLVED)
    return {
        "last": errors[-1],
        "best": np.nanmin(errors),
        "solved": (solved[0] + 1) * EPOCH if solved.size else None,
        "norm": np.nanmax(history["gradient_norm_max"]),
    }


def main():
    """Print a line for each way to clip."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cell", choices=CELLS)
    parser.add_argument("length", type=int)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--rate", type=float, default=1e-3)
    arguments = parser.parse_args()
    print(f"{arguments.cell}, {arguments.length} steps long, rate {arguments.rate:g}; saying 1 always: {1 / 6:.4f}")
    for clip in CLIPS:
        began = time.perf_counter()
        runs = [run(clip, seed, arguments) for seed in range(arguments.seeds)]
        columns = {name: [one[name] for one in runs] for name in runs[0]}
        cells = {
            "solved at step": [str(one or "-") for one in columns["solved"]],
            "last error": [f"{one:.4f}" for one in columns["last"]],
            "best": [f"{one:.4f}" for one in columns["best"]],
            "largest norm": [f"{one:.3g}" for one in columns["norm"]],
        }
        shown = "; ".join(f"{name} {', '.join(values)}" for name, values in cells.items())
        print(f"{clip:14} {shown}; {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
