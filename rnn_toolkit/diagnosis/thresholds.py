"""The checks, in the order in which they are told, and the limits at which each speaks up: one table to read or change.

Causes come before what follows from them: of two findings equally grave, the first is the likelier cause. To judge by
another limit, pass it: `rt.diagnose(..., thresholds={"input_scale": 30})`.

Where no source is named, a limit is our choice, calibrated on runs of `tests/benchmarks/faults.py` and
`sound_cases.py` with seeds from 100 on, other than those that RESULTS.md reports. The sources:

- AutoTrainer: Zhang et al., 2021, "AutoTrainer", ICSE: 0.7 for dead ReLUs, 1e-4 for gradients between layers.
- Cohen: 1988, "Statistical power analysis": 0.8 is large; calibrated, as slow series come to 1.2.
- Goodfellow: et al., 2016, "Deep learning", 8.4: units must start different.
- He: and Garcia, 2009, "Learning from imbalanced data", IEEE TKDE 21(9): 10 to 1 and beyond.
- Karpathy 2015: et al., arXiv:1506.02078, show healthy ones; calibrated.
- Karpathy CS231n: "Neural Networks Part 3": about 1e-3; calibrated, sound runs come to 0.01.
- LeCun: et al., 2012, "Efficient BackProp": mean 0 and deviation 1; ten times that shuts the gates.
- Merity: et al., 2018, take 70, Zaremba et al., 2014, arXiv:1409.2329, 35 and 20.
- Pascanu: et al., 2013, ICML: above 1 gradients can explode; the margin calibrated.
- Smith: 2017, WACV; the factor calibrated.
"""

import numbers
from collections.abc import Mapping

from rnn_toolkit._checks import one_of

LIMITS: dict[str, dict[str, float]] = {
    "non-finite values": {},
    "constant target": {},
    "labels out of range": {},
    "loss and activation": {"out_of_reach": 0.01},  # share of targets beyond the bounds of the activation
    "symmetric initialisation": {
        "identical_units": 0.5,  # share of units of a layer with the weights of another; Goodfellow
    },
    "leakage": {
        "overlap": 0.2,  # share of validation windows whose last steps lie in training windows
        "copied_target": 0.95,  # share of rows in which an input equals the target
    },
    "masked rows": {"masked_rows": 0.01},  # share of rows in which nothing is left to read
    "padding side": {"padded_left": 0.05},  # share of rows with padding before what they hold
    "missing class": {},
    "duplicates": {"duplicates": 0.05},  # share of validation rows that are training rows
    "class imbalance": {"imbalance": 10.0},  # examples of the commonest class for each of the rarest; He
    "different distributions": {
        "input_shift": 1.5,  # difference of means, and half the ratio of deviations, in deviations; Cohen
        "label_shift": 0.25,  # total variation between the label shares of training and validation
    },
    "unknown tokens": {"unknown": 0.2},  # share of tokens that the vocabulary does not know
    "input scale": {
        "input_scale": 10.0,  # root mean square of what the first recurrent layer receives; LeCun
        "input_smallness": 0.03,  # the same, from below
    },
    "target scale": {"target_scale": 10.0},  # root mean square of targets, in deviations beyond 1; LeCun
    "frozen layers": {},
    "learning rate too high": {
        "rate": 10.0,  # learning rate over the suggestion of a range test, or under it; Smith
        "update_ratio_high": 0.03,  # mean change of weights in a step, in their norm; Karpathy CS231n
        "update_ratio_raised": 0.01,  # the same, where the validation loss goes up and down, too
        "update_ratio_low": 1e-3,  # the same: steps are neither too small nor too large; Karpathy CS231n
        "oscillation": 0.3,  # mean change of direction of the loss from epoch to epoch, in its range
        "validation_oscillation": 0.05,  # the same of the validation loss, where steps are large
    },
    "divergence": {},
    "input not used": {"unread": 1e-5},  # deviation of the outputs over rows, in their size
    "dead units": {"dead_units": 0.5},  # share of units of a layer that never change; AutoTrainer
    "saturated gates": {"saturation": 0.6},  # share of gates within 5 % of their bounds; Karpathy 2015
    "exploding gradients": {
        "exploding": 1e3,  # gradient at the first step over that at the last
        "spectral_radius": 1.5,  # largest absolute eigenvalue of a recurrent kernel; Pascanu
        "gradient_burst": 1e3,  # largest norm of a step's gradients over the median of the epochs' means, or 1
    },
    "clipping": {
        "clipped": 0.95,  # share of steps that were clipped
        "clip_depth": 20.0,  # mean norm of the gradients over the limit of the clipping
    },
    "learning rate too low": {
        "update_ratio_tiny": 5e-4,  # mean change of weights in a step: too small whatever a range test saw
    },
    "stopped too early": {
        "still_falling": 0.04,  # fall of the loss in the last fifth of the epochs, in the whole fall
        "epochs": 5.0,  # epochs after which one may say that nothing is learnt
    },
    "look-back": {
        "lookback_gain": 0.3,  # share of a linear model's squared error that a longer look-back takes away
        "lookback_worth": 0.05,  # the same, in the variance of the series
        "truncation": 10.0,  # tokens through which gradients go back; Merity
    },
    "underfitting": {
        "underfitting": 0.25,  # training loss over that of the best constant
        "narrow": 4,  # units of the narrowest recurrent layer
    },
    "vanishing gradients": {
        "vanishing": 1e-4,  # gradient at the first step over the last; untrained, its square; AutoTrainer
        "vanishing_step": 0.4,  # what is left of it from one step to the one before
    },
    "labels unrelated to inputs": {
        "told": 0.1,  # by how much the loss is higher with the targets of other rows, in the loss
        "by_heart": 0.9,  # best loss of all training rows, or of one batch alone, over the best constant's
    },
    "overfitting": {
        "overfitting": 1.5,  # validation loss over training loss of the same weights
        "overfitting_gap": 0.15,  # what lies between the two, in the best constant's loss
        "past_best": 1.2,  # validation loss of the weights as they are over the lowest
        "past_best_gap": 0.1,  # what lies between the two, in the best constant's loss
        "past_best_errors": 2,  # the same, in standard errors of the loss, which is that of some rows
        "of_no_use": 0.9,  # best validation loss over the best constant's: of no use for any other row
    },
    "cannot overfit one batch": {
        "learnt": 0.7,  # best loss over the best constant's: below it, a training came to something
        "on_its_way": 0.5,  # last loss of one batch over its first: below it, a forecaster of ours learns
    },
    "no better than a constant": {"constant": 0.97},  # best loss over that of the best constant
}


def limits(changes: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the limits by name, with changes.

    Example:
        >>> limits({"clipped": 0.5})["clipped"]
        0.5
    """
    known = {name: limit for row in LIMITS.values() for name, limit in row.items()}
    for name, limit in dict(changes or {}).items():
        one_of(name, "thresholds", known)
        if isinstance(limit, bool) or not isinstance(limit, numbers.Real):
            raise TypeError(f"`thresholds` must be numbers. Received: {limit!r} for {name!r}. Pass {known[name]}, say.")
    return known | dict(changes or {})
