# %% [markdown]
# # Many series, covariates, missing values, intervals
#
# {colab}
#
# **One network for a whole table.** Part one trains a single network on the weather of several airports and forecasts
# one that it has never seen. Part two takes a table as tables are: holes in it, text in a column, weather beside the
# value that counts; and asks not only for a forecast, but for how wrong it may be.
#
# About 2 minutes on two CPU cores.

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
# The task names a role for each column. `observed` covariates are known up to now, not beyond. The hour and the season
# come from the time axis, as points on a circle, so that 23 o'clock borders 0. Wind direction is text; it becomes a
# category inside the model.
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
    calendar=("hour", "day_of_year"),
    season_length=24,
)
seen = weather[weather.airport != "LGA"]
train, validation, test = rt.split_by_time(seen, task, stride=stride, batch_size=128)
train

# %% [markdown]
# What a window holds, channel by channel. A channel that ends in `_missing` says where a value was filled in.

# %%
pd.Series(train.feature_names, name="channel").to_frame().T

# %%
model = rt.build_forecaster(train)
history = rt.train(model, train, validation, epochs=epochs, run_dir="runs/weather")
axes = rt.plot_history(history)
# %% [markdown]
# Scores by airport. Each row of the test is forecast by the network, by copying the last hour, by copying yesterday,
# by a straight line, and by a linear model; compare within a column, down the rows of one airport.

# %%
rt.score(rt.backtest(model, test), by="series").round(2)

# %% [markdown]
# **An airport the network has never seen.** Its scale is taken from the recent rows it is given; everything else it
# has learned from the others. A warning says that the name is new: had we only written it in another way, the network
# would be wrong about an airport that it does know.

# %%
unseen = weather[weather.airport == "LGA"]
cutoff = test.origins.cutoff.iloc[len(test.origins) // 4]
forecast = rt.forecast(model, unseen[unseen.time <= cutoff])
axes = rt.plot_forecast(forecast, unseen[unseen.time <= cutoff + pd.Timedelta(hours=horizon)], baseline=24)
# %% [markdown]
# ## Part two: a table as tables are
#
# Beijing's air, hour by hour, 2010 to 2014: fine dust (PM2.5) with 2,067 hours missing, the weather, and the wind's
# direction as text. It comes from its publisher; without a network, a New York airport with its missing air pressure
# takes its place, and the sentences below hold for both.

# %%
try:
    if not download:
        raise ConnectionError("not asked for")
    table = rt.datasets.load_beijing_pm25()
    target, first_test = "pm25", "2014-01-01"
    observed = ("dew_point", "temperature", "pressure", "wind_direction", "wind_speed")
except ConnectionError:
    table = weather[weather.airport == "JFK"].set_index("time").drop(columns="airport")
    target, first_test = "pressure", "2013-11-01"
    observed = ("temperature", "dew_point", "wind_direction", "wind_speed")
table[[target, *observed]].describe(include="all").T[["count", "unique", "top", "mean", "min", "max"]]

# %% [markdown]
# A missing value is filled with the last one, flagged in a channel of its own, and never counts as a target: neither
# in the loss nor in a score. Three **quantiles** instead of one value make the network say how sure it is: the truth
# should lie below the first in one case of ten, and above the last in one of ten.

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
scores = rt.score(backtest := rt.backtest(model, test))
scores.round(3)

# %% [markdown]
# `coverage_80` is the share of the truth inside the interval; 0.8 is what it promises. `pinball` and `CRPS` judge the
# quantiles as a whole, lower is better. `conformalize` widens or narrows the intervals until they cover 80 % of the
# validation rows, and writes that into the model.

# %%
calibrated = rt.conformalize(model, validation, level=80)
moments = test.origins.cutoff.iloc[:: max(len(test.origins) // 40, 1)]
inside = pd.Series(dtype=float)
for cutoff in moments:
    ahead = rt.forecast(calibrated, table[:cutoff].tail(2 * lookback), level=80)
    truth = table[target].reindex(ahead.index).dropna()
    hits = truth.between(ahead[f"{target}-lo-80"].loc[truth.index], ahead[f"{target}-hi-80"].loc[truth.index])
    inside = pd.concat([inside, hits.astype(float)])
pd.Series({"before": scores.coverage_80["model"], "after, at 40 cutoffs": inside.mean()}, name="coverage").round(3)

# %% [markdown]
# A calibration speaks for rows like those it was made on. Where the test months are wilder than the validation months,
# the coverage stays below 0.8, and where they are calmer, it comes out above: look at it before you promise it.

# %%
ahead = rt.forecast(calibrated, table[:cutoff], level=80)
axes = rt.plot_forecast(ahead, table[: cutoff + pd.Timedelta(hours=horizon)], baseline=24)
# %%
axes = rt.plot_errors(backtest)
# %% [markdown]
# In the first hours the last value is hard to beat; the further ahead, the more the weather and the calendar help. The
# interval may reach below zero, where dust cannot: it is as wide as past errors were, and knows nothing of physics.

# %%
assert {"model", "naive", "seasonal_naive", "drift", "nlinear"} <= set(scores.index)
assert forecast.airport.unique().tolist() == ["LGA"] and len(forecast) == horizon
assert (ahead[f"{target}-lo-80"] <= ahead[f"{target}-hi-80"]).all()

# %% [markdown]
# ## What to try next
#
# - A column whose future you know, such as a price or a holiday: list it under `known`, and pass the coming rows to
#   `rt.forecast(..., future=...)`.
# - `static="airport"`: tell the network which series it looks at.
# - `rt.score(backtest, by="step")`: the scores hour by hour, as a table.
# - `short="pad"` in `split_by_time`, for series that are shorter than one window.
