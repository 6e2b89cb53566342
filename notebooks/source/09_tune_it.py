# %% [markdown]
# # Tune it, and what each recommendation brings
#
# {colab}
#
# **Which [learning rate](glossary.md#learning-rate), how many [units](glossary.md#unit), how much
# [dropout](glossary.md#dropout)?** Nobody knows beforehand, and the advice in books was
# measured on the data of others. You let a search find out on yours, look at what it saw, and then put the usual
# recommendations side by side, several [seeds](glossary.md#seed) each, so that you can tell a gain from luck.
#
# At the end of this page you can
#
# - let a search find the learning rate, the size and the dropout of a network, and let it go on later;
# - read its pictures: which argument mattered, and whether a range was too narrow;
# - put variants side by side, and tell a gain from luck;
# - say which hardware a training uses, and which it should have.
#
# Words in blue are explained in the [glossary](glossary.md). About 5 minutes on two CPU cores.

# %%
import subprocess
import sys
from importlib.util import find_spec

# The search is Optuna's, which is not a part of Colab.
if find_spec("optuna") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "optuna"], check=True)

# %%
import tempfile
import warnings
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import rnn_toolkit as rt

# %% tags=["parameters"]
trials = 25  # networks that the search may try
epochs = 10  # passes through the training data, at most
seeds = 3  # trainings of each variant in the table

# %%
folder = Path(tempfile.mkdtemp())  # in Colab, a folder of your Drive outlives the machine
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # of its pictures
rt.describe_hardware()

# %% [markdown]
# ## The data, and a linear model to beat
#
# 1,797 handwritten digits of 8 by 8 pixels, read from the top row to the bottom: eight steps of eight channels. They
# are small, so that a hundred trainings take minutes. A quarter is kept for the end. What is tuned is judged by its
# [loss](glossary.md#loss) on the [validation](glossary.md#validation) pictures, and by nothing else.

# %%
images, digits = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8) / 16
rest, test, rest_digits, test_digits = train_test_split(images, digits, test_size=0.25, stratify=digits, random_state=0)
x, held, y, held_digits = train_test_split(rest, rest_digits, test_size=0.25, stratify=rest_digits, random_state=0)
train, validation = (x, y), (held, held_digits)
linear = LogisticRegression(max_iter=1000).fit(x.reshape(-1, 64), y)
linear_loss = log_loss(held_digits, linear.predict_proba(held.reshape(-1, 64)))
f"logistic regression: a loss of {linear_loss:.3f} on {len(held)} validation pictures"

# %% [markdown]
# ## One function that builds the network
#
# All that may vary is an argument, and its default is where you would have begun.


# %%
def build(cell="gru", units=32, dropout=0.0, rate=1e-3, clip=1.0, weight_decay=0.0, schedule=None, **options):
    """Return a compiled network that reads a picture row by row."""
    layers = rt.recurrent_layers(cell, (units,), dropout=dropout, **options)
    model = keras.Sequential([keras.Input((8, 8)), *layers, keras.layers.Dense(10, activation="softmax")])
    steps = epochs * -(-len(x) // 32)
    optimizer = rt.make_optimizer(rate, clip=clip, weight_decay=weight_decay, schedule=schedule, steps=steps)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# %% [markdown]
# ## The search
#
# A list is a choice, a pair the ends of a range. A learning rate is searched on a logarithmic scale: 0.01 is as far
# from 0.001 as 0.1 is from 0.01. Networks that fall behind are stopped early ("pruned"). With a `run_dir` a search that
# was interrupted goes on when it is called again; with `storage="postgresql://…"` several machines share one.

# %%
space = {
    "cell": ["simple", "gru", "lstm"],
    "units": (8, 64, "log"),
    "dropout": (0.0, 0.5),
    "rate": (1e-4, 1e-1, "log"),
}
found = rt.tune(build, space, train, validation, trials=trials, epochs=epochs, run_dir=folder / "search", seed=0)
found.head(8)

# %% [markdown]
# The best is the first row. Its arguments go back into `build`.

# %%
best = found[list(space)].iloc[0].to_dict()
best

# %% [markdown]
# ## What the search saw
#
# Optuna draws it, in a style of its own that `rc_context` keeps to its pictures. First how the best came down, trial by
# trial; then where in each range the good trials lie. If they crowd at the end of a range, move the range and search
# again.

# %%
study = optuna.load_study(study_name="search", storage=f"sqlite:///{folder / 'search' / 'study.db'}")
_ = plt.ion()  # before `rc_context`, which would take back that pictures are shown
with plt.rc_context():
    optuna.visualization.matplotlib.plot_optimization_history(study)

# %%
with plt.rc_context():
    optuna.visualization.matplotlib.plot_slice(study, params=["rate", "units", "dropout"])

# %% [markdown]
# Which argument mattered? Usually the learning rate, by far. That is why it is the first thing to tune, and often the
# last that is worth it.

# %%
with plt.rc_context():
    optuna.visualization.matplotlib.plot_param_importances(study)

# %% [markdown]
# Not enough? The same call with more trials goes on from there; nothing is trained twice.

# %%
found = rt.tune(build, space, train, validation, trials=trials + 2, epochs=epochs, run_dir=folder / "search", seed=0)
f"{len(found)} trials, {(found['state'] == 'pruned').sum()} of them stopped early"

# %% [markdown]
# ## What each recommendation brings
#
# Books recommend cells, initialisers (how the first weights are drawn), dropout on the inputs and between the steps,
# layer [normalisation](glossary.md#normalisation), [weight decay](glossary.md#weight-decay), schedules (a learning rate
# that changes while training) and [clipping](glossary.md#clipping). Each is one argument of Keras or of these helpers.
# Here every one is changed alone, with the learning rate that the search found, and trained with several seeds.
# `spread` is how far luck alone moves the result: a difference that is not clearly larger says nothing.

# %%
common = {"units": 32, "rate": best["rate"]}
changes = {
    "as it is: a GRU": {},
    "LSTM": {"cell": "lstm"},
    "SimpleRNN": {"cell": "simple"},
    "twice the units": {"units": 64},
    "He initialiser": {"kernel_initializer": "he_normal"},
    "Glorot also for the recurrent weights": {"recurrent_initializer": "glorot_uniform"},
    "dropout 0.3": {"dropout": 0.3},
    "recurrent dropout 0.3": {"recurrent_dropout": 0.3},
    "layer normalisation": {"normalization": "layer"},
    "weight decay 0.01": {"weight_decay": 0.01},
    "one cycle of the rate": {"schedule": "one_cycle"},
    "no clipping": {"clip": None},
}
variants = {name: common | change for name, change in changes.items()}
options = {"seeds": seeds, "epochs": epochs, "run_dir": folder / "table"}
table = rt.compare(build, variants, train, validation, baselines={"logistic regression": linear_loss}, **options)
table.sort_values("mean").round(3)

# %% tags=["picture"]
order = table.sort_values("mean", ascending=False)
ax = order["mean"].plot.barh(
    xerr=order["spread"], figsize=(9, 5), color="#99c7e0", xlabel="validation loss, best epoch"
)
ax.axvline(table.loc["as it is: a GRU", "mean"], color="#0072b2")

# %% [markdown]
# Read it like this: a bar that ends left of the line, and whose whisker does not reach it, helped. Bars within a
# whisker of the line did nothing that these pictures and seeds can show; do not keep what does nothing. The order is
# that of these data, not a law: run the table on yours.
#
# ## The end: pictures that nobody looked at
#
# The validation pictures chose the best of many, so its loss on them flatters. The test pictures were used for nothing
# so far.

# %%
keras.utils.set_random_seed(0)
networks = {"as we would have begun": build(), "found by the search": build(**best)}
rows = {}
for name, network in networks.items():
    rt.train(network, train, validation, epochs=epochs, progress=None)
    loss, accuracy = network.evaluate(test, test_digits, verbose=0)
    rows[name] = {"loss": loss, "accuracy": accuracy}
probabilities = linear.predict_proba(test.reshape(-1, 64))
rows["logistic regression"] = {
    "loss": log_loss(test_digits, probabilities),
    "accuracy": (probabilities.argmax(1) == test_digits).mean(),
}
scores = pd.DataFrame(rows).T
scores.round(3)

# %% [markdown]
# ## Which hardware?
#
# In Colab, choose it under *Runtime, Change runtime type*; `rt.describe_hardware()`, at the top, says what you got.
#
# - **CPU**: enough for every page of this course. A recurrent layer computes one step after the other, and in a small
#   layer a step is too little work to be worth another device.
# - **GPU**: for layers of several hundred units and batches of hundreds of rows. LSTM and GRU run there at full speed
#   only as they are by default: no `recurrent_dropout`, no other activation.
# - **TPU**: for the same, with rows that are all of one length, since each new shape is compiled anew. Keras trains on
#   it by JAX, which the first cell of a page chooses by itself.
#
# Several GPUs share every batch when the network is built and trained within `rt.use_all_devices()`. Take a batch that
# is larger by their number. Here there may be just one device, which changes nothing.

# %%
with rt.use_all_devices() as devices:
    shared = build(**common)
    shared_history = rt.train(shared, train, validation, epochs=2, batch_size=64 * len(devices), progress=None)
f"trained on {', '.join(devices)}: the validation loss fell to {shared_history.val_loss.min():.2f} in two epochs"

# %% [markdown]
# On several machines, start the same script on each, with Keras on JAX. Every process takes its own part of the rows,
# all of them equally many:
#
# ```python
# process = 0  # 1 on the other machine
# keras.distribution.initialize("10.0.0.1:1234", num_processes=2, process_id=process)  # the address of the first
# keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
# model, rows, few = build(**common), slice(process, 1010, 2), slice(process, 336, 2)
# rt.train(model, (x[rows], y[rows]), (held[few], held_digits[few]), run_dir=shared_folder)
# ```
#
# The first process writes the run. When one of them dies, stop the others and start all of them again: they go on.
#
# ## In five lines
#
# 1. All that may vary is an argument of one function that builds the network; `rt.tune` searches its ranges.
# 2. Trials that fall behind are stopped early, and with a `run_dir` the search goes on when it is called again.
# 3. Tune the learning rate first: it usually matters most.
# 4. `rt.compare` changes one thing at a time and trains with several seeds; a gain smaller than the spread is luck.
# 5. What was chosen on the validation rows is scored once, on test rows that were used for nothing, beside a linear
#    model.
#
# ## Exercises
#
# 1. Does a network of twice the size need another learning rate? Let a search look for nothing else.
# 2. A network may read a picture from the bottom up as well, and put both readings together. Does that help?
#
# <details><summary>Solutions</summary>
#
# 1. A function in place of `build` keeps the size. Look at the rates of the best three rows, not of the first alone:
#
#    ```python
#    rates = {"rate": (1e-4, 1e-1, "log")}
#    rt.tune(lambda rate: build(units=64, rate=rate), rates, train, validation, trials=8, epochs=epochs, seed=0)
#    ```
#
#    In our run of 20 epochs 0.0044 and 0.0045 came first, with a loss of 0.116 and 0.118. Compare them with
#    `best["rate"]`.
# 2. What `build` does not know goes on to `rt.recurrent_layers`:
#
#    ```python
#    both = {"one way": common, "both ways": common | {"bidirectional": True}}
#    rt.compare(build, both, train, validation, seeds=seeds, epochs=epochs).round(3)
#    ```
#
#    In our run of 20 epochs, with a rate of 0.01, the mean loss was 0.083 one way and 0.070 both ways. But the three
#    trainings both ways lie between 0.054 and 0.096: that is no proof yet, and each takes a third longer. More seeds
#    would tell.
#
# </details>
#
# ## What to try next
#
# - Your own table or texts: `build` returns any compiled Keras model, and the data are what `rt.train` takes.
# - [Look-back](glossary.md#look-back) or [batch](glossary.md#batch) size in the space: let `build` return
#   `(model, train, validation)`.
# - Mixed precision and the accumulation of [gradients](glossary.md#gradient) are one line each,
#   `keras.config.set_dtype_policy("mixed_float16")` and `gradient_accumulation_steps=4` of any Keras optimizer; both
#   are for large networks on a GPU, and would only slow these down.

# %%
finished = found[found["state"] == "complete"]
assert len(found) == trials + 2 and len(finished) > 0
assert finished["val_loss"].is_monotonic_increasing
assert len(shared_history) == 3 and np.isfinite(shared_history.val_loss).all()
assert np.isfinite(table["mean"]).all() and table["seed_0"].notna().sum() == len(variants)
