"""What every test gets: pictures without a screen, the same seed, and no figure left open."""

import os
import sys

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def same_start():
    """Seed Python, NumPy and the backend before each test, and close its figures after it."""
    import keras

    keras.utils.set_random_seed(0)
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
