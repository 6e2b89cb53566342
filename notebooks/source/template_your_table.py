# %% [markdown]
# # Your table: an empty page
#
# {colab}
#
# Fifteen lines from a CSV file to a forecast, with every check on the way, and below each what to do when it speaks up.
# Fill in the cell with the names, run all cells. What the lines mean is told in
# [notebook 01](01_forecast_your_own_table.ipynb), words in the [glossary](glossary.md).
#
# About 1 minute on two CPU cores for a table of some thousand rows.

# %%
import keras
import pandas as pd

import rnn_toolkit as rt

# %% tags=["parameters"]
csv_file = None  # "mine.csv"; None takes monthly passengers of airlines, to try the page
time_column = "month"
separator = ","  # between the columns; ";" in most files with decimal commas
decimal = "."  # "," if the file writes 316,1
target = "passengers"
horizon = 12  # rows to forecast
lookback = 36  # rows the network sees: two or three seasons
season_length = 12  # rows in a season: 24 for hours of a day, 7 for days of a week, 12 for months, 52 for weeks
epochs = 60
run_dir = "runs/mine"

# %%
if csv_file is None:
    frame = rt.datasets.load_airline_passengers()
else:
    frame = pd.read_csv(csv_file, sep=separator, decimal=decimal, parse_dates=[time_column], index_col=time_column)
    frame = frame.sort_index()
frame.tail(3)

# %% [markdown]
# - **No such file**: in Colab, upload it by the folder symbol on the left, and wait until it is listed there.
# - **Dates turned around** (the 3rd of February became the 2nd of March): `pd.read_csv(..., dayfirst=True)`.
# - **Missing column**: is the time column spelled so in the file, and is the separator right?

# %%
task = rt.ForecastTask(target, horizon=horizon, lookback=lookback, season_length=season_length)
train, validation, test = rt.split_by_time(frame, task)
leaks = rt.check_leakage(frame, task)
axes = frame[target].plot(title=target)
f"{len(train)}, {len(validation)} and {len(test)} batches; {leaks.leaks.sum()} of {len(leaks)} checks found a leak"

# %% [markdown]
# - **No such column**: is it spelled so in the file?
# - **Text with commas**: the file writes 316,1, so set `decimal = ","`.
# - **A value far from all others**, 999 say: it stands for a missing one, `frame = frame.replace(999, float("nan"))`.
#   **Too far for float32**: an error among the values, or a counter that only grows, `frame = frame.diff()`.
# - **Too few rows**: lower `lookback`, then `horizon`. One [window](glossary.md#window) needs both together, and each
#   part of the split at least one window.
# - **A time stands twice**: many series in one table have a column that names the series: `ForecastTask(...,
#   series="shop")`. Otherwise decide which row is right: `frame[~frame.index.duplicated(keep="last")]`.
# - **No regular step**: name it, `ForecastTask(..., frequency="D")`; or bring the rows to one,
#   `frame.resample("D").sum()`.

# %%
model = rt.build_forecaster(train)
history = rt.train(model, train, validation, epochs=epochs, run_dir=run_dir)
rt.diagnose(model, train, validation, history=history)

# %% [markdown]
# - **The folder holds another run**: you changed the table or a length. Give `run_dir` a new name.
# - **A finding**: read the first one, do what its remedy says, and train again in a new `run_dir`. Why it is a finding
#   is told in [notebook 11](11_why_does_it_not_learn.ipynb).

# %%
scores = rt.score(rt.backtest(model, test))
scores.round(3)

# %% [markdown]
# - **The model is not the best row**: use the best row. `nlinear` ahead: there is little for a network to find.
#   `seasonal_naive` ahead: is `season_length` right, and does `lookback` hold two seasons or more? `naive` ahead: the
#   series may be a random walk, as most prices are, and nothing will forecast it better.

# %%
calibrated = rt.conformalize(model, validation, level=80)
coming = rt.forecast(calibrated, frame, level=80)
calibrated.save("mine.keras")
assert rt.forecast(keras.saving.load_model("mine.keras"), frame, level=80).equals(coming)
axes = rt.plot_forecast(coming, frame)
coming

# %% [markdown]
# - **Too few values for an interval**: a larger share to calibrate on, `split_by_time(..., validation=0.3)`.
# - **Later, with new rows**: `rt.forecast(keras.saving.load_model("mine.keras"), new_frame, level=80)`, with the last
#   `lookback` rows or more. Import `rnn_toolkit` first.

# %%
assert not leaks.leaks.any(), "the split must not leak"
assert len(coming) == horizon and coming.index[0] > frame.index[-1], "a forecast begins behind the table"
