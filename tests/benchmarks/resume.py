"""Going on after a kill, a damaged snapshot and a full disk, and what that readiness costs.

    python tests/benchmarks/resume.py kill --trials 200 --seed 0
    python tests/benchmarks/resume.py damage --trials 100 --seed 0
    python tests/benchmarks/resume.py disk
    python tests/benchmarks/resume.py cost

POSIX only: the first forks and kills, the third sets limits and, as root on Linux, mounts.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
import traceback
import warnings
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it when it is imported, below

import keras
import numpy as np
import pandas as pd

if keras.backend.backend() == "tensorflow":
    import tensorflow
elif keras.backend.backend() == "torch":
    import torch

import rnn_toolkit as rt
from rnn_toolkit.training.callbacks import AveragedWeights, BestModel, EarlyStopping, ReduceLROnPlateau
from rnn_toolkit.training.runs import Run
from rnn_toolkit.training.snapshots import Snapshots, random_state
from rnn_toolkit.training.train import load_history

EPOCHS, STEPS, BATCH = 8, 5, 8


def build(*, seed=0, schedule=True) -> keras.Model:
    """Return a small model with everything in it that has a state, compiled."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":  # its generator is the one that Keras does not seed
        tensorflow.random.get_global_generator().reset_from_seed(seed)
    layers = rt.recurrent_layers("lstm", (8, 8), dropout=0.2, recurrent_dropout=0.2)
    model = keras.Sequential([keras.Input((10, 3)), *layers, keras.layers.Dense(1)])
    rate = keras.optimizers.schedules.CosineDecay(0.02, 2 * EPOCHS * STEPS) if schedule else 0.02
    model.compile(keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.8), "mse", metrics=["mae"])
    return model


class Draws(keras.callbacks.Callback):
    """Draw from every global random generator in each step, as an augmentation of the data might."""

    def on_train_batch_begin(self, batch, logs=None):
        random.random()
        np.random.random()
        keras.random.uniform(())
        if keras.backend.backend() == "tensorflow":
            tensorflow.random.get_global_generator().uniform(())
        elif keras.backend.backend() == "torch":
            torch.rand(())


def optimize_graphs(wanted: bool) -> None:
    """Let TensorFlow optimize its graphs, or not: one that runs 40 times takes longer to optimize than to run."""
    if keras.backend.backend() == "tensorflow":
        tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": not wanted})


def renew(model, *, seed=0) -> None:
    """Make a model without a schedule as new, which is faster than compiling a new one."""
    new = build(seed=seed, schedule=False)
    new.optimizer.build(new.trainable_variables)
    for variable, value in zip(_state(model), _state(new), strict=True):
        variable.assign(value)


def _state(model):
    return [*model.weights, *model.optimizer.variables, *(one for one in model.variables if "seed" in one.path)]


def fit(model, run_dir, *, snapshot_steps=1, extra=()) -> pd.DataFrame:
    """Train for 40 steps at most on 40 rows, with every callback that has a state."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(STEPS * BATCH, 10, 3)).astype("float32")
    y = generator.normal(size=(STEPS * BATCH, 1)).astype("float32")  # noise, so that validation soon gets worse
    watching = [AveragedWeights(), ReduceLROnPlateau(patience=1), EarlyStopping(patience=3), BestModel(), Draws()]
    return rt.train(
        model,
        (x, y),
        (x[::-2] + 1, y[::-2]),
        epochs=EPOCHS,
        batch_size=BATCH,
        run_dir=run_dir,
        callbacks=[*watching, *extra],
        snapshot_steps=snapshot_steps,
        progress=None,
    )


def outcome(model, history, run_dir=None) -> dict[str, np.ndarray]:
    """Return all that a training leaves behind, by name."""
    found = {}
    for part, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
        for number, variable in enumerate(variables):
            found[f"{part} {number}"] = keras.ops.convert_to_numpy(variable)
    tables = {"history": history} | ({} if run_dir is None else {"history.csv": load_history(run_dir)})
    for part, table in tables.items():
        found |= {f"{part} {column}": table[column].to_numpy() for column in table.columns.drop("seconds")}
    state = random_state()
    found |= {f"random {name}": state[name] for name in ("keras", "tensorflow", "torch") if name in state}
    found |= {"random python": np.array(state["python"][1]), "random numpy": np.append(*state["numpy"][1:3])}
    if run_dir is not None:
        best = keras.saving.load_model(Path(run_dir) / "best.keras")
        for number, variable in enumerate([*best.variables, *best.optimizer.variables]):
            found[f"best.keras {number}"] = keras.ops.convert_to_numpy(variable)
    return found


def differing(first, second) -> list[str]:
    """Name what is not the same, bit for bit."""
    return [
        name
        for name in {**first, **second}
        if name not in first or name not in second or not _same(np.asarray(first[name]), np.asarray(second[name]))
    ]


def _same(first, second):
    return (first.dtype, first.shape, first.tobytes()) == (second.dtype, second.shape, second.tobytes())


# The kill campaign.


class Campaign:
    """Processes that train, are killed and started again, and what the uninterrupted one gives.

    They are forked from a process that has imported everything and computed nothing, which saves the seconds of the
    import. Two uninterrupted runs go first, side by side; were they not the same, there would be nothing to compare.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["keras", "rnn_toolkit", __name__])
        first = self._context.Process(target=abs, args=(0,))  # the imports are done when it ends
        first.start()
        first.join()
        began = time.perf_counter()
        both = [self._start(folder / name, None) for name in ("reference", "control")]
        for process in both:
            process.join()
        self.duration = time.perf_counter() - began
        self.reference, control = _result(folder / "reference"), _result(folder / "control")
        self.moments = int(self.reference.pop("moments"))  # in which a process can die in a write
        control.pop("moments")
        if differing(self.reference, control):
            raise RuntimeError(f"Two uninterrupted runs differ: {differing(self.reference, control)}.")

    def trials(self, numbers, *, seed: int, jobs: int, again: float = 1 / 3):
        """Yield the number of each trial, where it was killed, and what went wrong, if anything."""
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            waiting = {pool.submit(self.trial, seed, number, again): number for number in numbers}
            for done in concurrent.futures.as_completed(waiting):
                try:
                    yield waiting[done], *done.result()
                except RuntimeError as error:
                    yield waiting[done], [], [str(error)]

    def trial(self, seed: int, number: int, again: float) -> tuple[list[str], list[str]]:
        """Kill a run once, and `again` with that probability each time; return where, and in what its end differs."""
        generator = np.random.default_rng([seed, number])
        for attempt in range(100):
            run_dir = self.folder / f"trial-{number}-{attempt}"
            kills = []
            while True:
                wanted = not kills or generator.random() < again
                kill = self._run(run_dir, generator if wanted else None)
                if kill is None:
                    break
                kills.append(kill)
            if not kills:  # finished before the first kill
                continue
            found = _result(run_dir)
            found.pop("moments")
            shutil.rmtree(run_dir)
            return kills, differing(self.reference, found)
        raise RuntimeError("No kill came before the end in 100 attempts.")

    def _run(self, run_dir, generator):
        """Start a process, kill it if there is a generator, and return where it was killed, if it was."""
        partials = _partials(run_dir)
        in_write = generator is not None and generator.random() < 0.5
        moment = (int(generator.integers(self.moments)), float(generator.random())) if in_write else None
        process = self._start(run_dir, moment)
        if generator is not None and not in_write:
            process.join(generator.uniform(0, self.duration))
            process.kill()
        process.join(300)
        if process.exitcode == 0:
            return None
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"{run_dir} exited with {process.exitcode}:\n{_log(run_dir).read_text()}")
        if in_write:
            return _log(run_dir).read_text().splitlines()[-1]
        return "in a write, by the clock" if _partials(run_dir) - partials else "elsewhere, by the clock"

    def _start(self, run_dir, moment):
        _log(run_dir).with_suffix(".npz").unlink(missing_ok=True)
        process = self._context.Process(target=child, args=(run_dir, moment))
        process.start()
        return process


def child(run_dir: Path, moment: tuple[int, float] | None) -> None:
    """Train and store what comes of it, or die in a write."""
    log = os.open(_log(run_dir), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    optimize_graphs(False)
    try:
        model = build()
        with dying(*(moment or (-1, 0.0))) as count:
            history = fit(model, run_dir)
        np.savez(_log(run_dir).with_suffix(".npz"), moments=count(), **outcome(model, history, run_dir))
    except BaseException:
        os.write(log, traceback.format_exc().encode())
        os._exit(1)
    os._exit(0)  # without what the runtimes do at the end, which takes time and is not at stake


@contextlib.contextmanager
def dying(at: int, share: float):
    """Kill this process in one of the calls that put a file in its place: before it, in its midst, or behind it.

    In the midst of an `fsync` the file is left with a share of its bytes, as if the kill had come while they were
    written.
    """
    calls = {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}
    count = 0

    def reach(place, file=None):
        nonlocal count
        if count == at:
            if file is not None:
                os.ftruncate(file, int(os.fstat(file).st_size * share))
            os.write(1, f"\n{place}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    def wrapped(name, call):
        def calling(*arguments, **options):
            reach(f"before {name}")
            if name == "fsync" and stat.S_ISREG(os.fstat(arguments[0]).st_mode):
                reach("in the midst of the bytes", arguments[0])
            result = call(*arguments, **options)
            reach(f"behind {name}")
            return result

        return calling

    try:
        for name, call in calls.items():
            setattr(os, name, wrapped(name, call))
        yield lambda: count
    finally:
        for name, call in calls.items():
            setattr(os, name, call)


def _log(run_dir):
    return run_dir.with_suffix(".log")


def _result(run_dir):
    try:
        with np.load(_log(run_dir).with_suffix(".npz")) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise RuntimeError(f"{run_dir} gave no result:\n{_log(run_dir).read_text()}") from None


def _partials(run_dir):
    """Return the files that are half-written, each with its time."""
    found = set()
    for path in run_dir.rglob(".partial*"):
        with contextlib.suppress(FileNotFoundError):
            found.add((path, path.stat().st_mtime_ns))
    return found


def kill(trials, seed, jobs):
    """Kill runs at random moments, and print how many end as if they had not been killed."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder))
        rates = campaign.reference["history learning_rate"]
        print(
            f"{keras.backend.backend()}: uninterrupted, {len(rates)} of {EPOCHS} epochs in {campaign.duration:.1f} s, "
            f"last rate {rates[-1]:.5f}, {campaign.moments} moments in writes; {len(campaign.reference)} arrays"
        )
        kills, identical = collections.Counter(), 0
        for number, places, problems in campaign.trials(range(trials), seed=seed, jobs=jobs):
            kills.update(places)
            identical += not problems
            if problems:
                print(f"trial {number}, killed {places}: {problems}", flush=True)
    in_write = kills.total() - kills["elsewhere, by the clock"]
    print(f"identical {identical} of {trials}; {kills.total()} kills, {in_write} of them in a write")
    for place, number in kills.most_common():
        print(f"  {number:4} {place}")
    print(f"{time.perf_counter() - began:.0f} s, seed {seed}")


# Damage.


def damage_file(path: Path, kind: str, generator) -> None:
    """Damage a file in one of the ways of `DAMAGES`."""
    content = bytearray(path.read_bytes())
    cut = int(generator.integers(1, len(content) - 22))  # the last 22 bytes of a zip file end it, partly in zeros
    if kind == "truncated":
        path.write_bytes(content[:cut])
    elif kind == "one bit flipped":
        content[cut] ^= 1 << int(generator.integers(8))
        path.write_bytes(content)
    elif kind == "missing":
        path.unlink()
    elif kind == "half-written":
        path.with_name(".partial.npz").write_bytes(content[:cut])
        path.unlink()
    elif kind == "zeros from some byte on":
        path.write_bytes(content[:cut].ljust(len(content), b"\0"))
    elif kind == "empty":
        path.write_bytes(b"")


DAMAGES = ("truncated", "one bit flipped", "missing", "half-written", "zeros from some byte on", "empty")


class Steps(keras.callbacks.Callback):
    """Write down the steps that are taken, and do something behind one of them."""

    def __init__(self, at=None, action=None):
        super().__init__()
        self.at, self.action, self.taken = at, action, []

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.taken.append((self._epoch, batch + 1))
        if self.taken[-1] == self.at:
            self.action()


class Interruption(Exception):
    """What stops a training on purpose."""


def stop():
    """Stop a training."""
    raise Interruption


def stopped_run(model, run_dir, *, at):
    """Train until a step is done, so that `run_dir` holds the snapshots of the two steps before."""
    with contextlib.suppress(Interruption):
        fit(model, run_dir, extra=[Steps(at, stop)])
    return sorted((run_dir / "snapshots").glob("snapshot-*"))


def damage(trials, seed):
    """Damage the newest of two snapshots, and print how often that is noticed, and what the run ends with."""
    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = build(schedule=False)  # beside a schedule, each reduction of the rate would compile anew
        reference = outcome(model, fit(model, folder / "reference"), folder / "reference")
        stops = [(0, 4), (1, 3), (2, 1), (3, 5)]
        for at in stops:
            stopped_run(build(schedule=False), folder / str(at), at=at)

        def resumed(number, kinds):
            """Damage the snapshots of a stopped run, the newest first, and go on with another model."""
            at = stops[int(generator.integers(len(stops)))]
            run_dir = folder / f"{number}"
            shutil.copytree(folder / str(at), run_dir)
            for path, kind in zip(
                sorted((run_dir / "snapshots").glob("snapshot-*"), reverse=True), kinds, strict=False
            ):
                damage_file(path, kind, generator)
            renew(model, seed=number + 1)
            steps = Steps()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                history = fit(model, run_dir, extra=[steps])
            told = [str(one.message) for one in caught if "snapshot" in str(one.message).lower()]
            # Snapshots lie behind each step and each epoch, so the one before the newest misses one or two steps.
            before = (at[0], max(at[1] - 2, 0) + 1)
            return told, steps.taken[0] == before, differing(reference, outcome(model, history, run_dir))

        counts = collections.defaultdict(collections.Counter)
        for number in range(trials):
            kind = DAMAGES[number % len(DAMAGES)]
            told, before, differences = resumed(number, [kind])
            counts[kind].update(trials=1, reported=len(told) == 1, went_on_from_the_one_before=before)
            counts[kind].update(identical=not differences)
            if len(told) != 1 or differences:
                print(f"trial {number}, {kind}: warnings {told}, differs in {differences}")
        refused = 0
        for number in range(trials, trials + 10):
            try:
                resumed(number, generator.choice(["truncated", "one bit flipped", "empty"], 2))
            except ValueError as error:
                refused += str(error).startswith("No snapshot in") and "start afresh" in str(error)
    table = pd.DataFrame(counts).T.astype(int)
    table.loc["in all"] = table.sum()
    print(table.to_string())
    print(f"both snapshots damaged: refused with a clear error {refused} of 10; seed {seed}")


# Disks.


@contextlib.contextmanager
def small_disk(folder: Path):
    """Give a folder of 2 MB that can be filled, and made read-only."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def full(folder: Path):
    """Fill a disk to its last byte."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def read_only(folder: Path):
    """Hide a folder behind its read-only self; a plain remount is refused while the lock file is open."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def short_files(folder: Path):
    """Let this process write no file longer than 1,000 bytes: it gets an error as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def trained_on_a_bad_disk(run_dir: Path, trouble, *, at) -> tuple:
    """Train, with trouble from some step on, and again when it is over.

    Returns:
        What was warned of, the position of the last good snapshot, and the outcomes of both calls.
    """
    with contextlib.ExitStack() as stack:
        model = build()
        bad = Steps(at, lambda: stack.enter_context(trouble(run_dir.parent)))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            first = outcome(model, fit(model, run_dir, extra=[bad]))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a damaged snapshot warns
            state = Snapshots(run_dir / "snapshots").read()
    model = build()
    second = outcome(model, fit(model, run_dir), run_dir)
    told = [str(one.message) for one in caught if one.category is UserWarning]
    return told, (state["epoch"], state["step"]), first, second


def disk():
    """Fill a disk, and forbid writing to it, in mid-training, and print what becomes of the training."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = build()
        reference = outcome(model, fit(model, folder / "reference"), folder / "reference")
        in_memory = {name: value for name, value in reference.items() if not name.startswith(("best", "history.csv"))}
        for trouble in (full, read_only, short_files):
            with contextlib.ExitStack() as stack:
                place = folder / trouble.__name__
                if trouble is short_files:
                    place.mkdir()
                else:
                    try:
                        stack.enter_context(small_disk(place))
                    except (OSError, subprocess.CalledProcessError) as error:
                        print(f"{trouble.__name__}: left out, a small disk cannot be mounted here ({error})")
                        continue
                for at in ((0, 3), (1, 5), (3, 2)):
                    told, position, first, second = trained_on_a_bad_disk(place / str(at), trouble, at=at)
                    print(
                        f"{trouble.__name__} behind epoch {at[0]} and {at[1]} steps: trained to the end, "
                        f"{'as' if not differing(in_memory, first) else 'NOT as'} without; last good snapshot "
                        f"{position}; called again, {'identical' if not differing(reference, second) else 'DIFFERENT'}"
                    )
                    for message in told:
                        print("    warned:", message.replace(str(folder), "…"))


# Cost.


class Turn(keras.callbacks.Callback):
    """Let trainings in several threads compute one at a time, a step each, and take the time of its own turns.

    Whatever else the machine does slows all of them down alike. It is the last of the callbacks that are passed.
    """

    def __init__(self, ring):
        super().__init__()
        self.ring, self.baton = ring, threading.Semaphore(0)
        self.spent, self.marks, self.writing = 0.0, [], 0.0
        ring.append(self)  # the first in the ring has the baton

    def __enter__(self):
        self.baton.acquire()
        self.began = time.monotonic()

    def __exit__(self, *error):
        self.ring.popleft()
        if self.ring:
            self.ring[0].baton.release()

    def seconds(self):
        """Return how long this one has computed."""
        return self.spent + time.monotonic() - self.began

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.seconds()
        self.marks.append(self.before)

    def on_test_begin(self, logs=None):
        self.before = self.seconds()

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 0:  # TensorFlow takes up to 40 s, at random, to replace the iterator of the epoch before
            self.spent, self.began = self.before, time.monotonic()

    on_test_batch_begin = on_train_batch_begin

    def on_train_batch_end(self, batch, logs=None):
        self.spent = self.seconds()
        self.ring.rotate(-1)
        self.ring[0].baton.release()
        self.__enter__()

    def on_train_end(self, logs=None):
        self.marks.append(self.seconds())


def cost(seconds):
    """Print what snapshots and monitoring add to the time of a training, four of them in turns."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(6_400, 96, 8)).astype("float32")
    y = x[:, -24:, 0].mean(1, keepdims=True) + generator.normal(size=(6_400, 1)).astype("float32")
    validation, train = (x[:640], y[:640]), (x[640:], y[640:])

    def once(turn, epochs, *, run_dir=None, extra=()):
        with turn:
            keras.utils.set_random_seed(0)
            layers = rt.recurrent_layers("lstm", (64, 64))
            model = keras.Sequential([keras.Input((96, 8)), *layers, keras.layers.Dense(1)])
            model.compile(rt.make_optimizer(), "mse")
            callbacks = [*rt.default_callbacks(patience=1000), *extra, turn]
            options = {"epochs": epochs, "batch_size": 64, "run_dir": run_dir, "callbacks": callbacks}
            rt.train(model, train, validation, **options, progress=None)
        return np.diff(turn.marks)[1:], turn.writing

    def in_turns(epochs, **trainings):
        """Return the seconds of each epoch but the first, which compiles, and of those the ones spent on writing."""
        ring = collections.deque()
        with accounted(ring), concurrent.futures.ThreadPoolExecutor(len(trainings)) as pool:
            futures = [pool.submit(once, Turn(ring), epochs, **options) for options in trainings.values()]
            ring[0].baton.release()
            times, writing = zip(*(future.result() for future in futures), strict=True)
        return pd.DataFrame(dict(zip(trainings, times, strict=True))), dict(zip(trainings, writing, strict=True))

    an_epoch = in_turns(3, plain={})[0]["plain"].mean()
    epochs = 1 + max(round(seconds / an_epoch), 2)
    print(f"{epochs} epochs of {-(-len(train[0]) // 64)} steps; {an_epoch:.1f} s each", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        run_dir, monitor = Path(folder) / "run", rt.Monitor()
        trainings = {"plain": {}, "run_dir": {"run_dir": run_dir}, "control": {}, "monitor": {"extra": [monitor]}}
        times, writing = in_turns(epochs, **trainings)
        print("seconds behind the first epoch:", times.sum().round(2).to_dict())
        without = times[["plain", "control"]].mean(axis=1)
        for name, beside in (("control", times["plain"]), ("run_dir", without), ("monitor", without)):
            each = times[name] / beside
            print(
                f"{name} / {'plain' if name == 'control' else 'mean of plain and control'}: "
                f"{times[name].sum() / beside.sum():.3f} of the time, by epoch {each.median():.3f} (median; "
                f"{each.min():.3f} to {each.max():.3f})"
            )
        share = writing["run_dir"] / times["run_dir"].sum()
        print(f"time in the functions that write, as a share of the training with run_dir: {share:.4f}")
        newest = max((run_dir / "snapshots").glob("snapshot-*"))
        snapshots = Snapshots(Path(folder) / "one")
        state, times = Snapshots(run_dir / "snapshots").read(), []
        for _ in range(20):
            began = time.perf_counter()
            snapshots.write(state)
            times.append(time.perf_counter() - began)
        print(f"a snapshot: {newest.stat().st_size / 1e6:.2f} MB, written in {np.median(times) * 1e3:.0f} ms (median)")


@contextlib.contextmanager
def accounted(ring):
    """Account for the time in the functions that write, and stop each training's clock while others compute.

    By a clock that runs on, snapshots would be due, and affordable, four times as often.
    """

    def timed(function):
        def timing(*arguments, **options):
            turn, began = ring[0], ring[0].seconds()
            try:
                return function(*arguments, **options)
            finally:
                if len(turn.marks) > 1:
                    turn.writing += turn.seconds() - began

        return timing

    with contextlib.ExitStack() as stack:
        for owner, name in ((Run, "_save"), (BestModel, "_look")):
            stack.enter_context(mock.patch.object(owner, name, timed(getattr(owner, name))))
        stack.enter_context(mock.patch("time.perf_counter", lambda: ring[0].seconds()))
        yield


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("kill")
    part.add_argument("--trials", type=int, default=200)
    part.add_argument("--seed", type=int, default=0)
    part.add_argument("--jobs", type=int, default=2)
    part = parts.add_parser("damage")
    part.add_argument("--trials", type=int, default=100)
    part.add_argument("--seed", type=int, default=0)
    parts.add_parser("disk")
    part = parts.add_parser("cost")
    part.add_argument("--seconds", type=float, default=60.0)
    options = vars(parser.parse_args())
    optimize_graphs(options["part"] == "cost")
    {"kill": kill, "damage": damage, "disk": disk, "cost": cost}[options.pop("part")](**options)
