"""Optimizers with the defaults we would give a friend."""

import math
from collections.abc import Sequence

import keras
from keras import ops

from rnn_toolkit._checks import one_of, whole_number

SCHEDULES = ("constant", "exponential", "cosine", "warmup_cosine", "one_cycle")
WARMUP = {"warmup_cosine": 0.05, "one_cycle": 0.3}  # share of the steps in which the rate rises
RISE = 25  # times the rate that a warm-up starts from
DECAY = 0.01  # what "exponential" leaves of the rate


def make_optimizer(
    learning_rate: float = 1e-3,
    *,
    schedule: str | None = None,
    clip: float | None = 1.0,
    weight_decay: float = 0.0,
    steps: int | None = None,
    average: float | None = None,
    rate_factors: Sequence[float] | None = None,
) -> keras.optimizers.Optimizer:
    """Make an Adam optimizer that clips gradients, decays weights and follows a schedule.

    `plot_schedule` draws the schedules. All but "constant" are made for `steps` training steps: trained for longer,
    "exponential" falls on, and the others stay at zero, where nothing is learnt.

    Beside the schedule, `ReduceLROnPlateau`, one of the `default_callbacks`, halves the rate whenever the loss has not
    fallen for a while, also a constant one.

    Args:
        learning_rate: Highest learning rate.
        schedule: How the rate changes from step to step. "constant", or `None`: not at all. "exponential": down to a
            hundredth of it. "cosine": down to zero along half a cosine. "warmup_cosine": likewise, after a rise from
            1/25 of it in the first 5 % of the steps, for a training that is unstable at first. "one_cycle": the same
            with a rise in the first 30 %, which bears a rate three to ten times higher.
        clip: Largest global norm of the gradients: larger ones are cut down to it. `None` never clips.
        weight_decay: Decoupled decay a step, of kernels only: biases, embeddings (of places, too), normalisations and
            the linear part of a forecaster, which starts at its best, are left alone.
        steps: Training steps in all, which the schedules need: `epochs * len(train)`.
        average: Momentum of a moving average of the weights, between 0 and 1 (0.999 averages about the last 1,000
            steps); `None` keeps none. `fit` ends with the average in place of the weights.
        rate_factors: What the rate is multiplied by for each of `model.trainable_variables`, in their order, as
            `fine_tune` does it; `None` trains all at one rate.

    Returns:
        `keras.optimizers.Adam`, or a class of ours beneath `AdamW` with weight decay or `rate_factors`.

    Raises:
        TypeError: If `steps` is no whole number.
        ValueError: On an unknown schedule, a schedule without `steps` or with too few, or a `learning_rate`, `clip`,
            `average` or `rate_factors` out of range.

    Example:
        >>> optimizer = make_optimizer(0.01, schedule="cosine", steps=100)
        >>> optimizer.global_clipnorm, round(float(optimizer.learning_rate), 4)
        (1.0, 0.01)

    Source: Clipping by the global norm: Pascanu et al., 2013, "On the difficulty of training recurrent neural
        networks", ICML. Decoupled decay: Loshchilov and Hutter, 2019, ICLR. Exponential: Senior et al., 2013, "An
        empirical study of learning rates in deep neural networks for speech recognition", ICASSP; the hundredth is our
        choice. Cosine: Loshchilov and Hutter, 2017, ICLR. Warm-up: Goyal et al., 2017, arXiv:1706.02677, in 5 of 90
        epochs. One cycle: Smith, 2018, arXiv:1803.09820; 30 % and 1/25 are the defaults of PyTorch's `OneCycleLR`.
    """
    if clip is not None and (isinstance(clip, str) or not 0 < clip < float("inf")):
        raise ValueError(f"`clip` must be a positive number, or None. Received: {clip!r}. Try 1.0.")
    if average is not None and (isinstance(average, bool) or not 0 < average < 1):
        raise ValueError(f"`average` must lie between 0 and 1, or be None. Received: {average!r}. Try 0.999.")
    rate = learning_rates("constant" if schedule is None else schedule, learning_rate, steps)
    options = {"global_clipnorm": clip}
    if average is not None:
        options |= {"use_ema": True, "ema_momentum": average}
    if rate_factors is not None:
        return LayerwiseAdamW(rate, rate_factors=rate_factors, weight_decay=weight_decay, **options)
    if weight_decay:
        return KernelDecayAdamW(rate, weight_decay=weight_decay, **options)
    return keras.optimizers.Adam(rate, **options)


class QuantileClipping:
    """Mixin: clip gradients at a quantile of the global norms of the last steps, once `make_optimizer`'s way to clip.

    It did no better than a norm of 1 (tests/benchmarks/RESULTS.md), so that nothing makes it any more. It stays for
    models and runs of earlier versions, which open and go on with the optimizer that they began with.

    Args:
        clip_quantile: Share of the recent norms that are not above the limit, above 0 to 1; `None` leaves clipping to
            Keras' own arguments.
    """

    def __init__(self, *args, clip_quantile: float | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.clip_quantile = clip_quantile

    def build(self, variables):
        """Make the variables."""
        if not self.built:
            super().build(variables)
            if self.clip_quantile is not None:  # the latest comes last; ones stand for steps not taken yet
                options = {"dtype": "float32", "aggregation": "mean", "name": "recent_norms"}
                self.recent_norms = self.add_variable((100,), initializer="ones", **options)

    def clip_limit(self):
        """Return the largest norm that the next step may have."""
        return ops.sort(ops.convert_to_tensor(self.recent_norms))[math.ceil(self.clip_quantile * 100) - 1]

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "clip_quantile": self.clip_quantile}

    def _clip_gradients(self, grads):
        if self.clip_quantile is None:
            return super()._clip_gradients(grads)
        grads = [whole(gradient) for gradient in grads]
        norm = ops.sqrt(sum(ops.sum(ops.square(ops.cast(one, "float32"))) for one in grads if one is not None))
        limit, kept = self.clip_limit(), ops.convert_to_tensor(self.recent_norms)
        counts = ops.logical_and(norm > 0, norm < float("inf"))
        self.recent_norms.assign(ops.where(counts, ops.append(kept[1:], norm), kept))
        scale = ops.where(norm > limit, limit / norm, 1.0)
        return [None if one is None else one * ops.cast(scale, one.dtype) for one in grads]


def whole(gradient):
    """Return a gradient whole; TensorFlow gives that of an embedding as rows, some of them twice."""
    if type(gradient).__name__ != "IndexedSlices":
        return gradient
    return ops.segment_sum(gradient.values, gradient.indices, num_segments=gradient.dense_shape[0])


@keras.saving.register_keras_serializable("rnn_toolkit")
class QuantileClippedAdam(QuantileClipping, keras.optimizers.Adam):
    """Adam that clips gradients at a quantile of their recent norms."""


def clip_as_begun(model, stored: dict) -> bool:
    """Let a model clip at a quantile if its run began so, under an earlier version's default, and say whether.

    Args:
        model: A compiled model. One whose optimizer is not clipped by the present default is left alone.
        stored: Arguments of the optimizer that the run began with.
    """
    optimizer, kinds = model.optimizer, {one.__name__: one for one in (KernelDecayAdamW, LayerwiseAdamW)}
    # By name, as on PyTorch Keras' Adam has a class of its own.
    kind = (kinds | {"Adam": QuantileClippedAdam}).get(type(optimizer).__name__)
    if not stored.get("clip_quantile") or kind is None or optimizer.global_clipnorm != 1.0:
        return False
    clipping = {"global_clipnorm": None, "clip_quantile": stored["clip_quantile"]}
    model.optimizer = kind.from_config(optimizer.get_config() | clipping)
    model.train_function = None  # which holds the optimizer before
    return True


@keras.saving.register_keras_serializable("rnn_toolkit")
class KernelDecayAdamW(QuantileClipping, keras.optimizers.AdamW):
    """AdamW that decays kernels only.

    Keras does not save what `exclude_from_weight_decay` was told: a model that is loaded and trained on would decay
    its biases too.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.exclude_from_weight_decay(var_names=["bias", "embeddings", "places", "gamma", "beta", "linear"])


@keras.saving.register_keras_serializable("rnn_toolkit")
class LayerwiseAdamW(KernelDecayAdamW):
    """AdamW that trains each variable at a rate of its own, decay included.

    Unlike several optimizers in a `keras.optimizers.MultiOptimizer`, it clips by the norm of all gradients together.

    Args:
        rate_factors: What the rate is multiplied by for each trainable variable, in the order of the model.
    """

    def __init__(self, *args, rate_factors: Sequence[float], **kwargs):
        super().__init__(*args, **kwargs)
        self.rate_factors = [float(factor) for factor in rate_factors]
        if not all(0 <= factor < float("inf") for factor in self.rate_factors):
            raise ValueError(
                f"`rate_factors` must be numbers not below zero. Received: {self.rate_factors}. Pass 1 to train at the "
                "full rate; to leave a layer as it is, set `layer.trainable = False`."
            )

    def build(self, variables):
        """Make the moments of each variable."""
        if not self.built and len(variables) != len(self.rate_factors):
            raise ValueError(
                f"`rate_factors` has {len(self.rate_factors)} numbers, but the model has {len(variables)} trainable "
                "variables. Pass one for each of `model.trainable_variables`, and compile anew whenever a layer is "
                "frozen or unfrozen."
            )
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        """Decay and move one variable."""
        # A variable comes here without its path on TensorFlow; its place is known everywhere.
        learning_rate = learning_rate * self.rate_factors[self._get_variable_index(variable)]
        if self.weight_decay and self._use_weight_decay(variable):
            decay = keras.ops.cast(learning_rate * self.weight_decay, variable.dtype)
            self.assign_sub(variable, keras.ops.multiply(variable, decay))
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rate_factors": self.rate_factors}

    def _apply_weight_decay(self, variables):
        """Leave it to `update_step`, which knows the rate of a variable."""


def learning_rates(
    schedule: str, learning_rate: float, steps: int | None
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate of a schedule by name: a number where it is constant, else a Keras schedule."""
    one_of(schedule, "schedule", SCHEDULES)
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"`learning_rate` must be positive. Received: {learning_rate}. Try 1e-3.")
    learning_rate = float(learning_rate)
    if schedule == "constant":
        return learning_rate
    if steps is None:
        raise ValueError(f"schedule={schedule!r} needs the number of training steps. Pass steps=epochs * len(train).")
    steps = whole_number(steps, "steps", minimum=2 if schedule in WARMUP else 1)  # up and down takes two
    schedules = keras.optimizers.schedules
    if schedule == "exponential":
        return schedules.ExponentialDecay(learning_rate, decay_steps=steps, decay_rate=DECAY)
    if schedule == "cosine":
        return schedules.CosineDecay(learning_rate, decay_steps=steps)
    rising = max(round(WARMUP[schedule] * steps), 1)
    return schedules.CosineDecay(
        learning_rate / RISE, decay_steps=steps - rising, warmup_target=learning_rate, warmup_steps=rising
    )


@keras.saving.register_keras_serializable(package="rnn_toolkit")
class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Multiply a schedule by a number.

    Args:
        schedule: A Keras schedule.
        scale: The number.

    Example:
        >>> schedule = ScaledSchedule(keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0), 0.5)
        >>> float(schedule(2))
        0.25
    """

    def __init__(self, schedule, scale: float):
        is_config = isinstance(schedule, dict)
        self.schedule = keras.saving.deserialize_keras_object(schedule) if is_config else schedule
        self.scale = scale

    def __call__(self, step):
        return self.scale * self.schedule(step)

    def get_config(self):
        """Return what rebuilds it."""
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "scale": self.scale}


def schedule_of(optimizer):
    """Return the schedule that an optimizer was made with, or `None` for a plain rate."""
    rate = getattr(unwrapped(optimizer), "_learning_rate", None)  # Keras shows the present value only
    rate = rate.schedule if isinstance(rate, ScaledSchedule) else rate
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


def scale_of(optimizer) -> float:
    """Return what the schedule of an optimizer has been multiplied by."""
    rate = getattr(optimizer, "_learning_rate", None)
    return rate.scale if isinstance(rate, ScaledSchedule) else 1.0


def unwrapped(optimizer):
    """Return the optimizer inside a `LossScaleOptimizer`, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def single_optimizers(model) -> list:
    """Return the optimizers that have a rate: of a `MultiOptimizer`, those that it holds."""
    optimizer = unwrapped(model.optimizer)
    return list(getattr(optimizer, "optimizers", [optimizer]))
