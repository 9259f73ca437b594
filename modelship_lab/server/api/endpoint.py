"""The one way to declare an endpoint: a typed function with a method, a path and a permission.

    @endpoint("POST", "projects", permission="write", status=201)
    async def create_project(services: Services, caller: Caller, body: NewProject) -> Project:
        \"\"\"Create a project.\"\"\"
        return await services.projects.create(body, caller)

A parameter is recognized by its name: `services`, `caller` and `request` are handed in, `body` is
the JSON body as the record it is annotated with, `upload` is the body as a file on disk, a name
that stands in the path is taken from there, and everything else is a query parameter (repeatable
when it is a tuple). From this come authentication, authorization, validation with all errors at
once, error mapping and OpenAPI.
"""

import inspect
import types
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.identity import Permission

ARROW = "application/vnd.apache.arrow.stream"
JSON_LIMIT = 16 << 20
UPLOAD_LIMIT = 64 << 30

MAX_INTEGER = (1 << 63) - 1
"""What the database can compare an id with."""

Body = TypeVar("Body", bound=BaseModel)

_HANDED_IN = frozenset({"services", "caller", "request", "body", "upload"})


@dataclass(frozen=True)
class Request:
    """What an endpoint may want to know of its request beyond its parameters."""

    headers: Any
    body: bytes

    @property
    def wants_arrow(self) -> bool:
        return ARROW in str(self.headers.get("Accept", ""))

    @property
    def content_type(self) -> str:
        return str(self.headers.get("Content-Type", "")).split(";")[0].strip().lower()

    def json(self, record: type[Body]) -> Body:
        """The body as a record, for endpoints that take other kinds of bodies too.

        Raises:
            InvalidInput: with every wrong field.
        """
        try:
            return record.model_validate_json(self.body or b"{}")
        except ValidationError as error:
            raise invalid_request(details_of(error)) from None


@dataclass(frozen=True)
class Upload:
    """A request body that was written to a temporary file; it is gone after the request unless it was moved."""

    path: Path
    size: int
    content_type: str


@dataclass(frozen=True)
class Table:
    """An answer as an Arrow IPC stream."""

    table: pa.Table


@dataclass(frozen=True)
class Content:
    """An answer as bytes with their type."""

    data: bytes
    content_type: str = "application/octet-stream"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FileContent:
    """An answer as a file, streamed from disk."""

    path: Path
    content_type: str = "application/octet-stream"
    immutable: bool = False
    attachment: str = ""
    """A name for saving it, when a browser should not show it."""
    temporary: bool = False
    """Delete the file when it has been sent."""


@dataclass(frozen=True)
class Endpoint:
    """A declared endpoint."""

    method: str
    path: str
    permission: Permission | None
    """None: no credential is needed."""
    status: int
    function: Callable[..., Awaitable[Any]]
    parameters: type[BaseModel]
    """Path and query parameters."""
    path_names: tuple[str, ...]
    body: TypeAdapter[Any] | None
    wanted: frozenset[str]
    """Which of `services`, `caller`, `request`, `body`, `upload` the function takes."""
    response: Any
    max_body: int

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def tag(self) -> str:
        return self.function.__module__.rsplit(".", 1)[-1]

    def arguments(
        self, path: dict[str, str], query: dict[str, list[str]], body: bytes | None
    ) -> dict[str, Any]:
        """Validated arguments for the function.

        Raises:
            InvalidInput: with every wrong parameter and field of the body in its details.
        """
        raw: dict[str, Any] = {}
        for name, info in self.parameters.model_fields.items():
            if name in self.path_names:
                raw[name] = path[name]
            elif name in query:
                raw[name] = query[name] if _is_tuple(info.annotation) else query[name][-1]
        unknown = [name for name in query if name not in self.parameters.model_fields and name != "token"]
        problems = [{"field": name, "reason": "there is no such parameter"} for name in unknown]
        arguments: dict[str, Any] = {}
        try:
            checked = self.parameters.model_validate(raw)
            arguments = {name: getattr(checked, name) for name in self.parameters.model_fields}
            problems += [
                {"field": name, "reason": "the number is too large"}
                for name, value in arguments.items()
                if any(isinstance(one, int) and abs(one) > MAX_INTEGER for one in _each(value))
            ]
        except ValidationError as error:
            problems += details_of(error)
        if self.body is not None:
            try:
                arguments["body"] = self.body.validate_json(body or b"{}")
            except ValidationError as error:
                problems += details_of(error)
        if problems:
            raise invalid_request(problems)
        return arguments


def invalid_request(problems: list[dict[str, Any]]) -> InvalidInput:
    """The error for a request with these problems, the first of them in its message."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    where = f"{first['field']}: " if first["field"] else ""
    return InvalidInput(f"The request is not valid: {where}{first['reason']}{more}.", problems)


def details_of(error: ValidationError) -> list[dict[str, Any]]:
    """A validation error as details; values are left out, they may be secret or huge."""
    return [
        {
            "field": ".".join(str(part) for part in problem["loc"]),
            "reason": problem["msg"].removeprefix("Value error, "),
        }
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def endpoint(
    method: str, path: str, *, permission: Permission | None, status: int = 200, max_body: int | None = None
) -> Callable[[Callable[..., Awaitable[Any]]], Endpoint]:
    """Declare the function below as the answer to `method` at `path` (see the module's docstring)."""

    def declare(function: Callable[..., Awaitable[Any]]) -> Endpoint:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(function, include_extras=True)
        path_names = tuple(part[1:-1] for part in path.split("/") if part.startswith("{"))
        fields: dict[str, Any] = {}
        for name, parameter in signature.parameters.items():
            if name not in _HANDED_IN:
                default = ... if parameter.default is inspect.Parameter.empty else parameter.default
                fields[name] = (hints[name], default)
        missing = [name for name in path_names if name not in fields]
        if missing:
            raise TypeError(f"{function.__name__} does not take {missing} of its path")
        takes = set(signature.parameters)
        limit = max_body or (UPLOAD_LIMIT if "upload" in takes else JSON_LIMIT)
        return Endpoint(
            method=method,
            path=path,
            permission=permission,
            status=status,
            function=function,
            parameters=create_model(
                f"{function.__name__}_parameters", __config__=ConfigDict(extra="forbid"), **fields
            ),
            path_names=path_names,
            body=TypeAdapter(hints["body"]) if "body" in takes else None,
            wanted=frozenset(takes & _HANDED_IN),
            response=hints.get("return"),
            max_body=limit,
        )

    return declare


def endpoints_of(*modules: types.ModuleType) -> list[Endpoint]:
    """All endpoints that modules declare."""
    return [value for module in modules for value in vars(module).values() if isinstance(value, Endpoint)]


def _is_tuple(annotation: Any) -> bool:
    return typing.get_origin(annotation) is tuple


def _each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
