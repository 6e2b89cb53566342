"""Film reviews: accuracy on the 25,000 test reviews, learnt from the 25,000 labelled training reviews alone.

    RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit python tests/benchmarks/imdb.py --members 3
    python tests/benchmarks/imdb.py --choose        # scored on a tenth of the training reviews instead

A bag of words and pairs of words, with logistic regression, stands beside it. The network has a linear model of words
and pairs inside, fitted to the same reviews; --no-linear goes without.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import rnn_toolkit as rt


def bag_of_words(train, test):
    """Return the bag's probabilities of "positive", and the seconds it took."""
    began = time.perf_counter()
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    bag = make_pipeline(words, LogisticRegression(C=10, max_iter=300)).fit(train["review"], train["sentiment"])
    return bag.predict_proba(test["review"])[:, 1], time.perf_counter() - began


def network(train, test, *, seed, epochs, units, embedding, length, dropout, word_dropout, rate, linear):
    """Return a network's probabilities of "positive", and the seconds from texts to a trained model."""
    began = time.perf_counter()
    keras.utils.set_random_seed(seed)
    vocabulary = rt.fit_vocabulary(train["review"], min_count=2)
    labelled = {"vocabulary": vocabulary, "length": length, "shuffle": True, "seed": seed}
    batches = rt.text_batches(train["review"], train["sentiment"], **labelled)
    model = rt.build_text_classifier(
        vocabulary,
        batches.classes,
        rt.recurrent_layers("gru", (units,), bidirectional=True, return_sequences=True),
        embedding=embedding,
        dropout=dropout,
        word_dropout=word_dropout,
        linear=batches if linear else None,
        optimizer=rt.make_optimizer(rate, schedule="one_cycle", steps=epochs * len(batches)),
    )
    rt.train(model, batches, epochs=epochs, progress=None)
    seconds = time.perf_counter() - began
    return rt.classify(model, test["review"], length=length)["positive"].to_numpy(), seconds


def main(*, members, choose, seed, **options):
    """Print accuracies and seconds."""
    frame = rt.datasets.load_imdb()
    train, test = frame[frame["split"] == "train"], frame[frame["split"] == "test"]
    if choose:  # options are chosen where the test reviews are not seen
        order = np.random.default_rng(0).permutation(len(train))
        train, test = train.iloc[order[2_500:]], train.iloc[order[:2_500]]
    is_positive = (test["sentiment"] == "positive").to_numpy()

    def show(name, probabilities, seconds):
        print(f"{name:32} {((probabilities > 0.5) == is_positive).mean():.4f}  {seconds:6.0f} s", flush=True)

    print(f"{keras.backend.backend()}, {len(train):,} reviews to learn from, {len(test):,} to judge by, {options}")
    bag, bag_seconds = bag_of_words(train, test)
    show("bag of words and pairs", bag, bag_seconds)
    outputs, spent = [], 0.0
    for member in range(seed, seed + members):
        output, seconds = network(train, test, seed=member, **options)
        show(f"network, seed {member}", output, seconds)
        outputs.append(output)
        spent += seconds
    mean = np.mean(outputs, axis=0)
    if members > 1:
        show(f"mean of {members} networks", mean, spent)
    show("mean of network(s) and bag", (mean + bag) / 2, spent + bag_seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--embedding", type=int, default=128)
    parser.add_argument("--length", type=int, default=400)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--word-dropout", type=float, default=0.3)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--linear", action=argparse.BooleanOptionalAction, default=True)
    main(**vars(parser.parse_args()))
