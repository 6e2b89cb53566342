# %% [markdown]
# # Forecast your own table
#
# {colab}
#
# **What comes next in a column of numbers?** You take a table with a column of dates and a column of numbers, train a
# recurrent network on it, see its forecasts judged beside forecasts that need no network at all, and forecast what the
# table does not hold.
#
# At the end of this page you can
#
# - split a table along time, and prove that no later row leaks into an earlier one;
# - train a forecaster, and say honestly whether it is better than copying or a linear model;
# - forecast with an interval, keep the model in one file, and do all this with a CSV file of your own.
#
# New to recurrent networks? [Notebook 00](00_what_a_recurrent_network_is.ipynb) explains them. Words in blue are
# explained in the [glossary](glossary.md). About 1 minute on two CPU cores.

# %% [markdown]
# All names come from one import; everything that goes in and out is a pandas table, a Keras model or a picture.

# %%
import keras
import pandas as pd

import rnn_toolkit as rt

# %% [markdown]
# **All that depends on the table stands in this cell.** As it is, the page forecasts how many spots the sun shows: one
# value a month since 1749. They come and go about every eleven years. To forecast a table of your own, change these
# lines and run all cells. In Colab, upload the file by the folder symbol on the left; its name is then all you need. A
# file on your Drive has a path like `/content/drive/MyDrive/mine.csv`, after a click on the Drive symbol there.

# %% tags=["parameters"]
csv_file = None  # path of your CSV file, such as "mine.csv"; None takes the sunspots
time_column = "month"  # the file's column of dates
separator = ","  # between the columns; ";" in most files with decimal commas
decimal = "."  # "," if the file writes 316,1
target = "sunspots"  # the column to forecast
unit = "spots"  # what it is measured in
horizon = 24  # rows to forecast: two years of months
lookback = None  # rows that the network sees at once; None chooses: three to five seasons, if there are rows enough
season_length = None  # rows after which the pattern repeats, such as 12 for months; None looks for it
run_dir = "runs/sunspots"  # folder of the training; each table and each setting needs one of its own
epochs = 60  # passes through the training data, at most
seed = 0

# %%
keras.utils.set_random_seed(seed)

# %% [markdown]
# ## The data
#
# The dates go into the index, and the rows into the order of time.

# %%
if csv_file is None:
    frame = rt.datasets.load_sunspots()
else:
    frame = pd.read_csv(csv_file, sep=separator, decimal=decimal, parse_dates=[time_column], index_col=time_column)
    frame = frame.sort_index()
assert target in frame, f"The table has no column {target!r}. It has {', '.join(frame)}: name one of them as `target`."
frame.tail()

# %% [markdown]
# Look for three things in the picture: is there a trend, does a pattern repeat, and are there gaps?

# %%
axes = frame[target].plot(title=target)
axes.set(xlabel="", ylabel=unit)
missing = int(frame[target].isna().sum())
f"{len(frame)} rows from {frame.index[0]} to {frame.index[-1]}, {missing} without a value"

# %% [markdown]
# Gaps need no repair by hand: a missing value is filled with the last one, the network is told that it was missing, and
# it is never scored on it.
#
# ## The task
#
# A `ForecastTask` says what is forecast, how far, and from how much past. What is left open is chosen from the rows
# that the network will learn from, and told.

# %%
task = rt.ForecastTask(target, horizon=horizon, lookback=lookback, season_length=season_length)
train, validation, test = rt.split_by_time(frame, task)
train

# %% [markdown]
# The split runs along time: the network learns from the oldest rows, the next ones decide when to stop
# ([validation](glossary.md#validation)), and the newest are kept for the test. A [window](glossary.md#window) is the
# [look-back](glossary.md#look-back) and the rows to forecast that follow it; its *cutoff* is the last row that the
# network sees.

# %%
origins = pd.concat({"train": train.origins, "validation": validation.origins, "test": test.origins})
origins.groupby(level=0, sort=False).cutoff.agg(windows="size", first_cutoff="min", last_cutoff="max")

# %% [markdown]
# **Does anything leak?** A forecast that has seen the future looks wonderful until it is used. `check_leakage` changes
# all later rows of the table and looks whether anything changes in the earlier parts.

# %%
leaks = rt.check_leakage(frame, train.task)
f"{leaks.leaks.sum()} of {len(leaks)} checks found a leak"

# %% [markdown]
# Would it have been noticed? Leak once on purpose: scale the whole table to mean 0 and deviation 1, **then** split it.
# Most code that one finds on the web does that. The mean now knows the last row.


# %%
def scale_then_split(table):
    return rt.split_by_time((table - table.mean()) / table.std(), train.task)


caught = rt.check_leakage(frame[[target]], train.task, pipeline=scale_then_split)
caught[caught.leaks].head(4)

# %% [markdown]
# Caught, and told where. `build_forecaster` scales inside the model, from the training rows alone.
#
# ## The network
#
# One line builds a compiled `keras.Sequential`. Raw windows go in, and numbers in the unit of the table come out. A
# [GRU](glossary.md#gru) reads the look-back in pieces of several rows, and a last layer answers for all rows ahead at
# once. Beside it runs a linear path, which starts as a mean of simple forecasts and linear models, by what each of them
# reached on later training rows. The network's own part begins at zero, so that it can only add to that.

# %%
model = rt.build_forecaster(train)
model.summary(expand_nested=True)

# %% [markdown]
# ## Training
#
# One pass through the training windows is an [epoch](glossary.md#epoch). Training stops when the
# [loss](glossary.md#loss) on the validation windows has not become lower for ten epochs, and keeps the best weights.
# Epoch 0 is the model as it was built: a training that does not beat it changes nothing. The best model also lies in
# the folder `run_dir`. A training that was cut off goes on when this cell is run again.

# %%
history = rt.train(model, train, validation, epochs=epochs, run_dir=run_dir)
axes = rt.plot_history(history)

# %% [markdown]
# The marked epoch was kept. Look at the numbers on the axis before you read the curves: it does not begin at zero. For
# the sunspots, the loss on the validation windows falls by almost a third, fast at first, and no further after epoch
# 40: the network has found what the linear start had not. If the best epoch is among the first, the linear start was
# nearly all there is to learn; what follows is [overfitting](glossary.md#overfitting), where the training rows are
# learnt by heart and the validation rows no longer profit. `diagnose` says what else it sees.

# %%
rt.diagnose(model, train, validation, history=history)

# %% [markdown]
# ## Is it any good?
#
# A number alone says nothing. `backtest` forecasts from every row of the test years, and puts beside it what simple
# forecasters say ([baselines](glossary.md#baseline)): the last value, the last season again, a straight line, and a
# linear model.

# %%
backtest = rt.backtest(model, test)
scores = rt.score(backtest).sort_values("MAE")
scores.round(3)

# %% [markdown]
# [MAE](glossary.md#mae) is the mean error in the unit of the table. [MASE](glossary.md#mase) is the same error, divided
# by that of copying the last season on the training rows: below 1 is better than copying.

# %%
best = scores.index.drop("model")[0]
f"network: {scores.MAE['model']:.3g} {unit}; the best without a network, {best}: {scores.MAE[best]:.3g} {unit}"

# %%
axes = rt.plot_errors(backtest)
_ = axes.set_ylabel(unit)
# %% [markdown]
# The further ahead, the larger the error. If the network's line lies on that of the linear model, use the linear model:
# that is not a failure, it is known before anybody builds on it. With the sunspots the network is ahead.
#
# ## A forecast that can be checked
#
# Stand at the first cutoff of the test, forecast, and lay the truth over it. `conformalize` measures on the validation
# windows how far off the forecasts are, and draws the [interval](glossary.md#interval) so that 80 of 100 values fall
# into it.

# %%
calibrated = rt.conformalize(model, validation, level=80)
cutoff = test.origins.cutoff.iloc[0]
checked = rt.forecast(calibrated, frame[frame.index <= cutoff], level=80)
axes = rt.plot_forecast(checked, frame[frame.index <= checked.index[-1]], baseline=train.task.season_length)
_ = axes.set_ylabel(unit)

# %% [markdown]
# Count it, in this one forecast:

# %%
truth = frame[target].reindex(checked.index).dropna()
bounds = checked.loc[truth.index]
inside = int(truth.between(bounds[f"{target}-lo-80"], bounds[f"{target}-hi-80"]).sum())
f"{inside} of {len(truth)} values, {inside / len(truth):.0%}, lie inside; 80 % are promised"

# %% [markdown]
# One forecast may be off in whole, so this share goes up and down from cutoff to cutoff. Over many it should come near
# 80 %, if the years of the test are like those of the validation.
#
# ## What the table does not hold
#
# The model file is the whole pipeline. Saved and loaded, it needs nothing but recent rows, in the unit of the table.

# %%
calibrated.save("forecaster.keras")
loaded = keras.saving.load_model("forecaster.keras")
coming = rt.forecast(loaded, frame, level=80)
axes = rt.plot_forecast(coming, frame, baseline=train.task.season_length)
_ = axes.set_ylabel(unit)

# %% [markdown]
# Nothing tells the model that some numbers, such as those of spots or of sales, are never below zero. Where the
# interval goes there, cut it: `coming.clip(lower=0)`.
#
# ## A second table
#
# The same with a CSV file of another frequency: the carbon dioxide in the air over Mauna Loa, Hawaii, one row a week
# from 1958 to 2001. Only the names and lengths differ, and the season is looked for. Look at the first line: so do you
# read a file of your own.

# %%
rt.datasets.load_co2().to_csv("air.csv")  # stands for a file of yours
weeks = pd.read_csv("air.csv", parse_dates=["week"], index_col="week")
weekly = rt.ForecastTask("co2", horizon=52)
parts = rt.split_by_time(weeks, weekly)
keras.utils.set_random_seed(seed)  # as if the page began here
second = rt.build_forecaster(parts[0])
_ = rt.train(second, *parts[:2], epochs=epochs, run_dir=f"{run_dir}_air")
rt.score(rt.backtest(second, parts[2])).round(3)

# %% [markdown]
# Here the linear model is as good, or a little better: this air changes so evenly that there is nothing left for a
# network to find. The score decides, table by table.

# %%
axes = rt.plot_forecast(rt.forecast(second, weeks), weeks, baseline=52)
_ = axes.set_ylabel("parts per million")

# %% [markdown]
# For a table of yours there is also an empty page with all checks, and what to do when one speaks up:
# [template_your_table](template_your_table.ipynb).
#
# ## In five lines
#
# 1. All that depends on a table is its file, its columns and a few lengths; the rest of the page stays as it is.
# 2. The split runs along time, and `check_leakage` proves that no later row is seen.
# 3. `build_forecaster` gives a plain Keras model, in whose file all of the preparation lies.
# 4. A score counts beside copying and a linear model only; on even series these are hard to beat.
# 5. An interval is calibrated on rows the network has not learnt from, and counted before it is promised.
#
# ## Exercises
#
# 1. You know something that the rows alone do not tell clearly: a cycle of the sun takes about eleven years. Say so.
#    What does it bring to the network, and what to the linear model?
# 2. Let the network say by itself how sure it is, without `conformalize`.
#
# <details><summary>Solutions</summary>
#
# 1. `season_length = 132` and `lookback = 264`, two cycles of months, and a `run_dir` of its own. The network's MAE
#    falls from 23.9 to 20.7, the linear model's from 27.5 to 22.4. To copy the last cycle (34.2) is as bad as to copy
#    the last value (33.3), as no two cycles are alike in length and height.
# 2. `rt.build_forecaster(train, quantiles=(0.1, 0.5, 0.9))` learns three [quantiles](glossary.md#quantile) instead of
#    one value; `rt.score` then has a column `coverage_80`. Of the sunspots only 59 % lie inside where
#    80 % are promised, as the cycles of the test are higher than those learnt from: so calibrate, and count.
#
# </details>

# %%
again = rt.forecast(calibrated, frame, level=80)
assert (again == coming).all(axis=None), "a loaded model must forecast the same numbers"
assert not leaks.leaks.any(), "the split must not leak"
assert caught.leaks.any(), "the leak made on purpose must be caught"
assert coming.index[0] > frame.index[-1] and len(coming) == horizon, "a forecast begins behind the table"
