# %% [markdown]
# # Why doesn't my network learn?
#
# {colab}
#
# **A training that goes wrong does not raise an error.** The loss stands still, and that is all there is to see. You
# break a sound network in six ways, each by one line that anybody could have written, let `rt.diagnose` say what is
# wrong, look at the evidence, and do what it advises.
#
# At the end of this page you can
#
# - test a network before its training, and know which loss means that nothing was learnt;
# - read the findings of `rt.diagnose` from the cause to what follows from it;
# - recognise six of the most frequent faults by their pictures.
#
# All findings are listed on a [page of their own](findings.md), other words in the [glossary](glossary.md). About 4
# minutes on two CPU cores.

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
# hours, and asked: **was the second day colder, like the first one, or warmer?** The answer is in the
# [window](glossary.md#window), so a network that cannot give it has been trained wrongly. To answer, it must remember
# the first day until the end.

# %%
columns = ["temperature", "humidity", "pressure"]
hourly = rt.datasets.load_weather().set_index("time")
table = hourly.groupby("airport")[columns].resample("3h").mean().groupby("airport").ffill().bfill()
table.head()

# %% [markdown]
# Windows overlap, so training and [validation](glossary.md#validation) must not share days: every third month is kept
# for validation, and no window reaches from one month into the next.

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
colours = np.repeat(["#0072b2", "#8c8c8c", "#e69f00"], 3)
axes = pd.DataFrame(train[0][chosen, :, 0].T).plot(color=colours, legend=False)
axes.axvline(steps / 2 - 0.5, color="0.6", linestyle=":")
_ = axes.set(
    title="Colder (blue), alike (grey), warmer (orange)",
    xlabel="step, three hours each",
    ylabel="temperature, standard deviations",
)

# %% [markdown]
# Which [loss](glossary.md#loss) means that nothing was learnt? That of a constant answer which only knows how frequent
# each label is. A picture of a loss without that line says little.

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
# Nothing was found. It skips what only a training can show.
#
# One of these checks is worth knowing by itself. A sound network learns a few rows **by heart** in seconds; one that
# cannot will not learn from thousands either. Look for a loss that goes most of the way to zero, where the test ends.

# %%
by_heart = rt.overfit_one_batch(model, train)
axes = by_heart.loss.plot(title="Eight rows, learnt by heart")
_ = axes.set(xlabel="step", ylabel="loss", ylim=0)

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
# [epoch](glossary.md#epoch) to epoch; that is no fault. This is the run to compare with.
#
# For each of the six, two helpers: one keeps what was found, the other draws three validation losses in one picture.

# %%
results = {}


def keep(fault, check, findings, broken, mended):
    """Keep what was found and the best validation losses, and draw the broken run beside the mended and healthy one."""
    place = findings.check.tolist().index(check) + 1 if check in findings.check.tolist() else None
    best = {name: run.val_loss.min() for name, run in {"broken": broken, "mended": mended, "healthy": healthy}.items()}
    results[fault] = {"named": check, "as finding": place, **best}
    axes = healthy.val_loss.plot(color="#cfcfcf", linewidth=6, label="healthy")
    broken.val_loss.plot(ax=axes, color="#d55e00", label="broken")
    mended.val_loss.plot(ax=axes, color="#0072b2", label="mended")
    axes.axhline(constant, color="0.6", linestyle=":")
    axes.set(title=f"Validation loss: {fault} (dotted: a constant)", ylabel="loss", xlabel="epoch", ylim=(None, 2))
    axes.legend()


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
# One cause has many effects, which is why there are several findings. They stand in order, the cause before what
# follows from it. Here the cause is that the layer receives values near 1,000, and what follows is that its outputs are
# always the same. Compare what it receives with what it should:

# %%
received = {"raw": raw_train[0], "scaled": train[0]}
size = {name: np.sqrt((x**2).mean(axis=(0, 1))) for name, x in received.items()}
axes = pd.DataFrame(size, index=columns).plot.barh(logx=True, figsize=(9, 2.5), color=["#d55e00", "#0072b2"])
axes.axvline(1, color="0.6", linestyle=":")
_ = axes.set(title="What the first layer receives: about 1 is wanted", xlabel="root mean square", xlim=(0.1, 2000))

# %% [markdown]
# The remedy, as it stands in the table: a scaler, fitted on the training rows, as the first layer. There it also scales
# whatever the model is used on later.

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
# The [learning rate](glossary.md#learning-rate) is 1 where 0.01 was meant. Look for a loss that jumps about at or above
# the dotted line.

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
# Three remedies stand beside it: `tanh` in place of the sigmoid, which is what Keras' SimpleRNN has anyway; a
# [GRU](glossary.md#gru); and an [LSTM](glossary.md#lstm), which keeps its memory in a cell of its own. Look at the left
# end of the lines: how much of the [gradient](glossary.md#gradient) gets to the first day?

# %%
others = {"tanh": build(keras.layers.SimpleRNN), "GRU": build(keras.layers.GRU), "LSTM": build(keras.layers.LSTM)}
runs = {name: fit(other) for name, other in others.items()}
mended = runs["LSTM"]
x, y = (one[::20] for one in train)
flows = {name: rt.gradient_flow(one, x, y).iloc[:, 0] for name, one in {"sigmoid": model, **others}.items()}
axes = rt.plot_gradient_flow(pd.DataFrame(flows))

# %% [markdown]
# The scale is logarithmic: each step back divides the gradient of the network with the sigmoid by nearly four, and no
# number of epochs brings that back. The other three lose far less. Their best validation losses:

# %%
pd.Series({"sigmoid": broken.val_loss.min(), **{name: run.val_loss.min() for name, run in runs.items()}}).round(3)

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
axes = pd.DataFrame(curves).plot(color=["#d55e00", "#0072b2"], title="Eight rows by heart")
_ = axes.set(xlabel="step", ylabel="loss", ylim=0)

# %%
mended = fit(build(last="softmax"))
keep("softmax forgotten", "loss and activation", findings, broken, mended)

# %% [markdown]
# With the [softmax](glossary.md#softmax) it is the healthy network again, and the two lines are one.
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
_ = panels.iloc[0].figure.suptitle("How many degrees warmer it became")

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
# ## In five lines
#
# 1. Know the loss of a constant answer: a training that does not get below it has learnt nothing.
# 2. A sound network learns eight rows by heart within seconds. Try this before any training.
# 3. Read findings from the first on: the cause stands before what follows from it.
# 4. Equal curves have unequal causes; the evidence tells them apart.
# 5. The remedy stands beside the finding, and often is one line.
#
# ## Exercises
#
# 1. Break it with `build(units=1)`, and with `build(rate=1e-5)`. Which findings come first?
# 2. Add the answer itself as a fourth column of the inputs. What does `diagnose` say?
#
# <details><summary>Solutions</summary>
#
# 1. `model = build(units=1); rt.diagnose(model, train, validation, history=fit(model))`, and likewise for the rate. One
#    [unit](glossary.md#unit) is too small to learn with, [underfitting](findings.md#underfitting); the small rate is
#    [too low](findings.md#learning-rate-too-low).
# 2. `np.concatenate([x, np.repeat(y[:, None, None], steps, axis=1)], axis=2)` for both parts, and `len(columns) + 1`
#    in the `Input`. It reports [leakage](findings.md#leakage).
#
# </details>
#
# ## What to try next
#
# - Your own model: `rt.diagnose(model, (x, y), (x_validation, y_validation), history=model.fit(...))` works on any
#   Keras model. Try it before you train.
# - `rt.layer_statistics(model, train[0][:200])`: [gates](glossary.md#gate), dead units and spectral radius of each
#   layer.
# - `rt.make_optimizer(clip=None)`: what happens where gradients are not cut down to a norm of 1.
# - Slow on a GPU? `recurrent_dropout`, another activation than `tanh`, and `unroll=True` keep LSTM and GRU from their
#   fast way of running; `dropout` does not.
# - Another limit: `rt.diagnose(..., thresholds={"input_scale": 30})`; `rnn_toolkit/diagnosis/thresholds.py` lists all
#   of them with their sources.

# %%
assert all(one["as finding"] in (1, 2) for one in results.values()), results
assert len(results) == 6 and healthy.index[-1] <= epochs
