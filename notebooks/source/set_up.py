# Set-up: fetches the toolkit when this is Google Colab, and keeps TensorFlow's start-up messages out of the page.
import os
import subprocess
import sys
from importlib.util import find_spec

if "google.colab" in sys.modules:
    home = "/content/rnn_toolkit"
    if not os.path.isdir(home):
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", "{repository}", home], check=True)
    pip = [sys.executable, "-m", "pip"]
    # With all that Colab has as constraints, pip adds what is missing and replaces nothing.
    with open("/content/installed.txt", "w") as installed:
        subprocess.run([*pip, "list", "--format=freeze"], stdout=installed, check=True)
    subprocess.run([*pip, "install", "--quiet", "--constraint", installed.name, home], check=True)
    if find_spec("tensorflow") is None:  # Colab's TPU runtimes: Keras runs on JAX there
        os.environ["KERAS_BACKEND"] = "jax"
    os.chdir(f"{home}/notebooks")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(nowhere, 2)
try:
    import keras  # noqa: F401
finally:
    os.dup2(stderr, 2)
