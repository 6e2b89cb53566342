"""How long a diagnosis takes for a model of a million weights, before and after training.

    python tests/benchmarks/diagnosis.py

A new process for each, as the first call compiles what later ones find ready.
"""

import argparse
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import rnn_toolkit as rt

TASKS = ("forecast", "classes", "language")


def model_and_data(task):
    """Return a model of about a million weights, training and validation data."""
    random = np.random.default_rng(0)
    if task == "language":
        text = "".join(random.choice(list("abcdefgh "), 60_000))
        vocabulary = rt.fit_vocabulary([text], unit="character")
        layers = rt.recurrent_layers("lstm", (450,), return_sequences=True)
        batches = [rt.language_model_batches(part, vocabulary) for part in (text[:50_000], text[50_000:])]
        return rt.build_language_model(vocabulary, layers), *batches
    x = random.normal(size=(2_000, 100, 8)).astype("float32")
    y = x[:, :, 0].mean(axis=1, keepdims=True)
    head, loss = keras.layers.Dense(1), "mse"
    if task == "classes":
        y, loss = (y[:, 0] > 0).astype("int32"), "sparse_categorical_crossentropy"
        head = keras.layers.Dense(2, activation="softmax")
    model = keras.Sequential([keras.Input((100, 8)), *rt.recurrent_layers("lstm", (480,)), head])
    model.compile(rt.make_optimizer(), loss)
    return model, (x[:1_600], y[:1_600]), (x[1_600:], y[1_600:])


def measure(task):
    """Print the seconds of a diagnosis before training, and behind an epoch of it."""
    keras.utils.set_random_seed(0)
    model, train, validation = model_and_data(task)
    began = time.perf_counter()
    rt.diagnose(model, train, validation)
    before = time.perf_counter() - began
    history = rt.train(model, train, validation, epochs=1, callbacks=[rt.Monitor()], progress=None)
    began = time.perf_counter()
    rt.diagnose(model, train, validation, history=history)
    after = time.perf_counter() - began
    print(
        f"{task:9} {model.count_params():9,} weights: {before:5.1f} s before training, {after:5.1f} s after", flush=True
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS)
    chosen = parser.parse_args().task
    if chosen:
        measure(chosen)
    for task in () if chosen else TASKS:
        subprocess.run([sys.executable, __file__, "--task", task], check=True)
