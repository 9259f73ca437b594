"""Two people label one project at once, and the server dies under their hands."""

from contextlib import closing
from pathlib import Path

import httpx
import polars
import pytest
from playwright.sync_api import Browser, Locator, expect

from modelship_lab import client
from tests.browser.screens import show
from tests.conftest import LabServer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PASSWORD = "correct horse battery"
TEXTS = 200


def sits_down(chromium: Browser, server: LabServer, token: str, project_id: int) -> Locator:
    """A browser of somebody's own, with the labeler before them."""
    page = chromium.new_context().new_page()
    show(page, server.url, token, {"view": "labeler", "project_id": project_id})
    labeler = page.locator(".mls-labeler")
    expect(labeler.locator(".mls-why-name")).to_contain_text("Sample")
    labeler.focus()
    return labeler


def test_nobody_gets_anothers_sample_and_nothing_is_lost_when_the_server_is_killed(
    start_server, chromium: Browser, tmp_path: Path
) -> None:
    server = start_server(tmp_path)
    with closing(client.connect(server.url, server.token, data_dir=tmp_path / "client")) as lab:
        project = lab.new_project("mails", "text_classification", ["ham", "spam"])
        frame = polars.DataFrame({"text": [f"mail {number}" for number in range(TEXTS)]})
        project.import_frame(frame, text="text")
        lab.users.new("ann", PASSWORD, permissions=["read", "label"])
        project.change(labelers=["ann"])
    login = server.client.post("auth/login", json={"username": "ann", "password": PASSWORD}).json()
    owner = sits_down(chromium, server, server.token, project.id)
    ann = sits_down(chromium, server, login["access_token"], project.id)

    for _ in range(30):
        owner.page.keyboard.press("1")
        ann.page.keyboard.press("2")
    expect(owner.locator(".mls-save")).to_have_text("30 saved", timeout=30_000)
    expect(ann.locator(".mls-save")).to_have_text("30 saved", timeout=30_000)

    port = str(httpx.URL(server.url).port)
    server.kill()
    for _ in range(4):
        owner.page.keyboard.press("2")
        ann.page.keyboard.press("1")
    expect(owner.locator(".mls-save")).to_have_text("30 saved, 4 unsaved", timeout=30_000)
    expect(ann.get_by_role("alert")).to_contain_text("4 unsaved decisions are kept here")

    again = start_server(tmp_path, "--port", port)
    expect(owner.locator(".mls-save")).to_have_text("34 saved", timeout=30_000)
    expect(ann.locator(".mls-save")).to_have_text("34 saved", timeout=30_000)
    labels = again.client.get(f"projects/{project.id}/labels", params={"limit": 200}).json()["items"]
    assert len({one["sample_id"] for one in labels}) == len(labels) == 68
    said = sorted((one["author"], one["label"]) for one in labels)
    assert [said.count(one) for one in (("ann", "spam"), ("ann", "ham"), ("owner", "ham"))] == [30, 4, 30]
    for page in (owner.page, ann.page):
        page.context.close()
