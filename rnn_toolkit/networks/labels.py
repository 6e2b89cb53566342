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

    def check_batches(self, data) -> None:
        """Raise if the batches code labels otherwise than the model; `train` calls it."""
        check_codes(getattr(data, "classes", None), self.classes)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "classes": self.classes, "multi_label": self.multi_label, "scales": self.scales}


@keras.saving.register_keras_serializable("rnn_toolkit")
class TokenAccuracy(keras.metrics.Mean):
    """Share of tokens, or of steps of any kind, with the right label; padding does not count.

    Keras' own takes the mean of each row first, so that a step counts the less, the wider its batch is
    (`reduce_to_samplewise_values` in keras/src/metrics/reduction_metrics.py). Pass it as a weighted metric.

    Example:
        >>> import numpy as np
        >>> metric = TokenAccuracy()
        >>> metric.update_state(np.array([[1, 0]]), np.array([[[0.1, 0.9], [0.2, 0.8]]]), np.array([[1.0, 0.0]]))
        >>> float(metric.result())
        1.0
    """

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: y_true and sample_weight `(batch, timesteps)`, y_pred `(batch, timesteps, labels)`."""
        is_right = ops.equal(ops.cast(y_true, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        weight = None if sample_weight is None else ops.reshape(sample_weight, (-1,))
        super().update_state(ops.reshape(is_right, (-1,)), weight)


def compile_for_steps(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Compile a model that labels each step: loss and accuracy are means over all steps of a batch but padding."""
    check_every_step(model)
    # Without this reduction Keras would divide by the number of steps, padding included, where no mask arrives.
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight")
    model.compile(optimizer, loss=loss, weighted_metrics=[TokenAccuracy()])


def check_every_step(model):
    """Raise where the layers below the last one return the last step only."""
    if len(model.output_shape) != 3:
        raise ValueError(
            f"`layers` must return every step, (batch, timesteps, channels). Received: {model.layers[-2].output.shape} "
            "behind the last one. Pass `return_sequences=True` to it."
        )


def check_codes(given: list | None, classes: list) -> None:
    """Raise where batches give a label of the model another code than the model does, or have more labels.

    Other names for the same codes are welcome, such as 0 and 1 for "no" and "yes".
    """
    places = {label: code for code, label in enumerate(classes)}
    moved = [label for code, label in enumerate(given or ()) if places.get(label, code) != code]
    if moved or len(given or ()) > len(classes):
        what = f"give {moved[0]!r} another code than the model does" if moved else "have more labels than the model"
        raise ValueError(
            f"The batches {what}: theirs are {given}, the model's {classes}. Build the model with `train.classes`, and "
            "make the batches of validation with `classes=train.classes`."
        )


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
