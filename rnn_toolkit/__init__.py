"""rnn_toolkit: recurrent networks in Keras that work, from a table to a scored forecast.

In working order:

- data: `datasets`, `ForecastTask`, `split_by_time`, `Windows`, `check_leakage`
- models: `recurrent_layers`, `build_forecaster`, `make_optimizer`
- training: `train`, `default_callbacks`
- judgement: `backtest`, `score`
- use: `forecast`, `conformalize`
- pictures: `plot_history`, `plot_forecast`, `plot_errors`
"""

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f"Keras needs a backend, and `{error.name}` is not installed. Name another with the environment variable "
        'KERAS_BACKEND, or install the default: pip install "rnn_toolkit[tensorflow]"'
    ) from error

from rnn_toolkit import datasets
from rnn_toolkit.callbacks import default_callbacks
from rnn_toolkit.evaluation import backtest, score
from rnn_toolkit.forecasting import conformalize, forecast
from rnn_toolkit.leakage import check_leakage
from rnn_toolkit.models import build_forecaster, recurrent_layers
from rnn_toolkit.optimization import make_optimizer
from rnn_toolkit.plotting import plot_errors, plot_forecast, plot_history
from rnn_toolkit.series import ForecastTask
from rnn_toolkit.training import train
from rnn_toolkit.windows import Windows, split_by_time

__all__ = [
    "ForecastTask",
    "Windows",
    "backtest",
    "build_forecaster",
    "check_leakage",
    "conformalize",
    "datasets",
    "default_callbacks",
    "forecast",
    "make_optimizer",
    "plot_errors",
    "plot_forecast",
    "plot_history",
    "recurrent_layers",
    "score",
    "split_by_time",
    "train",
]
