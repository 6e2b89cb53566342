"""What there is to compute on; and two devices that compute what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from rnn_toolkit.training import hardware
from rnn_toolkit.training.hardware import describe_hardware, use_all_devices

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTES = pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras trains on one device there")


def test_a_machine_without_a_gpu_is_told(monkeypatch):
    monkeypatch.setattr(hardware, "_devices", lambda kind: [])
    found = describe_hardware()["found"]
    assert found["backend"] == f"Keras {keras.__version__} on {keras.backend.backend()}"
    assert found["GPU"] == found["TPU"] == "none"
    assert found["mixed precision"] == "off: float32"
    assert found["fast kernel"].startswith("no: it needs an NVIDIA GPU")


def test_a_gpu_has_the_fast_kernel_and_may_have_half_precision(monkeypatch):
    monkeypatch.setattr(hardware, "_devices", lambda kind: ["gpu:0"] if kind == "gpu" else [])
    found = describe_hardware()["found"]
    assert found["GPU"] == "gpu:0"
    assert found["fast kernel"].startswith("yes (cuDNN)")
    assert 'set_dtype_policy("mixed_float16")' in found["mixed precision"]


def test_half_precision_is_told(half_precision):
    assert describe_hardware().loc["mixed precision", "found"] == "on: mixed_float16"


@DISTRIBUTES
def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match=r"There is no device 'gpu:7'; there are: .*0"), use_all_devices(["gpu:7"]):
        pass


def test_pytorch_trains_on_one_device(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="On PyTorch, Keras trains on one device"), use_all_devices():
        pass


TRAINING = """
import contextlib, json, sys
number = int(sys.argv[1])
import keras
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)
import numpy as np
import rnn_toolkit as rt

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(size=(64, 6, 2)).astype("float32")
data = x, x.sum((1, 2))[:, None]
with rt.use_all_devices() if number > 1 else contextlib.nullcontext([0]) as names:
    assert len(names) == number, names
    model = keras.Sequential([keras.Input((6, 2)), keras.layers.GRU(4), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    history = rt.train(model, data, data, epochs=3, batch_size=16, progress=None)
print(json.dumps(history[["loss", "val_loss"]].dropna().values.tolist()))
"""


def losses(number) -> list:
    """Train in a process that sees so many processors, and return its losses."""
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={number}",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", TRAINING, str(number)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@DISTRIBUTES
@pytest.mark.slow
def test_two_devices_reach_the_losses_of_one():
    one, two = losses(1), losses(2)
    assert len(one) == 3
    for row, other in zip(one, two, strict=True):
        assert other == pytest.approx(row, rel=1e-5)
