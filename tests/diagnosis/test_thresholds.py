"""One list of checks: the functions, their limits, and what notebook 11 says of each."""

import re
from pathlib import Path

import pytest

from rnn_toolkit.diagnosis import diagnose, thresholds
from rnn_toolkit.diagnosis.findings import CHECKS
from rnn_toolkit.diagnosis.thresholds import LIMITS, limits

FOLDER = Path(thresholds.__file__).parent
PAGE = Path(__file__).parents[2] / "notebooks" / "findings.md"


def test_every_check_has_its_limits_and_every_row_of_limits_its_check():
    assert diagnose.CHECKS is CHECKS  # filled by the modules that `diagnose` imports
    assert set(CHECKS) == set(LIMITS)


def test_every_check_has_its_section_on_the_page_of_findings_in_the_same_order():
    sections = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sections == list(LIMITS)


def test_every_limit_is_used_and_says_what_it_is():
    text = "".join(path.read_text(encoding="utf-8") for path in (*FOLDER.glob("*_checks.py"), FOLDER / "case.py"))
    assert set(re.findall(r'limits\["(\w+)"\]', text)) == set(limits())
    assert len(limits()) == sum(len(row) for row in LIMITS.values())
    said = re.findall(r'"(\w+)": [\d.e-]+\}?,  # \w', Path(thresholds.__file__).read_text(encoding="utf-8"))
    assert said == list(limits())


def test_limits_are_changed_by_name():
    assert limits() | {"clipped": 0.5} == limits({"clipped": 0.5})


def test_an_unknown_limit_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'input_scale'"):
        limits({"input_scales": 3})


def test_a_limit_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match=r"must be numbers\. Received: '30' for 'input_scale'"):
        limits({"input_scale": "30"})
