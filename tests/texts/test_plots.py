"""A text with each token shaded: colours, places and title."""

import matplotlib as mpl
import pandas as pd
import pytest

from rnn_toolkit.drawing import BLUE, ORANGE
from rnn_toolkit.texts.plots import plot_explanation


def explanation(*rows, **attrs):
    table = pd.DataFrame(rows, columns=["token", "score"])
    table.attrs = attrs
    return table


def test_tokens_are_shaded_by_sign_and_size():
    ax = plot_explanation(explanation(("so", 0.0), ("good", 2.0), ("but", -1.0)))
    boxes = [text.get_bbox_patch() for text in ax.texts]
    assert [text.get_text() for text in ax.texts] == ["so", "good", "but"]
    assert [box.get_alpha() for box in boxes] == [0.0, 0.7, 0.35]
    assert [mpl.colors.to_hex(box.get_facecolor()) for box in boxes[1:]] == [BLUE, ORANGE]


def test_lines_break_between_tokens():
    ax = plot_explanation(explanation(("a" * 6, 1.0), ("b" * 6, 1.0), ("c" * 3, 1.0)), width=10)
    assert [text.get_position() for text in ax.texts] == [(0.0, 0), (0.0, -1), (0.7, -1)]


def test_the_title_names_label_and_probability():
    ax = plot_explanation(explanation(("good", 1.0), label="positive", probability=0.987))
    assert ax.get_title("left") == "positive (99%): blue speaks for it, orange against it"


def test_new_lines_are_shown():
    assert plot_explanation(explanation(("\n", 1.0))).texts[0].get_text() == "↵"


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (pd.DataFrame({"token": ["a"]}), {}, "`explanation` has no column 'score'"),
        (explanation(), {}, "`explanation` holds nothing to draw"),
        (explanation(("good", 1.0)), {"width": 5}, "`width` must be at least 10. Received: 5"),
    ],
    ids=["no scores", "no rows", "too narrow"],
)
def test_what_cannot_be_drawn_is_refused(table, options, message):
    with pytest.raises(ValueError, match=message):
        plot_explanation(table, **options)
