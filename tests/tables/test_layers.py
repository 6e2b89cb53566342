"""Layers with weights set by hand, so that every output can be done in the head."""

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import ForecastTask, Windows
from rnn_toolkit.tables.layers import LinearHighway, OrderedQuantiles, PatchDecoder, Patches, RawUnits, raw_units_of


@keras.saving.register_keras_serializable("tests")
class Zeros(keras.layers.Layer):
    """A network that says nothing: zeros of the shape `(batch, *shape)`."""

    def __init__(self, shape, **kwargs):
        super().__init__(**kwargs)
        self.shape = tuple(shape)

    def call(self, inputs, training=None):
        return keras.ops.zeros((keras.ops.shape(inputs)[0], *self.shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.shape)

    def get_config(self):
        return {**super().get_config(), "shape": self.shape}


class Remember(Zeros):
    """The same, and remembers what it was shown."""

    def call(self, inputs, training=None):
        self.shown = np.asarray(inputs)
        return super().call(inputs)


def numbers(values) -> np.ndarray:
    return np.asarray(values, dtype="float32").reshape(1, -1, 1)


def two_series(**roles) -> Windows:
    """Return windows of two series of very different size: 0, 2, 4 ... and 0, 200, 400 ..."""
    rows = [{"id": name, "step": step, "y": step * size} for name, size in (("a", 2), ("b", 200)) for step in range(6)]
    task = ForecastTask("y", horizon=1, lookback=2, time="step", series="id", **roles)
    return Windows(pd.DataFrame(rows), task)


def test_patches_lay_consecutive_steps_side_by_side():
    x = np.array([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]]])
    assert np.asarray(Patches(2)(x)).tolist() == [[[1, 10, 2, 20], [3, 30, 4, 40]]]


def test_a_patch_that_does_not_divide_the_time_axis_is_refused():
    with pytest.raises(ValueError, match=r"`length` must divide the time axis\. Received: length=3, 4 time steps"):
        Patches(3)(np.zeros((1, 4, 1)))


def test_quantiles_never_cross_whatever_the_network_says():
    outputs = np.asarray(OrderedQuantiles()(np.random.default_rng(0).normal(size=(100, 5)) * 50))
    assert (np.diff(outputs, axis=-1) >= 0).all()


def test_the_decoder_answers_for_exactly_the_steps_asked_for():
    decoder = PatchDecoder(steps=7, length=3, channels=2)
    assert decoder(np.ones((4, 5))).shape == (4, 7, 2)
    assert decoder.num_patches == 3


def test_the_decoder_tells_the_patches_apart_once_trained():
    decoder = PatchDecoder(steps=4, length=2, channels=1)
    decoder.build((None, 3))
    decoder.head.kernel.assign(np.ones((3, 2)))
    first, second = np.asarray(decoder(np.ones((1, 3))))[0, [0, 2], 0]
    assert first != second


def test_the_highway_starts_as_the_last_season():
    highway = LinearHighway(Zeros((5, 1)), horizon=5, num_targets=1, season_length=3)
    assert np.asarray(highway(numbers([9, 1, 2, 3])))[0, :, 0].tolist() == [1, 2, 3, 1, 2]


@pytest.mark.parametrize("season_length", [None, 7])
def test_the_highway_starts_as_the_last_value_without_a_season_it_can_see(season_length):
    highway = LinearHighway(Zeros((2, 1)), horizon=2, num_targets=1, season_length=season_length)
    assert np.asarray(highway(numbers([9, 1, 2, 3])))[0, :, 0].tolist() == [3, 3]


def test_the_highway_can_start_from_a_fitted_linear_model():
    highway = LinearHighway(Zeros((1, 1)), horizon=1, num_targets=1)
    highway.build((None, 2, 1))
    highway.start_from(np.array([[-1.0], [0.0], [0.5]]))  # last + (last - the one before) + 0.5
    assert np.asarray(highway(numbers([3, 5])))[0, :, 0].tolist() == [7.5]


class Sevens(keras.layers.Layer):
    """Stands in for a forecaster that says 6, 7 or 8."""

    def call(self, inputs):
        return keras.ops.ones_like(inputs[:, :1, :1, None]) * np.array([6.0, 7.0, 8.0], "float32")


def test_a_partner_has_its_share_of_the_linear_forecast():
    highway = LinearHighway(Zeros((1, 1)), horizon=1, num_targets=1, partner=Sevens(), share=0.25)
    assert float(highway(np.array([[[1.0], [3.0]]]))[0, 0, 0]) == 4.0  # 0.75 * 3 + 0.25 * 7
    highway = LinearHighway(Zeros((1, 1)), horizon=1, num_targets=1, partner=Sevens(), share=0.25, within=True)
    outputs = [float(highway(np.array([[[1.0], [last]]]))[0, 0, 0]) for last in (3.0, 7.5, 20.0)]
    assert outputs == [6.25, 7.375, 7.75]  # 0.75 * 6 + 0.25 * 7, and so on


def test_the_highway_serves_every_target_and_every_quantile():
    highway = LinearHighway(Zeros((2, 2, 3)), horizon=2, num_targets=2)
    outputs = np.asarray(highway(np.array([[[1.0, 5.0, 0.0], [2.0, 6.0, 0.0]]])))
    assert outputs.shape == (1, 2, 2, 3)
    assert outputs[0, 0].tolist() == [[2, 2, 2], [6, 6, 6]]


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [("window", 5.0), ("last", 6.0), ("series", 5.0), (None, 0.0)],  # of the window 4, 6 in the series 0, 2 ... 10
)
def test_zero_from_the_network_is_the_center_of_the_normalization(normalization, expected):
    windows = two_series()
    layer = RawUnits(Zeros((1, 1)), windows.preparation, normalization=normalization)
    assert float(np.asarray(layer(windows.cut(np.array([2]))[0]))[0, 0, 0]) == expected


def test_series_of_every_size_look_alike_to_the_network():
    windows = two_series()
    for normalization in ("window", "last", "series"):
        core = Remember((1, 1))
        RawUnits(core, windows.preparation, normalization=normalization)(windows.cut(np.array([0, 6]))[0])
        assert core.shown[0] == pytest.approx(core.shown[1], abs=1e-6)


def test_a_series_never_seen_is_normalised_by_its_own_window():
    windows = two_series()
    x = windows.cut(np.array([2]))[0]
    x[..., -1] = 0  # the code of a series never seen
    core = Remember((1, 1))
    RawUnits(core, windows.preparation, normalization="series")(x)
    assert core.shown[0, :, 0].tolist() == [-1, 1]


def test_a_window_in_which_nothing_happens_is_not_blown_up():
    frame = pd.DataFrame({"y": [0.0, 100.0] * 4 + [5.0] * 4})
    windows = Windows(frame, ForecastTask("y", horizon=1, lookback=3))
    core = Remember((1, 1))
    layer = RawUnits(core, windows.preparation, normalization="window")
    outputs = layer(windows.cut(np.array([8]))[0])
    assert np.asarray(outputs).item() == pytest.approx(5.0)
    assert np.abs(core.shown).max() < 1e-3


def test_numeric_covariates_are_standardised_by_their_training_rows():
    frame = pd.DataFrame({"y": np.arange(6.0), "heat": [10.0, 20.0, 10.0, 20.0, 10.0, 20.0]})
    windows = Windows(frame, ForecastTask("y", horizon=1, lookback=2, observed="heat"))
    core = Remember((1, 1))
    RawUnits(core, windows.preparation)(windows.cut(np.array([0]))[0])
    assert core.shown[0, :, 1].tolist() == [-1, 1]


def test_a_category_never_seen_in_training_counts_as_none():
    frame = pd.DataFrame({"y": np.arange(6.0), "sky": ["rain", "sun"] * 3})
    windows = Windows(frame, ForecastTask("y", horizon=1, lookback=2, observed="sky"))
    core = Remember((1, 1))
    layer = RawUnits(core, windows.preparation)
    x = windows.cut(np.array([0]))[0]
    layer(x)
    layer.embeddings[0].set_weights([np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])])
    layer(x)
    assert core.shown[0, :, 1:].tolist() == [[1, 2], [3, 4]]
    x[0, 0, 1] = 0  # the code of a category never seen
    layer(x)
    assert core.shown[0, :, 1:].tolist() == [[0, 0], [3, 4]]


def test_the_code_of_a_series_is_not_shown_to_the_network_unless_it_is_a_static_covariate():
    for roles, channels in (({}, 1), ({"static": "id"}, 1 + 2)):
        windows = two_series(**roles)
        core = Remember((1, 1))
        RawUnits(core, windows.preparation)(windows.cut(np.array([0]))[0])
        assert core.shown.shape == (1, 2, channels)


def test_an_unknown_normalization_is_refused_and_the_nearest_offered():
    with pytest.raises(ValueError, match=r"`normalization` must be one of .* Did you mean 'window'\?"):
        RawUnits(Zeros((1, 1)), two_series().preparation, normalization="windows")


def test_a_model_without_a_preparation_is_refused_by_name():
    model = keras.Sequential([keras.Input((2, 1)), keras.layers.Flatten()], name="plain")
    with pytest.raises(ValueError, match=r"Model 'plain' carries no preparation.*Pass `rt\.Windows`"):
        raw_units_of(model)


def test_a_layer_survives_its_file_with_everything_inside(tmp_path):
    windows = two_series(static="id")
    highway = LinearHighway(Zeros((1, 1)), horizon=1, num_targets=1)
    layer = RawUnits(highway, windows.preparation, normalization="last", margins={"80": [[1.5]]})
    model = keras.Sequential([keras.Input((2, 3)), layer])
    highway.start_from(np.array([[1.0], [2.0], [3.0]]))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    copy = raw_units_of(loaded)
    assert copy.preparation == windows.preparation
    assert (copy.normalization, copy.margins) == ("last", {"80": [[1.5]]})
    x = windows.to_arrays()[0]
    assert np.array_equal(np.asarray(loaded(x)), np.asarray(model(x)))


@pytest.mark.parametrize(("normalization", "expected"), [("window", 0.0), ("last", 1.0), ("series", 0.0), (None, 0.0)])
def test_zero_from_the_network_is_that_center_less_the_level_that_was_taken_off(normalization, expected):
    windows = Windows(pd.DataFrame({"y": 2e9 + 2 * np.arange(6)}), ForecastTask("y", horizon=1, lookback=2))
    x = windows.cut(np.array([2]))[0]
    assert x[0, :, 0].tolist() == [-1, 1]  # 4 and 6 less the mean of 0, 2 ... 10
    layer = RawUnits(Zeros((1, 1)), windows.preparation, normalization=normalization)
    assert np.asarray(layer(x)).item() == expected


def test_a_series_that_never_moved_in_training_is_normalised_by_its_own_window():
    rows = pd.DataFrame({"id": list("aaaabbbb"), "step": [*range(4)] * 2, "y": [50.0] * 4 + [1, 200, 3, 400]})
    windows = Windows(rows, ForecastTask("y", horizon=1, lookback=2, time="step", series="id"))
    for normalization in ("window", "last", "series"):
        core = Remember((1, 1))
        layer = RawUnits(core, windows.preparation, normalization=normalization)
        x = windows.cut(np.array([0]))[0]
        core.call = lambda inputs, training=None: keras.ops.ones((1, 1, 1))
        assert np.asarray(layer(x)).item() == pytest.approx(50, abs=0.01)  # 1 in its scale, a ten-thousandth of 50


def test_a_window_of_zeros_of_a_series_never_seen_is_forecast_as_zeros():
    windows = two_series()
    x = np.zeros_like(windows.cut(np.array([2]))[0])  # the code, too: a series never seen
    for normalization in ("window", "last", "series"):
        core = Remember((1, 1))
        layer = RawUnits(core, windows.preparation, normalization=normalization)
        assert np.asarray(layer(x)).item() == 0
        assert np.isfinite(core.shown).all()


@pytest.fixture(params=["mixed_bfloat16", "mixed_float16"])
def mixed(request):
    """Set a policy of mixed precision, and put the old one back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param.removeprefix("mixed_")
    keras.config.set_dtype_policy(before)


def test_raw_values_and_codes_stay_float32_under_mixed_precision_and_the_core_does_not(mixed):
    ids = [f"shop {number}" for number in range(603)]
    rows = pd.DataFrame({"id": np.repeat(ids, 4), "step": [*range(4)] * 603, "y": 1e6 + np.arange(603 * 4) ** 2.0})
    windows = Windows(rows, ForecastTask("y", horizon=1, lookback=2, time="step", series="id", static="id"))
    core = Remember((1, 1))
    layer = RawUnits(core, windows.preparation, normalization="series")
    layer.build((None, 2, 3))
    layer.embeddings[0].set_weights([np.repeat(np.arange(604.0)[:, None], 8, axis=1)])
    x = windows.table.values[None, 601 * 4 : 601 * 4 + 2]
    output = layer(x)
    assert core.compute_dtype == mixed
    assert core.shown[0, 0, 1] == pytest.approx(windows.table.values[601 * 4, 1], rel=5e-3)  # the code of the id
    assert np.asarray(output).dtype == "float32"
    assert np.asarray(output).item() == pytest.approx(windows.preparation.level[601][0], rel=1e-6)


def test_the_linear_path_stays_float32_under_mixed_precision(mixed):
    highway = LinearHighway(Zeros((1, 1)), horizon=1, num_targets=1)
    highway.build((None, 2, 1))
    highway.start_from(np.array([[-1.0], [0.0], [0.0]]))  # last + (last - the one before)
    assert np.asarray(highway(numbers([70_000, 70_001])))[0, :, 0].tolist() == [70_002]


def test_under_a_policy_of_more_precision_the_layers_follow_it():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        highway = LinearHighway(Zeros((1, 1)), horizon=1, num_targets=1, season_length=2)
        highway.build((None, 2, 1))
    finally:
        keras.config.set_dtype_policy(before)
    assert highway.compute_dtype == highway.kernel.dtype == "float64"
