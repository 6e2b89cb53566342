"""Findings as a table for programs and as sentences for people."""

import pandas as pd

from rnn_toolkit.diagnosis.findings import GUIDE, Finding, diagnosis_of, note, percent, warning

LATE, GRAVE = (
    Finding("note", "It stands still.", "Why not.", "Wait."),
    Finding("error", "NaN.", "It spreads.", "`drop()`"),
)


def test_findings_come_gravest_first_and_in_their_order_otherwise():
    found = [("late", LATE), ("grave", GRAVE), ("later", LATE)]
    report = diagnosis_of(found, checked=["late", "grave", "later"], skipped={})
    assert report["check"].tolist() == ["grave", "late", "later"]
    assert report["severity"].tolist() == ["error", "note", "note"]


def test_a_finding_reads_as_sentences_and_as_a_paragraph():
    report = diagnosis_of([("constant target", GRAVE)], checked=["constant target"], skipped={})
    assert repr(report).splitlines() == [
        "1 error found by 1 checks.",
        "",
        "1. ERROR: constant target",
        "   What: NaN.",
        "   Why:  It spreads.",
        "   Do:   `drop()`",
    ]
    page = report._repr_html_()
    assert "<code>drop()</code>" in page
    assert f'href="{GUIDE}#constant-target"' in page


def test_without_findings_it_says_what_was_checked():
    skipped = {"duplicates": "no validation data", "clipping": "no history", "overfitting": "no history"}
    report = diagnosis_of([], checked=["input scale", "leakage"], skipped=skipped)
    assert len(report) == 0
    assert repr(report).splitlines() == [
        "Nothing found by 2 checks.",
        "Checked: input scale, leakage.",
        "Not checked (no validation data): duplicates.",
        "Not checked (no history): clipping, overfitting.",
    ]


def test_a_part_of_the_table_is_a_plain_table():
    report = diagnosis_of([("a", LATE)], checked=["a"], skipped={})
    assert type(report[["check", "severity"]]) is pd.DataFrame


def test_a_severity_makes_its_findings():
    assert note("It stands still.", "Why not.", "Wait.") == LATE
    assert warning("a", "b", "c").severity == "warning"


def test_shares_are_told_in_per_cent():
    assert [percent(share) for share in (0, 0.004, 0.0995, 1)] == ["0 %", "0.4 %", "10 %", "100 %"]
