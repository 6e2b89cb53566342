"""A training that was killed, told to stop, damaged or out of disk goes on as if nothing had happened."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

from rnn_toolkit.training.snapshots import Snapshots

if os.name != "posix":
    pytest.skip("signals and limits of POSIX", allow_module_level=True)

from benchmarks.resume import (
    DAMAGES,
    Campaign,
    Steps,
    build,
    damage_file,
    differing,
    fit,
    optimize_graphs,
    outcome,
    renew,
    short_files,
    stopped_run,
)


@pytest.fixture(autouse=True)
def each_press_by_itself(monkeypatch):
    """Let no press of Ctrl-C count as the second one of a test before."""
    monkeypatch.setattr("rnn_toolkit.training.runs.TWICE_SECONDS", 0)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Leave out what pays for longer trainings only."""
    optimize_graphs(False)
    yield
    optimize_graphs(True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Return a model, compiled once, and what an uninterrupted training makes of it."""
    model, run_dir = build(schedule=False), tmp_path_factory.mktemp("reference") / "run"
    return model, outcome(model, fit(model, run_dir), run_dir)


@pytest.fixture
def model(shared):
    """Return a model as new."""
    renew(shared[0])
    return shared[0]


@pytest.fixture
def reference(shared):
    """Return what an uninterrupted training ends with."""
    return shared[1]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Return a folder with two snapshots, behind the first and the second step of epoch 2."""
    run_dir = tmp_path_factory.mktemp("stopped") / "run"
    stopped_run(build(schedule=False), run_dir, at=(1, 3))
    return run_dir


def in_memory(found):
    return {name: value for name, value in found.items() if not name.startswith(("best.keras", "history.csv"))}


def in_another_process(run_dir, code):
    """Start a process that trains, with a callback that runs some code behind step 3 of epoch 2."""
    program = f"""
import os, signal, sys, time
from pathlib import Path
from benchmarks.resume import Steps, build, fit, optimize_graphs
optimize_graphs(False)
fit(build(schedule=False), Path({str(run_dir)!r}), snapshot_steps=1000, extra=[Steps((1, 3), lambda: {code})])
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    return subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_ten_runs_killed_at_random_moments_end_identical(tmp_path):
    results = list(Campaign(tmp_path).trials(range(10), seed=1, jobs=2, again=0))
    assert [(number, problems) for number, _, problems in results if problems] == []
    assert len(results) == 10 and all(kills for _, kills, _ in results)


@pytest.mark.slow
def test_sigterm_leaves_a_snapshot_of_its_step_before_the_process_ends(model, reference, tmp_path):
    process = in_another_process(tmp_path / "run", "os.kill(os.getpid(), signal.SIGTERM)")
    assert process.communicate(timeout=120) == ("", None) and process.returncode == -signal.SIGTERM
    state = Snapshots(tmp_path / "run" / "snapshots").read()
    assert (state["epoch"], state["step"]) == (1, 3)
    assert differing(reference, outcome(model, fit(model, tmp_path / "run"), tmp_path / "run")) == []


@pytest.mark.slow
def test_a_run_folder_is_refused_while_another_process_trains_in_it_and_free_once_it_is_killed(
    model, reference, tmp_path
):
    process = in_another_process(tmp_path / "run", "(print('ready', flush=True), time.sleep(100))")
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(ValueError, match="`run_dir` is in use: another training writes to"):
        fit(model, tmp_path / "run")
    process.kill()
    process.communicate()
    assert differing(reference, outcome(model, fit(model, tmp_path / "run"), tmp_path / "run")) == []


def test_a_kill_between_the_last_snapshot_and_the_history_file_does_not_leave_it_short(model, reference, tmp_path):
    fit(model, tmp_path)
    (tmp_path / "history.csv").unlink()
    assert differing(reference, outcome(model, fit(model, tmp_path), tmp_path)) == []


class DuringValidation(Steps):
    """Do something in the validation of an epoch instead of behind a step."""

    def on_test_batch_end(self, batch, logs=None):
        if self.taken[-1] == (2, 5) and batch == 0:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("callback", "position"),
    [(Steps((2, 3), lambda: signal.raise_signal(signal.SIGINT)), (2, 3)), (DuringValidation(), (2, 5))],
    ids=["in mid-epoch", "in validation"],
)
def test_ctrl_c_returns_the_history_leaves_the_best_weights_and_can_be_gone_on_from(
    callback, position, model, reference, tmp_path
):
    history = fit(model, tmp_path, snapshot_steps=1000, extra=[callback])
    assert history.index.tolist() == [0, 1, 2]
    assert np.array_equal(history.val_loss, reference["history val_loss"][:3])
    state = Snapshots(tmp_path / "snapshots").read()
    assert (state["epoch"], state["step"]) == position
    early = next(one["state"] for one in state["callbacks"] if one["name"] == "EarlyStopping")
    for weights, best in zip(model.get_weights(), early["best_weights"], strict=True):
        assert np.array_equal(weights, best)
    assert differing(reference, outcome(model, fit(model, tmp_path), tmp_path)) == []


# A snapshot is damaged or it is not there; each kind of either stands in test_snapshots.py, too, without a training.
QUICK = ("truncated", "missing")


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in DAMAGES]
)
def test_a_damaged_newest_snapshot_is_reported_and_the_one_before_it_used(kind, model, reference, stopped, tmp_path):
    run_dir = shutil.copytree(stopped, tmp_path / "run")
    damage_file(max((run_dir / "snapshots").glob("snapshot-*")), kind, np.random.default_rng(0))
    steps = Steps()
    with pytest.warns(UserWarning, match="snapshot .* is (damaged|missing)"):
        history = fit(model, run_dir, extra=[steps])
    assert steps.taken[0] == (1, 2)  # the newest was taken behind this step, the one before it in front
    assert differing(reference, outcome(model, history, run_dir)) == []


def test_a_run_without_an_undamaged_snapshot_is_refused(model, stopped, tmp_path):
    run_dir = shutil.copytree(stopped, tmp_path / "run")
    for path in (run_dir / "snapshots").glob("snapshot-*"):
        damage_file(path, "one bit flipped", np.random.default_rng(0))
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(ValueError, match=r"No snapshot in .* is undamaged\. Pass another `run_dir`, or start afresh"),
    ):
        fit(model, run_dir)


@pytest.mark.slow
def test_a_full_disk_is_reported_once_and_leaves_the_last_good_snapshot(model, reference, tmp_path):
    with warnings.catch_warnings(record=True) as caught, contextlib.ExitStack() as stack:
        warnings.simplefilter("always")
        full = Steps((1, 3), lambda: stack.enter_context(short_files(tmp_path)))
        history = fit(model, tmp_path, extra=[full])
    told = [str(one.message) for one in caught if one.category is UserWarning]
    assert [message.endswith("Training goes on.") for message in told] == [True] * len(told)
    assert sum("A snapshot could not be written" in message for message in told) == 1
    assert differing(in_memory(reference), outcome(model, history)) == []
    state = Snapshots(tmp_path / "snapshots").read()
    assert (state["epoch"], state["step"]) == (1, 2)
    renew(model, seed=1)
    assert differing(reference, outcome(model, fit(model, tmp_path), tmp_path)) == []
