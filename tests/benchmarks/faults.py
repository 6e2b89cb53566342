"""Faults put into sound runs: does `rt.diagnose` name them, stay silent where there is none, and does its remedy help?

    python tests/benchmarks/faults.py --seeds 0 1 2 3 4 --mend --healthy 50 --jobs 2 --out faults.csv
    python tests/benchmarks/faults.py --only "dead units" imbalance --seeds 100 101        # to calibrate: from 100 on
    python tests/benchmarks/faults.py --oracle               # without a diagnosis: do faults hurt, and remedies help?

A fault is named if one of the names that `fault_kinds.EXPECTED` gives it is the first or second finding after training
(before training: in brackets). It is mended by the remedy of that finding, or where none is right, by that of the first
one; a run is mended if its loss on rows that no run has seen is at most 10 % above that of the run without the fault.
A false alarm is a warning or an error, before or after training, about a sound run.
"""

import argparse
import ast
import multiprocessing
import os
import time
import warnings

# Read when the backend is imported, below.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import numpy as np
import pandas as pd
from fault_kinds import EXPECTED, FAULTS, MENDS
from fault_tasks import JUDGE, TASKS, guessed, healthy

import rnn_toolkit as rt

ALARMS = ("warning", "error")
TOLERANCE = 1.1


def run(case, *, oracle=False) -> dict:
    """Build, diagnose, train, diagnose, and judge; a row of results."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(case.seed)
    train, validation = case.fed()
    model = case.build(case, train)
    row = {} if oracle else asked("before", model, train, validation)
    began = time.perf_counter()
    with warnings.catch_warnings(action="ignore"):  # `StopOnNaN` says what it found
        options = {
            "epochs": case.epochs,
            "batch_size": case.batch_size,
            "callbacks": case.callbacks(),
            "progress": None,
        }
        history = rt.train(model, train, validation, **options)
    row |= {"train seconds": time.perf_counter() - began, "epochs": history.index[-1]}
    row |= {"claimed": history.val_loss.min(), "judged": judged(model, case)}
    return row if oracle else row | asked("after", model, train, validation, history=history)


def asked(when, *arguments, **options) -> dict:
    """Ask for a diagnosis, and return names, alarms and seconds."""
    began = time.perf_counter()
    try:
        findings = rt.diagnose(*arguments, **options)
        names, alarms = findings["check"].tolist(), findings["check"][findings["severity"].isin(ALARMS)].tolist()
    except Exception as error:  # a diagnosis that fails has named nothing, and the others are still to be run
        names, alarms = [f"{type(error).__name__}: {error}"], []
    return {when: names, f"alarms {when}": alarms, f"{when} seconds": time.perf_counter() - began}


def judged(model, case) -> float:
    """Return the loss on the rows that no run has seen, in the terms of the sound run whatever the model's own are."""
    data = case.feed(case, JUDGE)
    if not isinstance(data, tuple):
        loss = model.evaluate(data, verbose=0, return_dict=True)["loss"]
        return loss if np.isfinite(loss) else np.inf
    x, y = data
    predicted = model.predict(x, verbose=0, batch_size=256).astype("float64")
    if not np.isfinite(predicted).all():
        return np.inf
    if case.kind == "regression":
        return float(np.mean((predicted - y) ** 2))
    if predicted.shape[-1] == 1:
        predicted = np.concatenate([1 - predicted, predicted], axis=-1)
    shares = np.maximum(predicted, 1e-7)
    shares /= shares.sum(-1, keepdims=True)
    return float(-np.log(np.take_along_axis(shares, y[..., None].astype(int), -1)).mean())


def faults_of(task, seed, *, only, oracle, mend) -> list[dict]:
    """Run a task as it should be, and with each of its faults."""
    rows, references = [], {}
    for fault in FAULTS:
        if task not in fault.tasks or (only and fault.name not in only):
            continue
        sound = TASKS[task](seed)
        if fault.setting is not None:
            fault.setting(sound)
        if fault.setting not in references:
            references[fault.setting] = run(sound.copy(), oracle=True)
        reference = references[fault.setting]
        case = sound.copy()
        fault.inject(case, np.random.default_rng([seed, len(fault.name)]))
        row = {"fault": fault.name, "task": task, "seed": seed, "sound": reference["judged"]}
        row |= {"sound claimed": reference["claimed"]} | run(case, oracle=oracle)
        expected = EXPECTED[fault.name]
        said = [expected[0]] if oracle else row["after"][:2]
        right = [name for name in said if name in expected]
        row |= {"named": bool(right), "named before": not oracle and bool(set(row["before"][:2]) & set(expected))}
        remedy = next((name for name in [*right, *said] if name in MENDS), None)
        if mend and remedy is not None:
            mended = case.copy()
            mended.sound = sound.data
            try:
                MENDS[remedy](mended)
                row["mended judged"] = run(mended, oracle=True)["judged"]
            except Exception as error:  # a remedy for something else may not fit this case
                row["mended error"] = f"{type(error).__name__}: {error}"
        if mend:
            row |= {"remedy": remedy, "mended": row.get("mended judged", np.inf) <= TOLERANCE * reference["judged"]}
        rows.append(row)
    return rows


def sound_of(number, *, oracle) -> list[dict]:
    """Run one of the healthy cases."""
    case = healthy(number)
    network = {name: getattr(case.network, name) for name in ("cell", "units", "bidirectional", "dropout")}
    row = {"fault": "none", "task": case.task, "seed": number, "guessed": guessed(case)}
    return [row | network | run(case, oracle=oracle)]


def _work(job) -> list[dict]:
    work, arguments, options = job
    return work(*arguments, **options)


def hurts(table) -> pd.Series:
    """Say where the loss is more than 10 % above the sound run's, or validation tells 10 % more or less of it."""
    told = (table["claimed"] / table["judged"]) / (table["sound claimed"] / table["sound"])
    return (table["judged"] > TOLERANCE * table["sound"]) | ~told.between(1 / TOLERANCE, TOLERANCE)


def ran(options) -> list[dict]:
    """Run what is asked for; a row for each run."""
    wanted = {task for fault in FAULTS for task in fault.tasks if not options.only or fault.name in options.only}
    chosen = {"only": options.only, "oracle": options.oracle, "mend": options.mend or options.oracle}
    jobs = [(faults_of, (task, seed), chosen) for task in options.tasks if task in wanted for seed in options.seeds]
    numbers = range(options.healthy_from, options.healthy_from + options.healthy)
    jobs += [(sound_of, (number,), {"oracle": options.oracle}) for number in numbers]
    rows = []
    # A new process now and then, as graphs pile up in one. Not `ProcessPoolExecutor`, which hangs when it renews them.
    with multiprocessing.get_context("spawn").Pool(options.jobs, maxtasksperchild=4) as pool:
        for found in pool.imap_unordered(_work, jobs):
            rows += found
            if options.out:
                pd.DataFrame(rows).to_csv(options.out, index=False)
    return rows


def read(path) -> pd.DataFrame:
    """Read what an earlier call wrote."""
    lists = dict.fromkeys(("before", "after", "alarms before", "alarms after"), ast.literal_eval)
    return pd.read_csv(path, converters=lists)


def main():
    """Run what is asked for, and print it by fault and task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--only", nargs="+", choices=EXPECTED, metavar="FAULT")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--healthy", type=int, default=0, help="sound runs")
    parser.add_argument(
        "--healthy-from", type=int, default=0, help="number of the first one; to calibrate, from 100 on"
    )
    parser.add_argument("--mend", action="store_true", help="apply the remedies and train again")
    parser.add_argument("--oracle", action="store_true", help="ask for no diagnosis, and mend what was done")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", help="path of a CSV file for every run")
    parser.add_argument("--read", nargs="+", metavar="CSV", help="run nothing, and show what earlier calls wrote")
    options = parser.parse_args()

    began = time.perf_counter()
    table = pd.DataFrame(ran(options)) if not options.read else pd.concat([read(path) for path in options.read])
    pd.set_option("display.width", 200, "display.max_columns", 30, "display.max_rows", 200, "display.max_colwidth", 60)
    show_faults(table[table["fault"] != "none"].astype({"named": bool}), options)
    show_healthy(table[table["fault"] == "none"], options)
    for when in () if options.oracle else ("before", "after"):
        seconds = table[f"{when} seconds"]
        print(f"diagnosis {when} training: {seconds.median():.1f} s in the median, {seconds.max():.1f} s at most")
    print(f"{keras.backend.backend()}, {len(table)} runs in {(time.perf_counter() - began) / 60:.0f} min")


def show_faults(table, options):
    """Print a row for each fault and task, and the shares of all."""
    if table.empty:
        return
    table = table.assign(hurts=hurts(table), ratio=table["judged"] / table["sound"])
    named = ["named", "named before"] if not options.oracle else []
    mended = ["mended"] if "mended" in table else []
    groups = table.groupby(["fault", "task"], sort=False)
    shown = groups[[*named, "hurts", *mended]].sum().join(groups[["sound", "ratio"]].median().round(3))
    if mended:
        shown["mended ratio"] = (
            (table["mended judged"] / table["sound"]).groupby([table["fault"], table["task"]]).median()
        )
    if named:
        shown["said instead"] = groups.apply(instead, include_groups=False)
    print(shown.sort_index().round(3).to_string())
    print(f"of {len(table)} runs: " + ", ".join(f"{table[one].mean():.1%} {one}" for one in [*named, "hurts", *mended]))
    by_fault = groups[[*named, *mended]].mean().groupby("fault").mean()
    print(f"mean of {len(by_fault)} faults: " + ", ".join(f"{by_fault[one].mean():.1%} {one}" for one in by_fault))


def instead(group) -> str:
    """Count what was said first where the fault was not named."""
    counts = group.loc[~group["named"], "after"].map(lambda names: names[0] if names else "nothing").value_counts()
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def show_healthy(table, options):
    """Print what was alarmed about sound runs."""
    if table.empty:
        return
    share = (table["judged"] / table["guessed"]).groupby(table["task"]).max()
    print("sound runs, largest loss in terms of the best constant's:", share.round(2).to_dict())
    if options.oracle:
        return
    table = table.assign(
        alarms=[
            sorted({*before, *after})
            for before, after in zip(table["alarms before"], table["alarms after"], strict=True)
        ]
    )
    alarmed = table[table["alarms"].map(bool)]
    print(f"false alarms: {len(alarmed)} of {len(table)} sound runs")
    print(alarmed[["task", "seed", "cell", "units", "judged", "alarms"]].to_string() if len(alarmed) else "")


if __name__ == "__main__":
    main()
