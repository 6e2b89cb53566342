"""Images as sequences: scikit-learn's digits and MNIST row by row, MNIST pixel by pixel, plain and permuted.

    python tests/benchmarks/images.py digits
    RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit python tests/benchmarks/images.py rows --epochs 3
    KERAS_BACKEND=jax python tests/benchmarks/images.py pixels --batch-size 128 --epochs 6
    KERAS_BACKEND=jax python tests/benchmarks/images.py permuted --batch-size 128 --epochs 6

"permuted" is "pixels" in an order drawn once. Training ends after `--minutes`. Logistic regression reads the same
pixels. `--choose` scores on a sixth of the training rows instead of the test rows.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rnn_toolkit as rt


def images_of(task, choose):
    """Return training and test images and their digits."""
    if task == "digits":
        images, digits = load_digits(return_X_y=True)
        split = train_test_split(images.reshape(-1, 8, 8) / 16, digits, test_size=0.25, stratify=digits, random_state=0)
    else:
        (images, digits), (test_images, test_digits) = rt.datasets.load_mnist()
        split = [images / np.float32(255), test_images / np.float32(255), digits, test_digits]
    if choose:
        split = train_test_split(split[0], split[2], test_size=1 / 6, stratify=split[2], random_state=0)
    return split


def main(*, task, choose, epochs, minutes, cell, units, pooling, rate, batch_size, seed):
    """Print accuracies."""
    train, test, digits, test_digits = images_of(task, choose)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    few = slice(20_000)  # of MNIST: a third of the rows, as the linear model has learnt all it can by then
    linear.fit(train.reshape(len(train), -1)[few], digits[few])
    print(f"{keras.backend.backend()}, {len(train):,} images to learn from, {len(test):,} to judge by")
    print(f"logistic regression  {linear.score(test.reshape(len(test), -1), test_digits):.4f}")
    if task in ("pixels", "permuted"):
        order = np.random.default_rng(0).permutation(784) if task == "permuted" else np.arange(784)
        train, test = (one.reshape(len(one), 784)[:, order, None] for one in (train, test))
    keras.utils.set_random_seed(seed)
    labelled = {"batch_size": batch_size, "shuffle": True, "seed": seed}
    batches = rt.sequence_batches(train, digits.tolist(), **labelled)
    judged = rt.sequence_batches(test, test_digits.tolist(), classes=batches.classes, batch_size=250)
    is_short = task in ("digits", "rows")
    layers = rt.recurrent_layers(cell, units, bidirectional=is_short, return_sequences=True)
    optimizer = rt.make_optimizer(rate, schedule="one_cycle", steps=epochs * len(batches), clip=1.0)
    options = {"optimizer": optimizer, "dropout": 0.3 if is_short else 0.0}
    model = rt.build_sequence_classifier((None, train.shape[2]), batches.classes, layers, pooling=pooling, **options)
    stop = Limit(60 * minutes)
    began = time.perf_counter()
    history = rt.train(model, batches, epochs=epochs, progress=None, callbacks=[stop])
    seconds = time.perf_counter() - began
    _, accuracy = model.evaluate(judged, verbose=0)
    done = f"{len(history)} of {epochs} epochs" + (", stopped by the clock" if stop.is_over else "")
    print(f"network, seed {seed}      {accuracy:.4f}  {seconds:5.0f} s, {done}, {model.count_params():,} weights")


class Limit(keras.callbacks.Callback):
    """Stop a training that has lasted for some seconds."""

    def __init__(self, seconds):
        super().__init__()
        self.end, self.is_over = time.perf_counter() + seconds, False

    def on_train_batch_end(self, batch, logs=None):
        if time.perf_counter() > self.end:
            self.model.stop_training = self.is_over = True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["digits", "rows", "pixels", "permuted"])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--units", type=int, nargs="+", default=[64])
    parser.add_argument("--pooling", nargs="+", default=["mean", "max"])
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--choose", action="store_true")
    main(**vars(parser.parse_args()))
