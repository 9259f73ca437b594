"""What the real client keeps of a run and a sweep, as Chromium shows it from a real lab server."""

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from playwright.sync_api import Browser, Page, expect

from modelship_lab import client
from tests.browser.conftest import RESULTS
from tests.browser.screens import show, uncaught_errors
from tests.conftest import LabServer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
import matplotlib.pyplot as plt
import numpy as np

figure, axes = plt.subplots(figsize=(3, 3))
axes.imshow(np.eye(10), cmap="Blues")
plt.close(figure)
with lab.start_run("kept", params={"depth": 3}, source=True) as kept:
    for step in range(5):
        kept.log({"loss": float("nan") if step == 3 else 1 / (step + 1)}, step=step)
        kept.log_image("digits/first", np.eye(8) * step / 4, step=step, caption=f"after step {step}")
    kept.log_figure("confusion", figure)
    kept.log_table("mistakes", [{"row": row, "predicted": "<b>seven</b>"} for row in range(60)])
    kept.log_text("remarks", "Most mistakes are between 1 and 8.")

def objective(run, params):
    for step in range(10):
        run.log({"loss": (params["rate"] - 0.02) ** 2 + params["depth"] / 100 + 1 / (step + 1)}, step=step)
    return (params["rate"] - 0.02) ** 2 + params["depth"] / 100

swept = lab.sweep(objective, {"rate": [0.001, 0.01, 0.02, 0.1], "depth": [1, 2, 4]}, name="swept", metric="loss")
"""


@pytest.fixture(scope="module")
def made(lab_server: LabServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The ids of a run with media and of a sweep, both made by a notebook's cell."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    folder = tmp_path_factory.mktemp("spool")
    lab = client.connect(lab_server.url, lab_server.token, data_dir=folder)
    shell.push({"lab": lab})
    shell.run_cell(CELL, store_history=True).raise_error()
    yield {"kept": shell.user_ns["kept"].id, "swept": shell.user_ns["swept"].id}
    lab.close()
    InteractiveShell.clear_instance()


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def themed_page(chromium: Browser, theme: str) -> Iterator[Page]:
    RESULTS.mkdir(exist_ok=True)
    context = chromium.new_context(viewport={"width": 1100, "height": 900}, color_scheme=theme)
    page = context.new_page()
    errors = uncaught_errors(page)
    yield page
    context.close()
    assert errors == []


def test_media_and_source_of_a_run(
    lab_server: LabServer, made: dict[str, int], themed_page: Page, theme: str
) -> None:
    page = themed_page
    show(page, lab_server.url, lab_server.token, {"view": "run_chart", "run_ids": [made["kept"]]})
    expect(page.get_by_role("region", name="loss")).to_contain_text("1 NaN")

    page.get_by_role("tab", name="media").click()
    digit = page.get_by_role("img", name="after step 4")
    expect(digit).to_have_js_property("naturalWidth", 8)
    expect(page.get_by_role("img", name="confusion")).not_to_have_js_property("naturalWidth", 0)
    page.get_by_role("slider", name="Step of digits/first").press("ArrowLeft")
    expect(page.get_by_role("img", name="after step 3")).to_have_js_property("naturalWidth", 8)
    table = page.locator(".mls-media-table")
    expect(table).to_contain_text("1–25 of 60")
    expect(table.get_by_role("cell", name="<b>seven</b>").first).to_be_visible()
    table.get_by_role("button", name="after →").click()
    expect(table).to_contain_text("26–50 of 60")
    expect(page.locator(".mls-media-text")).to_contain_text("between 1 and 8")
    page.screenshot(path=str(RESULTS / f"run-media-{theme}.png"), full_page=True)

    page.get_by_role("tab", name="source").click()
    source = page.locator(".mls-run-source")
    expect(source.locator("details").first).to_contain_text("source/cells.py")
    expect(source).to_contain_text('with lab.start_run("kept"')
    expect(source.locator("dl")).to_contain_text("python")
    # What is read from the left stands there, and long lines are not cut.
    expect(source.locator("dd").first).to_have_css("text-align", "start")
    expect(source.locator("dd").first).to_have_css("white-space", "normal")
    page.screenshot(path=str(RESULTS / f"run-source-{theme}.png"))


def test_a_sweep_and_its_trials(
    lab_server: LabServer, made: dict[str, int], themed_page: Page, theme: str
) -> None:
    page = themed_page
    show(page, lab_server.url, lab_server.token, {"view": "run_chart", "run_ids": [made["swept"]]})
    sweep = page.locator(".mls-sweep")
    expect(sweep).to_contain_text("12 of 12 trials done")
    expect(sweep.locator(".mls-sweep-best")).to_contain_text("0.01")
    lines = sweep.locator(".mls-parallel")
    expect(lines.locator("canvas[data-drawn-ms]")).to_be_visible()
    expect(lines.get_by_role("status")).to_have_text("12 runs")
    page.screenshot(path=str(RESULTS / f"sweep-{theme}.png"), full_page=True)

    # A trial is opened by its row, and the sweep is there again behind it.
    best = sweep.get_by_role("row").nth(1)
    number = best.get_by_role("button").inner_text()
    best.click()
    expect(page.get_by_role("region", name="loss").locator("canvas")).to_be_visible()
    expect(page.locator(".mls-title")).to_contain_text(f"run {number}")
    page.get_by_role("button", name="← back to").click()
    expect(lines.get_by_role("status")).to_have_text("12 runs")

    # What passes a brush is compared in the same place.
    axis = lines.locator('.mls-axis-track[data-axis="params.depth"]').bounding_box()
    assert axis is not None
    middle = axis["x"] + axis["width"] / 2
    page.mouse.move(middle, axis["y"] + axis["height"] - 2)
    page.mouse.down()
    page.mouse.move(middle, axis["y"] + axis["height"] * 0.9, steps=3)
    page.mouse.up()
    expect(lines.get_by_role("status")).to_have_text("4 of 12 runs")
    lines.get_by_role("button", name="Compare 4").click()
    expect(page.locator(".mls-run-list .mls-run-line")).to_have_count(4)
