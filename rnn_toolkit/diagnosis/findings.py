"""What a check finds, and how it is told: a table for programs, sentences for people."""

import dataclasses
import functools
import html
import textwrap
from collections.abc import Callable

import pandas as pd

SEVERITIES = ("error", "warning", "note")
COLOURS = {"error": "#b3261e", "warning": "#b26a00", "note": "#5f6368"}
GUIDE = "https://github.com/rnn-toolkit/rnn_toolkit/blob/main/notebooks/findings.md"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Args:
        severity: "error": the result cannot be right. "warning": training suffers. "note": worth knowing.
        evidence: What was seen, in numbers.
        cause: Why that is so, or why it matters.
        remedy: What to do, with a line to paste.
    """

    severity: str
    evidence: str
    cause: str
    remedy: str


error, warning, note = (functools.partial(Finding, severity) for severity in SEVERITIES)

CHECKS: dict[str, tuple[Callable, str]] = {}  # by name: a function from a `Case`, and what it cannot do without


def check(name: str, *, needs: str = "") -> Callable[[Callable], Callable]:
    """Let `diagnose` run a function, from a `Case` to a `Finding` or `None`, as the check of a name.

    Args:
        name: Its name in the table of findings. Its row in `thresholds.LIMITS` says when it comes, and its limits; its
            section in notebook 11 says what it means.
        needs: What it cannot do without: "validation", "history" or "recurrent layers".
    """

    def keep(function):
        CHECKS[name] = function, needs
        return function

    return keep


class Diagnosis(pd.DataFrame):
    """A table of findings that reads as text in a terminal and as paragraphs in a notebook.

    A DataFrame in all else; `attrs["checked"]` lists the checks that ran, `attrs["skipped"]` why others did not, and
    `attrs["failed"]` those of them that an error kept from running.
    """

    @property
    def _constructor(self):
        return pd.DataFrame  # a part of the table is a plain table

    def __repr__(self) -> str:
        """Return the findings as sentences."""
        summary, *rest = self._summary()
        lines = [summary]
        for number, row in enumerate(self.itertuples(), start=1):
            lines += [
                "",
                f"{number}. {row.severity.upper()}: {row.check}",
                f"   What: {row.evidence}",
                f"   Why:  {row.cause}",
                f"   Do:   {row.remedy}",
            ]
        lines += [""] if len(self) and rest else []
        lines += [textwrap.fill(one, 100) for one in rest]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the findings as paragraphs."""
        summary, *rest = self._summary()
        grey = f"color:{COLOURS['note']};max-width:56em"
        parts = [f"<p><b>{html.escape(summary)}</b></p>"]
        for row in self.itertuples():
            style = f"border-left:4px solid {COLOURS[row.severity]};padding:2px 12px;margin:10px 0;max-width:56em"
            colour = f"color:{COLOURS[row.severity]}"
            parts.append(
                f'<div style="{style}"><b style="{colour}">{row.severity}</b> '
                f'<b>{html.escape(row.check)}</b> <a href="{row.more}" target="_blank">more</a><br>'
                f"{_marked(row.evidence)}<br>{_marked(row.cause)}<br>"
                f"<b>Do:</b> {_marked(row.remedy)}</div>"
            )
        parts += [f'<p style="{grey}">{html.escape(one)}</p>' for one in rest]
        return "".join(parts)

    def _summary(self) -> list[str]:
        """Return what was found in a line, what was checked where nothing was, and what was not checked, by reason."""
        checked, skipped = self.attrs.get("checked", []), self.attrs.get("skipped", {})
        counts = [
            f"{n} {one}{'s' if n > 1 else ''}" for one in SEVERITIES if (n := int((self["severity"] == one).sum()))
        ]
        failed = sum(name in self.attrs.get("failed", ()) for name in skipped)
        but = f"; {failed} more could not be run, so this is no clean bill of health" if failed else ""
        lines = [f"{', '.join(counts) or 'Nothing'} found by {len(checked)} checks{but}."]
        if not counts:
            lines.append(f"Checked: {', '.join(checked)}.")
        for why in dict.fromkeys(skipped.values()):
            lines.append(f"Not checked ({why}): {', '.join(name for name in skipped if skipped[name] == why)}.")
        return lines


def diagnosis_of(
    found: list[tuple[str, Finding]], *, checked: list[str], skipped: dict[str, str], failed: tuple | list = ()
) -> Diagnosis:
    """Return the table, gravest first; within a severity the order is kept.

    Args:
        found: Findings by the name of their check.
        checked: Checks that ran.
        skipped: Why others did not.
        failed: Those of them that an error kept from running.

    Example:
        >>> late = ("plateau", Finding("note", "It stands still.", "Why not.", "Wait."))
        >>> grave = ("NaN", Finding("error", "A NaN in row 3.", "NaN spreads.", "Drop it."))
        >>> diagnosis_of([late, grave], checked=["plateau", "NaN"], skipped={})["check"].tolist()
        ['NaN', 'plateau']
    """
    ordered = sorted(found, key=lambda one: SEVERITIES.index(one[1].severity))
    rows = [
        {"check": name, **dataclasses.asdict(finding), "more": f"{GUIDE}#{name.replace(' ', '-')}"}
        for name, finding in ordered
    ]
    table = Diagnosis(rows, columns=["check", "severity", "evidence", "cause", "remedy", "more"])
    table.attrs |= {"checked": checked, "skipped": skipped, "failed": list(failed)}
    return table


def percent(share: float) -> str:
    """Return a share as people read it.

    Example:
        >>> percent(0.256), percent(0.004)
        ('26 %', '0.4 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.2g} %"


def _marked(text: str) -> str:
    """Return text as HTML, with what stands between backticks as code."""
    parts = html.escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
