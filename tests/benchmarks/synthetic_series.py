"""Time series that nobody measured, of as many kinds as a generator can be taught: what a forecaster is pretrained on.

They cost nothing, leak nothing and carry no licence. Every batch is a function of its seed. A series is a level that
moves, a season that may drift, and noise, put together by addition or by multiplication; then things happen to it, as
they do to real ones: a break, an outlier, a strike, a calendar, rounding, a gap.

Sources: the state space forms of exponential smoothing of Hyndman et al., 2008, "Forecasting with exponential
smoothing"; random functions from kernels with periods as in KernelSynth (Ansari et al., 2024, "Chronos", TMLR), drawn
by random Fourier features (Rahimi and Recht, 2007, NeurIPS).
"""

import numpy as np

SEASONS = {1: 0.26, 4: 0.2, 12: 0.3, 7: 0.08, 24: 0.06, 52: 0.04}  # what is left of 1 is spread over 2 to 60
LONGEST_SEASON = 60


def synthetic_series(count: int, length: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw series of all kinds.

    Args:
        count: Series.
        length: Time steps of each.
        generator: Where the chance comes from.

    Returns:
        Values `(count, length)` float64, NaN where missing, and season lengths `(count,)`, 1 for none.

    Example:
        >>> values, seasons = synthetic_series(3, 40, np.random.default_rng(0))
        >>> values.shape, seasons.shape
        ((3, 40), (3,))
    """
    g = generator
    season = _seasons(count, g)
    pattern = _patterns(season, g)  # (count, LONGEST_SEASON), mean 0, deviation 1
    kinds = g.choice(4, count, p=[0.6, 0.16, 0.14, 0.1])
    values = np.empty((count, length))
    for kind, make in enumerate((_smoothing, _kernels, _arima, _trends)):
        rows = np.flatnonzero(kinds == kind)
        if len(rows):
            values[rows] = make(season[rows], pattern[rows], length, g)
    values = _grown(values, season, g)
    falling = (values[:, -1] < values[:, 0]) & (g.random(count) < 0.4)  # most things that people count grow
    values[falling] *= -1
    values = _happenings(values, g)
    values = _multiplied(values, season, g)
    values = _counted(values, season, g)
    return _holes(values, g), season


def _some(share: float, count: int, g) -> np.ndarray:
    """Return the places of a random share of the series."""
    return np.flatnonzero(g.random(count) < share)


def _log_uniform(low, high, count, g) -> np.ndarray:
    return 10 ** g.uniform(np.log10(low), np.log10(high), count)


def _seasons(count, g) -> np.ndarray:
    named = np.array(list(SEASONS))
    chosen = g.choice(named, count, p=np.array(list(SEASONS.values())) / sum(SEASONS.values()))
    other = g.random(count) < 1 - sum(SEASONS.values())
    chosen[other] = g.integers(2, LONGEST_SEASON + 1, other.sum())
    return chosen


def _patterns(season, g) -> np.ndarray:
    """Return one season of each series: waves of decreasing size, a free part, or a few peaks."""
    count, place = len(season), np.arange(LONGEST_SEASON)
    pattern = np.zeros((count, LONGEST_SEASON))
    roughness = g.uniform(0, 1.5, count)
    num_waves = g.integers(1, 7, count)
    for wave in range(1, 7):
        size = g.normal(size=count) / wave**roughness * (num_waves >= wave)
        angle = 2 * np.pi * wave * place / season[:, None] + g.uniform(0, 2 * np.pi, count)[:, None]
        pattern += size[:, None] * np.sin(angle)
    free = _some(0.35, count, g)
    pattern[free] += g.normal(size=(len(free), LONGEST_SEASON)) * _log_uniform(0.2, 2, len(free), g)[:, None]
    peaked = _some(0.1, count, g)  # a Christmas
    at = g.integers(0, season[peaked])
    pattern[peaked, at] += g.choice([-1, 1], len(peaked), p=[0.25, 0.75]) * g.uniform(2, 8, len(peaked))
    inside = place < season[:, None]
    mean = (pattern * inside).sum(axis=1, keepdims=True) / season[:, None]
    deviation = np.sqrt((((pattern - mean) * inside) ** 2).sum(axis=1, keepdims=True) / season[:, None])
    return np.where(inside, (pattern - mean) / np.maximum(deviation, 1e-9), 0) * (season > 1)[:, None]


def _noise(shape, g) -> np.ndarray:
    """Return noise of deviation about 1, of normal or heavier tails, correlated in some of the series."""
    count, length = shape
    noise = g.standard_normal(shape)
    heavy = _some(0.4, count, g)
    noise[heavy] = g.standard_t(g.choice([3.0, 5.0], (len(heavy), 1)), (len(heavy), length)) / 1.4
    correlation = g.choice([0, 0.3, 0.5, 0.7, 0.9, -0.3, -0.5], count, p=[0.55, 0.1, 0.1, 0.07, 0.08, 0.06, 0.04])
    for step in range(1, length):
        noise[:, step] = correlation * noise[:, step - 1] + np.sqrt(1 - correlation**2) * noise[:, step]
    return noise


def _smoothing(season, pattern, length, g) -> np.ndarray:
    """Draw from exponential smoothing: level, damped trend and season, each moved by the noise of the step."""
    count, rows = len(season), np.arange(len(season))
    size = _log_uniform(0.02, 1.5, count, g)  # of the noise; the season has deviation 1 before `amplitude`
    noise = _noise((count, length), g) * size[:, None]
    uneven = _some(0.15, count, g)  # noisier in some parts of the season
    wave = np.sin(2 * np.pi * (np.arange(length) / season[uneven, None] + g.random((len(uneven), 1))))
    noise[uneven] *= 1 + g.uniform(0, 0.9, (len(uneven), 1)) * wave
    rare = season <= 4  # years and quarters are sums of many days: their noise is small beside what lasts
    amplitude = np.where(g.random(count) < 0.88, _log_uniform(0.05, 4, count, g), 0) * np.where(rare, 0.5, 1)
    seasonal = amplitude[:, None] * pattern
    alpha = g.beta(np.where(rare, 2, 1), np.where(rare, 1, 2)) * (g.random(count) < 0.85)
    alpha[_some(0.08, count, g)] = 1.0  # a random walk
    beta = alpha * g.beta(1, 6, count) * (g.random(count) < 0.7)
    gamma = (1 - alpha) * g.beta(1, 6, count) * (g.random(count) < 0.7)
    damping = g.choice([1.0, 0.98, 0.9, 0.8], count, p=[0.5, 0.2, 0.2, 0.1])
    level = np.zeros(count)
    trend = g.normal(size=count) * np.where(season == 1, 1.5, 1) * _log_uniform(0.0005, 0.3, count, g)
    trend *= g.random(count) < 0.8
    phase = g.integers(0, season)
    values = np.empty((count, length))
    for step in range(length):
        place, error = (step + phase) % season, noise[:, step]
        expected = level + damping * trend
        values[:, step] = expected + seasonal[rows, place] + error
        level = expected + alpha * error
        trend = damping * trend + beta * error
        seasonal[rows, place] += gamma * error
    return values


def _kernels(season, pattern, length, g) -> np.ndarray:
    """Draw smooth random functions of one or two length scales, with a season that may slowly change its size."""
    count, time = len(season), np.arange(length)
    values = np.zeros((count, length))
    for share in (1.0, 0.5):
        scale = _log_uniform(3, 2 * length, count, g)[:, None]
        frequencies = g.standard_normal((count, 24)) / scale
        if share < 1:
            frequencies = g.standard_t(2, (count, 24)) / scale  # rougher: a mixture of length scales
        phases, sizes = g.uniform(0, 2 * np.pi, (count, 24)), g.standard_normal((count, 24)) / np.sqrt(12)
        waves = np.cos(frequencies[..., None] * time + phases[..., None])  # (count, features, length)
        drawn = (g.random(count) < share) * _log_uniform(0.3, 3, count, g)
        values += drawn[:, None] * np.einsum("cf,cfl->cl", sizes, waves)
    amplitude = np.where(g.random(count) < 0.85, _log_uniform(0.1, 3, count, g), 0)[:, None]
    swing = 1 + g.uniform(0, 0.8, (count, 1)) * np.sin(time / _log_uniform(10, length, count, g)[:, None])
    phase = g.integers(0, season)
    values += amplitude * swing * np.take_along_axis(pattern, (time + phase[:, None]) % season[:, None], axis=1)
    line = g.normal(size=(count, 1)) * (g.random((count, 1)) < 0.5) * 4 * time / length
    return values + line + _noise((count, length), g) * _log_uniform(0.02, 1, count, g)[:, None]


def _arima(season, pattern, length, g) -> np.ndarray:
    """Draw from autoregressions with two roots, summed up never, once or twice, with or without a season."""
    count = len(season)
    radius = g.uniform(0, 0.98, count)
    angle = np.where(g.random(count) < 0.5, 0, g.uniform(0, np.pi, count))  # real roots, or a cycle of its own
    first, second = 2 * radius * np.cos(angle), -(radius**2)
    single = g.random(count) < 0.5
    first, second = np.where(single, g.uniform(-0.6, 0.98, count), first), np.where(single, 0, second)
    moving = g.uniform(-0.8, 0.6, count) * (g.random(count) < 0.5)
    shocks = _noise((count, length + 30), g)
    walk = np.zeros((count, length + 30))
    for step in range(2, length + 30):
        walk[:, step] = first * walk[:, step - 1] + second * walk[:, step - 2] + shocks[:, step]
        walk[:, step] += moving * shocks[:, step - 1]
    walk = walk[:, 30:]
    walk /= walk.std(axis=1, keepdims=True) + 1e-9
    order = g.choice(3, count, p=[0.45, 0.47, 0.08])
    drift = g.normal(size=(count, 1)) * _log_uniform(0.003, 0.6, count, g)[:, None] * (g.random((count, 1)) < 0.5)
    summed = np.cumsum(walk + drift, axis=1)
    values = np.where((order == 0)[:, None], walk, summed)
    values = np.where((order == 2)[:, None], np.cumsum(0.1 * summed, axis=1), values)
    amplitude = np.where(g.random(count) < 0.7, _log_uniform(0.1, 4, count, g), 0)[:, None]
    phase = g.integers(0, season)
    time = np.arange(length)
    return values + amplitude * np.take_along_axis(pattern, (time + phase[:, None]) % season[:, None], axis=1)


def _trends(season, pattern, length, g) -> np.ndarray:
    """Draw lines with bends, growth that saturates, and growth that does not, under a season and little noise."""
    count, time = len(season), np.arange(length)
    slope = np.repeat(g.normal(size=(count, 1)) * 0.1, length, axis=1)
    for _ in range(3):
        bent, at = g.random(count) < 0.5, g.integers(0, length, count)
        change = g.normal(size=count) * 0.1 * bent
        slope += change[:, None] * (time >= at[:, None])
    values = np.cumsum(slope, axis=1)
    saturating = _some(0.35, count, g)
    middle, width = g.uniform(0, length, (len(saturating), 1)), g.uniform(3, length / 3, (len(saturating), 1))
    height = g.choice([-1, 1], (len(saturating), 1), p=[0.25, 0.75]) * g.uniform(2, 10, (len(saturating), 1))
    values[saturating] = height / (1 + np.exp(-(time - middle) / width))
    growing = _some(0.3, count, g)
    rate = g.normal(size=(len(growing), 1)) * 0.03
    values[growing] = g.uniform(1, 5, (len(growing), 1)) * np.exp(np.clip(rate * time, -5, 5))
    amplitude = np.where(g.random(count) < 0.8, _log_uniform(0.05, 2, count, g), 0)[:, None]
    phase = g.integers(0, season)
    values += amplitude * np.take_along_axis(pattern, (time + phase[:, None]) % season[:, None], axis=1)
    walk = np.cumsum(_noise((count, length), g), axis=1) * (g.random((count, 1)) < 0.5)
    return values + 0.1 * walk + _noise((count, length), g) * _log_uniform(0.01, 0.5, count, g)[:, None]


def _grown(values, season, g) -> np.ndarray:
    """Let some series grow, by more or less from time to time: most of the yearly ones, as what people sum up does."""
    count, length = values.shape
    rows = _some(np.select([season == 1, season == 4, season == 12], [0.8, 0.72, 0.45], 0.25), count, g)
    size = _seasonal_step(values[rows], season[rows])
    wander = g.standard_normal((len(rows), length))
    keep = 1 - 1 / _log_uniform(3, 60, len(rows), g)
    for step in range(1, length):
        wander[:, step] = keep * wander[:, step - 1] + np.sqrt(1 - keep**2) * wander[:, step]
    slope = 1 + _log_uniform(0.15, 3, len(rows), g)[:, None] * wander
    a_season = _log_uniform(0.2, 8, len(rows), g) * size  # of growth
    values[rows] += (a_season / season[rows])[:, None] * np.cumsum(slope, axis=1)
    return values


def _seasonal_step(values, season) -> np.ndarray:
    """Return how much each series differs from itself a season before, in the mean."""
    before = np.maximum(np.arange(values.shape[1]) - season[:, None], 0)
    return np.abs(values - np.take_along_axis(values, before, axis=1)).mean(axis=1) + 1e-9


def _happenings(values, g) -> np.ndarray:
    """Let levels break, single values stand out, and a strike or a sale last some steps."""
    count, length = values.shape
    time, size = np.arange(length), values.std(axis=1) + 1e-9
    for share, lasting in ((0.2, length), (0.06, 12)):
        rows = _some(share, count, g)
        at = g.integers(0, length, len(rows))[:, None]
        last = at + (length if lasting == length else g.integers(2, lasting, (len(rows), 1)))
        jump = (g.normal(size=len(rows)) * 2 * size[rows])[:, None]
        values[rows] += jump * ((time >= at) & (time < last))
    rows = _some(0.2, count, g)  # a trend that turns
    at, step = g.integers(0, length, (len(rows), 1)), np.abs(np.diff(values[rows], axis=1)).mean(axis=1, keepdims=True)
    values[rows] += g.normal(size=(len(rows), 1)) * 0.3 * step * np.maximum(time - at, 0)
    rows = _some(0.12, count, g)
    odd = g.random((len(rows), length)) < _log_uniform(0.005, 0.05, len(rows), g)[:, None]
    values[rows] += odd * g.standard_normal((len(rows), length)) * 4 * size[rows, None]
    return values


def _multiplied(values, season, g) -> np.ndarray:
    """Let most of the series grow and swing by factors, and some of the monthly ones feel the days of the month."""
    count, length = values.shape
    rows = _some(np.where(season <= 4, 0.75, 0.55), count, g)
    moved = values[rows] - values[rows, :1]
    spread, step = np.abs(moved).max(axis=1) + 1e-9, np.abs(np.diff(moved, axis=1)).mean(axis=1) + 1e-9
    factor = _log_uniform(0.01, 0.3, len(rows), g) / step  # of 1 to 30 percent a step, but
    factor = np.minimum(factor, _log_uniform(1, 9, len(rows), g) / spread)  # of no more than that in all
    values[rows] = np.exp(moved * factor[:, None])
    monthly = np.intersect1d(rows, np.flatnonzero(season == 12))
    monthly = monthly[g.random(len(monthly)) < 0.2]
    days = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) / 30.44
    month = (np.arange(length) + g.integers(0, 12, (len(monthly), 1))) % 12
    values[monthly] *= days[month]
    return values


def _counted(values, season, g) -> np.ndarray:
    """Turn some series into counts, with or without long runs of zeros, and round others."""
    count, length = values.shape
    rows = _some(0.06, count, g)
    low, high = values[rows].min(axis=1, keepdims=True), values[rows].max(axis=1, keepdims=True)
    rate = (values[rows] - low) / (high - low + 1e-9) * _log_uniform(0.5, 40, len(rows), g)[:, None]
    rate *= np.where(g.random((len(rows), 1)) < 0.4, g.random((len(rows), length)) < g.uniform(0.1, 0.8), 1)
    values[rows] = g.poisson(rate)
    rows = _some(0.12, count, g)
    step = (values[rows].std(axis=1, keepdims=True) + 1e-9) * g.choice([0.05, 0.2, 0.5], (len(rows), 1))
    values[rows] = np.round(values[rows] / step) * step
    return values


def _holes(values, g) -> np.ndarray:
    """Leave out single values of some series, and a stretch of others."""
    count, length = values.shape
    rows = _some(0.04, count, g)
    values[rows] = np.where(g.random((len(rows), length)) < g.uniform(0.02, 0.3, (len(rows), 1)), np.nan, values[rows])
    rows = _some(0.03, count, g)
    at = g.integers(1, length - 1, (len(rows), 1))
    inside = (np.arange(length) >= at) & (np.arange(length) < at + g.integers(2, 20, (len(rows), 1)))
    values[rows] = np.where(inside, np.nan, values[rows])
    return values
