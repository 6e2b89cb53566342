"""A classifier that can be done in the head: "good" is 1, "bad" is -1, and the mean is all there is."""

import keras
import numpy as np

from rnn_toolkit import build_text_classifier, fit_vocabulary

WORDS = fit_vocabulary(["good good bad"])  # codes 2 and 3
LOG_3 = float(np.log(3))


def mean_of_words(classes=("no", "yes"), *, slopes=(0, LOG_3), multi_label=False) -> keras.Model:
    """Return a model whose logits are slopes times the mean of the words."""
    model = build_text_classifier(WORDS, classes, [], embedding=1, pooling=["mean"], multi_label=multi_label)
    model.layers[0].set_weights([np.array([[0.0], [0.0], [1.0], [-1.0]])])
    model.layers[-1].set_weights([np.array([slopes], dtype="float32"), np.zeros(len(slopes))])
    return model
