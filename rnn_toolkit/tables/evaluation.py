"""How good a forecaster is: every rolling forecast beside its baselines, and the scores of all of them.

`backtest` keeps every single forecast in a table, so that any other question is a line of pandas; `score` sums it up.
"""

import re
import warnings
from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd
from utilsforecast import losses

from rnn_toolkit._checks import has_columns, one_of
from rnn_toolkit.networks.recognition import each_model_compiled
from rnn_toolkit.tables.baselines import BASELINES, baseline_forecasts, mase_scales
from rnn_toolkit.tables.intervals import bounds_of, levels_of
from rnn_toolkit.tables.layers import raw_units_of
from rnn_toolkit.tables.layout import key_of
from rnn_toolkit.tables.pretrained import fit_to_windows, is_pretrained
from rnn_toolkit.tables.windows import Windows
from rnn_toolkit.watching import counted

LEVELS = ("series", "cutoff", "time", "step", "target")
COLUMNS = (*LEVELS, "actual", "predicted", "scale")


def _scaled_error(frame, names) -> pd.DataFrame:
    scaled = frame[["y", *names]].div(frame["scale"], axis=0)
    return losses.mae(scaled.assign(unique_id=frame["unique_id"]), names)


# A metric of one's own is a row here: a table with the columns `unique_id` (the group), `y`, `scale` and those of the
# forecasters `names` -> a row per group, a column per forecaster.
METRICS = {
    "MAE": losses.mae,
    "RMSE": losses.rmse,
    "MASE": _scaled_error,
    "sMAPE": lambda frame, names: 200 * losses.smape(frame, names)[names],  # utilsforecast's runs from 0 to 1
}


def backtest(
    model: keras.Model,
    windows_or_frame: Windows | pd.DataFrame,
    *,
    baselines: Sequence[str] = BASELINES,
    level: Sequence[float] | float | None = None,
) -> pd.DataFrame:
    """Forecast from every window, and put the truth and simple baselines beside each forecast.

    Args:
        model: A model of `build_forecaster`, or any Keras model that takes the windows' x and predicts
            `(batch, horizon, targets)`, `(batch, horizon * targets)` or, for one target, `(batch, horizon)`; or
            `load_forecaster()`, which sees the look-back of the windows.
        windows_or_frame: `Windows`, all of which are judged, in the order of `.origins`; or a table, for a model that
            carries its preparation: then every window whose targets come after the training rows is judged.
        baselines: Forecasters put beside the model: "naive" (last value), "seasonal_naive" (last season; left out
            where the task has no `season_length`), "drift" (line through the first and the last value of the series
            so far), "nlinear" (linear model over the look-back, fitted on the training rows of the same table, and
            left out with a warning where it has none).
        level: Intervals to judge, in percent, of a model of `conformalize`: their bounds are the columns of quantiles,
            in place of the model's own.

    Returns:
        One row per series, cutoff, step and target: `series`, `cutoff` (last time step the model saw), `time`, `step`
        (from 1), `target`, `actual`, `predicted` (the median where the model forecasts quantiles), `q0.1` ... (one
        column per quantile), one column per baseline, and `scale` (mean absolute seasonal difference of the series in
        training, the denominator of MASE; NaN where the series does not move in training). Steps whose truth is
        missing are left out. About 80 bytes a row.

    Raises:
        TypeError: If the model is no Keras model, or the data are neither `Windows` nor a table.
        ValueError: If there is nothing to judge, a baseline is unknown, the model's forecasts have another shape or
            are not finite, the windows were prepared otherwise than the model, or a level was not calibrated.

    Example:
        >>> from rnn_toolkit.tables.task import ForecastTask
        >>> windows = Windows(pd.DataFrame({"load": [1.0, 2.0, 4.0, 8.0, 9.0]}), ForecastTask("load", 1, 3))
        >>> model = keras.Sequential([keras.Input((3, 1)), keras.layers.GlobalMaxPooling1D()])
        >>> backtest(model, windows, baselines=("naive", "drift"))[["cutoff", "actual", "predicted", "naive", "drift"]]
           cutoff  actual  predicted  naive     drift
        0       2     8.0        4.0    4.0  5.500000
        1       3     9.0        8.0    8.0 10.333333

    Source: Baselines as in `rnn_toolkit.tables.baselines`.
    """
    baselines = (baselines,) if isinstance(baselines, str) else tuple(baselines)
    for name in baselines:
        one_of(name, "baselines", BASELINES)
    if is_pretrained(model):
        model = fit_to_windows(model, windows_or_frame)
    windows = _windows_to_judge(model, windows_or_frame)
    table, task, starts = windows.table, windows.task, windows.starts
    horizon, num_targets = task.horizon, len(task.target)
    rows = starts[:, None].astype("int64") + np.arange(task.lookback, task.lookback + horizon)  # (windows, horizon)
    forecasts = _predict(model, windows, [] if level is None else levels_of(level))
    for name in baselines:
        values = baseline_forecasts(name, table, starts)
        if values is not None:
            forecasts[name] = values
        elif name == "nlinear":
            warnings.warn(
                "Baseline 'nlinear' is left out: the table has no training window before the first target that is "
                "judged. Pass the table with its training rows, or `baselines` without 'nlinear'.",
                stacklevel=2,
            )
    series, each = table.series_of(starts), horizon * num_targets
    offset = table.offset[series][:, None]  # (windows, 1, targets), float64
    places = rows + (table.first - table.offsets[:-1])[series][:, None]  # on the grid
    columns = {
        "series": pd.Categorical.from_codes(np.repeat(series, each), table.names),
        "cutoff": table.grid[places[:, 0] - 1].repeat(each),
        "time": table.grid[places.ravel()].repeat(num_targets),
        "step": np.tile(np.repeat(np.arange(1, horizon + 1, dtype="int32"), num_targets), len(starts)),
        "target": pd.Categorical.from_codes(np.tile(np.arange(num_targets), len(starts) * horizon), task.target),
        "actual": table.targets[rows].ravel(),
        **{name: (values + offset).ravel() for name, values in forecasts.items()},
        "scale": mase_scales(table, starts)[series].repeat(horizon, axis=0).ravel(),
    }
    frame = pd.DataFrame(columns, copy=False)
    is_observed = table.observed[rows].ravel()
    return frame if is_observed.all() else frame[is_observed].reset_index(drop=True)


def score(backtest: pd.DataFrame, *, by: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Sum up a backtest: one row for the model and one for each baseline.

    Every figure is a mean over rows, so that each forecast value counts alike. Targets have units of their own and are
    never pooled: with several, there are rows for each.

    Args:
        backtest: Table of `backtest`. Any further column of floats, such as the forecasts of a model from elsewhere,
            is scored like a baseline.
        by: Split the scores by "series", "step", "target", "cutoff" or "time", or by a list of them.

    Returns:
        DataFrame indexed by what `by` names and `forecaster`: "model" first, then the baselines. Columns, lower is
        better: `MAE` and `RMSE` in the units of the target; `MASE`, the absolute error over `scale`, without the series
        that have none (a warning names them); `sMAPE` in percent, from 0 to 200. If the model forecasts quantiles:
        `pinball`, the mean of the pinball losses of all quantiles; `CRPS`, approximated by twice that; and
        `coverage_80` ..., the share of the truth inside the central interval, which should be 0.8. A point forecast
        counts as equal quantiles; it has no coverage.

    Raises:
        ValueError: If a column is missing, `by` is unknown, or there are no rows or missing values.

    Example:
        >>> rows = {"target": "load", "actual": [2.0, 4.0], "predicted": [2.0, 3.0], "naive": [1.0, 1.0], "scale": 2.0}
        >>> score(pd.DataFrame(rows))[["MAE", "MASE"]]
                    MAE  MASE
        forecaster
        model       0.5  0.25
        naive       2.0  1.00

    Source: MASE: Hyndman and Koehler, 2006, International Journal of Forecasting 22(4). sMAPE: Makridakis,
        Spiliotis and Assimakopoulos, 2020, International Journal of Forecasting 36(1); the same figures where every
        series has as many rows. CRPS from quantiles: Gneiting and Raftery, 2007, Journal of the American Statistical
        Association 102(477).
    """
    levels = [by] if isinstance(by, str) else list(by or ())
    for level in levels:
        one_of(level, "by", LEVELS)
    has_columns(backtest.columns, ["target", "actual", "predicted", "scale", *levels], "`backtest`")
    if backtest.empty:
        raise ValueError("`backtest` has no rows: there is nothing to score. Pass the table that `backtest` returns.")
    if "target" not in levels and backtest["target"].nunique() > 1:
        levels = ["target", *levels]
    quantiles = {name: float(name[1:]) for name in backtest.columns if re.fullmatch(r"q0\.\d+", str(name))}
    others = [name for name in backtest.columns if name not in COLUMNS and name not in quantiles]
    others = [name for name in others if pd.api.types.is_float_dtype(backtest[name])]
    for name in ("actual", "predicted", *quantiles, *others):
        missing = int(backtest[name].isna().sum())
        if missing:
            raise ValueError(
                f"Column {name!r} misses {missing} of {len(backtest)} values, so its score would not be comparable. "
                "Drop these rows, or the column."
            )
    has_none = backtest["scale"].isna()
    if has_none.any():
        flat = backtest.loc[has_none, "series"].unique() if "series" in backtest else ["not named"]
        named = ", ".join(map(repr, flat[:5])) + (f" and {len(flat) - 5} more" if len(flat) > 5 else "")
        warnings.warn(
            f"MASE leaves out {int(has_none.sum())} of {len(backtest)} rows, which have no scale, because their series "
            f"does not move in training: {named}. The other scores count them.",
            stacklevel=2,
        )
    # The names are those that utilsforecast expects.
    frame = pd.DataFrame({"unique_id": 0, "y": backtest["actual"], "model": backtest["predicted"]}, copy=False)
    frame = pd.concat([frame, backtest[[*others, *quantiles]]], axis=1)
    keys = pd.DataFrame(index=[0])
    if levels:
        groups = backtest.groupby(levels, observed=True)
        frame["unique_id"], keys = groups.ngroup(), groups.size().reset_index()[levels]
    names = ["model", *others]
    frame["scale"] = backtest["scale"]
    metrics = {metric: function(frame, names)[names].to_numpy() for metric, function in METRICS.items()}
    if quantiles:
        metrics |= _quantile_metrics(frame, others, quantiles)
    scores = {level: keys[level].repeat(len(names)).tolist() for level in levels}
    scores |= {"forecaster": names * len(keys)} | {metric: values.ravel() for metric, values in metrics.items()}
    return pd.DataFrame(scores).set_index([*levels, "forecaster"])


def _windows_to_judge(model, windows_or_frame) -> Windows:
    if isinstance(windows_or_frame, pd.DataFrame) or hasattr(windows_or_frame, "to_pandas"):
        preparation = raw_units_of(model).preparation
        windows = Windows.after_training(windows_or_frame, preparation)
        if not len(windows.starts):
            last = windows.table.times(windows.table.offsets[1:] - 1).max()
            raise ValueError(
                f"No window has all its targets after the training rows (before {max(preparation.train_ends)}); the "
                f"table ends at {last}, and {windows.task.horizon} rows are forecast. Pass later rows, or `Windows`."
            )
        return windows
    windows = windows_or_frame
    if not isinstance(windows, Windows):
        raise TypeError(
            f"`windows_or_frame` must be `Windows` or a pandas DataFrame. Received: {type(windows).__name__}."
        )
    if not len(windows.starts):
        raise ValueError("There is no window to judge. Received: Windows without a window. Pass another split.")
    layer = raw_units_of(model, required=False)
    known = windows.preparation if layer is None else layer.preparation
    for what, own in _codings(known).items():
        if own != _codings(windows.preparation)[what]:
            raise ValueError(
                f"The windows were prepared otherwise than the model: their {what} differ, so that codes would be "
                "mixed up. Pass the table itself, or `rt.Windows(frame, preparation)` with the model's preparation."
            )
    return windows


def _codings(preparation) -> dict[str, object]:
    """Return what decides which number stands for what in the windows of a preparation."""
    words = {name: list(map(key_of, words)) for name, words in preparation.categories.items()}
    series = list(map(key_of, preparation.series))
    return {"channels": preparation.channels, "categories": words, "series": series}


def _predict(model, windows, levels) -> dict[str, np.ndarray]:
    """Return the model's forecasts by column name, each `(windows, horizon, targets)` float32."""
    task, starts, layer = windows.task, windows.starts, raw_units_of(model, required=False)
    quantiles = None if layer is None else layer.quantiles
    batches = Windows.of_table(windows.table, starts, batch_size=256)
    with each_model_compiled(), counted(range(len(batches)), "backtest", "batches") as line:
        move = keras.callbacks.LambdaCallback(on_predict_batch_end=lambda batch, logs: line.update())
        outputs = model.predict(batches, verbose=0, callbacks=[move])
    shape = (len(starts), task.horizon, len(task.target)) + ((len(quantiles),) if quantiles else ())
    allowed = [shape] if quantiles else [shape, (len(starts), task.horizon * len(task.target))]
    received = getattr(outputs, "shape", type(outputs).__name__)
    if received not in allowed:
        listed = " or ".join(map(str, allowed))
        raise ValueError(
            f"The model's forecasts have the wrong shape: {len(starts)} windows need {listed}. Received: {received}. "
            f"Change the model's last layer, or end it with `keras.layers.Reshape({shape[1:]})`."
        )
    outputs = np.asarray(outputs, dtype="float32").reshape(shape)
    check_finite(outputs)
    forecasts = {"predicted": layer.point(outputs) if quantiles else outputs}
    if not levels:
        return forecasts | {f"q{level:g}": outputs[..., place] for place, level in enumerate(quantiles or ())}
    raw_units, bounds, scale = raw_units_of(model), {}, windows.table.scale[windows.table.series_of(starts)]
    if raw_units.margins is None:
        raise ValueError(
            f"`level` needs a calibrated model, and this one is not. Received: {levels}. Calibrate it first: "
            "`rt.backtest(rt.conformalize(model, validation), test, level=80)`."
        )
    for level in levels:
        low, high = bounds_of(outputs, raw_units, level, raw_units.margins, scale)
        bounds |= {(1 - level / 100) / 2: low, (1 + level / 100) / 2: high}
    bounds[0.5] = forecasts["predicted"]
    return forecasts | {f"q{one:g}": bounds[one].astype("float32") for one in sorted(bounds)}


def check_finite(outputs):
    """Raise on forecasts that are no numbers."""
    broken = int((~np.isfinite(outputs)).sum())
    if broken:
        raise ValueError(
            f"The model forecasts NaN or infinity in {broken} of {outputs.size} values: its training diverged, or its "
            "input is not finite. Lower the learning rate, clip gradients, or look at the weights."
        )


def _quantile_metrics(frame, others, quantiles) -> dict[str, np.ndarray]:
    """Return pinball loss, CRPS and coverage, each `(groups, forecasters)`."""
    names = ["model", *others]
    pinball = [
        losses.quantile_loss(frame, {"model": quantile, **dict(zip(others, others, strict=True))}, q=level)[names]
        for quantile, level in quantiles.items()
    ]
    metrics = {"pinball": np.mean(pinball, axis=0)}
    metrics["CRPS"] = 2 * metrics["pinball"]
    for low_name, low in quantiles.items():
        high_name = next((name for name, high in quantiles.items() if np.isclose(low + high, 1) and low < 0.5), None)
        if high_name is not None:
            is_inside = frame["y"].between(frame[low_name], frame[high_name])
            coverage = np.full_like(metrics["pinball"], np.nan)  # a point forecast has none
            coverage[:, 0] = is_inside.groupby(frame["unique_id"]).mean()
            metrics[f"coverage_{100 * (1 - 2 * low):g}"] = coverage
    return metrics
