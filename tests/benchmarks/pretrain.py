"""Teach a recurrent forecaster on synthetic series alone.

    python tests/benchmarks/pretrain.py train --run-dir runs/pretrained --epochs 60    (goes on when killed)
    python tests/benchmarks/pretrain.py judge runs/pretrained/best.keras               (M1, by frequency)
"""

import argparse
import time

import keras
import numpy as np
from synthetic_series import synthetic_series

import rnn_toolkit as rt
from rnn_toolkit.tables.losses import ScaledPinball
from rnn_toolkit.tables.pretrained import series_network

QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
LENGTHS = (48, 128)  # of the history; a batch holds one of them
FARTHEST = 48  # steps ahead
ORIGINS, STEPS = 6, 12  # that a series is asked about
LARGEST_WEIGHT = 20.0


class SyntheticSeries(keras.utils.PyDataset):
    """Batches of synthetic series, each a function of seed, epoch and place.

    Args:
        seed: Seed of all.
        batches: Batches in an epoch.
        batch_size: Series in a batch.
        fixed: Whether every epoch is the first.
    """

    def __init__(self, *, seed, batches, batch_size, fixed=False):
        super().__init__()
        self.seed, self.batches, self.batch_size, self.fixed = seed, batches, batch_size, fixed
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = 0 if self.fixed else epoch

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        generator = np.random.default_rng([self.seed, self.epoch, index])
        length = LENGTHS[0] if index % 3 == 0 else LENGTHS[1]
        return questions(*synthetic_series(self.batch_size, length + FARTHEST, generator), length, generator)


def questions(values, season, length, generator):
    """Cut a history out of each series, and ask about some steps behind some of its values.

    Returns:
        `(x, y, weight)` as the network takes them, with y `(batch, origins, steps)`.
    """
    count = len(values)
    first = generator.integers(0, length - 6, count) * (generator.random(count) < 0.6)
    first = np.where(season == 1, np.maximum(first, length - generator.integers(8, 60, count)), first)
    first = np.clip(first, 0, length - 6)
    known = ~np.isnan(values)
    known[:, :length] &= np.arange(length) >= first[:, None]
    known[:, first[0]] |= False
    # Origins where something is known, more often late in the history.
    share = generator.random((count, ORIGINS)) ** 0.7
    origin = (first[:, None] + 3 + share * (length - first[:, None] - 3)).astype("int32").clip(0, length - 1)
    origin[:, 0] = length - 1
    reach = np.minimum(FARTHEST, np.maximum(8, 3 * season))[:, None, None]
    steps = 1 + (generator.random((count, ORIGINS, STEPS)) * reach).astype("int32")
    place = origin[..., None] + steps
    y = np.take_along_axis(values[:, None].repeat(ORIGINS, axis=1), place, axis=2)
    history, there = filled(np.where(known, values, np.nan)[:, :length])
    center = history[:, -1:]
    size = typical_size(values, season)[:, None]
    weight = np.isfinite(y) & (np.take_along_axis(np.cumsum(there, axis=1), origin, axis=1) >= 3)[..., None]
    x = {
        "history": ((history - center) / size).astype("float32"),
        "there": there.astype("float32"),
        "season": season[:, None].astype("int32"),
        "origin": origin,
        "steps": steps,
    }
    y = np.nan_to_num((y - center[..., None]) / size[..., None]).clip(-200, 200)
    return x, y.astype("float32"), weight.astype("float32")


def filled(values):
    """Return values with missing ones as the last one seen, those before the first as the first, and where they were."""
    there = ~np.isnan(values)
    last = np.maximum.accumulate(np.where(there, np.arange(values.shape[1]), -1), axis=1)
    last = np.where(last < 0, np.argmax(there, axis=1)[:, None], last)
    return np.nan_to_num(np.take_along_axis(values, last, axis=1)), there


def typical_size(values, season):
    """Return the mean absolute seasonal difference of each series, which is what MASE divides by."""
    place = np.arange(values.shape[1]) - season[:, None]
    before = np.where(place >= 0, np.take_along_axis(values, place.clip(0), axis=1), np.nan)
    with np.errstate(invalid="ignore"):
        seasonal = np.nanmean(np.abs(values - before), axis=1)
        stepwise = np.nanmean(np.abs(np.diff(values, axis=1)), axis=1)
        deviation = np.nanstd(values, axis=1)
    size = np.maximum(np.nan_to_num(seasonal), 0.1 * np.nan_to_num(stepwise))
    return np.maximum(size, 0.01 * np.nan_to_num(deviation)) + 1e-9


def train(options):
    keras.utils.set_random_seed(options.seed)
    data = SyntheticSeries(seed=options.seed, batches=options.batches, batch_size=options.batch_size)
    held_out = SyntheticSeries(seed=10**6, batches=12, batch_size=256, fixed=True)
    model = series_network(units=options.units, layers=options.layers, head=options.head, quantiles=QUANTILES)
    steps = options.epochs * options.batches
    schedule = keras.optimizers.schedules.CosineDecay(
        options.rate / 20, steps, warmup_target=options.rate, warmup_steps=min(500, steps // 10)
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-4, global_clipnorm=1.0)
    model.compile(optimizer, loss=ScaledPinball(QUANTILES))
    callbacks = [rt.callbacks.BestModel("val_loss")]
    history = rt.train(
        model, data, held_out, epochs=options.epochs, run_dir=options.run_dir, callbacks=callbacks, progress=None
    )
    print(history.tail(5).to_string())


def judge(options):
    model = keras.saving.load_model(options.model)
    table = rt.datasets.cache_dir() / "m1" / "M1.csv.gz"
    import pandas as pd

    frame = pd.read_csv(table)
    for period, horizon, season in (("MONTHLY", 18, 12), ("QUARTERLY", 8, 4), ("YEARLY", 6, 1)):
        rows = frame[frame["period"] == period]
        start, errors = time.perf_counter(), []
        known = [one["value"].to_numpy() for _, one in rows[rows.part == "train"].groupby("series", sort=False)]
        truth = [one["value"].to_numpy() for _, one in rows[rows.part == "test"].groupby("series", sort=False)]
        forecasts = answers(model, known, season, horizon)
        inside = []
        for past, future, forecast in zip(known, truth, forecasts, strict=True):
            scale = np.mean(np.abs(past[season:] - past[:-season]))
            errors.append(np.mean(np.abs(forecast[: len(future), len(QUANTILES) // 2] - future)) / scale)
            inside.append(np.mean((forecast[: len(future), 2] <= future) & (future <= forecast[: len(future), 6])))
        seconds = time.perf_counter() - start
        print(f"{period:<10} MASE {np.mean(errors):.3f}  80 % intervals hold {np.mean(inside):.3f}  {seconds:.0f} s")


def answers(model, known, season, horizon, longest=128):
    """Return quantiles `(series, horizon, quantiles)` of what follows each history."""
    wide = np.full((len(known), longest), np.nan)
    for row, values in enumerate(known):
        wide[row, -min(len(values), longest) :] = values[-longest:]
    history, there = filled(wide)
    center, size = history[:, -1:], typical_size(wide, np.full(len(known), season))[:, None]
    x = {
        "history": ((history - center) / size).astype("float32"),
        "there": there.astype("float32"),
        "season": np.full((len(known), 1), season, "int32"),
        "origin": np.full((len(known), 1), longest - 1, "int32"),
        "steps": np.broadcast_to(np.arange(1, horizon + 1, dtype="int32"), (len(known), 1, horizon)),
    }
    quantiles = model.predict(x, batch_size=256, verbose=0)[:, 0]
    return quantiles * size[..., None] + center[..., None]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train")
    one.add_argument("--run-dir", required=True)
    one.add_argument("--epochs", type=int, default=60)
    one.add_argument("--batches", type=int, default=200)
    one.add_argument("--batch-size", type=int, default=128)
    one.add_argument("--units", type=int, default=128)
    one.add_argument("--layers", type=int, default=2)
    one.add_argument("--head", type=int, default=128)
    one.add_argument("--rate", type=float, default=2e-3)
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(run=train)
    two = commands.add_parser("judge")
    two.add_argument("model")
    two.set_defaults(run=judge)
    options = parser.parse_args()
    options.run(options)
