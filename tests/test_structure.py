"""The house stands as README and its wings draw it: imports point upwards, and importing costs little."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "rnn_toolkit"
WINGS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
SISTERS = {"training", "tables", "texts", "signals"}  # which do not import each other


def listed(text: str) -> list[str]:
    """Return the files and folders that a map names at the beginning of its lines, in order."""
    return re.findall(r"^(\w+)(?:\.py|/)\s", text, re.MULTILINE)


def house() -> list[str]:
    """Return the wings, and the two files beside them, in the order in which they may import each other."""
    blocks = re.findall(r"^```text\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.M)
    return listed("".join(blocks))


def order_of(wing: str) -> list[str]:
    """Return a wing's files in the order in which they may import each other."""
    return listed(ast.get_docstring(ast.parse((PACKAGE / wing / "__init__.py").read_text(encoding="utf-8"))))


def wrong_imports(module: str, text: str, wings: list[str], files: dict[str, list[str]]) -> list[str]:
    """Return the imports in a module's text that do not point upwards.

    Args:
        module: Its dotted name within the package, such as `tables.windows`.
        text: Its source.
        wings: Wings and files beside them, those that may be imported by all others first.
        files: The files of each wing, likewise.
    """
    imported = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ["rnn_toolkit", *module.split(".")][: -node.level] if node.level else []
            source = ".".join([*above, node.module or ""]).rstrip(".")
            imported += [(node.lineno, f"{source}.{alias.name}") for alias in node.names]
    wrong = []
    own, _, file = module.partition(".")
    for line, name in imported:
        top, wing, *below = [*name.split("."), "", ""]
        if top != "rnn_toolkit":
            continue
        # A name that is no wing comes from __init__.py, which imports every file and so may be imported by none.
        is_up = wing in wings and wing != own and wings.index(wing) < wings.index(own)
        is_up = is_up and not {wing, own} <= SISTERS and (below[0] in files[wing] if wing in files else True)
        is_up |= wing == own and below[0] in files[own] and files[own].index(below[0]) < files[own].index(file)
        if not is_up:
            wrong.append(f"{module}:{line} imports {name}")
    return wrong


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter that finds this checkout."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_readme_maps_every_wing_once():
    there = [path.stem for path in PACKAGE.glob("*.py")] + [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    assert sorted(house()) == sorted(there)


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_lists_every_file_once(wing):
    assert sorted(order_of(wing)) == sorted(path.stem for path in (PACKAGE / wing).glob("[!_]*.py"))


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_begins_with_its_map_and_nothing_else(wing):
    body = ast.parse((PACKAGE / wing / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1 or wing == "datasets"  # whose loaders are public as `rt.datasets.load_...`


# Modules without a test file of their own -> the one that tests them.
TESTED_ELSEWHERE: dict[str, str] = {
    "networks/batches": "texts/test_batches.py",
    "networks/labels": "texts/test_layers.py",
    "networks/recognition": "texts/test_recognition.py",
}


def test_every_module_has_a_test_file_or_stands_in_the_list_of_those_tested_elsewhere():
    modules = {f"{wing}/{file}" for wing in WINGS for file in order_of(wing)}
    modules |= {path.stem for path in PACKAGE.glob("[!_]*.py")}
    own = {name for name in modules if (ROOT / "tests" / name).with_name(f"test_{Path(name).name}.py").exists()}
    assert sorted(modules - own - set(TESTED_ELSEWHERE)) == []  # these lack tests
    assert sorted(set(TESTED_ELSEWHERE) - modules) == []  # there is no such module
    assert sorted(set(TESTED_ELSEWHERE) & own) == []  # these have a file of their own by now
    assert [file for file in TESTED_ELSEWHERE.values() if not (ROOT / "tests" / file).exists()] == []


def test_imports_only_point_upwards():
    wings, files = house(), {wing: order_of(wing) for wing in WINGS}
    modules = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    texts = {name: path.read_text(encoding="utf-8") for name, path in modules.items() if not name.endswith("__init__")}
    assert [wrong for name, text in texts.items() for wrong in wrong_imports(name, text, wings, files)] == []


HOUSE = ["_checks", "networks", "training", "tables", "diagnosis", "__init__"]
ROOMS = {
    "networks": ["padding"],
    "training": ["train"],
    "tables": ["task", "windows", "models"],
    "diagnosis": ["case"],
}


@pytest.mark.parametrize(
    "line",
    [
        "from rnn_toolkit.tables.models import build",
        "from rnn_toolkit.tables import models",
        "import rnn_toolkit.tables.models",
        "from .models import build",
        "from . import models",
        "def later():\n    from rnn_toolkit.tables import models",
        "from rnn_toolkit.tables.windows import own",
        "from rnn_toolkit.diagnosis.case import Case",
        "from rnn_toolkit.training.train import train",
        "from ..training import train",
        "from rnn_toolkit import train",
        "from rnn_toolkit.networks import pad",
        "import rnn_toolkit as rt",
    ],
)
def test_an_import_that_points_down_or_aside_or_at_the_whole_package_is_found(line):
    assert len(wrong_imports("tables.windows", line, HOUSE, ROOMS)) == 1


def test_an_import_that_points_up_or_elsewhere_is_allowed():
    text = (
        "import keras\nfrom rnn_toolkit import _checks\nfrom rnn_toolkit._checks import one_of\n"
        "from .. import _checks\nfrom rnn_toolkit.tables import task\nfrom .task import ForecastTask\n"
        "from rnn_toolkit.networks.padding import pad\nfrom rnn_toolkit.networks import padding"
    )
    assert wrong_imports("tables.windows", text, HOUSE, ROOMS) == []


def test_import_is_silent_quick_and_light():
    code = """if True:
        import json, sys, time
        import keras
        before = set(sys.modules)
        print("keras is there", file=sys.stderr, flush=True)
        start = time.process_time()  # which other work on the machine does not lengthen
        import rnn_toolkit
        seconds = time.process_time() - start
        added = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(json.dumps([seconds, sorted(added)]))
    """
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stderr.partition("keras is there\n")[2] == ""
    seconds, added = json.loads(result.stdout)  # and nothing else was printed
    assert {"matplotlib", "IPython", "ipykernel", "jupyter_client", "sklearn"}.isdisjoint(added)
    assert seconds < 0.5, "import rnn_toolkit after import keras, of the processor's time"


def test_import_without_a_backend_names_the_line_that_installs_one():
    code = """if True:
        import sys

        class WithoutTensorFlow:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name.partition(".")[0] == "tensorflow":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, WithoutTensorFlow)
        import rnn_toolkit
    """
    result = run_python(code, KERAS_BACKEND="tensorflow")
    assert result.returncode != 0
    last_line = result.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ImportError")
    assert 'pip install "rnn_toolkit[tensorflow]"' in last_line


def test_every_public_name_says_in_a_sentence_what_it_does():
    import rnn_toolkit

    assert len(set(rnn_toolkit.__all__)) == len(rnn_toolkit.__all__)
    for name in rnn_toolkit.__all__:
        first_line = (inspect.getdoc(getattr(rnn_toolkit, name)) or "").partition("\n")[0]
        assert first_line[:1].isupper() and first_line.endswith("."), f"{name}: {first_line!r}"


def test_requirements_and_pyproject_name_the_same_floors():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = list(project["dependencies"])
    for extra, packages in project["optional-dependencies"].items():
        declared += [] if extra == "jax" else [one for one in packages if not one.startswith("rnn_toolkit[")]
    required = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(line for line in required if ">=" in line) == sorted(set(declared))


def test_every_wing_is_in_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert sorted(settings["packages"]) == sorted(
        ["rnn_toolkit", "rnn_toolkit.data", *(f"rnn_toolkit.{one}" for one in WINGS)]
    )
    assert (ROOT / settings["package-dir"]["rnn_toolkit.data"] / "README.md").is_file()
    assert (PACKAGE / "py.typed").is_file()
