"""What a screen reader needs, contrast, and the way by keys through every screen of labeling, in Chromium.

Screen readers' needs and contrast are checked by axe-core.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from playwright.sync_api import Page, expect

from tests.browser.screens import show
from tests.browser.test_labeler import picture
from tests.conftest import LabServer
from tests.server.labeling.conftest import LabeledProject, ipc, new_key

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = Path("node_modules/axe-core/axe.min.js")
CHECK = """async (rules) => (await axe.run(".mls", { runOnly: rules })).violations.map(
    ({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)} ${nodes[0].failureSummary}`
)"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

TEXTS = ["Ada met Charles in London.", "The invoice came twice.", "Nothing happened."]
ANN = {"username": "ann-of-screens", "password": "correct horse battery"}
GUIDELINES = "# How to label\n\n- `ham`: wanted\n"


def of_texts(task: str, classes: list[str], suggestion: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"task": task, "classes": classes, "column": {"text": TEXTS}, "suggestion": suggestion, **more}


PROJECTS: dict[str, dict[str, Any]] = {
    "label": of_texts(
        "text_classification",
        ["ham", "spam"],
        {"label": "ham"},
        settings={"guidelines": GUIDELINES, "threshold": 0.9},
    ),
    "labels": of_texts("text_classification", ["bill", "login"], {"labels": ["bill"]}, multilabel=True),
    "spans": of_texts(
        "token_classification", ["PER", "LOC"], {"spans": [{"start": 0, "end": 3, "label": "PER"}]}
    ),
    "boxes": {
        "task": "object_detection",
        "classes": ["cat", "dog"],
        "column": {"image": [picture((40, 40, 200, 200)), picture((90, 40, 300, 200))]},
        "suggestion": {"boxes": [{"x": 0.1, "y": 0.1, "width": 0.4, "height": 0.5, "label": "cat"}]},
    },
    "rows": {
        "task": "tabular_classification",
        "classes": ["stays", "goes"],
        "column": {
            "age": [31, 44, 58],
            "comment": ["none", None, "a comment that is longer than a cell is wide"],
        },
        "suggestion": {"label": "goes"},
    },
}


@pytest.fixture(scope="module")
def projects(lab_server: LabServer) -> dict[str, LabeledProject]:
    made = {}
    for kind, body in PROJECTS.items():
        column, suggestion = body["column"], body["suggestion"]
        new = {name: value for name, value in body.items() if name not in ("column", "suggestion")}
        answer = lab_server.client.post("projects", json={"name": f"read aloud {kind}", **new})
        project = made[kind] = LabeledProject(lab_server.client, answer.raise_for_status().json())
        project.import_file(ipc(pa.table(column)), format="arrow")
        first, *_, last = (one["id"] for one in project.samples())
        project.suggest({"sample_id": first, **suggestion, "confidence": 0.7}).raise_for_status()
        project.save({"sample_id": last, "action": "flag", "note": "ask Ann"}).raise_for_status()
    disagreed_upon(made["label"])
    job = made["label"].client.post(f"{made['label'].path}/jobs", json={"kind": "embeddings"})
    job.raise_for_status()
    return made


def disagreed_upon(project: LabeledProject) -> None:
    """Have the owner and Ann say different things of one sample, which somebody has asked to look at again."""
    client = project.client
    client.patch(
        project.path,
        json={
            "labelers": [
                client.post("accounts", json={**ANN, "permissions": ["read", "label"]})
                .raise_for_status()
                .json()["username"]
            ]
        },
    )
    doubtful = project.samples()[1]["id"]
    project.label(doubtful, "ham")
    token = client.post("auth/login", json=ANN).raise_for_status().json()["access_token"]
    with httpx.Client(base_url=client.base_url, headers={"Authorization": f"Bearer {token}"}) as ann:
        said = {"key": new_key(), "sample_id": doubtful, "label": "spam"}
        ann.post(f"{project.path}/labels", json={"labels": [said]}).raise_for_status()
    asked = {"samples": {"ids": [doubtful]}, "purpose": "review", "detail": "the guidelines have changed"}
    client.post(f"{project.path}/queue/requests", json=asked).raise_for_status()


def press(*keys: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator(".mls-labeler, [role=grid]").first.focus()
        for key in keys:
            page.keyboard.press(key)

    return act


def work_on(source: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.get_by_label("From").select_option(source)
        page.wait_for_selector(".mls-why .mls-badge")

    return act


def jobs(page: Page) -> None:
    page.get_by_role("tab", name="jobs").click()
    page.get_by_role("button", name="Log of").first.click()


SCREENS: list[tuple[str, str, Callable[[Page], None]]] = [
    *[("labeler", kind, press()) for kind in PROJECTS],
    ("labeler", "label", press("?")),
    ("labeler", "label", press("Shift+S")),
    ("labeler", "spans", press("Space")),
    ("labeler", "boxes", press("Space")),
    ("samples", "label", press("Control+a", "2")),
    ("samples", "label", press("Enter")),
    ("samples", "boxes", press("Space")),
    ("samples", "boxes", press("Enter")),
    ("samples", "spans", press("Enter")),
    ("labeler", "label", work_on("adjudication")),
    ("labeler", "label", work_on("review")),
    ("panel", "label", jobs),
]


def test_axe_finds_nothing(lab_server: LabServer, projects: dict[str, LabeledProject], page: Page) -> None:
    found = {}
    for number, (view, kind, act) in enumerate(SCREENS):
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        order = {"order": "sequential"} if view == "labeler" else {}
        show(
            page,
            lab_server.url,
            lab_server.token,
            {"view": view, "project_id": projects[kind].id, "opener": {}, **order},
        )
        page.wait_for_selector(".mls-why-name, .mls-grid-row, .mls-tile, .mls-item")
        act(page)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        # Until what moves has come to rest.
        page.wait_for_timeout(250)
        found[f"{number} {view} {kind}"] = page.evaluate(CHECK, RULES)
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(250)
        found[f"{number} {view} {kind} dark"] = page.evaluate(CHECK, ["wcag2aa"])
    assert {name: problems for name, problems in found.items() if problems} == {}


FOCUSED = """() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    at.dataset.walked = "";
    const { outlineStyle, outlineColor, boxShadow } = getComputedStyle(at);
    let ground = "";
    for (let around = at.parentElement; around && !ground; around = around.parentElement) {
        const color = getComputedStyle(around).backgroundColor;
        if (color.startsWith("rgb(")) ground = color;
    }
    if (!ground) ground = matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)";
    return {
        name: `${at.localName} ${at.getAttribute("aria-label") ?? at.textContent.slice(0, 30)}`,
        ring: outlineStyle === "none" ? boxShadow : outlineColor,
        ground,
    };
}"""
PASSED_OVER = """() => [...document.querySelectorAll(
    ".mls :is(button, input, select, textarea, a[href], summary, [tabindex='0'])"
)].filter((one) => one.checkVisibility() && !one.disabled && !("walked" in one.dataset))
  .map((one) => one.getAttribute("aria-label") ?? one.textContent.slice(0, 30))"""
MOST_STOPS = 60
# The grid itself has keys for these: Space, and Control with A.
BY_KEYS_OF_THE_GRID = re.compile(r"Select (sample \d+|all samples of the filter)")


def contrast(ring: str, ground: str) -> float:
    """The ratio of two colors as WCAG defines it; of a ring that lets something through, 1."""
    found = [re.search(r"rgb\((\d+), (\d+), (\d+)\)", color) for color in (ring, ground)]
    if None in found:
        return 1.0
    lights = []
    for color in found:
        parts = [int(part) / 255 for part in color.groups()]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)


WALKED = [
    ("labeler", "label", press()),
    ("labeler", "boxes", press("Space")),
    ("labeler", "spans", press("Space")),
    ("labeler", "label", press("Shift+S")),
    ("labeler", "label", work_on("adjudication")),
    ("samples", "label", press()),
    ("samples", "boxes", press("Space")),
    ("samples", "label", press("Enter")),
    ("panel", "label", jobs),
]


def test_tab_comes_to_everything_and_shows_where_it_is(
    lab_server: LabServer, projects: dict[str, LabeledProject], page: Page
) -> None:
    wrong = {}
    for number, (view, kind, act) in enumerate(WALKED):
        page.emulate_media(color_scheme=("light", "dark")[number % 2], reduced_motion="reduce")
        order = {"order": "sequential"} if view == "labeler" else {}
        shown = {"view": view, "project_id": projects[kind].id, "opener": {}, **order}
        show(page, lab_server.url, lab_server.token, shown)
        page.wait_for_selector(".mls-why-name, .mls-grid-row, .mls-tile, .mls-item")
        act(page)
        page.wait_for_timeout(250)
        problems = []
        for key in ("Tab", "Shift+Tab"):
            stops = 0
            page.keyboard.press(key)
            while stops < MOST_STOPS and (at := page.evaluate(FOCUSED)) is not None:
                stops += 1
                if contrast(at["ring"], at["ground"]) < 3:
                    problems.append(f"{at['name']} does not show that it has the focus: {at['ring']}")
                page.keyboard.press(key)
            if stops == MOST_STOPS:
                problems.append(f"{key} does not lead out")
        passed_over = [one for one in page.evaluate(PASSED_OVER) if not BY_KEYS_OF_THE_GRID.fullmatch(one)]
        wrong[f"{number} {view} {kind}"] = problems + [f"{one} is not reached" for one in passed_over]
    assert {name: problems for name, problems in wrong.items() if problems} == {}


def test_help_keeps_the_focus_until_it_is_closed(
    lab_server: LabServer, projects: dict[str, LabeledProject], page: Page
) -> None:
    view = {"view": "labeler", "project_id": projects["label"].id}
    show(page, lab_server.url, lab_server.token, view)
    page.wait_for_selector(".mls-why-name")
    press("?")(page)
    close = page.get_by_role("dialog").get_by_role("button", name="Close")
    for key in ("Tab", "Shift+Tab"):
        page.keyboard.press(key)
        expect(close).to_be_focused()
    page.keyboard.press("Escape")
    expect(close).to_have_count(0)
