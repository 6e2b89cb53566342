# @title Set-up: run this first. In Colab it fetches the toolkit (about a minute). {"display-mode": "form"}
import os
import subprocess
import sys
from importlib.util import find_spec

import matplotlib

if "google.colab" in sys.modules:
    home, pip = "/content/rnn_toolkit", [sys.executable, "-m", "pip"]
    os.environ.setdefault("KERAS_BACKEND", "tensorflow" if find_spec("tensorflow") else "jax")  # TPUs: JAX only
    try:
        if not os.path.isdir(home):
            subprocess.run(["git", "clone", "--depth=1", "{repository}", home], check=True, capture_output=True)
        with open("/content/installed.txt", "w") as kept:  # pip adds what is missing, and replaces nothing of Colab's
            subprocess.run([*pip, "list", "--format=freeze"], check=True, stdout=kept)
        subprocess.run([*pip, "install", "--constraint", kept.name, home], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(
            "The set-up failed. No connection, or the clone failed: run this cell again. Keras or another package is "
            "too old: choose Runtime > Change runtime type > Runtime version > Latest, then run it again.\n\n"
            + (error.stderr or b"").decode()[-1500:]
        ) from None

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(nowhere, 2)  # TensorFlow's start-up messages
try:
    import keras  # noqa: F401
finally:
    os.dup2(stderr, 2)

matplotlib.rcParams.update(
    {"figure.figsize": (9, 3.5), "figure.constrained_layout.use": True, "lines.linewidth": 2, "legend.frameon": False}
    | {f"axes.spines.{side}": False for side in ("top", "right", "left")}
    | {"axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "axes.edgecolor": "#8c8c8c"}
    | {"grid.color": "#e5e5e5", "axes.titlelocation": "left", "axes.titlesize": 14}
    | {"axes.prop_cycle": matplotlib.cycler(color=["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#8c8c8c", "#d55e00"])}
)
