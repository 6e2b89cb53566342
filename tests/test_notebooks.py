"""Every notebook is what its source builds, and runs from its first cell to its last."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SOURCES = sorted(path for path in NOTEBOOKS.glob("source/*.py") if path.stem != "set_up")
SECONDS = 300  # limit for one notebook with its small values

# What each notebook's cell tagged `parameters` is overruled with, so that its run takes seconds.
SMALL: dict[str, dict[str, object]] = {
    "00_what_a_recurrent_network_is": {"epochs": 2, "lags": [2, 5], "num_rows": 256},
    "01_forecast_your_own_table": {"epochs": 2},
    "02_few_rows": {"epochs": 2},
    "03_many_series": {"epochs": 1, "stride": 11, "download": False},
    "04_is_the_customer_happy": {"epochs": 2, "seeds": [0]},
    "05_a_network_that_writes": {"units": 16, "epochs": 1, "length": 20},
    "06_put_the_capitals_back": {"epochs": 2},
    "07_pictures_and_sensors": {"epochs": 3, "weather_epochs": 1},
    "08_hear_the_digit": {"epochs": 2, "string_epochs": 1, "num_strings": 32, "units": 16},
    "09_tune_it": {"trials": 3, "epochs": 1, "seeds": 1},
    "10_teach_it_in_steps": {"epochs": 1, "length": 12, "rows": 64},
    "11_why_does_it_not_learn": {"epochs": 3, "long_epochs": 20},
    "12_training_that_survives": {"epochs": 4, "kill_after": 2},
    "template_your_table": {"epochs": 2},
}

each_source = pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])


@pytest.fixture(scope="module")
def builder():
    """Return notebooks/build.py as a module."""
    spec = importlib.util.spec_from_file_location("build_notebooks", NOTEBOOKS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells_without_results(notebook: dict) -> list[tuple]:
    """Return what people wrote: each cell's kind, text and tags."""
    return [
        (cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in notebook["cells"]
    ]


def parameter_names(notebook: dict) -> set[str]:
    """Return the names assigned in the one cell tagged `parameters`, which may hold nothing but assignments."""
    tagged = ["".join(cell["source"]) for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1, f"{len(tagged)} cells are tagged `parameters`; there must be one"
    names = set()
    for statement in ast.parse(tagged[0]).body:
        is_plain = isinstance(statement, ast.Assign) and all(isinstance(one, ast.Name) for one in statement.targets)
        assert is_plain, f"not a plain assignment: {ast.unparse(statement)}"
        names.update(target.id for target in statement.targets)
    return names


def inject(notebook: dict, values: dict[str, object]) -> None:
    """Add a cell after the one tagged `parameters` that overrules some of its values."""
    unknown = set(values) - parameter_names(notebook)
    assert not unknown, f"not assigned in the cell tagged `parameters`: {sorted(unknown)}"
    tags = [cell["metadata"].get("tags", []) for cell in notebook["cells"]]
    place = next(index for index, names in enumerate(tags) if "parameters" in names)
    text = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    new = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": text}
    notebook["cells"].insert(place + 1, new)


def execute(notebook: dict, folder: Path, seconds: float):
    """Run all cells in a fresh kernel in a folder, within a time for all of them, and return them with results."""
    import nbformat
    from nbclient import NotebookClient

    end = time.monotonic() + seconds
    return NotebookClient(
        nbformat.reads(json.dumps(notebook), as_version=4),
        kernel_name="python3",
        timeout_func=lambda cell: max(end - time.monotonic(), 1),  # nbclient takes 0 for "no limit"
        resources={"metadata": {"path": str(folder)}},
    ).execute()


@each_source
def test_building_twice_gives_the_same_bytes(builder, source):
    assert builder.build(source) == builder.build(source)


@each_source
def test_notebook_holds_the_cells_of_its_source(builder, source):
    # Results are not compared: whoever ran a notebook in place has done nothing wrong. `build.py --check` compares all.
    notebook = json.loads((NOTEBOOKS / f"{source.stem}.ipynb").read_text(encoding="utf-8"))
    assert cells_without_results(notebook) == cells_without_results(json.loads(builder.build(source)))


@each_source
def test_notebook_opens_with_a_badge_and_the_set_up(builder, source):
    title, set_up, *_ = json.loads(builder.build(source))["cells"]
    assert "".join(title["source"]).startswith("# ")
    assert f"/blob/main/notebooks/{source.stem}.ipynb)" in "".join(title["source"])
    assert f'"{builder.REPOSITORY}"' in "".join(set_up["source"])


@each_source
def test_notebook_has_parameters_a_claim_and_small_values_for_this_test(builder, source):
    notebook = json.loads(builder.build(source))
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(code)))
    assert parameter_names(notebook)
    inject(notebook, SMALL[source.stem])


@pytest.mark.notebook
@each_source
def test_notebook_runs(builder, source, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # pictures belong into the page here
    notebook = json.loads(builder.build(source))
    inject(notebook, SMALL[source.stem])
    run = execute(notebook, tmp_path, SECONDS)
    assert [cell.source for cell in run.cells if draws(cell) and not shows(cell)] == []


def draws(cell) -> bool:
    """Return whether a cell plots something outside of its functions."""
    if cell.cell_type != "code":
        return False
    statements = [one for one in ast.parse(cell.source).body if not isinstance(one, ast.FunctionDef | ast.ClassDef)]
    return bool(re.search(r"\.plot[._(]|\.plot_\w+\(|plt\.subplots\(", "\n".join(map(ast.unparse, statements))))


def shows(cell) -> bool:
    """Return whether there is a picture among the results of a cell."""
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def tables() -> dict[str, tuple[pd.DataFrame, dict, dict]]:
    """Return tables as people have them, how each is written to a file, and the values that notebook 01 needs."""
    generator = np.random.default_rng(0)

    def rows(count, frequency, season, start="2015-01-01"):
        wave = 100 + np.arange(count) / 10 + 20 * np.sin(2 * np.pi * np.arange(count) / season)
        return pd.Series(
            wave + generator.normal(size=count), pd.date_range(start, periods=count, freq=frequency)
        ).round(1)

    days, gappy, months = rows(500, "D", 7), rows(600, "h", 24), rows(180, "MS", 12)
    gappy[50:60] = np.nan
    gappy = gappy.drop(gappy.index[[100, 101, 300]])
    lengths = {"horizon": 7, "lookback": 21, "season_length": 7}
    hours = {"horizon": 24, "lookback": 48, "season_length": 24}
    return {
        "decimal commas": (days, {"sep": ";", "decimal": ","}, {"separator": ";", "decimal": ",", **lengths}),
        "gaps": (gappy, {}, hours),
        "monthly": (months, {"date_format": "%Y-%m"}, {"horizon": 6, "lookback": 24, "season_length": 12}),
        "newest first": (days[::-1], {}, lengths),
        "quarters, few": (rows(120, "QS", 4), {}, {"horizon": 4, "lookback": 8, "season_length": 4}),
    }


OWN_TABLES = [("01_forecast_your_own_table", name) for name in ("decimal commas", "gaps", "monthly")]
OWN_TABLES += [("template_your_table", name) for name in ("decimal commas", "gaps", "newest first", "quarters, few")]


@pytest.mark.notebook
@pytest.mark.parametrize(("stem", "name"), OWN_TABLES)
def test_a_table_of_ones_own_needs_the_parameters_only(builder, stem, name, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    series, writing, values = tables()[name]
    series.rename("sold").rename_axis("day").to_csv(tmp_path / "mine.csv", **writing)
    notebook = json.loads(builder.build(NOTEBOOKS / "source" / f"{stem}.py"))
    own = {"csv_file": "mine.csv", "time_column": "day", "target": "sold", "run_dir": "runs/mine", **values}
    inject(notebook, SMALL[stem] | own)
    execute(notebook, tmp_path, SECONDS)


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("values", "writing", "sentence"),
    [
        ({"target": "sodl"}, {}, "`frame` has no column 'sodl'; it has: sold. Did you mean 'sold'?"),
        (
            {"separator": ";"},
            {"sep": ";", "decimal": ","},
            "Column 'sold' must hold numbers, but holds text with commas",
        ),
        ({}, {"date_format": "%d.%m.%Y"}, "Convert it with `pd.to_datetime` (`dayfirst=True`"),
    ],
    ids=["a wrong column", "decimal commas", "dates as text"],
)
def test_a_mistake_is_told_in_few_lines_below_the_line_that_shows_it(
    builder, values, writing, sentence, tmp_path, monkeypatch
):
    from nbclient.exceptions import CellExecutionError

    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    days = pd.Series(np.arange(200) + 0.5, pd.date_range("2024-01-01", periods=200), name="sold")
    days.rename_axis("day").to_csv(tmp_path / "mine.csv", **writing)
    notebook = json.loads(builder.build(NOTEBOOKS / "source" / "template_your_table.py"))
    inject(notebook, {"csv_file": "mine.csv", "time_column": "day", "target": "sold", **values})
    with pytest.raises(CellExecutionError) as caught:
        execute(notebook, tmp_path, SECONDS)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", caught.value.traceback).partition("-" * 75)[2]  # behind the cell itself
    lines = shown.strip().splitlines()
    assert sentence in lines[-1] and len(lines) <= 10, shown


def test_every_word_that_is_linked_stands_in_the_glossary_and_every_notebook_links_to_it():
    page = (NOTEBOOKS / "glossary.md").read_text(encoding="utf-8")
    words = {word.lower().replace(" ", "-") for word in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    for source in SOURCES:
        text = source.read_text(encoding="utf-8")
        assert "](glossary.md)" in text, source.stem
        assert set(re.findall(r"\(glossary\.md#([^)]+)\)", text)) <= words, source.stem
        files = re.findall(r"\]\((\w+\.(?:md|ipynb))", text)
        assert [name for name in files if not (NOTEBOOKS / name).exists()] == [], source.stem


def test_links_between_files_become_addresses_and_code_that_sets_up_is_folded(builder):
    title, set_up, *_ = json.loads(builder.build(NOTEBOOKS / "source" / "01_forecast_your_own_table.py"))["cells"]
    assert f"]({builder.REPOSITORY}/blob/main/notebooks/glossary.md)" in "".join(title["source"])
    assert set_up["metadata"] == {"cellView": "form", "jupyter": {"source_hidden": True}}
    assert "".join(set_up["source"]).startswith("# @title ")


def test_every_small_value_belongs_to_a_notebook():
    assert set(SMALL) == {source.stem for source in SOURCES}


@pytest.fixture
def tiny(builder, tmp_path, monkeypatch) -> Path:
    """Let build.py work in a folder with one tiny source, and return the path of its notebook."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "set_up.py").write_bytes((NOTEBOOKS / "source" / "set_up.py").read_bytes())
    text = '# %% [markdown]\n# # Tiny\n# {colab}\n\n# %% tags=["parameters"]\nepochs = 9\n\n# %%\nassert epochs < 10\n'
    (tmp_path / "source" / "01_tiny.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(builder, "FOLDER", tmp_path)
    return tmp_path / "01_tiny.ipynb"


def test_check_fails_until_built_and_again_once_there_are_results(builder, tiny, capsys):
    with pytest.raises(SystemExit, match=r"01_tiny\.ipynb is missing"):
        builder.main(["--check"])
    builder.main([])
    assert capsys.readouterr().out == "wrote 01_tiny.ipynb\n"
    builder.main(["--check"])
    tiny.write_text(tiny.read_text().replace('"execution_count": null', '"execution_count": 1', 1))
    with pytest.raises(SystemExit, match=r"python notebooks/build\.py"):
        builder.main(["--check"])
    builder.main([])
    builder.main(["--check"])


def test_a_notebook_without_a_source_and_a_source_without_a_badge_are_found(builder, tiny):
    tiny.with_name("07_stray.ipynb").write_text("{}")
    with pytest.raises(SystemExit, match=r"07_stray\.ipynb has no source"):
        builder.main([])
    (tiny.parent / "source" / "01_tiny.py").write_text("# %% [markdown]\n# # Tiny\n")
    with pytest.raises(ValueError, match=r"The first cell of 01_tiny\.py must be text with a line `\{colab\}`"):
        builder.main([])


def test_injected_values_come_after_the_parameters_and_must_be_known(builder, tiny):
    builder.main([])
    notebook = json.loads(tiny.read_text())
    inject(notebook, {"epochs": 2})
    assert [cell["source"] for cell in notebook["cells"]][2:] == [["epochs = 9"], "epochs = 2", ["assert epochs < 10"]]
    with pytest.raises(AssertionError, match="epoch_count"):
        inject(notebook, {"epoch_count": 2})


@pytest.mark.notebook
def test_a_failing_and_an_endless_notebook_are_caught(builder, tiny, tmp_path):
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    builder.main([])
    notebook = json.loads(tiny.read_text())
    del notebook["cells"][1]  # the set-up loads Keras, which this test can do without
    execute(notebook, tmp_path, 60)
    notebook["cells"][-1]["source"] = "assert epochs > 10"
    with pytest.raises(CellExecutionError, match="AssertionError"):
        execute(notebook, tmp_path, 60)
    notebook["cells"][-1]["source"] = "while True: pass"
    with pytest.raises(CellTimeoutError):
        execute(notebook, tmp_path, 10)


@pytest.fixture
def own_style():
    """Keep what the set-up says of pictures from other tests."""
    with matplotlib.rc_context():
        yield


def test_the_set_up_fetches_the_toolkit_in_colab_only(builder, tiny, tmp_path, monkeypatch, own_style):
    builder.main([])
    set_up = "".join(json.loads(tiny.read_text())["cells"][1]["source"])
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    exec(set_up, {})
    assert commands == []
    monkeypatch.setitem(sys.modules, "google.colab", os)
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "tensorflow"))
    exec(set_up.replace("/content", str(tmp_path)), {})
    clone, _, install = commands
    assert clone[:2] == ["git", "clone"] and builder.REPOSITORY in clone
    assert install[1:4] == ["-m", "pip", "install"] and "--constraint" in install


def test_a_set_up_that_fails_says_what_to_do(builder, tiny, tmp_path, monkeypatch):
    builder.main([])
    set_up = "".join(json.loads(tiny.read_text())["cells"][1]["source"])

    def fail(command, **_):
        raise subprocess.CalledProcessError(1, command, stderr=b"keras==3.10 is too old")

    monkeypatch.setattr(subprocess, "run", fail)
    monkeypatch.setitem(sys.modules, "google.colab", os)
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "tensorflow"))
    with pytest.raises(RuntimeError, match=r"(?s)run this cell again.*Change runtime type.*keras==3\.10 is too old"):
        exec(set_up.replace("/content", str(tmp_path)), {})
