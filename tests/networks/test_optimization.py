"""Optimizers: what is clipped, decayed and scheduled, and what is refused."""

import keras
import numpy as np
import pytest

from rnn_toolkit import make_optimizer
from rnn_toolkit.networks.optimization import (
    SCHEDULES,
    KernelDecayAdamW,
    LayerwiseAdamW,
    QuantileClippedAdam,
    clip_as_begun,
    whole,
)
from rnn_toolkit.tables.layers import LinearHighway, PatchDecoder

XLA = pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch has no XLA")


def rates(optimizer, steps):
    """Return the learning rate at each of the first steps."""
    variable = keras.Variable([0.0])
    optimizer.build([variable])
    values = []
    for _ in range(steps):
        values.append(float(optimizer.learning_rate))
        optimizer.apply([keras.ops.zeros((1,))], [variable])
    return np.array(values)


def test_the_default_is_adam_at_a_constant_rate_clipped_at_a_norm_of_one():
    optimizer = make_optimizer()
    assert type(optimizer).__name__ == "Adam" and optimizer.global_clipnorm == 1
    assert rates(optimizer, 3) == pytest.approx([1e-3] * 3)


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"rate_factors": [1.0]}])
def test_clip_can_be_set_and_turned_off(options):
    for clip in (0.5, None):
        optimizer = make_optimizer(clip=clip, **options)
        assert optimizer.global_clipnorm == clip and not getattr(optimizer, "clip_quantile", None)
    assert type(make_optimizer(clip=0.5)).__name__ == "Adam"


def recent(optimizer):
    """Return the norms that an optimizer has kept, but for ones."""
    norms = keras.ops.convert_to_numpy(optimizer.recent_norms)
    return norms[norms != 1].tolist()


def clipped(optimizer, norm):
    """Return the norm of a gradient (3, 4) * norm / 5, in two variables, after clipping."""
    first, second = optimizer._clip_gradients(
        [keras.ops.full((1,), 0.6 * norm), None, keras.ops.full((1,), 0.8 * norm)]
    )[::2]
    return float(np.hypot(*(keras.ops.convert_to_numpy(one).item() for one in (first, second))))


def quantile_clipped(rate=1e-3, **options):
    """Return an optimizer as earlier versions made it by default."""
    if not options:
        return QuantileClippedAdam(rate, clip_quantile=0.9)
    kind = LayerwiseAdamW if "rate_factors" in options else KernelDecayAdamW
    return kind(rate, clip_quantile=0.9, **{"weight_decay": 0.0, **options})


def built(**options):
    optimizer = quantile_clipped(**options)
    optimizer.build([keras.Variable([0.0]), keras.Variable([0.0]), keras.Variable([0.0])])
    return optimizer


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"rate_factors": [1.0, 1.0, 0.5]}])
def test_the_first_ten_steps_are_clipped_at_one_and_the_next_by_what_they_were(options):
    optimizer = built(**options)
    assert clipped(optimizer, 0.5) == pytest.approx(0.5)
    for norm in range(100, 110):
        assert clipped(optimizer, norm) == pytest.approx(1)
    assert recent(optimizer) == pytest.approx([0.5, *range(100, 110)])  # as they were before clipping
    assert float(optimizer.clip_limit()) == pytest.approx(1)  # which nine tenths are not above
    assert clipped(optimizer, 1e6) == pytest.approx(1)
    assert clipped(optimizer, 1e6) == pytest.approx(100)


def test_a_tenth_of_the_recent_steps_may_be_above_the_limit():
    optimizer = built()
    for norm in range(1, 101):
        clipped(optimizer, norm / 1000)
    assert float(optimizer.clip_limit()) == pytest.approx(0.09)
    assert clipped(optimizer, 7.0) == pytest.approx(0.09)
    assert float(optimizer.clip_limit()) == pytest.approx(0.091)  # the smallest has left


def test_norms_of_a_hundred_steps_ago_are_forgotten():
    optimizer = built()
    for norm in [1000.0] * 50 + [2.0] * 100:
        clipped(optimizer, norm)
    assert recent(optimizer) == pytest.approx([2.0] * 100)
    assert clipped(optimizer, 1000.0) == pytest.approx(2)


@pytest.mark.parametrize("norm", [0.0, float("nan"), float("inf")])
def test_a_norm_of_nothing_or_not_finite_is_not_kept(norm):
    optimizer = built()
    clipped(optimizer, 2.0)
    clipped(optimizer, norm)
    assert recent(optimizer) == pytest.approx([2])
    assert clipped(optimizer, 8.0) == pytest.approx(1)


def test_rows_of_an_embedding_that_come_twice_count_as_their_sum():
    model = keras.Sequential(
        [keras.Input((2,), dtype="int32"), keras.layers.Embedding(3, 1, "ones"), keras.layers.GlobalAveragePooling1D()]
    )
    model.compile(quantile_clipped(0.1), "mse")
    model.fit(np.array([[1, 1]]), np.zeros((1, 1)), verbose=0)
    assert recent(model.optimizer) == pytest.approx([2])  # 2 * 1 * (1/2 + 1/2), not 2 * √(1/4 + 1/4)


@pytest.mark.parametrize("how", ["plain", "loss scale", "accumulated", pytest.param("compiled by XLA", marks=XLA)])
def test_norms_are_kept_in_every_kind_of_step(how):
    optimizer = quantile_clipped(1e-6)  # the gradient of (w x)² is 2 x² w
    if how == "accumulated":
        optimizer.gradient_accumulation_steps = 2
    if how == "loss scale":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(optimizer, "mse", jit_compile=how == "compiled by XLA")
    x = np.array([[1.0], [2.0], [3.0], [1.0]])
    model.fit(x, 0 * x, batch_size=1, shuffle=False, verbose=0)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    assert recent(inner) == pytest.approx([5, 10] if how == "accumulated" else [2, 8, 18, 2], rel=1e-3)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="this one is TensorFlow's")
def test_replicas_share_the_mean_of_their_norms():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
        model.compile(quantile_clipped(1e-6), "mse")
    model.fit(np.array([[1.0]]), np.array([[0.0]]), verbose=0)
    assert recent(model.optimizer) == pytest.approx([2])


def test_a_model_of_an_earlier_version_clips_as_before(tmp_path):
    for number, options in enumerate([{}, {"weight_decay": 0.1}, {"rate_factors": [1.0, 1.0]}]):
        model = two_kernels(quantile_clipped(**options))
        stepped(model, gradient=3.0)
        model.save(tmp_path / f"{number}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{number}.keras").optimizer
        assert type(loaded) is type(model.optimizer) and loaded.get_config() == model.optimizer.get_config()
        assert recent(loaded) == recent(model.optimizer) == pytest.approx([3 * np.sqrt(2)])


def test_a_file_from_before_there_were_quantiles_still_loads():
    config = make_optimizer(clip=1.0, weight_decay=0.1).get_config()
    del config["clip_quantile"]
    loaded = KernelDecayAdamW.from_config(config)
    assert loaded.global_clipnorm == 1.0 and loaded.clip_quantile is None
    loaded.build([keras.Variable([0.0])])
    assert len(loaded.variables) == 4  # iteration, rate and two moments


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"rate_factors": [1.0, 1.0]}])
def test_a_run_of_an_earlier_version_goes_on_with_the_clipping_it_began_with(options):
    model = two_kernels(make_optimizer(0.5, schedule="cosine", steps=10, **options))
    earlier = quantile_clipped(make_optimizer(0.5, schedule="cosine", steps=10)._learning_rate, **options).get_config()
    assert clip_as_begun(model, earlier)
    assert model.optimizer.get_config() | {"name": ""} == earlier | {"name": ""}
    assert not clip_as_begun(model, make_optimizer(**options).get_config())


def test_an_optimizer_with_another_clipping_than_the_default_keeps_it():
    for optimizer in (make_optimizer(clip=2.0), keras.optimizers.SGD(0.1, global_clipnorm=1.0)):
        model = two_kernels(optimizer)
        assert not clip_as_begun(model, {"clip_quantile": 0.9}) and model.optimizer is optimizer


@pytest.mark.parametrize("schedule", ["constant", None])
def test_a_constant_rate_is_left_to_callbacks(schedule):
    optimizer = make_optimizer(0.5, schedule=schedule)
    optimizer.learning_rate = 0.25  # which Keras refuses beside a schedule
    assert rates(optimizer, 3).tolist() == [0.25] * 3


def test_exponential_falls_by_a_tenth_in_half_the_steps_and_a_hundredth_in_all():
    values = rates(make_optimizer(0.1, schedule="exponential", steps=10), 11)
    assert values[[0, 5, 10]] == pytest.approx([0.1, 0.01, 0.001])


def test_cosine_falls_from_the_rate_to_zero():
    values = rates(make_optimizer(0.1, schedule="cosine", steps=10), 11)
    assert values[0] == pytest.approx(0.1)
    assert values[5] == pytest.approx(0.05)
    assert values[10] == pytest.approx(0.0, abs=1e-8)


def test_one_cycle_rises_for_three_tenths_of_the_steps_and_falls_to_zero():
    values = rates(make_optimizer(0.1, schedule="one_cycle", steps=100), 101)
    assert values[0] == pytest.approx(0.004)
    assert values.argmax() == 30 and values.max() == pytest.approx(0.1)
    assert values[100] == pytest.approx(0.0, abs=1e-8)


def test_warmup_cosine_rises_for_a_twentieth_of_the_steps_and_falls_to_zero():
    values = rates(make_optimizer(0.1, schedule="warmup_cosine", steps=100), 101)
    assert values[0] == pytest.approx(0.004)
    assert values.argmax() == 5 and values.max() == pytest.approx(0.1)
    assert values[100] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("schedule", ["warmup_cosine", "one_cycle"])
def test_the_shortest_warmup_is_one_step(schedule):
    values = rates(make_optimizer(0.1, schedule=schedule, steps=2), 3)
    assert values == pytest.approx([0.004, 0.1, 0.0], abs=1e-8)


def test_one_cycle_goes_up_once_and_down_once():
    slopes = np.sign(np.diff(rates(make_optimizer(0.1, schedule="one_cycle", steps=20), 21)))
    assert slopes.tolist() == [1] * 6 + [-1] * 14


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_model_that_is_saved_and_loaded_goes_on_with_its_schedule(schedule, tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(make_optimizer(0.1, schedule=schedule, steps=10, average=0.5), "mse")
    x = np.ones((4, 1), "float32")
    model.fit(x, x, batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    rates = [float(keras.ops.convert_to_numpy(one.optimizer.learning_rate)) for one in (model, loaded)]
    assert rates[0] == rates[1]
    assert loaded.optimizer.get_config() == model.optimizer.get_config()


def test_average_is_the_momentum_of_keras_moving_average():
    optimizer = make_optimizer(average=0.9)
    assert optimizer.use_ema and optimizer.ema_momentum == 0.9
    assert not make_optimizer().use_ema


def test_weight_decay_leaves_biases_alone_in_a_loaded_model_too(tmp_path):
    layer = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(make_optimizer(0.1, weight_decay=0.5), "mse")
    gradients = [keras.ops.zeros(weight.shape) for weight in model.trainable_variables]
    model.optimizer.apply(gradients, model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.optimizer.apply(gradients, loaded.trainable_variables)
    kernel, bias = (keras.ops.convert_to_numpy(weight).item() for weight in loaded.weights)
    assert (kernel, bias) == pytest.approx((0.95 * 0.95, 1.0))


def test_weight_decay_shrinks_kernels_and_leaves_biases_alone():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, bias_initializer="ones")])
    model.compile(make_optimizer(0.1, weight_decay=0.5), "mse")
    kernel, bias = (one.ravel()[0] for one in model.get_weights())
    gradients = [keras.ops.zeros(weight.shape) for weight in model.trainable_variables]
    model.optimizer.apply(gradients, model.trainable_variables)
    assert model.get_weights()[0] == pytest.approx(kernel * (1 - 0.1 * 0.5), rel=1e-5)
    assert model.get_weights()[1] == pytest.approx(bias)


def test_weight_decay_leaves_the_linear_part_and_the_places_of_a_forecaster_alone():
    layer = LinearHighway(keras.Sequential([keras.layers.GRU(3), PatchDecoder(2, 1, 1)]), horizon=2, num_targets=1)
    model = keras.Sequential([keras.Input((4, 1)), layer])
    optimizer = make_optimizer(0.1, weight_decay=0.5)
    optimizer.build(model.trainable_variables)
    kept = {one.name for one in model.trainable_variables if not optimizer._use_weight_decay(one)}
    assert kept == {"linear", "places", "bias"}


def two_kernels(optimizer):
    """Return a compiled model of two kernels that are one."""
    layers = [keras.layers.Dense(1, use_bias=False, kernel_initializer="ones") for _ in range(2)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    model.compile(optimizer, "mse")
    return model


def stepped(model, gradient):
    """Return the two kernels after a step along a gradient that is the same for both."""
    variables = model.trainable_variables
    model.optimizer.apply([keras.ops.full((1, 1), gradient) for _ in variables], variables)
    return [keras.ops.convert_to_numpy(variable).item() for variable in variables]


@pytest.mark.parametrize("schedule", [None, "cosine"])
def test_the_first_step_of_each_variable_is_the_rate_times_its_factor(schedule):
    model = two_kernels(make_optimizer(0.1, schedule=schedule, steps=10, rate_factors=[1.0, 0.5]))
    assert stepped(model, gradient=3.0) == pytest.approx([0.9, 0.95], rel=1e-5)


def test_weight_decay_falls_with_the_rate_of_its_variable():
    model = two_kernels(make_optimizer(0.1, weight_decay=0.5, rate_factors=[1.0, 0.5]))
    assert stepped(model, gradient=0.0) == pytest.approx([0.95, 0.975])


def test_a_factor_of_nought_leaves_a_variable_alone():
    model = two_kernels(make_optimizer(0.1, weight_decay=0.5, rate_factors=[0, 1]))
    assert stepped(model, gradient=3.0) == pytest.approx([1.0, 0.85], rel=1e-5)


def test_factors_of_one_train_as_adam_does_and_average_too():
    x, y = np.array([[1.0], [2.0]], "float32"), np.array([[5.0], [-3.0]], "float32")
    weights = []
    for factors in (None, [1.0, 1.0]):
        model = two_kernels(make_optimizer(0.1, average=0.5, rate_factors=factors))
        model.fit(x, y, epochs=3, verbose=0)
        weights.append(np.ravel(model.get_weights()))
    assert weights[1] == pytest.approx(weights[0], rel=1e-6)


def test_a_model_that_is_saved_and_loaded_keeps_its_factors(tmp_path):
    model = two_kernels(make_optimizer(0.1, weight_decay=0.5, rate_factors=[1.0, 0.5]))
    stepped(model, gradient=0.0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert stepped(loaded, gradient=0.0) == pytest.approx([0.95 * 0.95, 0.975 * 0.975])


def test_gradients_of_all_variables_are_clipped_together_whatever_their_factors():
    optimizer = make_optimizer(clip=1.0, rate_factors=[1.0, 0.5])
    gradients = optimizer._clip_gradients([keras.ops.full((1, 1), 3.0), keras.ops.full((1, 1), 4.0)])
    assert [float(one[0, 0]) for one in gradients] == pytest.approx([0.6, 0.8])


def test_factors_of_another_number_of_variables_are_refused():
    with pytest.raises(ValueError, match=r"has 3 numbers, but the model has 2 trainable variables\. Pass one for each"):
        stepped(two_kernels(make_optimizer(rate_factors=[1, 1, 1])), gradient=1.0)


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"schedule": "cosinus"}, ValueError, r"`schedule` must be one of .* Did you mean 'cosine'\?"),
        ({"schedule": "cosine"}, ValueError, r"needs the number of training steps\. Pass steps="),
        ({"schedule": "cosine", "steps": 0}, ValueError, r"`steps` must be at least 1\. Received: 0"),
        ({"schedule": "exponential", "steps": 0}, ValueError, r"`steps` must be at least 1\. Received: 0"),
        ({"schedule": "warmup_cosine", "steps": 1}, ValueError, r"`steps` must be at least 2\. Received: 1"),
        ({"schedule": "one_cycle", "steps": 1}, ValueError, r"`steps` must be at least 2\. Received: 1"),
        ({"schedule": "cosine", "steps": 10.5}, TypeError, r"`steps` must be a whole number\. Received: 10\.5"),
        *(
            ({"average": one}, ValueError, rf"`average` must lie between 0 and 1, or be None\. Received: {one}")
            for one in (0.0, 1, -0.5, True)
        ),
        *(
            ({"clip": one}, ValueError, rf"`clip` must be a positive number, or None\. Received: {one!r}")
            for one in (0, -1.0, NAN, "auto")
        ),
        *(
            ({"learning_rate": one}, ValueError, rf"`learning_rate` must be positive\. Received: {one}")
            for one in (0, -1.0, NAN, INFINITE)
        ),
        *(
            ({"rate_factors": [one]}, ValueError, r"`rate_factors` must be numbers not below zero\. Received")
            for one in (-0.5, NAN, INFINITE)
        ),
    ],
)
def test_options_out_of_range_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        make_optimizer(**options)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow alone has such gradients")
def test_the_rows_of_a_gradient_are_added_where_they_come_twice():
    import tensorflow as tf

    rows = tf.IndexedSlices(tf.constant([[1.0], [2.0], [4.0]]), tf.constant([2, 0, 2]), tf.constant([3, 1]))
    assert whole(rows).numpy().tolist() == [[2.0], [0.0], [5.0]]
    assert whole(rows.values) is rows.values
