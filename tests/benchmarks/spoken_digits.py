"""Free Spoken Digits: each speaker left out in turn, or the official split, beside logistic regression.

    RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit python tests/benchmarks/spoken_digits.py
    python tests/benchmarks/spoken_digits.py --official
    python tests/benchmarks/spoken_digits.py --choose      # learns from two speakers, scored on a third, of the others

`--synthetic` adds the bundled synthetic voices to what is learnt from. `--choose` never looks at the speaker who would
be left out.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rnn_toolkit as rt
from rnn_toolkit.signals.layers import LogMelSpectrogram

SPEEDS = (0.75, 0.85, 0.95, 1.0, 1.05, 1.15, 1.3)


def statistics(recordings) -> np.ndarray:
    """Return mean and deviation of each coefficient in the whole recording, and its mean in each fifth."""
    reader = LogMelSpectrogram(8000, dynamic_range=40.0, trim=True, coefficients=13)
    rows = []
    for batch in rt.sequence_batches(recordings, batch_size=1):
        frames = np.asarray(reader(batch[0]))[np.asarray(reader.compute_mask(batch[0]))]
        fifths = [part.mean(axis=0) if len(part) else frames.mean(axis=0) for part in np.array_split(frames, 5)]
        rows.append(np.concatenate([frames.mean(axis=0), frames.std(axis=0), *fifths]))
    return np.array(rows)


def network(train, test, *, seed, epochs, units, rate, noise) -> tuple[pd.DataFrame, float]:
    """Train a network and return its answers, and the seconds it took."""
    began = time.perf_counter()
    keras.utils.set_random_seed(seed)
    changes = {"speeds": SPEEDS, "noise": noise}
    batches = rt.sequence_batches(train["recording"], train["digit"], batch_size=32, shuffle=True, seed=seed, **changes)
    recurrent = rt.recurrent_layers("gru", (units,), bidirectional=True, dropout=0.2, return_sequences=True)
    layers = [rt.SpecAugment(), rt.StridedConvolution(units, 5, strides=2), *recurrent]
    optimizer = rt.make_optimizer(rate, schedule="one_cycle", steps=epochs * len(batches))
    options = {"adapt_to": batches, "sampling_rate": 8000, "optimizer": optimizer}
    model = rt.build_sequence_classifier((None,), batches.classes, layers, **options)
    rt.train(model, batches, epochs=epochs, progress=None)
    return rt.classify(model, test["recording"]), time.perf_counter() - began


def main(*, official, choose, synthetic, speakers, seeds, **options):
    """Print an accuracy for each fold, and their mean."""
    frame = rt.datasets.load_spoken_digits()
    everybody = sorted(frame["speaker"].unique())
    folds = {}
    for place, speaker in enumerate(speakers or everybody):
        train, _, test = rt.split_by_group(frame, "speaker", validation=[], test=[speaker])
        if choose:
            others = sorted(train["speaker"].unique())
            train, _, test = rt.split_by_group(train, "speaker", validation=[], test=[others[place % len(others)]])
            speaker = f"{others[place % len(others)]} of {', '.join(others)}"
        folds[speaker] = train, test
    if official:
        folds = {"numbers 0 to 4": (frame[frame["split"] == "train"], frame[frame["split"] == "test"])}
    rows = []
    for name, (train, test) in folds.items():
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        linear.fit(statistics(train["recording"]), train["digit"])
        baseline = linear.score(statistics(test["recording"]), test["digit"])
        if synthetic:
            train = pd.concat([train, rt.datasets.load_synthetic_digits()], ignore_index=True)
        for seed in range(seeds):
            answer, seconds = network(train, test, seed=seed, **options)
            accuracy = (answer["label"].to_numpy() == test["digit"].to_numpy()).mean()
            rows.append({"left out": name, "linear": baseline, "seed": seed, "network": accuracy, "seconds": seconds})
            print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=len(rows) == 1), flush=True)
    print(pd.DataFrame(rows)[["linear", "network"]].mean().round(3).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speakers", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--units", type=int, default=96)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--noise", type=float, default=0.3)
    parser.add_argument("--official", action="store_true")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--synthetic", action="store_true")
    main(**vars(parser.parse_args()))
