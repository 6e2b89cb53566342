"""Customer messages: the classifier of notebook 04, beside a bag of words and the linear model inside it.

    python tests/benchmarks/messages.py --repeats 4 --seeds 3

Accuracy and log loss on five folds of the training and validation messages, in several partitions; the test messages
are not touched. The bag is one of words and pairs of words, with logistic regression.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

import rnn_toolkit as rt

EPOCHS = 10


def bag_of_words(train, test) -> np.ndarray:
    """Return the probabilities that the bag of notebook 04 gives."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    bag = make_pipeline(words, LogisticRegression(C=10, max_iter=1000))
    return bag.fit(train["message"], train["sentiment"]).predict_proba(test["message"])


def network(train_rows, validation_rows, test_rows, *, seed, linear=True) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the probabilities of a model as notebook 04 trains it, and of the linear model inside."""
    keras.backend.clear_session()  # so that the layers have the same names in each model
    keras.utils.set_random_seed(seed)
    vocabulary = rt.fit_vocabulary(train_rows["message"])
    train = rt.text_batches(
        train_rows["message"], train_rows["sentiment"], vocabulary=vocabulary, batch_size=32, shuffle=True
    )
    validation = rt.text_batches(
        validation_rows["message"], validation_rows["sentiment"], vocabulary=vocabulary, classes=train.classes
    )
    model = rt.build_text_classifier(
        vocabulary,
        train.classes,
        rt.recurrent_layers("gru", (16,), bidirectional=True, return_sequences=True),
        embedding=16,
        dropout=0.5,
        word_dropout=0.3,
        linear=train if linear else None,
        optimizer=rt.make_optimizer(3e-3, schedule="one_cycle", steps=EPOCHS * len(train)),
    )
    alone = None
    if linear:  # untrained, the network adds nothing to half the log odds
        alone = rt.classify(model, test_rows["message"])[train.classes].to_numpy() ** 2
        alone /= alone.sum(axis=1, keepdims=True)
    rt.train(model, train, validation, epochs=EPOCHS, progress=None)
    return rt.classify(model, test_rows["message"])[train.classes].to_numpy(), alone


def main(*, repeats, seeds):
    """Print accuracies and log losses, means of the folds of all partitions."""
    frame = rt.datasets.load_support_messages()
    frame = frame[frame["split"] != "test"].reset_index(drop=True)
    classes = np.array(sorted(frame["sentiment"].unique()))
    rows = []
    for repeat in range(repeats):
        folds = StratifiedKFold(5, shuffle=True, random_state=repeat).split(frame, frame["sentiment"])
        for fold, (known, held_out) in enumerate(folds):
            known, test = frame.iloc[known], frame.iloc[held_out]
            validation = known.sample(frac=0.17, random_state=fold)
            train = known.drop(validation.index)
            models = [network(train, validation, test, seed=seed) for seed in range(seeds)]
            answers = {f"network with the linear model, seed {seed}": model for seed, (model, _) in enumerate(models)}
            answers |= {
                "networks with the linear model, voting": np.mean([model for model, _ in models], axis=0),
                "linear model inside, alone": models[0][1],
                "network alone, seed 0": network(train, validation, test, seed=0, linear=False)[0],
                "bag of words and pairs": bag_of_words(train, test),
            }
            rows += [
                {
                    "classifier": name,
                    "accuracy": (classes[answer.argmax(1)] == test["sentiment"]).mean(),
                    "log loss": log_loss(test["sentiment"], answer, labels=classes),
                    "partition": repeat,
                }
                for name, answer in answers.items()
            ]
        table = pd.DataFrame(rows)
        print(f"\n{repeat + 1} partition(s)", flush=True)
        means = table.groupby("classifier")[["accuracy", "log loss"]].mean()
        by_partition = table.pivot_table(index="classifier", columns="partition", values="accuracy")
        print(means.join(by_partition.add_prefix("accuracy ")).round(3).to_string(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    main(**vars(parser.parse_args()))
