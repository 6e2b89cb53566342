"""What a picture shows, as values that a test can compare."""

import matplotlib as mpl


def lines(ax):
    """Return x and y of each labelled line."""
    shown = [line for line in ax.lines if not line.get_label().startswith("_")]
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in shown}


def bands(ax):
    """Return lowest and highest value of each shaded area, and its colour."""
    tables = {area.get_label(): area for area in ax.collections}
    extents = {label: area.get_paths()[0].vertices[:, 1] for label, area in tables.items()}
    return {
        label: (y.min(), y.max(), mpl.colors.to_hex(tables[label].get_facecolor()[0])) for label, y in extents.items()
    }


def words(ax):
    """Return the texts written into the picture."""
    return [text.get_text() for text in ax.texts]
