"""A real JupyterLab in Debian's Chromium."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import nbformat
import psutil
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KERNEL_IS_READY = """() => {
    const context = window.jupyterapp?.shell?.currentWidget?.sessionContext;
    const kernel = context?.session?.kernel;
    return Boolean(context?.isReady && kernel?.connectionStatus === "connected" && kernel.status === "idle");
}"""
NOTICE_OPENED = """
(() => {
    const timer = setInterval(() => {
        if (!window.jupyterapp) return;
        clearInterval(timer);
        window.jupyterapp.commands.commandExecuted.connect((_, { id, result }) => {
            if (id === "filebrowser:open-path") result.then(() => { window.documentOpened = true; });
        });
    }, 5);
})();
"""
"""Notes in the page that the document its address names has been opened."""
RESULTS = Path(__file__).parents[2] / "test-results"
TOKEN = "browser-test-token"
START_TIMEOUT_S = 60


@dataclass
class JupyterLab:
    """A running JupyterLab with the lab server as its extension."""

    url: str
    token: str
    notebooks: Path
    data_dir: Path
    api: httpx.Client
    """Speaks to the lab server's native API with Jupyter's token."""

    def write_notebook(self, name: str, *cells: str) -> None:
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        nbformat.write(notebook, self.notebooks / name)

    def open(self, page: Page, name: str) -> None:
        """Open a notebook and wait until its kernel is ready."""
        page.goto(f"{self.url}lab/tree/{name}?token={self.token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        # JupyterLab may ask for the kernel although the notebook names it.
        choose = page.locator(".jp-Dialog .jp-mod-accept")
        for _ in range(600):
            if page.evaluate(KERNEL_IS_READY):
                return
            if choose.is_visible():
                choose.click()
            page.wait_for_timeout(100)
        raise AssertionError("the kernel did not start")

    def run_next_cell(self, page: Page) -> None:
        """Run the selected cell and go to the next one, as Shift+Enter does."""
        # Not its promise: that is kept only when the cell has ended.
        page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-cell-and-select-next')")

    def reload(self, page: Page) -> None:
        """Load the page anew and wait until JupyterLab has opened and chosen the tabs that were there."""
        page.add_init_script(NOTICE_OPENED)
        page.reload()
        page.wait_for_function("() => window.jupyterapp?.restored", timeout=60_000)
        page.evaluate("() => window.jupyterapp.restored.then(() => null)")
        if "/tree/" in page.url:
            # The document that the address names is chosen last, over a tab that was opened meanwhile.
            page.wait_for_function("() => window.documentOpened", timeout=60_000)

    def open_output_beside(self, page: Page, cell: int) -> None:
        """Show the output of a cell in a view of its own beside the notebook, and the lab's panel."""
        page.evaluate(
            """async (cell) => {
                const { commands, shell } = window.jupyterapp;
                const notebook = shell.currentWidget;
                await commands.execute("modelship:open-panel");
                shell.activateById(notebook.id);
                notebook.content.activeCellIndex = cell;
                await commands.execute("notebook:create-output-view");
                const view = [...shell.widgets("main")].find((one) => one.hasClass("jp-LinkedOutputView") || one.node.querySelector(".jp-LinkedOutputView"));
                shell.add(view, "main", { mode: "split-right", ref: notebook.id });
                shell.activateById(notebook.id);
            }""",
            cell,
        )

    def save(self, page: Page) -> None:
        """Save the notebook, whichever view has the focus."""
        page.evaluate(
            """async () => {
                const views = [...window.jupyterapp.shell.widgets("main")];
                await views.find((one) => one.hasClass("jp-NotebookPanel")).context.save();
            }"""
        )

    def kill_kernels(self) -> None:
        """End all kernels as a lack of memory does."""
        server = psutil.Process(json.loads((self.data_dir / "server.json").read_text())["pid"])
        kernels = [one for one in server.children(recursive=True) if "ipykernel_launcher" in one.cmdline()]
        assert kernels
        for kernel in kernels:
            kernel.kill()

    def shut_kernels_down(self) -> None:
        """End all kernels, as the list of running kernels does."""
        with httpx.Client(base_url=self.url, headers={"Authorization": f"token {self.token}"}) as client:
            # One that is just being restarted is refused.
            deadline = time.monotonic() + 30
            while sessions := client.get("api/sessions").raise_for_status().json():
                assert time.monotonic() < deadline, sessions
                for session in sessions:
                    client.delete(f"api/sessions/{session['id']}")

    def scroll_to(self, page: Page, cell: int) -> None:
        """Have a cell at the top of the notebook."""
        page.evaluate(
            """async (cell) => {
                const { content } = window.jupyterapp.shell.currentWidget;
                content.activeCellIndex = cell;
                await content.scrollToItem(cell, "start");
            }""",
            cell,
        )
        page.wait_for_timeout(500)


@pytest.fixture(scope="session")
def jupyter_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    with running_jupyterlab(tmp_path_factory.mktemp("jupyterlab")) as lab:
        yield lab


@contextmanager
def running_jupyterlab(root: Path) -> Iterator[JupyterLab]:
    """A JupyterLab process with everything of its own below `root`."""
    notebooks, data_dir = root / "notebooks", root / "lab"
    notebooks.mkdir()
    asks_nothing = (
        root / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    )
    asks_nothing.parent.mkdir(parents=True)
    asks_nothing.write_text('{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}')
    log = (root / "jupyterlab.log").open("wb")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--ServerApp.port=0",
            "--no-browser",
            "--allow-root",
            f"--ServerApp.root_dir={notebooks}",
            f"--IdentityProvider.token={TOKEN}",
            # Options of both: they must not be taken for each other's.
            "--LabApp.expose_app_in_browser=True",
            "--ModelShipLab.open_registration=True",
        ],
        env={
            **os.environ,
            "MLSHIP_HOME": str(data_dir),
            "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
            "JUPYTER_CONFIG_DIR": str(root / "config"),
            "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
            "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        },
        cwd=notebooks,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        url = _wait_for(data_dir, process, root / "jupyterlab.log")
        with httpx.Client(
            base_url=f"{url}mlship/api/", headers={"Authorization": f"token {TOKEN}"}, timeout=30
        ) as api:
            yield JupyterLab(url, TOKEN, notebooks, data_dir, api)
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _wait_for(data_dir: Path, process: subprocess.Popen, log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return str(json.loads((data_dir / "server.json").read_text())["url"])
        except (OSError, ValueError):
            time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-4000:]}")


# Of a module: as long as it lives, Playwright has an event loop running, in which other tests cannot run theirs.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1600, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    # What the page looked like at the end, for whoever has to find out why a test failed.
    RESULTS.mkdir(exist_ok=True)
    page.screenshot(path=str(RESULTS / f"{request.node.name}.png"))
    context.close()
