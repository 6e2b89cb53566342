"""Run the notebooks and write them as web pages, beside a reference of all public names from their docstrings.

    python notebooks/gallery.py gallery             all notebooks; index.html in the folder leads to them
    python notebooks/gallery.py gallery 00 04       only those whose names begin so

It needs pdoc beside what the notebooks need: pip install pdoc. A notebook that fails is shown with its error, and the
command fails at the end. A picture of each notebook is kept in pictures/, for the index; with --small also beside
this file, for README.
"""

import argparse
import base64
import html
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from build import build, sources
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from PIL import Image
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 1800  # for a cell, on a busy machine
WIDTH = 420  # of a small picture, in pixels
LAST_LINES = Config({"CoalesceStreamsPreprocessor": {"enabled": True}})  # of those that write over themselves


def executed(source: Path) -> tuple[nbformat.NotebookNode, bool]:
    """Return a notebook with its results, and whether it ran to its end, in a folder that is removed again."""
    notebook = nbformat.reads(build(source), as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        try:
            NotebookClient(notebook, kernel_name="python3", timeout=SECONDS, resources=place).execute()
        except CellExecutionError:
            return notebook, False
    return notebook, True


def last_picture(notebook: nbformat.NotebookNode) -> bytes | None:
    """Return the picture of the cell tagged "picture", else the last one, as PNG; `None` without one."""
    cells = [cell for cell in notebook.cells if "picture" in cell.metadata.get("tags", [])] or notebook.cells
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return next((base64.b64decode(data["image/png"]) for data in reversed(outputs) if "image/png" in data), None)


def keep_small(picture: bytes, path: Path) -> None:
    """Write a picture in few pixels and colours."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image = image.resize((WIDTH, WIDTH * image.height // image.width), Image.Resampling.LANCZOS)
    image.quantize(64).save(path, optimize=True)


def main(arguments: list[str] | None = None) -> None:
    """Write the gallery into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="beginnings of the names of notebooks; none for all")
    parser.add_argument("--small", action="store_true", help="keep small pictures beside this file")
    options = parser.parse_args(arguments)
    (options.folder / "pictures").mkdir(parents=True, exist_ok=True)
    items, failed = [], []
    for source in sources():
        if options.names and not source.stem.startswith(tuple(options.names)):
            continue
        began = time.monotonic()
        notebook, is_whole = executed(source)
        failed += [] if is_whole else [source.stem]
        page, _ = HTMLExporter(config=LAST_LINES).from_notebook_node(notebook)
        (options.folder / f"{source.stem}.html").write_text(page, encoding="utf-8")
        title = html.escape(notebook.cells[0].source.splitlines()[0].removeprefix("# "))
        item, picture = f'<h2><a href="{source.stem}.html">{title}</a></h2>', last_picture(notebook)
        if picture is not None:
            (options.folder / "pictures" / f"{source.stem}.png").write_bytes(picture)
            if options.small:
                keep_small(picture, ROOT / "notebooks" / "pictures" / f"{source.stem}.png")
            item += f'<img src="pictures/{source.stem}.png" alt="" width="600">'
        items.append(item)
        print(f"{source.stem}: {'ran' if is_whole else 'FAILED'} for {time.monotonic() - began:.0f} s", flush=True)
    subprocess.run(
        [sys.executable, "-m", "pdoc", "-d", "google", "rnn_toolkit", "-o", options.folder / "reference"],
        cwd=ROOT,
        check=True,
    )
    items.append('<h2><a href="reference/rnn_toolkit.html">Reference of all public names</a></h2>')
    page = '<!doctype html><meta charset="utf-8"><title>rnn_toolkit</title><h1>rnn_toolkit</h1>' + "\n".join(items)
    (options.folder / "index.html").write_text(page, encoding="utf-8")
    if failed:
        sys.exit(f"These failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
