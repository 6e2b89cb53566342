"""What goes wrong: faults that are put into the sound cases of `fault_tasks.py`, what may be said, and the remedies.

`EXPECTED` says which checks name a fault rightly. `FAULTS` changes a case as a user's slip would. `MENDS` does what a
user would do who reads a finding of that name, and knows nothing of the fault.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from fault_tasks import JUDGE, TRAIN, VALIDATION

import rnn_toolkit as rt

# Fault -> the checks that name it: the cause itself, or another name for the same thing. The first is the best.
EXPECTED = {
    "unscaled inputs": ("input scale",),
    "shuffled labels": ("labels unrelated to inputs",),
    "rate 100 times too high": ("learning rate too high",),
    "rate 100 times too low": ("learning rate too low",),
    "vanishing gradients": ("vanishing gradients",),
    "exploding kernel": ("exploding gradients",),
    "saturated gates": ("saturated gates",),
    "dead units": ("dead units",),
    "zero initialisation": ("symmetric initialisation",),
    "loss against activation": ("loss and activation",),
    "leaking split": ("leakage",),
    "duplicated rows": ("duplicates",),
    "too small a model": ("underfitting",),
    "too large a model": ("overfitting",),
    "left padding": ("padding side",),
    "masked-out rows": ("masked rows",),
    "constant target": ("constant target",),
    "NaN in one row": ("non-finite values",),
    "too early a stop": ("stopped too early",),
    "frozen layers": ("frozen layers",),
    "class missing": ("missing class",),
    "imbalance": ("class imbalance",),
    "shifted validation": ("different distributions",),
    "input not used": ("input not used",),
    "look-back too short": ("look-back",),
    "over-strong clipping": ("clipping",),
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """A slip, under the name that `EXPECTED` knows, put into a case of each of some tasks.

    `setting`, which `inject` also calls, changes the sound case where a fault belongs to another kind of network.
    """

    name: str
    tasks: tuple
    inject: Callable  # (case, random generator) -> None; changes the case
    setting: Callable | None = None  # (case) -> None


FAULTS = []


def _fault(name, *tasks, setting=None):
    def keep(inject):
        def inject_in_setting(case, random):
            if setting is not None:
                setting(case)
            inject(case, random)

        FAULTS.append(Fault(name, tasks, inject_in_setting, setting))
        return inject

    return keep


def _simple_cell(case):
    case.network.cell = "simple"


def _momentum(case):
    case.network.optimizer, case.network.rate = "sgd", 0.1


def _change(case, change, parts=(TRAIN, VALIDATION, JUDGE)):
    """Put `change(x, y)` in the place of the data of some parts."""
    for part in parts:
        case.data[part] = change(*case.data[part])


def _rows(data, kept) -> tuple:
    """Take some rows of arrays or lists."""
    return tuple(one[kept] if isinstance(one, np.ndarray) else [one[row] for row in kept] for one in data)


@_fault("unscaled inputs", "sine", "recall", "waves")
def _(case, random):  # pascals instead of hectopascals, and far from zero
    _change(case, lambda x, y: (x * 500 + 2_000, y))


@_fault("shuffled labels", "sine", "waves", "words")
def _(case, random):  # inputs sorted or joined without their labels
    x, y = case.data[TRAIN]
    case.data[TRAIN] = (x, _rows((y,), random.permutation(len(y)))[0])


@_fault("rate 100 times too high", "sine", "tokens", "load", "words", "grammar")
def _(case, random):
    case.network.rate *= 100


@_fault("rate 100 times too low", "recall", "waves", "words", "grammar")
def _(case, random):
    case.network.rate /= 100


@_fault("vanishing gradients", "long")
def _(case, random):
    case.network.cell, case.network.pooling = "simple", False
    case.network.recurrent_initializer = keras.initializers.RandomNormal(stddev=0.05)


@_fault("exploding kernel", "sine", "characters", setting=_simple_cell)
def _(case, random):  # a recurrent kernel that doubles the state at every step
    case.network.activation, case.network.clip = "relu", None
    case.network.recurrent_initializer = keras.initializers.Orthogonal(gain=2.0)


@_fault("saturated gates", "recall", "waves", "characters")
def _(case, random):
    case.network.kernel_initializer = keras.initializers.RandomNormal(stddev=20.0)
    case.network.recurrent_initializer = keras.initializers.RandomNormal(stddev=20.0)


@_fault("dead units", "sine", "characters", setting=_simple_cell)
def _(case, random):
    case.network.activation = "relu"
    case.network.bias_initializer = keras.initializers.Constant(-10.0)


@_fault("zero initialisation", "recall", "waves", "characters")
def _(case, random):
    network = case.network
    network.kernel_initializer = network.recurrent_initializer = network.head_initializer = "zeros"


@_fault("loss against activation", "waves", "characters")
def _(case, random):  # numbers without bounds, where the loss expects probabilities
    case.network.head_activation = None


@_fault("loss against activation", "sine")
def _(case, random):  # outputs between 0 and 1, targets on both sides of zero
    case.network.head_activation = "sigmoid"


@_fault("loss against activation", "few")
def _(case, random):  # a softmax of one number is always 1
    case.network.loss, case.options["outputs"] = "binary_crossentropy", 1


@_fault("leaking split", "recordings")
def _(case, random):  # overlapping windows split at random
    parts = [case.data[part] for part in (TRAIN, VALIDATION)]
    x, y = (np.concatenate(one) for one in zip(*parts, strict=True))
    order = random.permutation(len(x))
    cut = len(parts[0][0])
    case.data[TRAIN], case.data[VALIDATION] = _rows((x, y), order[:cut]), _rows((x, y), order[cut:])


@_fault("leaking split", "sine")
def _(case, random):  # the target among the inputs, which later rows will not have
    _change(
        case,
        lambda x, y: (np.concatenate([x, np.repeat(y[:, None], x.shape[1], 1)], axis=-1), y),
        (TRAIN, VALIDATION),
    )
    _change(case, lambda x, y: (np.concatenate([x, np.zeros_like(x)], axis=-1), y), (JUDGE,))


@_fault("duplicated rows", "few", "noisy", "waves")
def _(case, random):  # as many training rows in the validation data as rows of their own
    x, y = case.data[VALIDATION]
    again = random.choice(len(case.data[TRAIN][0]), len(x), replace=False)
    order = random.permutation(2 * len(x))
    parts = zip((x, y), _rows(case.data[TRAIN], again), strict=True)
    case.data[VALIDATION] = _rows([np.concatenate(one) for one in parts], order)


@_fault("too small a model", "sine", "characters", "waves")
def _(case, random):
    case.network.units = (1,)


@_fault("too large a model", "few", "noisy")
def _(case, random):
    case.network.units, case.network.dropout, case.patience = (192,), 0.0, None


@_fault("left padding", "tokens")
def _(case, random):
    def shifted(x, y):
        lengths = (x > 0).sum(1)
        return np.stack([np.roll(row, -length) for row, length in zip(x, lengths, strict=True)]), y

    _change(case, shifted)


@_fault("masked-out rows", "tokens", "few")
def _(case, random):  # three texts in ten came out of the cleaning empty
    def emptied(x, y):
        x[random.random(len(x)) < 0.3] = 0
        return x, y

    _change(case, emptied, (TRAIN, VALIDATION))


@_fault("constant target", "sine", "waves")
def _(case, random):  # a column that was never filled
    _change(case, lambda x, y: (x, np.zeros_like(y)), (TRAIN, VALIDATION))


@_fault("NaN in one row", "sine", "waves")
def _(case, random):
    x, _ = case.data[TRAIN]
    x[random.integers(len(x)), random.integers(x.shape[1]), 0] = np.nan


@_fault("too early a stop", "recall", "waves", "grammar")
def _(case, random):
    case.epochs = 3


@_fault("frozen layers", "characters", "tokens", "recall")
def _(case, random):
    case.network.frozen = True


@_fault("class missing", "waves", "tokens")
def _(case, random):  # rows sorted by class, and the last ones taken to validate
    parts = [case.data[part] for part in (TRAIN, VALIDATION)]
    x, y = (np.concatenate(one) for one in zip(*parts, strict=True))
    order = np.argsort(y, kind="stable")
    cut = np.searchsorted(y[order], y.max())
    case.data[TRAIN], case.data[VALIDATION] = _rows((x, y), order[:cut]), _rows((x, y), order[cut:])


@_fault("imbalance", "waves", "tokens")
def _(case, random):  # one class in fifty rows of another; judged by rows of each alike
    def thinned(x, y):
        kept = (y == 0) | (random.random(len(y)) < 0.04)
        return x[kept], y[kept]

    _change(case, thinned, (TRAIN, VALIDATION))


@_fault("shifted validation", "sine", "waves", "noisy")
def _(case, random):  # another instrument, in other units
    _change(case, lambda x, y: (x * 1.8 + 3 * x.std(), y), (VALIDATION,))


@_fault("input not used", "recall", "waves")
def _(case, random):  # 1 // 255
    case.network.scale = 0.0


@_fault("look-back too short", "load")
def _(case, random):
    case.options["lookback"] = 3


@_fault("look-back too short", "grammar")
def _(case, random):
    case.options["steps"] = 2


@_fault("over-strong clipping", "sine", "waves", setting=_momentum)
def _(case, random):
    case.network.clip = 1e-3


MENDS = {}


def _mend(*names):
    def keep(mend):
        MENDS.update(dict.fromkeys(names, mend))
        return mend

    return keep


@_mend("input scale")
def _(case):  # by the mean and spread of the training inputs
    x = case.data[TRAIN][0]
    axes = tuple(range(x.ndim - 1))
    mean, spread = x.mean(axes), x.std(axes) + 1e-7
    _change(case, lambda x, y: (((x - mean) / spread).astype("float32"), y))


@_mend("labels unrelated to inputs", "constant target", "input not used")
def _(case):  # no code can: inputs and targets are read again, from where they came
    case.data, case.network.scale = case.sound, None


@_mend("learning rate too high", "learning rate too low")
def _(case):
    train = case.feed(case, TRAIN)
    found = rt.find_learning_rate(case.build(case, train), train)
    case.network.rate = float(found.attrs["suggestion"])


@_mend("vanishing gradients")
def _(case):
    network = case.network
    network.cell, network.activation, network.recurrent_initializer = "gru", None, None
    network.pooling = case.kind == "classes"  # all steps speak, not the last alone


@_mend("exploding gradients")
def _(case):
    network = case.network
    network.clip, network.activation = 1.0, None
    network.kernel_initializer = network.recurrent_initializer = network.bias_initializer = None


@_mend("saturated gates", "dead units", "symmetric initialisation")
def _(case):  # the initialisers and the activation of Keras
    network = case.network
    network.kernel_initializer = network.recurrent_initializer = network.bias_initializer = None
    network.head_initializer = network.activation = None


@_mend("loss and activation")
def _(case):  # by the targets
    is_code = case.data[TRAIN][1].dtype.kind == "i"
    case.network.head_activation = "softmax" if is_code else None
    case.network.loss = "sparse_categorical_crossentropy" if is_code else "mse"
    case.options.pop("outputs", None)


@_mend("leakage")
def _(case):  # no column that gives the target away; and if there is none, windows split in their order in time
    x, y = case.data[TRAIN]
    columns = [place for place in range(x.shape[-1]) if not np.allclose(x[:, -1, place : place + 1], y)]
    _change(case, lambda x, y: (x[..., columns], y))
    if len(columns) == x.shape[-1]:
        case.data = dict(case.sound)


@_mend("duplicates")
def _(case):
    seen = {row.tobytes() for row in case.data[TRAIN][0]}
    kept = np.array([row.tobytes() not in seen for row in case.data[VALIDATION][0]])
    case.data[VALIDATION] = _rows(case.data[VALIDATION], kept)


@_mend("underfitting")
def _(case):
    case.network.units = tuple(max(32, 4 * units) for units in case.network.units)


@_mend("overfitting")
def _(case):
    case.network.units = tuple(max(4, units // 16) for units in case.network.units)
    case.network.dropout, case.patience = 0.3, 10


@_mend("padding side")
def _(case):
    _change(case, lambda x, y: (rt.pad([row[row > 0] for row in x], length=x.shape[1])[0], y))


@_mend("masked rows")
def _(case):
    _change(case, lambda x, y: (x[x.any(1)], y[x.any(1)]), (TRAIN, VALIDATION))


@_mend("non-finite values")
def _(case):
    def finite(x, y):
        kept = np.isfinite(x.reshape(len(x), -1)).all(1) & np.isfinite(y.reshape(len(y), -1)).all(1)
        return x[kept], y[kept]

    _change(case, finite, (TRAIN, VALIDATION))


@_mend("stopped too early")
def _(case):
    case.epochs, case.patience = 60, 10


@_mend("frozen layers")
def _(case):
    case.network.frozen = False


@_mend("different distributions")
def _(case):  # validation inputs in the units of the training inputs
    (x, _), (other, y) = case.data[TRAIN], case.data[VALIDATION]
    axes = tuple(range(x.ndim - 1))
    other = (other - other.mean(axes)) / other.std(axes) * x.std(axes) + x.mean(axes)
    case.data[VALIDATION] = (other.astype("float32"), y)


@_mend("missing class")
def _(case):  # all rows drawn anew into two parts
    sizes = [len(case.data[part][1]) for part in (TRAIN, VALIDATION)]
    x, y = (np.concatenate(one) for one in zip(case.data[TRAIN], case.data[VALIDATION], strict=True))
    order = np.random.default_rng(case.seed).permutation(len(y))
    case.data[TRAIN], case.data[VALIDATION] = _rows((x, y), order[: sizes[0]]), _rows((x, y), order[sizes[0] :])


@_mend("class imbalance")
def _(case):  # what `text_batches(class_weight="balanced")` does
    y = case.data[TRAIN][1]
    codes, places, counts = np.unique(y, return_inverse=True, return_counts=True)
    case.weights = (len(y) / (len(codes) * counts))[places].astype("float32")
    case.options["class_weight"] = "balanced"


@_mend("look-back")
def _(case):
    for name, least in (("lookback", 24), ("steps", 32)):
        if name in case.options:
            case.options[name] = max(least, 4 * case.options[name])


@_mend("clipping")
def _(case):
    case.network.clip = 1.0
