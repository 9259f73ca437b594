"""Small APIs in the shapes of other systems, and a lab server that speaks them.

Run as a program it is that server, with the options of `mlship serve`.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from modelship_lab.records.errors import (
    Conflict,
    InvalidInput,
    LabError,
    NotFound,
    PermissionDenied,
    RateLimitExceeded,
    StorageFailed,
    Unauthenticated,
)
from modelship_lab.records.tracking import NewRun, WantedRuns
from modelship_lab.records.webhooks import CreatedWebhook, NewWebhook
from modelship_lab.server.api.dialect import Dialect, Subscription
from modelship_lab.server.api.endpoint import Content, Dressed, Endpoint, InvalidRequest, Request
from modelship_lab.server.api.services import Services
from modelship_lab.server.events.webhook_format import WebhookFormat
from modelship_lab.server.identity.limits import Limit
from modelship_lab.server.identity.policy import Caller

RunId = Annotated[int, Dressed("run_")]

MISSED_AT_ONCE = 20
"""Events that this server sends at most to a client that comes back, until it comes once more."""

CODES: dict[type[LabError], tuple[int, str]] = {
    InvalidInput: (422, "VALIDATION_ERROR"),
    Unauthenticated: (401, "AUTHENTICATION_ERROR"),
    PermissionDenied: (403, "AUTHORIZATION_ERROR"),
    NotFound: (404, "RESOURCE_NOT_FOUND"),
    Conflict: (409, "RESOURCE_CONFLICT"),
    LabError: (500, "INTERNAL"),
}


def boxed_error(error: LabError, request_id: str):
    status, code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    if code == "INTERNAL":
        status = error.status
    details: Any = {}
    if isinstance(error, InvalidRequest):
        problem = error.problems[-1]
        details = {"field": str(problem.path[-1]) if problem.path else "", "issue": problem.reason}
    body = {
        "success": False,
        "error": {"code": code, "message": error.message, "details": details},
        "correlation_id": request_id,
        "timestamp": datetime.now(UTC),
    }
    return status, body, {}


def boxed(answer: Any, endpoint: Endpoint, request_id: str):
    return {"success": True, "data": answer, "message": endpoint.summary, "correlation_id": request_id}


BOXED = Dialect(
    name="boxed",
    title="Boxed <API>",
    version="2.0",
    error=boxed_error,
    envelope=boxed,
    envelope_schema=lambda data: {
        "type": "object",
        "required": ["success", "data", "message", "correlation_id"],
        "properties": {
            "success": {"const": True},
            "data": data,
            "message": {"type": "string"},
            "correlation_id": {"type": "string"},
        },
    },
    webhooks=WebhookFormat(
        api="boxed",
        events=frozenset({"thing.changed"}),
        translate=lambda event: (
            ("thing.changed", {"type": "thing.changed", "thing": event.topic.replace(":", "_")})
            if event.type == "run.changed"
            else None
        ),
        sign=lambda secret, message: {
            "X-ModelShip-Signature": hmac.new(secret.encode(), message.body, hashlib.sha256).hexdigest()
        },
        test=lambda topic, author, at: {"type": "webhook.test"},
    ),
    limits={"few": (Limit(3, 60), Limit(1000, 3600)), "crowd": (Limit(100, 3600),)},
)


class Item(BaseModel):
    id: RunId
    name: str


class Items(BaseModel):
    items: tuple[Item, ...]
    page: int
    total: int


class Change(BaseModel):
    parent: RunId | None = None
    name: str = Field(max_length=20)


class Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    count: int = 1
    tags: tuple[str, ...] = ()


@BOXED.endpoint("GET", "", permission=None)
async def root() -> dict[str, str]:
    """Say hello."""
    return {"status": "healthy"}


@BOXED.endpoint("GET", "v1/things/", permission="read")
async def list_things(
    services: Services,
    caller: Caller,
    page: Annotated[int, Field(ge=1, le=1000)] = 1,
    per_page: Annotated[int, Field(ge=1, le=100)] = 20,
) -> Items:
    """Things retrieved."""
    found = await services.runs.page(WantedRuns(), per_page, (page - 1) * per_page, caller)
    items = tuple(Item(id=run.id, name=run.name) for run in found.items)
    return Items(items=items, page=page, total=found.total)


@BOXED.endpoint("POST", "v1/things", permission="train", status=201)
async def create_thing(services: Services, caller: Caller, body: Change) -> Item:
    """Thing created."""
    run = await services.runs.create(NewRun(name=body.name), caller)
    return Item(id=run.id, name=run.name)


@BOXED.endpoint("GET", "v1/things/{thing}", permission="read")
async def read_thing(services: Services, caller: Caller, thing: RunId) -> Item:
    """Thing retrieved."""
    run = await services.runs.get(thing, caller)
    return Item(id=run.id, name=run.name)


@BOXED.endpoint("GET", "v1/things/newest", permission="read")
async def newest_thing() -> str:
    """Newest thing retrieved."""
    return "newest"


@BOXED.endpoint("PUT", "v1/things/{thing}/nothing", permission="train")
async def change_nothing(thing: RunId) -> None:
    """Nothing changed."""


@BOXED.endpoint("POST", "v1/form", permission=None)
async def send_form(form: Fields) -> Fields:
    """Form received."""
    return form


@BOXED.endpoint("GET", "v1/few", permission="read", limit="few")
async def few() -> str:
    """Answered."""
    return "one of few"


@BOXED.endpoint("GET", "v1/crowd", permission=None, limit="crowd")
async def crowd() -> str:
    """Answered."""
    return "one of a crowd"


@BOXED.endpoint("POST", "v1/echo", permission="read")
async def echo(request: Request) -> dict[str, Any]:
    """Echoed."""
    return {"length": len(request.body)}


@BOXED.endpoint("GET", "v1/broken", permission="read")
async def broken() -> str:
    """Never answered."""
    raise RuntimeError("the secret inside")


@BOXED.endpoint("POST", "v1/work/{end}", permission="read", cost="work")
async def work(end: str) -> str:
    """Worked."""
    if end == "conflict":
        raise Conflict("This is done already.")
    if end == "broken":
        raise RuntimeError("the secret inside")
    return end


@BOXED.endpoint("POST", "v1/forwarded/{status}", permission="read", cost="work")
async def forwarded(status: int) -> Content:
    """Another process's answer."""
    return Content(b"{}", "application/json", status)


@BOXED.endpoint("GET", "v1/full", permission="read")
async def full() -> str:
    """Never answered."""
    raise StorageFailed("The disk is full.")


@BOXED.endpoint("POST", "v1/webhooks", permission="write")
async def boxed_webhook(services: Services, caller: Caller, body: NewWebhook) -> CreatedWebhook:
    """Have things told to an address."""
    return await services.webhooks.create(body, caller, api="boxed")


@BOXED.socket("ws/things/{thing}", permission="read")
async def watch_thing(services: Services, caller: Caller, thing: RunId) -> Subscription:
    """What happens to a thing."""
    run = await services.runs.get(thing, caller)
    return Subscription(frozenset({f"run:{run.id}"}), lambda message: [{"thing": run.name, "said": message}])


def fast_error(error: LabError, request_id: str):
    detail: Any = error.message
    if isinstance(error, InvalidRequest):
        detail = [
            {"loc": [problem.place, *problem.path], "msg": problem.reason, "type": problem.type}
            for problem in error.problems
        ]
    elif isinstance(error, Unauthenticated):
        detail = "Could not validate credentials"
    headers = {"X-Slow-Down": "1"} if isinstance(error, RateLimitExceeded) else {}
    return error.status, {"detail": detail}, headers


FAST = Dialect(name="fast", title="Fast", version="1", error=fast_error, lenient=True)


@FAST.endpoint("POST", "items/{number}", permission="train")
async def save_item(number: int, body: Change, q: int = 0) -> dict[str, Any]:
    """Save an item."""
    return {"number": number, "name": body.name, "q": q}


if __name__ == "__main__":
    from modelship_lab.server import dialects
    from modelship_lab.server.__main__ import main
    from modelship_lab.server.api import socket

    socket.PING_INTERVAL_S = 0.5
    socket.MAX_EVENTS = MISSED_AT_ONCE
    dialects.DIALECTS = (*dialects.DIALECTS, BOXED, FAST)
    main()
