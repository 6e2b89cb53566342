"""The last layer of a classifier, which carries the labels' names, and the way to it."""

from collections.abc import Sequence

import keras
from keras import ops

# What counts of a network's log odds, and of another model's beside it. With all of the latter, only texts on which
# that model errs teach the network much; with none of it, the network learns what is known already. Of 1/4, 1/2 and 1,
# half was best on customer messages in five folds, and better than all on held-out film reviews.
LEARNT_WITH = (1.0, 0.5)


@keras.saving.register_keras_serializable("rnn_toolkit")
class Labels(keras.layers.Dense):
    """Give each label its probability, and carry the labels' names.

    Args:
        classes: The labels in the order of their codes.
        multi_label: Whether a text may have several labels, or none: then each has a probability of its own.
        scales: What the logits of the inputs and those of another model are multiplied by, except in training. Files
            of an earlier version, which fitted both to texts held out, have others than 1 and 1/2.

    Call arguments:
        inputs: `(..., channels)`.
        linear: Logits of another model, `(..., len(classes))`, of which half is added to those of the inputs.

    Returns:
        `(..., len(classes))`; without `multi_label` they add up to 1.
    """

    made_by = "rt.build_text_classifier, rt.build_tagger or rt.build_sequence_classifier"

    def __init__(
        self, classes: Sequence, *, multi_label: bool = False, scales: tuple[float, float] = LEARNT_WITH, **kwargs
    ):
        kwargs = {"activation": "sigmoid" if multi_label else "softmax"} | kwargs
        kwargs.pop("units", None)  # it stands in the config of Keras' layer
        super().__init__(len(classes), **kwargs)
        self.classes, self.multi_label, self.scales = list(classes), multi_label, tuple(scales)

    def call(self, inputs, linear=None, training=None):
        """Return the probabilities."""
        own, other = LEARNT_WITH if training else self.scales
        logits = own * ops.add(ops.matmul(inputs, self.kernel), self.bias)
        return self.activation(logits if linear is None else logits + other * linear)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "classes": self.classes, "multi_label": self.multi_label, "scales": self.scales}


def find_layer(model: keras.Model, kind: type):
    """Return a model's layer of a kind, such as `Labels`, or say that it has none."""
    check_model(model)
    for layer in model.layers:
        if isinstance(layer, kind):
            return layer
    raise ValueError(
        f"Model {model.name!r} carries no `{kind.__module__}.{kind.__name__}`. Build it with {kind.made_by}, or put "
        "that layer into your own."
    )


def check_model(model):
    """Raise unless this is a Keras model."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`model` must be a Keras model. Received: {type(model).__name__}. Load one from its file by "
            "`keras.saving.load_model(path)`."
        )
