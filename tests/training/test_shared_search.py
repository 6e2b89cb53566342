"""Two processes share one search over a PostgreSQL server of the test's own; one of them may be killed."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="the extra `tune` is not installed")

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = [
    shutil.which("postgres"),
    *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres")), reverse=True),
]
BINARY = next(filter(None, INSTALLED), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="no PostgreSQL server is installed (Debian: apt-get install postgresql)"),
]

WORKER = """
import json, os, sys, time
from pathlib import Path
import keras
import numpy as np
import rnn_toolkit as rt
from rnn_toolkit.training import search

search.HEARTBEAT_SECONDS = 5
folder, hangs = Path(sys.argv[1]), len(sys.argv) > 2
built = []

def build(x):
    built.append(x)
    with open(folder / f"built-{os.getpid()}", "a") as file:
        file.write(f"{x!r}\\n")
    if hangs and len(built) == 3:
        (folder / "hangs").touch()
        time.sleep(600)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(x), "mse", run_eagerly=True)
    return model

data = np.ones((4, 1)), np.zeros((4, 1))
space = {"x": (0.0, 0.2)}
table = rt.tune(build, space, data, data, trials=30, epochs=2, storage=os.environ["STORAGE"], seed=0, progress=None)
print(table.to_json(orient="index", double_precision=15))
"""


@pytest.fixture(scope="module")
def server():
    """Start a server on a port of its own as an ordinary user, for root is refused; give the address, and stop it."""
    binaries, folder = Path(os.path.realpath(BINARY)).parent, Path(tempfile.mkdtemp())
    as_user = {"user": "nobody"} if os.geteuid() == 0 else {}
    (folder / "password").write_text("open-sesame")
    if as_user:
        for path in (folder, folder / "password"):
            shutil.chown(path, "nobody")
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    how = [
        "--username=reader",
        f"--pwfile={folder / 'password'}",
        "--auth=scram-sha-256",
        "--no-sync",
        "--encoding=UTF8",
    ]
    making = [binaries / "initdb", f"--pgdata={folder / 'data'}", *how]
    subprocess.run(making, check=True, capture_output=True, cwd=folder, **as_user)
    options = ["-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", "", "-F"]
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen([binaries / "postgres", *options], cwd=folder, stderr=nowhere, **as_user)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, "the server did not start"
            time.sleep(0.1)
        yield f"postgresql://reader:open-sesame@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # its "fast shutdown"
        process.wait(30)
        shutil.rmtree(folder)


@pytest.fixture
def start(server, tmp_path):
    """Return a function that starts a worker."""
    workers = []

    def start(*arguments):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, tmp_path, *arguments],
            env=os.environ | {"STORAGE": server, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.kill()
        worker.communicate()
    storage = optuna.storages.RDBStorage(server.replace("postgresql:", "postgresql+psycopg:"))
    optuna.delete_study(study_name="search", storage=storage)
    storage.remove_session()
    storage.engine.dispose()


def finished(worker) -> dict:
    output, errors = worker.communicate(timeout=300)
    assert worker.returncode == 0, errors
    assert "open-sesame" not in output + errors
    return json.loads(output)


def built(folder) -> list[list[str]]:
    return [path.read_text().split() for path in folder.glob("built-*")]


def test_two_workers_finish_a_search_with_no_trial_lost_or_done_twice(server, start, tmp_path):
    one, other = (finished(worker) for worker in [start(), start()])
    assert one == other and len(one) == 30
    assert {trial["state"] for trial in one.values()} <= {"complete", "pruned"}
    shares = built(tmp_path)
    assert len(shares) == 2 and sum(map(len, shares)) == 30
    wanted = sorted(trial["x"] for trial in one.values())
    assert sorted(float(x) for share in shares for x in share) == pytest.approx(wanted, rel=1e-9)


def test_a_killed_worker_loses_only_its_trial(server, start, tmp_path):
    victim = start("hangs")
    for _ in range(1200):
        if (tmp_path / "hangs").exists():
            break
        assert victim.poll() is None, victim.communicate()[1]
        time.sleep(0.1)
    survivor = start()
    victim.kill()
    table = finished(survivor)
    states = [trial["state"] for trial in table.values()]
    assert states.count("stopped") == 1 and len(states) == 31
    assert set(states) <= {"complete", "pruned", "stopped"}
    assert sorted(map(len, built(tmp_path))) == [3, 28]
