"""The OpenAPI description of declared endpoints, and the page to browse it."""

import types
import typing
from collections.abc import Sequence
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json
from tornado.httputil import url_concat

from modelship_lab.records.errors import Unauthenticated
from modelship_lab.server.api.endpoint import ARROW, Content, Endpoint, FileContent, Table
from modelship_lab.server.api.handler import LabHandler
from modelship_lab.version import __version__

_REF = "#/components/schemas/{model}"

ERROR_SCHEMA = {
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


def openapi(endpoints: Sequence[Endpoint], prefix: str, title: str) -> dict[str, Any]:
    """OpenAPI 3.1 of endpoints served below `prefix`."""
    definitions: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, definitions)
        paths.setdefault(f"{prefix}/{endpoint.path}", {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {**dict(sorted(definitions.items())), "Error": ERROR_SCHEMA},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, definitions: dict[str, Any]) -> dict[str, Any]:
    summary, _, description = (endpoint.function.__doc__ or endpoint.name).partition("\n")
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": summary.strip(),
        "tags": [endpoint.tag],
        "parameters": _parameters(endpoint, definitions),
        "responses": {
            str(endpoint.status): _response(endpoint.response, definitions),
            "default": {
                "description": "What was wrong",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
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
    elif "upload" in endpoint.wanted:
        binary = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": binary}}
    return operation


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


def _response(answer: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The content types of an answer; a union of several kinds has one content type for each."""
    content: dict[str, Any] = {}
    for kind in typing.get_args(answer) if _is_union(answer) else (answer,):
        if kind is Table:
            content[ARROW] = {"schema": {"type": "string", "format": "binary"}}
        elif kind in (Content, FileContent):
            content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        elif kind is not None and kind is not type(None):
            content["application/json"] = {"schema": _schema(TypeAdapter(kind), "serialization", definitions)}
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

    def initialize(self, services: Any, **settings: Any) -> None:
        super().initialize(services)
        self.describe = settings["describe"]

    @allow_unauthenticated  # LabHandler.prepare has the lab's own check
    async def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(to_json(self.describe(self.base_url)))


class ApiPage(OpenApiDocument):
    """A page on which the API is read and tried, drawn by Swagger UI from `openapi.json` beside it."""

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
        static = f"{self.base_url}mlship/static"
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(
            f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ModelShip Lab API</title>
<link rel="stylesheet" href="{static}/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="{static}/swagger-ui-bundle.js"></script>
<script>
const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
SwaggerUIBundle({{
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true,
  requestInterceptor: (request) => {{
    if (xsrf) request.headers["X-XSRFToken"] = xsrf[1];
    return request;
  }},
}});
</script></body></html>
"""
        )
