"""How long an event takes to everybody who listens, and what clients that never read cost a writer.

A thousand sockets, in a process of their own, hear of one run while it is changed. The peer in the
same run is Tornado itself: the same number of sockets, and a handler that writes the same text to
each with `write_message`.

Run as `python -m tests.benchmarks.bench_sockets [--sockets 1000] [--events 50]`; prints one JSON line.
"""

import argparse
import asyncio
import base64
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from modelship_lab.server.storage.open_files import allow_many_files

MODULE = "tests.benchmarks.bench_sockets"
TEXT = b"\x81"
"""How a frame with a text message begins."""


def masked(text: bytes) -> bytes:
    """A client's frame, with a mask of zeros."""
    size = (
        struct.pack("!B", 0x80 | len(text)) if len(text) < 126 else struct.pack("!BH", 0x80 | 126, len(text))
    )
    return TEXT + size + bytes(4) + text


class Listener(asyncio.Protocol):
    """One socket that notes when something came."""

    def __init__(self, address: str, token: str, says: bytes, arrivals: list[int]) -> None:
        self.arrivals = arrivals
        self.ready = asyncio.get_running_loop().create_future()
        self._open = False
        parts = urlsplit(address)
        self._says = says
        self._request = (
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self._open:
            # Anything else is a ping.
            if data[:1] == TEXT:
                self.arrivals.append(now)
            return
        if b" 101 " in data[:20]:
            self.transport.write(masked(self._says))
        elif TEXT in data[:1]:
            self._open = True
            self.ready.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("refused"))


async def listen(address: str, token: str, says: bytes, count: int, reads: bool) -> None:
    """Open the sockets; then answer each line of stdin with when `count` messages came."""
    allow_many_files()
    loop = asyncio.get_running_loop()
    parts = urlsplit(address)
    arrivals: list[int] = []
    listeners = []
    for _ in range(count):
        _, listener = await loop.create_connection(
            lambda: Listener(address, token, says, arrivals), parts.hostname, parts.port
        )
        await asyncio.wait_for(listener.ready, 30)
        listeners.append(listener)
    if not reads:
        for listener in listeners:
            listener.transport.pause_reading()
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        deadline = loop.time() + 10
        while len(arrivals) < count and loop.time() < deadline:
            await asyncio.sleep(0.01)
        print(json.dumps(arrivals), flush=True)
        arrivals.clear()


def tornado_server(text: str) -> None:
    """The peer: POST / writes `text` to all who are connected to /ws."""
    from tornado.web import Application, RequestHandler
    from tornado.websocket import WebSocketHandler

    allow_many_files()
    everybody: set[WebSocketHandler] = set()

    class Ws(WebSocketHandler):
        def open(self) -> None:
            self.set_nodelay(True)
            everybody.add(self)

        def on_message(self, message: Any) -> None:
            self.write_message("subscribed")

    class Tell(RequestHandler):
        def post(self) -> None:
            for one in everybody:
                one.write_message(text)

    async def serve() -> None:
        server = Application([("/ws", Ws), ("/", Tell)]).listen(0, "127.0.0.1")
        (socket,) = server._sockets.values()
        print(socket.getsockname()[1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


@contextmanager
def process(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    running = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextmanager
def listening(
    address: str, token: str, says: str, count: int, *more: str
) -> Iterator["subprocess.Popen[str]"]:
    with process("-m", MODULE, "--listen", address, token, says, str(count), *more) as running:
        assert running.stdout is not None
        if running.stdout.readline() != "ready\n":
            raise SystemExit("the sockets did not open")
        yield running


@contextmanager
def lab() -> Iterator[tuple[str, str]]:
    """A lab server: its address and token."""
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-m", "modelship_lab.server", "--port", "0", "--data-dir", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            announced = Path(folder) / "server.json"
            deadline = time.monotonic() + 30
            while not announced.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            content = json.loads(announced.read_text())
            yield content["url"], content["token"]
        finally:
            server.terminate()
            server.wait(20)


def fan_out(tell: Any, listeners: "subprocess.Popen[str]", sockets: int, events: int) -> dict[str, float]:
    """Milliseconds from a writer's answer, and from its request, to each client."""
    after_answer, after_request = [], []
    for event in range(events + 3):
        asked = time.monotonic_ns()
        tell(event)
        answered = time.monotonic_ns()
        assert listeners.stdin is not None and listeners.stdout is not None
        listeners.stdin.write("\n")
        listeners.stdin.flush()
        arrivals = np.array(json.loads(listeners.stdout.readline()))
        if len(arrivals) != sockets:
            raise SystemExit(f"{len(arrivals)} of {sockets} clients heard of it")
        # The first ones warm up.
        if event >= 3:
            after_answer.append(arrivals - answered)
            after_request.append(arrivals - asked)
        time.sleep(0.1)
    answer, request = np.concatenate(after_answer) / 1e6, np.concatenate(after_request) / 1e6
    return {
        "p50_ms_from_answer": round(float(np.percentile(answer, 50)), 2),
        "p99_ms_from_answer": round(float(np.percentile(answer, 99)), 2),
        "p50_ms_from_request": round(float(np.percentile(request, 50)), 2),
        "p99_ms_from_request": round(float(np.percentile(request, 99)), 2),
    }


def writes_per_second(client: httpx.Client, path: str, writes: int) -> float:
    start = time.perf_counter()
    for number in range(writes):
        client.patch(path, json={"notes": f"{number} " + "x" * 2000}).raise_for_status()
    return round(writes / (time.perf_counter() - start))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--events", type=int, default=50)
    parser.add_argument("--slow", type=int, default=50)
    parser.add_argument("--writes", type=int, default=400)
    parser.add_argument("--listen", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--tornado", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.listen:
        address, token, says, count, *deaf = arguments.listen
        asyncio.run(listen(address, token, says.encode(), int(count), not deaf))
        return
    if arguments.tornado:
        tornado_server(arguments.tornado)
        return
    result: dict[str, Any] = {"benchmark": "sockets", "sockets": arguments.sockets, "slow": arguments.slow}
    with lab() as (url, token):
        client = httpx.Client(
            base_url=f"{url}mlship/api/", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        run = client.post("runs", json={"name": "bench"}).json()
        path, topic = f"runs/{run['id']}", f"run:{run['id']}"
        live = url.replace("http", "ws", 1) + "mlship/live"
        says = json.dumps({"op": "subscribe", "topics": [topic]})
        change = {"notes": "x"}
        with listening(live, token, says, arguments.sockets) as listeners:
            result["lab"] = fan_out(
                lambda event: client.patch(path, json=change).raise_for_status(),
                listeners,
                arguments.sockets,
                arguments.events,
            )
        event = client.get("events", params={"topic": topic, "limit": 1000}).json()["items"][-1]
        alone = writes_per_second(client, path, arguments.writes)
        with listening(live, token, says, arguments.slow, "deaf"):
            beside = writes_per_second(client, path, arguments.writes)
            # So much more that their buffers are full for sure.
            writes_per_second(client, path, 3 * arguments.writes)
            later = writes_per_second(client, path, arguments.writes)
        result["writes_per_s"] = {"alone": alone, "beside_slow": beside, "beside_slow_later": later}
    text = json.dumps({"type": "event", "event": event})
    with process("-m", MODULE, "--tornado", text) as peer:
        assert peer.stdout is not None
        address = f"127.0.0.1:{peer.stdout.readline().strip()}"
        told = httpx.Client(base_url=f"http://{address}/", timeout=60)
        with listening(f"ws://{address}/ws", "none", "subscribe", arguments.sockets) as listeners:
            result["tornado"] = fan_out(
                lambda event: told.post("").raise_for_status(),
                listeners,
                arguments.sockets,
                arguments.events,
            )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
