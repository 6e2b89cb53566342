"""Who watches, and one line that says how far a long call has come."""

import sys
from collections.abc import Iterable

NOTEBOOKS = ("ipykernel", "google.colab")  # modules of their stdout
QUIET_SECONDS = 2  # what is done sooner shows nothing


def is_interactive() -> bool:
    """Return whether somebody watches: a terminal, or a notebook."""
    return sys.stdout.isatty() or is_notebook()


def is_notebook() -> bool:
    """Return whether the output goes into a notebook's page."""
    return type(sys.stdout).__module__.startswith(NOTEBOOKS)


def counted(things: Iterable, what: str, units: str, *, total: int | None = None):
    """Return a tqdm line over things, which shows itself if it lasts and somebody watches, and leaves nothing behind.

    Example:
        >>> list(counted("ab", "reading", "letters"))
        ['a', 'b']
    """
    from tqdm import tqdm  # here, so that importing the package stays quick

    form = "{desc}: {n_fmt} of {total_fmt} " + units + ", {elapsed}"
    quiet = {"disable": not is_interactive(), "delay": QUIET_SECONDS, "leave": False, "maxinterval": 0}
    return tqdm(things, what, total, file=sys.stdout, bar_format=form, **quiet)
