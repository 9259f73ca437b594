"""Charts in Chromium against a lab server: what they show, what they fetch, and what comes back with the page."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import RESULTS
from tests.browser.screens import show, uncaught_errors
from tests.conftest import LabServer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

POINTS = 200_000
SPIKE, NAN = 77_123, 120_000


@pytest.fixture(scope="module")
def run_id(lab_server: LabServer) -> int:
    """A run with a long loss that has one spike and one value that is no number, and an accuracy in two contexts."""
    run = lab_server.client.post("runs", json={"name": "charted"}).json()["id"]
    steps = np.arange(POINTS)
    loss = 2 * np.exp(-steps / 4e4) + 0.3 + 0.05 * np.random.default_rng(0).standard_normal(POINTS)
    loss[SPIKE], loss[NAN] = 9, np.nan
    log(lab_server, run, "loss", steps, loss)
    for subset in ("train", "val"):
        log(
            lab_server,
            run,
            "accuracy",
            steps[::1000],
            1 - np.exp(-steps[::1000] / 5e4),
            f'{{"subset":"{subset}"}}',
        )
    lab_server.client.patch(f"runs/{run}", json={"status": "finished", "summary": {"accuracy": 0.98}})
    return int(run)


def log(
    server: LabServer, run: int, name: str, steps: np.ndarray, values: np.ndarray, context: str = "{}"
) -> None:
    times = (1_700_000_000_000_000 + steps * 1000).astype("int64")
    table = pa.table(
        {
            "name": pa.array([name] * len(steps)).dictionary_encode(),
            "context": pa.array([context] * len(steps)).dictionary_encode(),
            "step": pa.array(steps, pa.int64()),
            "time": pa.array(times).cast(pa.timestamp("us", tz="UTC")),
            "value": pa.array(values, pa.float64()),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
    content = sink.getvalue().to_pybytes()
    server.client.post(f"runs/{run}/metrics", content=content, headers=headers).raise_for_status()


@pytest.fixture(params=["light", "dark"])
def themed_page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1100, "height": 760}, color_scheme=request.param)
    page = context.new_page()
    yield page
    RESULTS.mkdir(exist_ok=True)
    page.screenshot(path=str(RESULTS / f"charts-{request.param}.png"))
    context.close()


def test_zoom_fetches_points_and_comes_back_with_the_page(
    lab_server: LabServer, run_id: int, themed_page: Page
) -> None:
    page = themed_page
    asked: list[dict[str, list[str]]] = []
    page.on(
        "request",
        lambda request: (
            asked.append(parse_qs(urlsplit(request.url).query)) if "start=" in request.url else None
        ),
    )
    errors = uncaught_errors(page)
    view = {"view": "run_chart", "run_ids": [run_id]}
    show(page, lab_server.url, lab_server.token, view)

    panel = page.get_by_role("region", name="loss")
    expect(panel.locator("canvas")).to_be_visible()
    expect(panel).to_contain_text(re.compile(r"200,000 points as [\d,]+ ranges; zoom for all of them"))
    expect(panel).to_contain_text("1 NaN")
    other = page.get_by_role("region", name="accuracy")
    expect(other).to_contain_text("accuracy · train")
    expect(other).to_contain_text("accuracy · val")
    # The one point in 200,000 that is a spike reaches the top of the plot.
    assert painted(page, top=True) > 0

    # The run's figures come by themselves, above the curves.
    expect(page.locator(".mls-run")).to_contain_text("98.0%")
    # A narrow stretch has few enough points to draw them all; the other panel goes along.
    plot = panel.locator(".u-over").bounding_box()
    assert plot is not None
    middle = plot["y"] + plot["height"] / 2
    page.mouse.move(plot["x"] + plot["width"] * 0.595, middle)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] * 0.61, middle, steps=5)
    page.mouse.up()
    expect(page.get_by_role("button", name="Show everything")).to_be_visible()
    for _ in range(3):
        panel.locator(".mls-plot").press("+")
    expect(panel).not_to_contain_text("zoom for all")
    start, end = (float(asked[-1][name][0]) for name in ("start", "end"))
    assert 0.55 * POINTS < start < end < 0.65 * POINTS
    assert end - start < 2100
    assert {name for one in asked for name in one["names"]} == {"loss", "accuracy"}
    page.mouse.move(plot["x"] + 120, middle)
    expect(panel.locator(".mls-tooltip")).to_contain_text("step 1")

    # The stretch is there again when the page is loaded anew; a key shows everything.
    with page.expect_request(lambda request: "start=" in request.url) as again:
        show(page, lab_server.url, lab_server.token, view)
    assert float(parse_qs(urlsplit(again.value.url).query)["start"][0]) == pytest.approx(start)
    expect(panel.locator("canvas")).to_be_visible()
    expect(panel).not_to_contain_text("zoom for all")
    panel.locator(".mls-plot").press("0")
    expect(panel).to_contain_text("zoom for all")
    assert errors == []


def test_a_chart_out_of_sight_has_no_canvas(lab_server: LabServer, run_id: int, page: Page) -> None:
    show(page, lab_server.url, lab_server.token, {"view": "run_chart", "run_ids": [run_id]})
    canvases = page.locator(".mls-plot canvas")
    expect(canvases).to_have_count(2)
    page.evaluate("document.body.style.paddingTop = '5000px'")
    expect(canvases).to_have_count(0)
    page.evaluate("document.body.style.paddingTop = '0'")
    expect(canvases).to_have_count(2)


def painted(page: Page, *, top: bool) -> int:
    """How many pixels of the first plot's highest part are colored like a curve."""
    return int(
        page.evaluate(
            """(top) => {
                const canvas = document.querySelector(".mls-plot canvas");
                const { width, height } = canvas;
                const context = canvas.getContext("2d");
                const { data } = context.getImageData(width * 0.3, height * (top ? 0.08 : 0.5), width * 0.3, height * 0.12);
                let count = 0;
                for (let at = 0; at < data.length; at += 4) {
                    if (data[at + 3] > 40 && Math.max(data[at], data[at + 1], data[at + 2]) - Math.min(data[at], data[at + 1], data[at + 2]) > 60) count++;
                }
                return count;
            }""",
            top,
        )
    )
