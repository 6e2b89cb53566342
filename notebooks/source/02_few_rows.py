# %% [markdown]
# # Few rows? Begin with a network that has seen many series
#
# {colab}
#
# **Twelve years of monthly passengers, 144 rows: is that enough for a recurrent network?** Trained from nothing,
# hardly. But a network can learn what time series are like before it meets yours. You load one that has, forecast
# without training, let it learn on from your rows, and see all of it beside a network of your own and beside forecasts
# that need no network at all.
#
# At the end of this page you can
#
# - forecast any series without training, with [intervals](glossary.md#interval);
# - let the network learn on from your rows ([transfer](glossary.md#transfer));
# - tell by a score whether it helps, and where it does not.
#
# Words in blue are explained in the [glossary](glossary.md). About 1 minute on two CPU cores.

# %% [markdown]
# The network that ships with the package never saw a real series. It learnt from synthetic ones, made by a program:
# trends, seasons, random walks, counts, breaks and gaps, 384,000 mixtures of them. So nothing of your table, nor of any
# table that it is tested on, can have leaked into it.

# %%
import keras
import pandas as pd

import rnn_toolkit as rt

# %% tags=["parameters"]
horizon = 12  # months to forecast
test_months = 36  # months kept for the test
epochs = 60  # passes through the training data, at most
seed = 0

# %%
keras.utils.set_random_seed(seed)

# %% [markdown]
# ## The data
#
# Passengers of international airlines, in thousands a month. Look at the swing of the season: it grows with the level.

# %%
frame = rt.datasets.load_airline_passengers()
axes = frame.plot(figsize=(9, 4), legend=False, title="Airline passengers", ylabel="thousands a month")
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## A forecast without any training
#
# `load_forecaster` opens the network. It needs nothing said but how far to look ahead: the column of numbers is
# forecast, the index is the time, and a monthly index has a season of twelve. Here it stands at the end of the third
# last year and forecasts two years that it has not seen.

# %%
forecaster = rt.load_forecaster()
known = frame.iloc[: -2 * horizon]
shown = rt.forecast(forecaster, known, horizon=2 * horizon, level=[80, 95])
axes = rt.plot_forecast(shown, frame, baseline=12)

# %% [markdown]
# The line is the median, the bands hold 80 and 95 of 100 values if the network knows itself well. It has the season
# right, without any training. But the passengers grew faster than it expects: all 24 months lie above the line, and
# most of them above the narrower band.
#
# ## Is it any good?
#
# One picture proves little. The last three years are kept for the test, and a forecast is made at each month of them.

# %%
task = rt.ForecastTask("passengers", horizon=horizon, season_length=12)
train, validation, test = rt.split_by_time(frame, task, validation=24, test=test_months)
train

# %%
scores = {"pretrained": rt.score(rt.backtest(forecaster, test)).loc["model"]}

# %% [markdown]
# Beside it a network of your own, trained on the rows before: the default of notebook 01. The line above says what was
# chosen for it: what is fitted here sees 48 rows at a time, so that there are windows enough to learn from, and the
# pretrained network, which has learnt already, sees 132.

# %%
model = rt.build_forecaster(train)
rt.train(model, train, validation, epochs=epochs)
own = rt.score(rt.backtest(model, test))
scores["trained on these rows"] = own.loc["model"]

# %% [markdown]
# ## Let it learn on from your rows
#
# Fine-tuning starts from what the network knows, in small steps, and keeps the start if nothing beats it on the
# [validation](glossary.md#validation) rows.

# %%
tuned = rt.load_forecaster(train)
history = rt.fine_tune(tuned, train, validation, learning_rate=1e-4, epochs_per_stage=0, progress=None)
scores["fine-tuned"] = rt.score(rt.backtest(tuned, test)).loc["model"]
history[["loss", "val_loss"]].round(4)

# %%
table = pd.concat([pd.DataFrame(scores).T, own.drop(index="model")])
table[["MAE", "MASE", "sMAPE", "coverage_80"]].sort_values("MAE").round(3)

# %% [markdown]
# Read down the column `MASE`: the error beside that of last year's values on the training rows, so that below 1 is
# better than copying. The network that never saw a passenger (0.75) is ahead of the linear model (1.36) and of copying
# (1.45). Fine-tuning gains nothing here (0.77), but the default of `build_forecaster` does (0.69): on few rows
# it averages the pretrained forecast with a start of its own. `coverage_80` says how many of the values fell into the
# interval that should hold 80 of 100.
#
# ## Where it does not help
#
# Sunspots have a cycle of about eleven years that is not quite regular. Told of it, the network still expects the next
# cycle where the last ones had it.

# %%
sunspots = rt.datasets.load_sunspots()
task = rt.ForecastTask("sunspots", horizon=24, lookback=264, season_length=132)
spots, _, later = rt.split_by_time(sunspots, task, test=240)
blind = rt.score(rt.backtest(rt.load_forecaster(spots), later))
blind[["MAE", "MASE"]].round(3)

# %% [markdown]
# Here a network of your own, with thousands of rows to learn from, is the better choice. The same holds where columns
# beside the target matter, such as prices or the weather: the pretrained network reads the series alone, and says so.
#
# ## In five lines
#
# 1. A network can learn what series are like from synthetic ones, and forecast yours without training.
# 2. `rt.forecast(rt.load_forecaster(), frame, horizon=12)` is all that it takes, at any frequency and scale.
# 3. `rt.backtest` and `rt.score` put it beside copying, drift and a linear model on your own rows.
# 4. `rt.fine_tune` lets it learn on, and keeps the start where nothing beats it.
# 5. With many rows, long irregular cycles or other columns that matter, train your own.
#
# ## Exercises
#
# 1. How well does it do with three years of history in place of ten?
# 2. Does it need to know that a month is a twelfth of a year?
#
# <details><summary>Solutions</summary>
#
# 1. `rt.forecast(forecaster, known.tail(36), horizon=24)`, drawn over the truth as above. Hardly worse: it is
#    60,000 passengers a month too low on average in place of 58,000, and surer of it: its bands are narrower.
# 2. Hide the calendar: `known.reset_index(drop=True)` has rows 0, 1, 2, …, which have no season. The forecast becomes a
#    smooth line. Tell it: `rt.load_forecaster(train)` takes the season of the task.
#
# </details>
#
# ## What to try next
#
# - A long table of many series: a column of words names the series, and each is forecast by itself.
# - Notebook 01 for a table of your own with enough rows, notebook 03 for many series and other columns.

# %%
assert len(shown) == 2 * horizon and shown.index[0] > known.index[-1]
assert table.loc["pretrained", "MASE"] < table.loc["seasonal_naive", "MASE"], table
