"""Data by name: bundled, or downloaded once, checked and cached.

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
    load_m4_hourly,
    load_names,
    load_python_topics,
    load_sunspots,
    load_support_messages,
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
    "load_m4_hourly",
    "load_names",
    "load_python_topics",
    "load_sunspots",
    "load_support_messages",
    "load_tiny_shakespeare",
    "load_weather",
]
