"""The intervals of a forecast: a model's own quantiles, and the margins that a calibration has put beside them."""

import numpy as np


def levels_of(level) -> list[float]:
    """Return coverages in percent, the smallest first; raise on what is none."""
    levels = [level] if np.isscalar(level) else list(level)
    for one in levels:
        if isinstance(one, str) or not 0 < one < 100:
            raise ValueError(f"`level` must be percentages between 0 and 100, such as [80, 95]. Received: {level!r}.")
    if not levels:
        raise ValueError("`level` names no percentage. Received: []. Pass [80, 95], say.")
    return sorted(levels)


def bounds_of(output, raw_units, level, margins, scale):
    """Return the lower and upper bound `(series, steps, targets)` of an interval."""
    point, horizon = raw_units.point(output), raw_units.preparation.task.horizon
    low, high = base_interval(output, raw_units, level)
    if margins:
        if f"{level:g}" not in margins:
            listed = ", ".join(margins)
            raise ValueError(f"Level {level:g} was not calibrated. Available: {listed}. See `rt.conformalize`.")
        margin = np.asarray(margins[f"{level:g}"])[np.arange(point.shape[1]) % horizon]  # (steps, targets)
        low, high = low - margin * scale[:, None], high + margin * scale[:, None]
    below, above = np.maximum(point - low, 0), np.maximum(high - point, 0)
    # Beyond the horizon no error was measured, and what is fed back is taken for certain: the last interval grows like
    # a random walk's.
    growth = np.sqrt(np.arange(1, point.shape[1] + 1) / horizon)[horizon:, None]  # (steps beyond, 1)
    for width in (below, above):
        width[:, horizon:] = width[:, horizon - 1 : horizon] * growth
    return point - below, point + above


def base_interval(output, raw_units, level):
    """Return what is calibrated: the model's own interval where it has one, or its point forecast twice."""
    places = own_places(raw_units, level)
    return [output[..., place] for place in places] or [raw_units.point(output)] * 2


def own_places(raw_units, level) -> list[int]:
    """Return the places of the two quantiles that enclose a level, none where the model lacks one of them."""
    wanted = ((1 - level / 100) / 2, (1 + level / 100) / 2)
    quantiles = raw_units.quantiles or ()
    places = [place for want in wanted for place, have in enumerate(quantiles) if abs(have - want) < 1e-6]
    return places if len(places) == 2 else []
