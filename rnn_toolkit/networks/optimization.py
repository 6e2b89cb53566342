"""Optimizers with the defaults we would give a friend."""

import math
from collections.abc import Sequence

import keras
from keras import ops

from rnn_toolkit._checks import one_of, whole_number

SCHEDULES = ("constant", "exponential", "cosine", "warmup_cosine", "one_cycle", "plateau")
WARMUP = {"warmup_cosine": 0.05, "one_cycle": 0.3}  # share of the steps in which the rate rises
RISE = 25  # times the rate that a warm-up starts from
DECAY = 0.01  # what "exponential" leaves of the rate
CLIP_QUANTILE = 0.9  # of the recent norms; AutoClip takes 0.1, and so scales nine steps of ten
RECENT_STEPS = 100  # whose norms are kept


def make_optimizer(
    learning_rate: float = 1e-3,
    *,
    schedule: str | None = None,
    clip: float | str | None = "auto",
    weight_decay: float = 0.0,
    steps: int | None = None,
    average: float | None = None,
    rate_factors: Sequence[float] | None = None,
) -> keras.optimizers.Optimizer:
    """Make an Adam optimizer that clips gradients, decays weights and follows a schedule.

    `plot_schedule` draws the schedules. All but "constant" and "plateau" are made for `steps` training steps: trained
    for longer, "exponential" falls on, and the others stay at zero, where nothing is learnt.

    Args:
        learning_rate: Highest learning rate.
        schedule: How the rate changes from step to step. "constant", or `None`: not at all. "exponential": down to a
            hundredth of it. "cosine": down to zero along half a cosine. "warmup_cosine": likewise, after a rise from
            1/25 of it in the first 5 % of the steps, for a training that is unstable at first. "one_cycle": the same
            with a rise in the first 30 %, which bears a rate three to ten times higher. "plateau": constant in the
            optimizer; the plateau callback among `default_callbacks` lowers it when the loss no longer falls.
        clip: Largest global norm of the gradients. "auto" takes the 0.9 quantile of the norms of the last 100 steps,
            so that a gradient far above what this model, loss and batch size usually give is cut down, whatever their
            scale; steps not taken yet count as norms of 1, the usual limit. `None` never clips.
        weight_decay: Decoupled decay a step, of kernels only: biases, embeddings and normalisations are left alone.
        steps: Training steps in all, which the schedules need: `epochs * len(train)`.
        average: Momentum of a moving average of the weights, between 0 and 1 (0.999 averages about the last 1,000
            steps); `None` keeps none. `fit` ends with the average in place of the weights.
        rate_factors: What the rate is multiplied by for each of `model.trainable_variables`, in their order, as
            `fine_tune` does it; `None` trains all at one rate.

    Returns:
        `keras.optimizers.Adam`, or `AdamW` with weight decay or `rate_factors`; with clip="auto" a class of ours
            beneath them, which keeps the recent norms among its variables, saved and resumed with the rest.

    Raises:
        TypeError: If `steps` is no whole number.
        ValueError: On an unknown schedule, a schedule without `steps` or with too few, or a `learning_rate`, `clip`,
            `average` or `rate_factors` out of range.

    Example:
        >>> optimizer = make_optimizer(0.01, schedule="cosine", steps=100)
        >>> optimizer.clip_quantile, round(float(optimizer.learning_rate), 4)
        (0.9, 0.01)

    Source: Clipping by the global norm: Pascanu et al., 2013, "On the difficulty of training recurrent neural
        networks", ICML; they choose the limit by the norms that a training shows. At a quantile of them: Seetharaman et
        al., 2020, "AutoClip", MLSP; of all norms so far, where we forget those of a hundred steps ago. Decoupled decay:
        Loshchilov and Hutter, 2019, ICLR. Exponential and plateau: Senior et al., 2013, "An empirical study of learning
        rates in deep neural networks for speech recognition", ICASSP; the hundredth is our choice. Cosine: Loshchilov
        and Hutter, 2017, ICLR. Warm-up: Goyal et al., 2017, arXiv:1706.02677, in 5 of 90 epochs. One cycle: Smith,
        2018, arXiv:1803.09820; 30 % and 1/25 are the defaults of PyTorch's `OneCycleLR`.
    """
    if clip is not None and clip != "auto" and (isinstance(clip, str) or clip <= 0):
        raise ValueError(f"`clip` must be a positive number, 'auto' or None. Received: {clip!r}.")
    if average is not None and (isinstance(average, bool) or not 0 < average < 1):
        raise ValueError(f"`average` must lie between 0 and 1, or be None. Received: {average!r}. Try 0.999.")
    rate = learning_rates("constant" if schedule is None else schedule, learning_rate, steps)
    options = {"clip_quantile": CLIP_QUANTILE} if clip == "auto" else {"global_clipnorm": clip}
    if average is not None:
        options |= {"use_ema": True, "ema_momentum": average}
    if rate_factors is not None:
        return LayerwiseAdamW(rate, rate_factors=rate_factors, weight_decay=weight_decay, **options)
    if not weight_decay:
        return (QuantileClippedAdam if clip == "auto" else keras.optimizers.Adam)(rate, **options)
    return KernelDecayAdamW(rate, weight_decay=weight_decay, **options)


class QuantileClipping:
    """Mixin for an optimizer: clip gradients at a quantile of the global norms of the last steps.

    The limit comes from the steps before, so that a gradient cannot raise its own. Norms count as they are before
    clipping; zero and what is not finite do not count.

    Args:
        clip_quantile: Share of the recent norms that are not above the limit, above 0 to 1; `None` leaves clipping to
            Keras' own arguments.
    """

    def __init__(self, *args, clip_quantile: float | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.clip_quantile = clip_quantile

    def build(self, variables):
        """Make the variables."""
        if self.built:
            return
        super().build(variables)
        if self.clip_quantile is not None:
            # The latest comes last; ones, the usual limit, stand for steps not taken yet: a first gradient of 300 would
            # weigh on Adam's second moments for a thousand steps. Replicas share the mean of theirs.
            options = {"dtype": "float32", "aggregation": "mean", "name": "recent_norms"}
            self.recent_norms = self.add_variable((RECENT_STEPS,), initializer="ones", **options)

    def clip_limit(self):
        """Return the largest norm that the next step may have."""
        return ops.sort(ops.convert_to_tensor(self.recent_norms))[math.ceil(self.clip_quantile * RECENT_STEPS) - 1]

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "clip_quantile": self.clip_quantile}

    def _clip_gradients(self, grads):
        if self.clip_quantile is None:
            return super()._clip_gradients(grads)
        grads = [_rows_added(gradient) for gradient in grads]
        norm = ops.sqrt(sum(ops.sum(ops.square(ops.cast(one, "float32"))) for one in grads if one is not None))
        limit = self.clip_limit()
        counts = ops.logical_and(norm > 0, norm < float("inf"))
        kept = ops.convert_to_tensor(self.recent_norms)
        self.recent_norms.assign(ops.where(counts, ops.append(kept[1:], norm), kept))
        scale = ops.where(norm > limit, limit / norm, 1.0)
        return [None if one is None else one * ops.cast(scale, one.dtype) for one in grads]


def _rows_added(gradient):
    """Return a gradient whole; TensorFlow gives that of an embedding as rows, some of them twice."""
    if type(gradient).__name__ != "IndexedSlices":
        return gradient
    return ops.segment_sum(gradient.values, gradient.indices, num_segments=gradient.dense_shape[0])


@keras.saving.register_keras_serializable("rnn_toolkit")
class QuantileClippedAdam(QuantileClipping, keras.optimizers.Adam):
    """Adam that clips gradients at a quantile of their recent norms."""


@keras.saving.register_keras_serializable("rnn_toolkit")
class KernelDecayAdamW(QuantileClipping, keras.optimizers.AdamW):
    """AdamW that decays kernels only.

    Keras does not save what `exclude_from_weight_decay` was told: a model that is loaded and trained on would decay
    its biases too.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.exclude_from_weight_decay(var_names=["bias", "embeddings", "gamma", "beta"])


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
    if schedule in ("constant", "plateau"):
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
