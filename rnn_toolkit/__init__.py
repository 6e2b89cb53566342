"""rnn_toolkit: recurrent networks in Keras that work, from a table to a scored forecast.

In working order:

- tables: `datasets`, `ForecastTask`, `split_by_time`, `Windows`, `check_leakage`
- texts: `fit_vocabulary`, `Vocabulary`, `text_batches`, `language_model_batches`, `pad`
- models: `recurrent_layers`, `build_forecaster`, `make_optimizer`
- training: `train`, `load_best`, `load_history`, `default_callbacks`, `callbacks`, `Monitor`
- judgement: `backtest`, `score`
- use: `forecast`, `conformalize`
- pictures: `plot_history`, `plot_schedule`, `plot_forecast`, `plot_errors`
"""

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f"Keras needs a backend, and `{error.name}` is not installed. Name another with the environment variable "
        'KERAS_BACKEND, or install the default: pip install "rnn_toolkit[tensorflow]"'
    ) from error

from rnn_toolkit import callbacks, datasets
from rnn_toolkit.callbacks import default_callbacks
from rnn_toolkit.evaluation import backtest, score
from rnn_toolkit.forecasting import conformalize, forecast
from rnn_toolkit.leakage import check_leakage
from rnn_toolkit.models import build_forecaster, recurrent_layers
from rnn_toolkit.monitoring import Monitor
from rnn_toolkit.optimization import make_optimizer
from rnn_toolkit.plotting import plot_errors, plot_forecast, plot_history, plot_schedule
from rnn_toolkit.series import ForecastTask
from rnn_toolkit.text import language_model_batches, pad, text_batches
from rnn_toolkit.training import load_best, load_history, train
from rnn_toolkit.vocabulary import Vocabulary, fit_vocabulary
from rnn_toolkit.windows import Windows, split_by_time

__all__ = [
    "ForecastTask",
    "Monitor",
    "Vocabulary",
    "Windows",
    "backtest",
    "build_forecaster",
    "callbacks",
    "check_leakage",
    "conformalize",
    "datasets",
    "default_callbacks",
    "fit_vocabulary",
    "forecast",
    "language_model_batches",
    "load_best",
    "load_history",
    "make_optimizer",
    "pad",
    "plot_errors",
    "plot_forecast",
    "plot_history",
    "plot_schedule",
    "recurrent_layers",
    "score",
    "split_by_time",
    "text_batches",
    "train",
]
