"""What README shows runs, and what it names is there."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def blocks(language: str) -> list[str]:
    """Return README's fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="the example ends in a picture")
def test_the_python_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = blocks("python")
    assert code
    namespace = {"__name__": "readme"}
    for block in code:
        exec(compile(block, "README.md", "exec"), namespace)


@pytest.mark.parametrize("block", blocks("bash"))
def test_a_command_parses_and_names_files_that_are_there(block):
    parsed = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, timeout=60, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    for word in re.findall(r"[\w.\-/]+", block):
        is_ours = word.startswith((".ci/", "notebooks/", "tests/", "requirements"))
        assert not is_ours or (ROOT / word).exists(), f"{word} is not there"


def test_the_test_command_is_one_line_that_sets_itself_up():
    (command,) = re.findall(
        r"^#+ [^\n]*Pass the tests[^\n]*\n[^#]*?^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE
    )
    assert command.count("\n") == 1
    assert command.startswith(".ci/setup && ") and "pytest" in command


def test_every_link_to_a_file_of_ours_leads_to_one():
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)", README) if "://" not in target]
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_notebook_is_listed_with_its_badge():
    hosted = REPOSITORY.replace("github.com", "colab.research.google.com/github")
    for source in sorted(set(ROOT.glob("notebooks/source/*.py")) - {ROOT / "notebooks/source/set_up.py"}):
        assert f"({hosted}/blob/main/notebooks/{source.stem}.ipynb)" in README
    for address in re.findall(r"https://[^\s)]*github[^\s)]*", README):
        assert address.startswith((REPOSITORY, hosted)), f"{address} is not under the address in pyproject.toml"
