# %% [markdown]
# # Training that survives
#
# {colab}
#
# **What is left of a training when its process is killed?** With one argument more, all of it. You train a network in
# a process of its own, kill that process in the middle, start it again, and find the same weights to the last bit as
# in a training that nobody disturbed. Then you press the stop button, look inside a training step, and pick a
# learning-rate schedule by its picture.
#
# At the end of this page you can
#
# - start a training that goes on after a crash, and know what lies in its folder;
# - stop a training by hand and keep the best of it;
# - read [gradients](glossary.md#gradient) and update ratios, and choose a learning-rate schedule.
#
# Words in blue are explained in the [glossary](glossary.md). About 1 minute on two CPU cores.

# %%
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import rnn_toolkit as rt

# %% tags=["parameters"]
epochs = 12  # passes through the training data
kill_after = 4  # epochs after which the process is killed
seed = 0

# %%
folder = Path(tempfile.mkdtemp())  # in Colab, a folder of your Drive outlives the machine
keras.utils.set_random_seed(seed)

# %% [markdown]
# ## A training of its own process
#
# The data are the monthly sunspot numbers since 1749, which rise and fall in about eleven years. The training is a
# script of the kind that runs on a server overnight. Look for `run_dir`: that is all there is to it.

# %%
frame = rt.datasets.load_sunspots()
axes = frame.plot(legend=False, title="Sunspots, monthly mean", ylabel="sunspot number")

# %%
script = folder / "train.py"
script.write_text("""
import sys
import keras
import rnn_toolkit as rt

run_dir, epochs, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
keras.utils.set_random_seed(seed)
frame = rt.datasets.load_sunspots()
task = rt.ForecastTask("sunspots", horizon=24, lookback=264)
train, validation, test = rt.split_by_time(frame, task)
model = rt.build_forecaster(train, rt.recurrent_layers("lstm", (32,), dropout=0.2, recurrent_dropout=0.2))
rt.train(model, train, validation, epochs=epochs, run_dir=run_dir)
""")


def command(run_dir, epochs=epochs):
    """Return the command line that trains in a folder."""
    return [sys.executable, str(script), str(run_dir), str(epochs), str(seed)]


# %% [markdown]
# First the training that nobody disturbs. It runs on the CPU, also where there is a GPU, which this page keeps.

# %%
environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""}


def run(run_dir):
    """Train in a process of its own, on the CPU, and show what it has to say if it fails."""
    done = subprocess.run(command(run_dir), check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


run(folder / "whole")
whole = rt.load_history(folder / "whole")
whole.tail(3)

# %% [markdown]
# ## Kill it
#
# Now the same in another folder, and `kill -9` as soon as a few epochs are done: what a machine does that runs out of
# memory, and Colab when your time is up. The process has no chance to save anything.

# %%
process = subprocess.Popen(command(folder / "killed"), env=environment, stderr=subprocess.DEVNULL)
history_file = folder / "killed" / "history.csv"
while process.poll() is None and (
    not history_file.exists() or rt.load_history(folder / "killed").index[-1] < kill_after
):
    time.sleep(0.02)
process.kill()
exit_code, epochs_on_disk = process.wait(), rt.load_history(folder / "killed").index[-1]
f"exit code {exit_code}, {epochs_on_disk} epochs on disk"

# %% [markdown]
# This is what lies there. The best model so far can be loaded and used. The [snapshots](glossary.md#snapshot) hold all
# that the training needs to go on: weights, the optimizer's memory, every random generator, the place in the shuffled
# data, and what early stopping and the learning rate were waiting for.

# %%
sorted(str(path.relative_to(folder)) for path in (folder / "killed").rglob("*") if path.is_file())

# %%
rt.load_best(folder / "killed").summary(expand_nested=True)

# %% [markdown]
# ## Call it again
#
# There is no other command for a resume: the same line goes on.

# %%
run(folder / "killed")
resumed = rt.load_history(folder / "killed")
axes = rt.plot_history(resumed)
axes.axvline(epochs_on_disk + 0.5, color="0.6", linestyle=":")
_ = axes.annotate(" killed here", (epochs_on_disk + 0.5, 0.5), xycoords=("data", "axes fraction"), color="0.4")

# %% [markdown]
# Is it the same training? Both tables and all weights are compared, not roughly but bit by bit.

# %%
same_history = whole.drop(columns="seconds").equals(resumed.drop(columns="seconds"))
weights = [rt.load_best(folder / name).get_weights() for name in ("whole", "killed")]
same_weights = all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))
same_history, same_weights

# %% [markdown]
# On a CPU this holds to the last bit. A GPU adds numbers in an order of its own, so there two trainings differ in the
# last digits even if nobody disturbs either.
#
# A finished run is not trained again: the same line returns its history at once. More epochs go on from its end.

# %%
began = time.perf_counter()
run(folder / "killed")
f"{time.perf_counter() - began:.1f} s, most of them for the imports"

# %% [markdown]
# ## The stop button
#
# In a notebook you may simply press stop. Training ends behind the step it is in, the best weights are in the model,
# and the history comes back as usual, so that the cells below can go on; row 0 is the model as it came. Of several
# trainings in a loop, one press ends the one that is running, and a second press right behind it ends the loop. Here a
# callback presses once, in the third epoch.

# %%
task = rt.ForecastTask("sunspots", horizon=24, lookback=264)
train, validation, test = rt.split_by_time(frame, task)
model = rt.build_forecaster(train)


class PressStop(keras.callbacks.Callback):
    """Send this process what the stop button sends."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)


history = rt.train(
    model, train, validation, run_dir=folder / "stopped", callbacks=[*rt.default_callbacks(), PressStop()]
)
history

# %% [markdown]
# The folder belongs to this model. Another one is refused before anything is overwritten, and the error says what
# differs.

# %%
other = rt.build_forecaster(train, rt.recurrent_layers("gru", (64,)))
try:
    rt.train(other, train, validation, run_dir=folder / "stopped")
except ValueError as error:
    refusal = str(error)
refusal[:160]

# %% [markdown]
# ## Look inside
#
# `rt.Monitor` adds columns to the history: the norm of the gradients before [clipping](glossary.md#clipping), the share
# of clipped steps, how far a step moves the weights of each layer, how widely its outputs spread, and the share of
# [gates](glossary.md#gate) that are stuck open or shut. With `tensorboard=True` it writes them, with histograms, into
# the run's folder.

# %%
model = rt.build_forecaster(train)
watched = [*rt.default_callbacks(), rt.Monitor(tensorboard=True)]
history = rt.train(model, train, validation, epochs=min(epochs, 5), run_dir=folder / "watched", callbacks=watched)
history.filter(regex="gradient|clipped|ratio").T

# %% [markdown]
# An update ratio compares the size of a step with that of the weights it changes. Here most layers move by some
# thousandths in a step. `dense_1` moves by more than a tenth in the first epoch: its weights begin near zero, so that
# any step is large beside them, and the ratio falls as they grow. A ratio that stays at a tenth means a [learning
# rate](glossary.md#learning-rate) that is too high; a hundred thousandth means that next to nothing is learnt.
#
# To see the histograms, run this line in a terminal, or with a leading `%` in a notebook after `%load_ext tensorboard`:
#
# ```
# tensorboard --logdir runs
# ```

# %%
sorted(path.name for path in (folder / "watched" / "tensorboard").iterdir())[:3]

# %% [markdown]
# ## Learning rates by name
#
# A schedule is chosen by its name and the number of steps, for instance
# `rt.make_optimizer(3e-3, schedule="one_cycle", steps=epochs * len(train))`. Without one, `train` halves the rate when
# the [validation](glossary.md#validation) [loss](glossary.md#loss) no longer falls.

# %%
axes = rt.plot_schedule(
    ["constant", "exponential", "cosine", "warmup_cosine", "one_cycle"], learning_rate=3e-3, steps=1000
)

# %% [markdown]
# ## In five lines
#
# 1. `run_dir` is all it takes: the same call goes on after whatever has happened.
# 2. On a CPU it ends bit for bit where it would have ended; no file is ever half-written.
# 3. Stop, Ctrl-C and errors leave the best weights in the model.
# 4. A folder belongs to one training; another one is refused, and the error says what differs.
# 5. `rt.Monitor` shows gradients and update ratios, and a schedule is chosen by its picture.
#
# ## Exercises
#
# 1. Kill it yourself: run the script in a terminal, close the window in the middle, and run it again.
# 2. Train for more [epochs](glossary.md#epoch) in the folder that is finished. Which does the history hold?
#
# <details><summary>Solutions</summary>
#
# 1. `print(script)` says where it lies; `python train.py runs/mine 12 0` is the command. Call it twice, and look at
#    `rt.load_history("runs/mine")` in between.
# 2. `subprocess.run(command(folder / "killed", epochs=20), env=environment)`, then
#    `rt.load_history(folder / "killed")`: those of before, and the new ones behind them.
#
# </details>
#
# ## What to try next
#
# - Pass `progress="live"` to `rt.train` and watch the curves grow.
# - Average the weights: `rt.make_optimizer(average=0.99)`, with `rt.callbacks.AveragedWeights()` first in the list.

# %%
assert same_history and same_weights, (same_history, same_weights)
assert history.index[-1] == min(epochs, 5) and "another run" in refusal
