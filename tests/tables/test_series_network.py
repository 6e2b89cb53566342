"""What the pretrained network reads of a series, worked out by hand, and what it may not depend on."""

import keras
import numpy as np
import pytest

from rnn_toolkit.tables.series_network import TRACKS, SeriesFeatures, StepsAhead, series_network

QUANTILES = (0.1, 0.5, 0.9)


@pytest.fixture(scope="module")
def network():
    """Return a small network, of fixed weights that are not zero."""
    network = series_network(QUANTILES, units=4, layers=1, head=8)
    generator = np.random.default_rng(0)
    network.set_weights([generator.normal(0, 0.3, weight.shape) for weight in network.get_weights()])
    return network


def asked(history, *, there=None, season=1, origin=None, steps=(1, 2)) -> dict:
    """Return one history and one question as the network takes them."""
    history = np.asarray([history], "float32")
    return {
        "history": history,
        "there": np.ones_like(history) if there is None else np.asarray([there], "float32"),
        "season": np.array([[season]], "int32"),
        "origin": np.array([[history.shape[1] - 1 if origin is None else origin]], "int32"),
        "steps": np.asarray([[steps]], "int32"),
    }


def tracks_of(question) -> tuple[np.ndarray, np.ndarray]:
    parts = [question[name] for name in ("history", "there", "season")]
    return tuple(keras.ops.convert_to_numpy(part) for part in SeriesFeatures()(*parts))


def ahead_of(question) -> list[np.ndarray]:
    tracks = tracks_of(question)[1]
    states = np.zeros((*tracks.shape[:2], 1), "float32")
    parts = [question[name] for name in ("season", "origin", "steps")]
    return [keras.ops.convert_to_numpy(part) for part in StepsAhead()(tracks, states, *parts)]


def test_nothing_that_is_read_at_a_step_knows_of_later_steps():
    values = np.random.default_rng(1).normal(size=40).cumsum()
    other = np.concatenate([values[:25], values[25:] * 3 + 7])
    for one, two in zip(tracks_of(asked(values, season=7)), tracks_of(asked(other, season=7)), strict=True):
        assert one[:, :25] == pytest.approx(two[:, :25], abs=1e-5)
        assert np.abs(one[:, 25:] - two[:, 25:]).max() > 0.1


def test_an_answer_from_the_middle_does_not_know_of_what_follows(network):
    values = np.random.default_rng(2).normal(size=30).cumsum()
    whole = network(asked(values, season=4, origin=19))
    assert np.asarray(whole) == pytest.approx(np.asarray(network(asked(values[:20], season=4))), abs=1e-4)


def test_rows_before_a_series_begins_change_nothing_of_what_is_read():
    values = np.random.default_rng(3).normal(size=20).cumsum()
    padded = np.concatenate([np.full(9, values[0]), values])
    there = np.arange(29) >= 9
    for one, two in zip(
        tracks_of(asked(values, season=6)), tracks_of(asked(padded, there=there, season=6)), strict=True
    ):
        assert one == pytest.approx(two[:, 9:], abs=1e-4)


def test_a_series_in_other_units_gets_the_same_answer_in_these_units(network):
    values = np.random.default_rng(4).normal(size=24).cumsum()
    answers, others = (np.asarray(network(asked(one, season=4))) for one in (values, 50 - 200 * -values))
    assert 50 + 200 * answers == pytest.approx(others, rel=1e-3)


def test_the_scale_is_the_mean_step_or_the_mean_seasonal_difference():
    tracks = tracks_of(asked([0, 2, 0, 2]))[1]
    assert tracks.shape == (1, 4, TRACKS)
    assert tracks[0, :, 2] == pytest.approx([0, 2, 2, 2], abs=1e-5)
    rising = np.arange(20) + np.tile([0, 5], 10)  # by 2 in each season of 2; steps of 6 and -4
    assert tracks_of(asked(rising, season=2))[1][0, -1, 2] == pytest.approx(2, abs=1e-5)


def test_a_season_that_returns_exactly_keeps_a_scale():
    wave = np.tile([0.0, 1.0, 2.0, 1.0], 10)
    assert tracks_of(asked(wave, season=4))[1][0, -1, 2] == pytest.approx(0.1, abs=1e-4)


def test_past_seasons_are_forecasts_of_the_steps_in_their_places():
    values = [1, 5, 2, 6, 4, 9]  # seasons of 2
    _, _, forecasts, units = ahead_of(asked(values, season=2, steps=(1, 2, 3)))
    assert units[0, 0, 0, 0] == 9
    own = forecasts[0, 0] * units[0, 0, 0, 1] + 9
    assert own[:, 0] == pytest.approx([4, 9, 4])  # the last season
    assert own[:, 1] == pytest.approx([2, 6, 2])  # and the one before


def test_seasons_that_were_not_seen_are_no_forecasts():
    _, features, forecasts, _ = ahead_of(asked([1, 5, 2], season=12, steps=(1,)))
    assert forecasts[0, 0, 0, :3].tolist() == [0, 0, 0] and features[0, 0, 0, [2, 5, 8]].tolist() == [0, 0, 0]


def test_an_untrained_network_repeats_the_last_value_with_quantiles_in_order():
    network = series_network(QUANTILES, units=2, layers=1, head=4)
    answers = np.asarray(network(asked([3, 5, 4], steps=(1, 2, 30))))
    assert answers.shape == (1, 1, 3, 3)
    assert answers[0, 0, :, 1].tolist() == [4, 4, 4] and (np.diff(answers, axis=-1) > 0).all()


def test_a_network_comes_back_from_its_file(network, tmp_path):
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    question = asked([1, 3, 2, 6, 3], season=2)
    assert np.asarray(loaded(question)) == pytest.approx(np.asarray(network(question)))
