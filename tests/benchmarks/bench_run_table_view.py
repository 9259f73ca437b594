"""How fast the table of runs is drawn, scrolled and turned into parallel coordinates, in Chromium.

10,000 runs with 100 parameters lie in a real lab server. The limit in the same run is a bare page: the
frames that Chromium draws when an empty box of the same size is scrolled as far in the same time.

Run as `python -m tests.benchmarks.bench_run_table_view [--runs 10000] [--columns 100]`; prints one JSON line.
"""

import argparse
import asyncio
import json
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from playwright.sync_api import Page, sync_playwright

from modelship_lab.server.storage.database import Database, Transaction, now
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.conftest import LabServer, run_server

FRAMES_S = 3.0

MOUNT = """async ({ url, token, view }) => {
    document.body.innerHTML = "<div id='view'></div>";
    const bundle = await import(`${url}mlship/static/widgets.js`);
    const connection = new bundle.HttpConnection(url, token);
    const ask = connection.request.bind(connection);
    connection.request = async (method, path, options) => {
        const answer = await ask(method, path, options);
        if (path === "runs/table") window.answered = performance.now();
        return answer;
    };
    bundle.mount(document.getElementById("view"), connection, "bench", view);
}"""

# From the answer of the server to the frame after the one in which rows stand on the page.
PAINTED = """() => new Promise((resolve) => {
    const look = () => {
        if (document.querySelector(".mls-grid-row .mls-grid-bar")) {
            requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - window.answered)));
        } else requestAnimationFrame(look);
    };
    look();
})"""

SCROLL = """({ selector, seconds }) => new Promise((resolve) => {
    const box = document.querySelector(selector);
    const frames = [];
    let begun = null;
    const step = (now) => {
        begun ??= now;
        frames.push(now);
        if (now - begun > seconds * 1000) {
            const gaps = frames.slice(1).map((at, index) => at - frames[index]).sort((a, b) => a - b);
            resolve({
                frames_per_s: (1000 * gaps.length) / (now - begun),
                p95_gap_ms: gaps[Math.floor(gaps.length * 0.95)],
            });
            return;
        }
        box.scrollTop = ((now - begun) / (seconds * 1000)) * 120000;
        requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
})"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder) / "lab"
        lab.mkdir()
        fill(lab, options.runs, options.columns)
        server = run_server(lab)
        try:
            figures = measure(server, options.columns)
        finally:
            server.stop()
    print(
        json.dumps(
            {"benchmark": "run_table_view", "runs": options.runs, "columns": options.columns, **figures}
        )
    )


def fill(folder: Path, runs: int, columns: int) -> None:
    """Put the runs straight into the lab's file: over HTTP it takes minutes, of which nothing is measured."""
    chance = np.random.default_rng(1)
    moment = now()
    values = chance.random((runs, columns))
    ids = np.arange(1, runs + 1)
    names = [f"p{column}" for column in range(columns)]
    params = [json.dumps(dict(zip(names, row, strict=True))) for row in values.round(6).tolist()]
    stored = pa.table({"id": ids, "name": [f"run {run}" for run in range(runs)], "params": params})
    of_runs = pa.table(
        {
            "run_id": np.repeat(ids, columns),
            "kind": pa.array(["param"] * (runs * columns)),
            "name": pa.array(names * runs),
            "type": pa.array(["number"] * (runs * columns)),
            "number": values.round(6).ravel(),
            "text": pa.array(values.round(6).ravel()).cast(pa.string()),
        }
    )
    database = Database(folder / "lab.duckdb")
    asyncio.run(database.write(lambda transaction: store(transaction, stored, of_runs, moment)))
    database.close()


def store(transaction: Transaction, runs: pa.Table, values: pa.Table, moment: datetime) -> None:
    for name, same in (
        ("recipe", ""),
        ("status", "finished"),
        ("environment", "{}"),
        ("author", "bench"),
        ("started_at", moment),
        ("ended_at", moment),
        ("heartbeat_at", moment),
        ("updated_at", moment),
    ):
        runs = runs.append_column(name, pa.repeat(pa.scalar(same), len(runs)))
    runs = runs.append_column("tags", pa.array([[]] * len(runs), pa.list_(pa.string())))
    transaction.insert("runs", runs)
    transaction.insert("run_values", values)


def measure(server: LabServer, columns: int) -> dict[str, Any]:
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(f"{server.url}mlship/static/widgets.json")
        names = [f"params.p{column}" for column in range(columns)]
        view = {"view": "run_table", "columns": names, "height": "760px"}
        page.evaluate(MOUNT, {"url": server.url, "token": server.token, "view": view})
        figures: dict[str, Any] = {"first_paint_ms": round(page.evaluate(PAINTED), 1)}
        figures["scrolling"] = scrolled(page, ".mls-grid")
        page.get_by_role("tab", name="Parallel coordinates").click()
        drawn = page.locator("canvas[data-drawn-ms]")
        drawn.wait_for(state="attached")
        figures["parallel_coordinates_ms"] = float(drawn.get_attribute("data-drawn-ms") or "nan")
        page.evaluate(
            "document.body.innerHTML = \"<div id='box' style='height:760px;overflow:auto'>"
            "<div style='height:300000px'></div></div>\""
        )
        figures["limit_scrolling"] = scrolled(page, "#box")
        browser.close()
    return figures


def scrolled(page: Page, selector: str) -> dict[str, float]:
    found = page.evaluate(SCROLL, {"selector": selector, "seconds": FRAMES_S})
    return {name: round(value, 1) for name, value in found.items()}


if __name__ == "__main__":
    main()
