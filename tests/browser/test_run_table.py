"""Filter, sort, select, compare, brush and read the difference of code, with mouse and keys in a real JupyterLab."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import RESULTS, JupyterLab
from tests.browser.screens import uncaught_errors

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RUNS = 60
CODE = "model = build(depth={depth})\noptimizer = SGD(lr={lr})\nfit(model, optimizer)\nprint('<img src=x onerror=alert(1)>')\n"


@pytest.fixture(scope="module")
def sweep(jupyter_lab: JupyterLab) -> list[int]:
    """Runs of a sweep: what they were given, how their loss went, and their code."""
    api = jupyter_lab.api
    api.post("projects", json={"name": "sweep"}).raise_for_status()
    ids = []
    for number in range(RUNS):
        rate, depth = 10 ** -(1 + number % 5), 2 * (1 + number % 3)
        params = {"lr": rate, "depth": depth, "optimizer": ["sgd", "adam"][number % 2], "seed": 7}
        new = {"name": f"trial {number}", "project": "sweep", "params": params}
        run = api.post("runs", json=new).raise_for_status().json()["id"]
        loss = 0.2 + abs(3 - (1 + number % 5)) * 0.1 + depth * 0.01 + number * 0.0001
        points = [{"name": "loss", "step": step, "value": loss + 1 / (step + 1)} for step in range(30)]
        api.post(f"runs/{run}/metrics", json={"points": points}).raise_for_status()
        text = CODE.format(depth=depth, lr=rate)
        api.put(f"runs/{run}/artifacts/cell.py", content=text).raise_for_status()
        api.patch(f"runs/{run}", json={"status": "finished", "summary": {"loss": loss}}).raise_for_status()
        ids.append(run)
    return ids


def names(table: Locator) -> list[str]:
    rows = table.locator(".mls-grid-row:not(.mls-grid-coming)")
    return rows.locator(".mls-grid-name .mls-link").all_inner_texts()


def use_theme(page: Page, theme: str) -> None:
    page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    light = json.dumps("Light" in theme)
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", light)
    # Canvases follow the theme when its style sheet is there.
    page.wait_for_timeout(1000)


def test_runs_are_filtered_sorted_selected_and_compared(
    jupyter_lab: JupyterLab, sweep: list[int], page: Page
) -> None:
    lab = jupyter_lab
    errors = uncaught_errors(page)
    RESULTS.mkdir(exist_ok=True)
    lab.write_notebook("runs.ipynb", "%load_ext modelship_lab\n%mlship runs sweep")
    lab.open(page, "runs.ipynb")
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    lab.run_next_cell(page)
    table = page.locator(".jp-OutputArea .mls-run-table")
    count = table.locator(".mls-run-line-above")
    expect(count).to_contain_text("60 runs", timeout=60_000)

    # A mistake is shown where it is, and the rows stay.
    box = table.get_by_role("combobox", name="Filter")
    box.fill("params.lr < 0.02 and statsu == 1")
    box.press("Enter")
    expect(table.locator(".mls-filter-problem")).to_contain_text("status")
    expect(count).to_contain_text("60 runs")

    # Names are completed with the Tab key.
    box.fill("")
    box.press_sequentially("params.l")
    box.press("Tab")
    expect(box).to_have_value("params.lr")
    box.press_sequentially(' < 0.02 and params.optimizer == "adam"')
    box.press("Enter")
    expect(count).to_contain_text("24 runs match")

    # A click sorts, and with the keys one goes through the rows and selects.
    table.get_by_role("columnheader", name=re.compile("^loss")).first.get_by_role("button").click()
    table.get_by_role("columnheader", name=re.compile("^loss")).first.get_by_role("button").click()
    expect(table.locator(".mls-grid-row").first).to_contain_text("trial 27")
    table.locator(".mls-grid").focus()
    for key in ("Home", "Space", "ArrowDown", "Space", "Shift+ArrowDown"):
        page.keyboard.press(key)
    expect(count).to_contain_text("3 runs selected")
    table.scroll_into_view_if_needed()
    page.screenshot(path=str(RESULTS / "run-table-light.png"))
    use_theme(page, "JupyterLab Dark")
    page.screenshot(path=str(RESULTS / "run-table-dark.png"))
    use_theme(page, "JupyterLab Light")

    # A new run comes in by itself.
    new = {"name": "late", "project": "sweep", "params": {"lr": 0.001, "optimizer": "adam"}}
    lab.api.post("runs", json=new).raise_for_status()
    table.locator(".mls-grid").focus()
    page.keyboard.press("End")
    expect(table.locator(".mls-grid-row").last).to_contain_text("late")

    # Brushing an axis leaves the runs that pass it.
    table.get_by_role("tab", name="Parallel coordinates").click()
    axis = table.locator('.mls-axis-track[data-axis="params.lr"]')
    expect(axis).to_be_visible()
    place = axis.bounding_box()
    assert place is not None
    middle = place["x"] + place["width"] / 2
    page.mouse.move(middle, place["y"] + 2)
    page.mouse.down()
    page.mouse.move(middle, place["y"] + place["height"] * 0.3, steps=5)
    page.mouse.up()
    expect(table.locator(".mls-parallel [role=status]")).to_have_text("6 of 25 runs")
    page.screenshot(path=str(RESULTS / "run-parallel-light.png"))
    table.get_by_role("tab", name="Scatter").click()
    expect(table.locator(".mls-importance li").first).to_contain_text("lr")
    page.screenshot(path=str(RESULTS / "run-scatter-light.png"))
    table.get_by_role("tab", name="Table", exact=True).click()

    # What was chosen is there again when the page is loaded anew, without a kernel.
    lab.save(page)
    lab.reload(page)
    expect(table.get_by_role("combobox", name="Filter")).to_have_value(re.compile("adam"), timeout=60_000)
    expect(count).to_contain_text("25 runs match")
    for place in (0, 2):
        table.locator(".mls-grid-row").nth(place).get_by_role("checkbox").click()
    table.get_by_role("button", name="Compare").click()
    comparison = page.locator(".mls-comparison")
    expect(comparison).to_contain_text("2 runs compared", timeout=30_000)
    expect(comparison.locator("canvas").first).to_be_visible(timeout=30_000)
    expect(comparison.locator(".mls-badge")).to_have_count(2, timeout=30_000)
    page.screenshot(path=str(RESULTS / "comparison-curves-light.png"))
    comparison.get_by_role("tab", name="Parameters").click()
    expect(comparison.locator(".mls-differences-table").first).not_to_contain_text("seed")
    comparison.get_by_role("tab", name="Code").click()
    expect(comparison.locator(".mls-diff-added mark").first).to_be_visible()
    page.screenshot(path=str(RESULTS / "comparison-code-light.png"))
    use_theme(page, "JupyterLab Dark")
    page.screenshot(path=str(RESULTS / "comparison-code-dark.png"))
    use_theme(page, "JupyterLab Light")

    assert page.locator(".jp-Notebook .jp-Cell").count() in (cells, cells + 1)
    assert errors == []


def test_selected_runs_are_deleted_when_that_is_confirmed(
    jupyter_lab: JupyterLab, sweep: list[int], page: Page, tmp_path: Path
) -> None:
    api = jupyter_lab.api
    api.post("projects", json={"name": "scrap"}).raise_for_status()
    for number in range(3):
        api.post("runs", json={"name": f"scrap {number}", "project": "scrap"}).raise_for_status()
    page.goto(f"{jupyter_lab.url}lab?token={jupyter_lab.token}&reset")
    page.wait_for_function("() => window.jupyterapp?.commands?.hasCommand('modelship:run-table')")
    page.evaluate(
        "() => void window.jupyterapp.commands.execute('modelship:run-table', { project: 'scrap' })"
    )
    table = page.locator(".mls-run-table")
    expect(table).to_contain_text("3 runs", timeout=30_000)
    table.get_by_role("checkbox", name="Select all runs of the filter").click()
    table.get_by_role("button", name="Tag…").click()
    page.keyboard.type("bin")
    page.keyboard.press("Enter")
    table.get_by_role("button", name="Delete…").click()
    expect(table.get_by_role("region", name="Selected runs")).to_contain_text(
        "Delete 3 runs with all metrics"
    )
    table.get_by_role("button", name="Delete 3 runs").click()
    expect(table).to_contain_text("No runs yet", timeout=30_000)
    assert api.get("runs", params={"project": "scrap"}).json()["total"] == 0
