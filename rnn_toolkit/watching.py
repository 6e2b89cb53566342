"""What somebody sees who watches: one line that says how far a long call has come, and errors in few lines."""

import sys
from collections.abc import Iterable
from types import TracebackType

NOTEBOOKS = ("ipykernel", "google.colab")  # modules of their stdout
QUIET_SECONDS = 2  # what is done sooner shows nothing


def is_interactive() -> bool:
    """Return whether somebody watches: a terminal, or a notebook."""
    return sys.stdout.isatty() or is_notebook()


def is_notebook() -> bool:
    """Return whether the output goes into a notebook's page."""
    return type(sys.stdout).__module__.startswith(NOTEBOOKS)


def counted(things: Iterable, what: str, units: str):
    """Return a tqdm line over things, which shows itself if it lasts and somebody watches, and leaves nothing behind.

    Example:
        >>> list(counted("ab", "reading", "letters"))
        ['a', 'b']
    """
    from tqdm import tqdm  # here, so that importing the package stays quick

    form = "{desc}: {n_fmt} of {total_fmt} " + units + ", {elapsed}"
    quiet = {"disable": not is_interactive(), "delay": QUIET_SECONDS, "leave": False, "maxinterval": 0}
    return tqdm(things, what, file=sys.stdout, bar_format=form, **quiet)


def shorten_errors() -> None:
    """Let a notebook show an error of ours right below the line that caused it, without our own frames between.

    `%debug` and `error.__traceback__` keep every frame, and an error that comes from another package shows them all.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    show = shell.InteractiveTB.structured_traceback

    def show_short(kind=None, error=None, trace=None, *args, **options):
        return show(kind, error, _without_own_end(trace), *args, **options)

    shell.InteractiveTB.structured_traceback = show_short


def _without_own_end(trace: TracebackType | None) -> TracebackType | None:
    """Return a copy of a traceback up to the last frame that is not ours, the original being left as it is."""
    nodes = []
    while trace is not None:
        nodes.append(trace)
        trace = trace.tb_next
    while len(nodes) > 1 and nodes[-1].tb_frame.f_globals.get("__name__", "").startswith("rnn_toolkit"):
        nodes.pop()
    for node in reversed(nodes):
        trace = TracebackType(trace, node.tb_frame, node.tb_lasti, node.tb_lineno)
    return trace
