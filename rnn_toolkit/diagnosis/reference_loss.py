"""What a loss expects, and what it comes to: of given outputs, of perfect ones, and of the best constant."""

import re

import keras
import numpy as np

from rnn_toolkit.networks.probing import array

KINDS = {"sparse_categorical": "classes", "categorical": "one-hot", "binary": "binary", "ctc": "ctc"}
KINDS |= dict.fromkeys(("kl_divergence", "kldivergence"), "one-hot")  # of labels the same as cross-entropy
UNSEEN = 1e-3  # of an example: what a class that never occurs counts for
SMALLEST = 1e-7  # share of a class, so that its logarithm is finite; Keras takes the same


class ReferenceLoss:
    """A loss as a function of arrays, to hold a training against.

    Args:
        loss: The one loss of a compiled model: a name, a function or a `keras.losses.Loss`.

    Attributes:
        name: Its name, as in `sparse_categorical_crossentropy`.
        kind: What is predicted: "classes" (codes), "one-hot", "binary", "ctc" or "numbers".
        is_known: Whether it is one of Keras or ours, and not one that may read targets and outputs in its own way.
        from_logits: Whether it turns logits into probabilities itself.
        ignored: The code that it leaves out, as of padding, or `None`.

    Example:
        >>> loss, y = ReferenceLoss("mse"), np.array([[1.0], [3.0]])
        >>> loss.of(y, np.zeros((2, 1))), loss.of_constants(loss.constants(y, width=1), y, shape=(1,))
        (5.0, 1.0)
    """

    def __init__(self, loss):
        self.function = keras.losses.get(loss)
        name = getattr(self.function, "__name__", None) or type(self.function).__name__
        self.name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        self.kind = next((kind for start, kind in KINDS.items() if self.name.startswith(start)), "numbers")
        maker = getattr(getattr(self.function, "fn", self.function), "__module__", None) or ""
        self.is_known = maker.partition(".")[0] in ("keras", "rnn_toolkit")
        config = self.function.get_config() if hasattr(self.function, "get_config") else {}
        self.from_logits = bool(config.get("from_logits", False))
        self.ignored = config.get("ignore_class")

    def of(self, y, outputs, weight=None) -> float:
        """Return the loss of some outputs, `(rows, ...)`, as `fit` reports it."""
        y = np.asarray(y)
        if y.ndim == np.ndim(outputs) - 1 and outputs.shape[-1] == 1 and self.kind in ("numbers", "binary"):
            y = y[..., None]  # as Keras does within `fit`
        if isinstance(self.function, keras.losses.Loss):
            return float(array(self.function(y, outputs, sample_weight=weight)))
        y, outputs = (keras.ops.cast(one, "float32") for one in (y, outputs))  # as Keras does before it calls one
        values = array(self.function(y, outputs))
        return float(np.mean(values * weight_of_each(weight, values.shape)))

    def labels(self, y, weight=None) -> np.ndarray | None:
        """Return the classes as codes `(examples,)`, without those of weight 0, or `None` where there are none."""
        if self.kind in ("numbers", "ctc") or (self.kind == "binary" and y.ndim > 1 and y.shape[-1] > 1):
            return None
        codes = np.argmax(y, axis=-1) if self.kind == "one-hot" else y
        codes = codes[self._weights(codes, weight) > 0]
        return codes.astype("int64") if np.isfinite(codes).all() else None

    def perfect(self, y, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the outputs, each row of a shape, that are right and sure of it; `None` where they are not known."""
        if self.kind == "classes":
            y = np.eye(shape[-1])[np.clip(y.astype(int), 0, shape[-1] - 1).reshape(y.shape[: len(shape)])]
        elif y.ndim == len(shape) and shape[-1] == 1:
            y = y[..., None]
        if y.ndim != len(shape) + 1 or y.shape[-1] != shape[-1]:
            return None
        return y.astype("float32") if self.kind in ("numbers", "ctc") else self._as_outputs(y)

    def constants(self, y, weight=None, *, width: int) -> list[np.ndarray]:
        """Return outputs of a row that fit all targets alike, one of them best; none where they are not known.

        Args:
            y: Targets of all rows.
            weight: Their weights, or `None`.
            width: Outputs of a step.
        """
        if self.kind == "numbers":
            kept = np.isfinite(y).reshape(len(y), -1).all(axis=1)
            y, weights = y[kept].astype("float64"), weight_of_each(weight, y.shape)[kept] + SMALLEST
            if not len(y):
                return []
            mean = np.average(y, axis=0, weights=weights)
            return [mean, np.median(y, axis=0), np.full(y.shape[1:], np.average(y, weights=weights))]
        labels = self.labels(y, weight)
        if self.kind == "ctc" or (labels is not None and (not len(labels) or (width == 1 and labels.max() > 1))):
            return []
        weights = self._weights(y, weight)
        if self.kind == "classes":
            if labels is None:
                return []
            counts = UNSEEN + np.bincount(np.clip(labels, 0, width - 1), weights[weights > 0], minlength=width)
            return [self._as_outputs(counts / counts.sum())]
        rows, weights = y.reshape(-1, width), weights.reshape(-1, width)
        return [self._as_outputs((weights * rows).sum(axis=0) / np.maximum(weights.sum(axis=0), SMALLEST))]

    def of_constants(self, constants, y, weight=None, *, shape: tuple[int, ...]) -> float:
        """Return the loss of the best of some constants, of outputs of a shape without rows; NaN if there are none."""
        if self.name == "sparse_categorical_crossentropy" and constants:
            # Without making outputs, which for all tokens of a text would fill memory.
            logs = constants[0] if self.from_logits else np.log(constants[0])
            values = -logs[np.clip(y.astype("int64"), 0, shape[-1] - 1)]
            weights = self._weights(y, weight)
            is_mean = getattr(self.function, "reduction", "") == "mean_with_sample_weight"
            count = weights.sum() if is_mean else self._weights(y, None).sum()
            return float((weights * values).sum() / count)
        missing = len(shape) if self.kind == "numbers" else 0  # quantiles have an axis at the end
        tried = [one.reshape(one.shape + (1,) * max(missing - one.ndim, 0)).astype("float32") for one in constants]
        losses = [self.of(y, np.broadcast_to(one, (len(y), *shape)), weight) for one in tried]
        return float(np.nanmin(losses)) if losses and not np.isnan(losses).all() else np.nan

    def _weights(self, y, weight) -> np.ndarray:
        """Return the weight of each target."""
        weights = weight_of_each(weight, y.shape)
        return weights if self.ignored is None else weights * (y != self.ignored)

    def _as_outputs(self, shares) -> np.ndarray:
        """Return probabilities as the loss reads them."""
        if self.from_logits:
            shares = np.clip(shares, SMALLEST, 1 - SMALLEST)
            shares = np.log(shares / (1 - shares) if self.kind == "binary" else shares)
        return shares.astype("float32")


def weight_of_each(weight, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weight of each value of a shape; weights may lack its last axes, or have some of one beyond it."""
    if weight is None:
        return np.ones(shape)
    given = np.shape(weight)[: len(shape)]
    return np.broadcast_to(np.reshape(weight, given + (1,) * (len(shape) - len(given))), shape)
