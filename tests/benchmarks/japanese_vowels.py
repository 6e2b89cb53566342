"""Japanese Vowels, given split: which of nine men speaks, beside logistic regression on means and deviations.

RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit python tests/benchmarks/japanese_vowels.py --seeds 3
python tests/benchmarks/japanese_vowels.py --choose    # scored on a sixth of the training rows instead
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rnn_toolkit as rt


def statistics(sequences) -> np.ndarray:
    """Return mean, deviation, first and last step of each channel, which a linear model can read."""
    return np.array([np.concatenate([one.mean(0), one.std(0), one[0], one[-1]]) for one in sequences])


def main(*, seeds, choose, epochs, units, rate, dropout):
    """Print the accuracy on the test rows, or on rows held back."""
    frame = rt.datasets.load_japanese_vowels()
    train, test = frame[frame["split"] == "train"], frame[frame["split"] == "test"]
    if choose:
        is_held = train.groupby("speaker").cumcount() % 6 == 5
        train, test = train[~is_held], train[is_held]
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    linear.fit(statistics(train["sequence"]), train["speaker"])
    print(f"{len(train)} to learn from, {len(test)} to judge by")
    print(f"logistic regression  {linear.score(statistics(test['sequence']), test['speaker']):.3f}")
    shares = 0
    for seed in range(seeds):
        began = time.perf_counter()
        keras.utils.set_random_seed(seed)
        batches = rt.sequence_batches(train["sequence"], train["speaker"], batch_size=16, shuffle=True, seed=seed)
        recurrent = rt.recurrent_layers("gru", (units,), bidirectional=True, dropout=dropout, return_sequences=True)
        optimizer = rt.make_optimizer(rate, schedule="one_cycle", steps=epochs * len(batches))
        options = {"adapt_to": batches, "dropout": 0.5, "optimizer": optimizer}
        model = rt.build_sequence_classifier((None, 12), batches.classes, recurrent, **options)
        rt.train(model, batches, epochs=epochs, progress=None)
        answer = rt.classify(model, test["sequence"])
        seconds = time.perf_counter() - began
        shares = shares + answer[batches.classes]
        print(f"network, seed {seed}      {answer['label'].eq(test['speaker']).mean():.3f}  {seconds:5.0f} s")
    print(f"mean of {seeds}            {shares.idxmax(axis=1).eq(test['speaker']).mean():.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--choose", action="store_true")
    main(**vars(parser.parse_args()))
