"""Data by name: bundled, or downloaded once, checked and cached.

files.py       WAV and .ts files -> tables with a sequence a row
downloads.py   published files: downloaded once, checked, cached
loaders.py     data by name: bundled, with Python, or downloaded
"""

from rnn_toolkit.datasets.downloads import cache_dir
from rnn_toolkit.datasets.loaders import (
    load_airline_passengers,
    load_beijing_pm25,
    load_co2,
    load_etth1,
    load_imdb,
    load_japanese_vowels,
    load_m4_hourly,
    load_mnist,
    load_names,
    load_python_topics,
    load_spoken_digits,
    load_sunspots,
    load_support_messages,
    load_synthetic_digits,
    load_tiny_shakespeare,
    load_weather,
)

__all__ = [
    "cache_dir",
    "load_airline_passengers",
    "load_beijing_pm25",
    "load_co2",
    "load_etth1",
    "load_imdb",
    "load_japanese_vowels",
    "load_m4_hourly",
    "load_mnist",
    "load_names",
    "load_python_topics",
    "load_spoken_digits",
    "load_sunspots",
    "load_support_messages",
    "load_synthetic_digits",
    "load_tiny_shakespeare",
    "load_weather",
]
