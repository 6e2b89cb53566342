"""What there is to compute on, and training on all of it."""

import contextlib
import os
import platform
from collections.abc import Sequence

import keras
import pandas as pd

from rnn_toolkit._checks import nearest


def describe_hardware() -> pd.DataFrame:
    """Say what there is to compute on, and whether recurrent layers run at full speed on it.

    Returns:
        A row each for backend, CPU, GPU, TPU, mixed precision and fast kernel, in the column `found`.

    Example:
        >>> describe_hardware().index.tolist()
        ['backend', 'CPU', 'GPU', 'TPU', 'mixed precision', 'fast kernel']
    """
    backend, policy = keras.backend.backend(), keras.config.dtype_policy().name
    gpus, tpus = _devices("gpu"), _devices("tpu")
    kernel = "no: it needs an NVIDIA GPU. Here LSTM and GRU compute one step after the other."
    if gpus:
        kernel = (
            "yes (cuDNN): LSTM and GRU as they are by default, for right-padded rows; not with `recurrent_dropout`, "
            "other activations or `unroll`, and not for SimpleRNN"
        )
    mixed = f"on: {policy}" if policy.startswith("mixed") else f"off: {policy}"
    if (gpus or tpus) and mixed.startswith("off"):
        better = "mixed_bfloat16" if tpus else "mixed_float16"
        mixed += f'. For large layers try keras.config.set_dtype_policy("{better}") before building.'
    found = {
        "backend": f"Keras {keras.__version__} on {backend}",
        "CPU": f"{os.cpu_count()} cores, {platform.machine()}",
        "GPU": ", ".join(gpus) or "none",
        "TPU": ", ".join(tpus) or "none",
        "mixed precision": mixed,
        "fast kernel": kernel,
    }
    return pd.DataFrame({"found": found}).rename_axis("part")


@contextlib.contextmanager
def use_all_devices(devices: Sequence[str] | None = None):
    """Train on all GPUs (or TPU cores) of this machine: each takes its part of every batch.

    Build, compile and train within the block. Every batch is cut into equal parts, so that the batch size should be a
    multiple of the number of devices, and on JAX each batch must be; take a larger batch size, and the learning rate
    with it. With one device the block changes nothing but a little time. For several machines see `train`; on
    TensorFlow Keras cannot do that (https://github.com/keras-team/keras/issues/20585).

    Args:
        devices: Names as `keras.distribution.list_devices()` returns them; `None` takes them all.

    Yields:
        The names of the devices in use.

    Raises:
        ValueError: If a device is not there, or the backend is PyTorch.

    Example:
        >>> with use_all_devices() as names:  # doctest: +SKIP
        ...     model = build()
        ...     train(model, data, validation)
    """
    backend = keras.backend.backend()
    if backend == "torch":
        raise ValueError("On PyTorch, Keras trains on one device. Set KERAS_BACKEND to tensorflow or jax.")
    there = keras.distribution.list_devices()
    names = list(there if devices is None else devices)
    for name in names:
        if name not in there:
            raise ValueError(f"There is no device {name!r}; there are: {', '.join(there)}.{nearest(name, there)}")
    if backend == "jax":
        scope = keras.distribution.DataParallel(devices=names).scope()
    else:
        import tensorflow as tf

        scope = tf.distribute.MirroredStrategy([name.upper() for name in names]).scope()
    with scope:
        yield names


def _devices(kind) -> list[str]:
    """Return the names of the devices of a kind; none where a backend does not know the kind."""
    if keras.backend.backend() == "torch":
        import torch

        return [f"gpu:{place}" for place in range(torch.cuda.device_count())] if kind == "gpu" else []
    try:
        return keras.distribution.list_devices(kind)
    except RuntimeError:  # of JAX
        return []
