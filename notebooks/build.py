"""Build notebooks/NN_name.ipynb from notebooks/source/NN_name.py, with the same bytes each time.

    python notebooks/build.py           write the notebooks, without results
    python notebooks/build.py --check   write nothing; fail if a notebook is not what its source builds

A source is a script in jupytext's percent format. Its first cell is text and holds a line `{colab}`, which becomes the
badge. The second cell of every notebook is source/set_up.py, folded. Links to files beside the notebook, such as
`glossary.md#epoch`, become addresses in the repository.
"""

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

import jupytext

FOLDER = Path(__file__).resolve().parent
PYPROJECT = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))
REPOSITORY = PYPROJECT["project"]["urls"]["Repository"]
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"


FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # in Colab, in Jupyter


def cell(kind: str, text: str, metadata: dict) -> dict:
    """Return one cell as plain JSON values, with nothing in it that differs from run to run."""
    text = re.sub(r"\]\((\w+\.(?:md|ipynb))", rf"]({REPOSITORY}/blob/main/notebooks/\1", text)  # Colab knows no folder
    plain = {"cell_type": kind, "metadata": metadata, "source": text.splitlines(keepends=True)}
    return plain | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def sources() -> list[Path]:
    """Return the scripts that notebooks are built from."""
    return sorted(path for path in FOLDER.glob("source/*.py") if path.stem != "set_up")


def build(source: Path) -> str:
    """Return the text of the notebook that the script `source` describes."""
    title, *rest = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent").cells
    if title.cell_type != "markdown" or "{colab}" not in title.source:
        raise ValueError(f"The first cell of {source.name} must be text with a line `{{colab}}`, where the badge goes.")
    hosted = REPOSITORY.replace("github.com", "colab.research.google.com/github")
    badge = BADGE.replace("{address}", f"{hosted}/blob/main/notebooks/{source.stem}.ipynb")
    set_up = (FOLDER / "source" / "set_up.py").read_text(encoding="utf-8").replace("{repository}", REPOSITORY)
    cells = [cell("markdown", title.source.replace("{colab}", badge), {}), cell("code", set_up.rstrip(), FOLDED)]
    cells += [cell(one.cell_type, one.source, dict(one.metadata)) for one in rest]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    # Format 4.4 is the last one without cell ids, which jupytext draws anew on every run.
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Write the notebooks, or with `--check` compare them with what would be written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a notebook that differs")
    check = parser.parse_args(arguments).check
    built = {FOLDER / f"{source.stem}.ipynb": build(source) for source in sources()}
    wrong = [f"{path.name} has no source" for path in sorted(FOLDER.glob("*.ipynb")) if path not in built]
    for path, text in built.items():
        if path.exists() and path.read_bytes() == text.encode():
            continue
        if check:
            wrong.append(f"{path.name} is missing, holds results, or is not what its source builds")
        else:
            path.write_bytes(text.encode())
            print(f"wrote {path.name}")
    if wrong:
        sys.exit("\n".join([*wrong, "To build the notebooks: python notebooks/build.py"]))


if __name__ == "__main__":
    main()
