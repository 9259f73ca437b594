"""The widgets' Python half: small, silent about the credential, and a way to the lab where there is no other."""

import io
import json
from typing import Any

import pytest
from PIL import Image

from modelship_lab import client
from modelship_lab.notebook import widgets
from tests.conftest import LabServer

if not (widgets._STATIC / "loader.js").exists():
    pytest.skip("the JavaScript is not built", allow_module_level=True)


class Sent(list[tuple[Any, list[bytes]]]):
    """What a widget sends to the browser."""

    def ask(self, widget: widgets.LabWidget, **message: Any) -> tuple[Any, list[bytes]]:
        self.clear()
        widget._handle_custom_msg(message, [])
        assert len(self) == 1
        return self[0]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    messages = Sent()
    monkeypatch.setattr(
        widgets.LabWidget,
        "send",
        lambda self, content, buffers=None: messages.append((content, buffers or [])),
    )
    return messages


def test_traits_name_the_thing_and_carry_no_credential_and_little_code(
    lab: client.Lab, at_lab: LabServer
) -> None:
    shown = [
        widgets.LabelerWidget(lab, project_id=3, order="random"),
        widgets.RunChartWidget(lab, run_ids=[1, 2]),
        widgets.DeploymentWidget(lab, deployment_id=4),
    ]
    states = [widget.get_state() for widget in shown]
    assert [state["view"] for state in states] == ["labeler", "run_chart", "deployment"]
    assert {state["lab_id"] for state in states} == {lab.info.lab_id}
    assert (states[0]["project_id"], states[1]["run_ids"], states[2]["deployment_id"]) == (3, [1, 2], 4)
    saved = json.dumps(states, default=str)
    assert at_lab.token not in saved
    assert max(len(json.dumps(state, default=str)) for state in states) < 6000


def test_messages_reach_the_lab_and_errors_keep_their_shape(lab: client.Lab, sent: Sent) -> None:
    project = lab.new_project("by message", "text_classification", ["a", "b"])
    widget = widgets.LabelerWidget(lab, project_id=project.id)
    answer, _ = sent.ask(widget, id=1, method="GET", path=f"projects/{project.id}/queue?limit=5", body=None)
    assert (answer["id"], answer["status"], answer["body"]["remaining"]) == (1, 200, 0)
    body = {"labels": [{"sample_id": 987654321, "label": "a", "key": "some-key"}]}
    answer, _ = sent.ask(widget, id=2, method="POST", path=f"projects/{project.id}/labels", body=body)
    assert answer["status"] in (404, 422)
    assert answer["body"]["error"]["code"]
    assert answer["body"]["request_id"]
    answer, _ = sent.ask(widget, id=3, method="DELETE", path=f"projects/{project.id}", body=None)
    assert (answer["status"], answer["body"]) == (204, None)


@pytest.mark.parametrize("path", ["../static/widgets.js", "/etc", "http://127.0.0.1:9/x", "a/../../b"])
def test_messages_do_not_leave_the_api(lab: client.Lab, sent: Sent, path: str) -> None:
    widget = widgets.LabelerWidget(lab, project_id=1)
    answer, buffers = sent.ask(widget, id=1, method="GET", path=path, body=None)
    assert answer["status"] >= 400
    assert buffers == []


def test_images_and_the_bundle_come_as_buffers(lab: client.Lab, sent: Sent, tmp_path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (3, 3), (1, 2, 3)).save(file, format="png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "one.png").write_bytes(file.getvalue())
    project = lab.new_project("image message", "image_classification", ["a", "b"])
    project.import_images(tmp_path / "images")
    digest = project.queue().samples[0].image
    widget = widgets.LabelerWidget(lab, project_id=project.id)
    answer, buffers = sent.ask(widget, id=7, method="GET", path=f"blobs/{digest}", body=None)
    assert (answer["id"], answer["status"]) == (7, 200)
    assert buffers == [file.getvalue()]
    answer, buffers = sent.ask(widget, kind="source")
    assert answer == {"kind": "source"}
    assert buffers[0] == (widgets._STATIC / "widgets.js").read_bytes()


def test_an_output_says_what_it_shows_and_has_a_still_picture_of_it(lab: client.Lab) -> None:
    shown = widgets.LabelerWidget(lab, project_id=3, order="random", still="<p>3 of 4</p>")
    data, _ = shown._repr_mimebundle_()
    assert data[widgets.VIEW_TYPE] == {
        "view": "labeler",
        "lab_id": lab.info.lab_id,
        "project_id": 3,
        "order": "random",
    }
    assert data["text/html"] == "<p>3 of 4</p>"
    assert "application/vnd.jupyter.widget-view+json" in data
    data, _ = widgets.RunChartWidget(lab, run_ids=[1])._repr_mimebundle_()
    assert "text/html" not in data
