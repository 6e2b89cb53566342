"""From a table to a forecaster, its scores and its forecasts.

task.py          which column of a table plays which role
axis.py          regular time axes
covariates.py    each kind of covariate: how it is laid out, how wide it is, how a network reads it
layout.py        which row of the matrix each row of a frame goes to
defaults.py      what a task leaves open: season and look-back
fitting.py       what is learnt from the training rows: codes, levels, scales
table.py         a long table as gap-free arrays, one block per series
windows.py       splits and lazily cut windows
leakage.py       the proof that no later row reaches an earlier split
baselines.py     what copying, the season and a linear model forecast
starts.py        the linear forecast that a network starts from
layers.py        patches, ordered quantiles, and raw units around a network
losses.py        losses on the scale of each series
series_network.py  the network that is taught on synthetic series, and what it reads of a series
pretrained.py    that network as it ships, fitted to windows or to any table
models.py        windows -> compiled keras.Sequential
intervals.py     a model's own intervals, and calibrated ones
evaluation.py    backtests and scores
forecasting.py   model + recent rows -> future rows
plots.py         pictures of forecasts and of their errors
"""
