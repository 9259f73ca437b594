"""The map of samples in a real JupyterLab: what is drawn around by mouse, finger or keys is labeled at once."""

from itertools import pairwise

import httpx
import pyarrow as pa
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import RESULTS, JupyterLab
from tests.browser.test_accessibility import AXE, CHECK, RULES
from tests.server.labeling.conftest import LabeledProject, ipc

pytestmark = [pytest.mark.browser, pytest.mark.slow]

THINGS = ("prize money won", "lunch noon soup")


LEFT = [(0.6, 0.99), (0.6, 0.01), (0.01, 0.01), (0.01, 0.99), (0.6, 0.99)]
"""A way around one of two heaps of points, in parts of the map's width and height: the one at the left."""


@pytest.fixture(scope="module")
def points(jupyter_lab: JupyterLab) -> LabeledProject:
    api: httpx.Client = jupyter_lab.api
    body = {"name": "points", "task": "text_classification", "classes": ["ham", "spam"]}
    project = LabeledProject(api, api.post("projects", json=body).raise_for_status().json())
    texts = [f"{THINGS[number % 2]} {number}" for number in range(200)]
    project.import_file(ipc(pa.table({"text": texts})), format="arrow")
    job = api.post(f"{project.path}/jobs", json={"kind": "embeddings"}).raise_for_status().json()
    assert api.get(f"jobs/{job['id']}", params={"wait_s": 60}).json()["status"] == "finished"
    return project


def open_map(lab: JupyterLab, page: Page) -> tuple[Locator, Locator, list[tuple[float, float]]]:
    """Show the map; returns the cell's output, the picture, and the places of `LEFT` on the page."""
    lab.write_notebook("map.ipynb", "%load_ext modelship_lab\n%mlship map points --by status")
    lab.open(page, "map.ipynb")
    lab.run_next_cell(page)
    output = page.locator(".jp-OutputArea-output")
    canvas = output.locator("canvas").first
    expect(canvas).to_be_visible(timeout=30_000)
    box = canvas.bounding_box()
    assert box is not None
    return output, canvas, [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in LEFT]


def test_what_the_lasso_encloses_is_labeled_after_its_count_was_shown(
    jupyter_lab: JupyterLab, points: LabeledProject, page: Page
) -> None:
    project = points
    output, canvas, places = open_map(jupyter_lab, page)
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


def test_a_finger_and_keys_select_as_the_mouse_does(
    jupyter_lab: JupyterLab, points: LabeledProject, page: Page
) -> None:
    output, canvas, places = open_map(jupyter_lab, page)
    touch = page.context.new_cdp_session(page)

    def finger(kind: str, *at: tuple[float, float]) -> None:
        touching = [{"x": x, "y": y} for x, y in at]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touching})

    half = output.get_by_role("button", name="Label 100 samples as ham")
    for _ in range(10):
        # Until the points are drawn there is nothing to enclose.
        finger("touchStart", places[0])
        for (from_x, from_y), (to_x, to_y) in pairwise(places):
            for part in range(1, 13):
                finger(
                    "touchMove", (from_x + part * (to_x - from_x) / 12, from_y + part * (to_y - from_y) / 12)
                )
                page.wait_for_timeout(15)
        finger("touchEnd")
        page.wait_for_timeout(1000)
        if half.is_visible():
            break
    expect(half).to_be_enabled()

    # The map stands before its buttons, and lets keys go on.
    output.get_by_label("Class").focus()
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if canvas.evaluate("(element) => element === document.activeElement"):
            break
    cross = canvas.locator("xpath=following-sibling::div[@aria-hidden]")
    expect(cross).to_contain_text("Space sets a corner")
    RESULTS.mkdir(exist_ok=True)

    def drag(width: int, height: int, end: str) -> None:
        page.keyboard.press("Space")
        for key, times in (("ArrowRight", width), ("ArrowDown", height)):
            for _ in range(times):
                page.keyboard.press(f"Shift+{key}")
        page.screenshot(path=RESULTS / "map-keys.png")
        page.keyboard.press(end)

    for _ in range(5):
        page.keyboard.press("Shift+ArrowUp")
    told = output.get_by_role("status").filter(has_text="samples selected")
    # From the middle of the upper edge to the lower right corner lies the other heap.
    drag(5, 10, "Space")
    # With Shift what lies in a rectangle is added, with Alt it is dropped.
    for key in ("ArrowLeft", "ArrowUp"):
        for _ in range(10):
            page.keyboard.press(f"Shift+{key}")
    drag(10, 10, "Shift+Space")
    expect(told).to_have_text("200 samples selected")
    for key in ("ArrowLeft", "ArrowUp"):
        for _ in range(10):
            page.keyboard.press(f"Shift+{key}")
    drag(5, 10, "Alt+Enter")
    expect(told).to_have_text("100 samples selected")
    page.keyboard.press("Tab")
    expect(cross).to_be_hidden()
    expect(output.get_by_role("button", name="Label 100 samples as ham")).to_be_enabled()
    assert points.progress()["labeled"] == 0
