"""Optimizers with the defaults we would give a friend."""

import keras

from rnn_toolkit._checks import one_of, whole_number

SCHEDULES = (None, "cosine", "one_cycle")


def make_optimizer(
    learning_rate: float = 1e-3,
    *,
    schedule: str | None = None,
    clip: float | str | None = "auto",
    weight_decay: float = 0.0,
    steps: int | None = None,
) -> keras.optimizers.Optimizer:
    """Make an Adam optimizer that clips gradients, decays weights and follows a schedule.

    Args:
        learning_rate: Highest learning rate.
        schedule: `None` for a constant rate (which `train` lowers on a plateau); "cosine": from the rate to zero;
            "one_cycle": up for the first 30 % of the steps, then down to zero along a cosine.
        clip: Largest global norm of the gradients; "auto" is 1, the usual choice for recurrent networks; `None`
            does not clip.
        weight_decay: Decoupled decay a step, of kernels only: biases, embeddings and normalisations are left alone.
        steps: Training steps in all, which the schedules need: `epochs * len(train)`.

    Returns:
        `keras.optimizers.Adam`, or `AdamW` with weight decay.

    Raises:
        ValueError: On an unknown schedule, a schedule without `steps`, or a clip that is not positive.

    Example:
        >>> optimizer = make_optimizer(0.01, schedule="cosine", steps=100)
        >>> optimizer.global_clipnorm, round(float(optimizer.learning_rate), 4)
        (1.0, 0.01)

    Source: Clipping by the global norm: Pascanu et al., 2013, "On the difficulty of training recurrent neural
        networks", ICML. One cycle: Smith, 2018, arXiv:1803.09820. Decoupled decay: Loshchilov and Hutter, 2019, ICLR.
    """
    one_of(schedule, "schedule", SCHEDULES)
    if clip is not None and clip != "auto" and (isinstance(clip, str) or clip <= 0):
        raise ValueError(f"`clip` must be a positive number, 'auto' or None. Received: {clip!r}.")
    if learning_rate <= 0:
        raise ValueError(f"`learning_rate` must be positive. Received: {learning_rate}. Try 1e-3.")
    rate = learning_rate
    if schedule is not None:
        if steps is None:
            raise ValueError(
                f"schedule={schedule!r} needs the number of training steps. Pass steps=epochs * len(train)."
            )
        whole_number(steps, "steps")
        warmup = int(0.3 * steps) if schedule == "one_cycle" else 0
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=learning_rate / 25 if warmup else learning_rate,  # 25 as in Smith's one cycle
            decay_steps=steps - warmup,
            warmup_target=learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    norm = 1.0 if clip == "auto" else clip
    if not weight_decay:
        return keras.optimizers.Adam(rate, global_clipnorm=norm)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=weight_decay, global_clipnorm=norm)
    optimizer.exclude_from_weight_decay(var_names=["bias", "embeddings", "gamma", "beta"])
    return optimizer
