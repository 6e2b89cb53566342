# %% [markdown]
# # What a recurrent network is
#
# {colab}
#
# **How can a network remember?** You build a recurrent network from ten lines of NumPy, check that Keras computes the
# same numbers, forecast the weather with a plain Keras model, and see where memory ends and why.
#
# At the end of this page you can
#
# - say what the state is, and which shapes go in and come out;
# - write, train and judge a recurrent network in plain Keras;
# - tell a gradient that vanishes from one that explodes, and know what helps against each.
#
# Words in blue are explained in the [glossary](glossary.md). You need some Python; of networks you need not know
# anything. About 2 minutes on two CPU cores.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

import rnn_toolkit as rt

# %% tags=["parameters"]
epochs = 12  # passes through the training data
lags = [2, 5, 10, 20, 40]  # steps to remember something for
num_rows = 2048  # sequences to learn remembering from
seed = 0

# %% [markdown]
# ## A state that is handed on
#
# An ordinary network sees everything at once. A recurrent one reads **step by step**, and keeps a **state**: a list of
# numbers, its notes on all that it has read. At each step it makes a new state from the old one and from what it reads.
# On the left the network as it is; on the right the same network drawn once for each step, which is called *unrolled*.
# Look at the letters: there is only one U and one W, used again at every step.

# %% jupyter={"source_hidden": true} cellView="form"
# @title The drawing
figure, ax = plt.subplots(figsize=(9, 3))
box = {"boxstyle": "round,pad=0.5", "facecolor": "#cce3f0", "edgecolor": "#0072b2"}
arrow = {"arrowstyle": "-|>", "color": "#333333", "shrinkA": 16, "shrinkB": 16}
for x, name in [(0, "$h$"), (3, "$h_1$"), (5, "$h_2$"), (7, "$h_3$"), (9, "$h_4$")]:
    ax.text(x, 1, name, bbox=box, ha="center", va="center", fontsize=14)
    for y, letter, (start, end) in [(0.5, "W", ((x, 0), (x, 1))), (1.5, "", ((x, 1), (x, 2)))]:
        ax.annotate("", end, start, arrowprops=arrow)
        ax.text(x + 0.12, y, letter, fontsize=12, va="center")
    ax.text(x, 0, name.replace("h", "x"), ha="center", va="center", fontsize=14)
    ax.text(x, 2, name.replace("h", "y"), ha="center", va="center", fontsize=14)
for x in (3, 5, 7):
    ax.annotate("", (x + 2, 1), (x, 1), arrowprops=arrow)
    ax.text(x + 1, 1.12, "U", fontsize=12, ha="center")
loop = arrow | {"connectionstyle": "arc3,rad=-1.4", "shrinkA": 0, "shrinkB": 0}
ax.annotate("", (0.28, 0.82), (0.28, 1.18), arrowprops=loop)
ax.text(0.85, 1, "U", fontsize=12, va="center")
ax.text(1.85, 1, "=", fontsize=20, ha="center", va="center")
ax.set(xlim=(-0.6, 9.6), ylim=(-0.3, 2.3), title="A recurrent network, and the same one unrolled over four steps")
_ = ax.axis("off")

# %% [markdown]
# As a formula: $h_t = \tanh(x_t W + h_{t-1} U + b)$. The weights W, U and b are what training finds.
#
# ## Ten lines of NumPy
#
# This is the whole network. Read the loop: one line makes the new state.


# %%
def simple_rnn(x, W, U, b):
    """Return the state at each step, `(batch, timesteps, units)`, for inputs `(batch, timesteps, features)`."""
    h = np.zeros((len(x), len(U)))  # nothing read yet, nothing noted
    states = []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ W + h @ U + b)
        states.append(h)
    return np.stack(states, axis=1)


# %% [markdown]
# Keras has the same as a layer. Give both the same weights, and they must say the same.

# %%
keras.utils.set_random_seed(seed)
x = np.random.default_rng(seed).normal(size=(2, 5, 3)).astype("float32")  # 2 sequences, 5 steps, 3 features
layer = keras.layers.SimpleRNN(4, return_sequences=True)
by_keras = keras.ops.convert_to_numpy(layer(x))
by_hand = simple_rnn(x, *layer.get_weights())
difference = abs(by_keras - by_hand).max()
f"the largest difference is {difference:.0e}"

# %% [markdown]
# ## Shapes
#
# Most errors of a beginner are errors of shape. Inputs always have three axes: **(batch, timesteps, features)**. Many
# sequences are read at the same time ([batch](glossary.md#batch)), each of so many steps, and each step has so many
# numbers. What comes out depends on `return_sequences`:

# %%
shapes = {
    "what goes in": x.shape,
    "return_sequences=False: the last state": keras.layers.SimpleRNN(4)(x).shape,
    "return_sequences=True: the state of each step": layer(x).shape,
}
pd.Series({name: str(tuple(shape)) for name, shape in shapes.items()}, name="shape").to_frame()

# %% [markdown]
# One answer for a whole sequence (is this customer angry?) needs the last state. An answer for each step (which word is
# a name?) needs all of them, and so does a second recurrent layer on top of the first.
#
# ## Sequences of different length
#
# A batch is one array, so short sequences are filled up with zeros: [padding](glossary.md#padding). A network would
# read these zeros like anything else, and its state would go on changing. A [mask](glossary.md#mask) tells the layer
# which steps to skip. Look at the last column: it should be equal to that of the short sequence.

# %%
short = x[:1, :3]
padded, lengths = rt.pad([short[0]], length=5)  # two rows of zeros behind
masked = keras.layers.Masking()(padded)
last = keras.layers.SimpleRNN(1)
answers = {"3 steps": short, "3 steps and 2 of padding": padded, "the same, masked": masked}
answers = {name: float(last(one)[0, 0]) for name, one in answers.items()}
pd.Series(answers, name="last state").round(4).to_frame()

# %% [markdown]
# ## A real series, in plain Keras
#
# How warm will it be at New York's JFK airport **in six hours**? The table has a row for each hour of the year 2013.

# %%
weather = rt.datasets.load_weather().query("airport == 'JFK'").set_index("time")
table = weather[["temperature", "dew_point", "pressure", "wind_speed"]].resample("h").mean().ffill()
table.tail(3)

# %%
ax = table["temperature"]["2013-03-01":"2013-03-14"].plot(title="Two weeks of March 2013")
_ = ax.set(xlabel="", ylabel="temperature, °F")

# %% [markdown]
# The series becomes rows to learn from: 24 hours to look at, and the temperature six hours later. They are split
# **along time**: the first 70 % to learn from, 15 % to watch while training ([validation](glossary.md#validation)), the
# last 15 % to judge by. Between the parts six rows are left out, whose answers would lie in the next part.

# %%
steps, ahead = 24, 6
values = table.to_numpy("float32")
windows = np.lib.stride_tricks.sliding_window_view(values, steps + ahead, axis=0).transpose(0, 2, 1)
x, y = windows[:, :steps], windows[:, -1, 0]  # (rows, 24, 4) and (rows,)
first, second = int(0.7 * len(x)), int(0.85 * len(x))
parts = {"train": slice(first), "validation": slice(first + ahead, second), "test": slice(second + ahead, None)}
x, y = ({name: one[part] for name, part in parts.items()} for one in (x, y))
{name: one.shape for name, one in x.items()}

# %% [markdown]
# Before any network: what would be easy? The temperature of now, that of the same hour yesterday, and a linear model of
# all 96 numbers. These are the [baselines](glossary.md#baseline), and the network has to stand beside them.

# %%
flat = {name: one.reshape(len(one), -1) for name, one in x.items()}
forecasts = {
    "the temperature of now": x["test"][:, -1, 0],
    "the same hour yesterday": x["test"][:, ahead - 1, 0],
    "a linear model": LinearRegression().fit(flat["train"], y["train"]).predict(flat["test"]),
}

# %% [markdown]
# Networks like numbers around 0 and about as large as 1. Mean and deviation are taken from the training rows only, as
# the others are not known yet when a network is used. Then three layers: the inputs, a [GRU](glossary.md#gru) of 32
# [units](glossary.md#unit), and one number out.

# %%
mean, deviation = x["train"].mean(axis=(0, 1)), x["train"].std(axis=(0, 1))
scaled_x = {name: (one - mean) / deviation for name, one in x.items()}
scaled_y = {name: (one - mean[0]) / deviation[0] for name, one in y.items()}

keras.utils.set_random_seed(seed)
model = keras.Sequential([keras.Input((steps, 4)), keras.layers.GRU(32), keras.layers.Dense(1)])
model.compile(keras.optimizers.Adam(3e-3), loss="mae")
model.summary()

# %% [markdown]
# `fit` goes through the training rows in batches of 64, and after each batch changes the weights a little, so that the
# error ([loss](glossary.md#loss)) becomes smaller. One pass through all rows is an [epoch](glossary.md#epoch).

# %%
watched = (scaled_x["validation"], scaled_y["validation"])
fitted = model.fit(
    scaled_x["train"], scaled_y["train"], validation_data=watched, epochs=epochs, batch_size=64, verbose=0
)
ax = pd.DataFrame(fitted.history, index=range(1, epochs + 1)).plot(title="Both lines fall: the network learns")
_ = ax.set(xlabel="epoch", ylabel="mean absolute error, scaled", ylim=0)

# %%
said = model.predict(scaled_x["test"], verbose=0)[:, 0] * deviation[0] + mean[0]  # back to degrees
forecasts["the GRU"] = said
errors = pd.Series({name: abs(one - y["test"]).mean() for name, one in forecasts.items()})
errors.rename("mean absolute error, °F").round(2).to_frame()

# %% [markdown]
# The network is ahead of both copies, and a linear model is ahead of the network: in these four columns there is little
# that is not linear, and one year is not much to learn from. That is a result, too. Without the linear model beside it,
# the network would have looked like a success.
#
# All of this, the split, the scaling, the baselines, you do by hand once, to know what it is.
# [Notebook 01](01_forecast_your_own_table.ipynb) does it in one line each.
#
# ## How long can it remember?
#
# A riddle for networks: a long row of +1 and -1, one of the first ten **marked**. Was the marked one +1? Everything
# behind it is distraction. The *lag* says how many steps follow.


# %%
def riddle(lag, rows, generator):
    """Return sequences `(rows, 10 + lag, 2)` of a sign and a mark, and whether the marked sign is +1."""
    x = np.zeros((rows, 10 + lag, 2), "float32")
    x[:, :, 0] = generator.choice([-1, 1], size=(rows, 10 + lag))
    marked = np.arange(rows), generator.integers(10, size=rows)
    x[(*marked, 1)] = 1
    return x, (x[(*marked, 0)] > 0).astype("float32")


def reader(layer):
    """Return a compiled network that answers a yes-or-no question at the end of a sequence."""
    model = keras.Sequential([keras.Input((None, 2)), layer, keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(1e-2, global_clipnorm=1.0), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def share_right(layer, lag):
    """Return which share of new riddles a network answers after its training; 0.5 is guessing."""
    generator = np.random.default_rng(seed)
    model, data = reader(layer), riddle(lag, num_rows, generator)
    model.fit(*data, epochs=epochs, batch_size=64, verbose=0)
    return model.evaluate(*riddle(lag, 500, generator), verbose=0)[1]


# %% [markdown]
# Three kinds of memory try it. A `SimpleRNN` is the formula above. `GRU` and `LSTM` have [gates](glossary.md#gate):
# small networks inside that decide at each step what of the state is kept and what is overwritten.

# %% tags=["picture"]
kinds = {"SimpleRNN": keras.layers.SimpleRNN, "GRU": keras.layers.GRU, "LSTM": keras.layers.LSTM}
memory = {}
for name, kind in kinds.items():
    keras.utils.set_random_seed(seed)
    memory[name] = {lag: share_right(kind(24), lag) for lag in lags}
memory = pd.DataFrame(memory)
ax = memory.plot(style=["o-", "s--", "^:"], title="Whose memory lasts? Dotted: guessing")
ax.axhline(0.5, color="0.6", linestyle=":", linewidth=1)
_ = ax.set(xlabel="lag: steps between the mark and the question", ylabel="share of riddles right", ylim=(0.4, 1.05))

# %% [markdown]
# Each of them solves the riddle up to some lag, and guesses beyond. The [LSTM](glossary.md#lstm) lasts longest here.
# Where exactly a line falls differs from [seed](glossary.md#seed) to seed, and more rows and epochs move it; but it
# falls. Why?
#
# ## Gradients through time
#
# Training asks of every number: had it been a little larger, how much larger would the loss be? That is the
# [gradient](glossary.md#gradient). To find out for an early step, it travels back from the end, and at each step it is
# multiplied. By less than 1, and soon nothing is left: it **vanishes**. By more than 1, and it **explodes**.
# `rt.gradient_flow` measures what arrives at each step. The picture shows networks that have not been trained; the
# question is asked at the right end, and the scale is logarithmic.

# %%
question = riddle(40, 64, np.random.default_rng(seed))


def flow_of(layers):
    """Return the gradient at each step, one column per layer, as a share of the last step's."""
    columns = {}
    for name, layer in layers.items():
        keras.utils.set_random_seed(seed)
        columns[name] = rt.gradient_flow(reader(layer), *question).iloc[:, 0]
    flow = pd.DataFrame(columns)
    return flow / flow.iloc[-1]


flow = flow_of({name: kind(24) for name, kind in kinds.items()})
ax = flow.plot(logy=True, style=["-", "--", ":"], title="How much of the gradient gets back to each step")
_ = ax.set(xlabel="step", ylabel="gradient, share of the last step's")

# %% [markdown]
# Fifty steps back hardly anything is left of any of them. A gate of the GRU begins half open and lets about half
# through at each step; that of the LSTM begins at 73 %, as Keras gives it a bias of 1. So the GRU loses most. Training
# can open the gates, but it needs some gradient to begin with. The SimpleRNN loses least of the three and fails all the
# same: without gates, it has no way to leave alone what it has noted while it goes on reading.
#
# ## Where a network begins decides
#
# The starting weights are drawn at random, and how wide decides what a step multiplies by. Three recipes for U:
# **Xavier** (Glorot) keeps the size of what passes about equal, and `tanh` then shrinks it; **He** draws wider, for
# layers of `relu`, which lose half; **orthogonal** weights turn the state without making it longer or shorter. Keras
# takes Xavier for W and orthogonal for U.

# %%
recipes = {"Xavier": "glorot_uniform", "He": "he_uniform", "orthogonal": "orthogonal"}
recurrent = {
    name: keras.layers.SimpleRNN(24, activation=None, recurrent_initializer=recipe) for name, recipe in recipes.items()
}
by_recipe = flow_of(recurrent)
ax = by_recipe.plot(logy=True, style=["-", "--", ":"], title="SimpleRNN without tanh, U drawn in three ways")
_ = ax.set(xlabel="step", ylabel="gradient, share of the last step's")

# %% [markdown]
# He's recipe explodes here, Xavier's sways, orthogonal weights keep the gradient level. `tanh` and gates then take
# their share. For gates there is a recipe as well: begin with the gate **open**. A bias of 3 at the gate that keeps the
# state makes it sigmoid(3) = 95 % in place of 50 %. Take the GRU that has just failed, and change nothing else:


# %%
def gru_of(bias):
    """Return a GRU whose update gate, which keeps the old state, begins with a bias."""
    layer = keras.layers.GRU(24)
    layer.build((None, None, 2))
    *kernels, biases = layer.get_weights()
    biases[0, :24] = bias  # the first third belongs to the update gate
    layer.set_weights([*kernels, biases])
    return layer


lag, rows = lags[-1], {}
for bias in (0, 3):
    arrives = flow_of({"gru": gru_of(bias)})["gru"].iloc[0]
    keras.utils.set_random_seed(seed)
    rows[f"bias {bias}"] = {"gradient at step 0": arrives, f"right at a lag of {lag}": share_right(gru_of(bias), lag)}
gates = pd.DataFrame(rows).T
gates.map("{:.2g}".format)

# %% [markdown]
# The same layer, the same training: only the starting point differs. `rt.recurrent_layers("gru", 24, memory=50)` does
# it in one line, and gives each unit a memory of another length, up to fifty steps.
#
# ## The cliff, and clipping
#
# What explodes can be seen in the smallest network there is: one unit, one weight w, no tanh. After 50 steps its state
# is $w^{50}$. Let it learn to end at 0.5, and draw the loss for each w: flat, and then a **cliff**. A step of gradient
# descent from the cliff's edge is thrown far away. **Clipping** cuts the gradient to a given length and keeps its
# direction. Look where the two walks end.


# %%
def walk(clip, w=1.01, learning_rate=0.002, moves=30):
    """Return the weights that gradient descent visits, with the gradient cut down to `clip`."""
    visited = [w]
    for _ in range(moves):
        gradient = 2 * (w**50 - 0.5) * 50 * w**49
        w -= learning_rate * np.clip(gradient, -clip, clip)
        visited.append(w)
    return np.array(visited)


walks = {"not clipped": walk(clip=np.inf), "clipped at 1": walk(clip=1)}
grid = np.linspace(0.5, 1.03, 500)
figure, ax = plt.subplots()
ax.plot(grid, (grid**50 - 0.5) ** 2, color="0.5", label="loss")
for (name, visited), style in zip(walks.items(), ["v", "o"], strict=True):
    ax.plot(visited, (visited**50 - 0.5) ** 2, style, label=f"{name}, ends at w = {visited[-1]:.3f}", markersize=5)
ax.set(title="One weight, fifty steps", xlabel="w", ylabel="loss", ylim=(-0.05, 2))
_ = ax.legend()

# %% [markdown]
# The loss is zero at w = 0.986. The clipped walk gets there in small steps. The other one is thrown to the flat part on
# the left by its first step, and as the gradient there is zero, it stays.
#
# In Keras: `keras.optimizers.Adam(global_clipnorm=1.0)`; `rt.make_optimizer` clips by itself.
# [Clipping](glossary.md#clipping) helps against explosion only: nothing can make longer what has vanished. Against that
# help gates, starting weights, and shorter ways: fewer steps, or several steps read as one.
#
# ## In five lines
#
# 1. A recurrent network reads step by step and hands a state on; the same weights serve every step.
# 2. Inputs are (batch, timesteps, features); `return_sequences` decides between the last state and all of them.
# 3. Short sequences are padded and masked; scales come from training rows only; the split runs along time.
# 4. Gradients are multiplied on their way back: by less than 1 they vanish, by more than 1 they explode.
# 5. Gates and starting weights help against vanishing, clipping against exploding; and a linear model stands beside.
#
# ## Exercises
#
# 1. Write a GRU in NumPy and check it against `keras.layers.GRU(4, return_sequences=True)`.
# 2. In the riddle, mark the sign at the **last** ten steps instead. Which kind of memory is needed now?
#
# <details><summary>Solutions</summary>
#
# 1. Keras keeps three blocks of columns, in the order update gate z, reset gate r, candidate, and two rows of biases:
#
#    ```python
#    def gru(x, W, U, b):
#        sigmoid = lambda a: 1 / (1 + np.exp(-a))
#        h, states = np.zeros((len(x), len(U))), []
#        for t in range(x.shape[1]):
#            xz, xr, xc = np.split(x[:, t] @ W + b[0], 3, axis=1)
#            hz, hr, hc = np.split(h @ U + b[1], 3, axis=1)
#            z, r = sigmoid(xz + hz), sigmoid(xr + hr)
#            h = z * h + (1 - z) * np.tanh(xc + r * hc)
#            states.append(h)
#        return np.stack(states, axis=1)
#    ```
#
# 2. `generator.integers(10, size=rows) + lag` marks one of the last ten. Hardly anything has to be kept for long, so
#    the lag no longer matters: what is asked for is always near the end.
#
# </details>

# %%
assert difference < 1e-6, difference
assert abs(answers["3 steps"] - answers["the same, masked"]) < 1e-6, answers
assert answers["3 steps"] != answers["3 steps and 2 of padding"], answers
assert by_recipe["He"].iloc[0] > 100 > abs(np.log(by_recipe["orthogonal"].iloc[0])), by_recipe
assert abs(walks["clipped at 1"][-1] ** 50 - 0.5) < 0.1 < abs(walks["not clipped"][-1] ** 50 - 0.5)
assert gates["gradient at step 0"]["bias 3"] > 1000 * gates["gradient at step 0"]["bias 0"], gates
