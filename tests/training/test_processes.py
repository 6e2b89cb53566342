"""Two processes train one model together, write its run once, and go on after one of them was killed."""

import json
import os
import socket
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="Keras trains in several processes on JAX only (keras issue 20585)"
)

TRAINING = """
import json, os, signal, sys
number, processes, address, folder, killed_at = *map(int, sys.argv[1:3]), *sys.argv[3:5], int(sys.argv[5])
import jax, keras, numpy as np
if processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    keras.distribution.initialize(address, processes, number)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
import rnn_toolkit as rt

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(size=(64, 5, 1)).astype("float32")

class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, step):  # each process takes its part of the same 16 rows
        part = x[16 * step : 16 * (step + 1)].reshape(processes, -1, 5, 1)[number]
        return part, part.sum(axis=1)

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if (int(self.model.optimizer.iterations), number) == (killed_at, processes - 1):
            os.kill(os.getpid(), signal.SIGKILL)

model = keras.Sequential([keras.Input((5, 1)), *rt.recurrent_layers("gru", (4,)), keras.layers.Dense(1)])
model.compile(rt.make_optimizer(1e-2), "mse")
callbacks = [*rt.callbacks.default_callbacks(), Kill()]
options = {"callbacks": callbacks, "snapshot_steps": 1 + number, "progress": None}
history = rt.train(model, Rows(), Rows(), epochs=3, run_dir=folder, **options)
weights = [one.tolist() for one in model.get_weights()]
print("ended:" + json.dumps([history.drop(columns="seconds").fillna(0).to_dict("list"), weights]), flush=True)
"""


def together(processes, folder, killed_at=0):
    """Return history and weights of each process, `None` of one that did not come to its end."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=1", "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINING, *map(str, (number, processes, address, folder, killed_at))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | flags,
        )
        for number in range(processes)
    ]
    if killed_at:
        running[-1].wait(300)
        running[0].kill()  # which waits for the other for minutes, or forever
    printed = [process.communicate(timeout=300)[0] for process in running]
    ends = [text.rpartition(b"ended:")[2] if b"ended:" in text else b"null" for text in printed]
    return [json.loads(end) for end in ends]


def test_two_processes_have_the_losses_of_one_and_go_on_when_one_was_killed(tmp_path):
    ((alone, _),) = together(1, tmp_path / "alone")
    first, second = together(2, tmp_path / "both")
    assert first == second
    assert first[0] == {name: pytest.approx(values, rel=1e-5) for name, values in alone.items()}
    assert {path.name for path in (tmp_path / "both").iterdir()} >= {"snapshots", "history.csv", "best.keras"}
    assert together(2, tmp_path / "killed", killed_at=6)[1] is None  # in the second of three epochs
    snapshots = [path.name for path in (tmp_path / "killed" / "snapshots").iterdir()]
    assert len(snapshots) == 2
    assert together(2, tmp_path / "killed") == [first, first]
