"""What somebody sees who watches: one line that says how far a long call has come, and errors in few lines."""

import sys
import traceback
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

    What an error of ours was made from is left out, too, unless it went through code of the notebook. `%debug`,
    `error.__traceback__` and `error.__cause__` keep all of it, and an error of another package is shown whole.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    show = shell.InteractiveTB.structured_traceback

    def show_short(kind=None, error=None, trace=None, *args, **options):
        short = _without_own_end(trace)
        if short is trace or _is_from_notebook(error.__cause__ or error.__context__):
            return show(kind, error, short, *args, **options)
        cause, is_suppressed = error.__cause__, error.__suppress_context__
        error.__cause__ = None  # while it is shown
        try:
            return show(kind, error, short, *args, **options)
        finally:
            error.__cause__, error.__suppress_context__ = cause, is_suppressed

    shell.InteractiveTB.structured_traceback = show_short


def _is_from_notebook(error: BaseException | None) -> bool:
    """Return whether an error went through code of the notebook itself."""
    frames = traceback.walk_tb(error.__traceback__ if error is not None else None)
    return any(frame.f_globals.get("__name__") == "__main__" for frame, _ in frames)


def _without_own_end(trace: TracebackType | None) -> TracebackType | None:
    """Return a copy of a traceback up to the last frame that is not ours, or itself if that is its end."""
    nodes, node = [], trace
    while node is not None:
        nodes.append(node)
        node = node.tb_next
    others = len(nodes)
    while others > 1 and nodes[others - 1].tb_frame.f_globals.get("__name__", "").startswith("rnn_toolkit"):
        others -= 1
    if others == len(nodes):
        return trace
    short = None
    for node in reversed(nodes[:others]):
        short = TracebackType(short, node.tb_frame, node.tb_lasti, node.tb_lineno)
    return short
