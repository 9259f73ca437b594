"""Label with real keys while a training cell runs, watch its chart move, and find everything again.

The notebook, JupyterLab, the kernel, the lab server and Chromium are real. The data are too: reviews
that ship with the quickstart, and scikit-learn's scans of handwritten digits.
"""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import JupyterLab
from tests.browser.screens import uncaught_errors

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REVIEWS = Path(__file__).parents[2] / "notebooks" / "data" / "reviews.csv"
LABELED = 600
"""Reviews that come with their label; the model that suggests the others is trained on them."""

SCREENSHOT = Path(__file__).parents[2] / "test-results" / "jupyterlab.png"

PREPARE = f"""
%load_ext modelship_lab
import io
import polars
from PIL import Image
from sklearn.datasets import load_digits

rows = polars.read_csv("{REVIEWS}").with_row_index()
reviews = rows.select("text", label=polars.when(polars.col("index") < {LABELED}).then("label"))
%mlship new reviews --type text_classification --classes negative,positive
%mlship import reviews reviews --text text --label label

def png(pixels):
    file = io.BytesIO()
    Image.fromarray((pixels * 15.9).astype("uint8")).save(file, "PNG")
    return file.getvalue()

scans = load_digits()
digits = polars.DataFrame({{
    "image": [png(pixels) for pixels in scans.images],
    "label": [str(target) for target in scans.target],
}})
%mlship new digits --type image_classification --classes 0,1,2,3,4,5,6,7,8,9
%mlship import digits digits --image image --label label
"""

SUGGEST = """
run = %mlship train reviews --recipe text-linear --epochs 5 --wait
%mlship suggest reviews {run.id}
"""
LABEL = "%mlship label reviews --order sequential"
TRAIN = "%mlship train digits --recipe image-cnn --epochs 400 --set patience=0"
BUSY = """
import time
for _ in range(600):
    time.sleep(0.1)
"""


def progress(lab: JupyterLab) -> dict:
    return lab.api.get("projects/reviews/progress").json()


def samples(lab: JupyterLab, **filters) -> list[dict]:
    return lab.api.get("projects/reviews/samples", params=filters).json()["items"]


def suggested(lab: JupyterLab) -> bool:
    """Whether the model has suggested labels for the rest."""
    answer = lab.api.get("projects/reviews/samples", params={"limit": 1, "status": "unlabeled"})
    return answer.status_code == 200 and any(sample["suggestion"] for sample in answer.json()["items"])


def test_label_while_training_and_find_it_again(jupyter_lab: JupyterLab, page: Page) -> None:
    lab = jupyter_lab
    lab.write_notebook("loop.ipynb", PREPARE, SUGGEST, LABEL, TRAIN, BUSY)
    lab.open(page, "loop.ipynb")
    errors = uncaught_errors(page)

    lab.run_next_cell(page)
    lab.run_next_cell(page)
    wait_for(lambda: suggested(lab), timeout_s=90)
    total = progress(lab)["total"]
    first = progress(lab)["labeled"]
    assert total > 2000
    assert first > LABELED - 20

    # Show the labeler, train, and keep the kernel busy with a cell that computes for a minute.
    lab.run_next_cell(page)
    lab.run_next_cell(page)
    lab.run_next_cell(page)
    lab.open_output_beside(page, cell=3)
    chart = page.locator(".jp-LinkedOutputView .mls-run")
    labeler = page.locator(".mls-labeler")
    expect(chart.locator("canvas").first).to_be_visible(timeout=60_000)
    expect(labeler.locator(".mls-card-body")).not_to_be_empty(timeout=60_000)
    expect(page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "busy")

    cells = page.locator(".jp-Notebook .jp-Cell").count()

    # Label 20 samples with the keys, while the chart goes on.
    run = lab.api.get("runs", params={"project": "digits"}).json()["items"][0]
    before = drawing(page)
    labeler.scroll_into_view_if_needed()
    labeler.focus()
    pressed = []
    for number in range(20):
        shown = labeler.locator(".mls-card-body").inner_text()
        key = "1" if number % 3 else "2"
        page.keyboard.press(key)
        expect(labeler.locator(".mls-card-body")).not_to_have_text(shown)
        pressed.append((shown, "negative" if key == "1" else "positive"))
    expect(labeler.locator(".mls-save")).to_contain_text("20 saved", timeout=10_000)
    expect(page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "busy")

    labels = lab.api.get("projects/reviews/labels", params={"limit": 100}).json()["items"]
    saved = [label for label in labels if label["source"] == "human"]
    assert len(saved) == 20
    texts = {sample["id"]: sample["text"] for sample in samples(lab, limit=1000, status="labeled")}
    by_text = {squeeze(texts[label["sample_id"]]): label["label"] for label in saved}
    assert by_text == {squeeze(shown): label for shown, label in pressed}
    assert all(label["duration_ms"] is not None for label in saved)

    # No key reached the notebook, where they would have added, cut or pasted cells.
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells

    # Undo brings the last sample back, and labeling it again is one more saved decision.
    page.keyboard.press("u")
    expect(labeler.locator(".mls-card-body")).to_have_text(
        re.compile(re.escape(squeeze(pressed[-1][0])[:40]))
    )
    wait_for(lambda: progress(lab)["labeled"] == first + 19)
    page.keyboard.press("1")
    wait_for(lambda: progress(lab)["labeled"] == first + 20)

    wait_for(lambda: drawing(page) != before)
    wait_for(lambda: "val_accuracy" in lab.api.get(f"runs/{run['id']}/metrics").text, timeout_s=30)
    page.wait_for_timeout(5_000)  # some epochs for the picture
    lab.scroll_to(page, cell=2)
    SCREENSHOT.parent.mkdir(exist_ok=True)
    page.screenshot(path=str(SCREENSHOT))

    # The Stop button ends the run cleanly, although the kernel is busy with another cell.
    chart.get_by_role("button", name="Stop").click()
    wait_for(lambda: lab.api.get(f"runs/{run['id']}").json()["status"] == "stopped", timeout_s=30)
    names = {one["name"] for one in lab.api.get(f"runs/{run['id']}/artifacts").json()["items"]}
    assert "checkpoint.ckpt" in names

    # After a reload of the page everything is drawn again, from the server.
    lab.save(page)
    lab.reload(page)
    expect(page.locator(".mls-labeler .mls-card-body")).not_to_be_empty(timeout=60_000)
    expect(page.locator(".mls-labeler .mls-progress")).to_contain_text(f"{first + 20:,} of {total:,}")
    page.locator(".mls-run").last.scroll_into_view_if_needed()
    expect(page.locator(".mls-run").last).to_contain_text("stopped", timeout=30_000)

    # They do not need the kernel that made them, and labels do not go with it.
    lab.kill_kernels()
    labeler = page.locator(".mls-labeler")
    labeler.focus()
    page.keyboard.press("2")
    expect(labeler.locator(".mls-save")).to_contain_text("1 saved")
    wait_for(lambda: progress(lab)["labeled"] == first + 21)
    lab.shut_kernels_down()
    lab.reload(page)
    expect(page.locator(".mls-labeler .mls-card-body")).not_to_be_empty(timeout=30_000)
    expect(page.locator(".jp-Notebook")).not_to_contain_text("Error displaying widget")
    assert errors == []


def drawing(page: Page) -> str:
    """What the chart's first canvas shows, as an image."""
    return str(page.evaluate("document.querySelector('.jp-LinkedOutputView .mls-run canvas').toDataURL()"))


def squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def wait_for(condition, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
