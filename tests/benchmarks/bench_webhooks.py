"""How fast queued deliveries drain to one receiver, in order and with their results written down.

The receiver runs in a process of its own. The peer in the same run is aiohttp alone: the same bodies
posted one after the other over one connection, with nothing signed, read or written.

Run as `python -m tests.benchmarks.bench_webhooks [--deliveries 10000]`; prints one JSON line.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import duckdb
import httpx

MODULE = "tests.benchmarks.bench_webhooks"


async def receive() -> None:
    """Count what is posted; GET tells how much came and within how many seconds."""
    from tornado.web import Application, RequestHandler

    arrived: list[float] = []
    seen: list[str] = []

    class Hook(RequestHandler):
        def post(self) -> None:
            arrived.append(time.monotonic())
            seen.append(self.request.headers.get("X-Delivery-ID", ""))
            self.set_status(204)

        def get(self) -> None:
            span = arrived[-1] - arrived[0] if arrived else 0.0
            in_order = seen == sorted(seen, key=lambda one: int(one.rpartition("-")[2] or 0))
            self.write({"count": len(arrived), "span_s": span, "in_order": in_order})

        def delete(self) -> None:
            arrived.clear()
            seen.clear()

    server = Application([("/", Hook)]).listen(0, "127.0.0.1")
    (socket,) = server._sockets.values()
    print(socket.getsockname()[1], flush=True)
    await asyncio.Event().wait()


@contextmanager
def receiver() -> Iterator[str]:
    """Its address."""
    running = subprocess.Popen([sys.executable, "-m", MODULE, "--receive"], stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        yield f"http://127.0.0.1:{running.stdout.readline().strip()}/"
    finally:
        running.kill()
        running.wait()


@contextmanager
def lab(folder: str) -> Iterator[httpx.Client]:
    """A client of a lab server on this folder."""
    announced = Path(folder) / "server.json"
    announced.unlink(missing_ok=True)
    server = subprocess.Popen(
        [sys.executable, "-m", "modelship_lab.server", "--port", "0", "--data-dir", folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while not announced.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        content = json.loads(announced.read_text())
        headers = {"Authorization": f"Bearer {content['token']}"}
        yield httpx.Client(base_url=f"{content['url']}mlship/api/", headers=headers, timeout=60)
    finally:
        server.terminate()
        server.wait(20)


def queue(folder: str, webhook_id: int, count: int) -> list[str]:
    """Deliveries of a kind that a labeling session makes, put where the lab finds them at its start."""
    payload = {"id": 1, "type": "labels.saved", "topic": "project:1", "payload": {"samples": list(range(20))}}
    body = json.dumps(payload)
    with duckdb.connect(str(Path(folder) / "lab.duckdb")) as database:
        database.execute(
            "INSERT INTO deliveries (webhook_id, event, payload, status, created_at) "
            "SELECT ?, 'labels.saved', ?, 'pending', now()::TIMESTAMP FROM range(?)",
            [webhook_id, body, count],
        )
    return [body] * count


async def post_all(url: str, bodies: list[str]) -> None:
    async with aiohttp.ClientSession() as session:
        for body in bodies:
            async with session.post(url, data=body.encode()) as response:
                await response.read()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--deliveries", type=int, default=10_000)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        asyncio.run(receive())
        return
    count = arguments.deliveries
    with tempfile.TemporaryDirectory() as folder, receiver() as url:
        with lab(folder) as client:
            webhook = client.post("webhooks", json={"url": url, "events": ["run.created"]}).json()
        bodies = queue(folder, webhook["id"], count)
        with lab(folder) as client:
            deadline = time.monotonic() + 300
            while (told := httpx.get(url).json())["count"] < count and time.monotonic() < deadline:
                time.sleep(0.25)
            path = f"webhooks/{webhook['id']}"
            while client.get(path).json()["pending"] and time.monotonic() < deadline:
                time.sleep(0.1)
            written = client.get(f"{path}/deliveries", params={"status": "delivered", "limit": 1}).json()
        if told["count"] != count or written["total"] != count or not told["in_order"]:
            raise SystemExit(f"{told}, {written['total']} of {count} written")
        httpx.delete(url)
        asyncio.run(post_all(url, bodies))
        peer = httpx.get(url).json()
    print(
        json.dumps(
            {
                "benchmark": "webhooks",
                "deliveries": count,
                "drained_per_s": round(count / told["span_s"]),
                "aiohttp_alone_per_s": round(count / peer["span_s"]),
            }
        )
    )


if __name__ == "__main__":
    main()
