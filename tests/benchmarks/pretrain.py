"""Teach a recurrent forecaster on synthetic series alone, and judge it on real ones.

KERAS_BACKEND=jax python tests/benchmarks/pretrain.py train --run-dir runs/pretrained    (goes on when killed)
python tests/benchmarks/pretrain.py ship runs/pretrained       (its best weights become those of the package)
python tests/benchmarks/pretrain.py judge                      (zero-shot on M1, by frequency)
python tests/benchmarks/pretrain.py judge --classical          (beside AutoETS and AutoTheta of statsforecast)
"""

import argparse
import time

import keras
import numpy as np
import pandas as pd
from synthetic_series import synthetic_series

import rnn_toolkit as rt
from rnn_toolkit.tables.losses import ScaledPinball
from rnn_toolkit.tables.pretrained import FILE, QUANTILES
from rnn_toolkit.tables.series_network import series_network

LENGTHS = ((40, 24), (80, 40), (160, 64))  # of the history, and of what follows; a batch holds one of them
BUCKETS = (0, 1, 0, 1, 2)  # in turn
ORIGINS, STEPS = 8, 10  # that a series is asked about


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
        self.set_epoch(0)

    def set_epoch(self, epoch):
        self.epoch = 0 if self.fixed else epoch

    def on_epoch_end(self):
        self.set_epoch(self.epoch + 1)

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        generator = np.random.default_rng([self.seed, self.epoch, index])
        length, following = LENGTHS[BUCKETS[index % len(BUCKETS)]]
        return questions(*synthetic_series(self.batch_size, length + following, generator), length, generator)


def questions(values, season, length, generator):
    """Cut a history out of each series, and ask about some steps behind some of its values.

    Returns:
        `(x, y, weight)` as the network takes them, with y `(batch, origins, steps)`.
    """
    count, following = len(values), values.shape[1] - length
    first = generator.integers(0, length - 4, count) * (generator.random(count) < 0.5)
    known = ~np.isnan(values)
    known[:, :length] &= np.arange(length) >= first[:, None]
    share = generator.random((count, ORIGINS)) ** 0.8
    origin = (first[:, None] + 1 + share * (length - first[:, None] - 1)).astype("int32").clip(0, length - 1)
    origin[:, 0] = length - 1
    reach = np.minimum(following, np.maximum(24, 3 * season))[:, None, None]
    steps = 1 + (generator.random((count, ORIGINS, STEPS)) ** 1.7 * reach).astype("int32")
    y = np.take_along_axis(values[:, None].repeat(ORIGINS, axis=1), origin[..., None] + steps, axis=2)
    history, there = filled(np.where(known, values, np.nan)[:, :length])
    center = history[:, -1:]
    size = typical_size(values, season)[:, None]
    weight = np.isfinite(y) & (np.take_along_axis(np.cumsum(there, axis=1), origin, axis=1) >= 1)[..., None]
    x = {
        "history": ((history - center) / size).astype("float32"),
        "there": there.astype("float32"),
        "season": season[:, None].astype("int32"),
        "origin": origin,
        "steps": steps,
    }
    y = (np.nan_to_num(y - center[..., None]) / size[..., None]).clip(-200, 200)
    return x, y.astype("float32"), weight.astype("float32")


def filled(values):
    """Return values, missing ones as the last one seen, those before the first as the first; and where they were."""
    there = ~np.isnan(values)
    last = np.maximum.accumulate(np.where(there, np.arange(values.shape[1]), -1), axis=1)
    last = np.where(last < 0, np.argmax(there, axis=1)[:, None], last)
    return np.nan_to_num(np.take_along_axis(values, last, axis=1)), there


def typical_size(values, season):
    """Return the mean absolute seasonal difference of each series, which is what MASE divides by."""
    place = np.arange(values.shape[1]) - season[:, None]
    before = np.where(place >= 0, np.take_along_axis(values, place.clip(0), axis=1), np.nan)

    def mean(differences):
        there = np.isfinite(differences)
        return np.where(there, np.abs(differences), 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)

    seasonal, stepwise = mean(values - before), mean(np.diff(values, axis=1))
    return np.maximum(np.maximum(seasonal, 0.1 * stepwise), 1e-9)


def train(options):
    keras.utils.set_random_seed(options.seed)
    data = SyntheticSeries(seed=options.seed, batches=options.batches, batch_size=options.batch_size)
    held_out = SyntheticSeries(seed=10**6, batches=10, batch_size=128, fixed=True)
    model = series_network(QUANTILES, units=options.units, layers=options.layers, head=options.head)
    steps = options.epochs * options.batches
    schedule = keras.optimizers.schedules.CosineDecay(
        options.rate / 20, steps - 100, warmup_target=options.rate, warmup_steps=100
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-4, global_clipnorm=1.0)
    model.compile(optimizer, loss=ScaledPinball(QUANTILES))
    start = time.time()
    callbacks = [rt.callbacks.BestModel("val_loss")]
    history = rt.train(
        model, data, held_out, epochs=options.epochs, run_dir=options.run_dir, callbacks=callbacks, progress=None
    )
    print(history.tail(40).to_string(), f"{time.time() - start:.0f} s")


def ship(options):
    keras.saving.load_model(f"{options.run_dir}/best.keras", compile=False).save(FILE)  # without the optimizer's state
    print(f"{FILE}: {FILE.stat().st_size / 1e6:.2f} MB")


def judge(options):
    model = keras.saving.load_model(options.model) if options.model else rt.load_forecaster()
    table = pd.read_csv(rt.datasets.cache_dir() / "m1" / "M1.csv.gz")
    for period, *rest in (("MONTHLY", "M", 18, 12), ("QUARTERLY", "Q", 8, 4), ("YEARLY", "Y", 6, 1)):
        rows = table[table["period"] == period]
        judge_frequency(model, rows, *rest, options.classical)


def judge_frequency(model, rows, frequency, horizon, season, is_classical):
    """Print the errors on series of one frequency."""
    # The series have no dates; their frequency is what the forecaster needs to know.
    steps = pd.period_range("1900", periods=rows["step"].max() + 1, freq=frequency).to_timestamp()
    frame = rows[["series", "value", "part"]].assign(time=steps[rows["step"]])
    is_known = frame.pop("part") == "train"
    known, truth = frame[is_known], frame[~is_known].set_index(["series", "time"])["value"]
    by_series = known.groupby("series", sort=False)["value"]
    scale = by_series.agg(lambda one: one.diff(season).abs().mean())
    start = time.perf_counter()
    ours = rt.forecast(model, known, horizon=horizon, level=[80, 90]).set_index(["series", "time"])
    forecasters = {"pretrained": (ours["value"], time.perf_counter() - start)}
    repeated = [np.resize(one[-season:], horizon) for _, one in by_series]
    forecasters["seasonal naive"] = pd.Series(np.concatenate(repeated), ours.index), 0.0
    if is_classical:
        forecasters |= classical(known, frequency, horizon, season)
    for name, (forecast, seconds) in forecasters.items():
        error = (forecast.loc[truth.index] - truth).abs()
        smape = (200 * error / (forecast.loc[truth.index].abs() + truth.abs())).mean()
        mase = error.div(scale, level=0).groupby("series").mean().mean()
        print(f"{name:<15} {frequency}  MASE {mase:.3f}  sMAPE {smape:5.2f}  {seconds:.1f} s for {len(scale)} series")
    for level in (80, 90):
        inside = truth.between(*(ours.loc[truth.index, f"value-{side}-{level}"] for side in ("lo", "hi"))).mean()
        print(f"{'':<15} {frequency}  {level} % intervals hold {inside:.3f}")


def classical(known, frequency, horizon, season):
    """Return the forecasts of statsforecast, a kept library of what statistics does, and its seconds."""
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS, AutoTheta

    known, found = known.rename(columns={"series": "unique_id", "time": "ds", "value": "y"}), {}
    for model in (AutoETS(season_length=season), AutoTheta(season_length=season)):
        start = time.perf_counter()
        offset = {"M": "MS", "Q": "QS", "Y": "YS"}[frequency]
        forecast = StatsForecast(models=[model], freq=offset).forecast(df=known, h=horizon)
        forecast = forecast.rename(columns={"unique_id": "series", "ds": "time"}).set_index(["series", "time"])
        found[str(model)] = forecast.iloc[:, 0], time.perf_counter() - start
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train")
    one.add_argument("--run-dir", required=True)
    one.add_argument("--epochs", type=int, default=30)
    one.add_argument("--batches", type=int, default=100)
    one.add_argument("--batch-size", type=int, default=128)
    one.add_argument("--units", type=int, default=96)
    one.add_argument("--layers", type=int, default=2)
    one.add_argument("--head", type=int, default=128)
    one.add_argument("--rate", type=float, default=3e-3)
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(run=train)
    two = commands.add_parser("ship")
    two.add_argument("run_dir")
    two.set_defaults(run=ship)
    three = commands.add_parser("judge")
    three.add_argument("--model")
    three.add_argument("--classical", action="store_true")
    three.set_defaults(run=judge)
    options = parser.parse_args()
    options.run(options)
