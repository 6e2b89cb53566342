"""Small tasks on which recurrent networks learn well in seconds: the sound runs into which `faults.py` puts its faults.

A `Case` is what a user has in a script: data, the network, and how it is trained. `TASKS` makes each from a seed. All
data are synthetic, so that what can be learnt is known: the third part, `judge`, is drawn as the others and never seen.
"""

import copy
import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pandas as pd

import rnn_toolkit as rt

TRAIN, VALIDATION, JUDGE = "train", "validation", "judge"
PLAIN = {"simple": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


@dataclasses.dataclass
class Network:
    """What a user decides about a network; `None` leaves it to Keras."""

    cell: str = "gru"
    units: tuple = (24,)
    bidirectional: bool = False
    dropout: float = 0.0
    normalization: str | None = None
    pooling: bool = False  # over all steps, instead of the last state
    activation: str | None = None
    kernel_initializer: object = None
    recurrent_initializer: object = None
    bias_initializer: object = None
    head_initializer: object = None
    head_activation: str | None = None
    loss: object = "mse"
    scale: float | None = None  # of a `Rescaling` in front
    mask: bool = True  # whether an embedding masks code 0
    frozen: bool = False
    optimizer: str = "adam"
    rate: float = 5e-3
    clip: float | None = 1.0


@dataclasses.dataclass
class Case:
    """A script of a user: `data` holds inputs and targets of each part, as the user's files hold them.

    `sound` is a copy of what the data were before a fault, the source that a user goes back to.
    """

    task: str
    seed: int
    kind: str  # "regression", "classes" or "tokens"
    data: dict
    network: Network
    build: Callable  # (case, train) -> compiled model
    feed: Callable  # (case, part) -> what `rt.train` takes
    epochs: int
    patience: int | None = 10  # None: no callback stops the training
    batch_size: int = 32  # of arrays
    options: dict = dataclasses.field(default_factory=dict)
    weights: np.ndarray | None = None  # of the training rows
    sound: dict | None = None

    def copy(self) -> "Case":
        """Return a case that can be changed."""
        data = {part: tuple(copy.copy(one) for one in rows) for part, rows in self.data.items()}
        return dataclasses.replace(
            self, data=data, network=dataclasses.replace(self.network), options=dict(self.options), sound=self.data
        )

    def fed(self) -> tuple:
        """Return training and validation data as `rt.train` takes them."""
        return self.feed(self, TRAIN), self.feed(self, VALIDATION)

    def callbacks(self) -> list:
        """Return what the user passes to `rt.train`."""
        watching = [] if self.patience is None else rt.default_callbacks(patience=self.patience)
        return [*(watching or [rt.default_callbacks()[0]]), rt.Monitor()]


# Networks


def cells(network, *, return_sequences=False) -> list:
    """Return the recurrent layers."""
    names = ("activation", "kernel_initializer", "recurrent_initializer", "bias_initializer")
    chosen = {name: getattr(network, name) for name in names if getattr(network, name) is not None}
    layers = []
    for place, units in enumerate(network.units, start=1):
        last = place == len(network.units)
        options = {key: copy.deepcopy(value) for key, value in chosen.items()} | {"dropout": network.dropout}
        layer = PLAIN[network.cell](units, return_sequences=return_sequences or not last, **options)
        layers.append(keras.layers.Bidirectional(layer) if network.bidirectional else layer)
        if network.normalization == "layer":
            layers.append(keras.layers.LayerNormalization())
    return layers


def optimizer(network):
    """Return the optimizer."""
    if network.optimizer == "sgd":
        return keras.optimizers.SGD(network.rate, momentum=0.9, global_clipnorm=network.clip)
    return keras.optimizers.Adam(network.rate, global_clipnorm=network.clip)


def plain(case, train):
    """Build with Keras alone, from what the arrays show."""
    network, (x, y, *_) = case.network, train
    is_text = x.dtype.kind == "i"
    front = [keras.Input(x.shape[1:], dtype="int32" if is_text else "float32")]
    if is_text:
        front.append(keras.layers.Embedding(case.options["vocabulary"], 16, mask_zero=network.mask))
    if network.scale is not None:
        front.append(keras.layers.Rescaling(network.scale))
    outputs = y.shape[-1] if case.kind == "regression" else case.options["classes"]
    outputs = case.options.get("outputs", outputs)
    start = {} if network.head_initializer is None else {"kernel_initializer": network.head_initializer}
    layers = cells(network, return_sequences=case.kind == "tokens" or network.pooling)
    layers += [keras.layers.GlobalAveragePooling1D()] if network.pooling else []
    head = keras.layers.Dense(outputs, activation=network.head_activation, **start)
    model = keras.Sequential([*front, *layers, head])
    _freeze(model, network)
    model.compile(optimizer(network), loss=network.loss)
    return model


def ours_forecast(case, train):
    """Build with `rt.build_forecaster`."""
    return rt.build_forecaster(train, cells(case.network), loss="mse", optimizer=optimizer(case.network))


def ours_classes(case, train):
    """Build with `rt.build_text_classifier`."""
    network, vocabulary = case.network, train.vocabulary
    layers = cells(network, return_sequences=True)
    options = {"embedding": 16, "dropout": 0.1, "optimizer": optimizer(network)}
    model = rt.build_text_classifier(vocabulary, train.classes, layers, **options)
    if network.frozen:
        _freeze(model, network)
        model.compile(optimizer(network), loss=model.loss, metrics=["accuracy"])
    return model


def ours_language(case, train):
    """Build with `rt.build_language_model`."""
    layers = cells(case.network, return_sequences=True)
    options = {"embedding": 16, "batch_size": train.batch_size, "optimizer": optimizer(case.network)}
    return rt.build_language_model(train.vocabulary, layers, **options)


def _freeze(model, network):
    for layer in model.layers[:-1] if network.frozen else ():
        layer.trainable = False


# Data


def guessed(case) -> float:
    """Return the loss of the best constant, fitted on the training part, on the rows that no run has seen."""
    if case.feed is windows:
        known, (_, y, weight) = windows(case, TRAIN).to_arrays()[1], windows(case, JUDGE).to_arrays()
        return float(np.mean(((y - known.mean()) * weight) ** 2))
    known, asked = (
        list(case.data[part][-1]) if case.feed is streams else case.data[part][1] for part in (TRAIN, JUDGE)
    )
    if case.kind == "regression":
        return float(np.mean((asked - known.mean()) ** 2))
    shares = pd.Series(np.ravel(known)).value_counts(normalize=True)
    return float(-np.log(pd.Series(np.ravel(asked)).map(shares)).mean())


def arrays(case, part):
    """Feed arrays, with the weights of the training rows if there are any."""
    return (*case.data[part], case.weights) if part == TRAIN and case.weights is not None else case.data[part]


def texts(case, part):
    """Feed texts by `rt.text_batches`, their vocabulary and labels taken from the training part."""
    options = {"vocabulary": rt.fit_vocabulary(case.data[TRAIN][0]), "batch_size": 32}
    if part == TRAIN:
        weight = case.options.get("class_weight")
        return rt.text_batches(*case.data[TRAIN], shuffle=True, seed=case.seed, class_weight=weight, **options)
    classes = sorted({label for one in (TRAIN, part) for label in case.data[one][1]})
    return rt.text_batches(*case.data[part], classes=classes, **options)


def windows(case, part):
    """Feed windows by `rt.split_by_time`."""
    frame, rows = pd.DataFrame({"load": np.concatenate([one[0] for one in case.data.values()])}), case.data
    task = rt.ForecastTask("load", 6, case.options["lookback"])
    shares = {"validation": len(rows[VALIDATION][0]), "test": len(rows[JUDGE][0])}
    return rt.split_by_time(frame, task, batch_size=32, seed=case.seed, **shares)[list(case.data).index(part)]


def streams(case, part):
    """Feed text by `rt.language_model_batches`."""
    vocabulary = rt.fit_vocabulary(case.data[TRAIN], unit="character")
    options = {"batch_size": 16, "steps": case.options["steps"]}
    return rt.language_model_batches(case.data[part][0], vocabulary, **options)


def _three(make, sizes=(800, 250, 800)) -> dict:
    """Draw the three parts from one source."""
    return {part: make(size) for part, size in zip((TRAIN, VALIDATION, JUDGE), sizes, strict=True)}


def sine(seed) -> Case:
    """Forecast the next value of two sines in noise."""
    random = np.random.default_rng([1, seed])

    def make(rows):
        steps = np.arange(25)
        waves = [
            np.sin(random.uniform(0.2, 1.2, (rows, 1)) * steps + random.uniform(0, 2 * np.pi, (rows, 1)))
            for _ in range(2)
        ]
        values = (sum(waves) + random.normal(0, 0.1, (rows, 25))).astype("float32")
        return values[:, :-1, None], values[:, -1:]

    return Case("sine", seed, "regression", _three(make), Network(rate=1e-2), plain, arrays, 20)


def recall(seed) -> Case:
    """Give the value that was marked, of 20."""
    random = np.random.default_rng([2, seed])

    def make(rows):
        values, marks = random.uniform(-1, 1, (rows, 20)), np.zeros((rows, 20))
        place = random.integers(0, 20, rows)
        marks[np.arange(rows), place] = 1
        x = np.stack([values, marks], axis=-1).astype("float32")
        return x, x[np.arange(rows), place, :1] + random.normal(0, 0.2, (rows, 1)).astype("float32")

    return Case("recall", seed, "regression", _three(make), Network("lstm", (32,), rate=1e-2), plain, arrays, 25)


def load(seed) -> Case:
    """Forecast six rows of a series with a season of 12 rows that no short look-back shows; `rt.build_forecaster`."""
    random = np.random.default_rng([3, seed])
    shape = np.where(np.isin(np.arange(12), random.choice(12, 3, replace=False)), 3.0, 0.0)
    level = np.convolve(random.normal(0, 0.3, 1300), 0.8 ** np.arange(20), "same")
    values = 20 + shape[np.arange(1300) % 12] * np.exp(level / 2) + level + random.normal(0, 0.2, 1300)
    data = dict(zip((TRAIN, VALIDATION, JUDGE), ((one,) for one in np.split(values, [800, 1000])), strict=True))
    options = {"lookback": 24}
    return Case("load", seed, "regression", data, Network(rate=2e-3), ours_forecast, windows, 25, options=options)


def drift(seed) -> Case:
    """Forecast the mean of the next six rows of a slowly changing series, windows cut by hand."""
    random = np.random.default_rng([4, seed])
    values = np.zeros(1200)
    for row, shock in enumerate(random.normal(0, 1, 1200)):
        values[row] = 0.9 * values[row - 1] + shock
    values = (values / values[:700].std()).astype("float32")
    block = np.lib.stride_tricks.sliding_window_view(values, 18)  # 12 rows of input, 6 of target
    parts = {TRAIN: block[: 700 - 17], VALIDATION: block[700 : 900 - 17], JUDGE: block[900:]}
    data = {part: (rows[:, :12, None].copy(), rows[:, 12:].mean(1, keepdims=True)) for part, rows in parts.items()}
    return Case("drift", seed, "regression", data, Network(units=(12,)), plain, arrays, 25)


def recordings(seed) -> Case:
    """Tell two states apart in overlapping windows of recordings, each of which has a pitch and a level of its own."""
    random = np.random.default_rng([14, seed])

    def make(recordings):
        y = random.integers(0, 2, recordings).astype("int32")
        pitch, level = random.uniform(0.4, 2.0, (recordings, 1)), random.normal(0, 0.5, (recordings, 1))
        rows = np.sin(pitch * np.arange(60)) + level + np.where(y, 0.5, -0.5)[:, None]
        rows = (rows + random.normal(0, 0.05, rows.shape)).astype("float32")
        x = np.lib.stride_tricks.sliding_window_view(rows, 20, axis=1)[:, ::4]  # (recordings, 11, 20)
        return x.reshape(-1, 20, 1).copy(), np.repeat(y, x.shape[1])

    network = Network("gru", (32,), rate=1e-2, head_activation="softmax", loss="sparse_categorical_crossentropy")
    data = _three(make, (60, 30, 80))
    return Case("recordings", seed, "classes", data, network, plain, arrays, 40, options={"classes": 2})


def waves(seed) -> Case:
    """Tell a rising, a falling and a steady pitch apart."""
    random = np.random.default_rng([5, seed])

    def make(rows):
        y = random.integers(0, 3, rows).astype("int32")
        turns = np.linspace(-1, 1, 30) * np.array([0.35, -0.35, 0.0])[y][:, None] + random.uniform(0.6, 0.8, (rows, 1))
        phase = np.cumsum(turns, axis=1) + random.uniform(0, 2 * np.pi, (rows, 1))
        x = np.sin(phase) + random.normal(0, 0.3, phase.shape)
        return x.astype("float32")[..., None], _mislabelled(random, y, 3)

    network = Network("gru", rate=1e-2, head_activation="softmax", loss="sparse_categorical_crossentropy")
    return Case("waves", seed, "classes", _three(make), network, plain, arrays, 15, options={"classes": 3})


def long(seed) -> Case:
    """Tell from 200 steps which way the first ten went."""
    random = np.random.default_rng([6, seed])

    def make(rows):
        y = random.integers(0, 2, rows)
        x = random.normal(0, 0.3, (rows, 200))
        x[:, :10] += np.where(y, 1, -1)[:, None]
        return x.astype("float32")[..., None], _mislabelled(random, y, 2)

    network = Network("gru", (16,), rate=1e-2, head_activation="softmax", loss="sparse_categorical_crossentropy")
    network.pooling = True
    data = _three(make, (480, 160, 800))
    return Case("long", seed, "classes", data, network, plain, arrays, 6, options={"classes": 2})


def _mislabelled(random, y, classes, share=0.08) -> np.ndarray:
    """Draw some labels anew, so that the best loss there is lies well above zero."""
    return np.where(random.random(len(y)) < share, random.integers(0, classes, len(y)), y).astype("int32")


def _ordered(random, rows) -> tuple[list, np.ndarray]:
    """Draw lists of codes from 1 on, and which of two words comes first in each, if both are there."""
    kept, y = [], random.integers(0, 3, rows).astype("int32")
    for label in y:
        words = random.integers(3, 15, random.integers(6, 15))
        first, second = sorted(random.choice(len(words), 2, replace=False))
        words[first], words[second] = ((1, 2), (2, 1), (1, 1) if random.random() < 0.5 else (2, 2))[label]
        kept.append(words)
    return kept, y


def tokens(seed) -> Case:
    """Tell which of two words comes first, from padded codes."""
    random = np.random.default_rng([7, seed])

    def make(rows):
        codes, y = _ordered(random, rows)
        return rt.pad(codes, length=14)[0], _mislabelled(random, y, 3)

    network = Network("lstm", rate=1e-2, head_activation="softmax", loss="sparse_categorical_crossentropy")
    options = {"classes": 3, "vocabulary": 15}
    return Case("tokens", seed, "classes", _three(make), network, plain, arrays, 15, options=options)


def words(seed) -> Case:
    """Tell which of two words comes first, from texts; `rt.build_text_classifier`."""
    random = np.random.default_rng([8, seed])

    def make(rows):
        codes, y = _ordered(random, rows)
        named = [("ab", "ba", "same")[code] for code in _mislabelled(random, y, 3)]
        return [" ".join(f"word{code}" for code in row) for row in codes], named

    return Case("words", seed, "classes", _three(make), Network(rate=1e-2), ours_classes, texts, 15)


def few(seed) -> Case:
    """Tell good from bad by the words, of 150 texts with a wrong label in ten."""
    random = np.random.default_rng([9, seed])

    def make(rows):
        y = random.integers(0, 2, rows).astype("int32")
        x = random.integers(41, 200, (rows, 12))
        for row, label in zip(x, y, strict=True):
            row[random.choice(12, 4, replace=False)] = random.integers(1, 21, 4) + 20 * label
        return x.astype("int32"), _mislabelled(random, y, 2, 0.2)

    network = Network(
        "gru", (8,), rate=1e-2, dropout=0.3, head_activation="softmax", loss="sparse_categorical_crossentropy"
    )
    options = {"classes": 2, "vocabulary": 200}
    return Case("few", seed, "classes", _three(make, (150, 150, 600)), network, plain, arrays, 30, options=options)


def noisy(seed) -> Case:
    """Forecast from 150 windows what is half noise."""
    random = np.random.default_rng([10, seed])

    def make(rows):
        x = random.normal(0, 1, (rows, 12, 2))
        y = x[:, -3:, 0].mean(1, keepdims=True) * 1.7 + random.normal(0, 0.6, (rows, 1))
        return x.astype("float32"), y.astype("float32")

    data = _three(make, (150, 150, 600))
    return Case("noisy", seed, "regression", data, Network("gru", (6,), rate=1e-2, dropout=0.1), plain, arrays, 40)


def _grammar(random, characters) -> str:
    """Write sentences whose verb agrees with a subject that stands some words before it."""
    written = []
    while sum(map(len, written)) < characters:
        plural = random.random() < 0.5
        noun, other, verb = (random.choice(one) for one in (["dog", "cat", "bird"], ["tree", "hill"], ["run", "sing"]))
        written.append(f"the {noun}{'s' * plural} by the {other} {verb}{'s' * (not plural)}.\n")
    return "".join(written)[:characters]


def grammar(seed) -> Case:
    """Model the characters of a small grammar; `rt.build_language_model`."""
    random = np.random.default_rng([11, seed])
    data = {part: (_grammar(random, size),) for part, size in ((TRAIN, 10_000), (VALIDATION, 2_000), (JUDGE, 4_000))}
    network = Network("lstm", (32,), rate=1e-2)
    return Case("grammar", seed, "tokens", data, network, ours_language, streams, 20, options={"steps": 32})


def characters(seed) -> Case:
    """Model the characters of a small grammar, cut into rows for a plain network."""
    random = np.random.default_rng([12, seed])
    letters = sorted(set(_grammar(np.random.default_rng(0), 2_000)))

    def make(rows):
        codes = np.array([letters.index(one) for one in _grammar(random, rows * 24 + 1)], "int32")
        return codes[:-1].reshape(rows, 24), codes[1:].reshape(rows, 24)

    network = Network("gru", (32,), rate=1e-2, head_activation="softmax", loss="sparse_categorical_crossentropy")
    network.mask = False
    options = {"classes": len(letters), "vocabulary": len(letters)}
    return Case("characters", seed, "tokens", _three(make, (400, 80, 160)), network, plain, arrays, 20, options=options)


TASKS = {
    one.__name__: one
    for one in (sine, recall, load, drift, noisy, waves, recordings, long, tokens, words, few, grammar, characters)
}


def healthy(number) -> Case:
    """Make a sound case that differs from the tasks above in cell, size and regularisation, and is trained to its end.

    The number draws everything; simple cells stay with short sequences, where they belong.
    """
    random = np.random.default_rng([13, number])
    case = list(TASKS.values())[number % len(TASKS)](number)
    network = case.network
    short = case.task in ("sine", "drift", "noisy", "characters")
    network.cell = str(random.choice(["lstm", "gru", "gru", "lstm", "simple"] if short else ["lstm", "gru"]))
    small = case.task in ("few", "noisy", "drift")
    size = int(random.choice([6, 8, 12] if small else [16, 24, 32, 48]))
    network.units = (size, size) if random.random() < 0.3 and not small else (size,)
    network.bidirectional = bool(random.random() < 0.3 and case.task in ("waves", "tokens", "words", "few"))
    network.normalization = "layer" if random.random() < 0.2 and not network.bidirectional else None
    network.dropout = float(random.choice([0.2, 0.3] if small else [0.0, 0.0, 0.1]))
    network.rate = float(random.choice([3e-3, 5e-3, 1e-2])) / (2 if network.cell == "simple" else 1)
    case.epochs = 60 if case.task != "long" else 12
    return case
