"""Every address of the lab server."""

from collections.abc import Sequence
from importlib import resources

from jupyter_server.base.handlers import PublicStaticFileHandler

from modelship_lab.records.errors import LabError
from modelship_lab.server.api import (
    accounts,
    artifacts,
    auth,
    deployments,
    exports,
    imports,
    jobs,
    lab,
    labels,
    metrics,
    models,
    projects,
    queue,
    run_table,
    runs,
    samples,
    snapshots,
    tables,
    trainings,
    webhooks,
)
from modelship_lab.server.api import credits as credit_endpoints
from modelship_lab.server.api.dialect import NATIVE, Dialect
from modelship_lab.server.api.dispatch import LabIsElsewhere, Route, UnknownAddress, address, handlers
from modelship_lab.server.api.endpoint import endpoints_of
from modelship_lab.server.api.live import LiveSocket
from modelship_lab.server.api.openapi import ApiPage, OpenApiDocument
from modelship_lab.server.api.services import Services
from modelship_lab.server.api.socket import DialectSocket

PREFIX = "/mlship"

NATIVE.endpoints.extend(
    endpoints_of(
        accounts,
        artifacts,
        auth,
        credit_endpoints,
        deployments,
        exports,
        imports,
        jobs,
        lab,
        labels,
        metrics,
        models,
        projects,
        run_table,
        runs,
        queue,
        samples,
        snapshots,
        tables,
        trainings,
        webhooks,
    )
)


def all_routes(services: Services, dialects: Sequence[Dialect] = ()) -> list[Route]:
    """Tornado routes of the whole lab server, relative to Jupyter's base URL.

    Args:
        dialects: the APIs beside the native one.
    """
    apis = (NATIVE, *dialects)
    return [
        *(route for api in apis for route in dialect_routes(api, apis, services)),
        # The native API's description has a short address of its own.
        *_description(PREFIX, NATIVE, apis, services),
        (rf"{PREFIX}/live", LiveSocket, {"services": services}),
        (rf"{PREFIX}/static/(.+)", StaticFiles, {"path": _static_folder()}),
        (rf"{PREFIX}/.*", UnknownAddress, {"services": services}),
    ]


def dialect_routes(dialect: Dialect, apis: Sequence[Dialect], services: Services) -> list[Route]:
    """Everything below the mount of an API.

    Args:
        apis: all APIs, which its page links to.
    """
    mount = f"{PREFIX}/{dialect.name}"
    return [
        *handlers(dialect, mount, services),
        *sockets(dialect, mount, services),
        *_description(mount, dialect, apis, services),
        (rf"{mount}(?:/.*)?", UnknownAddress, {"services": services, "dialect": dialect}),
    ]


def sockets(dialect: Dialect, mount: str, services: Services) -> list[Route]:
    """The sockets that an API declares."""
    return [
        (
            address(mount, one.path),
            type("DialectSocket", (DialectSocket,), {"socket": one}),
            {"services": services, "dialect": dialect},
        )
        for one in dialect.sockets
    ]


def unavailable_routes(error: LabError) -> list[Route]:
    """What answers when this server could not open the data directory."""
    return [(rf"{PREFIX}/.*", LabIsElsewhere, {"services": None, "error": error})]


def _description(prefix: str, dialect: Dialect, apis: Sequence[Dialect], services: Services) -> list[Route]:
    settings = {"services": services, "dialect": dialect, "prefix": PREFIX, "apis": apis}
    return [
        (rf"{prefix}/openapi\.json", OpenApiDocument, settings),
        (rf"{prefix}/docs", ApiPage, settings),
    ]


def _static_folder() -> str:
    return str(resources.files("modelship_lab") / "notebook" / "static")


class StaticFiles(PublicStaticFileHandler):
    """The widgets' code: the same for everybody, and nothing of it is secret."""

    def set_extra_headers(self, path: str) -> None:
        if "v" not in self.request.arguments:
            self.set_header("Cache-Control", "no-cache")
