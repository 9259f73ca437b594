"""A receiver of webhooks: a real HTTP server on this machine that answers as it is told."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_S = 20


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    """With names in lower case."""
    body: bytes
    at: float
    client: tuple[str, int]

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def delivery(self) -> str:
        return self.headers["x-delivery-id"]


@dataclass
class Receiver:
    port: int
    answer: Callable[[BaseHTTPRequestHandler], None] | int = 204
    """A status, or what answers by itself."""
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def wait(self, count: int, timeout: float = WAIT_S) -> list[Received]:
        """The first `count` requests, once they are there."""
        deadline = time.monotonic() + timeout
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} of {count} arrived"
            time.sleep(0.01)
        return self.received[:count]


@contextmanager
def receiving(answer: Callable[[BaseHTTPRequestHandler], None] | int = 204, port: int = 0):
    """Run a receiver."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(
                Received(self.path, headers, body, time.monotonic(), self.client_address)
            )
            if callable(receiver.answer):
                receiver.answer(self)
            else:
                reply(self, receiver.answer)

        def do_GET(self) -> None:
            receiver.received.append(Received(self.path, {}, b"", time.monotonic(), self.client_address))
            reply(self, 200)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that goes away is part of some tests."""

    server = Server(("127.0.0.1", port), Handler)
    receiver = Receiver(server.server_address[1], answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", "0")
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
