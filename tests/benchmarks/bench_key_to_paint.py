"""Time from a key in the labeler to the next paint, in a real JupyterLab in Chromium, while the kernel is busy.

The limit beside it is the same measure for a key that only fills a text box of the page. `--samples` has a project of
so many texts instead of the reviews that come with the notebooks.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import polars
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, running_jupyterlab

REVIEWS = Path(__file__).parents[2] / "notebooks" / "data" / "reviews.csv"
KEYS = 40

# A paint follows the frame callback; a message posted in it arrives when the frame is drawn.
WATCH_KEYS = """() => {
    window.paints = [];
    addEventListener("keydown", (event) => {
        requestAnimationFrame(() => {
            const channel = new MessageChannel();
            channel.port1.onmessage = () => window.paints.push(performance.now() - event.timeStamp);
            channel.port2.postMessage(null);
        });
    }, true);
}"""


def texts(folder: Path, samples: int) -> Path:
    """A file of so many texts, each another."""
    numbers = polars.int_range(samples, eager=True)
    path = folder / "texts.parquet"
    words = (
        "You won prize "
        + numbers.cast(polars.String)
        + ", call now. "
        + (numbers * 7919 % 1009).cast(polars.String)
    )
    polars.DataFrame({"text": words}).write_parquet(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int)
    samples = parser.parse_args().samples
    with (
        tempfile.TemporaryDirectory() as folder,
        running_jupyterlab(Path(folder)) as lab,
        sync_playwright() as tool,
    ):
        source = texts(Path(folder), samples) if samples else REVIEWS
        lab.write_notebook(
            "label.ipynb",
            "%load_ext modelship_lab\n"
            "%mlship new reviews --type text_classification --classes negative,positive\n"
            f"%mlship import reviews {source} --text text\n"
            "%mlship label reviews",
            "while True: pass",
        )
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        lab.open(page, "label.ipynb")
        lab.run_next_cell(page)
        lab.run_next_cell(page)
        labeler = page.locator(".mls-labeler")
        page.wait_for_selector(".mls-labeler .mls-card-body:not(:empty)", timeout=60_000)
        page.evaluate(WATCH_KEYS)
        labeler.focus()
        figures = {"labeler": press(page, "1")}
        page.evaluate(
            "document.body.insertAdjacentHTML('beforeend', '<input id=limit style=position:fixed;top:0>')"
        )
        page.locator("#limit").focus()
        figures["text_box"] = press(page, "1")
        browser.close()
    print(json.dumps({"benchmark": "key_to_paint", "kernel": "busy", "keys": KEYS, **figures}))


def press(page: Page, key: str) -> dict[str, float]:
    """Press a key again and again; milliseconds to the paint after each."""
    page.evaluate("window.paints.length = 0")
    for _ in range(KEYS):
        page.keyboard.press(key)
        page.wait_for_timeout(100)
    paints = page.evaluate("window.paints")
    p95 = statistics.quantiles(paints, n=20)[-1]
    figures = {"p50_ms": statistics.median(paints), "p95_ms": p95, "max_ms": max(paints)}
    return {name: round(value, 1) for name, value in figures.items()}


if __name__ == "__main__":
    main()
