"""Sound networks on sound data, as different from each other as users are: `rt.diagnose` must not accuse them.

    python tests/benchmarks/sound_cases.py --seeds 0 1              # to report
    python tests/benchmarks/sound_cases.py --seeds 100 --only echo  # to calibrate: from 100 on

Each case is diagnosed before training, trained until it no longer improves, and diagnosed again. A false alarm is a
warning or an error; a check that an error kept from running is one, too.
"""

import argparse
import os
import time

if __name__ == "__main__":  # read when the backend is imported, below
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import numpy as np
import pandas as pd
from keras import layers, ops

import rnn_toolkit as rt

ALARMS = ("warning", "error")
CASES = {}


def sound(make):
    """Keep a function from a random generator to `(model, train, validation)` under its name."""
    CASES[make.__name__] = make
    return make


def compiled(*stack, loss="mse", optimizer=None, **options):
    """Return a compiled `Sequential`."""
    model = keras.Sequential(stack)
    model.compile(optimizer or keras.optimizers.Adam(5e-3), loss, **options)
    return model


def classifier(shape, *stack, classes):
    """Return a classifier by codes."""
    head = layers.Dense(classes, activation="softmax")
    return compiled(keras.Input(shape), *stack, head, loss="sparse_categorical_crossentropy")


def halves(x, y, *weight, validation=200):
    """Return the first rows to train on, and the last to validate on, without weights."""
    parts = [np.asarray(one) for one in (x, y, *weight)]
    return tuple(one[:-validation] for one in parts), tuple(one[-validation:] for one in parts[:2])


def floats(*arrays):
    """Return arrays as Keras takes them best."""
    return tuple(np.asarray(one, "float32") for one in arrays)


def cut(series, lookback, horizon=1):
    """Return windows of a series `(rows, features)` in their order, and the first feature behind them."""
    rows = np.lib.stride_tricks.sliding_window_view(series, lookback + horizon, axis=0).transpose(0, 2, 1)
    return floats(rows[:, :lookback], rows[:, lookback:, 0])


def forecaster(frame, task, *, epochs_rate=3e-3, **options):
    """Return a small forecaster of ours with its windows."""
    train, validation, _ = rt.split_by_time(frame, task, batch_size=32)
    cells = [*rt.recurrent_layers("gru", (16,)), layers.Dropout(0.2)]
    model = rt.build_forecaster(train, cells, optimizer=rt.make_optimizer(epochs_rate), **options)
    return model, train, validation


def walk(random, rows, *, back=0.9):
    """Return a series that comes back to zero, with a deviation of about 1."""
    values = np.zeros(rows)
    for row, shock in enumerate(random.normal(0, np.sqrt(1 - back**2), rows)):
        values[row] = back * values[row - 1] + shock
    return values


# Symbols


@sound
def one_hot_symbols(random):
    """Independent symbols, one-hot: which of two was seen more often?"""
    codes = random.integers(0, 4, (1000, 8))
    y = (codes == 0).sum(1) > (codes == 1).sum(1)
    return classifier((8, 4), layers.GRU(16), classes=2), *halves(*floats(np.eye(4)[codes]), y.astype("int32"))


@sound
def bits(random):
    """Zeros and ones, a feature: are most of them ones?"""
    x = random.integers(0, 2, (1000, 9, 1))
    return classifier((9, 1), layers.LSTM(16), classes=2), *halves(*floats(x), (x.sum((1, 2)) > 4).astype("int32"))


@sound
def echo_steps(random):
    """Give each symbol again, a step later."""
    codes = random.integers(0, 5, (600, 10))
    x, y = floats(np.eye(5)[codes], np.eye(5)[np.roll(codes, 1, axis=1)])
    y[:, 0] = 0.2
    head = layers.Dense(5, activation="softmax")
    cell = layers.LSTM(16, return_sequences=True)
    return compiled(keras.Input((10, 5)), cell, head, loss="categorical_crossentropy"), *halves(x, y)


@sound
def echo_one(random):
    """Give the second symbol at the end."""
    codes = random.integers(0, 5, (900, 5))
    x, y = floats(np.eye(5)[codes], np.eye(5)[codes[:, 1]])
    head = layers.Dense(5, activation="softmax")
    return compiled(keras.Input((5, 5)), layers.LSTM(20), head, loss="categorical_crossentropy"), *halves(x, y)


@sound
def adding(random):
    """Add the two numbers that are marked."""
    values, marks = random.uniform(-1, 1, (1200, 10)), np.zeros((1200, 10))
    for row in marks:
        row[random.choice(10, 2, replace=False)] = 1
    x, y = floats(np.stack([values, marks], -1), (values * marks).sum(1, keepdims=True))
    return compiled(keras.Input((10, 2)), layers.GRU(24), layers.Dense(1)), *halves(x, y)


# Rare things


@sound
def rare_positives(random):
    """One row in 25 is positive, beside an indicator that is rare, too; rows are weighted."""
    x = random.normal(0, 1, (1500, 8, 2))
    x[..., 1] = random.random((1500, 8)) < 0.02
    score = x[:, -3:, 0].mean(1) + random.normal(0, 0.1, 1500)
    y = (score > np.quantile(score, 0.96)).astype("int32")
    weight = (len(y) / (2 * np.bincount(y)))[y]
    head = layers.Dense(1, activation="sigmoid")
    model = compiled(keras.Input((8, 2)), layers.GRU(8), head, loss="binary_crossentropy")
    return model, *halves(*floats(x), y, weight.astype("float32"), validation=400)


@sound
def class_weights(random):
    """Three classes, one of them rare, with weights that make them count alike."""
    y = random.choice(3, 1200, p=[0.6, 0.34, 0.06]).astype("int32")
    x = random.normal(0, 1, (1200, 12, 2)) + 0.5 * y[:, None, None]
    weight = (len(y) / (3 * np.bincount(y)))[y]
    return classifier((12, 2), layers.LSTM(12), classes=3), *halves(*floats(x), y, weight.astype("float32"))


@sound
def intermittent_windows(random):
    """Demand that is zero on most days, as windows of ours."""
    is_sold = random.random(900) < np.array([0, 0, 0.1, 0, 0, 0.9, 0.8])[np.arange(900) % 7]
    sold = is_sold * random.poisson(8 + 3 * np.sin(np.arange(900) / 30), 900)
    frame = pd.DataFrame({"sold": sold.astype("float64")}, index=pd.date_range("2022", periods=900))
    return forecaster(frame, rt.ForecastTask("sold", 3, 14, season_length=7))


@sound
def intermittent_arrays(random):
    """The same, cut by hand."""
    level = 1 + 0.5 * walk(random, 900, back=0.97)
    sold = (random.random(900) < 0.4) * np.maximum(level, 0.1)
    x, _ = cut(sold[:, None], 10)
    return compiled(keras.Input((10, 1)), layers.GRU(12), layers.Dense(1)), *halves(x, cut(level[:, None], 10)[1])


@sound
def many_classes(random):
    """Eighteen classes alike, and 60 rows to validate on."""
    y = random.integers(0, 18, 1200).astype("int32")
    turn = 2 * np.pi * y / 18
    x = np.stack([np.cos(turn), np.sin(turn)], -1)[:, None] + random.normal(0, 0.4, (1200, 8, 2))
    return classifier((8, 2), layers.GRU(24), classes=18), *halves(*floats(x), y, validation=60)


@sound
def sparse_flag(random):
    """A flag that is hardly ever set, and by chance more often in validation rows."""
    x = random.normal(0, 1, (900, 10, 3))
    x[..., 2] = 0
    x[random.integers(0, 700, 2), random.integers(0, 10, 2), 2] = 1
    x[random.integers(700, 900, 8), random.integers(0, 10, 8), 2] = 1
    y = x[:, -4:, :1].mean(1)
    return compiled(keras.Input((10, 3)), layers.GRU(12), layers.Dense(1)), *halves(*floats(x, y))


@sound
def sticky_state(random):
    """Whether somebody is in the room five minutes from now: nearly always as before."""
    switches = random.random(3000) < 0.03
    state = np.cumsum(switches) % 2
    heat = np.convolve(state, 0.8 ** np.arange(12) / 5, "full")[:3000] + random.normal(0, 0.1, 3000)
    x, y = cut(np.stack([state, heat], 1), 12)
    return classifier((12, 2), layers.GRU(8), classes=2), *halves(x, y[:, 0].astype("int32"), validation=800)


@sound
def whole_degrees(random):
    """A temperature in whole degrees that changes every twenty minutes; the change to the last is forecast."""
    degrees = np.round(3 * walk(random, 2500, back=0.995)) / 3
    x, y = cut(degrees[:, None], 16)
    inputs = keras.Input((16, 1))
    change = layers.Dense(1)(layers.GRU(8)(inputs))
    model = keras.Model(inputs, inputs[:, -1] + change)
    model.compile(keras.optimizers.Adam(2e-3), "mse")
    return model, *halves(x, y, validation=600)


# Heads and losses


@sound
def relu_before_lstm(random):
    """A last layer that is recurrent, behind a ReLU."""
    x = random.normal(0, 1, (900, 8, 2))
    y = np.tanh(x[:, -3:, 0].sum(1, keepdims=True) / 2) * 0.8
    stack = [layers.Dense(16, activation="relu"), layers.LSTM(24, return_sequences=True), layers.LSTM(1)]
    return compiled(keras.Input((8, 2)), *stack), *halves(*floats(x, y))


@sound
def tanh_before_rescaling(random):
    """Outputs that are bounded, and stretched to what they must reach."""
    x = random.normal(0, 1, (900, 8, 2))
    y = 8 * np.tanh(x[:, -3:, 0].mean(1, keepdims=True))
    stack = [layers.GRU(16), layers.Dense(1, activation="tanh"), layers.Rescaling(8.0)]
    return compiled(keras.Input((8, 2)), *stack), *halves(*floats(x, y))


@sound
def softplus_counts(random):
    """Counts, by their logarithm and the Poisson loss."""
    x = random.normal(0, 1, (1000, 10, 2))
    y = random.poisson(np.exp(1 + x[:, -3:, 0].mean(1, keepdims=True)))
    model = compiled(keras.Input((10, 2)), layers.GRU(12), layers.Dense(1, activation="softplus"), loss="poisson")
    return model, *halves(*floats(x, y))


@keras.saving.register_keras_serializable("sound")
def gaussian(y, outputs):
    """Return the negative log density; outputs are mean and log deviation. Below zero where deviations are small."""
    mean, log = outputs[:, :1], ops.clip(outputs[:, 1:], -4, 2)
    return 0.5 * ops.square((y - mean) * ops.exp(-log)) + log


@sound
def gaussian_density(random):
    """A loss that falls below zero, with twice as many outputs as targets."""
    x = random.normal(0, 1, (900, 8, 2))
    y = 0.2 * x[:, -2:, :1].mean(1) + 0.03 * random.normal(0, 1, (900, 1))
    return compiled(keras.Input((8, 2)), layers.GRU(16), layers.Dense(2), loss=gaussian), *halves(*floats(x, y))


@sound
def direction(random):
    """Unit vectors by their cosine, whose best loss is -1."""
    x = random.normal(0, 1, (900, 8, 3))
    y = x[:, -3:].mean(1) / np.linalg.norm(x[:, -3:].mean(1), axis=1, keepdims=True)
    return compiled(keras.Input((8, 3)), layers.GRU(16), layers.Dense(3), loss="cosine_similarity"), *halves(
        *floats(x, y)
    )


@sound
def logits(random):
    """Yes or no by a logit."""
    x = random.normal(0, 1, (900, 12, 2))
    y = (x[:, -4:, 0].sum(1, keepdims=True) > 0).astype("int32")
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return compiled(keras.Input((12, 2)), layers.LSTM(12), layers.Dense(1), loss=loss), *halves(*floats(x), y)


@sound
def several_labels(random):
    """Five labels, of which any may apply; the loss of a function."""
    x = random.normal(0, 1, (1000, 10, 5))
    y = (x[:, -3:].mean(1) > 0.4).astype("float32")
    head = layers.Dense(5, activation="sigmoid")
    return compiled(keras.Input((10, 5)), layers.GRU(24), head, loss="binary_crossentropy"), *halves(*floats(x), y)


@sound
def heavy_tails(random):
    """Targets with outliers, under a Huber loss."""
    x = random.normal(0, 1, (1000, 10, 2))
    y = x[:, -3:, :1].sum(1) + 0.2 * random.standard_t(2, (1000, 1))
    return compiled(keras.Input((10, 2)), layers.GRU(12), layers.Dense(1), loss="huber"), *halves(*floats(x, y))


@sound
def penalised(random):
    """A penalty on the weights, which the loss of the history contains."""
    x = random.normal(0, 1, (900, 8, 2))
    y = 0.3 * x[:, -3:, :1].mean(1) + 0.05 * random.normal(0, 1, (900, 1))
    cell = layers.GRU(12, kernel_regularizer=keras.regularizers.L2(2e-3))
    return compiled(keras.Input((8, 2)), cell, layers.Dense(1)), *halves(*floats(x, y))


@sound
def quantile_function(random):
    """Three quantiles of one target, by a function of one's own."""

    def pinball(y, outputs):
        error, levels = y - outputs, ops.convert_to_tensor([0.1, 0.5, 0.9])
        return ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=-1)

    x = random.normal(0, 1, (900, 8, 2))
    y = x[:, -3:, :1].mean(1) + 0.3 * random.normal(0, 1, (900, 1))
    return compiled(keras.Input((8, 2)), layers.GRU(12), layers.Dense(3), loss=pinball), *halves(*floats(x, y))


# Networks


@sound
def default_gru(random):
    """A GRU as Keras makes it, over 24 steps."""
    t = np.arange(1600)
    series = np.sin(t / 3) + 0.5 * np.sin(t / 11) + 0.2 * random.normal(0, 1, 1600)
    return compiled(keras.Input((24, 1)), layers.GRU(32), layers.Dense(1)), *halves(*cut(series[:, None], 24))


@sound
def many_steps(random):
    """A hundred and fifty steps, of which the last tell what there is to tell."""
    x = random.normal(0, 1, (500, 150, 1))
    y = x[:, -3:].mean(1)
    return compiled(keras.Input((150, 1)), layers.GRU(12), layers.Dense(1)), *halves(*floats(x, y), validation=120)


@sound
def simple_cell(random):
    """A plain recurrent cell on short rows."""
    x = random.normal(0, 1, (900, 6, 2))
    y = x[:, -2:, :1].sum(1)
    return compiled(keras.Input((6, 2)), layers.SimpleRNN(16), layers.Dense(1)), *halves(*floats(x, y))


@sound
def convolution_first(random):
    """A convolution that shortens the sequence, then both directions."""
    y = random.integers(0, 3, 900).astype("int32")
    pitch = np.array([0.4, 0.8, 1.3])[y][:, None]
    x = np.sin(pitch * np.arange(48) + random.uniform(0, 6, (900, 1))) + 0.3 * random.normal(0, 1, (900, 48))
    stack = [layers.Conv1D(16, 5, strides=3, activation="relu"), layers.Bidirectional(layers.LSTM(8))]
    return classifier((48, 1), *stack, classes=3), *halves(*floats(x[..., None]), y)


@sound
def deep_and_normalised(random):
    """Three LSTM layers with layer normalisation and dropout."""
    x = random.normal(0, 1, (900, 10, 3))
    y = x[:, -4:, 0].mean(1, keepdims=True)
    cells = rt.recurrent_layers("lstm", (16, 16, 16), dropout=0.1)
    return compiled(keras.Input((10, 3)), *cells, layers.LayerNormalization(), layers.Dense(1)), *halves(*floats(x, y))


@sound
def minimal_gru(random):
    """The minGRU of ours, two layers, on SGD with momentum."""
    x = random.normal(0, 1, (900, 16, 2))
    y = x[:, -5:, :1].mean(1)
    sgd = keras.optimizers.SGD(0.02, momentum=0.9, clipnorm=1.0)
    return compiled(
        keras.Input((16, 2)), *rt.recurrent_layers("mingru", (16, 16)), layers.Dense(1), optimizer=sgd
    ), *halves(*floats(x, y))


@sound
def adapted_normalization(random):
    """Raw units, brought to scale by a layer that was fitted."""
    x = 1015 + 8 * random.normal(0, 1, (900, 12, 2))
    y = (x[:, -3:, 0].mean(1) > 1015).astype("int32")
    scaler = layers.Normalization()
    scaler.adapt(x[:700])
    return classifier((12, 2), scaler, layers.GRU(12), classes=2), *halves(*floats(x), y)


@sound
def pretrained_embeddings(random):
    """Word vectors that were learnt elsewhere, frozen, with a mask."""
    vectors = random.normal(0, 0.5, (60, 8)).astype("float32")
    codes = random.integers(1, 60, (900, 12)).astype("int32")
    for row, length in zip(codes, random.integers(5, 13, 900), strict=True):
        row[length:] = 0
    y = ((vectors[codes, 0] * (codes > 0)).sum(1) > 0).astype("int32")
    embedding = layers.Embedding(60, 8, mask_zero=True, trainable=False)
    model = classifier((12,), embedding, layers.LSTM(12), classes=2)
    embedding.set_weights([vectors])
    return model, *halves(codes, y)


@sound
def fixed_batch(random):
    """A network of a fixed batch size, with a state that it keeps."""
    series = np.sin(np.arange(1500) / 4) + 0.2 * random.normal(0, 1, 1500)
    x, y = cut(series[:, None], 48)
    model = compiled(keras.Input(batch_shape=(32, 48, 1)), layers.GRU(12), layers.Dense(1))
    return model, (x[:960], y[:960]), (x[1100:1420], y[1100:1420])


class OwnStep(keras.Model):
    """A model with a training step as the guides of Keras write it."""

    def train_step(self, data):
        """Take a step, for data without weights."""
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


@sound
def own_step(random):
    """A training step of one's own, on TensorFlow."""
    x = random.normal(0, 1, (900, 8, 2))
    inputs = keras.Input((8, 2))
    model = (OwnStep if keras.backend.backend() == "tensorflow" else keras.Model)(
        inputs, layers.Dense(1)(layers.GRU(12)(inputs))
    )
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    return model, *halves(*floats(x, x[:, -3:, :1].mean(1)))


class Written(keras.Model):
    """A model that is written as a class."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = layers.LSTM(12), layers.Dense(1)

    def call(self, x):
        """Return a number for each row."""
        return self.head(self.cell(x))


@sound
def written_as_a_class(random):
    """A model with `call`, called once."""
    x = random.normal(0, 1, (900, 8, 2))
    model = Written()
    model(np.zeros((1, 8, 2), "float32"))
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    return model, *halves(*floats(x, x[:, -3:, :1].mean(1)))


@sound
def half_precision(random):
    """A network that computes in bfloat16."""
    x = random.normal(0, 1, (900, 8, 2))
    cell = layers.GRU(16, dtype="mixed_bfloat16")
    return compiled(keras.Input((8, 2)), cell, layers.Dense(1, dtype="float32")), *halves(
        *floats(x, x[:, -3:, :1].mean(1))
    )


@sound
def two_inputs(random):
    """A sequence and a fact beside it."""
    x, fact = floats(random.normal(0, 1, (900, 8, 2)), random.normal(0, 1, (900, 3)))
    y = x[:, -3:, :1].mean(1) + 0.5 * fact[:, :1]
    inputs = [keras.Input((8, 2), name="rows"), keras.Input((3,), name="fact")]
    joined = layers.Concatenate()([layers.GRU(12)(inputs[0]), inputs[1]])
    model = keras.Model(inputs, layers.Dense(1)(joined))
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    parts = [({"rows": x[rows], "fact": fact[rows]}, y[rows]) for rows in (slice(700), slice(700, 900))]
    return model, *parts


@sound
def two_outputs(random):
    """A number and a class from one state."""
    x = random.normal(0, 1, (900, 8, 2)).astype("float32")
    y = {"size": x[:, -3:, :1].mean(1), "sign": (x[:, -1, 1] > 0).astype("int32")}
    inputs = keras.Input((8, 2))
    state = layers.GRU(16)(inputs)
    model = keras.Model(
        inputs,
        {
            "size": layers.Dense(1, name="size")(state),
            "sign": layers.Dense(2, activation="softmax", name="sign")(state),
        },
    )
    model.compile(keras.optimizers.Adam(5e-3), {"size": "mse", "sign": "sparse_categorical_crossentropy"})
    return model, *((x[rows], {name: one[rows] for name, one in y.items()}) for rows in (slice(700), slice(700, 900)))


@sound
def autoencoder(random):
    """Give the sequence again, through a few numbers."""
    t = np.arange(12)
    x = np.sin(random.uniform(0.2, 0.8, (900, 1)) * t + random.uniform(0, 6, (900, 1)))[..., None]
    stack = [layers.LSTM(16), layers.RepeatVector(12), layers.LSTM(16, return_sequences=True), layers.Dense(1)]
    x = x.astype("float32")
    return compiled(keras.Input((12, 1)), *stack), *halves(x, x)


# Steps


@sound
def next_step(random):
    """Forecast each next value of a row, from those before."""
    rows = np.sin(random.uniform(0.3, 1, (700, 1)) * np.arange(21) + random.uniform(0, 6, (700, 1)))
    rows = (rows + 0.1 * random.normal(0, 1, rows.shape))[..., None]
    cell = layers.LSTM(24, return_sequences=True)
    return compiled(keras.Input((20, 1)), cell, layers.Dense(1)), *halves(*floats(rows[:, :-1], rows[:, 1:]))


@sound
def masked_recordings(random):
    """Recordings of different length, filled up behind with zeros and masked."""
    x = random.normal(0, 1, (900, 16, 2))
    for row, length in zip(x, random.integers(6, 17, 900), strict=True):
        row[length:] = 0
    y = (x[:, :5, 0].mean(1) > 0).astype("int32")
    return classifier((16, 2), layers.Masking(), layers.GRU(16), classes=2), *halves(*floats(x), y)


@sound
def weighted_steps(random):
    """A target at each step, of which those behind the end have no weight."""
    x = random.normal(0, 1, (700, 12, 2))
    y = np.cumsum(x[..., :1], axis=1) / 3
    weight = (np.arange(12) < random.integers(5, 13, (700, 1))).astype("float32")
    cell = layers.GRU(16, return_sequences=True)
    return compiled(keras.Input((12, 2)), cell, layers.Dense(1)), *halves(*floats(x, y), weight)


@sound
def growing_counts(random):
    """Cases of an illness that grow from the first on, as a share of the largest."""
    begin, pace = random.uniform(0, 6, (800, 1)), random.uniform(0.3, 0.9, (800, 1))
    curve = 1 / (1 + np.exp(6 - pace * (np.arange(21) - begin))) + 0.01 * random.random((800, 21))
    x, y = floats(curve[:, :20, None], curve[:, 20:])
    return compiled(keras.Input((20, 1)), layers.GRU(12), layers.Dense(1)), *halves(x, y)


# Forms of data


@sound
def digits(random):
    """Pictures of digits, a row a step."""
    from sklearn.datasets import load_digits

    pictures, y = load_digits(return_X_y=True)
    order = random.permutation(len(y))
    x = pictures[order].reshape(-1, 8, 8) / 16
    return classifier((8, 8), layers.LSTM(32), classes=10), *halves(
        *floats(x), y[order].astype("int32"), validation=400
    )


class Batches(keras.utils.PyDataset):
    """Batches of arrays, by a class of one's own."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // 50

    def __getitem__(self, place):
        rows = slice(50 * place, 50 * place + 50)
        return self.x[rows], self.y[rows]


@sound
def own_batches(random):
    """A data set by a class of one's own."""
    x = random.normal(0, 1, (900, 8, 2))
    train, validation = halves(*floats(x, x[:, -3:, :1].mean(1)))
    return compiled(keras.Input((8, 2)), layers.GRU(12), layers.Dense(1)), Batches(*train), Batches(*validation)


@sound
def pipeline(random):
    """A `tf.data` pipeline, shuffled; arrays where TensorFlow is not."""
    x = random.normal(0, 1, (900, 8, 2))
    train, validation = halves(*floats(x, x[:, -3:, :1].mean(1)))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        train, validation = (tf.data.Dataset.from_tensor_slices(one) for one in (train, validation))
        train, validation = train.shuffle(700, seed=1).batch(32), validation.batch(32)
    return compiled(keras.Input((8, 2)), layers.GRU(12), layers.Dense(1)), train, validation


@sound
def few_rows(random):
    """Sixty rows, dropout and a small network."""
    x = random.normal(0, 1, (100, 6, 2))
    y = x[:, -2:, :1].sum(1) + 0.2 * random.normal(0, 1, (100, 1))
    adam = keras.optimizers.Adam(0.01)
    return compiled(keras.Input((6, 2)), layers.GRU(6, dropout=0.1), layers.Dense(1), optimizer=adam), *halves(
        *floats(x, y), validation=40
    )


# Tables


@sound
def hourly_load(random):
    """A load with a day and a trend."""
    t = np.arange(1500)
    load = 300 + 0.02 * t + 60 * np.sin(2 * np.pi * t / 24) + 8 * walk(random, 1500)
    frame = pd.DataFrame({"load": load}, index=pd.date_range("2024", periods=1500, freq="h"))
    return forecaster(frame, rt.ForecastTask("load", 12, 48, season_length=24, calendar=("hour",)))


@sound
def missing_rows(random):
    """Four rows in ten are missing."""
    t = np.arange(1400)
    sales = 20 + 5 * np.sin(2 * np.pi * t / 7) + 2 * walk(random, 1400)
    frame = pd.DataFrame({"sales": sales}, index=pd.date_range("2020", periods=1400))
    frame.loc[random.random(1400) < 0.4, "sales"] = np.nan
    return forecaster(frame, rt.ForecastTask("sales", 7, 28, season_length=7))


@sound
def several_series(random):
    """Six shops of very different size, with a category, a price and a holiday known beforehand."""
    t = np.arange(300)
    frames = []
    for shop in range(6):
        holiday = (t % 50 == 0).astype("float64")
        sold = 10.0**shop * (3 + np.sin(2 * np.pi * t / 7) + 2 * holiday + 0.3 * walk(random, 300))
        frames.append(
            pd.DataFrame(
                {
                    "day": pd.date_range("2023", periods=300),
                    "shop": f"shop {shop}",
                    "sold": sold,
                    "holiday": holiday,
                    "kind": "ab"[shop % 2],
                }
            )
        )
    task = rt.ForecastTask(
        "sold", 7, 21, time="day", series="shop", known=("holiday",), static=("kind",), season_length=7
    )
    return forecaster(pd.concat(frames), task)


@sound
def quantiles(random):
    """Three quantiles of a series that comes back to its mean."""
    frame = pd.DataFrame({"price": 50 + 4 * walk(random, 1200)}, index=pd.date_range("2020", periods=1200))
    return forecaster(frame, rt.ForecastTask("price", 3, 14), quantiles=(0.1, 0.5, 0.9))


@sound
def solar(random):
    """What a roof gives: nothing at night."""
    t = np.arange(1600)
    power = np.maximum(np.sin(2 * np.pi * (t - 6) / 24), 0) * (3 + walk(random, 1600)) + 0.0
    frame = pd.DataFrame({"power": np.maximum(power, 0)}, index=pd.date_range("2024", periods=1600, freq="h"))
    return forecaster(frame, rt.ForecastTask("power", 6, 24, season_length=24))


# Texts


def zipf_texts(random, count, *, words=400, length=(6, 16)):
    """Return texts of words that are as frequent as in a language, and whether good ones outweigh bad ones."""
    shares = 1 / np.arange(1, words + 1)
    texts, labels = [], []
    for _ in range(count):
        label = random.integers(0, 2)
        codes = random.choice(words, random.integers(*length), p=shares / shares.sum())
        kept = [f"w{code}" for code in codes] + [f"{('bad', 'good')[label]}{random.integers(0, 8)}" for _ in range(2)]
        texts.append(" ".join(random.permutation(kept)))
        labels.append(("bad", "good")[label if random.random() < 0.9 else 1 - label])
    return texts, labels


def text_batches(texts, labels, *, validation, **options):
    """Return vocabulary and batches of the first texts, and of the last."""
    vocabulary = rt.fit_vocabulary(texts[:-validation], **options)
    train = rt.text_batches(
        texts[:-validation], labels[:-validation], vocabulary=vocabulary, batch_size=32, shuffle=True
    )
    rest = rt.text_batches(texts[-validation:], labels[-validation:], vocabulary=vocabulary, classes=train.classes)
    return vocabulary, train, rest


@sound
def few_validation_texts(random):
    """Words as frequent as in a language, and 60 texts to validate on."""
    vocabulary, train, validation = text_batches(*zipf_texts(random, 460), validation=60)
    cells = rt.recurrent_layers("gru", (16,), return_sequences=True)
    return rt.build_text_classifier(vocabulary, train.classes, cells, embedding=16), train, validation


@sound
def linear_start(random):
    """The classifier of README, which begins where a bag of words ends."""
    vocabulary, train, validation = text_batches(*zipf_texts(random, 700), validation=150)
    return rt.build_text_classifier(vocabulary, train.classes, linear=train), train, validation


@sound
def names(random):
    """Short names by their letters, of three languages."""
    endings = (["ov", "in", "ko"], ["ez", "os", "as"], ["son", "ton", "ley"])
    labels = random.integers(0, 3, 900)
    letters = list("abdegiklmnoprstu")
    texts = ["".join(random.choice(letters, random.integers(3, 6))) + random.choice(endings[code]) for code in labels]
    vocabulary, train, validation = text_batches(texts, list(labels), validation=200, unit="character")
    cells = rt.recurrent_layers("gru", (24,), return_sequences=True)
    return rt.build_text_classifier(vocabulary, train.classes, cells, embedding=8), train, validation


@sound
def tagger(random):
    """Mark the few names in sentences of other words."""
    sentences, tags = [], []
    for _ in range(500):
        words = [f"w{code}" for code in random.integers(0, 40, 12)]
        marks = ["O"] * 12
        for place in random.choice(12, random.integers(0, 2), replace=False):
            words[place], marks[place] = f"name{random.integers(0, 10)}", "PER"
        sentences.append(words)
        tags.append(marks)
    vocabulary = rt.fit_vocabulary([" ".join(words) for words in sentences[:400]])
    train = rt.tag_batches(sentences[:400], tags[:400], vocabulary=vocabulary, batch_size=32, shuffle=True)
    validation = rt.tag_batches(sentences[400:], tags[400:], vocabulary=vocabulary, classes=train.classes)
    cells = rt.recurrent_layers("lstm", (12,), bidirectional=True, return_sequences=True)
    return rt.build_tagger(vocabulary, train.classes, cells, embedding=8), train, validation


@sound
def language_model(random):
    """The next character of sentences of a small grammar."""
    subjects, verbs = ["the cat", "the dog", "a bird"], ["sees", "likes", "hears"]
    text = "".join(f"{random.choice(subjects)} {random.choice(verbs)} {random.choice(subjects)}. " for _ in range(800))
    vocabulary = rt.fit_vocabulary([text], unit="character")
    parts = (text[:15_000], text[15_000:])
    train, validation = (rt.language_model_batches(one, vocabulary, batch_size=16, steps=32) for one in parts)
    cells = rt.recurrent_layers("lstm", (32,), return_sequences=True)
    optimizer = rt.make_optimizer(5e-3)
    return rt.build_language_model(vocabulary, cells, batch_size=16, optimizer=optimizer), train, validation


# The command


def alarms(report) -> list[str]:
    """Return what a diagnosis warns of, and which checks an error kept from running."""
    found = report[report["severity"].isin(ALARMS)]
    told = [f"{row.severity} {row.check}: {row.evidence}" for row in found.itertuples()]
    broken = {name: why for name, why in report.attrs["skipped"].items() if "Error" in why}
    return told + [f"not run {name}: {why}" for name, why in broken.items()]


def trained(model, train, validation, *, epochs=120, monitor=True):
    """Train until it no longer improves, and return the history."""
    callbacks = [*rt.default_callbacks(patience=6), *([rt.Monitor()] if monitor else [])]
    return rt.train(model, train, validation, epochs=epochs, callbacks=callbacks, progress=None)


def diagnosed(name, seed, *, before=True, after=True, monitor=True) -> dict:
    """Make a case, diagnose it before and after training, and return alarms and seconds."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model, train, validation = CASES[name](np.random.default_rng([seed, len(name)]))
    row = {"case": name, "seed": seed, "alarms": []}
    if before:
        began = time.perf_counter()
        row["alarms"] += [f"before: {one}" for one in alarms(rt.diagnose(model, train, validation))]
        row["before"] = time.perf_counter() - began
    if after:
        history = trained(model, train, validation, monitor=monitor)
        began = time.perf_counter()
        row["alarms"] += [f"after: {one}" for one in alarms(rt.diagnose(model, train, validation, history=history))]
        row |= {"after": time.perf_counter() - began, "epochs": len(history)}
    return row


def main():
    """Run what is asked for, and print each case with its alarms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="CASE", default=list(CASES))
    parser.add_argument("--before", action="store_true", help="diagnose before training only")
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        for name in options.only:
            row = diagnosed(name, seed, after=not options.before, monitor=seed % 2 == 0)
            rows.append(row)
            times = " ".join(f"{row[one]:.1f} s {one}" for one in ("before", "after") if one in row)
            print(f"{name} {seed}: {'silent' if not row['alarms'] else 'ALARM'} ({times})", flush=True)
            for one in row["alarms"]:
                print(f"    {one}", flush=True)
    silent = np.mean([not row["alarms"] for row in rows])
    print(f"{len(rows)} runs of {len(options.only)} cases: {silent:.1%} without an alarm")
    for when in ("before", "after"):
        seconds = [row[when] for row in rows if when in row]
        if seconds:
            print(f"diagnosis {when} training: {np.median(seconds):.1f} s in the median, {max(seconds):.1f} s at most")


if __name__ == "__main__":
    main()
