# %% [markdown]
# # Many series, covariates, missing values, intervals
#
# {colab}
#
# **One network for many series.** Part one trains a single network on the weather of two airports, and forecasts a
# third that it has never seen. Part two takes a table with missing hours, a column of text, and weather beside the
# value that is forecast. There the network also says how wrong it may be.
#
# At the end of this page you can
#
# - train one network on a table of many series, and score each series by itself;
# - give it further columns, each with the right role, and leave gaps as they are;
# - forecast with an interval, and check that it holds what it promises.
#
# Words in blue are explained in the [glossary](glossary.md). About 1 minute on two CPU cores.

# %%
import keras
import pandas as pd

import rnn_toolkit as rt

# %% tags=["parameters"]
horizon = 24  # hours to forecast
lookback = 72  # hours the network sees
epochs = 8  # passes through the training data, at most
stride = 5  # hours between the starts of two training windows; sharing no factor with 24, it sees every hour of the day
seed = 0
download = True  # fetch Beijing's air from its publisher in part two; False takes a table that ships with the toolkit

# %%
keras.utils.set_random_seed(seed)

# %% [markdown]
# ## Part one: many series
#
# Hourly weather of New York's three airports in one **long table**: a row per airport and hour, the airport's name in
# a column of its own. Hours are missing, and values are missing in the hours that are there: `size` counts rows,
# `count` values; a whole year would have 8,760.

# %%
weather = rt.datasets.load_weather()
weather.groupby("airport").agg(["size", "count"])[["temperature", "pressure", "wind_direction"]]

# %% [markdown]
# The task gives each column a role. [Covariates](glossary.md#covariate) that are `observed` are known up to now, not
# beyond. The hour comes from the time axis, as a point on a circle, so that 23 o'clock is near 0. The day of the year
# is left out: with a single year, each day occurs once, and a network could only learn it by heart. Wind direction is
# text; it becomes a category inside the model.
#
# LaGuardia is put aside: the network will not see one row of it in training.

# %%
task = rt.ForecastTask(
    "temperature",
    horizon=horizon,
    lookback=lookback,
    time="time",
    series="airport",
    observed=("dew_point", "pressure", "wind_direction", "wind_speed"),
    calendar=("hour",),
    season_length=24,
)
seen = weather[weather.airport != "LGA"]
train, validation, test = rt.split_by_time(seen, task, stride=stride, batch_size=128)
train

# %% [markdown]
# What a [window](glossary.md#window) holds, channel by channel. A channel that ends in `_missing` says where a value
# was filled in.

# %%
pd.Series(train.feature_names, name="channel").to_frame().T

# %%
model = rt.build_forecaster(train)
history = rt.train(model, train, validation, epochs=epochs, run_dir="runs/weather")
axes = rt.plot_history(history)
# %% [markdown]
# Scores by airport. Each row of the test is forecast by the network, by copying the last hour (`naive`), by copying
# yesterday (`seasonal_naive`), by a straight line (`drift`), and by a linear model (`nlinear`): its
# [baselines](glossary.md#baseline). Compare the rows of one airport; [MAE](glossary.md#mae) is in degrees Fahrenheit.

# %%
rt.score(rt.backtest(model, test), by="series").round(2)

# %% [markdown]
# **An airport the network has never seen.** Its scale is taken from the recent rows; everything else was learnt from
# the others. `backtest` takes a table as well as windows, so the same weeks of the new airport are scored like the
# others. A warning says that the name is new, which is what we want here. It would matter if we had only spelled a
# known name in another way.

# %%
unseen = weather[weather.airport == "LGA"]
first_cutoff = test.origins.cutoff.min()
recent = unseen[unseen.time > first_cutoff - pd.Timedelta(hours=lookback)]
unseen_backtest = rt.backtest(model, recent, baselines=("naive", "seasonal_naive", "drift"))
rt.score(unseen_backtest, by="series").round(2)

# %%
cutoff = first_cutoff + pd.Timedelta(days=10)
forecast = rt.forecast(model, unseen[unseen.time <= cutoff])
axes = rt.plot_forecast(forecast, unseen[unseen.time <= cutoff + pd.Timedelta(hours=horizon)], baseline=24)
_ = axes.set_ylabel("°F")

# %% [markdown]
# ## Part two: gaps, text, and how wrong it may be
#
# Beijing's air, hour by hour, 2010 to 2014: fine dust (PM2.5) with 2,067 hours missing, the weather, and the wind's
# direction as text. It comes from its publisher. Without an internet connection, the air pressure at a New York airport
# takes its place; the text below holds for both.

# %%
try:
    if not download:
        raise ConnectionError("not asked for")
    table = rt.datasets.load_beijing_pm25()
    target, unit, first_test = "pm25", "µg per m³", "2014-01-01"
    observed = ("dew_point", "temperature", "pressure", "wind_direction", "wind_speed")
except ConnectionError:
    table = weather[weather.airport == "JFK"].set_index("time").drop(columns="airport")
    target, unit, first_test = "pressure", "millibars", "2013-11-01"
    observed = ("temperature", "dew_point", "wind_direction", "wind_speed")
table[[target, *observed]].describe(include="all").T[["count", "unique", "top", "mean", "min", "max"]]

# %% [markdown]
# A missing value is filled with the last one, marked in a channel of its own, and never counts as a target: neither in
# the [loss](glossary.md#loss) nor in a score. Three [quantiles](glossary.md#quantile) instead of one value make the
# network say how sure it is: the truth should lie below the first in one case of ten, and above the last in one of ten.

# %%
air = rt.ForecastTask(
    target,
    horizon=horizon,
    lookback=lookback,
    observed=observed,
    calendar=("hour", "day_of_week", "month"),
    season_length=24,
)
train, validation, test = rt.split_by_time(table, air, test=first_test, stride=stride, batch_size=128)
rt.check_leakage(table, air, test=first_test).groupby("leaks").size()

# %%
model = rt.build_forecaster(train, quantiles=(0.1, 0.5, 0.9))
history = rt.train(model, train, validation, epochs=epochs, run_dir="runs/air")
backtest = rt.backtest(model, test)
scores = rt.score(backtest)
scores.round(3)

# %% [markdown]
# `coverage_80` is the share of the truth inside the [interval](glossary.md#interval) between the first and the last
# quantile; it should be 0.8. `pinball` and `CRPS` judge the quantiles as a whole, lower is better.
#
# `conformalize` widens or narrows the interval until it covers 80 % of the [validation](glossary.md#validation) rows,
# and writes that into the model ([calibration](glossary.md#calibration)). The same test windows, before and after:

# %%
calibrated = rt.conformalize(model, validation, level=80)
after = rt.score(rt.backtest(calibrated, test, level=80))
coverage = {"before": scores.coverage_80["model"], "after": after.coverage_80["model"]}
pd.Series(coverage, name="share of the truth inside, 0.8 promised").round(3).to_frame()

# %% [markdown]
# A calibration holds for rows like those it was made on. If the test months are wilder than the validation months, the
# share stays below 0.8; if they are calmer, it comes out above. Look at it before you promise anything.

# %%
cutoff = test.origins.cutoff.iloc[len(test.origins) // 2]  # in the middle of the test
ahead = rt.forecast(calibrated, table[:cutoff], level=80)
axes = rt.plot_forecast(ahead, table[: cutoff + pd.Timedelta(hours=horizon)], baseline=24)
_ = axes.set_ylabel(unit)

# %%
axes = rt.plot_errors(backtest)
_ = axes.set_ylabel(unit)
# %% [markdown]
# In the first hours the last value is hard to beat. The further ahead, the more the weather and the calendar help. The
# interval may reach below zero, where dust cannot be: it is as wide as past errors were, and knows nothing of physics.
#
# ## In five lines
#
# 1. One network serves many series: a long table, and a column that names the series.
# 2. Each column has a role: target, observed, known, static; the calendar comes from the time axis.
# 3. Gaps stay as they are: filled, marked and never scored. Text columns become categories inside the model.
# 4. A series that the network has never seen is forecast at its own scale.
# 5. Quantiles say how sure the network is, calibration corrects them, and the score of a backtest checks them.
#
# ## Exercises
#
# 1. Tell the network which airport it looks at. Does it help, and what do you lose?
# 2. Which of the `observed` columns is worth having? Leave one out and compare.
#
# <details><summary>Solutions</summary>
#
# 1. `static="airport"` in the task. With two airports under one sky it helps little, and a new airport is then a name
#    that the network knows nothing about.
# 2. Train with `observed=("dew_point", "pressure", "wind_speed")`, and so on, each with a `run_dir` of its own, and put
#    the scores side by side. A difference counts only if it is larger than that between two values of `seed`.
#
# </details>

# %%
assert {"model", "naive", "seasonal_naive", "drift", "nlinear"} <= set(scores.index)
assert forecast.airport.unique().tolist() == ["LGA"] and len(forecast) == horizon
assert (ahead[f"{target}-lo-80"] <= ahead[f"{target}-hi-80"]).all()

# %% [markdown]
# ## What to try next
#
# - A column whose future you know, such as a price or a holiday: list it under `known`, and pass the coming rows to
#   `rt.forecast(..., future=...)`.
# - `rt.score(backtest, by="step")`: the scores hour by hour, as a table.
# - `short="pad"` in `split_by_time`, for series that are shorter than one window.
