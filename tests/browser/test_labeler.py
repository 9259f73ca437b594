"""Labels of every kind, by mouse and by keys alone, in Chromium against a lab server."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, expect

from modelship_lab import client
from tests.browser.conftest import RESULTS
from tests.browser.screens import show
from tests.conftest import LabServer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NEWS = "Ada Lovelace 👩🏽‍💻 met Charles Babbage in London, where the University of London stands."
GUIDELINES = """# How to label
Choose **every** topic that applies:

- `billing`: money
- `login`: accounts and [passwords](https://example.org)

<img src=x onerror="document.title='hacked'">
"""


@pytest.fixture
def lab(lab_server: LabServer, tmp_path: Path) -> Iterator[client.Lab]:
    connected = client.connect(lab_server.url, lab_server.token, data_dir=tmp_path)
    yield connected
    connected.close()


def opened(page: Page, server: LabServer, project: client.ProjectHandle) -> Locator:
    """The labeler of a project, with the focus."""
    show(page, server.url, server.token, {"view": "labeler", "project_id": project.id, "order": "sequential"})
    labeler = page.locator(".mls-labeler")
    expect(labeler.locator(".mls-why-name")).to_contain_text("Sample")
    labeler.focus()
    return labeler


def saved(labeler: Locator, count: int) -> None:
    expect(labeler.locator(".mls-save")).to_have_text(f"{count} saved")


def labeled(server: LabServer, project: client.ProjectHandle) -> list[dict[str, Any]]:
    """The newest decision about each sample, in the order of the samples."""
    items = server.client.get(f"projects/{project.id}/labels", params={"limit": 100}).json()["items"]
    newest = {item["sample_id"]: item for item in reversed(items) if item["action"] != "note"}
    return [newest[sample_id] for sample_id in sorted(newest)]


def pictured(page: Page, name: str) -> None:
    """What it looks like in light and dark, for those who want to see it."""
    RESULTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=str(RESULTS / f"labeler-{name}-{scheme}.png"))


def picture(*boxes: tuple[int, int, int, int]) -> bytes:
    image = Image.new("RGB", (400, 300), "#7d9bb5")
    for number, box in enumerate(boxes):
        ImageDraw.Draw(image).rectangle(box, fill=["#d9c27a", "#8c4f3f"][number % 2])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_sets_of_classes_with_notes_reasons_and_guidelines(
    lab_server: LabServer, lab: client.Lab, page: Page
) -> None:
    settings: dict[str, Any] = {
        "guidelines": GUIDELINES,
        "keys": {"login": "l", "crash": "1"},
        "skip_reasons": ["not English", "spam"],
    }
    classes = ["billing", "login", "crash", "praise"]
    project = lab.new_project(
        "tickets on screen", "text_classification", classes, multilabel=True, settings=settings
    )
    project.import_frame(polars.DataFrame({"text": [f"ticket {number}" for number in range(8)]}), text="text")
    page.set_viewport_size({"width": 1300, "height": 720})
    labeler = opened(page, lab_server, project)

    # The guidelines are text with a form: no tag in them becomes one.
    expect(labeler.locator(".mls-guidelines strong")).to_have_text("every")
    expect(labeler.locator(".mls-guidelines img")).to_have_count(0)

    # The keys of the settings, and the others around them.
    page.keyboard.press("l")
    page.keyboard.press("1")
    expect(labeler.get_by_role("list", name="Chosen classes")).to_contain_text("login")
    pictured(page, "labels")
    page.keyboard.press("Enter")
    # A key again takes its class back.
    for key in ("2", "3", "l", "2", "Enter"):
        page.keyboard.press(key)
    # None applies: that is asked once.
    page.keyboard.press("Enter")
    expect(labeler.get_by_role("status")).to_contain_text("Press Enter again to save that no class applies")
    page.keyboard.press("Enter")
    page.keyboard.press("n")
    page.keyboard.type("ask Ann about it")
    page.keyboard.press("Enter")
    expect(labeler.locator(".mls-note")).to_contain_text("ask Ann about it")
    page.keyboard.press("Shift+S")
    pictured(page, "reasons")
    page.keyboard.press("1")
    saved(labeler, 5)

    *said, skipped = labeled(lab_server, project)
    assert [decision["labels"] for decision in said] == [["crash", "login"], ["login", "praise"], []]
    assert (skipped["action"], skipped["note"]) == ("skip", "not English")

    # Another day: the newest act is a bulk of somebody who is the same person.
    bulk = {
        "action": "label",
        "labels": ["praise"],
        "samples": {"status": ["unlabeled"]},
        "key": "bulk-of-a-test",
    }
    lab_server.client.post(f"projects/{project.id}/labels/bulk", json=bulk).raise_for_status()
    page.reload()
    show(page, lab_server.url, lab_server.token, {"view": "labeler", "project_id": project.id})
    expect(labeler).to_contain_text("Everything is labeled")
    labeler.focus()
    page.keyboard.press("u")
    expect(labeler.get_by_role("status")).to_have_text("4 labels of one act taken back.")
    page.keyboard.press("u")
    expect(labeler.get_by_role("status")).to_have_text("Taken back: skip.")
    expect(labeler.locator(".mls-card")).to_contain_text("ticket 3")


def test_spans_by_mouse_and_by_keys(lab_server: LabServer, lab: client.Lab, page: Page) -> None:
    project = lab.new_project("news on screen", "token_classification", ["person", "place", "organization"])
    project.import_frame(polars.DataFrame({"text": [NEWS, f"{NEWS} Again."]}), text="text")
    page.set_viewport_size({"width": 1000, "height": 640})
    labeler = opened(page, lab_server, project)
    text = labeler.locator(".mls-spans")

    # With the mouse: a class, then text.
    page.keyboard.press("1")
    select(page, "Ada Lovelace")
    select(page, "Charles Babbage")
    # Text, then a class; one within the other.
    page.keyboard.press("Escape")
    select(page, "University of London")
    page.keyboard.press("3")
    select(page, "London", last=True)
    page.keyboard.press("2")
    expect(labeler.get_by_role("list", name="Spans").locator("li")).to_have_count(4)
    pictured(page, "spans")
    page.keyboard.press("Enter")
    saved(labeler, 1)

    # By keys alone: two words, and a third that is first too long and then removed.
    expect(text).to_contain_text("Again.")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("2")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Delete")
    page.keyboard.press("Tab")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    saved(labeler, 2)
    first, second = [decision["spans"] for decision in labeled(lab_server, project)]
    assert {(NEWS[span["start"] : span["end"]], span["label"]) for span in first} == {
        ("Ada Lovelace", "person"),
        ("Charles Babbage", "person"),
        ("University of London", "organization"),
        ("London", "place"),
    }
    assert [(NEWS[span["start"] : span["end"]], span["label"]) for span in second] == [
        ("Ada Lovelace", "organization")
    ]


def select(page: Page, words: str, *, last: bool = False) -> None:
    """Draw the mouse over words of the text on screen."""
    ends = page.evaluate(
        """([words, last]) => {
            const place = document.querySelector(".mls-spans");
            const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
            const text = place.textContent;
            const from = last ? text.lastIndexOf(words) : text.indexOf(words);
            const at = (offset, end) => {
                walker.currentNode = place;
                let before = 0;
                for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                    const within = offset - before;
                    if (end ? within <= node.length : within < node.length) {
                        const range = document.createRange();
                        range.setStart(node, end ? within - 1 : within);
                        range.setEnd(node, end ? within : within + 1);
                        const box = range.getBoundingClientRect();
                        return [end ? box.right - 1 : box.left + 1, box.top + box.height / 2];
                    }
                    before += node.length;
                }
            };
            return [at(from, false), at(from + words.length, true)];
        }""",
        [words, last],
    )
    page.mouse.move(*ends[0])
    page.mouse.down()
    page.mouse.move(*ends[1], steps=4)
    page.mouse.up()
    # The selection is read after the browser has finished it.
    page.evaluate("() => new Promise((resolve) => setTimeout(resolve))")


def test_boxes_by_mouse_and_by_keys(lab_server: LabServer, lab: client.Lab, page: Page) -> None:
    project = lab.new_project("roofs on screen", "object_detection", ["roof", "car"])
    images = [picture((40, 60, 160, 150), (240, 160, 320, 240)), picture((100, 100, 200, 200))]
    project.import_frame(polars.DataFrame({"image": images}), image="image")
    page.set_viewport_size({"width": 1000, "height": 760})
    labeler = opened(page, lab_server, project)
    plane = labeler.locator(".mls-boxes")
    expect(plane).to_be_visible()

    def drag(*ends: tuple[float, float]) -> None:
        area = plane.bounding_box()
        assert area is not None
        (x, y), (to_x, to_y) = [
            (area["x"] + x * area["width"] / 400, area["y"] + y * area["height"] / 300) for x, y in ends
        ]
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(to_x, to_y, steps=3)
        page.mouse.up()

    page.keyboard.press("1")
    drag((40, 60), (160, 150))
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    drag((240, 160), (300, 200))
    # The corner, drawn to where it belongs; then all of it, there and back.
    drag((300, 200), (320, 240))
    drag((280, 200), (290, 210))
    drag((290, 210), (280, 200))
    expect(labeler.locator(".mls-box")).to_have_count(2)
    pictured(page, "boxes")
    # Closer, with the keys and the wheel, and back again.
    page.keyboard.press("+")
    expect(labeler.locator(".mls-zoom-tools")).to_contain_text("140%")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.keyboard.press("0")
    expect(labeler.locator(".mls-zoom-tools")).to_contain_text("100%")
    page.keyboard.press("Enter")
    saved(labeler, 1)

    # By keys alone: two boxes in the middle; one is moved and made larger, the other one removed.
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.keyboard.press("1")
    before = labeler.locator(".mls-box").bounding_box()
    page.keyboard.press("Control+ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Delete")
    after = labeler.locator(".mls-box").bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] == pytest.approx(before["x"] + 12, abs=0.6)
    assert after["height"] == pytest.approx(before["height"] + 1, abs=0.6)
    page.keyboard.press("Enter")
    saved(labeler, 2)

    first, second = [decision["boxes"] for decision in labeled(lab_server, project)]
    assert [box["label"] for box in first] == ["roof", "car"]
    sides = [[box[side] for side in ("x", "y", "width", "height")] for box in first]
    assert sides[0] == pytest.approx([0.1, 0.2, 0.3, 0.3], abs=0.01)
    assert sides[1] == pytest.approx([0.6, 160 / 300, 0.2, 80 / 300], abs=0.015)
    assert len(second) == 1


def test_reviews_and_a_network_that_is_cut(lab_server: LabServer, lab: client.Lab, page: Page) -> None:
    project = lab.new_project("mails on screen", "text_classification", ["ham", "spam"])
    texts = [f"mail {number}" for number in range(30)]
    labels = ["spam", "ham"] + [None] * 28
    project.import_frame(polars.DataFrame({"text": texts, "label": labels}), text="text", label="label")
    asked = {"samples": {"status": ["labeled"]}, "purpose": "review", "detail": "imported"}
    lab_server.client.post(f"projects/{project.id}/queue/requests", json=asked).raise_for_status()
    page.set_viewport_size({"width": 1000, "height": 600})
    labeler = opened(page, lab_server, project)

    # What is asked for comes first, with what counts now; the blank leaves it as it is.
    expect(labeler.get_by_label("From").locator("option")).to_contain_text(
        ["the queue (28)", "labels to review (2)"]
    )
    expect(labeler.locator(".mls-why")).to_contain_text("Review")
    expect(labeler.locator(".mls-suggestion")).to_contain_text("Present label")
    pictured(page, "review")
    page.keyboard.press("Space")
    page.keyboard.press("1")
    saved(labeler, 2)
    expect(labeler.locator(".mls-why")).not_to_contain_text("Review")

    # Nothing is lost while there is no network, not even a note.
    page.context.set_offline(True)
    for key in ("1", "2", "s"):
        page.keyboard.press(key)
    page.keyboard.press("n")
    page.keyboard.type("on the train")
    page.keyboard.press("Enter")
    expect(labeler.locator(".mls-save")).to_have_text("2 saved, 4 unsaved")
    expect(labeler.get_by_role("alert")).to_contain_text("4 unsaved decisions are kept here")
    page.context.set_offline(False)
    saved(labeler, 6)
    expect(labeler.get_by_role("alert")).to_have_count(0)

    decided = [(one["label"], one["action"], one["purpose"]) for one in labeled(lab_server, project)]
    assert decided[1:] == [
        ("ham", "label", "review"),
        ("ham", "label", "label"),
        ("spam", "label", "label"),
        (None, "skip", "label"),
    ]
    assert decided[0][1:] == ("label", "review")
