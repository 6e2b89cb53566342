"""A character model of tiny Shakespeare: nats a character on the last tenth, and what generation costs.

    RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit python tests/benchmarks/shakespeare.py train --seed 0
    python tests/benchmarks/shakespeare.py train --dropout 0.3 --weight-drop 0.15 --epochs 18
    python tests/benchmarks/shakespeare.py train --choose          # scored on the end of the training part instead
    python tests/benchmarks/shakespeare.py generate --seed 0

With KERAS_BACKEND=jax for the other backend.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd

import rnn_toolkit as rt


class Clock(keras.callbacks.Callback):
    """Take the seconds that training takes, validation left out."""

    def on_train_begin(self, logs=None):
        self.seconds, self._began = 0.0, time.perf_counter()

    def on_test_begin(self, logs=None):
        self.seconds += time.perf_counter() - self._began

    def on_test_end(self, logs=None):
        self._began = time.perf_counter()


def train(*, seed, epochs, units, steps, batch_size, rate, schedule, average, dropout, weight_drop, choose, save):
    """Train, and print nats a character after each epoch and the seconds of training."""
    text = rt.datasets.load_tiny_shakespeare()
    cut = int(0.9 * len(text))
    learn, judge = text[:cut], text[cut:]
    if choose:  # hyperparameters are chosen where the test text is not seen
        learn, judge = learn[: int(0.95 * cut)], learn[int(0.95 * cut) :]
    vocabulary = rt.fit_vocabulary([learn], unit="character")
    batches = rt.language_model_batches(learn, vocabulary, batch_size=batch_size, steps=steps, shift=True, seed=seed)
    judged = rt.language_model_batches(judge, vocabulary, batch_size=16, steps=64)  # few streams begin with no state
    keras.utils.set_random_seed(seed)
    layers = rt.recurrent_layers("lstm", units, return_sequences=True)
    if weight_drop:
        layers = [rt.WeightDrop(layer, weight_drop) for layer in layers]
    layers = [*layers, keras.layers.SpatialDropout1D(dropout)]
    optimizer = rt.make_optimizer(rate, schedule=schedule, steps=epochs * len(batches), average=average)
    model = rt.build_language_model(vocabulary, layers, batch_size=batch_size, optimizer=optimizer)
    clock = Clock()
    averaging = [rt.callbacks.AveragedWeights()] if average else []
    history = rt.train(
        model, batches, judged, epochs=epochs, callbacks=[*averaging, clock], progress=None, run_dir=None
    )
    last = history.iloc[-1]
    scores = rt.score_language_model(model, judge, train=learn)
    print(history[["loss", "val_loss"]].round(4).T.to_string())
    print(scores.round(4).to_string())
    tokens = epochs * len(batches) * batch_size * steps
    print(
        f"{keras.backend.backend()}, seed {seed}: {last['val_loss']:.4f} nats in streams, {clock.seconds:.0f} s of "
        f"training, {tokens / clock.seconds:,.0f} characters a second, {model.count_params():,} weights"
    )
    if save:
        model.save(save)


def generate(*, seed, units):
    """Print tokens a second behind contexts of 100 and 10,000 tokens, beside `model.predict` on the whole window."""
    text = rt.datasets.load_tiny_shakespeare()
    vocabulary = rt.fit_vocabulary([text], unit="character")
    keras.utils.set_random_seed(seed)  # what a token costs does not depend on what was learnt
    model = rt.build_language_model(vocabulary, rt.recurrent_layers("lstm", units, return_sequences=True))

    def writing(prompt, tokens=1000):
        pieces = rt.generate(model, prompt, length=tokens + 1, seed=seed, stream=True)
        next(pieces)  # when the prompt has been read
        began = time.perf_counter()
        written = sum(len(piece) for piece in pieces)
        return (time.perf_counter() - began) / written

    def predicting(prompt):
        window = vocabulary.encode(prompt)[None]
        began = time.perf_counter()
        model.predict(window, verbose=0)
        return time.perf_counter() - began

    rows = []
    for context in (100, 10_000):
        # The first of four compiles.
        ours, window = (np.median([cost(text[:context]) for _ in range(4)][1:]) for cost in (writing, predicting))
        rows.append({"context": context, "ours": 1 / ours, "by window": 1 / window, "ratio": window / ours})
    print(pd.DataFrame(rows).round(1).to_string(index=False))
    print(f"tokens a second, {keras.backend.backend()}, LSTM of {units} units, medians of 3")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("train")
    part.add_argument("--seed", type=int, default=0)
    part.add_argument("--epochs", type=int, default=16)
    part.add_argument("--units", type=int, nargs="+", default=[384])
    part.add_argument("--steps", type=int, default=128)
    part.add_argument("--batch-size", type=int, default=64)
    part.add_argument("--rate", type=float, default=4e-3)
    part.add_argument("--dropout", type=float, default=0.2)
    part.add_argument("--weight-drop", type=float, default=0.0)
    part.add_argument("--schedule", default="warmup_cosine")
    part.add_argument("--average", type=float, help="momentum of the moving average of the weights")
    part.add_argument("--choose", action="store_true")
    part.add_argument("--save", help="path of the model file to write")
    part = parts.add_parser("generate")
    part.add_argument("--seed", type=int, default=0)
    part.add_argument("--units", type=int, nargs="+", default=[384])
    options = vars(parser.parse_args())
    {"train": train, "generate": generate}[options.pop("part")](**options)
