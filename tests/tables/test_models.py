"""What the builders build, what their options change, and what they refuse."""

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import ForecastTask, Windows, build_forecaster, recurrent_layers, split_by_time
from rnn_toolkit.tables.layers import PatchDecoder, Patches, raw_units_of


def windows(rows=60, **roles) -> Windows:
    time = np.arange(rows)
    frame = pd.DataFrame({"y": np.sin(time) + 5, "z": np.cos(time) * 100, "heat": time % 7.0})
    return Windows(frame, ForecastTask(**{"target": "y", "horizon": 4, "lookback": 12, **roles}))


def core_of(model) -> list[keras.Layer]:
    return raw_units_of(model).core.core.layers


@pytest.fixture(scope="module")
def of_quantiles():
    """Return windows of two targets, and a trained model of three quantiles."""
    train = windows(target=("y", "z"), observed="heat")
    model = build_forecaster(train, recurrent_layers("gru", (8,)), quantiles=(0.1, 0.5, 0.9))
    model.run_eagerly = True  # a few steps take less than compiling them
    model.fit(train, epochs=2, verbose=0)
    return train, model


def test_a_forecaster_is_a_compiled_sequential_from_raw_windows_to_raw_forecasts():
    train = windows(observed="heat")
    model = build_forecaster(train)
    assert isinstance(model, keras.Sequential) and model.compiled
    assert (model.input_shape, model.output_shape) == ((None, 12, 2), (None, 4, 1))


def test_the_pretrained_forecaster_takes_part_on_few_rows_and_lies_in_the_file(tmp_path):
    train = windows(rows=16)  # one window, by which nothing can be judged
    model = build_forecaster(train)
    highway = raw_units_of(model).core
    assert highway.share == pytest.approx(0.79, abs=1e-3) and not highway.partner.trainable_variables
    model.save(tmp_path / "x.keras")
    loaded = keras.saving.load_model(tmp_path / "x.keras", compile=False)
    np.testing.assert_allclose(loaded(train[0][0]), model(train[0][0]), rtol=1e-6)
    for other in (build_forecaster(windows(rows=16, observed="heat")), build_forecaster(train, normalization=None)):
        assert raw_units_of(other).core.partner is None


def test_several_targets_come_out_side_by_side_each_in_its_units(of_quantiles):
    train, model = of_quantiles
    outputs = np.asarray(model(train.to_arrays()[0]))[..., 1]
    assert outputs.shape[1:] == (4, 2)
    assert abs(outputs[..., 0].mean() - 5) < 1 and outputs[..., 1].std() > 10


def test_an_untrained_forecaster_is_the_linear_model_of_its_training_windows():
    # A straight line: the linear model is exact, and the network adds nothing before it is trained.
    train = Windows(pd.DataFrame({"y": np.arange(40.0)}), ForecastTask("y", horizon=3, lookback=6))
    x, y, _ = train.to_arrays()
    assert np.asarray(build_forecaster(train)(x)) == pytest.approx(y, abs=0.1)


def test_the_linear_path_starts_from_all_training_windows_whatever_the_stride():
    time = np.arange(60)
    frame = pd.DataFrame({"y": np.sin(time) + time % 7})
    paths = []
    for stride in (1, 4, 9):
        train = split_by_time(frame, ForecastTask("y", horizon=4, lookback=12), stride=stride)[0]
        paths.append(raw_units_of(build_forecaster(train)).core.kernel)
    assert np.array_equal(paths[0], paths[1]) and np.array_equal(paths[0], paths[2])


def test_patches_shorten_the_sequence_and_one_leaves_it_alone():
    assert isinstance(core_of(build_forecaster(windows(), patch_length=3))[0], Patches)
    assert not any(isinstance(layer, Patches) for layer in core_of(build_forecaster(windows(), patch_length=1)))


def test_the_automatic_patch_leaves_about_fourteen_steps():
    model = build_forecaster(windows(rows=200, lookback=84))
    assert core_of(model)[0].length == 6


def test_own_layers_take_the_place_of_the_recurrent_stack():
    own = [keras.layers.Conv1D(8, 3), *recurrent_layers("lstm", (8,))]
    model = build_forecaster(windows(), own)
    assert [type(layer) for layer in core_of(model)[-3:]] == [keras.layers.Conv1D, keras.layers.LSTM, PatchDecoder]


def test_quantiles_come_out_in_order_also_after_training(of_quantiles):
    train, model = of_quantiles
    outputs = np.asarray(model(train.to_arrays()[0]))
    assert outputs.shape[1:] == (4, 2, 3)
    assert (np.diff(outputs, axis=-1) >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "normalization"), [("mae", "last"), ("mse", "last"), ("mae", "window"), ("mae", "series"), ("mae", None)]
)
def test_every_loss_and_normalization_learns(loss, normalization):
    # The next value is a curve, not a line, over the one before: out of reach for the linear path alone.
    chaos = [0.4]
    for _ in range(200):
        chaos.append(3.9 * chaos[-1] * (1 - chaos[-1]))
    train = Windows(pd.DataFrame({"y": chaos}), ForecastTask("y", horizon=1, lookback=4), shuffle=True)
    # No recurrent layer and no XLA, which would compile for seconds: what is asked is whether the loss goes down.
    layers = [keras.layers.Flatten(), keras.layers.Dense(16, activation="tanh")]
    optimizer = keras.optimizers.Adam(1e-2)
    model = build_forecaster(train, layers, patch_length=1, loss=loss, normalization=normalization, optimizer=optimizer)
    model.jit_compile = False
    losses = model.fit(train, epochs=25, verbose=0).history["loss"]
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalization": "batch"}, "`normalization` must be one of 'window', 'last', 'series', None"),
        ({"loss": "rmse"}, "`loss` must be one of 'mae', 'mse'"),
        ({"patch_length": 5}, r"must divide the look-back\. Received: patch_length=5, lookback=12\. .* does is 4"),
        *(
            ({"quantiles": levels}, r"`quantiles` must increase, lie between 0 and 1, and have 0\.5 in the middle")
            for levels in [(), (0.1, 0.9), (0.9, 0.5, 0.1), (0.0, 0.5, 0.9), (0.1, 0.4, 0.9)]
        ),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_forecaster(windows(), **options)


def test_the_forecaster_needs_windows():
    with pytest.raises(TypeError, match=r"`train` must be `rt\.Windows`\. Received: ndarray"):
        build_forecaster(np.zeros((3, 4)))
