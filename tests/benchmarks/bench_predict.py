"""Direct single-row prediction: a model worker next to raw ONNX Runtime and to a bare uvicorn echo.

Run as `python -m tests.benchmarks.bench_predict [--seconds 3]`; prints one JSON line. For 1, 16 and 64
keep-alive connections: requests per second, and p50 and p99 in milliseconds. The load comes from
`wrk` where it is installed and otherwise from a small generator on uvloop, in a process of its own;
so the figures of the two are not comparable, and the line says which it was.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from modelship_lab.bundles.run import BundleModel
from tests.bundles.examples import table, table_model, write

CONNECTIONS = (1, 16, 64)
ROW = [5.1, 3.5, 1.4, 0.2]
BODY = json.dumps({"data": ROW}).encode()
KEY = "benchmark"


# --- load -------------------------------------------------------------------------------------------------


def load_with_wrk(port: int, connections: int, seconds: float, folder: Path) -> dict[str, float]:
    script = folder / "post.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = '{BODY.decode()}'\n"
        f"wrk.headers['Content-Type'] = 'application/json'\nwrk.headers['Authorization'] = 'Bearer {KEY}'\n"
        "done = function(summary, latency, requests)\n"
        "  local e = summary.errors\n"
        "  io.write(string.format('FIGURES %d %d %d %d %d\\n', summary.requests, summary.duration,\n"
        "    latency:percentile(50), latency:percentile(99),\n"
        "    e.connect + e.read + e.write + e.status + e.timeout))\n"
        "end\n"
    )
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/predict"], capture_output=True, text=True, check=True
    )
    found = re.search(r"FIGURES (\d+) (\d+) (\d+) (\d+) (\d+)", output.stdout)
    if found is None:
        raise RuntimeError(f"wrk said nothing that is understood: {output.stdout} {output.stderr}")
    requests, duration_us, p50_us, p99_us, errors = map(int, found.groups())
    return figures(requests / duration_us * 1e6, p50_us / 1000, p99_us / 1000, errors)


def load_with_python(port: int, connections: int, seconds: float, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.bench_predict", "--generate"]
    output = subprocess.run(
        [*command, str(port), str(connections), str(seconds)], capture_output=True, text=True, check=True
    )
    result: dict[str, float] = json.loads(output.stdout)
    return result


def figures(rate: float, p50_ms: float, p99_ms: float, errors: int) -> dict[str, float]:
    return {
        "requests_per_s": round(rate),
        "p50_ms": round(p50_ms, 3),
        "p99_ms": round(p99_ms, 3),
        "errors": errors,
    }


class Caller(asyncio.Protocol):
    """One connection that sends its next request when the answer to the last is complete."""

    request = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (KEY.encode(), len(BODY), BODY)
    )

    def __init__(self, latencies: list[float], failures: list[bytes]) -> None:
        self.latencies, self.failures = latencies, failures
        self.received = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent = perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator or len(body) < int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            return
        self.received = b""
        self.latencies.append(perf_counter() - self.sent)
        if not head.startswith(b"HTTP/1.1 200"):
            self.failures.append(head)
        self.send()


async def generate(port: int, connections: int, seconds: float) -> dict[str, float]:
    latencies: list[float] = []
    failures: list[bytes] = []
    loop = asyncio.get_running_loop()
    callers = [
        await loop.create_connection(lambda: Caller(latencies, failures), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.sleep(0.2)
    latencies.clear()
    start = perf_counter()
    await asyncio.sleep(seconds)
    elapsed, measured = perf_counter() - start, np.array(latencies)
    for transport, _ in callers:
        transport.abort()
    p50, p99 = np.percentile(measured, [50, 99]) * 1000
    return figures(len(measured) / elapsed, p50, p99, len(failures))


# --- what is measured -------------------------------------------------------------------------------------


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A bare ASGI application: what any other on the same server cannot be faster than."""
    body = (await receive())["body"]
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def running(command: list[str], environment: dict[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start") from None
                time.sleep(0.05)
        time.sleep(1)  # the worker listens before it has loaded its model
        yield
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def raw(bundle: Path, seconds: float) -> dict[str, float]:
    """ONNX Runtime called in this process, one row at a time: no HTTP, no JSON."""
    session = BundleModel(bundle).session
    arrays = {"numeric": np.array([ROW], np.float32)}
    latencies = []
    start = now = perf_counter()
    while now - start < seconds:
        session.run(("probabilities",), arrays)
        before, now = now, perf_counter()
        latencies.append(now - before)
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return figures(len(latencies) / (now - start), p50, p99, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--python-load", action="store_true", help="even where wrk is installed")
    parser.add_argument(
        "--generate", nargs=3, metavar=("PORT", "CONNECTIONS", "SECONDS"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.generate:
        import uvloop

        port, connections, seconds = options.generate
        print(json.dumps(uvloop.run(generate(int(port), int(connections), float(seconds)))))
        return
    use_wrk = shutil.which("wrk") is not None and not options.python_load
    load = load_with_wrk if use_wrk else load_with_python
    result: dict[str, Any] = {"benchmark": "predict", "load": "wrk" if use_wrk else "python"}
    result["cpus"] = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = table(4)
        bundle = write(folder / "bundle", "tabular_classification", spec, table_model(spec))
        result["onnx_runtime_in_process"] = raw(bundle, options.seconds)
        worker_port, echo_port = free_port(), free_port()
        worker = ["modelship_lab.worker", "--bundle", str(bundle), "--name", "benchmark"]
        worker += ["--port", str(worker_port), "--log", str(folder / "worker.log")]
        bare = ["uvicorn", "tests.benchmarks.bench_predict:echo", "--port", str(echo_port)]
        bare += ["--loop", "uvloop", "--http", "httptools", "--lifespan", "off"]
        bare += ["--no-access-log", "--log-level", "error"]
        for title, command, port in (("worker", worker, worker_port), ("uvicorn_echo", bare, echo_port)):
            with running(command, {"MLSHIP_WORKER_KEY": KEY}, port):
                load(port, 16, 1, folder)  # warm-up
                result[title] = {
                    str(connections): load(port, connections, options.seconds, folder)
                    for connections in CONNECTIONS
                }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
