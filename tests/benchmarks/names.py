"""Surnames by language: macro F1 of a character network beside counts of character n-grams.

    RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit python tests/benchmarks/names.py --members 3
    python tests/benchmarks/names.py --choose       # scored on the validation names instead

A name that stands in several languages counts in each. The network has a linear model of runs of up to four characters
inside, fitted to the same names; --no-linear goes without.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

import rnn_toolkit as rt


def main(*, seed, members, choose, epochs, units, rate, dropout, class_weight, linear):
    """Print accuracy and macro F1 on a stratified tenth, of names that stand once for a language."""
    frame = rt.datasets.load_names().drop_duplicates()
    rest, test = train_test_split(frame, test_size=0.1, stratify=frame["language"], random_state=0)
    train, validation = train_test_split(rest, test_size=0.1, stratify=rest["language"], random_state=0)
    if choose:  # options are chosen where the test names are not seen
        rest, test = train, validation

    def show(name, predicted, seconds):
        score = f1_score(test["language"], predicted, average="macro")
        print(f"{name:32} F1 {score:.3f}  accuracy {accuracy_score(test['language'], predicted):.3f}  {seconds:5.0f} s")

    print(f"{keras.backend.backend()}, {len(train):,} names to learn from, {len(test):,} to judge by")
    for weight in (None, "balanced"):
        began = time.perf_counter()
        grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, lowercase=False)
        baseline = make_pipeline(grams, LogisticRegression(C=10, max_iter=2000, class_weight=weight))
        baseline.fit(rest["name"], rest["language"])  # it has no epochs to choose
        show(f"n-grams, weights {weight}", baseline.predict(test["name"]), time.perf_counter() - began)
    outputs, spent = [], 0.0
    for member in range(seed, seed + members):
        began = time.perf_counter()
        keras.utils.set_random_seed(member)
        vocabulary = rt.fit_vocabulary(train["name"], unit="character")
        labelled = {"vocabulary": vocabulary, "batch_size": 64}
        weighted = {"class_weight": class_weight, "shuffle": True, "seed": member}
        batches = rt.text_batches(train["name"], train["language"], **weighted, **labelled)
        judged = rt.text_batches(validation["name"], validation["language"], classes=batches.classes, **labelled)
        layers = rt.recurrent_layers("gru", (units,), bidirectional=True, return_sequences=True)
        optimizer = rt.make_optimizer(rate, schedule="one_cycle", steps=epochs * len(batches))
        options = {"embedding": 64, "dropout": dropout, "optimizer": optimizer, "linear": batches if linear else None}
        model = rt.build_text_classifier(vocabulary, batches.classes, layers, **options)
        rt.train(model, batches, judged, epochs=epochs, progress=None)
        outputs.append(rt.classify(model, test["name"])[batches.classes])
        seconds = time.perf_counter() - began
        spent += seconds
        show(f"network, seed {member}", outputs[-1].idxmax(axis=1), seconds)
    if members > 1:
        show(f"mean of {members} networks", (sum(outputs) / members).idxmax(axis=1), spent)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--linear", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--class-weight", choices=["balanced"])
    main(**vars(parser.parse_args()))
