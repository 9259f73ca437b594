"""Many samples in a real JupyterLab: filter, select all, label with a preview of the count, undo."""

import httpx
import pyarrow as pa
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import RESULTS, JupyterLab
from tests.browser.screens import uncaught_errors
from tests.server.labeling.conftest import LabeledProject, ipc

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TEXTS = [
    f"{'You won a prize, call now' if number % 3 == 0 else 'Lunch at noon'}, number {number}"
    for number in range(1500)
]


@pytest.fixture(scope="module")
def mails(jupyter_lab: JupyterLab) -> LabeledProject:
    api: httpx.Client = jupyter_lab.api
    record = api.post(
        "projects", json={"name": "mails", "task": "text_classification", "classes": ["ham", "spam"]}
    ).raise_for_status()
    project = LabeledProject(api, record.json())
    project.import_file(ipc(pa.table({"text": TEXTS})), format="arrow")
    return project


def test_samples_are_filtered_selected_labeled_at_once_and_taken_back(
    jupyter_lab: JupyterLab, mails: LabeledProject, page: Page
) -> None:
    lab = jupyter_lab
    errors = uncaught_errors(page)
    RESULTS.mkdir(exist_ok=True)
    lab.write_notebook("samples.ipynb", "%load_ext modelship_lab\n%mlship samples mails")
    lab.open(page, "samples.ipynb")
    lab.run_next_cell(page)
    view = page.locator(".jp-OutputArea .mls-samples")
    grid = view.get_by_role("grid", name="Samples")
    expect(view).to_contain_text("1,500 samples", timeout=20_000)
    # Only what is seen exists on the page.
    assert 10 < grid.locator(".mls-grid-row").count() < 100

    grid.focus()
    grid.press("/")
    view.get_by_role("searchbox").fill("PRIZE")
    expect(view.locator(".mls-sample-line")).to_contain_text("500 samples")
    page.keyboard.press("Enter")
    expect(grid).to_be_focused()

    # Everything that the filter means, not only what has been loaded.
    page.keyboard.press("Control+a")
    expect(view).to_contain_text("All 500 samples of the filter selected")
    page.keyboard.press("2")
    yes = view.get_by_role("button", name="Label 500 samples as spam")
    expect(yes).to_be_visible()
    page.screenshot(path=RESULTS / "samples.png")
    assert mails.progress()["labeled"] == 0
    page.keyboard.press("Enter")
    expect(view.get_by_role("status")).to_contain_text("500 samples labeled spam")
    assert mails.progress()["by_class"]["spam"] == 500
    expect(grid.locator(".mls-grid-row").first).to_contain_text("spam")

    # One sample at once, by the labeler's key; then both acts are taken back.
    expect(grid).to_be_focused()
    page.keyboard.press("1")
    expect(view.get_by_role("status")).to_contain_text("1 sample labeled ham")
    assert mails.progress()["by_class"] == {"ham": 1, "spam": 499}
    page.keyboard.press("u")
    expect(view.get_by_role("status")).to_contain_text("1 decision taken back")
    page.keyboard.press("u")
    expect(view.get_by_role("status")).to_contain_text("500 decisions taken back")
    assert mails.progress()["labeled"] == 0

    # What somebody else decides is seen; a sample is opened and closed with the keys.
    first = mails.samples(search="prize")[0]["id"]
    mails.label(first, "ham")
    expect(grid.locator("[aria-rowindex='2']")).to_contain_text("ham")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    opened = view.get_by_role("dialog", name=f"Sample {first}")
    expect(opened).to_contain_text("You won a prize")
    page.keyboard.press("Escape")
    expect(grid).to_be_focused()

    # A range, saved under a name.
    page.keyboard.press("Space")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowDown")
    expect(view).to_contain_text("4 samples selected")
    view.get_by_role("button", name="Save selection as…").click()
    view.get_by_label("Name of the selection").fill("doubtful")
    page.keyboard.press("Enter")
    expect(view.get_by_role("status")).to_contain_text("4 samples saved as “doubtful”")
    assert len(mails.samples(selection="doubtful")) == 4
    assert errors == []
