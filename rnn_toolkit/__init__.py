"""rnn_toolkit: recurrent networks in Keras that work, from a table, a pile of texts or a set of recordings
to an honest score.

In working order:

- tables: `datasets`, `ForecastTask`, `split_by_time`, `Windows`, `check_leakage`
- texts: `fit_vocabulary`, `Vocabulary`, `load_word_vectors`, `text_batches`, `tag_batches`, `language_model_batches`,
  `pad`
- signals: `read_recordings`, `read_ts`, `cut_sequences`, `split_by_group`, `check_groups`, `sequence_batches`,
  `transcript_batches`
- models: `recurrent_layers`, `build_forecaster`, `load_forecaster`, `build_text_classifier`, `build_tagger`,
  `build_language_model`, `build_sequence_classifier`, `build_ctc_recognizer`, `check_transcripts`,
  `StridedConvolution`, `SpecAugment`, `WeightDrop`, `ActivationRegularization`, `make_optimizer`
- training: `train`, `load_best`, `load_history`, `default_callbacks`, `callbacks`, `Monitor`,
  `classifier_from_language_model`, `replace_head`, `fine_tune`, `train_curriculum`, `PacedBatches`, `compare`,
  `tune`, `describe_hardware`, `use_all_devices`
- judgement: `backtest`, `score`, `score_tags`, `score_language_model`, `score_labels`, `score_transcripts`
- diagnosis: `diagnose`, `gradient_flow`, `layer_statistics`, `find_learning_rate`, `overfit_one_batch`
- use: `forecast`, `conformalize`, `classify`, `explain_text`, `tag`, `generate`, `next_token_probabilities`,
  `copied_share`, `transcribe`, `align`, `label_steps`, `stream`
- pictures: `plot_history`, `plot_schedule`, `plot_forecast`, `plot_errors`, `plot_explanation`, `plot_confusion`,
  `plot_spectrogram`, `plot_gradient_flow`, `plot_learning_rates`
"""

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f"Keras needs a backend, and `{error.name}` is not installed. Name another with the environment variable "
        'KERAS_BACKEND, or install the default: pip install "rnn_toolkit[tensorflow]"'
    ) from error

from rnn_toolkit import datasets, watching
from rnn_toolkit.datasets.files import read_recordings, read_ts
from rnn_toolkit.diagnosis.diagnose import diagnose
from rnn_toolkit.diagnosis.dry_runs import find_learning_rate
from rnn_toolkit.diagnosis.gradients import gradient_flow
from rnn_toolkit.diagnosis.layer_health import layer_statistics
from rnn_toolkit.diagnosis.one_batch import overfit_one_batch
from rnn_toolkit.diagnosis.plots import plot_gradient_flow, plot_learning_rates
from rnn_toolkit.networks.dropping import ActivationRegularization, WeightDrop
from rnn_toolkit.networks.optimization import make_optimizer
from rnn_toolkit.networks.padding import pad
from rnn_toolkit.networks.recognition import classify
from rnn_toolkit.networks.recurrent import recurrent_layers
from rnn_toolkit.signals.batches import sequence_batches, transcript_batches
from rnn_toolkit.signals.evaluation import score_labels, score_transcripts
from rnn_toolkit.signals.layers import SpecAugment, StridedConvolution
from rnn_toolkit.signals.models import build_ctc_recognizer, build_sequence_classifier, check_transcripts
from rnn_toolkit.signals.plots import plot_confusion, plot_spectrogram
from rnn_toolkit.signals.recognition import align, label_steps, transcribe
from rnn_toolkit.signals.sequences import check_groups, cut_sequences, split_by_group
from rnn_toolkit.signals.streaming import stream
from rnn_toolkit.tables.evaluation import backtest, score
from rnn_toolkit.tables.forecasting import conformalize, forecast
from rnn_toolkit.tables.leakage import check_leakage
from rnn_toolkit.tables.models import build_forecaster
from rnn_toolkit.tables.plots import plot_errors, plot_forecast
from rnn_toolkit.tables.pretrained import load_forecaster
from rnn_toolkit.tables.task import ForecastTask
from rnn_toolkit.tables.windows import Windows, split_by_time
from rnn_toolkit.texts.batches import text_batches
from rnn_toolkit.texts.evaluation import copied_share, score_language_model, score_tags
from rnn_toolkit.texts.explanation import explain_text
from rnn_toolkit.texts.generation import generate, next_token_probabilities
from rnn_toolkit.texts.models import build_language_model, build_tagger, build_text_classifier
from rnn_toolkit.texts.plots import plot_explanation
from rnn_toolkit.texts.recognition import tag
from rnn_toolkit.texts.streams import language_model_batches
from rnn_toolkit.texts.tags import tag_batches
from rnn_toolkit.texts.transfer import classifier_from_language_model
from rnn_toolkit.texts.vectors import load_word_vectors
from rnn_toolkit.texts.vocabulary import Vocabulary, fit_vocabulary
from rnn_toolkit.training import callbacks
from rnn_toolkit.training.callbacks import default_callbacks
from rnn_toolkit.training.comparison import compare
from rnn_toolkit.training.curriculum import PacedBatches, train_curriculum
from rnn_toolkit.training.fine_tuning import fine_tune, replace_head
from rnn_toolkit.training.hardware import describe_hardware, use_all_devices
from rnn_toolkit.training.monitoring import Monitor
from rnn_toolkit.training.plots import plot_history, plot_schedule
from rnn_toolkit.training.search import tune
from rnn_toolkit.training.train import load_best, load_history, train

watching.shorten_errors()

__all__ = [
    "ActivationRegularization",
    "ForecastTask",
    "Monitor",
    "PacedBatches",
    "SpecAugment",
    "StridedConvolution",
    "Vocabulary",
    "WeightDrop",
    "Windows",
    "align",
    "backtest",
    "build_ctc_recognizer",
    "build_forecaster",
    "build_language_model",
    "build_sequence_classifier",
    "build_tagger",
    "build_text_classifier",
    "callbacks",
    "check_groups",
    "check_leakage",
    "check_transcripts",
    "classifier_from_language_model",
    "classify",
    "compare",
    "conformalize",
    "copied_share",
    "cut_sequences",
    "datasets",
    "default_callbacks",
    "describe_hardware",
    "diagnose",
    "explain_text",
    "find_learning_rate",
    "fine_tune",
    "fit_vocabulary",
    "forecast",
    "generate",
    "gradient_flow",
    "label_steps",
    "language_model_batches",
    "layer_statistics",
    "load_best",
    "load_forecaster",
    "load_history",
    "load_word_vectors",
    "make_optimizer",
    "next_token_probabilities",
    "overfit_one_batch",
    "pad",
    "plot_confusion",
    "plot_errors",
    "plot_explanation",
    "plot_forecast",
    "plot_gradient_flow",
    "plot_history",
    "plot_learning_rates",
    "plot_schedule",
    "plot_spectrogram",
    "read_recordings",
    "read_ts",
    "recurrent_layers",
    "replace_head",
    "score",
    "score_labels",
    "score_language_model",
    "score_tags",
    "score_transcripts",
    "sequence_batches",
    "split_by_group",
    "split_by_time",
    "stream",
    "tag",
    "tag_batches",
    "text_batches",
    "train",
    "train_curriculum",
    "transcribe",
    "transcript_batches",
    "tune",
    "use_all_devices",
]
