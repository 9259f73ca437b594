"""An API as one object: its endpoints and sockets, how it words errors and answers, what it limits.

The native API is one, and so is every API of another system that the lab speaks:

    SYSTEM = Dialect(name="system", title="Some System", version="1.0", error=system_error)

    @SYSTEM.endpoint("GET", "projects/{project_id}", permission="read")
    async def read_project(services: Services, caller: Caller, project_id: int) -> SystemProject:
        \"\"\"One project.\"\"\"
        return system_project(services.projects.get(project_id, caller))

It is served below `{base}/mlship/{name}`, with its description at `openapi.json` and a page to
browse that at `docs`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelship_lab.records.errors import LabError
from modelship_lab.records.identity import Permission
from modelship_lab.server.api.endpoint import Endpoint, endpoint
from modelship_lab.server.events.webhook_format import NATIVE_FORMAT, WebhookFormat
from modelship_lab.server.identity.limits import DEFAULT, Limit, Window
from modelship_lab.version import __version__

ErrorTable = Callable[[LabError, str], tuple[int, Any, Mapping[str, str]]]
"""From an error and the request's id to the status, the body and further headers of an answer.

For an `endpoint.InvalidRequest` its `problems` tell what is wrong where.
"""

Envelope = Callable[[Any, Endpoint, str], Any]
"""From what an endpoint returned, the endpoint and the request's id to the body that is sent."""

Schema = dict[str, Any]
"""A JSON schema."""


@dataclass(frozen=True)
class Subscription:
    """What somebody hears through a socket."""

    topics: frozenset[str]
    """Topics of the hub, e.g. `run:12`."""
    say: Callable[[dict[str, Any]], Iterable[Any]]
    """From a message of the hub to the messages that are sent, in this API's words."""
    first: tuple[Any, ...] = ()
    """What is sent before, so that who comes late knows how things are."""


@dataclass(frozen=True)
class Socket:
    """A declared socket: its opening is declared like an endpoint whose answer is a `Subscription`."""

    opening: Endpoint

    @property
    def path(self) -> str:
        return self.opening.path

    @property
    def permission(self) -> Permission | None:
        return self.opening.permission

    @property
    def name(self) -> str:
        return self.opening.name


def native_error(error: LabError, request_id: str) -> tuple[int, Any, Mapping[str, str]]:
    """The native API's errors: the error's own code and status."""
    body = {
        "error": {"code": error.code, "message": error.message, "details": error.details},
        "request_id": request_id,
    }
    return error.status, body, {}


NATIVE_ERROR_SCHEMA: Schema = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        },
        "request_id": {"type": "string"},
    },
}


def standard_limit_headers(window: Window) -> Mapping[str, str]:
    """`X-RateLimit-*`: how many requests a window has, how many are left, and when (Unix time) it starts anew."""
    return {
        "X-RateLimit-Limit": str(window.limit.requests),
        "X-RateLimit-Remaining": str(window.remaining),
        "X-RateLimit-Reset": str(window.resets_at),
    }


@dataclass(frozen=True)
class Dialect:
    """An API (see the module's docstring)."""

    name: str
    """Also where it is mounted."""
    title: str
    version: str
    error: ErrorTable = native_error
    error_schema: Schema = field(default_factory=lambda: NATIVE_ERROR_SCHEMA)
    """What `error` answers, for the description."""
    envelope: Envelope | None = None
    """None: an answer is sent as it is."""
    envelope_schema: Callable[[Schema], Schema] = lambda answer: answer
    """From the schema of an answer to that of what the envelope makes of it."""
    limits: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    """For each class of endpoints the windows that all hold; `default` is for the rest."""
    limit_headers: Callable[[Window], Mapping[str, str]] = standard_limit_headers
    lenient: bool = False
    """Whether unknown query parameters are ignored."""
    webhooks: WebhookFormat | None = None
    """How its webhooks are told of events; None: it has none."""
    endpoints: list[Endpoint] = field(default_factory=list, compare=False)
    sockets: list[Socket] = field(default_factory=list, compare=False)

    def endpoint(
        self,
        method: str,
        path: str,
        *,
        permission: Permission | None,
        status: int | None = None,
        limit: str = DEFAULT,
        max_body: int | None = None,
        cost: str = "",
    ) -> Callable[[Callable[..., Awaitable[Any]]], Endpoint]:
        """Declare an endpoint of this API; the arguments are those of `endpoint.endpoint`."""

        def declare(function: Callable[..., Awaitable[Any]]) -> Endpoint:
            # Even nothing comes in an envelope.
            enveloped = 200 if self.envelope is not None else None
            declared = endpoint(
                method,
                path,
                permission=permission,
                status=status or enveloped,
                limit=limit,
                max_body=max_body,
                cost=cost,
            )(function)
            self.endpoints.append(declared)
            return declared

        return declare

    def socket(
        self, path: str, *, permission: Permission | None, limit: str = DEFAULT
    ) -> Callable[[Callable[..., Awaitable[Subscription]]], Socket]:
        """Declare a socket: the function below is given what an endpoint's is, and says what is heard there.

        Raised errors refuse the opening, in the API's error shape.
        """

        def declare(function: Callable[..., Awaitable[Subscription]]) -> Socket:
            declared = Socket(endpoint("GET", path, permission=permission, limit=limit)(function))
            self.sockets.append(declared)
            return declared

        return declare

    @property
    def classes(self) -> frozenset[str]:
        """The classes of limits that its endpoints name."""
        return frozenset(one.limit for one in (*self.endpoints, *(one.opening for one in self.sockets)))


NATIVE = Dialect(
    name="api",
    title="ModelShip Lab",
    version=__version__,
    # Who has no credential yet is who may be guessing one.
    limits={"auth": (Limit(30, 60),)},
    webhooks=NATIVE_FORMAT,
)
"""The lab's own API. Its endpoints are declared by `endpoint.endpoint`, module by module; `routes` collects them."""
