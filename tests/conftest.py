"""What every test gets: pictures without a screen, the same seed, Ctrl-C, and no figure left open."""

import os
import signal
import sys

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True, scope="session")
def ctrl_c():
    """Let Ctrl-C be pressed: a process that a shell starts in the background is born to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_start():
    """Seed Python, NumPy and the backend before each test, and close its figures after it."""
    import keras

    keras.utils.set_random_seed(0)
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def half_precision():
    """Compute in float16."""
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")
