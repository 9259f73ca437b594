"""Charts in Chromium: how soon a metric of a million points is painted, and how smooth a page of live charts stays.

The limit beside the frames is the same page with as many charts at rest. The canvas is drawn without a GPU.

Run as `python -m tests.benchmarks.bench_charts [--points 1000000] [--charts 20] [--seconds 10]`; prints one JSON line.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.screens import show

TOKEN = "benchmark-token"
OPENINGS = 7
UPDATES_A_SECOND = 10

# The first frame after a curve's colors are on the canvas; a message posted in it arrives when it is drawn.
WATCH_PAINT = """() => {
    window.painted = new Promise((resolve) => {
        const look = () => {
            const canvas = document.querySelector(".mls-plot canvas");
            const notes = document.querySelector(".mls-panel-notes")?.textContent;
            if (!canvas || !notes) return requestAnimationFrame(look);
            const channel = new MessageChannel();
            channel.port1.onmessage = () => resolve(performance.now());
            channel.port2.postMessage(null);
        };
        requestAnimationFrame(look);
    });
}"""
SINCE_ASKED = """async () => {
    const painted = await window.painted;
    const answer = performance.getEntriesByType("resource").find(({ name }) => name.includes("/metrics?"));
    return {
        since_mount_ms: painted - performance.getEntriesByName("asked").at(-1).startTime,
        since_request_ms: painted - answer.startTime,
        answer_ms: answer.responseEnd - answer.startTime,
        answer_bytes: answer.encodedBodySize,
    };
}"""
FRAMES = """(duration_ms) => new Promise((resolve) => {
    const gaps = [];
    const start = performance.now();
    let last = start;
    const frame = (now) => {
        gaps.push(now - last);
        last = now;
        if (now - start < duration_ms) requestAnimationFrame(frame);
        else resolve(gaps.slice(1));
    };
    requestAnimationFrame(frame);
})"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--charts", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as tool:
        server = subprocess.Popen(
            [sys.executable, "-m", "modelship_lab.server", "--port", "0", "--data-dir", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "MLSHIP_TOKEN": TOKEN},
        )
        try:
            url = announced(Path(folder) / "server.json")
            api = httpx.Client(
                base_url=f"{url}mlship/api/", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
            )
            browser = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            figures = {
                "benchmark": "charts",
                "points": options.points,
                "first_paint": first_paint(browser, url, api, options.points),
                "charts": options.charts,
                "live": frames(browser, url, api, options.charts, options.seconds, live=True),
                "at_rest": frames(browser, url, api, options.charts, options.seconds / 2, live=False),
            }
            browser.close()
            print(json.dumps(figures))
        finally:
            server.terminate()
            server.wait(20)


def announced(file: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            return str(json.loads(file.read_text())["url"])
        except (OSError, ValueError):
            time.sleep(0.05)
    raise TimeoutError("the lab server did not start")


def first_paint(browser: Browser, url: str, api: httpx.Client, points: int) -> dict[str, float]:
    """Medians over some openings of a run with one long metric, each in a page of its own."""
    run = api.post("runs", json={"name": "long"}).json()["id"]
    random = np.random.default_rng(0)
    for start in range(0, points, 100_000):
        steps = np.arange(start, min(start + 100_000, points))
        table = pa.table(
            {
                "name": pa.array(["loss"] * len(steps)).dictionary_encode(),
                "step": pa.array(steps, pa.int64()),
                "time": pa.array(steps * 1000).cast(pa.timestamp("us", tz="UTC")),
                "value": np.exp(-steps / 2e5) + 0.1 * random.standard_normal(len(steps)),
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
        api.post(
            f"runs/{run}/metrics", content=sink.getvalue().to_pybytes(), headers=headers
        ).raise_for_status()
    api.patch(f"runs/{run}", json={"status": "finished"}).raise_for_status()
    openings = []
    for _ in range(OPENINGS):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{url}mlship/static/widgets.json")
        page.add_init_script(f"({WATCH_PAINT})()")
        show(page, url, TOKEN, {"view": "run_chart", "run_ids": [run]})
        openings.append(page.evaluate(SINCE_ASKED))
        page.close()
    return {name: round(statistics.median(one[name] for one in openings), 1) for name in openings[0]}


def frames(
    browser: Browser, url: str, api: httpx.Client, charts: int, seconds: float, *, live: bool
) -> dict[str, float]:
    """Frames a second of a page with charts of a running run that are all in view."""
    run = api.post("runs", json={"name": "live", "heartbeats": False}).json()["id"]
    done = threading.Event()

    def log(step: int) -> None:
        points = [
            {"name": f"metric_{number}", "value": float(np.sin(step / 20 + number)), "step": step}
            for number in range(charts)
        ]
        api.post(f"runs/{run}/metrics", json={"points": points}).raise_for_status()

    def keep_logging() -> None:
        step = 500
        while not done.wait(1 / UPDATES_A_SECOND):
            log(step)
            step += 1

    for step in range(0, 500, 5):
        log(step)
    page = browser.new_page(viewport={"width": 1920, "height": 1400})
    page.goto(f"{url}mlship/static/widgets.json")
    page.evaluate(
        "(name) => localStorage.setItem(name, JSON.stringify({ at: 1, choices: { size: 'small' } }))",
        f"modelship-lab:charts:screen:{run}",
    )
    show(page, url, TOKEN, {"view": "run_chart", "run_ids": [run]})
    page.wait_for_function(f"document.querySelectorAll('.mls-plot canvas').length === {charts}")
    page.wait_for_timeout(500)
    writer = threading.Thread(target=keep_logging, daemon=True)
    if live:
        writer.start()
    gaps = page.evaluate(FRAMES, seconds * 1000)
    done.set()
    if live:
        writer.join()
    page.close()
    return {
        "frames_per_s": round(1000 * len(gaps) / sum(gaps), 1),
        "p99_frame_ms": round(float(np.percentile(gaps, 99)), 1),
        "longest_frame_ms": round(max(gaps), 1),
    }


if __name__ == "__main__":
    main()
