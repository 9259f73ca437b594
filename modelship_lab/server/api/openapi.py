"""The OpenAPI description of declared endpoints, and the page to browse it."""

import re
import types
import typing
from collections.abc import Sequence
from html import escape
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json
from tornado.httputil import url_concat

from modelship_lab.records.errors import (
    Conflict,
    InsufficientCredits,
    InvalidInput,
    LabError,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    RequestTimeout,
    TimedOut,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from modelship_lab.server.api.dialect import NATIVE, Dialect
from modelship_lab.server.api.endpoint import ARROW, Content, Endpoint, FileContent, Serialized, Table
from modelship_lab.server.api.forms import FORMS
from modelship_lab.server.api.handler import LabHandler
from modelship_lab.server.api.services import Services

_REF = "#/components/schemas/{model}"

_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def openapi(dialect: Dialect, mount: str) -> dict[str, Any]:
    """OpenAPI 3.1 of a dialect whose endpoints are served below `mount`."""
    definitions: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for endpoint in dialect.endpoints:
        operation = _operation(endpoint, dialect, definitions)
        paths.setdefault(f"{mount}/{endpoint.path}", {})[endpoint.method.lower()] = operation
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": dialect.title, "version": dialect.version},
        "paths": paths,
        "components": {
            "schemas": {**dict(sorted(definitions.items())), "Error": dialect.error_schema},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
    if dialect.limits:
        document["info"]["x-rate-limits"] = {
            kind: [f"{limit.requests} in {limit.window}" for limit in limits]
            for kind, limits in dialect.limits.items()
        }
    if dialect.sockets:
        document["x-websockets"] = {
            f"{mount}/{socket.path}": {
                "summary": socket.opening.summary,
                "parameters": _parameters(socket.opening, definitions),
                "security": [{"bearer": []}],
            }
            for socket in dialect.sockets
        }
    return document


def _operation(endpoint: Endpoint, dialect: Dialect, definitions: dict[str, Any]) -> dict[str, Any]:
    _, _, description = (endpoint.function.__doc__ or "").partition("\n")
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": _parameters(endpoint, definitions),
        "responses": {
            str(endpoint.status): _response(endpoint, dialect, definitions),
            **{status: _error_response(text) for status, text in _errors(endpoint, dialect).items()},
        },
    }
    if description.strip():
        operation["description"] = " ".join(description.split())
    if endpoint.permission is not None:
        operation["security"] = [{"bearer": []}]
        operation["x-permission"] = endpoint.permission
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(endpoint.body, "validation", definitions)}},
        }
    elif endpoint.form is not None:
        schema = _schema(TypeAdapter(endpoint.form), "validation", definitions)
        operation["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": schema} for kind in FORMS},
        }
    elif "upload" in endpoint.wanted:
        binary = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": binary}}
    return operation


def _errors(endpoint: Endpoint, dialect: Dialect) -> dict[str, str]:
    """What can go wrong, by the status that the dialect's own error table gives it."""
    # Also where no credential is needed: a login can be wrong, a registration closed.
    kinds: list[type[LabError]] = [
        *(InvalidInput, Unauthenticated, PermissionDenied, NotFound, TooManyRequests, LabError, Unavailable)
    ]
    if endpoint.method != "GET":
        kinds += [Conflict, PayloadTooLarge, RequestTimeout, UnsupportedMediaType]
    if endpoint.cost:
        kinds += [InsufficientCredits, TimedOut]
    found: dict[str, list[str]] = {}
    for kind in kinds:
        status, _, _ = dialect.error(kind("An error."), "")
        found.setdefault(str(status), []).append(_WORDS.sub(" ", kind.__name__))
    return {status: ", ".join(names) for status, names in sorted(found.items())}


def _error_response(text: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _parameters(endpoint: Endpoint, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    if not endpoint.parameters.model_fields:
        return []
    # A schema of its own, whose property schemas become the parameters' schemas.
    schema = endpoint.parameters.model_json_schema(ref_template=_REF)
    definitions.update(schema.get("$defs", {}))
    required = schema.get("required", [])
    found = []
    for name, one in schema["properties"].items():
        in_path = name in endpoint.path_names
        found.append(
            {
                "name": name,
                "in": "path" if in_path else "query",
                "required": in_path or name in required,
                "schema": {key: value for key, value in one.items() if key != "title"},
            }
        )
    return found


def _response(endpoint: Endpoint, dialect: Dialect, definitions: dict[str, Any]) -> dict[str, Any]:
    """The content types of an answer; a union of several kinds has one content type for each."""
    content: dict[str, Any] = {}
    answer = endpoint.response
    binary = {"schema": {"type": "string", "format": "binary"}}
    for kind in typing.get_args(answer) if _is_union(answer) else (answer,):
        if typing.get_origin(kind) is Serialized:
            (kind,) = typing.get_args(kind)
        if kind is Table:
            content[ARROW] = binary
        elif kind in (Content, FileContent):
            content["application/octet-stream"] = binary
        elif endpoint.status != 204 and (kind is not type(None) or dialect.envelope is not None):
            schema = _schema(TypeAdapter(kind), "serialization", definitions)
            content["application/json"] = {"schema": dialect.envelope_schema(schema)}
    return {"description": "Done", **({"content": content} if content else {})}


def _is_union(annotation: Any) -> bool:
    return isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union


def _schema(
    adapter: TypeAdapter[Any],
    mode: typing.Literal["validation", "serialization"],
    definitions: dict[str, Any],
) -> dict[str, Any]:
    kind = adapter._type
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        references, schema = models_json_schema([(kind, mode)], ref_template=_REF)
        definitions.update(schema.get("$defs", {}))
        return dict(references[(kind, mode)])
    schema = adapter.json_schema(mode=mode, ref_template=_REF)
    definitions.update(schema.pop("$defs", {}))
    return schema


class OpenApiDocument(LabHandler):
    """`openapi.json`; for those who may read the lab."""

    def initialize(self, services: Services, dialect: Dialect = NATIVE, **settings: Any) -> None:
        super().initialize(services, dialect)
        self.apis: Sequence[Dialect] = settings["apis"]
        self.root = f"{self.base_url.rstrip('/')}{settings['prefix']}"

    @allow_unauthenticated  # LabHandler.prepare has the lab's own check
    async def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(to_json(openapi(self.dialect, f"{self.root}/{self.dialect.name}")))


class ApiPage(OpenApiDocument):
    """A page on which an API is read and tried, drawn by Swagger UI from its `openapi.json`."""

    async def prepare(self, **settings: Any) -> None:
        try:
            await super().prepare(**settings)
        except Unauthenticated:
            # A person with a browser: Jupyter's own page asks for the credential and comes back here.
            self.redirect(url_concat(self.get_login_url(), {"next": self.request.path}))

    @allow_unauthenticated
    async def get(self) -> None:
        # Reading it sets the cookie that the page's own requests must repeat in a header.
        assert self.xsrf_token
        title = escape(self.dialect.title)
        links = " ".join(
            f'<a href="{self.root}/{api.name}/docs">{escape(api.title)}</a>'
            for api in self.apis
            if api is not self.dialect
        )
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(
            f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} API</title>
<link rel="stylesheet" href="{self.root}/static/swagger-ui.css"></head>
<body><nav>{links}</nav><div id="swagger-ui"></div>
<script src="{self.root}/static/swagger-ui-bundle.js"></script>
<script>
const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
SwaggerUIBundle({{
  url: "{self.root}/{self.dialect.name}/openapi.json", dom_id: "#swagger-ui", deepLinking: true,
  requestInterceptor: (request) => {{
    if (xsrf) request.headers["X-XSRFToken"] = xsrf[1];
    return request;
  }},
}});
</script></body></html>
"""
        )
