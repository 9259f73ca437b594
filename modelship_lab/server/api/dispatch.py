"""From a declared endpoint to Tornado: what is sent is read and checked, what comes back is written."""

import asyncio
import os
import re
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from jupyter_server.auth.decorator import allow_unauthenticated
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
    RequestTimeout,
    UnsupportedMediaType,
)
from modelship_lab.server.api.dialect import NATIVE, Dialect
from modelship_lab.server.api.endpoint import (
    ARROW,
    MAX_INTEGER,
    Content,
    Endpoint,
    FileContent,
    Request,
    Serialized,
    Table,
    Upload,
)
from modelship_lab.server.api.handler import LabHandler
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Scope

_CHUNK = 1 << 20

DRAIN_LIMIT = 32 << 20
"""A refused request's body is read to its end up to this many bytes; a longer one costs the connection."""

REQUEST_TIMEOUT = "mlship_request_timeout_s"
"""The setting of the Tornado application: how long nothing of a request may come until it is ended."""

Route = tuple[str, type, dict[str, Any]]


@web.stream_request_body
class EndpointHandler(LabHandler):
    """Serves all methods of one path. One subclass is made for each path of an API."""

    endpoints: dict[str, Endpoint]

    SUPPORTED_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

    _file: Any = None
    _refusal: LabError | web.HTTPError | OSError | None = None
    _watch: Any = None
    _received = 0
    _all_came = False

    async def prepare(self, **settings: Any) -> None:
        self._body = bytearray()
        if self.answer_preflight(self.endpoints):
            return
        length = self._announced_length()
        # Tornado's own limit is for bodies that are held in memory, and it answers without a word; ours
        # is kept in data_received.
        self.request.connection.set_max_body_size(MAX_INTEGER)  # type: ignore[union-attr]
        try:
            await self._admit(length)
        except (LabError, web.HTTPError, OSError) as refusal:
            if length > DRAIN_LIMIT:
                raise
            # Answered before its body is read, a request ends with a broken connection at the client.
            self._refuse(refusal)
        if length or "Transfer-Encoding" in self.request.headers:
            self._watch_body()

    def _refuse(self, refusal: LabError | web.HTTPError | OSError) -> None:
        """Read the rest of the body, if it is not too long, and then answer this."""
        self._refusal = refusal
        self._drained_to = self._received + DRAIN_LIMIT
        # The room is for others meanwhile.
        self._body.clear()
        self._remove_file()

    def _announced_length(self) -> int:
        """The length that the header tells; 0 without one.

        Raises:
            InvalidInput: there are several, or it is none. Tornado finds out later, and answers without a body.
        """
        headers = self.request.headers
        lengths = set(re.split(r",[ \t]*", headers.get("Content-Length", "0")))
        length = lengths.pop()
        if lengths or not re.fullmatch("[0-9]{1,18}", length):
            raise InvalidInput("The header Content-Length is not one number.")
        if "Transfer-Encoding" in headers and "Content-Length" in headers:
            raise InvalidInput("A request has Content-Length or Transfer-Encoding, not both.")
        return int(length)

    async def _admit(self, length: int) -> None:
        endpoint = self.endpoints.get(self.request.method or "")
        if endpoint is None:
            raise MethodNotAllowed(f"This address does not take {self.request.method}.")
        self.endpoint = endpoint
        self.permission = endpoint.permission
        self.limit = endpoint.limit
        await super().prepare()
        if length > endpoint.max_body:
            raise PayloadTooLarge(f"The body has {length} bytes; at most {endpoint.max_body} are taken here.")
        if self.request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")
        if "upload" in endpoint.wanted:
            # Closed, and removed if it was not moved, in on_finish.
            self._file = tempfile.NamedTemporaryFile(dir=self.services.data_dir.uploads, delete=False)  # noqa: SIM115

    def is_in(self, scope: Scope) -> bool:
        return self.dialect is NATIVE and scope.covers(
            self.endpoint.method, self.endpoint.path, self.path_kwargs
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if isinstance(kwargs.get("exc_info", (None, None, None))[1], MethodNotAllowed) or status_code == 405:
            self.set_header("Allow", ", ".join(sorted(self.endpoints)))
        if not self._all_came:
            # Tornado closes it then, and who sends the next request on it should know.
            self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    def _watch_body(self) -> None:
        """End the request when no byte of its body comes for too long."""
        loop = asyncio.get_running_loop()
        timeout = self.settings.get(REQUEST_TIMEOUT, 30.0)
        self._last_byte = loop.time()

        def look() -> None:
            left = self._last_byte + timeout - loop.time()
            if left > 0:
                self._watch = loop.call_later(left, look)
            elif not self._finished:
                error = RequestTimeout(f"Nothing of the request's body came for {timeout:g} seconds.")
                # The connection is closed behind an answer that comes before the end of the body.
                self.send_error(error.status, exc_info=(type(error), error, None))

        self._watch = loop.call_later(timeout, look)

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def data_received(self, chunk: bytes) -> None:
        await self._take(chunk)
        if self._watch is not None:
            self._last_byte = asyncio.get_running_loop().time()

    async def _take(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._refusal is None and self._received > self.endpoint.max_body:
            most = self.endpoint.max_body
            self._refuse(PayloadTooLarge(f"The body has more than the {most} bytes taken here."))
        if self._refusal is not None:
            if self._received > self._drained_to:
                self.send_error(exc_info=(type(self._refusal), self._refusal, None))
            return
        if self._file is not None:
            try:
                await asyncio.to_thread(self._file.write, chunk)
            except ValueError:
                # The client went away while this was written, and the file was closed.
                return
            except OSError as error:
                self._refuse(error)
        else:
            self._body += chunk

    async def _answer(self, **path: str) -> None:
        self._all_came = True
        self._end_watch()
        if self._refusal is not None:
            raise self._refusal
        endpoint = self.endpoint
        content_type = self.request.headers.get("Content-Type", "")
        arguments = arguments_of(self, endpoint, path, bytes(self._body), content_type)
        if self._file is not None:
            await asyncio.to_thread(self._file.close)
            arguments["upload"] = Upload(Path(self._file.name), self._received, content_type)
        await self._send(await self._paid(endpoint, arguments))

    get = post = put = patch = delete = head = options = allow_unauthenticated(_answer)

    async def _paid(self, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
        """What the endpoint returns, paid for by the caller unless the server fails."""
        if not endpoint.cost or self.caller is None:
            return await endpoint.function(**arguments)
        charge = await self.services.credits.charge(self.caller, endpoint.cost)
        failed = True
        try:
            result = await endpoint.function(**arguments)
            failed = isinstance(result, Content) and result.status >= 500
        except LabError as error:
            failed = error.status >= 500
            raise
        finally:
            if failed and charge is not None:
                await self.services.credits.refund(charge)
        return result

    async def _send(self, result: Any) -> None:
        self.set_status(self.endpoint.status)
        if isinstance(result, Table):
            self.set_header("Content-Type", ARROW)
            buffer = await asyncio.to_thread(_ipc_stream, result.table)
            await self._send_buffer(memoryview(buffer))
        elif isinstance(result, Serialized):
            self.set_header("Content-Type", "application/json")
            self.write(result.json)
        elif isinstance(result, Content):
            self.set_status(result.status)
            self.set_header("Content-Type", result.content_type)
            for name, value in result.headers.items():
                self.set_header(name, value)
            self.write(result.data)
        elif isinstance(result, FileContent):
            await self._send_file(result)
        elif self.dialect.envelope is not None and self.endpoint.status != 204:
            self.set_header("Content-Type", "application/json")
            self.write(to_json(self.dialect.envelope(result, self.endpoint, self.request_id)))
        elif result is None:
            self.clear_header("Content-Type")
        elif isinstance(result, BaseModel):
            self.set_header("Content-Type", "application/json")
            self.write(result.__pydantic_serializer__.to_json(result))
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
        size = content.path.stat().st_size
        start, end = self._wanted_part(content, size)
        self.set_header("Content-Length", str(end - start))
        if content.attachment:
            name = quote(content.attachment, safe="")
            self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{name}")
        if content.sandboxed:
            self.set_header("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'self'")
        if content.immutable:
            self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        try:
            with content.path.open("rb") as file:
                file.seek(start)
                while start < end and (chunk := await asyncio.to_thread(file.read, min(_CHUNK, end - start))):
                    start += len(chunk)
                    self.write(chunk)
                    await self.flush()
        except StreamClosedError:
            self.log.debug("The client of request %s went away", self.request_id)
        finally:
            if content.temporary:
                content.path.unlink(missing_ok=True)

    def _wanted_part(self, content: FileContent, size: int) -> tuple[int, int]:
        """Which bytes of a file are asked for; all of it, unless it is still that of which a part is there already."""
        if not content.etag:
            return 0, size
        etag = f'"{content.etag}"'
        self.set_header("ETag", etag)
        self.set_header("Accept-Ranges", "bytes")
        part = re.fullmatch(r"bytes=([0-9]{1,18})-([0-9]{0,18})", self.request.headers.get("Range", ""))
        if part is None or self.request.headers.get("If-Range", etag) != etag:
            return 0, size
        start, end = int(part[1]), min(int(part[2] or size - 1) + 1, size)
        if start >= end:
            return 0, size
        self.set_status(206)
        self.set_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        return start, end

    def on_finish(self) -> None:
        self._end_watch()
        self._remove_file()
        super().on_finish()

    def on_connection_close(self) -> None:
        self._end_watch()
        self._remove_file()
        super().on_connection_close()

    def _remove_file(self) -> None:
        """Remove the upload, unless it was moved."""
        if self._file is not None:
            # What is still buffered may find no room on the disk.
            with suppress(OSError):
                self._file.close()
            with suppress(FileNotFoundError):
                os.unlink(self._file.name)


class UnknownAddress(EndpointHandler):
    """An address that does not exist, answered in the error shape of the API that was meant."""

    endpoints: dict[str, Endpoint] = {}

    async def _admit(self, length: int) -> None:
        raise NotFound("There is nothing at this address.")

    def check_xsrf_cookie(self) -> None:
        """Nothing is done here that another site could want."""


class LabIsElsewhere(UnknownAddress):
    """Says why this server has no lab, e.g. which process has the data directory."""

    def initialize(self, services: Services, dialect: Dialect = NATIVE, **settings: Any) -> None:
        super().initialize(services, dialect)
        self.error: LabError = settings["error"]

    async def _admit(self, length: int) -> None:
        raise self.error


def arguments_of(
    handler: LabHandler, endpoint: Endpoint, path: dict[str, str], body: bytes, content_type: str
) -> dict[str, Any]:
    """What a declared function is called with for a request.

    Raises:
        InvalidInput: with everything that is wrong.
    """
    request = handler.request
    query = {
        name: [value.decode("utf-8", "replace") for value in values]
        for name, values in request.query_arguments.items()
    }
    # The path was decoded by Tornado: a second time would make another name of one with a percent sign.
    arguments = endpoint.arguments(path, query, body, content_type, lenient=handler.dialect.lenient)
    if "services" in endpoint.wanted:
        arguments["services"] = handler.services
    if "caller" in endpoint.wanted:
        arguments["caller"] = handler.caller
    if "request" in endpoint.wanted:
        address = request.remote_ip or ""
        arguments["request"] = Request(request.headers, body, address, handler.request_id)
    return arguments


def _ipc_stream(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def handlers(dialect: Dialect, prefix: str, services: Services) -> list[Route]:
    """Tornado routes for a dialect's endpoints below `prefix`, one handler class for each path.

    Each path answers with and without a slash at its end. What stands in a path as it is wins over
    a parameter in the same place.
    """
    by_path: dict[str, dict[str, Endpoint]] = defaultdict(dict)
    for one in dialect.endpoints:
        path = one.path.strip("/")
        if one.method in by_path[path]:
            raise TypeError(f"{one.method} {one.path} is declared twice")
        by_path[path][one.method] = one
    routes: list[Route] = []
    for path in sorted(by_path, key=lambda path: [part.startswith("{") for part in path.split("/")]):
        handler = type("EndpointHandler", (EndpointHandler,), {"endpoints": by_path[path]})
        routes.append((address(prefix, path), handler, {"services": services, "dialect": dialect}))
    return routes


def address(prefix: str, path: str) -> str:
    """The pattern of a declared path below `prefix`."""
    parts = [
        f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part)
        for part in path.split("/")
        if part
    ]
    return "/".join([prefix, *parts]) + "/?"
