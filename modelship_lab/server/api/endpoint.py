"""The one way to declare an endpoint: a typed function with a method, a path and a permission.

    @endpoint("POST", "projects", permission="write", status=201)
    async def create_project(services: Services, caller: Caller, body: NewProject) -> Project:
        \"\"\"Create a project.\"\"\"
        return await services.projects.create(body, caller)

A parameter is recognized by its name: `services`, `caller` and `request` are handed in, `body` is
the JSON body as the record it is annotated with, `form` the fields of an urlencoded or multipart
form as such a record, `upload` is the body as a file on disk, `query` a record whose fields are
query parameters, a name that stands in the path is taken from there, and everything else is a
query parameter (repeatable when it is a tuple). From this come authentication, authorization, validation with all errors at once, limits, error mapping
and OpenAPI. `endpoint` here is the native API's; the other APIs have one of their own each
(`dialect.Dialect.endpoint`), for the same kind of functions.
"""

import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import pyarrow as pa
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.records.identity import Permission
from modelship_lab.records.labeling import MAX_UPLOAD
from modelship_lab.server.api.forms import form_fields
from modelship_lab.server.identity.limits import DEFAULT

ARROW = "application/vnd.apache.arrow.stream"
JSON_LIMIT = 16 << 20
UPLOAD_LIMIT = MAX_UPLOAD

MAX_INTEGER = (1 << 63) - 1
"""What the database can compare an id with."""

MAX_PAGE = 1000

PageSize = Annotated[int, AfterValidator(lambda limit: min(max(limit, 1), MAX_PAGE))]
"""How many items of a list are wanted; taken as the nearest number from 1 to `MAX_PAGE`."""

Offset = Annotated[int, AfterValidator(lambda offset: max(offset, 0))]
"""How many items of a list are left out before the first one."""

Body = TypeVar("Body", bound=BaseModel)

Place = Literal["path", "query", "body"]
"""Where in a request something is."""

_HANDED_IN = frozenset({"services", "caller", "request", "body", "form", "upload", "query"})

_NOT_DRESSED = "not_dressed"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a request."""

    place: Place
    path: tuple[str | int, ...]
    """The name of the parameter, or the way to the field of the body; empty: all of it."""
    reason: str
    type: str
    """What kind of problem, in pydantic's words: `missing`, `int_parsing`, `extra_forbidden`, ..."""


class InvalidRequest(InvalidInput):
    """A request of which parameters or fields are wrong; `problems` tells where each of them is."""

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(problems)
        details = [
            {"field": ".".join(map(str, problem.path)), "reason": problem.reason} for problem in self.problems
        ]
        first = details[0]
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        where = f"{first['field']}: " if first["field"] else ""
        super().__init__(f"The request is not valid: {where}{first['reason']}{more}.", details)


@dataclass(frozen=True)
class Dressed:
    """How an API writes ids: `Annotated[int, Dressed("dep-")]` reads `dep-12` as 12 and writes it so.

    In a path, what has not this form is nothing that exists; elsewhere it is not valid.
    """

    prefix: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        pattern = f"^{self.prefix}(0|[1-9][0-9]{{0,17}})$"
        text = core_schema.str_schema(
            pattern=pattern, metadata={"pydantic_js_updates": {"examples": [f"{self.prefix}1"]}}
        )
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(self._undress, text),
            python_schema=core_schema.no_info_plain_validator_function(self._read),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: f"{self.prefix}{value}", return_schema=text
            ),
        )

    def _read(self, value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if not isinstance(value, str):
            raise PydanticCustomError(_NOT_DRESSED, "this is no id")
        return self._undress(value)

    def _undress(self, value: str) -> int:
        digits = value.removeprefix(self.prefix)
        if (
            not value.startswith(self.prefix)
            or not digits.isascii()
            or not digits.isdigit()
            or len(digits) > 18
        ):
            raise PydanticCustomError(_NOT_DRESSED, "this is no id")
        return int(digits)


@dataclass(frozen=True)
class Request:
    """What an endpoint may want to know of its request beyond its parameters."""

    headers: Any
    body: bytes
    address: str = ""
    """Where it comes from; what proxies say of that counts only where Jupyter trusts them."""
    id: str = ""

    @property
    def wants_arrow(self) -> bool:
        """Whether the client takes an Arrow IPC stream for an answer."""
        return ARROW in str(self.headers.get("Accept", ""))

    @property
    def content_type(self) -> str:
        """The type of the body, without its parameters."""
        return str(self.headers.get("Content-Type", "")).split(";")[0].strip().lower()

    def json(self, record: type[Body]) -> Body:
        """The body as a record, for endpoints that take other kinds of bodies too.

        Raises:
            InvalidInput: with every wrong field.
        """
        try:
            return record.model_validate_json(self.body or b"{}")
        except ValidationError as error:
            raise InvalidRequest(problems_of(error, "body")) from None


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
class Serialized(Generic[Body]):
    """An answer as a record whose JSON is written already, for those of which making the record takes too long."""

    json: bytes


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
    etag: str = ""
    """What names this very content: with it, parts of the file can be asked for."""
    sandboxed: bool = False
    """Somebody sent it: a browser that shows it must run nothing of it, nor take it for a page of ours."""


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
    query: type[BaseModel] | None
    """The record of those query parameters that the function takes together."""
    body: TypeAdapter[Any] | None
    form: type[BaseModel] | None
    wanted: frozenset[str]
    """Which of `services`, `caller`, `request`, `body`, `form`, `upload`, `query` the function takes."""
    response: Any
    max_body: int
    limit: str
    cost: str

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def tag(self) -> str:
        """What it belongs to in the description: the module that declares it."""
        return self.function.__module__.rsplit(".", 1)[-1]

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return (self.function.__doc__ or self.name).partition("\n")[0].strip()

    def arguments(
        self,
        path: dict[str, str],
        query: dict[str, list[str]],
        content: bytes | None = None,
        content_type: str = "",
        *,
        lenient: bool = False,
    ) -> dict[str, Any]:
        """Validated arguments for the function.

        Args:
            path: what stands in the path, decoded.
            query: all values of each query parameter.
            content: the body.
            content_type: its type with its parameters, as it was sent.
            lenient: leave unknown query parameters alone.

        Raises:
            InvalidRequest: with every wrong parameter and field of the body.
            NotFound: an id in the path has not the form of one.
        """
        raw: dict[str, Any] = {
            **_given(self.parameters, query),
            **{name: path[name] for name in self.path_names},
        }
        problems: list[Problem] = []
        if not lenient:
            problems += [
                Problem("query", (name,), "there is no such parameter", "extra_forbidden")
                for name in query
                if name not in self.parameters.model_fields and name != "token"
            ]
        arguments: dict[str, Any] = {}
        try:
            checked = self.parameters.model_validate(raw)
            arguments = {name: getattr(checked, name) for name in self.parameters.model_fields}
            problems += [
                Problem(self._place(name), (name,), "the number is too large", "less_than_equal")
                for name, value in arguments.items()
                if any(isinstance(one, int) and abs(one) > MAX_INTEGER for one in _each(value))
            ]
            if self.query is not None:
                together = {name: arguments.pop(name) for name in self.query.model_fields}
                given = {name: value for name, value in together.items() if name in raw}
                arguments["query"] = self.query.model_validate(given)
        except ValidationError as error:
            found = problems_of(error, "query")
            problems += [
                Problem(self._place(str(one.path[0])), one.path, one.reason, one.type) for one in found
            ]
        if any(one.place == "path" and one.type == _NOT_DRESSED for one in problems):
            raise NotFound("There is nothing at this address.")
        try:
            if self.body is not None:
                arguments["body"] = self.body.validate_json(content or b"{}")
            elif self.form is not None:
                fields = form_fields(content or b"", content_type)
                # What the record does not know is for the record to refuse or ignore.
                raw = {name: values[-1] for name, values in fields.items()}
                arguments["form"] = self.form.model_validate({**raw, **_given(self.form, fields)})
        except ValidationError as error:
            problems += problems_of(error, "body")
        if problems:
            raise InvalidRequest(problems)
        return arguments

    def _place(self, name: str) -> Place:
        return "path" if name in self.path_names else "query"


def problems_of(error: ValidationError, place: Place) -> list[Problem]:
    """What a validation found; values are left out, they may be secret or huge."""
    return [
        Problem(place, problem["loc"], problem["msg"].removeprefix("Value error, "), problem["type"])
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def endpoint(
    method: str,
    path: str,
    *,
    permission: Permission | None,
    status: int | None = None,
    limit: str = DEFAULT,
    max_body: int | None = None,
    cost: str = "",
) -> Callable[[Callable[..., Awaitable[Any]]], Endpoint]:
    """Declare the function below as the answer to `method` at `path` (see the module's docstring).

    Args:
        path: below the API's mount, without a slash in front; `{name}` is a parameter.
        permission: what the credential must allow; None: none is needed, and `caller` may be None.
        status: of the answer; by default 200, or 204 for a function that returns None.
        limit: the class whose limits its requests count for.
        max_body: bytes; larger bodies are refused.
        cost: the class of cost that an account pays for a request; empty: nothing.
    """

    def declare(function: Callable[..., Awaitable[Any]]) -> Endpoint:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(function, include_extras=True)
        path_names = tuple(part[1:-1] for part in path.split("/") if part.startswith("{"))
        fields: dict[str, Any] = {}
        for name, parameter in signature.parameters.items():
            if name not in _HANDED_IN:
                default = ... if parameter.default is inspect.Parameter.empty else parameter.default
                fields[name] = (hints[name], default)
        query = hints.get("query")
        if query is not None:
            fields |= {name: (info.annotation, info) for name, info in query.model_fields.items()}
        missing = [name for name in path_names if name not in fields]
        if missing:
            raise TypeError(f"{function.__name__} does not take {missing} of its path")
        takes = set(signature.parameters)
        if len(takes & {"body", "form", "upload"}) > 1:
            raise TypeError(f"{function.__name__} takes one kind of body: `body`, `form` or `upload`")
        response = hints.get("return")
        return Endpoint(
            method=method,
            path=path,
            permission=permission,
            status=status or (204 if response is type(None) else 200),
            function=function,
            parameters=create_model(
                f"{function.__name__}_parameters", __config__=ConfigDict(extra="forbid"), **fields
            ),
            path_names=path_names,
            query=query,
            body=TypeAdapter(hints["body"]) if "body" in takes else None,
            form=hints["form"] if "form" in takes else None,
            wanted=frozenset(takes & _HANDED_IN),
            response=response,
            max_body=max_body or (UPLOAD_LIMIT if "upload" in takes else JSON_LIMIT),
            limit=limit,
            cost=cost,
        )

    return declare


def endpoints_of(*modules: types.ModuleType) -> list[Endpoint]:
    """All endpoints that modules declare."""
    return [value for module in modules for value in vars(module).values() if isinstance(value, Endpoint)]


def _given(record: type[BaseModel], values: dict[str, list[str]]) -> dict[str, Any]:
    """What was given for the fields of a record: all values of a tuple, the last one of everything else."""
    return {
        name: values[name] if _is_tuple(info.annotation) else values[name][-1]
        for name, info in record.model_fields.items()
        if name in values
    }


def _is_tuple(annotation: Any) -> bool:
    """Whether it is a tuple, or may be one."""
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        return any(_is_tuple(one) for one in typing.get_args(annotation))
    if origin is Annotated:
        return _is_tuple(typing.get_args(annotation)[0])
    return origin is tuple


def _each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
