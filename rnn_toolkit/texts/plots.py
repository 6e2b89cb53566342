"""Pictures of texts."""

import pandas as pd

from rnn_toolkit._checks import has_columns, whole_number
from rnn_toolkit.drawing import BLUE, INK, ORANGE, axes_of, check_table


def plot_explanation(explanation: pd.DataFrame, *, width: int = 80, ax=None):
    """Draw a text with each token shaded by how much it spoke for a label (blue) or against it (orange).

    Args:
        explanation: Table of `explain_text`: columns `token` and `score`.
        width: Characters in a line.
        ax: Matplotlib Axes to draw on; `None` makes a figure of the height that the text needs.

    Returns:
        The Axes.

    Raises:
        TypeError, ValueError: If it is no such table, has no row, or `width` is no whole number.

    Example:
        >>> explanation = pd.DataFrame({"token": ["not", "good"], "score": [2.0, -0.5]})
        >>> [text.get_text() for text in plot_explanation(explanation).texts]
        ['not', 'good']
    """
    check_table(explanation, "explanation")
    has_columns(explanation.columns, ["token", "score"], "`explanation`")
    whole_number(width, "width", minimum=10)
    places, line, column = [], 0, 0
    tokens = ["↵" if token == "\n" else token for token in explanation["token"]]
    for token in tokens:
        if column and column + len(token) > width:
            line, column = line + 1, 0
        places.append((column, line))
        column += len(token) + 1
    # A figure as wide as the pictures beside it, in which a character of the monospaced font takes its share.
    ax = axes_of(ax, size=(9, 0.5 + 0.3 * (line + 1)))
    largest = explanation["score"].abs().max() or 1.0
    style = {"family": "monospace", "fontsize": 12 * 80 / width, "color": INK, "va": "center"}
    for token, score, (column, line) in zip(tokens, explanation["score"], places, strict=True):
        shade = {"facecolor": BLUE if score > 0 else ORANGE, "alpha": 0.7 * abs(score) / largest}
        box = {"boxstyle": "round,pad=0.15", "linewidth": 0, **shade}
        ax.text(column / width, -line, token, bbox=box, **style)
    ax.set(xlim=(0, 1), ylim=(-places[-1][1] - 0.8, 0.8))
    ax.axis("off")
    if "label" in explanation.attrs:
        label, probability = explanation.attrs["label"], explanation.attrs["probability"]
        ax.set_title(f"{label} ({probability:.0%}): blue speaks for it, orange against it", loc="left", color=INK)
    return ax
