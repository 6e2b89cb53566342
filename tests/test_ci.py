"""`.ci/run` says that every stage passed only if every stage did."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="only the tests are at hand")

# Stands in for Python, pip, pytest and ruff: writes down how it was called, and does what the test asks at one call.
STUB = """#!/usr/bin/env bash
call="$(basename "$0") $*"
echo "$call" >>"$CALLS"
if [[ "$call" == *"$AT"* ]]; then eval "$DO"; fi
if [[ "$1 $2" == "-m venv" ]]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; cp "$0" "$3/bin/ruff"; fi
if [[ "$*" == "-m pip list" ]]; then echo "keras 3.13.0"; fi
"""


@pytest.fixture
def start(tmp_path):
    """Return a function that starts `.ci/run` on a tree of stubs, in a group of processes of its own."""
    tree, scratch = tmp_path / "tree", tmp_path / "scratch"
    for folder in (tree / ".ci", tree / "tests", tree / "notebooks", scratch):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", tree / ".ci" / "run")
    (tree / "stub").write_text(STUB)
    (tree / "stub").chmod(0o755)
    (tree / ".ci" / "setup").write_text('#!/usr/bin/env bash\n"$PYTHON" -m venv .venv\n')
    (tree / ".ci" / "setup").chmod(0o755)
    for name in ("postgres", "chromium"):  # there already, so that none is installed
        (tree / name).write_text("#!/bin/sh\n")
        (tree / name).chmod(0o755)
    (tree / "README.md").write_text(
        "## Pass the tests\n\n```bash\n.ci/setup && .venv/bin/python -m pytest -n 2\n```\n\n## Next\n"
    )
    for name in ("requirements.txt", "pyproject.toml"):
        (tree / name).write_text("keras>=3.13\n")
    processes = []

    def start(at="never", do=""):
        environment = os.environ | {
            "PATH": f"{tree}:{os.environ['PATH']}",
            "PYTHON": str(tree / "stub"),
            "TMPDIR": str(scratch),
            "CALLS": str(tmp_path / "calls"),
            "AT": at,
            "DO": do,
        }
        process = subprocess.Popen(
            [tree / ".ci" / "run"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_every_stage_runs_and_is_said_to_have_passed(start, tmp_path):
    process = start()
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert output.splitlines()[-1] == "== every stage passed"
    calls = (tmp_path / "calls").read_text()
    for needed in ("-m slow", "ruff check", "-m mypy", "-m notebook", "build.py --check", "[jax,plot,test]"):
        assert needed in calls
    assert " .[plot,test] torch==" in calls
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    "at", ["pytest -n 2", "-m slow", "ruff format", "ruff check", "-m notebook", "mypy", "build.py", "[jax", "torch=="]
)
def test_a_stage_that_fails_fails_the_whole(start, at, tmp_path):
    process = start(at=at, do="exit 3")
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 3, output
    assert "every stage passed" not in output
    assert output.splitlines()[-1].startswith("== FAILED: ")
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("whom", ["the script", "all its processes"])
def test_a_run_that_is_stopped_from_outside_does_not_pass(start, sent, whom, tmp_path):
    mark = tmp_path / "mark"
    process = start(at="-m slow", do=f"touch {mark}; sleep {1 if whom == 'the script' else 60}")
    for _ in range(600):
        if mark.exists():
            break
        time.sleep(0.05)
    (os.kill if whom == "the script" else os.killpg)(process.pid, sent)
    output, _ = process.communicate(timeout=30)

    assert process.returncode == 128 + sent
    assert "every stage passed" not in output
    assert output.splitlines()[-1] == "== INTERRUPTED: slow tests"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_ignored_files_have_no_exceptions():
    """The tree is copied by `tar --exclude-vcs-ignores`, which knows none: a file that git holds would be missing."""
    assert not [line for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("!")]
