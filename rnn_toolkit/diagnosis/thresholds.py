"""The limits at which `diagnose` speaks up, each with its source: the one table to read, and to change.

"calibrated" means: our choice, tried on runs of `tests/benchmarks/faults.py` with seeds other than the reported ones.
To judge by another limit, pass it: `rt.diagnose(..., thresholds={"input_scale": 30})`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from rnn_toolkit._checks import one_of


class Threshold(NamedTuple):
    """A limit, what it limits, and where it comes from."""

    value: float
    meaning: str
    source: str


THRESHOLDS = {
    # data
    "input_scale": Threshold(
        10.0,
        "root mean square of what the first recurrent layer receives",
        "LeCun et al., 2012, "
        "'Efficient BackProp': inputs of mean 0 and deviation 1; ten times that shuts the gates of a random start",
    ),
    "input_smallness": Threshold(0.03, "the same, from below", "calibrated"),
    "target_scale": Threshold(
        10.0,
        "root mean square of the targets over that of an untrained network's outputs, "
        "in deviations of targets beyond 1",
        "LeCun et al., 2012; the ten calibrated",
    ),
    "imbalance": Threshold(
        10.0,
        "examples of the most frequent class for each of the rarest",
        "He and Garcia, 2009, 'Learning from imbalanced data', IEEE TKDE 21(9): 10 to 1 and beyond",
    ),
    "duplicates": Threshold(0.05, "share of validation rows that are training rows", "calibrated"),
    "overlap": Threshold(0.2, "share of validation windows whose last steps lie in training windows", "calibrated"),
    "copied_target": Threshold(0.95, "share of rows in which an input equals the target", "calibrated"),
    "padding": Threshold(0.75, "share of padding in a batch", "calibrated"),
    "masked_rows": Threshold(0.01, "share of rows in which nothing is left to read", "calibrated"),
    "unknown": Threshold(0.2, "share of tokens that the vocabulary does not know", "calibrated"),
    "input_shift": Threshold(
        1.5,
        "difference of the means of training and validation, in deviations; twice that, the ratio of the deviations",
        "Cohen, 1988, 'Statistical power analysis': 0.8 is large; calibrated, as 200 rows of a slow series come to 1.2",
    ),
    "label_shift": Threshold(0.25, "total variation between the label shares of training and validation", "calibrated"),
    "token_shift": Threshold(0.25, "the same of token shares, beyond that of two halves of training", "calibrated"),
    "lookback_gain": Threshold(
        0.3, "share of a linear model's squared error that a longer look-back takes away", "calibrated"
    ),
    "lookback_worth": Threshold(0.05, "the same, in the variance of the series", "calibrated"),
    "truncation": Threshold(
        10.0,
        "tokens through which gradients go back",
        "Merity et al., 2018, take 70, Zaremba et al., 2014, arXiv:1409.2329, 35 and 20",
    ),
    # model
    "initial_loss": Threshold(
        5.0,
        "loss of an untrained network over that of the best constant",
        "Karpathy, 2019, 'A recipe for training neural networks': verify loss at init; the factor calibrated",
    ),
    "unread": Threshold(1e-5, "deviation of the outputs over rows, in their size", "calibrated"),
    "repeatable": Threshold(
        1e-3, "difference of two passes over the same rows, in the size of the outputs", "calibrated"
    ),
    "identical_units": Threshold(
        0.5,
        "share of units of a layer with the weights of another",
        "Goodfellow et al., 2016, 'Deep learning', 8.4: units must start different",
    ),
    "dead_units": Threshold(
        0.5, "share of units of a layer that never change", "AutoTrainer (Zhang et al., 2021, ICSE) has 0.7 for ReLUs"
    ),
    "saturation": Threshold(
        0.6,
        "share of gates within 5 % of their bounds",
        "calibrated; Karpathy et al., 2015, arXiv:1506.02078 show healthy ones",
    ),
    "vanishing": Threshold(
        1e-4,
        "gradient at the first step over that at the last",
        "AutoTrainer (Zhang et al., 2021, ICSE): 1e-4 between layers",
    ),
    "exploding": Threshold(1e3, "gradient at the first step over that at the last", "calibrated"),
    "gradient_burst": Threshold(
        1e3, "largest norm of a step's gradients over the median of the epochs' means", "calibrated"
    ),
    "spectral_radius": Threshold(
        1.5,
        "largest absolute eigenvalue of a recurrent kernel",
        "Pascanu et al., 2013, ICML: above 1 gradients can explode; the margin calibrated",
    ),
    "parameters": Threshold(100.0, "weights for each training example", "calibrated"),
    # training
    "constant": Threshold(0.97, "best loss over that of the best constant", "calibrated"),
    "update_ratio_high": Threshold(
        0.03,
        "mean change of a layer's weights in a step, in their norm",
        "Karpathy, CS231n notes, 'Neural Networks Part 3': about 1e-3; calibrated, as sound runs come to 0.01",
    ),
    "update_ratio_raised": Threshold(0.01, "the same, where the validation loss goes up and down, too", "calibrated"),
    "update_ratio_tiny": Threshold(
        5e-4, "the same: too small, even if a range test saw no rate that helps", "calibrated"
    ),
    "update_ratio_low": Threshold(1e-3, "the same: steps as large as that are not too small", "Karpathy, as above"),
    "rate": Threshold(
        10.0,
        "learning rate over the suggestion of a range test, or under it",
        "Smith, 2017, WACV; the factor calibrated",
    ),
    "clipped": Threshold(0.95, "share of steps that were clipped", "calibrated"),
    "clip_depth": Threshold(20.0, "mean norm of the gradients over the limit of the clipping", "calibrated"),
    "overfitting": Threshold(1.5, "validation loss over training loss of the same weights", "calibrated"),
    "overfitting_gap": Threshold(0.15, "what lies between the two, in the best constant's loss", "calibrated"),
    "past_best": Threshold(1.2, "validation loss of the weights as they are over the lowest", "calibrated"),
    "past_best_gap": Threshold(0.1, "what lies between the two, in the best constant's loss", "calibrated"),
    "of_no_use": Threshold(
        0.9, "best validation loss over that of the best constant: what was learnt holds for no other row", "calibrated"
    ),
    "by_heart": Threshold(
        0.9,
        "best loss over that of the best constant, of all training rows or of a batch trained on alone",
        "calibrated",
    ),
    "learnt": Threshold(
        0.7, "best validation loss over that of the best constant: below it, a training came to something", "calibrated"
    ),
    "underfitting": Threshold(0.25, "training loss over that of the best constant", "calibrated"),
    "narrow": Threshold(4, "units of the narrowest recurrent layer", "calibrated"),
    "still_falling": Threshold(
        0.04, "fall of the validation loss in the last fifth of the epochs, in the whole fall", "calibrated"
    ),
    "epochs": Threshold(5.0, "epochs after which one may say that nothing is learnt", "calibrated"),
    "oscillation": Threshold(
        0.3, "mean change of direction of the loss from epoch to epoch, in its range", "calibrated"
    ),
    "validation_oscillation": Threshold(0.05, "the same of the validation loss, where steps are large", "calibrated"),
    "baseline": Threshold(1.05, "validation loss over that of a baseline", "calibrated"),
}


def limits(changes: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the limits by name, with changes.

    Example:
        >>> limits({"clipped": 0.5})["clipped"]
        0.5
    """
    for name in changes or {}:
        one_of(name, "thresholds", THRESHOLDS)
    return {name: threshold.value for name, threshold in THRESHOLDS.items()} | dict(changes or {})
