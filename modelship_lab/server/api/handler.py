"""From a declared endpoint to Tornado: who calls, what they send, what goes back."""

import asyncio
import hmac
import os
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import User
from jupyter_server.base.handlers import JupyterHandler
from pydantic import BaseModel
from pydantic_core import to_json
from tornado import web
from tornado.iostream import StreamClosedError

from modelship_lab.records.errors import (
    InvalidInput,
    LabError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    Unauthenticated,
)
from modelship_lab.records.identity import Permission
from modelship_lab.server.api.endpoint import (
    ARROW,
    Content,
    Endpoint,
    FileContent,
    Request,
    Table,
    Upload,
)
from modelship_lab.server.identity.policy import OWNER, Caller
from modelship_lab.server.storage.data_dir import as_storage_failed

_CHUNK = 1 << 20

DRAIN_LIMIT = 32 << 20
"""A refused request's body is read to its end up to this many bytes; a longer one costs the connection."""

ANSWERED = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class LabHandler(JupyterHandler):
    """Lets in who may, and answers every error in the lab's one shape, with the id that the log has too."""

    permission: Permission | None = "read"
    """What a caller must be allowed to do; None lets everybody in."""

    def initialize(self, services: Any, **_: Any) -> None:
        self.services = services
        self.request_id = uuid.uuid4().hex[:16]

    def set_default_headers(self) -> None:
        # Without Jupyter's content security policy report and its HTML content type.
        self.set_header("X-Content-Type-Options", "nosniff")

    async def prepare(self, **settings: Any) -> None:
        """The one place where a request's credential is asked for.

        Raises:
            Unauthenticated: there is no valid credential.
            PermissionDenied: it may not do this.
        """
        if self.permission is not None:
            self._accept_lab_token()
        # Finds out who it is (cookie, token, JupyterHub) and checks XSRF for cookies.
        await super().prepare(**settings)
        if self.permission is not None:
            if self.caller is None:
                raise Unauthenticated(
                    "No valid credential: send 'Authorization: Bearer <token>', or log in to Jupyter."
                )
            self.caller.require(self.permission)

    def _accept_lab_token(self) -> None:
        """Accept `Authorization: Bearer <lab token>`, or `?token=`, before Jupyter's own identity is asked.

        The user is set where Jupyter looks for one that is already known. The request counts as
        authenticated by token: it carries its credential itself, so no other site can have forged
        it and XSRF does not apply.
        """
        offered = self.identity_provider.get_token(self) or ""
        if offered and hmac.compare_digest(offered.encode(), self.services.token.encode()):
            self._jupyter_current_user = User(username=OWNER.name)
            self._token_authenticated = True

    @property
    def caller(self) -> Caller | None:
        return OWNER if self.current_user is not None else None

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        body = as_lab_error(error, status_code)
        if body.status >= 500 and not (isinstance(error, LabError) and error.__cause__ is None):
            # Not for what the lab says on purpose, e.g. that a deployment is still starting.
            self.log.error("Request %s failed", self.request_id, exc_info=kwargs.get("exc_info"))
        self.set_status(body.status)
        self.set_header("X-Request-ID", self.request_id)
        self.set_header("Content-Type", "application/json")
        if isinstance(body, Unauthenticated):
            self.set_header("WWW-Authenticate", "Bearer")
        self.finish(
            to_json(
                {
                    "error": {"code": body.code, "message": body.message, "details": body.details},
                    "request_id": self.request_id,
                }
            )
        )

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Nothing here: `write_error` logs what is the server's fault, with the request's id."""


def as_lab_error(error: BaseException | None, status: int) -> LabError:
    """Any error as one of the tree; what is not meant for the caller becomes a plain sentence."""
    if isinstance(error, LabError):
        return error
    if isinstance(error, OSError) and (full := as_storage_failed(error)) is not None:
        return full
    if isinstance(error, web.HTTPError):
        status = error.status_code
    if status == 404:
        return NotFound("There is nothing at this address.")
    if status == 403:
        return PermissionDenied(
            "The request was refused: reload the page to get a new XSRF cookie, or send a bearer token."
        )
    if status == 413:
        return PayloadTooLarge("The request is larger than this endpoint takes.")
    if 400 <= status < 500:
        return InvalidInput("The request is not understood.")
    return LabError("The lab server met an error of its own; its log names this request's id.")


@web.stream_request_body
class EndpointHandler(LabHandler):
    """Serves all methods of one path. One subclass is made for each path of the API."""

    endpoints: dict[str, Endpoint]

    SUPPORTED_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

    async def prepare(self, **settings: Any) -> None:
        self._body = bytearray()
        self._file: Any = None
        self._received = 0
        self._refusal: LabError | web.HTTPError | OSError | None = None
        self.set_header("X-Request-ID", self.request_id)
        length = int(self.request.headers.get("Content-Length") or 0)
        try:
            await self._admit(length)
        except (LabError, web.HTTPError, OSError) as refusal:
            if length > DRAIN_LIMIT or self.request.method not in ANSWERED:
                raise
            # Answered before its body is read, a request ends with a broken connection at the client.
            self._refusal = refusal
            self.request.connection.set_max_body_size(DRAIN_LIMIT)  # type: ignore[union-attr]

    async def _admit(self, length: int) -> None:
        endpoint = self.endpoints.get(self.request.method or "")
        if endpoint is None:
            self.set_header("Allow", ", ".join(sorted(self.endpoints)))
            raise MethodNotAllowed(f"This address does not take {self.request.method}.")
        self.endpoint = endpoint
        self.permission = endpoint.permission
        await super().prepare()
        if length > endpoint.max_body:
            raise PayloadTooLarge(f"The body has {length} bytes; at most {endpoint.max_body} are taken here.")
        # Tornado's own limit is for bodies that are held in memory; ours is kept in data_received.
        self.request.connection.set_max_body_size(endpoint.max_body)  # type: ignore[union-attr]
        if "upload" in endpoint.wanted:
            # Closed, and removed if it was not moved, in on_finish.
            self._file = tempfile.NamedTemporaryFile(dir=self.services.data_dir.uploads, delete=False)  # noqa: SIM115

    async def data_received(self, chunk: bytes) -> None:
        if self._refusal is not None:
            return
        self._received += len(chunk)
        if self._received > self.endpoint.max_body:
            raise PayloadTooLarge(f"The body has more than the {self.endpoint.max_body} bytes taken here.")
        if self._file is not None:
            try:
                await asyncio.to_thread(self._file.write, chunk)
            except ValueError:
                # The client went away while this was written, and the file was closed.
                return
            except OSError as error:
                self._refusal = error
                # The room is for others while the rest of the body is read.
                self._remove_file()
        else:
            self._body += chunk

    async def _answer(self, **path: str) -> None:
        if self._refusal is not None:
            raise self._refusal
        endpoint = self.endpoint
        query: dict[str, list[str]] = defaultdict(list)
        for name, values in self.request.query_arguments.items():
            query[name] = [value.decode("utf-8", "replace") for value in values]
        body = bytes(self._body)
        arguments = endpoint.arguments(
            # Decoded by Tornado: a second time would make another name of one with a percent sign.
            path,
            query,
            body if endpoint.body else None,
        )
        if "services" in endpoint.wanted:
            arguments["services"] = self.services
        if "caller" in endpoint.wanted:
            arguments["caller"] = self.caller
        if "request" in endpoint.wanted:
            arguments["request"] = Request(self.request.headers, body)
        if self._file is not None:
            await asyncio.to_thread(self._file.close)
            arguments["upload"] = Upload(
                Path(self._file.name), self._received, self.request.headers.get("Content-Type", "")
            )
        result = await endpoint.function(**arguments)
        await self._send(result)

    get = post = put = patch = delete = allow_unauthenticated(_answer)

    async def _send(self, result: Any) -> None:
        self.set_status(self.endpoint.status)
        if result is None:
            self.set_status(204)
            self.clear_header("Content-Type")
        elif isinstance(result, Table):
            self.set_header("Content-Type", ARROW)
            buffer = await asyncio.to_thread(_ipc_stream, result.table)
            await self._send_buffer(memoryview(buffer))
        elif isinstance(result, Content):
            self.set_status(result.status)
            self.set_header("Content-Type", result.content_type)
            for name, value in result.headers.items():
                self.set_header(name, value)
            self.write(result.data)
        elif isinstance(result, FileContent):
            await self._send_file(result)
        elif isinstance(result, BaseModel):
            self.set_header("Content-Type", "application/json")
            self.write(result.model_dump_json().encode())
        else:
            self.set_header("Content-Type", "application/json")
            self.write(to_json(result))
        if not self._finished:
            self.finish()

    async def _send_buffer(self, data: memoryview) -> None:
        self.set_header("Content-Length", str(len(data)))
        for start in range(0, len(data), _CHUNK):
            self.write(bytes(data[start : start + _CHUNK]))
            await self.flush()

    async def _send_file(self, content: FileContent) -> None:
        self.set_header("Content-Type", content.content_type)
        self.set_header("Content-Length", str(content.path.stat().st_size))
        if content.attachment:
            name = quote(content.attachment, safe="")
            self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{name}")
        if content.immutable:
            self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        try:
            with content.path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, _CHUNK):
                    self.write(chunk)
                    await self.flush()
        except StreamClosedError:
            self.log.debug("The client of request %s went away", self.request_id)
        finally:
            if content.temporary:
                content.path.unlink(missing_ok=True)

    def on_finish(self) -> None:
        self._remove_file()
        super().on_finish()

    def on_connection_close(self) -> None:
        self._remove_file()
        super().on_connection_close()

    def _remove_file(self) -> None:
        """Remove the upload, unless it was moved."""
        if getattr(self, "_file", None) is not None:
            # What is still buffered may find no room on the disk.
            with suppress(OSError):
                self._file.close()
            with suppress(FileNotFoundError):
                os.unlink(self._file.name)


def _ipc_stream(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def handlers(
    endpoints: Sequence[Endpoint], prefix: str, services: Any
) -> list[tuple[str, type, dict[str, Any]]]:
    """Tornado routes for endpoints below `prefix`, one handler class for each path."""
    by_path: dict[str, dict[str, Endpoint]] = defaultdict(dict)
    for one in endpoints:
        if one.method in by_path[one.path]:
            raise TypeError(f"{one.method} {one.path} is declared twice")
        by_path[one.path][one.method] = one
    routes = []
    for path, methods in by_path.items():
        pattern = "/".join(
            f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else part for part in path.split("/")
        )
        handler = type("EndpointHandler", (EndpointHandler,), {"endpoints": methods})
        routes.append((f"{prefix}/{pattern}", handler, {"services": services}))
    return routes
