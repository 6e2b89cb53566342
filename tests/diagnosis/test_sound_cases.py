"""Sound networks on sound data are not accused; `tests/benchmarks/sound_cases.py` says how they were made."""

import pytest
from benchmarks.sound_cases import CASES, diagnosed

QUICK = ("one_hot_symbols", "tanh_before_rescaling", "gaussian_density", "fixed_batch", "autoencoder", "weighted_steps")


@pytest.mark.parametrize("name", QUICK)
def test_a_sound_case_is_not_accused_before_training(name):
    assert diagnosed(name, 100, after=False)["alarms"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_sound_case_is_not_accused(name):
    assert diagnosed(name, 100)["alarms"] == []


def test_there_are_more_than_forty():
    assert len(CASES) > 40
