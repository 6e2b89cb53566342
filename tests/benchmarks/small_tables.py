"""Tables as people have them, 50 to 4,000 rows, with defaults only: MASE and sMAPE beside what needs no network.

    python tests/benchmarks/small_tables.py                   # all tables, and M1 by frequency
    python tests/benchmarks/small_tables.py --only nile airline --seed 1
    python tests/benchmarks/small_tables.py --choose          # without the last 15 % (M1: without its test part)
    python tests/benchmarks/small_tables.py --each 25         # that many series of each M1, each alone, start only
    python tests/benchmarks/small_tables.py --each 999 --folder DIR     # likewise those of a folder

A row says the error of the last 15 % of a table over that of the best of naive, seasonal naive, drift and NLinear, for
the start (no training), and for the default (after `rt.train`). With `--classical` also for AutoETS and AutoTheta,
which need statsforecast; then for ten cutoffs, as they are fitted anew at each. M1 is one table of many series for each
of its frequencies, one forecast a series, as in the competition. `--choose` is for choosing options, and so is
`--each`, as M1 is for development. A folder holds files of one column, whose names end in the rows of a year:
`gas_12.csv`, and `_4` and `_1` likewise. No real data are in this project: the tables are the bundled ones
(data/README.md), those of the downloads' cache, and the public ones of statsmodels.
"""

import argparse
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import rnn_toolkit as rt
from rnn_toolkit.datasets.downloads import cache_dir

CUTOFFS = 10  # at which AutoETS and AutoTheta are asked
M1 = {"yearly": ("YS", 6, 1), "quarterly": ("QS", 8, 4), "monthly": ("MS", 18, 12)}  # frequency, horizon, season


def tables() -> dict[str, tuple[pd.DataFrame, int]]:
    """Return table and horizon by name; the first column is the target."""
    from statsmodels import datasets
    from statsmodels.datasets import elec_equip

    weather = rt.datasets.load_weather()
    airport = weather[weather.airport == weather.airport.iloc[0]].drop_duplicates("time").set_index("time")
    found = {
        "airline": (rt.datasets.load_airline_passengers(), 12),
        "carbon dioxide": (rt.datasets.load_co2(), 52),
        "sunspots": (rt.datasets.load_sunspots(), 24),
        "weather, three-hourly": (airport[["temperature"]].resample("3h").first().iloc[:3_000], 24),
        "oil temperature": (rt.datasets.load_etth1()[["OT"]].iloc[:1_500], 24),
        "air quality, daily": (rt.datasets.load_beijing_pm25()[["pm25"]].resample("D").mean(), 14),
        "electrical equipment": (elec_equip.load_pandas().data.set_axis(_axis("1995-01", 257, "MS")), 12),
        "nile": (datasets.nile.load_pandas().data[["volume"]].set_axis(_axis("1871", 100, "YS")), 5),
        "sunspots, yearly": (
            datasets.sunspots.load_pandas().data[["SUNACTIVITY"]].set_axis(_axis("1700", 309, "YS")),
            10,
        ),
    }
    macro = datasets.macrodata.load_pandas().data.set_axis(_axis("1959", 203, "QS"))
    found |= {name: (macro[[name]], 8) for name in ("realgdp", "unemp", "infl", "tbilrate")}
    sea = datasets.elnino.load_pandas().data.iloc[:, 1:].to_numpy().ravel()
    found["sea temperature"] = pd.DataFrame({"degrees": sea}, index=_axis("1950-01", len(sea), "MS")).dropna(), 12
    return found


def m1(period: str) -> pd.DataFrame:
    """Return the series of one frequency of the first M competition, each on an axis of its own length."""
    frame = pd.read_csv(cache_dir() / "m1" / "M1.csv.gz")
    return frame[frame.period == period.upper()]


def _axis(first, rows, frequency) -> pd.DatetimeIndex:
    return pd.date_range(first, periods=rows, freq=frequency, unit="s")


def classical(backtest: pd.DataFrame, frame: pd.DataFrame, season_length: int, names=("AutoETS", "AutoTheta")):
    """Put AutoETS and AutoTheta beside a backtest, fitted anew to all rows up to each cutoff."""
    from statsforecast import models

    for name in names:
        made = []
        for (series, cutoff), rows in backtest.groupby(["series", "cutoff"], observed=True, sort=False):
            past = frame[(frame.series == series) & (frame.time <= cutoff)].value.ffill().dropna().to_numpy(float)
            model = getattr(models, name)(season_length=season_length)
            made.append(model.forecast(y=past, h=len(rows))["mean"])
        backtest[name] = np.concatenate(made)
    return backtest


def measure(frame: pd.DataFrame, task: rt.ForecastTask, *, seed: int, with_classical: bool, **split) -> pd.DataFrame:
    """Return MASE and sMAPE of a start, what training makes of it, and every baseline, with seconds."""
    keras.utils.set_random_seed(seed)
    train, validation, test = rt.split_by_time(frame, task, **split)
    began = time.perf_counter()
    model = rt.build_forecaster(train)
    built = time.perf_counter() - began
    start = rt.backtest(model, test, baselines=()).predicted
    began = time.perf_counter()
    history = rt.train(model, train, validation, progress=None)
    trained = time.perf_counter() - began
    backtest = rt.backtest(model, test).assign(start=start)
    if with_classical:
        cutoffs = backtest.cutoff.unique()
        some = cutoffs[np.unique(np.linspace(0, len(cutoffs) - 1, CUTOFFS).astype(int))]
        backtest = backtest[backtest.cutoff.isin(some)]
        long = frame.rename_axis("time").reset_index() if task.series is None else frame
        if task.series is None:
            long = long.set_axis(["time", "value"], axis=1).assign(series=backtest.series.iloc[0])
        backtest = classical(backtest.copy(), long, train.task.season_length or 1)
    scores = rt.score(backtest)[["MASE", "sMAPE"]]
    scores.attrs = {"built": built, "trained": trained, "best epoch": int(history.val_loss.idxmin())}
    return scores


def each(period: str, folder: str | None) -> dict[str, np.ndarray]:
    """Return the series of one frequency by name."""
    if folder is None:
        return {name: one.to_numpy() for name, one in m1(period).groupby("series", sort=False).value}
    files = sorted(Path(folder).glob(f"*_{M1[period][2]}.csv"))
    return {file.stem: pd.read_csv(file).iloc[:, 0].dropna().to_numpy(float) for file in files}


def alone(period: str, number: int, folder: str | None, *, with_classical: bool) -> pd.DataFrame:
    """Return the MASE of the start, and beside it, on series that are a table each; scaled as in pretrain.py."""
    frequency, horizon, season = M1[period]
    series, rows = each(period, folder), {}
    for name in pd.Series(list(series)).sample(min(number, len(series)), random_state=1):
        values = series[name]
        one = pd.DataFrame({"value": values}, index=_axis("1900", len(values), frequency))
        try:
            train, _, test = rt.split_by_time(one, rt.ForecastTask("value", horizon), validation=horizon, test=horizon)
        except ValueError:  # too short for a window
            continue
        found = rt.backtest(rt.build_forecaster(train), test, baselines=("naive",))
        found = found[["series", "cutoff", "actual", "predicted", "naive"]].copy()
        found["pretrained"] = rt.backtest(rt.load_forecaster(train), test, baselines=()).predicted
        if with_classical:
            found = classical(
                found, pd.DataFrame({"series": found.series.iloc[0], "time": one.index, "value": values}), season
            )
        found = found.drop(columns=["series", "cutoff"])
        error = found.drop(columns="actual").sub(found.actual, axis=0).abs().mean()
        rows[name] = error / one.value[:-horizon].diff(season).abs().mean()
    return pd.DataFrame(rows).T


def main():
    """Measure every table, and print a row each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--classical", action="store_true")
    parser.add_argument("--each", type=int)
    parser.add_argument("--folder")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.each:
        for period in M1:
            table = alone(period, options.each, options.folder, with_classical=options.classical)
            print(f"{period}, {len(table)} series alone: {table.mean().round(3).to_dict()}", flush=True)
            over_naive = np.exp(np.log(table.div(table.naive, axis=0)).mean())
            print(f"over the last value, geometric mean: {over_naive.round(3).to_dict()}", flush=True)
        return
    jobs = {
        name: (
            (frame.iloc[: -int(0.15 * len(frame))] if options.choose else frame),
            rt.ForecastTask(frame.columns[0], h),
            {},
        )
        for name, (frame, h) in tables().items()
    }
    for period, (frequency, horizon, season) in M1.items():
        frame = m1(period)
        if options.choose:
            frame = frame[frame.part == "train"]
        task = rt.ForecastTask("value", horizon, time="time", series="series", season_length=season)
        frame = frame.assign(time=_axis("1900", frame.step.max() + 1, frequency)[frame.step])
        jobs[f"M1 {period}"] = frame, task, {"validation": horizon, "test": horizon, "short": "pad"}
    ratios = {}
    for name, (frame, task, split) in jobs.items():
        if options.only and name not in options.only:
            continue
        scores = measure(frame, task, seed=options.seed, with_classical=options.classical, **split)
        best = scores.loc[scores.index.intersection(["naive", "seasonal_naive", "drift", "nlinear"])].min()
        ratios[name] = (scores / best).MASE
        rows = f"{len(frame):6,} rows  best baseline MASE {best.MASE:6.3f}  "
        found = "  ".join(f"{one} {value:.3f}" for one, value in ratios[name].items())
        print(f"{name:24}{rows}{found}  {scores.attrs}", flush=True)
    table = pd.DataFrame(ratios).T.filter(regex="^(?!M1 )", axis=0)
    print(np.exp(np.log(table).mean()).rename("geometric mean").round(3).to_string())
    print(table.max().rename("worst").round(3).to_string())


if __name__ == "__main__":
    main()
