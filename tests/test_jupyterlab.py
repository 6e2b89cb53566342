"""The notebooks in a real JupyterLab, driven by a real browser: a reader runs all cells, and presses stop."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from test_notebooks import NOTEBOOKS, SMALL, inject

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium: apt-get install chromium"),
]
SECONDS = 240  # for one thing that must happen, on a machine that does other work, too

RED = "[data-mime-type='application/vnd.jupyter.stderr']"  # an error's traceback, a warning
# A cell's prompt is a star until it has run, and then its number.
DONE = f"""() => document.querySelector("{RED}")
    || /\\d/.test([...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].at(-1).textContent)"""
# Returns the lines that the training has shown so far, once there are five.
MOVED = """() => {
    const shown = [...document.querySelectorAll(".jp-OutputArea-output")].map(output => output.textContent);
    window.seen = (window.seen || new Set());
    shown.filter(text => /epoch \\d+\\/\\d+/.test(text)).forEach(text => window.seen.add(text));
    return window.seen.size >= 5 && [...window.seen];
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Start JupyterLab in a folder of its own, with no settings but its own; return it and an address to fill in."""
    folder = tmp_path_factory.mktemp("lab")
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR")
    own = {f"JUPYTER{'_' * (not name.startswith('LAB'))}{name}": str(folder / name) for name in names}
    environment = os.environ | own | {"IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(NOTEBOOKS.parent)}
    environment.pop("MPLBACKEND", None)  # pictures belong into the page here
    (folder / "pages").mkdir()
    options = ["ip=127.0.0.1", "port=0", f"root_dir={folder / 'pages'}", "open_browser=False", "allow_root=True"]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *(f"--ServerApp.{one}" for one in options)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + SECONDS
        while not (found := list((folder / "RUNTIME_DIR").glob("jpserver-*.json"))):
            assert server.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        running = json.loads(found[0].read_text())
        yield (
            folder / "pages",
            f"{running['url']}lab/tree/{{}}?reset&token={running['token']}",
        )  # reset: no other page is restored
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER)
        yield browser
        browser.close()


@pytest.fixture
def opened(address, browser):
    """Return a function that puts a notebook into the folder and opens it in the browser."""
    folder, form = address
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(1000 * SECONDS)

    def opened(notebook: dict, name: str):
        (folder / name).write_text(json.dumps(notebook))
        page.goto(form.format(name))
        page.get_by_text(re.compile(r"Python 3.* \| Idle")).wait_for()  # the kernel is there
        return page

    yield opened
    page.close()


def run_all(page) -> None:
    """Choose "Run All Cells" in the menu."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def wait_until_run(page) -> None:
    """Wait until the last cell has run, or something is shown in red, and see that nothing is."""
    page.wait_for_function(DONE)
    assert page.locator(RED).all_text_contents() == []


def test_a_reader_runs_all_cells_and_finds_tables_and_pictures(opened):
    notebook = json.loads((NOTEBOOKS / "template_your_table.ipynb").read_text(encoding="utf-8"))
    inject(notebook, SMALL["template_your_table"])
    page = opened(notebook, "template.ipynb")
    run_all(page)
    wait_until_run(page)

    output = page.locator(".jp-OutputArea-output")
    assert "epoch 2/2" in output.filter(has_text="epoch").text_content()
    assert "seasonal_naive" in output.locator("table").filter(has_text="nlinear").text_content()
    assert output.locator("img").count() == 2  # the table, and its forecast


def test_the_line_of_a_training_moves_and_the_stop_button_gives_the_history_back(opened):
    notebook = json.loads((NOTEBOOKS / "05_a_network_that_writes.ipynb").read_text(encoding="utf-8"))
    inject(notebook, {"units": 16, "epochs": 1000})
    place = next(index for index, cell in enumerate(notebook["cells"]) if "rt.train(" in "".join(cell["source"]))
    notebook["cells"] = notebook["cells"][: place + 1]
    behind = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": "history"}
    notebook["cells"].append(behind)  # which must run, although the button was pressed
    page = opened(notebook, "writes.ipynb")
    run_all(page)
    lines = page.wait_for_function(MOVED).json_value()
    page.get_by_role("button", name="Interrupt the kernel").click()
    wait_until_run(page)

    assert all("/1000" in line for line in lines) and len(set(lines)) == len(lines) >= 5
    output = page.locator(".jp-OutputArea-output")
    assert "stopped" in output.filter(has_text="/1000").text_content()
    assert output.last.locator("th").all_text_contents()[:4] == ["", "loss", "val_loss", "seconds"]
