# %% [markdown]
# # Why doesn't my network learn?
#
# {colab}
#
# **A training that goes wrong does not raise an error.** The loss stands still, and that is all there is to see. You
# break a sound network in six ways, each by one line that anybody could have written, let `rt.diagnose` say what is
# wrong, look at the evidence, and do what it advises. At the end stands what each of its findings means.
#
# About 4 minutes on two CPU cores.

# %%
import keras
import numpy as np
import pandas as pd

import rnn_toolkit as rt

# %% tags=["parameters"]
epochs = 15  # passes through the training data
long_epochs = 40  # of the run that goes on for too long, on a few rows
units = 16  # of the sound network
learning_rate = 0.01  # of the sound network
seed = 0

# %% [markdown]
# ## A question with an answer
#
# Three airports reported their weather every hour of the year 2013. The network is shown two days, a row every three
# hours, and asked: **was the second day colder, like the first one, or warmer?** The answer is in the window, so a
# network that cannot give it has been trained wrongly. To answer, it must remember the first day until the end.

# %%
columns = ["temperature", "humidity", "pressure"]
hourly = rt.datasets.load_weather().set_index("time")
table = hourly.groupby("airport")[columns].resample("3h").mean().groupby("airport").ffill().bfill()
table.head()

# %% [markdown]
# Windows overlap, so training and validation must not share days: every third month is kept for validation, and no
# window reaches from one month into the next.

# %%
steps = 16  # two days of eight rows


def cut(rows):
    """Return windows `(rows, 16, 3)`, and 0 (colder), 1 (alike) or 2 (warmer) by at least 3 degrees Fahrenheit."""
    months = rows.groupby([rows.index.get_level_values("airport"), rows.index.get_level_values("time").month])
    views = [np.lib.stride_tricks.sliding_window_view(month, steps, axis=0) for _, month in months]
    x = np.concatenate(views).transpose(0, 2, 1).astype("float32")  # (rows, timesteps, features)
    change = x[:, steps // 2 :, 0].mean(axis=1) - x[:, : steps // 2, 0].mean(axis=1)
    return x, np.digitize(change, [-3, 3]).astype("int32")


is_kept = table.index.get_level_values("time").month % 3 == 0
raw_train, raw_validation = cut(table[~is_kept]), cut(table[is_kept])
raw_train[0].shape, raw_validation[0].shape

# %% [markdown]
# Each column is brought to mean 0 and deviation 1, by the training rows. Look at three windows of each answer: a person
# would tell them apart by the level of the two halves.

# %%
mean, deviation = raw_train[0].mean(axis=(0, 1)), raw_train[0].std(axis=(0, 1))
train, validation = (((x - mean) / deviation, y) for x, y in (raw_train, raw_validation))
answers = ["colder", "alike", "warmer"]
chosen = np.concatenate([np.flatnonzero(train[1] == code)[40:400:120] for code in range(3)])
colours = np.repeat(["#2a78d6", "#8a8a8a", "#e07b39"], 3)
axes = pd.DataFrame(train[0][chosen, :, 0].T).plot(color=colours, figsize=(9, 3.5), legend=False)
axes.axvline(steps / 2 - 0.5, color="0.6", linestyle=":")
axes.set(title="Temperature: colder (blue), alike (grey), warmer (orange)", xlabel="step, three hours each")
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# Which loss means that nothing was learnt? That of a constant which only knows how frequent each answer is. A picture
# of a loss without that line says little.

# %%
shares = np.bincount(train[1]) / len(train[1])
constant = float(-(shares * np.log(shares)).sum())
pd.Series(shares.round(2), answers).to_frame("share").T.assign(constant_loss=round(constant, 3))

# %% [markdown]
# ## Before you train
#
# One function builds every network of this page, the sound one by default. What is broken later is an argument.


# %%
def build(cell=keras.layers.GRU, units=units, *, scaler=None, last="softmax", rate=learning_rate, **options):
    """Return a compiled network, drawn from the same seed each time."""
    keras.utils.set_random_seed(seed)
    front = [keras.Input((steps, len(columns)))] + ([scaler] if scaler else [])
    model = keras.Sequential([*front, cell(units, **options), keras.layers.Dense(len(answers), activation=last)])
    model.compile(rt.make_optimizer(rate), loss="sparse_categorical_crossentropy")
    return model


# %% [markdown]
# `rt.diagnose` takes the model and the data. It needs no training: it looks at the data, runs the model on a few
# batches, and leaves everything as it was.

# %%
model = build()
rt.diagnose(model, train, validation)

# %% [markdown]
# Nothing found, and what was checked. It skips what only a training can show.
#
# One of these checks is worth knowing by itself. A sound network learns a few rows **by heart** in seconds; one that
# cannot will not learn from thousands either. Look for a loss that goes most of the way to zero, where the test ends.

# %%
by_heart = rt.overfit_one_batch(model, train)
axes = by_heart.loss.plot(figsize=(9, 3), title=f"Eight rows, learnt by heart: {by_heart.attrs['overfits']}")
axes.set(ylabel="loss", ylim=0)
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## A healthy run
#
# `rt.Monitor()` among the callbacks notes gradients and updates in the history, which makes the diagnosis sharper.


# %%
def fit(model, train=train, validation=validation, epochs=epochs, callbacks=()):
    """Train with the usual callbacks, or with others, and a monitor."""
    callbacks = [*(callbacks or rt.default_callbacks()), rt.Monitor()]
    return rt.train(model, train, validation, epochs=epochs, batch_size=64, callbacks=callbacks, progress=None)


healthy = fit(model)
axes = rt.plot_history(healthy)

# %%
rt.diagnose(model, train, validation, history=healthy)

# %% [markdown]
# Both losses fall to about a fifth of the constant's, and nothing is found. The validation loss jumps a little from
# epoch to epoch; that is no fault. This is the run to compare with.
#
# For each of the six, two helpers: one keeps what was found, the other draws three validation losses in one picture.

# %%
results = {}


def keep(fault, check, findings, broken, mended):
    """Keep what was found and the best validation losses, and draw the broken run beside the mended and healthy one."""
    place = findings.check.tolist().index(check) + 1 if check in findings.check.tolist() else None
    best = {name: run.val_loss.min() for name, run in {"broken": broken, "mended": mended, "healthy": healthy}.items()}
    results[fault] = {"named": check, "as finding": place, **best}
    axes = healthy.val_loss.plot(color="#cfcfcf", linewidth=6, label="healthy", figsize=(9, 3.5))
    broken.val_loss.plot(ax=axes, color="#b3261e", linewidth=2, label="broken")
    mended.val_loss.plot(ax=axes, color="#2a78d6", linewidth=2, label="mended")
    axes.axhline(constant, color="0.6", linestyle=":")
    axes.set(title=f"Validation loss: {fault} (dotted: a constant)", ylabel="loss", ylim=(None, 2))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


# %% [markdown]
# ## 1. Raw inputs
#
# The columns were not scaled. Pressure stands at about 1,017 millibars and changes by a hundredth of that, which is
# nothing a person who looks at the table would stumble over. Look for a loss that stays at the dotted line.

# %%
model = build()
broken = fit(model, raw_train, raw_validation)
findings = rt.diagnose(model, raw_train, raw_validation, history=broken)
findings

# %% [markdown]
# One cause has many effects, which is why there are several findings. Read the first two: the outputs are always the
# same, because the layer receives values near 1,000. Compare what it receives with what it should:

# %%
received = {"raw": raw_train[0], "scaled": train[0]}
size = {name: np.sqrt((x**2).mean(axis=(0, 1))) for name, x in received.items()}
axes = pd.DataFrame(size, index=columns).plot.barh(logx=True, figsize=(9, 2.5), color=["#b3261e", "#2a78d6"])
axes.axvline(1, color="0.6", linestyle=":")
axes.set(title="What the first layer receives (root mean square): about 1 is wanted", xlim=(0.1, 2000))
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# The remedy is pasted: a scaler, fitted on the training rows, as the first layer. There it also scales whatever the
# model is used on later.

# %%
scaler = keras.layers.Normalization()
scaler.adapt(raw_train[0])
mended = fit(build(scaler=scaler), raw_train, raw_validation)
keep("raw inputs", "input scale", findings, broken, mended)

# %% [markdown]
# The mended line lies on the healthy one: the same numbers arrive in the layer.
#
# ## 2. Steps that are too large
#
# The learning rate is 1 where 0.01 was meant. Look for a loss that jumps about at or above the dotted line.

# %%
model = build(rate=100 * learning_rate)
broken = fit(model)
findings = rt.diagnose(model, train, validation, history=broken)
findings

# %% [markdown]
# The finding names a rate to train with. It comes from a **range test**: the rate is raised from step to step, from
# very small to very large, and then everything is put back. Look for the part where the line falls.

# %%
rates = rt.find_learning_rate(build(rate=100 * learning_rate), train, steps=200)
axes = rt.plot_learning_rates(rates)

# %% [markdown]
# Below about 0.001 nothing moves, above about 0.5 the loss flies off, and the suggestion is a tenth of the rate at
# which the line was lowest. Another number of steps gives another suggestion, twice or half as large: the test gives an
# order of magnitude, and that is what was wrong here.

# %%
mended = fit(build(rate=rates.attrs["suggestion"]))
keep("too high a learning rate", "learning rate too high", findings, broken, mended)

# %% [markdown]
# The mended run learns, if not quite as well as the healthy one, whose rate is lower still.
#
# ## 3. A memory that fades
#
# A `SimpleRNN` with a sigmoid, as in the first textbooks. What it learns about the first day has to travel back through
# eight steps and more. Look for a loss that falls, but stays near the dotted line.

# %%
model = build(keras.layers.SimpleRNN, activation="sigmoid")
broken = fit(model)
findings = rt.diagnose(model, train, validation, history=broken)
findings

# %% [markdown]
# An LSTM keeps its memory in a cell of its own, which is added to instead of being multiplied. Look at the left end of
# the lines: how much of the gradient gets to the first day?

# %%
other = build(keras.layers.LSTM)
mended = fit(other)
x, y = (one[::20] for one in train)
flow = rt.gradient_flow(model, x, y).join(rt.gradient_flow(other, x, y))
axes = rt.plot_gradient_flow(flow)

# %% [markdown]
# The scale is logarithmic: each step back divides the SimpleRNN's gradient by nearly four, and no number of epochs
# brings that back. The LSTM's line is level.

# %%
keep("vanishing gradients", "vanishing gradients", findings, broken, mended)

# %% [markdown]
# ## 4. A softmax forgotten
#
# The last layer has no activation, so its outputs are any numbers; the loss takes them for probabilities. Nothing
# complains. Look for a loss that is perfectly flat.

# %%
model = build(last=None)
broken = fit(model)
findings = rt.diagnose(model, train, validation, history=broken)
findings

# %% [markdown]
# This was known before training, and by the quickest test there is: it does not even learn eight rows.

# %%
heads = {"without softmax": None, "with softmax": "softmax"}
curves = {name: rt.overfit_one_batch(build(last=last), train).loss for name, last in heads.items()}
axes = pd.DataFrame(curves).plot(color=["#b3261e", "#2a78d6"], linewidth=2, figsize=(9, 3))
axes.set(title="Eight rows by heart", ylabel="loss", ylim=0)
axes.spines[["top", "right"]].set_visible(False)

# %%
mended = fit(build(last="softmax"))
keep("softmax forgotten", "loss and activation", findings, broken, mended)

# %% [markdown]
# With the softmax it is the healthy network again, and the two lines are one.
#
# ## 5. Labels shuffled apart from their rows
#
# The labels were put into a new order and the inputs were not. Types, shapes and shares are all as they should be, and
# the loss stays at the dotted line, as it did three times before. Look at what the finding says of learning by heart.

# %%
shuffled = (train[0], np.random.default_rng(seed).permutation(train[1]))
model = build()
broken = fit(model, shuffled)
findings = rt.diagnose(model, shuffled, validation, history=broken)
findings

# %% [markdown]
# No statistic of the labels alone shows it. Look at rows **beside** their targets, and draw what you know must depend
# on each other: how much warmer it became, for each of the answers.

# %%
x = raw_train[0]
change = x[:, steps // 2 :, 0].mean(axis=1) - x[:, : steps // 2, 0].mean(axis=1)
pairs = pd.DataFrame({"right order": train[1], "shuffled": shuffled[1]}).melt(var_name="labels", value_name="answer")
pairs["answer"] = pairs.answer.map(dict(enumerate(["0 colder", "1 alike", "2 warmer"])))
pairs["degrees"] = np.tile(change, 2)
panels = pairs.groupby("labels").boxplot(column="degrees", by="answer", showfliers=False, grid=False, figsize=(9, 3.5))
_ = panels.iloc[0].figure.suptitle("How many degrees warmer it became", y=1.02)

# %% [markdown]
# The remedy is one order for both, here the one they came in.

# %%
order = np.random.default_rng(seed).permutation(len(train[0]))
mended = fit(build(), (train[0][order], train[1][order]))
keep("shuffled labels", "labels unrelated to inputs", findings, broken, mended)

# %% [markdown]
# ## 6. Learnt by heart
#
# A large network, a few rows (every fortieth was kept, for a quick try), and no early stopping. Look for the shaded
# wedge: the training loss goes to zero, the validation loss climbs.

# %%
few = tuple(part[::40] for part in train)
model = build(units=6 * units)
broken = fit(model, few, epochs=long_epochs, callbacks=[rt.callbacks.StopOnNaN()])
axes = rt.plot_history(broken)

# %%
findings = rt.diagnose(model, few, validation, history=broken)
findings

# %% [markdown]
# Early stopping alone would have kept the best epoch of the broken run, which is hardly better than a constant: 137
# rows do not hold more. The last remedy in the list is the one that helps, more data. It is the same large network.

# %%
mended = fit(build(units=6 * units))
keep("learnt by heart", "overfitting", findings, broken, mended)

# %% [markdown]
# ## All six

# %%
pd.DataFrame(results).T.convert_dtypes().round(3)

# %% [markdown]
# The columns `broken`, `mended` and `healthy` hold the lowest validation loss of each run. Every fault was named as
# first or second finding, and what it advised brought the loss from near the constant's (about 1.05) to between 0.19
# and 0.28. By their losses the broken runs can hardly be told apart; what was wrong with them was quite different.
#
# ## What to try next
#
# - Your own model: `rt.diagnose(model, (x, y), (x_validation, y_validation), history=model.fit(...))` works on any
#   Keras model. Try it before you train.
# - Break this one otherwise: `build(units=1)`, `build(rate=1e-5)`, or a column that holds the answer.
# - `rt.layer_statistics(model, train[0][:200])`: gates, dead units and spectral radius of each layer.
# - `rt.make_optimizer(clip=None)`: what happens where gradients are not cut down to a norm of 1.
# - Slow on a GPU? `recurrent_dropout`, another activation than `tanh`, and `unroll=True` keep LSTM and GRU from their
#   fast way of running; `dropout` does not.
# - Another limit: `rt.diagnose(..., thresholds={"input_scale": 30})`; `rnn_toolkit/diagnosis/thresholds.py` lists all
#   of them with their sources.

# %%
assert all(one["as finding"] in (1, 2) for one in results.values()), results
assert len(results) == 6 and len(healthy) <= epochs

# %% [markdown]
# ## What each finding means
#
# In the order in which they are checked: causes before what follows from them.
#
# ### non-finite values
# Somewhere in the data stands NaN ("not a number") or infinity. One of them makes the loss NaN, and with the next step
# every weight, so nothing is left to train.
#
# ### constant target
# The answer is always the same. The loss falls to zero, but the network has only learnt to say that one thing.
#
# ### labels out of range
# Classes are numbered from 0, and each needs an output; words are numbered, and each needs a row in the embedding. A
# number beyond gives nonsense, often without an error.
#
# ### loss and activation
# The last activation makes numbers of one kind, and the loss expects another, such as probabilities. Softmax goes with
# categorical cross-entropy, sigmoid with binary cross-entropy, no activation with squared or absolute errors.
#
# ### symmetric initialisation
# Units that start with equal weights are corrected equally, and stay equal forever: many units do the work of one.
# Starting weights must be random.
#
# ### leakage
# The network sees something in training that tells it the answers it is examined on: the target among the inputs, or
# validation windows that overlap with training windows. The validation loss then is too good to be true.
#
# ### masked rows
# Some rows hold nothing but padding, or have a weight of zero. They count as data, but there is nothing to read.
#
# ### padding side
# Short sequences are filled up with zeros in front, so that the network has to carry them along, or reads them as data.
# Fill up behind, and mask.
#
# ### missing class
# A class that the network is to tell never occurs among the training rows. It will never be answered.
#
# ### duplicates
# Rows stand in both training and validation. A network that learns rows by heart looks good on them.
#
# ### class imbalance
# One class is many times as frequent as another. Never answering the rare one costs hardly any loss, so that is what
# the network may learn; weights for the classes put this right.
#
# ### different distributions
# Training and validation rows are unlike each other: other levels, other shares of classes, other words. The network is
# examined on what it was not taught.
#
# ### unknown tokens
# Many words are not in the vocabulary, and all of these look the same to the network.
#
# ### input scale
# The numbers that go in are far larger or smaller than about 1, which is what the starting weights are made for. Large
# ones push the gates to their ends, where they no longer move.
#
# ### target scale
# The numbers to predict are far from zero, where every network starts. It spends its training on getting there, with
# steps that are far too large for what comes after.
#
# ### frozen layers
# A layer is marked as not trainable although it was never trained, so it passes on random numbers.
#
# ### learning rate too high
# Each step is so large that it jumps over the place it should get to. The loss jumps about or grows.
#
# ### divergence
# The loss became infinite or NaN in the middle of a training, mostly because steps or gradients were too large.
#
# ### input not used
# The answers are the same for every input. Somewhere on the way from first to last layer, the input is lost.
#
# ### dead units
# Units whose output never changes, whatever comes in. No gradient gets through them, so they do not come back.
#
# ### saturated gates
# LSTM and GRU decide by gates what to keep, each between 0 (shut) and 1 (open). Gates stuck at the ends hardly react to
# a correction.
#
# ### exploding gradients
# On its way back through time the gradient is multiplied at each step; by more than 1, and it grows without bounds. Few
# steps then decide over all that was learnt.
#
# ### clipping
# Every step is cut down to a set size, far below what the gradients ask for. That is meant for rare outliers; as a rule
# it only makes training slow.
#
# ### learning rate too low
# The loss falls in the right direction, but so slowly that the training ends long before it is down.
#
# ### stopped too early
# The loss was still falling when the last epoch was over. Nothing is wrong but the number of epochs.
#
# ### look-back
# What would help to forecast lies further back than the windows reach, last week's same day perhaps. What is not in the
# window, no network can see.
#
# ### underfitting
# The network is too small for the task: it does equally badly on rows it has seen and on rows it has not.
#
# ### vanishing gradients
# On its way back through time the gradient is multiplied at each step; by less than 1, and nothing is left of it after
# some steps. What happened long ago then cannot be learnt.
#
# ### labels unrelated to inputs
# Training rows can be learnt by heart, but what was learnt holds nowhere else. Most often inputs and labels were
# shuffled or joined apart from each other; sometimes the inputs just do not hold the answer.
#
# ### overfitting
# The network has learnt its rows by heart instead of what they have in common: good on training rows, bad on others.
#
# ### cannot overfit one batch
# Not even a few rows can be learnt by heart, which any sound network does within seconds. Something stands in the way.
#
# ### no better than a constant
# The training loss never got below that of always giving the same answer. This is the symptom; the cause mostly is
# another finding.
