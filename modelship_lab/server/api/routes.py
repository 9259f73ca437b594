"""Every address of the lab server."""

from importlib import resources
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import PublicStaticFileHandler

from modelship_lab.records.errors import LabError
from modelship_lab.server.api import (
    deployments,
    imports,
    lab,
    labels,
    models,
    projects,
    runs,
    samples,
    snapshots,
)
from modelship_lab.server.api.endpoint import Endpoint, endpoints_of
from modelship_lab.server.api.handler import LabHandler, handlers
from modelship_lab.server.api.live import LiveSocket
from modelship_lab.server.api.openapi import ApiPage, OpenApiDocument, openapi
from modelship_lab.server.api.services import Services

PREFIX = "/mlship"

PUBLIC = frozenset({"health"})
"""Endpoints that need no credential; everything else does, and a test holds the API to it."""


def endpoints() -> list[Endpoint]:
    """All endpoints of the native API."""
    return endpoints_of(deployments, imports, lab, labels, models, projects, runs, samples, snapshots)


def describe(base_url: str) -> dict[str, Any]:
    """The OpenAPI document of the native API."""
    return openapi(endpoints(), f"{base_url.rstrip('/')}{PREFIX}/api", "ModelShip Lab")


def all_routes(services: Services) -> list[tuple[str, type, dict[str, Any]]]:
    """Tornado routes of the whole lab server, relative to Jupyter's base URL."""
    static = Path(str(resources.files("modelship_lab") / "notebook" / "static"))
    return [
        *handlers(endpoints(), f"{PREFIX}/api", services),
        (rf"{PREFIX}/openapi\.json", OpenApiDocument, {"services": services, "describe": describe}),
        (rf"{PREFIX}/docs", ApiPage, {"services": services, "describe": describe}),
        (rf"{PREFIX}/live", LiveSocket, {"services": services}),
        (rf"{PREFIX}/static/(.+)", StaticFiles, {"path": str(static)}),
        (rf"{PREFIX}/.*", UnknownAddress, {"services": services}),
    ]


def unavailable_routes(error: LabError) -> list[tuple[str, type, dict[str, Any]]]:
    """What answers when this server could not open the data directory."""
    return [(rf"{PREFIX}/.*", LabIsElsewhere, {"services": None, "error": error})]


class StaticFiles(PublicStaticFileHandler):
    """The widgets' code: the same for everybody, and nothing of it is secret."""

    def set_extra_headers(self, path: str) -> None:
        if "v" not in self.request.arguments:
            self.set_header("Cache-Control", "no-cache")


class UnknownAddress(LabHandler):
    """An address of ours that does not exist, answered in our error shape."""

    permission = None

    @allow_unauthenticated
    async def get(self) -> None:
        self.send_error(404)

    post = put = patch = delete = get

    def check_xsrf_cookie(self) -> None:
        """Nothing is done here that another site could want."""


class LabIsElsewhere(UnknownAddress):
    """Says which process has the data directory."""

    def initialize(self, services: Any, **settings: Any) -> None:
        super().initialize(services)
        self.error: LabError = settings["error"]

    @allow_unauthenticated
    async def get(self) -> None:
        raise self.error

    post = put = patch = delete = get
