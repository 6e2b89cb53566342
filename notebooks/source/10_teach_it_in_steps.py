# %% [markdown]
# # Teach it in steps
#
# {colab}
#
# **Does it help to begin with what is easy?** Sometimes a lot, sometimes not at all, and only a comparison with plain
# training tells. You teach a network to add two numbers that lie ever farther apart, let rows come in by difficulty,
# and at the end make a network that knows five digits learn five others from a handful of examples.
#
# At the end of this page you can
#
# - train in stages from easy to hard, or let rows in by their difficulty;
# - compare that with plain training of the same length, and drop what does not help;
# - put a new head on a trained network, and say whether anything was carried over.
#
# Words in blue are explained in the [glossary](glossary.md). About 3 minutes on two CPU cores.

# %%
import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import rnn_toolkit as rt

# %% tags=["parameters"]
epochs = 30  # passes through the training data
length = 60  # steps of the longest sequences
rows = 2000  # training sequences
few = 8  # examples of each new digit

# %% [markdown]
# ## Add two numbers that lie far apart
#
# A sequence holds numbers between 0 and 1, and marks at two of them, one in each half; the answer is the sum of the two
# (Hochreiter and Schmidhuber, 1997). Whoever always says 1 has a squared error of 1/6: that is the
# [baseline](glossary.md#baseline) to beat. The longer the sequence, the harder it is to notice that the marks matter at
# all. The network is a [GRU](glossary.md#gru) with 32 [units](glossary.md#unit).


# %%
def sequences(number, length, seed):
    """Return sequences of numbers and marks, and the sums of the marked numbers."""
    rng = np.random.default_rng(seed)
    values, marks = rng.uniform(size=(number, length)).astype("float32"), np.zeros((number, length), "float32")
    for low, high in ((0, length // 2), (length // 2, length)):
        marks[np.arange(number), rng.integers(low, high, number)] = 1
    return np.stack([values, marks], axis=-1), (values * marks).sum(1, keepdims=True)


def adder():
    """Return a compiled network for sequences of any length."""
    keras.utils.set_random_seed(1)
    layers = [*rt.recurrent_layers("gru", (32,)), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((None, 2)), *layers])
    model.compile(rt.make_optimizer(5e-3), "mse")
    return model


hard, validation = sequences(rows, length, seed=1), sequences(500, length, seed=2)
stages = [sequences(rows, length // 6, seed=3), sequences(rows, length // 2, seed=4), hard]

# %% [markdown]
# ## In stages, in the other order, and all at once
#
# `rt.train_curriculum` trains on one stage after the other, and keeps the best weights of each by the
# [validation](glossary.md#validation) rows, which are those of the task itself. All three ways take the same number of
# [epochs](glossary.md#epoch).

# %%
early = max(epochs // 6, 1)  # epochs of each stage before the last
last = max(epochs - 2 * early, 1)
options = {"epochs_per_stage": early, "progress": None}
histories = {
    "easy first": rt.train_curriculum(adder(), stages, validation, epochs=last, **options),
    "hard first": rt.train_curriculum(adder(), stages[::-1], validation, epochs=last, **options),
    "plain": rt.train(adder(), hard, validation, epochs=2 * early + last, progress=None),
}
adding = pd.Series({name: history["val_loss"].min() for name, history in histories.items()}, name="validation loss")
adding["always 1"] = np.mean((validation[1] - 1) ** 2)
adding.round(4)

# %%
curves = pd.DataFrame({name: history["val_loss"] for name, history in histories.items()})
ax = curves.plot(figsize=(9, 4), logy=True, color=["#0072b2", "#e69f00", "#8c8c8c"], linewidth=2)
ax.axhline(adding["always 1"], color="0.7", linestyle=":")
ax.set(xlabel="epoch", ylabel="loss on the longest sequences")

# %% [markdown]
# The dotted line is the answer 1. A curve that leaves it has found the marks. In our run plain training was best, easy
# first close behind, and hard first far off. With other [seeds](glossary.md#seed) the curves move, so before you
# believe a difference, train several: `rt.compare` does it in a line, see [notebook 09](09_tune_it.ipynb).
#
# ## At a pace: rows that come in by difficulty
#
# Without stages, a score of difficulty is enough. `rt.PacedBatches` draws from the easiest rows first and lets the
# others in, quickly at the beginning and ever more slowly (Platanios et al., 2019). Here a picture of a digit is as
# hard as a linear model finds it, on rows that it was not trained on. With the sign changed, the hard ones come first.

# %%
images, digits = load_digits(return_X_y=True)
images, flat = images.reshape(-1, 8, 8) / 16, images
order = np.random.default_rng(0).permutation(len(images))
known, held, test = np.split(order, [900, 1200])
halves = np.array_split(known, 2)
difficulty = np.empty(len(images))
for teacher, pupil in (halves, halves[::-1]):
    linear = LogisticRegression(max_iter=1000).fit(flat[teacher], digits[teacher])
    difficulty[pupil] = -linear.predict_log_proba(flat[pupil])[np.arange(len(pupil)), digits[pupil]]


def reader(classes=10, seed=1):
    """Return a compiled network that reads a picture row by row."""
    keras.utils.set_random_seed(seed)
    layers = [*rt.recurrent_layers("gru", (32,)), keras.layers.Dense(classes, activation="softmax", name="digits")]
    model = keras.Sequential([keras.Input((8, 8)), *layers])
    model.compile(rt.make_optimizer(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


data, judges = (images[known], digits[known]), (images[held], digits[held])
pace = {"pacing_epochs": max(epochs // 3, 1), "initial": 0.2}
ways = {
    "easy first": rt.PacedBatches(data, difficulty[known], **pace),
    "hard first": rt.PacedBatches(data, -difficulty[known], **pace),
    "plain": data,
}
paced = pd.Series(
    {way: rt.train(reader(), one, judges, epochs=epochs, progress=None)["val_loss"].min() for way, one in ways.items()},
    name="validation loss",
)
paced.round(3)

# %% [markdown]
# Where plain training already learns all rows, an order of the rows has little left to give. That is the usual case:
# keep what the table says, and not what sounds right.
#
# ## Five digits more, from a handful of examples
#
# This is [transfer](glossary.md#transfer). A network that has learnt to tell 0 to 4 apart has seen strokes and curves.
# `rt.replace_head` keeps its layers and puts a new **head** on top, the last layer, which gives the answer, for 5 to 9;
# `rt.fine_tune` trains the head first, then the layers below at lower rates. Beside
# it: the same network from scratch, and a linear model, on the same few examples.

# %%
old, new = known[digits[known] < 5], known[digits[known] >= 5]
old_held, new_held = (held[digits[held] < 5], held[digits[held] >= 5])
teacher = reader(classes=5)
rt.train(teacher, (images[old], digits[old]), (images[old_held], digits[old_held]), epochs=epochs, progress=None)
picked = np.concatenate([new[digits[new] == digit][:few] for digit in range(5, 10)])
examples, judges = (images[picked], digits[picked] - 5), (images[new_held], digits[new_held] - 5)

# %%
pupil = rt.replace_head(teacher, keras.layers.Dense(5, activation="softmax", name="new_digits"))
pupil.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
tuned = rt.fine_tune(pupil, examples, judges, epochs=2 * epochs, epochs_per_stage=5, learning_rate=1e-2, progress=None)
scratch = reader(classes=5)
rt.train(scratch, examples, judges, epochs=2 * epochs + 5, progress=None)
linear = LogisticRegression(max_iter=1000).fit(flat[picked], digits[picked])

# %%
unseen = test[digits[test] >= 5]
accuracies = pd.Series(
    {
        "fine-tuned": pupil.evaluate(images[unseen], digits[unseen] - 5, verbose=0)[1],
        "from scratch": scratch.evaluate(images[unseen], digits[unseen] - 5, verbose=0)[1],
        "logistic regression": linear.score(flat[unseen], digits[unseen]),
    },
    name=f"accuracy on {len(unseen)} test pictures",
)
accuracies.round(3)

# %% [markdown]
# Compare the first two rows: that is what was carried over. Here it is nothing (0.82 and 0.85 in our run): five digits
# of eight rows teach little that helps with the other five. The linear model, on the same examples, has 0.93: where few
# rows are all there is, it is often hard to beat, and it belongs in the table.
#
# ## In five lines
#
# 1. `rt.train_curriculum` trains on one stage after the other, and judges each by the rows of the task itself.
# 2. `rt.PacedBatches` lets rows in by a score of difficulty, the easiest first; with the sign changed, the hardest.
# 3. Put plain training of the same length beside it, with several seeds: often nothing is gained.
# 4. `rt.replace_head` and `rt.fine_tune` begin with a network that has learnt something related.
# 5. Where there are few rows, a linear model is hard to beat.
#
# ## Exercises
#
# 1. Is it the order that matters, or only that rows come in little by little? Let them in by chance.
# 2. How do the three compare when there are 60 examples of each new digit in place of 8?
#
# <details><summary>Solutions</summary>
#
# 1. A random number takes the place of the difficulty:
#
#    ```python
#    by_chance = rt.PacedBatches(data, np.random.default_rng(0).random(len(known)), **pace)
#    rt.train(reader(), by_chance, (images[held], digits[held]), epochs=epochs)["val_loss"].min()
#    ```
#
#    With three seeds, `reader(seed=1)` to `reader(seed=3)`, our mean losses were 0.127 for easy first, 0.139 by chance
#    and 0.116 for plain training. One way moves by 0.01 to 0.04 between its seeds, so there is no gain to be seen.
# 2. `few = 60` in the cell at the top, and run all cells. In our run the fine-tuned network had 0.955, the one from
#    scratch 0.965 and the linear model 0.972: with more examples all three come together.
#
# </details>
#
# ## What to try next
#
# - More stages, or sequences of 200 steps: does plain training still find the marks?
# - A forecaster of many series for a new one needs no new head, only windows that are prepared as those it learnt from:
#   `rt.fine_tune(forecaster, rt.Windows(new_rows, train.preparation, shuffle=True), ...)`.
# - A language model as the beginning of a classifier: `rt.classifier_from_language_model(model, classes)`.

# %%
assert np.isfinite(adding).all() and np.isfinite(paced).all()
assert tuned["stage"].tolist() == sorted(tuned["stage"])
assert accuracies["logistic regression"] > 0.5, accuracies
assert not np.shares_memory(pupil.get_weights()[0], teacher.get_weights()[0])
