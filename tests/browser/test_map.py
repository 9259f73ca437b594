"""The map of samples in a real JupyterLab: what the lasso encloses is labeled at once."""

import httpx
import pyarrow as pa
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import RESULTS, JupyterLab
from tests.browser.test_accessibility import AXE, CHECK, RULES
from tests.server.labeling.conftest import LabeledProject, ipc

pytestmark = [pytest.mark.browser, pytest.mark.slow]

THINGS = ("prize money won", "lunch noon soup")


def test_what_the_lasso_encloses_is_labeled_after_its_count_was_shown(
    jupyter_lab: JupyterLab, page: Page
) -> None:
    lab = jupyter_lab
    api: httpx.Client = lab.api
    body = {"name": "points", "task": "text_classification", "classes": ["ham", "spam"]}
    project = LabeledProject(api, api.post("projects", json=body).raise_for_status().json())
    texts = [f"{THINGS[number % 2]} {number}" for number in range(200)]
    project.import_file(ipc(pa.table({"text": texts})), format="arrow")
    job = api.post(f"{project.path}/jobs", json={"kind": "embeddings"}).raise_for_status().json()
    assert api.get(f"jobs/{job['id']}", params={"wait_s": 60}).json()["status"] == "finished"

    lab.write_notebook("map.ipynb", "%load_ext modelship_lab\n%mlship map points --by status")
    lab.open(page, "map.ipynb")
    lab.run_next_cell(page)
    output = page.locator(".jp-OutputArea-output")
    canvas = output.locator("canvas").first
    expect(canvas).to_be_visible(timeout=30_000)
    # Two heaps of points: one at the left, the other at the right.
    box = canvas.bounding_box()
    assert box is not None
    corners = [(0.6, 0.99), (0.6, 0.01), (0.01, 0.01), (0.01, 0.99), (0.6, 0.99)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    ask = output.get_by_role("button", name="Label 100 samples as ham")
    for _ in range(10):
        # Until the points are drawn there is nothing to enclose.
        page.mouse.move(*places[0])
        page.mouse.down()
        for x, y in places[1:]:
            page.mouse.move(x, y, steps=12)
        page.mouse.up()
        page.wait_for_timeout(1000)
        if ask.is_visible():
            break
    expect(ask).to_be_enabled()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert page.evaluate(CHECK.replace(".mls", ".jp-OutputArea-output"), RULES) == []
    # It belongs into a dark page, too.
    page.evaluate(
        "() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
    )
    ground = canvas.locator("xpath=ancestor::div[contains(@style, 'background-color')][1]")
    expect(ground).to_have_css("background-color", "rgb(17, 17, 17)")
    RESULTS.mkdir(exist_ok=True)
    page.screenshot(path=RESULTS / "map.png")
    page.evaluate(
        "() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})"
    )
    ask.click()
    assert project.progress()["labeled"] == 0
    output.get_by_role("button", name="Yes, label 100 samples as ham").click()
    expect(output.last).to_contain_text("100 labeled", timeout=20_000)
    assert len({text["text"].rsplit(" ", 1)[0] for text in project.samples(status="labeled")}) == 1
    assert project.progress()["by_class"] == {"ham": 100, "spam": 0}
    assert project.undo().json()["count"] == 100
