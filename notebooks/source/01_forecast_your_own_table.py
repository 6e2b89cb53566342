# %% [markdown]
# # Forecast your own table
#
# {colab}
#
# **How much carbon dioxide will the air hold next year?** You take a table with one row a week, train a recurrent
# network on it, see its forecasts judged beside forecasts that need no network at all, and forecast a year that the
# table does not hold. At the end you change two lines and do the same with a table of your own.
#
# About 1 minute on two CPU cores.

# %% [markdown]
# All names come from one import; everything that goes in and out is a pandas table, a Keras model or a picture.

# %%
import keras
import pandas as pd

import rnn_toolkit as rt

# %% [markdown]
# All choices of this page stand in one cell. Fewer epochs make a quick first tour.

# %% tags=["parameters"]
horizon = 52  # weeks to forecast
lookback = 156  # weeks the network sees: three years
season_length = 52  # weeks in one season
epochs = 60  # passes through the training data, at most
seed = 0

# %%
keras.utils.set_random_seed(seed)

# %% [markdown]
# ## The data
#
# Air samples from Mauna Loa, Hawaii, one value a week since 1958, in parts per million. Look for three things in the
# table and in the picture: the trend, the season, and the gaps in the early years.

# %%
frame = rt.datasets.load_co2()
frame.tail()

# %%
axes = frame.plot(figsize=(9, 4), legend=False, title="Carbon dioxide over Mauna Loa", ylabel="parts per million")
axes.spines[["top", "right"]].set_visible(False)

# %%
missing = frame.co2.isna().groupby(frame.index.year).sum()
missing[missing > 0].rename("missing weeks").to_frame().T

# %% [markdown]
# The season repeats every 52 weeks on a rising line, and the first years have holes. None of this needs repair by
# hand: a missing week is filled with the last value, the network is told that it was missing, and it is never scored
# on it.
#
# ## The task
#
# A `ForecastTask` says what is forecast, how far, and from how much past.

# %%
task = rt.ForecastTask("co2", horizon=horizon, lookback=lookback, season_length=season_length)
train, validation, test = rt.split_by_time(frame, task)
train

# %% [markdown]
# The split runs along time: the network trains on the oldest weeks, the validation weeks decide when to stop, and the
# newest weeks are kept for the test. A **window** is 156 weeks of input and the 52 weeks that follow.

# %%
origins = pd.concat({"train": train.origins, "validation": validation.origins, "test": test.origins})
origins.groupby(level=0, sort=False).cutoff.agg(windows="size", first_cutoff="min", last_cutoff="max")

# %% [markdown]
# **Does anything leak?** A forecast that has seen the future looks wonderful until it is used. Here all later rows are
# changed, and nothing the network trains on may change with them.

# %%
leaks = rt.check_leakage(frame, task)
leaks

# %% [markdown]
# No check found a leak. A pipeline that scales the whole table before the split would have been caught.
#
# ## The network
#
# One line builds a compiled `keras.Sequential`. It takes raw windows and returns parts per million; the normalisation
# is inside. The network is shown patches of 12 weeks, a GRU reads them one after the other, and a decoder answers for
# all 52 weeks at once. Beside it runs a linear path, which starts out as the best linear model of the training weeks:
# the network begins where that one ends, and takes small steps.

# %%
model = rt.build_forecaster(train, optimizer=rt.make_optimizer(3e-4))
model.summary(expand_nested=True)

# %% [markdown]
# ## Training
#
# Training stops when the validation weeks are no longer forecast better, and keeps the best weights. The best model
# also lies in the folder `runs/co2`.

# %%
history = rt.train(model, train, validation, epochs=epochs, run_dir="runs/co2")
history.tail(3)

# %%
axes = rt.plot_history(history)
# %% [markdown]
# The two lines should fall together. A training loss that falls on while the validation loss rises is overfitting;
# the marked epoch is the one that was kept.
#
# ## Is it any good?
#
# A number alone says nothing. `backtest` makes a forecast at every week of the test years, and puts beside it what
# simple forecasters say: the last value, last year's curve, a straight line, and a linear model over the look-back.

# %%
backtest = rt.backtest(model, test)
scores = rt.score(backtest)
scores.round(3)

# %% [markdown]
# `MAE` is the mean error in parts per million. `MASE` is the same error over that of last year's curve on the training
# weeks: below 1 is better than copying. Read down the column before you read the number.
#
# Copying last year and drawing a line are far behind. The linear model is not: carbon dioxide moves so evenly that
# there is little left for a network to find, and it is good to know that before anybody builds on it. Notebook 02 has
# tables where the network pulls ahead.

# %%
axes = rt.plot_errors(backtest)
# %% [markdown]
# The further ahead, the larger the error. What counts is the distance between the lines: the two that wave only copy,
# and are wrong most where the season is farthest from where it was.
#
# ## A forecast that can be checked
#
# Stand at the end of the training and validation years, forecast one year, and lay the truth over it. The bands come
# from the errors on the weeks between: 80 of 100 values should fall into the inner one.

# %%
cutoff = test.origins.cutoff.iloc[0]
calibrated = rt.conformalize(model, validation, level=[80, 95])
checked = rt.forecast(calibrated, frame[:cutoff], level=[80, 95])
axes = rt.plot_forecast(checked, frame[: cutoff + pd.Timedelta(weeks=horizon)], baseline=season_length)
# %% [markdown]
# ## The year that the table does not hold
#
# The model file is the whole pipeline. Saved and loaded, it needs nothing but recent rows, in the units of the table,
# and returns rows in the same shape.

# %%
calibrated.save("co2.keras")
loaded = keras.saving.load_model("co2.keras")
coming = rt.forecast(loaded, frame.tail(lookback), level=[80, 95])
coming.head()

# %%
axes = rt.plot_forecast(coming, frame, baseline=season_length)
# %%
again = rt.forecast(calibrated, frame, level=[80, 95])
assert (again == coming).all(axis=None), "a loaded model must forecast the same numbers"
assert not leaks.leaks.any()
assert coming.index[0] > frame.index[-1] and len(coming) == horizon

# %% [markdown]
# ## Your own table
#
# Two lines change. Put the column of timestamps into the index, name the column to forecast, and say how far to look
# ahead and back:
#
# ```python
# frame = pd.read_csv("mine.csv", parse_dates=["date"], index_col="date")
# task = rt.ForecastTask("sales", horizon=28, lookback=112, season_length=7)
# ```
#
# A table that does not fit is refused with the reason: unsorted rows, doubled timestamps, text among numbers, too few
# rows for one window.
#
# ## What to try next
#
# - `rt.datasets.load_sunspots()` with `ForecastTask("sunspots", horizon=24, lookback=264, season_length=132)`: a season
#   that is not quite regular.
# - `rt.build_forecaster(train, rt.recurrent_layers("lstm", (64, 64), dropout=0.2))`: other cells, more layers.
# - `rt.build_forecaster(train, quantiles=(0.1, 0.5, 0.9))`: the network learns its own interval.
# - Notebook 02: many series, covariates, missing values and intervals.
