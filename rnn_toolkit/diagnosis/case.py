"""What `diagnose` knows about a model, its data and its training: measured once, when the first check asks for it."""

import functools
import re

import keras
import numpy as np
import pandas as pd

from rnn_toolkit.diagnosis.dry_runs import find_learning_rate
from rnn_toolkit.diagnosis.gradients import gradient_flow
from rnn_toolkit.diagnosis.inspection import recurrent_layers_of, untouched
from rnn_toolkit.diagnosis.layer_health import layer_statistics
from rnn_toolkit.diagnosis.one_batch import overfit_one_batch
from rnn_toolkit.diagnosis.reading import some_batches
from rnn_toolkit.diagnosis.sample import Sample, sample_of
from rnn_toolkit.networks.probing import array, compiled, compiled_forward, named_layers
from rnn_toolkit.tables.layers import RawUnits
from rnn_toolkit.texts.layers import TokenEmbedding
from rnn_toolkit.texts.next_token import NextToken

PROBES = 4  # batches that the model is run on before training
TRAINED_PROBES = 16  # after it, when its losses are held against those of the history
STREAMS = 8  # rows of a language model, whose outputs are as wide as its vocabulary


class Case:
    """A model with its data and history, and whatever checks want to know about them.

    Args:
        model: A built and compiled Keras model.
        train: What `train` takes.
        validation: Likewise, or `None`.
        history: Table of `train`, or `None` before training.
        limits: Limits by name.
    """

    def __init__(self, model, train, validation, history, limits):
        self.model, self.history, self.limits = model, history, limits
        self.data = {"training": train, "validation": validation}

    # Data.

    @functools.cached_property
    def train(self) -> Sample:
        """Training rows."""
        return sample_of(self.data["training"])

    @functools.cached_property
    def validation(self) -> Sample | None:
        """Validation rows."""
        return None if self.data["validation"] is None else sample_of(self.data["validation"])

    @property
    def samples(self) -> dict[str, Sample]:
        """Rows by the name of their split."""
        return {"training": self.train} | ({} if self.validation is None else {"validation": self.validation})

    @functools.cached_property
    def batches(self) -> dict[str, list[tuple]]:
        """A few batches of each split; of streams some rows of the first, the only one that needs no state before."""
        given = {name: data for name, data in self.data.items() if data is not None}
        if not self.layers_of(NextToken):
            count = PROBES if self.history is None else TRAINED_PROBES
            return _of_one_width({name: some_batches(data, count) for name, data in given.items()})
        first = {name: some_batches(data, 1)[0] for name, data in given.items()}
        return {name: [tuple(None if one is None else one[:STREAMS] for one in batch)] for name, batch in first.items()}

    @property
    def is_text(self) -> bool:
        """Whether the inputs are codes."""
        return self.train.x.dtype.kind in "iu" and self.train.x.ndim == 2

    # Model.

    @functools.cached_property
    def named(self) -> dict:
        """All layers by name."""
        return named_layers(self.model)

    @functools.cached_property
    def recurrent(self) -> dict:
        """Recurrent layers by name."""
        return recurrent_layers_of(self.named)

    def layers_of(self, *kinds) -> list:
        """Return the layers of some kinds."""
        return [layer for layer in self.named.values() if isinstance(layer, kinds)]

    @property
    def is_language_model(self) -> bool:
        """Whether each step's target is the next step's input."""
        x, y = self.train.x, self.train.y
        if self.layers_of(NextToken):
            return True
        return self.is_text and y is not None and y.shape == x.shape and bool(np.mean(y[:, :-1] == x[:, 1:]) > 0.95)

    @property
    def embedding(self) -> TokenEmbedding | None:
        """The layer that carries the vocabulary."""
        return next(iter(self.layers_of(TokenEmbedding)), None)

    @property
    def has_trained(self) -> bool:
        """Whether the optimizer has taken a step."""
        return int(array(self.model.optimizer.iterations)) > 0 if self.model.optimizer is not None else False

    @property
    def num_parameters(self) -> int:
        """Trainable weights."""
        return int(sum(np.prod(v.shape) for v in self.model.trainable_variables))

    # The loss, and what it should be.

    @functools.cached_property
    def loss(self):
        """The loss as a function of targets, outputs and weights, or `None` where there are several."""
        if isinstance(self.model.loss, list | tuple | dict) or self.model.loss is None:
            return None
        return keras.losses.get(self.model.loss)

    @functools.cached_property
    def loss_name(self) -> str:
        """Name of the loss, as in `sparse_categorical_crossentropy`."""
        name = getattr(self.loss, "__name__", None) or type(self.loss).__name__
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()

    @property
    def kind(self) -> str:
        """What is predicted: "classes" (codes), "one-hot", "binary", "ctc" or "numbers"."""
        kinds = {"sparse_categorical": "classes", "categorical": "one-hot", "binary": "binary", "ctc": "ctc"}
        return next((kind for start, kind in kinds.items() if self.loss_name.startswith(start)), "numbers")

    @property
    def from_logits(self) -> bool:
        """Whether the loss turns logits into probabilities itself."""
        config = self.loss.get_config() if hasattr(self.loss, "get_config") else {}
        return bool(config.get("from_logits", False))

    def labels(self, sample: Sample) -> np.ndarray | None:
        """Return the classes of a sample as codes `(examples,)`, without padding, or `None` for numbers."""
        y = sample.y
        if y is None or self.kind in ("numbers", "ctc") or (self.kind == "binary" and y.ndim > 1 and y.shape[-1] > 1):
            return None
        codes = np.argmax(y, axis=-1) if self.kind == "one-hot" else y
        valid = np.ones(codes.shape, "bool")
        if sample.weight is not None:
            weight = sample.weight.reshape(sample.weight.shape + (1,) * (codes.ndim - sample.weight.ndim))
            valid &= np.broadcast_to(weight > 0, codes.shape)
        codes = codes[valid]
        return codes.astype("int64") if np.isfinite(codes).all() else None

    def loss_of(self, y, outputs, weight=None) -> float:
        """Return the loss of some outputs."""
        if self.loss is None:
            return np.nan
        loss, y = self.loss, np.asarray(y)
        if y.ndim == np.ndim(outputs) - 1 and outputs.shape[-1] == 1 and self.kind in ("numbers", "binary"):
            y = y[..., None]  # as Keras does within `fit`
        if not isinstance(loss, keras.losses.Loss):
            values = array(loss(keras.ops.convert_to_tensor(y), keras.ops.convert_to_tensor(outputs)))
            if weight is not None:
                values = values * np.reshape(weight, np.shape(weight) + (1,) * (values.ndim - np.ndim(weight)))
            return float(np.mean(values))
        options = {} if weight is None else {"sample_weight": weight}
        return float(array(loss(y, outputs, **options)))

    @functools.cached_property
    def outputs(self) -> dict[str, list[np.ndarray]]:
        """What the model makes of the batches of each split, without dropout."""
        with untouched(self.model):
            call = compiled(self.model)
            made = {name: [call(x) for x, _, _ in batches] for name, batches in self.batches.items()}
        if isinstance(made["training"][0], dict | list | tuple):
            raise NotImplementedError("several outputs")
        return keras.tree.map_structure(array, made)

    @functools.cached_property
    def losses(self) -> dict[str, float]:
        """Loss of the model as it is, by split; of a language model, whose state counts, that of the last epoch."""
        if self.layers_of(NextToken) and self.history is not None:
            columns = {"training": "loss", "validation": "val_loss"}
            return {split: float(self.history[one].iloc[-1]) for split, one in columns.items() if one in self.history}
        return {name: self._mean_loss(name, outputs) for name, outputs in self.outputs.items()}

    @functools.cached_property
    def constant_losses(self) -> dict[str, float]:
        """Loss of the constant that fits the training rows best, by split."""
        if self.loss is None or self.train.y is None:
            return {}
        return {split: self._constant_loss(sample) for split, sample in self.samples.items()}

    def _constant_loss(self, sample) -> float:
        constants = self._constants()
        width = self.outputs["training"][0].shape[-1]
        # Without making outputs, which for all tokens of a text would fill memory.
        if self.loss_name == "sparse_categorical_crossentropy" and constants:
            y = np.clip(sample.y.astype("int64"), 0, width - 1)
            values = -np.log(_shares(self.labels(self.train), width))[y]
            if sample.weight is None:
                return float(values.mean())
            weight = sample.weight.reshape(sample.weight.shape + (1,) * (y.ndim - sample.weight.ndim))
            weight = np.broadcast_to(weight, y.shape)
            is_mean = getattr(self.loss, "reduction", "") == "mean_with_sample_weight"
            return float((weight * values).sum() / (weight.sum() if is_mean else y.size))
        shape = (len(sample), *self.outputs["training"][0].shape[1:])
        tried = [np.broadcast_to(self._shaped(one, shape), shape) for one in constants]
        losses = [self.loss_of(sample.y, one, sample.weight) for one in tried]
        return float(np.nanmin(losses)) if losses and not np.isnan(losses).all() else np.nan

    def _mean_loss(self, split, outputs) -> float:
        batches = self.batches[split]
        values = [self.loss_of(y, out, weight) for (_, y, weight), out in zip(batches, outputs, strict=True)]
        return float(np.average(values, weights=[len(out) for out in outputs]))

    def _constants(self) -> list[np.ndarray]:
        """Return outputs that fit the training targets without looking at the inputs."""
        y = self.train.y.astype("float64")
        if self.kind == "numbers":
            rows = y[np.isfinite(y).reshape(len(y), -1).all(axis=1)]
            return [rows.mean(axis=0), np.median(rows, axis=0), np.full(y.shape[1:], rows.mean())] if len(rows) else []
        width = self.outputs["training"][0].shape[-1]
        labels = self.labels(self.train)
        if self.kind == "ctc" or (labels is not None and (not len(labels) or (width == 1 and labels.max() > 1))):
            return []
        if self.kind == "binary":
            shares = np.clip(y.reshape(-1, width).mean(axis=0), 1e-6, 1 - 1e-6)
            return [np.log(shares / (1 - shares)) if self.from_logits else shares]
        shares = _shares(labels, width)
        return [np.log(shares) if self.from_logits else shares]

    def _shaped(self, constant, shape) -> np.ndarray:
        """Return a constant that broadcasts to outputs of a shape: quantiles have an axis at the end."""
        constant = np.asarray(constant, "float32")
        missing = len(shape) - 1 - constant.ndim if self.kind == "numbers" else 0
        return constant.reshape(constant.shape + (1,) * max(missing, 0))

    @property
    def best(self) -> dict[str, float]:
        """Best loss of each split: in the history, or of the model as it is."""
        best = {}
        for split, column in (("training", "loss"), ("validation", "val_loss")):
            values = [] if self.history is None or column not in self.history else list(self.history[column])
            values += [self.losses[split]] if split in self.losses and self.has_trained else []
            values = [value for value in values if np.isfinite(value)]
            if values:
                best[split] = float(min(values))
        return best

    @property
    def has_learnt(self) -> bool:
        """Whether a training came to clearly less than the best constant."""
        split = "validation" if "validation" in self.best else "training"
        floor = self.constant_losses.get(split, np.nan)
        return split in self.best and bool(self.best[split] < self.limits["learnt"] * floor)

    # What instruments say.

    @functools.cached_property
    def inside(self) -> dict[str, dict]:
        """`compiled_forward` of the first batch of each split: layer, outputs and arguments by name."""
        found = {}
        with untouched(self.model):
            forward = compiled_forward(self.model)
            for split, batches in self.batches.items():
                found[split] = forward(batches[0][0])
        return found

    def received(self, split: str) -> np.ndarray | None:
        """Return what the first recurrent layer reads, `(batch, timesteps, features)`, or `None`."""
        arguments = [call[2] for call in self.inside[split].values() if call[2] is not None]
        return np.asarray(arguments[0][0], "float64") if arguments else None

    @functools.cached_property
    def statistics(self) -> pd.DataFrame:
        """`layer_statistics` of a training batch."""
        return layer_statistics(self.model, self.batches["training"][0][0])

    @functools.cached_property
    def flow(self) -> pd.DataFrame | None:
        """`gradient_flow` of a training batch."""
        return gradient_flow(self.model, *self.batches["training"][0]) if self.recurrent else None

    @functools.cached_property
    def fresh(self):
        """The model before its training, which may have spoilt the weights for any other."""
        return _fresh(self.model) if self.has_trained else self.model

    @functools.cached_property
    def overfit(self) -> pd.DataFrame:
        """`overfit_one_batch` on training rows."""
        return overfit_one_batch(self.fresh, self.data["training"])

    @functools.cached_property
    def rates(self) -> pd.DataFrame:
        """`find_learning_rate` on training rows."""
        return find_learning_rate(self.fresh, self.data["training"])

    @property
    def rescales(self) -> bool:
        """Whether the model turns raw targets into scaled ones and back."""
        return bool(self.layers_of(RawUnits))

    @property
    def normalizes(self) -> bool:
        """Whether some layer brings its inputs to a common scale."""
        kinds = ("Normalization", "BatchNormalization", "LayerNormalization", "Rescaling", "RMSNormalization")
        return self.rescales or any(type(layer).__name__ in kinds for layer in self.named.values())

    def mean_of(self, start: str) -> dict[str, float]:
        """Return the means over the history of the columns that begin with `start/`, by the layer's name."""
        if self.history is None:
            return {}
        names = [name for name in self.history if name.startswith(f"{start}/")]
        return {name.split("/", 1)[1]: float(self.history[name].mean()) for name in names}


def _shares(labels, width) -> np.ndarray:
    counts = np.bincount(np.clip(labels, 0, width - 1), minlength=width) + 1e-3
    return counts / counts.sum()


def _of_one_width(batches: dict[str, list[tuple]]) -> dict[str, list[tuple]]:
    """Pad batches of texts to one width: for each width a model would be compiled anew."""
    flat = [batch for some in batches.values() for batch in some]
    if not all(isinstance(x, np.ndarray) and x.ndim == 2 and x.dtype.kind == "i" for x, _, _ in flat):
        return batches
    width = max(x.shape[1] for x, _, _ in flat)

    def padded(one, old):
        if one is None or np.ndim(one) < 2 or one.shape[1] != old or old == width:
            return one
        return np.pad(one, [(0, 0), (0, width - old), *[(0, 0)] * (one.ndim - 2)])

    return {
        split: [(padded(x, x.shape[1]), *(padded(one, x.shape[1]) for one in rest)) for x, *rest in some]
        for split, some in batches.items()
    }


def _fresh(model):
    """Return a model like another one at its random start."""
    fresh = keras.models.clone_model(model)
    if not fresh.built:
        fresh.build(model.input_shape)
    optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
    fresh.compile(optimizer, loss=model.loss)
    return fresh
