"""The house stands as README draws it: one file per stage, imports point upwards, importing costs little."""

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


def module_map() -> list[str]:
    """Return the modules in the order of README's map, which is the order in which they may import each other."""
    blocks = re.findall(
        r"^```text\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return re.findall(r"^(\w+)\.py\s", "".join(blocks), re.MULTILINE)


def wrong_imports(module: str, text: str, order: list[str]) -> list[str]:
    """Return the imports in a module's text that do not point to a file above it."""
    imported = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = "rnn_toolkit" if node.level else ""
            source = ".".join(part for part in (package, node.module) if part)
            is_file = source == "rnn_toolkit"
            imported += [(node.lineno, f"{source}.{alias.name}" if is_file else source) for alias in node.names]
    wrong = []
    for line, name in imported:
        top, *below = name.split(".")
        if top != "rnn_toolkit":
            continue
        # A name that is no file comes from __init__.py, which imports every file and so may be imported by none.
        target = below[0] if below and below[0] in order else "__init__"
        if target == "__init__" or order.index(target) >= order.index(module):
            wrong.append(f"{module}.py:{line} imports {name}")
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


def test_readme_maps_every_module_once():
    assert sorted(module_map()) == sorted(path.stem for path in PACKAGE.glob("*.py"))


def test_imports_only_point_upwards_in_the_map():
    order = module_map()
    files = [path for path in sorted(PACKAGE.glob("*.py")) if path.stem != "__init__"]
    assert [path.name for path in files if path.stem not in order] == []
    texts = {path.stem: path.read_text(encoding="utf-8") for path in files}
    assert [wrong for module, text in texts.items() for wrong in wrong_imports(module, text, order)] == []


@pytest.mark.parametrize(
    "line",
    [
        "from rnn_toolkit.models import build",
        "from rnn_toolkit import models",
        "import rnn_toolkit.models",
        "from .models import build",
        "from . import models",
        "def later():\n    from rnn_toolkit import models",
        "from rnn_toolkit.series import own",
        "from rnn_toolkit import train",
        "import rnn_toolkit as rt",
    ],
)
def test_an_import_that_points_down_or_at_the_whole_package_is_found(line):
    assert len(wrong_imports("series", line, ["__init__", "_checks", "series", "models"])) == 1


def test_an_import_that_points_up_or_elsewhere_is_allowed():
    text = (
        "import keras\nfrom rnn_toolkit import _checks\nfrom rnn_toolkit._checks import one_of\nfrom . import _checks"
    )
    assert wrong_imports("series", text, ["__init__", "_checks", "series"]) == []


def test_import_is_silent_quick_and_light():
    code = """if True:
        import json, sys, time
        import keras
        before = set(sys.modules)
        print("keras is there", file=sys.stderr, flush=True)
        start = time.perf_counter()
        import rnn_toolkit
        seconds = time.perf_counter() - start
        added = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(json.dumps([seconds, sorted(added)]))
    """
    for _ in range(3):  # a busy machine may be slow once, not three times
        result = run_python(code)
        assert result.returncode == 0, result.stderr
        assert result.stderr.partition("keras is there\n")[2] == ""
        seconds, added = json.loads(result.stdout)  # and nothing else was printed
        assert {"matplotlib", "IPython", "ipykernel", "jupyter_client", "sklearn"}.isdisjoint(added)
        if seconds < 0.5:
            break
    else:
        pytest.fail(f"import rnn_toolkit took {seconds:.2f} s after import keras; 0.5 s is the limit.")


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
