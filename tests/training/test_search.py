"""A search: what it proposes, counts, stops early, goes on with, and refuses. Optuna's own work is taken as done."""

import sys

import keras
import numpy as np
import pandas as pd
import pytest
from training.one_weight import line

from rnn_toolkit.training import comparison, search
from rnn_toolkit.training.search import tune

optuna = pytest.importorskip("optuna", reason="the extra `tune` is not installed")

DATA = np.ones((4, 1), "float32"), np.zeros((4, 1), "float32")


@pytest.fixture(autouse=True)
def without_training(monkeypatch):
    """Let a network be the history that it would have, so that hundreds of trials take no time."""

    def train(history, train, validation, *, callbacks, epochs, **_):
        report, interrupt = callbacks[-2:]
        report.set_model(model := keras.Sequential())
        model.stop_training = False
        for epoch, value in enumerate(history[:epochs]):
            if value == "Ctrl-C":
                interrupt.on_interrupt("stopped")
                break
            report.on_epoch_end(epoch, {"val_loss": value})
            if model.stop_training:
                break
        return pd.DataFrame({"val_loss": history[: epoch + 1], "seconds": 1.0})

    monkeypatch.setattr(comparison.training, "train", train)
    monkeypatch.setattr(keras.utils, "clear_session", lambda: None)  # looks through all of the memory


def bowl(x):
    """Be best at x = 3."""
    return [1 + (x - 3) ** 2]


def best(table, space):
    return table[list(space)].iloc[0].to_dict()


def test_the_best_comes_first_and_can_be_built_again():
    space = {"x": (0, 9), "rate": (1e-4, 1e-1, "log"), "layers": [(64,), (32, 32)], "cell": ["gru", None, True]}
    seen = []

    def build(x, rate, layers, cell):
        seen.append((x, rate, layers, cell))
        return bowl(x)

    table = tune(build, space, DATA, DATA, trials=30, seed=0, pruner=None)
    assert list(table.columns) == ["val_loss", "state", "epochs", "seconds", *space, "error"]
    assert table["val_loss"].is_monotonic_increasing
    assert table["val_loss"].iloc[0] == 1
    found = best(table, space)
    assert found["x"] == 3 and type(found["x"]) is int and type(found["rate"]) is float
    assert found["layers"] in [(64,), (32, 32)] and found["cell"] in ["gru", None, True]
    assert tuple(found.values()) in seen
    assert {type(x) for x, *_ in seen} == {int} and {x for x, *_ in seen} <= set(range(10))
    rates = [rate for _, rate, *_ in seen]
    assert min(rates) >= 1e-4 and max(rates) <= 1e-1 and np.median(rates) < 0.03


def test_higher_may_be_better():
    table = tune(bowl, {"x": (0, 9)}, DATA, DATA, trials=15, seed=0, mode="max")
    assert table["val_loss"].iloc[0] == 37
    assert table["val_loss"].is_monotonic_decreasing


@pytest.mark.parametrize("pruner", ["median", "hyperband", None])
def test_a_trial_that_falls_behind_is_stopped_early_and_stands_behind_the_others(pruner):
    table = tune(lambda x: [x] * 9, {"x": (0.0, 1.0)}, DATA, DATA, trials=30, epochs=9, pruner=pruner, seed=0)
    states = table["state"].tolist()
    pruned = states.count("pruned")
    assert (pruned > 5) if pruner else (pruned == 0)
    assert states == ["complete"] * (30 - pruned) + ["pruned"] * pruned
    assert (table["epochs"][table["state"] == "complete"] == 9).all()
    assert (table["epochs"][table["state"] == "pruned"] < 9).all()
    assert (table["val_loss"] == table["x"]).all()


def test_the_same_seed_finds_the_same_also_in_parts(tmp_path):
    space = {"x": (0.0, 9.0), "y": [1, 2, 3]}

    def build(x, y):
        return bowl(x * y)

    whole = tune(build, space, DATA, DATA, trials=14, seed=3)
    for trials in (5, 14):
        parts = tune(build, space, DATA, DATA, trials=trials, seed=3, run_dir=tmp_path / "parts")
        assert len(parts) == trials
    columns = ["val_loss", "state", "x", "y"]
    pd.testing.assert_frame_equal(whole[columns], parts[columns])
    assert whole["x"].nunique() == 14
    other = tune(build, space, DATA, DATA, trials=1, seed=4)
    assert other.loc[0, "x"] != whole.loc[0, "x"]


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on():
    def build(x):
        if x > 4:
            raise MemoryError(f"too large: {x}")
        return bowl(x)

    table = tune(build, {"x": (0, 9)}, DATA, DATA, trials=20, seed=0)
    failed = table[table["state"] == "failed"]
    assert len(table) == 20 and 0 < len(failed) < 20
    assert (failed["x"] > 4).all()
    assert failed["error"].tolist() == [f"MemoryError: too large: {x}" for x in failed["x"]]
    assert table["state"].tolist()[-len(failed) :] == ["failed"] * len(failed)


def test_a_loss_that_is_never_finite_is_a_failure():
    table = tune(lambda x: [np.nan if x else 1.0], {"x": [0, 1]}, DATA, DATA, trials=8, seed=0)
    assert table["state"].tolist().count("failed") == (table["x"] == 1).sum() > 0
    assert "no finite 'val_loss'" in table["error"].iloc[-1]


def test_where_all_fail_the_first_error_is_shown():
    def build(x):
        raise RuntimeError(f"no {x}")

    with pytest.raises(ValueError, match=r"All 3 trials failed; the first with RuntimeError: no 7\..*\{'x': 7\}"):
        tune(build, {"x": [7]}, DATA, DATA, trials=3)


def test_ctrl_c_returns_what_there_is_and_the_trial_does_not_count(tmp_path):
    histories = iter([[1.0], ["Ctrl-C"], [2.0], [3.0]])
    options = {"trials": 3, "run_dir": tmp_path / "run", "seed": 0}
    first = tune(lambda x: next(histories), {"x": (0, 9)}, DATA, DATA, **options)
    assert first["state"].tolist() == ["complete", "stopped"]
    second = tune(lambda x: next(histories), {"x": (0, 9)}, DATA, DATA, **options)
    assert second["val_loss"].dropna().tolist() == [1.0, 2.0, 3.0]
    assert second["state"].tolist() == ["complete"] * 3 + ["stopped"]
    assert second.loc[1, "x"] == second.loc[2, "x"]  # the trial that was stopped is proposed again


def test_a_trial_whose_process_died_does_not_count(tmp_path):
    tune(bowl, {"x": (0, 9)}, DATA, DATA, trials=1, run_dir=tmp_path / "run")
    address = f"sqlite:///{tmp_path / 'run' / 'study.db'}"
    optuna.load_study(study_name="search", storage=address).ask()  # left running
    table = tune(bowl, {"x": (0, 9)}, DATA, DATA, trials=3, run_dir=tmp_path / "run")
    assert sorted(table["state"]) == ["complete", "complete", "complete", "stopped"]
    assert table["state"].iloc[-1] == "stopped"


def test_a_trial_too_many_of_two_workers_is_left_out(tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path / 'study.db'}"
    tune(bowl, {"x": (0, 9)}, DATA, DATA, trials=2, storage=address)
    real, looks = search._counts, iter([False])  # at the first look, the other worker's trial is not there yet
    monkeypatch.setattr(search, "_counts", lambda trial: next(looks, None) is None and real(trial))
    table = tune(bowl, {"x": (0, 9)}, DATA, DATA, trials=2, storage=address)
    study = optuna.load_study(study_name="search", storage=address)
    assert len(study.trials) == 3
    assert table["state"].tolist() == ["complete"] * 2


def test_the_line_says_what_is_best_so_far(monkeypatch, capsys):
    monkeypatch.setattr(comparison, "is_interactive", lambda: True)
    histories = iter([[1.0], [0.5], [np.nan]])
    tune(lambda x: next(histories), {"x": (0, 9)}, DATA, DATA, trials=3)
    output = capsys.readouterr()
    assert "trial 2/3, best 1 (trial 0)" in output.out
    assert "trial 3/3, best 0.5 (trial 1), 1 failed" in output.out
    assert output.err == ""
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


@pytest.mark.parametrize(
    ("space", "error", "message"),
    [
        ({}, ValueError, "must name what to vary"),
        ([1], ValueError, "must name what to vary"),
        ({"y": [1]}, ValueError, "Did you mean"),
        ({"x": []}, ValueError, "list different choices"),
        ({"x": [1, 1.0]}, ValueError, "list different choices"),
        ({"x": 3}, TypeError, r"list of choices, \(low, high\)"),
        ({"x": (1,)}, TypeError, r"Received: \(1,\)"),
        ({"x": (1, 2, "lin")}, TypeError, "list of choices"),
        ({"x": (True, 2)}, TypeError, "list of choices"),
        ({"x": (2, 1)}, ValueError, "low below high"),
        ({"x": (1, 1)}, ValueError, "low below high"),
        ({"x": (0, 1, "log")}, ValueError, "low above 0"),
        ({"x": (0.0, float("inf"))}, ValueError, "both finite"),
    ],
)
def test_spaces_that_cannot_be(space, error, message):
    with pytest.raises(error, match=message):
        tune(bowl if "y" not in space else (lambda x_y=1, yy=2: None), space, DATA, DATA)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"epochs": 0}, {"pruner": "mean"}, {"mode": "low"}])
def test_options_that_are_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        tune(bowl, {"x": (0, 9)}, DATA, DATA, **wrong)


def test_another_search_is_not_mixed_in(tmp_path):
    run_dir = tmp_path / "run"
    tune(bowl, {"x": (0, 9)}, DATA, DATA, trials=1, run_dir=run_dir)
    with pytest.raises(ValueError, match=r"holds another search: space.x is \(0, 5\), was \(0, 9\)"):
        tune(bowl, {"x": (0, 5)}, DATA, DATA, trials=2, run_dir=run_dir)
    other = np.full((4, 1), 2.0), DATA[1]
    with pytest.raises(ValueError, match="validation holds other values"):
        tune(bowl, {"x": (0, 9)}, DATA, other, trials=2, run_dir=run_dir)
    with pytest.raises(ValueError, match="epochs is 3, was 20"):
        tune(bowl, {"x": (0, 9)}, DATA, DATA, trials=2, epochs=3, run_dir=run_dir)


def test_a_folder_is_used_by_one_process_at_a_time(tmp_path):
    with search.held(tmp_path), pytest.raises(ValueError, match="in use"):
        tune(bowl, {"x": (0, 9)}, DATA, DATA, trials=1, run_dir=tmp_path)


@pytest.mark.parametrize(
    "storage",
    [
        "postgresql://reader:open-sesame@127.0.0.1:9/none",
        "postgresql://reader:open-sesame@127.0.0.1:port/none",
        "open-sesame",
    ],
)
def test_a_storage_that_cannot_be_reached_is_told_without_its_password(storage, monkeypatch):
    monkeypatch.setattr(search.time, "sleep", lambda seconds: None)
    with pytest.raises(ConnectionError, match="cannot be reached") as caught:
        tune(bowl, {"x": (0, 9)}, DATA, DATA, storage=storage)
    assert "sesame" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ImportError, match=r'pip install "rnn_toolkit\[tune\]"'):
        tune(bowl, {"x": (0, 9)}, DATA, DATA, storage="postgresql://reader:word@127.0.0.1:9/none")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r'pip install "rnn_toolkit\[tune\]"'):
        tune(bowl, {"x": (0, 9)}, DATA, DATA)


def test_real_networks_are_trained_and_stopped_early(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(keras.utils, "clear_session", lambda: None)

    def build(rate):
        return line(keras.optimizers.SGD(rate))

    table = tune(build, {"rate": (0.0, 0.4)}, DATA, DATA, trials=8, epochs=3, seed=0)
    # After n steps w is (1 - 2 rate)^n, and the loss its square.
    assert table["val_loss"].tolist() == pytest.approx(
        [(1 - 2 * rate) ** (2 * epochs) for rate, epochs in zip(table["rate"], table["epochs"], strict=True)], abs=1e-6
    )
    assert set(table["state"]) == {"complete", "pruned"}
