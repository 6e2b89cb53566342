"""Customer messages: what a network adds to the linear model inside, by its share in their mixture, given or chosen.

    python tests/benchmarks/messages.py

Accuracy on five folds of the training and validation messages; the test messages are not touched. A bag of words and
pairs of words, with logistic regression, stands beside it.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

import rnn_toolkit as rt

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)  # 0.5 is what the model does until it is calibrated
EPOCHS, SEEDS = 20, (0, 1)


def bag_of_words(train, test):
    """Return the labels that the bag of notebook 04 gives."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    bag = make_pipeline(words, LogisticRegression(C=10, max_iter=1000))
    return bag.fit(train["message"], train["sentiment"]).predict(test["message"])


def parts(train_rows, validation_rows, test_rows, *, seed):
    """Return classes, the logits of network and linear model inside, as notebook 04 trains them, and the answers."""
    keras.utils.set_random_seed(seed)
    vocabulary = rt.fit_vocabulary(train_rows["message"])
    train = rt.text_batches(
        train_rows["message"], train_rows["sentiment"], vocabulary=vocabulary, batch_size=32, shuffle=True
    )
    validation = rt.text_batches(
        validation_rows["message"], validation_rows["sentiment"], vocabulary=vocabulary, classes=train.classes
    )
    optimizer = rt.make_optimizer(3e-3, schedule="one_cycle", steps=EPOCHS * len(train))
    options = {"dropout": 0.5, "word_dropout": 0.3, "optimizer": optimizer}
    model = rt.build_text_classifier(vocabulary, train.classes, linear=train, **options)
    rt.train(model, train, validation, epochs=EPOCHS, progress=None, run_dir=None)
    both = np.log(rt.classify(model, test_rows["message"])[train.classes].to_numpy())
    layer = model.get_layer("ngram_logits")
    linear = np.concatenate([layer(vocabulary.encode(message)[None]) for message in test_rows["message"]])
    answers = rt.classify(rt.calibrate(model, validation), test_rows["message"])["label"]
    return np.array(train.classes), 2 * both - linear, linear, answers  # the model takes the mean of both


def main():
    """Print accuracies, means of the folds."""
    frame = rt.datasets.load_support_messages()
    frame = frame[frame["split"] != "test"].reset_index(drop=True)
    rows = []
    for fold, (known, held_out) in enumerate(
        StratifiedKFold(5, shuffle=True, random_state=0).split(frame, frame["sentiment"])
    ):
        known, test = frame.iloc[known], frame.iloc[held_out]
        validation = known.sample(frac=0.17, random_state=fold)
        train = known.drop(validation.index)
        row = {"bag": (bag_of_words(train, test) == test["sentiment"]).mean()}
        for seed in SEEDS:
            keras.backend.clear_session()  # so that the layers have the same names in each model
            classes, network, linear, answers = parts(train, validation, test, seed=seed)
            for share in SHARES:
                labels = classes[(share * network + (1 - share) * linear).argmax(1)]
                row[f"{share:.0%} network, seed {seed}"] = (labels == test["sentiment"]).mean()
            row[f"share chosen, seed {seed}"] = (answers == test["sentiment"]).mean()
        rows.append(row)
    print(pd.DataFrame(rows).mean().round(3).to_string())


if __name__ == "__main__":
    main()
