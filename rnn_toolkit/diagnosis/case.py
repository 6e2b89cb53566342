"""A model with its data and its history, and each measurement of them: made once, when a check first asks for it."""

import dataclasses
import functools

import keras
import numpy as np
import pandas as pd

from rnn_toolkit.diagnosis.dry_runs import find_learning_rate, fresh_model
from rnn_toolkit.diagnosis.gradients import gradient_flow
from rnn_toolkit.diagnosis.layer_health import statistics_of
from rnn_toolkit.diagnosis.one_batch import overfit_one_batch
from rnn_toolkit.diagnosis.reading import fitted, some_batches
from rnn_toolkit.diagnosis.reference_loss import ReferenceLoss
from rnn_toolkit.diagnosis.restoring import untouched
from rnn_toolkit.diagnosis.sample import FEWEST, Sample, sample_of, widened
from rnn_toolkit.networks.probing import array, compiled_forward, named_layers
from rnn_toolkit.networks.recurrent import cell_of
from rnn_toolkit.tables.layers import RawUnits
from rnn_toolkit.texts.layers import TokenEmbedding
from rnn_toolkit.texts.next_token import NextToken

PROBES = 4  # batches that the model is run on before training
TRAINED_PROBES = 16  # after it, when its losses are held against those of the history
STREAMS = 8  # rows of a language model, whose outputs are as wide as its vocabulary
CHUNKS = 64  # at most, of the rows: their mean losses tell what chance does to the mean of all
SMALLEST_CHUNK = 8  # rows


@dataclasses.dataclass(eq=False)
class Case:
    """What checks are given. All measurements are by split, "training" and "validation" if there is any.

    Args:
        model: A built and compiled Keras model.
        train_data: What `train` takes.
        validation_data: Likewise, or `None`.
        history: Table of `train`, a row per epoch, or `None` before training.
        limits: What `thresholds.limits` returns.
        start: Validation loss of the model as it came, where the history knows it.
    """

    model: keras.Model
    train_data: object
    validation_data: object | None
    history: pd.DataFrame | None
    limits: dict[str, float]
    start: float = np.inf

    # Data.

    @property
    def data(self) -> dict[str, object]:
        """The data as they were given."""
        given = {"training": self.train_data, "validation": self.validation_data}
        return {split: data for split, data in given.items() if data is not None}

    @functools.cached_property
    def samples(self) -> dict[str, Sample]:
        """Rows, spread over all of the data, as arrays in the user's units."""
        samples = {split: sample_of(data) for split, data in self.data.items()}
        for sample in samples.values():
            sample.inputs[:] = map(self._as_read, sample.inputs)
        return samples

    def _as_read(self, x: np.ndarray) -> np.ndarray:
        """Return inputs as the model reads them: streams say by a minus that a row goes on, and pixels are numbers."""
        if self.layers_of(NextToken):
            return np.abs(x)
        are_numbers = x.ndim > 2 and x.dtype.kind in "iub" and not self.layers_of(keras.layers.Embedding)
        return x.astype("float32") if are_numbers else x

    @property
    def train(self) -> Sample:
        """Training rows."""
        return self.samples["training"]

    @property
    def validation(self) -> Sample | None:
        """Validation rows."""
        return self.samples.get("validation")

    @functools.cached_property
    def batches(self) -> dict[str, list[tuple]]:
        """A few batches `(x, y, weight)`; of streams some rows of the first, as others need the state before."""
        if not self.layers_of(NextToken):
            count = PROBES if self.history is None else TRAINED_PROBES
            fit = {split: fitted(self.model, data) for split, data in self.data.items()}
            return _of_one_shape(
                {split: some_batches(one, count, batch_size=size) for split, (one, size) in fit.items()}
            )
        first = {split: some_batches(data, 1)[0] for split, data in self.data.items()}
        return {
            split: [tuple(None if one is None else one[:STREAMS] for one in batch)] for split, batch in first.items()
        }

    @property
    def is_text(self) -> bool:
        """Whether the inputs are codes, `(rows, timesteps)`."""
        return self.train.x.dtype.kind in "iu" and self.train.x.ndim == 2

    @property
    def is_sequence(self) -> bool:
        """Whether the inputs are numbers, `(rows, timesteps, features)`."""
        return self.train.x.dtype.kind == "f" and self.train.x.ndim == 3

    @property
    def is_language_model(self) -> bool:
        """Whether each step's target is the next step's input."""
        x, y = self.train.x, self.train.y
        if self.layers_of(NextToken):
            return True
        return self.is_text and y is not None and y.shape == x.shape and bool(np.mean(y[:, :-1] == x[:, 1:]) > 0.95)

    def labels(self, split: str) -> np.ndarray | None:
        """Return the classes of the rows of a split as codes `(examples,)`, without padding; `None` for numbers."""
        sample = self.samples.get(split)
        if sample is None or sample.y is None or self.loss is None:
            return None
        return self.loss.labels(sample.y, sample.weight)

    # The model.

    @functools.cached_property
    def named(self) -> dict[str, keras.Layer]:
        """All layers by name."""
        return named_layers(self.model)

    @functools.cached_property
    def recurrent(self) -> dict[str, keras.layers.RNN]:
        """Recurrent layers by name."""
        return {name: layer for name, layer in self.named.items() if isinstance(layer, keras.layers.RNN)}

    def layers_of(self, *kinds: type) -> list[keras.Layer]:
        """Return the layers of some kinds."""
        return [layer for layer in self.named.values() if isinstance(layer, kinds)]

    def is_simple(self, name: str) -> bool:
        """Whether a layer is recurrent and has no gates."""
        known = cell_of(getattr(self.named.get(name), "cell", None))
        return known is not None and len(known.blocks) == 1

    @property
    def rescales(self) -> bool:
        """Whether the model turns raw targets into scaled ones and back."""
        return bool(self.layers_of(RawUnits))

    @property
    def normalizes(self) -> bool:
        """Whether some layer brings its inputs to a common scale."""
        kinds = ("Normalization", "BatchNormalization", "LayerNormalization", "Rescaling", "RMSNormalization")
        return self.rescales or any(type(layer).__name__ in kinds for layer in self.named.values())

    @property
    def has_vocabulary(self) -> bool:
        """Whether the model carries a vocabulary of ours."""
        return bool(self.layers_of(TokenEmbedding))

    @property
    def has_trained(self) -> bool:
        """Whether the optimizer has taken a step."""
        return int(array(self.model.optimizer.iterations)) > 0 if self.model.optimizer is not None else False

    # What it makes of the data.

    @functools.cached_property
    def forward(self) -> dict[str, tuple[list, dict[str, tuple]]]:
        """What the model makes of each of the batches, without dropout; and `compiled_forward` of the first one."""
        found = {}
        with untouched(self.model):
            run = compiled_forward(self.model)
            for split, batches in self.batches.items():
                first, inside = run(batches[0][0])
                found[split] = [first, *(run(x)[0] for x, _, _ in batches[1:])], inside
        return found

    @functools.cached_property
    def outputs(self) -> dict[str, list[np.ndarray]]:
        """What the model makes of each of the batches."""
        if isinstance(self.forward["training"][0][0], dict | list | tuple):
            raise NotImplementedError("several outputs")
        return keras.tree.map_structure(array, {split: outputs for split, (outputs, _) in self.forward.items()})

    @property
    def width(self) -> int:
        """Outputs of a step."""
        return self.outputs["training"][0].shape[-1]

    @functools.cached_property
    def inside(self) -> dict[str, dict[str, tuple]]:
        """Of the first batch: layer, outputs and arguments by the layer's name."""
        return {split: inside for split, (_, inside) in self.forward.items()}

    def received(self, split: str) -> np.ndarray | None:
        """Return what the first recurrent layer reads, `(batch, timesteps, features)`, or `None`."""
        arguments = [call[2] for call in self.inside[split].values() if call[2] is not None]
        return np.asarray(arguments[0][0], "float64") if arguments else None

    @functools.cached_property
    def statistics(self) -> pd.DataFrame:
        """`layer_statistics` of a training batch."""
        return statistics_of(self.model, self.inside["training"])

    @functools.cached_property
    def flow(self) -> pd.DataFrame:
        """`gradient_flow` of a training batch, in terms of the loss."""
        if all(hasattr(layer, "kernel_size") for layer in self.recurrent.values()):  # of ConvLSTM
            raise NotImplementedError("states that are pictures")
        return gradient_flow(self.model, *self.batches["training"][0])

    # The loss, and what it should be.

    @functools.cached_property
    def loss(self) -> ReferenceLoss | None:
        """The loss as a function of arrays, or `None` where there are several."""
        given = self.model.loss
        return None if given is None or isinstance(given, list | tuple | dict) else ReferenceLoss(given)

    @property
    def kind(self) -> str:
        """What is predicted, as `ReferenceLoss` names it."""
        return "numbers" if self.loss is None else self.loss.kind

    @functools.cached_property
    def losses(self) -> dict[str, float]:
        """Loss of the model as it is; of a language model, whose state counts, that of the last epoch."""
        if self.layers_of(NextToken) and self.history is not None:
            columns = {"training": "loss", "validation": "val_loss"}
            return {split: float(self.history[one].iloc[-1]) for split, one in columns.items() if one in self.history}
        if self.loss is None:
            return dict.fromkeys(self.outputs, np.nan)
        means = {}
        for split, outputs in self.outputs.items():
            pairs = zip(self.batches[split], outputs, strict=True)
            values = [self.loss.of(y, out, weight) for (_, y, weight), out in pairs]
            means[split] = float(np.average(values, weights=[len(out) for out in outputs]))
        return means

    def standard_error(self, split: str) -> float:
        """Return how far `losses` may be off by chance: 0 where they are the history's, or of all rows."""
        sample, rows = self.samples[split], sum(map(len, self.outputs[split]))
        if self.layers_of(NextToken) or (sample.is_whole and rows == len(sample)):
            return 0.0
        values, size = [], max(rows // CHUNKS, SMALLEST_CHUNK)
        for (_, y, weight), out in zip(self.batches[split], self.outputs[split], strict=True):
            for first in range(0, len(out), size):
                chunk = slice(first, first + size)
                values.append(self.loss.of(y[chunk], out[chunk], None if weight is None else weight[chunk]))
        return float(np.nanstd(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else np.inf

    @functools.cached_property
    def constant_losses(self) -> dict[str, float]:
        """Loss of the constant that fits the training rows best."""
        if self.loss is None or self.train.y is None:
            return {}
        shape = self.outputs["training"][0].shape[1:]
        if min(self.losses.values()) < 0:  # as of a density or a cosine: nothing can be said in parts of it
            return {}
        constants = self.loss.constants(self.train.y, self.train.weight, width=self.width)
        return {
            split: self.loss.of_constants(constants, one.y, one.weight, shape=shape)
            for split, one in self.samples.items()
        }

    @property
    def best(self) -> dict[str, float]:
        """Best loss: in the history, or of the model as it is."""
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
        """Whether a training came to clearly less than the best constant; without one, than in its first epoch."""
        split = "validation" if "validation" in self.best else "training"
        if split not in self.best:
            return False
        floor = self.constant_losses.get(split, np.nan)
        if np.isnan(floor) and self.history is not None:
            floor = self.history["val_loss" if split == "validation" else "loss"].iloc[0]
        return bool(floor - self.best[split] > (1 - self.limits["learnt"]) * abs(floor))

    def tells(self, split: str) -> bool:
        """Return whether the outputs tell something of the targets: with those of other rows, the loss is higher.

        That holds on any scale, as where the history's losses are weighted by classes or hold penalties.
        """
        batches, outputs = self.batches[split], np.concatenate(self.outputs[split])
        order = np.random.default_rng(0).permutation(len(outputs))
        y, weight = (
            None if batches[0][place] is None else np.concatenate([batch[place] for batch in batches])
            for place in (1, 2)
        )
        own = self.loss.of(y, outputs, weight)
        other = self.loss.of(y[order], outputs, None if weight is None else weight[order])
        return bool(other - own > self.limits["told"] * abs(own))

    # Dry runs.

    @functools.cached_property
    def fresh(self) -> keras.Model:
        """The model before its training, which may have spoilt the weights for any other."""
        return fresh_model(self.model) if self.has_trained else self.model

    @functools.cached_property
    def overfit(self) -> pd.DataFrame:
        """`overfit_one_batch` on training rows."""
        return overfit_one_batch(self.fresh, self.train_data)

    @functools.cached_property
    def rates(self) -> pd.DataFrame:
        """`find_learning_rate` on training rows."""
        return find_learning_rate(self.fresh, self.train_data)


def _of_one_shape(batches: dict[str, list[tuple]]) -> dict[str, list[tuple]]:
    """Cut batches to the same rows, and pad those of texts to one width: for each shape a model is compiled anew."""
    rows = {split: max(map(_rows, some)) for split, some in batches.items()}
    if min(rows.values()) >= FEWEST:
        rows = dict.fromkeys(rows, min(rows.values()))
    flat = [x for some in batches.values() for x, _, _ in some]
    is_text = all(isinstance(x, np.ndarray) and x.ndim == 2 and x.dtype.kind == "i" for x in flat)
    width = max(x.shape[1] for x in flat) if is_text else None

    def shaped(batch, rows):
        def cut(one):
            is_wide = is_text and np.ndim(one) > 1 and one.shape[1] == batch[0].shape[1]
            return None if one is None else (widened(one, width) if is_wide else one)[:rows]

        return keras.tree.map_structure(cut, batch)

    return {
        split: [shaped(batch, rows[split]) for batch in some if _rows(batch) >= rows[split]]
        for split, some in batches.items()
    }


def _rows(batch) -> int:
    return len(keras.tree.flatten(batch[0])[0])
