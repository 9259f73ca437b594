"""The widgets' Python half: which view of which thing, and answers where the browser cannot reach the lab.

The browser's half is `js/widgets`. In JupyterLab it talks straight to the lab server, so that labels
are saved and charts move while this kernel computes; elsewhere (VS Code, Colab) it asks through the
widget's messages: `{"id", "method", "path", "body"}`, answered by `{"id", "status", "body"}` with
images as a buffer, and `{"kind": "source"}`, answered by the bundle.

Beside the widget an output has the names of what it shows, from which the JupyterLab extension draws
it without this kernel, and HTML for where there is neither.
"""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from modelship_lab.records.errors import LabError, MissingDependency

if TYPE_CHECKING:
    from modelship_lab.client import Lab
    from modelship_lab.records.labeling import QueueOrder, SampleFilter

VIEW_TYPE = "application/vnd.modelship-lab.view+json"
"""What the JupyterLab extension draws: the view's name and its traits."""

_STATIC = Path(str(resources.files("modelship_lab") / "notebook" / "static"))
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


def _code(name: str) -> str:
    """What widgets carry: small constants, so that saved notebooks stay small."""
    try:
        return (_STATIC / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingDependency(
            "The widgets' code is not in this installation. In a source checkout, build it with `npm run build`."
        ) from None


class LabWidget(anywidget.AnyWidget):
    """A view of something in a lab.

    Args:
        lab: the lab; kept in Python, never sent to the browser.
        still: HTML that stands in its place where nothing can draw it, as in a saved notebook elsewhere.
        traits: what the view shows.
    """

    view = traitlets.Unicode().tag(sync=True)
    lab_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, lab: "Lab", *, still: str = "", **traits: Any) -> None:
        if "_esm" not in LabWidget.__dict__:
            LabWidget._esm = _code("loader.js")
        super().__init__(lab_id=lab.info.lab_id, **traits)
        self._lab = lab
        self.still = still
        self.shows = {"view": self.view, "lab_id": self.lab_id, **traits}
        self.on_msg(self._answer)

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return {**data, VIEW_TYPE: self.shows, **({"text/html": self.still} if self.still else {})}, metadata

    def _answer(self, _: Any, message: Any, buffers: list[Any]) -> None:
        if not isinstance(message, dict):
            return
        if message.get("kind") == "source":
            self.send({"kind": "source"}, [(_STATIC / "widgets.js").read_bytes()])
        elif isinstance(message.get("id"), int):
            status, body, images = self._ask(message)
            self.send({"id": message["id"], "status": status, "body": body}, images)

    def _ask(self, message: dict[str, Any]) -> tuple[int, Any, list[bytes]]:
        """Pass one request on to the lab."""
        method, path = str(message.get("method")), str(message.get("path"))
        body = message.get("body")
        try:
            if method not in _METHODS or not _is_inside(path):
                raise LabError(f"{method} {path} is no request of the lab's API.")
            response = self._lab.request(
                method,
                path,
                content=None if body is None else json.dumps(body).encode(),
                headers={} if body is None else {"Content-Type": "application/json"},
                # The kernel is busy for so long; the browser repeats what is worth it.
                patience_s=2.0,
            )
        except LabError as error:
            said = {"code": error.code, "message": error.message, "details": error.details}
            return error.status, {"error": said, "request_id": error.request_id}, []
        if response.status_code == 204:
            return 204, None, []
        if "json" in response.headers.get("Content-Type", ""):
            return response.status_code, response.json(), []
        return response.status_code, None, [response.content]


def _is_inside(path: str) -> bool:
    """Whether a path stays below the API when it is appended to its address."""
    return (
        not path.startswith("/")
        and ":" not in path.split("?")[0]
        and ".." not in path.split("?")[0].split("/")
    )


class MapPage(anywidget.AnyWidget):
    """What a map needs of the page that it stands on: its color in light and dark themes, fingers and keys.

    Args:
        name: what the map shows, for those who do not see it.
    """

    ground = traitlets.Unicode("").tag(sync=True)
    by_keys = traitlets.Bool(False).tag(sync=True)
    """Whether keys are about to draw."""
    name = traitlets.Unicode().tag(sync=True)
    told = traitlets.Unicode().tag(sync=True)
    """What came of it, for those who listen."""

    def __init__(self, name: str) -> None:
        if "_esm" not in MapPage.__dict__:
            MapPage._esm = _code("map_page.js")
        super().__init__(name=name)


class LabelerWidget(LabWidget):
    """Labels the samples of a project."""

    view = traitlets.Unicode("labeler").tag(sync=True)
    project_id = traitlets.Int().tag(sync=True)
    order = traitlets.Unicode("uncertainty").tag(sync=True)

    def __init__(
        self, lab: "Lab", *, project_id: int, order: "QueueOrder" = "uncertainty", still: str = ""
    ) -> None:
        super().__init__(lab, project_id=project_id, order=order, still=still)


class SamplesWidget(LabWidget):
    """Searches, filters, sorts and labels many samples of a project."""

    view = traitlets.Unicode("samples").tag(sync=True)
    project_id = traitlets.Int().tag(sync=True)
    samples = traitlets.Dict().tag(sync=True)
    sort = traitlets.Unicode("id").tag(sync=True)

    def __init__(
        self,
        lab: "Lab",
        *,
        project_id: int,
        samples: "SampleFilter | None" = None,
        sort: str = "id",
        still: str = "",
    ) -> None:
        asked = {} if samples is None else samples.model_dump(mode="json", exclude_defaults=True)
        super().__init__(lab, project_id=project_id, samples=asked, sort=sort, still=still)


class RunChartWidget(LabWidget):
    """Draws the metrics of runs, and the trials of a sweep, while they go on and afterwards."""

    view = traitlets.Unicode("run_chart").tag(sync=True)
    run_ids = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, lab: "Lab", *, run_ids: list[int], still: str = "") -> None:
        super().__init__(lab, run_ids=run_ids, still=still)


class RunTableWidget(LabWidget):
    """Filters, sorts and compares runs."""

    view = traitlets.Unicode("run_table").tag(sync=True)
    project = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    filter = traitlets.Unicode("").tag(sync=True)
    sort = traitlets.List(traitlets.Unicode()).tag(sync=True)
    columns = traitlets.List(traitlets.Unicode(), None, allow_none=True).tag(sync=True)
    limit = traitlets.Int(None, allow_none=True).tag(sync=True)

    def __init__(
        self,
        lab: "Lab",
        *,
        project: str | None,
        filter: str = "",
        sort: Sequence[str] = (),
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        still: str = "",
    ) -> None:
        # The newest first, when nobody has said otherwise.
        asked = {"sort": list(sort) or ["-id"], "columns": None if columns is None else list(columns)}
        super().__init__(lab, project=project, filter=filter, limit=limit, **asked, still=still)


class ComparisonWidget(LabWidget):
    """Shows runs side by side: curves, parameters, code."""

    view = traitlets.Unicode("comparison").tag(sync=True)
    run_ids = traitlets.List(traitlets.Int()).tag(sync=True)
    tab = traitlets.Unicode("curves").tag(sync=True)

    def __init__(self, lab: "Lab", *, run_ids: Sequence[int], tab: str = "curves", still: str = "") -> None:
        super().__init__(lab, run_ids=list(run_ids), tab=tab, still=still)


class DeploymentWidget(LabWidget):
    """Shows requests, errors and latencies of a deployment."""

    view = traitlets.Unicode("deployment").tag(sync=True)
    deployment_id = traitlets.Int().tag(sync=True)

    def __init__(self, lab: "Lab", *, deployment_id: int, still: str = "") -> None:
        super().__init__(lab, deployment_id=deployment_id, still=still)
