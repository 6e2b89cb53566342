"""One list of checks: the functions, their limits, and what notebook 11 says of each."""

import re
from pathlib import Path

import pytest

from rnn_toolkit.diagnosis import diagnose, thresholds
from rnn_toolkit.diagnosis.findings import CHECKS
from rnn_toolkit.diagnosis.thresholds import LIMITS, SOURCES, THRESHOLDS, limits

FOLDER = Path(thresholds.__file__).parent
PAGE = Path(__file__).parents[2] / "notebooks" / "findings.md"


def test_every_check_has_its_limits_and_every_row_of_limits_its_check():
    assert diagnose.CHECKS is CHECKS  # filled by the modules that `diagnose` imports
    assert set(CHECKS) == set(LIMITS)


def test_every_check_has_its_section_on_the_page_of_findings_in_the_same_order():
    sections = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sections == list(LIMITS)


def test_every_limit_is_used_and_says_what_it_is_and_where_it_comes_from():
    text = "".join(path.read_text(encoding="utf-8") for path in (*FOLDER.glob("*_checks.py"), FOLDER / "case.py"))
    assert set(re.findall(r'limits\["(\w+)"\]', text)) == set(THRESHOLDS)
    assert all(one.meaning and one.source in SOURCES for one in THRESHOLDS.values())
    assert len(THRESHOLDS) == sum(len(row) for row in LIMITS.values())
    assert {one.source for one in THRESHOLDS.values()} == set(SOURCES)


def test_limits_are_changed_by_name():
    assert limits() | {"clipped": 0.5} == limits({"clipped": 0.5})


def test_an_unknown_limit_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'input_scale'"):
        limits({"input_scales": 3})
