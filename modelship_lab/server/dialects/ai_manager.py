"""The API of AI Manager: accounts, projects, runs and metrics, as its documentation has them.

- A status `completed` is `finished` here; a run whose process died (`interrupted`) is told as `failed`, and
  one that is not heard of (`unreachable`) as `running`, which it may be.
- JSON has no word for NaN and infinities: in answers they are null.
- Times are UTC without a zone, e.g. `2023-01-01T00:00:00`.
- The id of a metric point is its place in its run.
- What is not valid is a 400, with the first problem in `detail` and all of them in `errors`.
- There is no refresh, so the token of a login is good for a day.
"""

import asyncio
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict, Field, PlainSerializer

from modelship_lab.records.base import Record, Title, UtcTime, utc_now
from modelship_lab.records.errors import (
    Conflict,
    InvalidInput,
    LabError,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
    RateLimitExceeded,
    Unauthenticated,
)
from modelship_lab.records.identity import Account, Email, Login, NewAccount, Password, Username
from modelship_lab.records.labeling import NewProject, Project, ProjectChange
from modelship_lab.records.metrics import MetricPoint, MetricPoints
from modelship_lab.records.tracking import NewRun, Run, RunChange, WantedRuns
from modelship_lab.server.api.dialect import Dialect, Subscription
from modelship_lab.server.api.endpoint import InvalidRequest, Problem, Request
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.limits import Limit
from modelship_lab.server.identity.policy import Caller

TOKEN_MINUTES = 24 * 60

# Not our 8: the documented program logs in with "pass" and must be able to run. Who guesses is slowed down.
MIN_PASSWORD = 4

MAX_PAGE = 1000
MAX_POINTS = 10_000

_STATUS = {
    "running": "running",
    "unreachable": "running",
    "finished": "completed",
    "failed": "failed",
    "stopped": "stopped",
    "interrupted": "failed",
}
"""From the lab's word to the document's."""

Status = Literal["running", "completed", "failed", "stopped"]
"""The document's words."""

_WORDS: dict[type[LabError], str] = {
    Unauthenticated: "Could not validate credentials",
    PermissionDenied: "Not enough permissions",
    NotFound: "Resource not found",
    MethodNotAllowed: "Method Not Allowed",
}

# What is read and written ------------------------------------------------------------------------


def _printed(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


Time = Annotated[UtcTime, PlainSerializer(_printed, return_type=str)]

MetricName = Annotated[str, Field(min_length=1, max_length=250)]
Value = Annotated[float, Field(strict=True, allow_inf_nan=True)]
"""A number; a text that looks like one is none."""
Step = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]

Skip = Annotated[int, Field(ge=0)]
Most = Annotated[int, Field(ge=0)]


class Body(Record):
    """What a client sends: unknown fields are ignored, as the original does."""

    model_config = ConfigDict(extra="ignore")


class Registration(Body):
    email: Email
    username: Username
    password: Password


class LoginForm(Login):
    model_config = ConfigDict(extra="ignore")


class AccessToken(Record):
    access_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105


class UserOut(Record):
    id: int
    email: str | None
    username: str
    is_active: bool
    is_superuser: bool
    created_at: Time
    updated_at: Time


class ProjectIn(Body):
    name: Title
    description: str | None = Field(default=None, max_length=10_000)
    is_public: bool = False


class ProjectUpdate(Body):
    name: Title | None = None
    description: str | None = Field(default=None, max_length=10_000)
    is_public: bool | None = None


class ProjectOut(Record):
    id: int
    name: str
    description: str
    owner_id: int
    is_public: bool
    created_at: Time
    updated_at: Time


class RunIn(Body):
    name: str = Field(min_length=1, max_length=200)
    config: dict[str, Any] | None = None
    tags: tuple[str, ...] | None = None


class RunUpdate(Body):
    """`config` is merged into what is there; what is left out or null stays as it is."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    status: Status | None = None
    config: dict[str, Any] | None = None
    tags: tuple[str, ...] | None = None
    ended_at: UtcTime | None = None


class RunOut(Record):
    id: int
    name: str
    project_id: int | None
    status: Status
    config: dict[str, Any]
    tags: tuple[str, ...]
    started_at: Time
    ended_at: Time | None
    created_at: Time
    updated_at: Time


class MetricIn(Body):
    name: MetricName
    value: Value
    step: Step = 0


class BatchIn(Body):
    metrics: dict[MetricName, Value] = Field(max_length=MAX_POINTS)
    step: Step = 0


class MetricOut(Record):
    id: int
    run_id: int
    name: str
    value: float | None
    step: int
    timestamp: Time


class HistoryOut(Record):
    name: str
    values: tuple[float | None, ...]
    steps: tuple[int, ...]
    timestamps: tuple[str, ...]


class SummaryOut(Record):
    name: str
    current_value: float | None
    min_value: float | None
    max_value: float | None
    mean_value: float | None
    total_points: int


class Message(Record):
    message: str


# Errors ------------------------------------------------------------------------------------------


def _error(error: LabError, request_id: str) -> tuple[int, Any, Mapping[str, str]]:
    if isinstance(error, InvalidRequest):
        problems = [_problem(one) for one in error.problems]
        where = ".".join(str(part) for part in problems[0]["loc"])
        return 400, {"detail": f"Validation error: {where}: {problems[0]['msg']}", "errors": problems}, {}
    if isinstance(error, (InvalidInput, Conflict)):
        return 400, {"detail": error.message}, {}
    if isinstance(error, RateLimitExceeded):
        return 429, {"detail": f"Rate limit exceeded. {error.message}"}, {}
    if error.status == 500:
        return 500, {"detail": "Internal server error"}, {}
    return error.status, {"detail": _WORDS.get(type(error), error.message)}, {}


def _problem(problem: Problem) -> dict[str, Any]:
    return {"loc": [problem.place, *problem.path], "msg": problem.reason, "type": problem.type}


AI_MANAGER = Dialect(
    name="ai-manager",
    title="AI Manager",
    version="1.0.0",
    error=_error,
    error_schema={
        "type": "object",
        "required": ["detail"],
        "properties": {
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": {"type": "object"}},
        },
    },
    limits={"default": (Limit(100, 60), Limit(1000, 3600))},
    lenient=True,
)

# Accounts ----------------------------------------------------------------------------------------


@AI_MANAGER.endpoint("POST", "auth/register", permission=None)
async def register(
    services: Services, caller: Caller | None, request: Request, body: Registration
) -> UserOut:
    """Register a new user, where registration is open; administrators may everywhere."""
    new = NewAccount(username=body.username, email=body.email, password=body.password)
    made = await services.accounts.create(new, caller, request.address, request.id, min_password=MIN_PASSWORD)
    return _user(made)


@AI_MANAGER.endpoint("POST", "auth/login", permission=None)
async def login(services: Services, request: Request, form: LoginForm) -> AccessToken:
    """Login with a username or email address and get an access token, which is good for a day."""
    tokens = await services.sessions.login(
        form, address=request.address, request_id=request.id, access_minutes=TOKEN_MINUTES
    )
    return AccessToken(access_token=tokens.access_token)


@AI_MANAGER.endpoint("GET", "auth/me", permission="read")
async def me(services: Services, caller: Caller) -> UserOut:
    """Get current user information."""
    return _user(services.accounts.get(caller.account_id))


# Projects ----------------------------------------------------------------------------------------


@AI_MANAGER.endpoint("GET", "projects/", permission="read")
async def list_projects(
    services: Services, caller: Caller, skip: Skip = 0, limit: Most = 100
) -> list[ProjectOut]:
    """List the current user's and public projects, the newest first."""
    page = services.projects.page("", min(limit, MAX_PAGE), skip, caller)
    return [_project(project) for project in page.items]


@AI_MANAGER.endpoint("POST", "projects/", permission="write")
async def create_project(services: Services, caller: Caller, body: ProjectIn) -> ProjectOut:
    """Create a new project."""
    new = NewProject(name=body.name, description=body.description or "", is_public=body.is_public)
    return _project(await services.projects.create(new, caller))


@AI_MANAGER.endpoint("GET", "projects/{project_id}", permission="read")
async def get_project(services: Services, caller: Caller, project_id: int) -> ProjectOut:
    """Get a specific project."""
    return _project(services.projects.get(project_id, caller))


@AI_MANAGER.endpoint("PUT", "projects/{project_id}", permission="write")
async def update_project(
    services: Services, caller: Caller, project_id: int, body: ProjectUpdate
) -> ProjectOut:
    """Update a project; what is left out stays as it is."""
    change = ProjectChange(name=body.name, description=body.description, is_public=body.is_public)
    return _project(await services.projects.change(services.projects.get(project_id, caller), change, caller))


@AI_MANAGER.endpoint("DELETE", "projects/{project_id}", permission="write")
async def delete_project(services: Services, caller: Caller, project_id: int) -> Message:
    """Delete a project with its runs."""
    project = services.projects.get(project_id, caller, "write")
    await services.runs.delete_of_project(project, caller)
    await services.projects.delete(project, caller)
    return Message(message="Project deleted successfully")


# Runs --------------------------------------------------------------------------------------------


@AI_MANAGER.endpoint("GET", "runs/", permission="read")
async def list_runs(
    services: Services, caller: Caller, project_id: int | None = None, skip: Skip = 0, limit: Most = 100
) -> list[RunOut]:
    """List the runs of the current user's and public projects, the newest first."""
    page = await services.runs.page(WantedRuns(project=project_id), min(limit, MAX_PAGE), skip, caller)
    return [_run(run) for run in page.items]


@AI_MANAGER.endpoint("POST", "runs/", permission="train")
async def create_run(services: Services, caller: Caller, project_id: int, body: RunIn) -> RunOut:
    """Create a new run."""
    new = NewRun(name=body.name, project=project_id, params=body.config or {}, tags=body.tags or ())
    return _run(await services.runs.create(new, caller))


@AI_MANAGER.endpoint("GET", "runs/{run_id}", permission="read")
async def get_run(services: Services, caller: Caller, run_id: int) -> RunOut:
    """Get a specific run."""
    return _run(await services.runs.get(run_id, caller))


@AI_MANAGER.endpoint("PUT", "runs/{run_id}", permission="train")
async def update_run(services: Services, caller: Caller, run_id: int, body: RunUpdate) -> RunOut:
    """Update a run; what is left out stays as it is, and `config` is merged into what is there."""
    change = RunChange(
        name=body.name,
        status=None if body.status is None else "finished" if body.status == "completed" else body.status,
        params=body.config,
        tags=body.tags,
        ended_at=body.ended_at,
    )
    return _run(await services.runs.change(run_id, change, caller))


@AI_MANAGER.endpoint("DELETE", "runs/{run_id}", permission="train")
async def delete_run(services: Services, caller: Caller, run_id: int) -> Message:
    """Delete a run with its metrics."""
    await services.runs.delete(run_id, caller)
    return Message(message="Run deleted successfully")


# Metrics -----------------------------------------------------------------------------------------


@AI_MANAGER.endpoint("POST", "metrics/{run_id}", permission="train")
async def log_metric(services: Services, caller: Caller, run_id: int, body: MetricIn) -> MetricOut:
    """Log a single metric."""
    moment = utc_now()
    point = MetricPoint(name=body.name, value=body.value, step=body.step, time=moment)
    logged = await services.metrics.log_points(run_id, MetricPoints(points=(point,)), "", 0, caller, "keep")
    return MetricOut(
        id=logged.first_number,
        run_id=run_id,
        name=body.name,
        value=_finite(body.value),
        step=body.step,
        timestamp=moment,
    )


@AI_MANAGER.endpoint("POST", "metrics/{run_id}/batch", permission="train")
async def log_batch(services: Services, caller: Caller, run_id: int, body: BatchIn) -> Message:
    """Log multiple metrics at once."""
    points = tuple(
        MetricPoint(name=name, value=value, step=body.step) for name, value in body.metrics.items()
    )
    await services.metrics.log_points(run_id, MetricPoints(points=points), "", 0, caller, "keep")
    return Message(message=f"Logged {len(points)} metrics successfully")


@AI_MANAGER.endpoint("GET", "metrics/{run_id}", permission="read")
async def get_metrics(
    services: Services,
    caller: Caller,
    run_id: int,
    metric_name: str | None = None,
    skip: Skip = 0,
    limit: Most = 1000,
) -> list[MetricOut]:
    """Get metrics for a run, in ascending order of their time."""
    points = await services.series.points(run_id, caller, metric_name, min(limit, MAX_POINTS), skip)
    return [
        MetricOut(
            id=point.number,
            run_id=run_id,
            name=point.name,
            value=_finite(point.value),
            step=point.step,
            timestamp=point.time,
        )
        for point in points
    ]


@AI_MANAGER.endpoint("GET", "metrics/{run_id}/history/{metric_name}", permission="read")
async def get_metric_history(services: Services, caller: Caller, run_id: int, metric_name: str) -> HistoryOut:
    """Get metric history for a specific metric: every point of it, in ascending order of their time."""
    table = await services.series.table(run_id, (metric_name,), caller)
    return await asyncio.to_thread(_history, metric_name, table)


@AI_MANAGER.endpoint("GET", "metrics/{run_id}/summary", permission="read")
async def get_metrics_summary(services: Services, caller: Caller, run_id: int) -> list[SummaryOut]:
    """Get summary statistics for all metrics in a run; those of their finite values."""
    page = await services.series.summary(run_id, caller)
    return [
        SummaryOut(
            name=one.name,
            current_value=one.last,
            min_value=one.min,
            max_value=one.max,
            mean_value=one.mean,
            total_points=one.count,
        )
        for one in page.items
    ]


@AI_MANAGER.socket("ws/{run_id}", permission="read")
async def watch_run(services: Services, caller: Caller, run_id: int) -> Subscription:
    """Each metric of a run as it is logged, and each change of the run's status."""
    await services.runs.get(run_id, caller)
    return Subscription(frozenset({f"run:{run_id}"}), lambda message: _spoken(run_id, message))


# In the document's words -------------------------------------------------------------------------


def _user(account: Account) -> UserOut:
    return UserOut(
        id=account.id,
        email=account.email,
        username=account.username,
        is_active=account.is_active,
        is_superuser="admin" in account.permissions,
        created_at=account.created_at,
        updated_at=account.updated_at,
    )


def _project(project: Project) -> ProjectOut:
    return ProjectOut(**project.model_dump(include=set(ProjectOut.model_fields)))


def _run(run: Run) -> RunOut:
    return RunOut(
        id=run.id,
        name=run.name,
        project_id=run.project_id,
        status=_STATUS[run.status],
        config=run.params,
        tags=run.tags,
        started_at=run.started_at,
        ended_at=run.ended_at,
        created_at=run.started_at,
        updated_at=run.updated_at,
    )


def _history(name: str, table: pa.Table) -> HistoryOut:
    table = table.sort_by("time")
    values = table["value"]
    return HistoryOut.model_construct(
        name=name,
        values=tuple(pc.if_else(pc.is_finite(values), values, None).to_pylist()),
        steps=tuple(table["step"].to_pylist()),
        timestamps=tuple(pc.strftime(table["time"], "%Y-%m-%dT%H:%M:%S").to_pylist()),
    )


def _spoken(run_id: int, message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a message of the hub says about a run."""
    if message["type"] == "metrics":
        points = [
            (time, series["name"], step, value)
            for series in message["series"]
            for step, value, time in zip(series["steps"], series["values"], series["times"], strict=True)
        ]
        for time, name, step, value in sorted(points, key=lambda point: point[0]):
            yield {
                "type": "metric",
                "run_id": run_id,
                "name": name,
                "value": value,
                "step": step,
                "timestamp": _printed(datetime.fromtimestamp(time, UTC)),
            }
        if message["gap"]:
            # So many that they are better asked for.
            yield {"type": "gap", "run_id": run_id}
    elif message["type"] == "event":
        event = message["event"]
        if event.type == "run.changed" and "status" in event.payload["changed"]:
            yield {"type": "run", "run_id": run_id, "status": _STATUS[event.payload["status"]]}
        elif event.type == "run.deleted":
            yield {"type": "deleted", "run_id": run_id}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
