"""Remember over many steps: two numbers to be added, or ten symbols to be copied.

    KERAS_BACKEND=jax python tests/benchmarks/long_memory.py adding 200 gru --steps 5000
    KERAS_BACKEND=jax python tests/benchmarks/long_memory.py copying 100 gru --memory 120 --rate 0.01

The network is `rt.recurrent_layers` with a dense layer on top, its optimizer `rt.make_optimizer`, and no batch comes
twice. Training ends at an error below 0.01 on 1,000 sequences that it has not seen, or after `--steps`. With
`--curriculum`, stages of these lengths come first, 500 steps each, by `rt.train_curriculum`.

- adding: see clipping.py; to say 1 always has a mean square error of 1/6.
- copying: ten symbols of eight kinds, blanks for as many steps as is said, a mark, and ten blanks in whose place the
  symbols are to be said again, blanks before them. Cross-entropy over all steps; to guess the symbols has
  10 log 8 / (steps + 21).

Source: Adding: Hochreiter and Schmidhuber, 1997, "Long short-term memory", Neural Computation 9, experiment 4. Copying:
    Arjovsky et al., 2016, "Unitary evolution recurrent neural networks", ICML.
"""

import argparse
import time

import clipping
import keras
import numpy as np

import rnn_toolkit as rt
from rnn_toolkit.networks.recurrent import CELLS

SOLVED = 0.01
STAGE = 5  # epochs of 100 steps
BATCH = 50


def symbols(rng, number: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return one-hot sequences `(number, length + 21, 10)`, and what is to be said, `(number, length + 21)`."""
    drawn = rng.integers(1, 9, size=(number, 10))
    x, y = np.zeros((2, number, length + 21), "int32")
    x[:, :10], x[:, length + 10], y[:, -10:] = drawn, 9, drawn
    return np.eye(10, dtype="float32")[x], y


class Fresh(clipping.Fresh):
    """Batches of symbols that no other step has seen."""

    def __getitem__(self, index):
        return symbols(np.random.default_rng((self.seed, self.epoch, index)), self.batch_size, self.length)


class Watch(keras.callbacks.Callback):
    """Print the error every five epochs, and stop where the task is solved."""

    steps = 0

    def on_epoch_end(self, epoch, logs=None):
        """Look at the error."""
        self.steps += clipping.EPOCH
        if logs["val_loss"] < SOLVED or self.steps % (5 * clipping.EPOCH) == 0:
            print(f"  step {self.steps}: {logs['val_loss']:.5f}", flush=True)
        self.model.stop_training |= logs["val_loss"] < SOLVED


def main():
    """Train one network and print how far it came."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=["adding", "copying"])
    parser.add_argument("length", type=int)
    parser.add_argument("cell", choices=CELLS)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--curriculum", type=int, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--schedule")
    parser.add_argument("--memory", type=int)
    given = parser.parse_args()
    keras.utils.set_random_seed(given.seed)
    copying = given.task == "copying"
    fresh, make = (Fresh, symbols) if copying else (clipping.Fresh, clipping.sequences)
    layers = rt.recurrent_layers(given.cell, (64,), memory=given.memory, return_sequences=copying)
    head = keras.layers.Dense(10 if copying else 1)
    model = keras.Sequential([keras.Input((None, 10 if copying else 2)), *layers, head])
    # From logits: of a probability that is as good as zero, Keras' loss has no gradient.
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if copying else "mse"
    schedule = {"schedule": given.schedule, "steps": given.steps} if given.schedule else {}
    model.compile(rt.make_optimizer(given.rate, **schedule), loss)
    validation = make(np.random.default_rng((given.seed, 10**6)), 1000, given.length)
    stages = [fresh(given.seed, length, BATCH) for length in (*given.curriculum, given.length)]
    epochs = given.steps // clipping.EPOCH - STAGE * len(given.curriculum)
    options = {"batch_size": 250, "callbacks": [Watch()], "progress": None}
    print(vars(given), flush=True)
    began = time.perf_counter()
    history = rt.train_curriculum(model, stages, validation, epochs=epochs, epochs_per_stage=STAGE, **options)
    print(f"  last {history['val_loss'].iloc[-1]:.5f}, best {history['val_loss'].min():.5f}; ", end="")
    print(f"{(len(history) - 1) * clipping.EPOCH} steps in {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
