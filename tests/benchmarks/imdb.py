"""Film reviews: accuracy on the 25,000 test reviews, learnt from the 25,000 labelled training reviews alone.

    RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit python tests/benchmarks/imdb.py --ngrams 3 --members 2
    python tests/benchmarks/imdb.py --pretrain 2 --epochs 2 --units 256 --rate 1e-2 --dropout 0.3 --ngrams 3
    python tests/benchmarks/imdb.py --choose        # scored on a tenth of the training reviews instead
    python tests/benchmarks/imdb.py --pretrain 1 --epochs 20 --units 256 --rate 1e-2 --labels 500 --no-linear

A bag of words and pairs of words, with logistic regression, stands beside it. The network has a linear model of words
and pairs inside, fitted to the same reviews, or of three words, too (--ngrams 3); --no-linear goes without. With
--pretrain the network begins as a language model of all training reviews; --labels lets it learn from some of their
labels only.
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

LANGUAGE_WORDS = 10_000  # the words whose probabilities a language model works out behind each word


def bag_of_words(train, test):
    """Return the bag's probabilities of "positive", and the seconds it took."""
    began = time.perf_counter()
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    bag = make_pipeline(words, LogisticRegression(C=10, max_iter=300)).fit(train["review"], train["sentiment"])
    return bag.predict_proba(test["review"])[:, 1], time.perf_counter() - began


def network(
    train, test, reviews, *, seed, epochs, units, embedding, length, dropout, word_dropout, rate, linear, ngrams, **pre
):
    """Return a network's probabilities of "positive", and the seconds from texts to a trained model."""
    began = time.perf_counter()
    keras.utils.set_random_seed(seed)
    if pre["pretrain"]:
        sizes = {"epochs": pre["pretrain"], "units": units, "embedding": embedding}
        language_model = pretrained(reviews, pre["language_model"], seed=seed, **sizes)
        vocabulary = language_model.get_layer("next_token").embedding.vocabulary
    else:
        vocabulary = rt.fit_vocabulary(reviews, min_count=2)
    labelled = {"vocabulary": vocabulary, "length": length, "shuffle": True, "seed": seed}
    batches = rt.text_batches(train["review"], train["sentiment"], **labelled)
    chosen = {"dropout": dropout, "linear": batches if linear else None, "ngrams": ngrams}
    if pre["pretrain"]:
        model = rt.classifier_from_language_model(language_model, batches.classes, pooling=("mean", "max"), **chosen)
        rt.fine_tune(model, batches, epochs=epochs, learning_rate=rate, progress=None)
    else:
        model = rt.build_text_classifier(
            vocabulary,
            batches.classes,
            rt.recurrent_layers("gru", (units,), bidirectional=True, return_sequences=True),
            embedding=embedding,
            word_dropout=word_dropout,
            optimizer=rt.make_optimizer(rate, schedule="one_cycle", steps=epochs * len(batches)),
            **chosen,
        )
        rt.train(model, batches, epochs=epochs, progress=None)
    seconds = time.perf_counter() - began
    return rt.classify(model, test["review"], length=length)["positive"].to_numpy(), seconds


def pretrained(reviews, path, *, seed, epochs, units, embedding):
    """Return a language model of the reviews, and print what it cost, or that of a file."""
    if path and os.path.exists(path):
        return keras.saving.load_model(path)
    began = time.perf_counter()
    vocabulary = rt.fit_vocabulary(reviews, size=LANGUAGE_WORDS)
    batches = rt.language_model_batches(reviews, vocabulary, batch_size=64, steps=64, shift=True, seed=seed)
    model = rt.build_language_model(
        vocabulary,
        [*rt.recurrent_layers("gru", (units,), return_sequences=True), keras.layers.SpatialDropout1D(0.1)],
        embedding=embedding,
        optimizer=rt.make_optimizer(4e-3, schedule="one_cycle", steps=epochs * len(batches)),
    )
    history = rt.train(model, batches, epochs=epochs, progress=None)
    seconds = time.perf_counter() - began
    print(f"language model: {history['loss'].iloc[-1]:.3f} nats a word in training, {seconds:.0f} s", flush=True)
    if path:
        model.save(path)
    return model


def main(*, members, choose, labels, seed, **options):
    """Print accuracies and seconds."""
    frame = rt.datasets.load_imdb()
    train, test = frame[frame["split"] == "train"], frame[frame["split"] == "test"]
    if choose:  # options are chosen where the test reviews are not seen
        order = np.random.default_rng(0).permutation(len(train))
        train, test = train.iloc[order[2_500:]], train.iloc[order[:2_500]]
    reviews = train["review"]
    train = train.groupby("sentiment").sample(labels // 2, random_state=seed) if labels else train
    is_positive = (test["sentiment"] == "positive").to_numpy()

    def show(name, probabilities, seconds):
        print(f"{name:32} {((probabilities > 0.5) == is_positive).mean():.4f}  {seconds:6.0f} s", flush=True)

    print(f"{keras.backend.backend()}, {len(train):,} reviews to learn from, {len(test):,} to judge by, {options}")
    bag, bag_seconds = bag_of_words(train, test)
    show("bag of words and pairs", bag, bag_seconds)
    outputs, spent = [], 0.0
    for member in range(seed, seed + members):
        output, seconds = network(train, test, reviews, seed=member, **options)
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
    parser.add_argument("--pretrain", type=int, default=0, help="epochs of a language model")
    parser.add_argument("--language-model", help="its file: read if it is there, else written")
    parser.add_argument("--labels", type=int, help="learn from so many of the labels")
    parser.add_argument("--linear", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--ngrams", type=int, default=2, help="words of the longest run that the linear model weighs")
    main(**vars(parser.parse_args()))
