"""Requests per second and latency of the lab server's HTTP, beside a bare Tornado handler on this machine.

Prints one JSON line: `python -m tests.benchmarks.bench_http`. The load comes from another process than
the servers', which have one thread for their event loop each. `cpu_ms` is what a request costs the
server's process, which says more than the rate where the load generator shares its cores.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.conftest import run_server

CONNECTIONS = (1, 16, 64)
WARM_UP_S = 0.5
MEASURED_S = 3.0

BARE = """
import asyncio, json, sys
from tornado import web
class Run(web.RequestHandler):
    def get(self):
        self.set_header("Content-Type", "application/json")
        self.finish(sys.argv[1])
async def main():
    server = web.Application([("/", Run)]).listen(0, "127.0.0.1")
    print(next(iter(server._sockets.values())).getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def load(host: str, port: int, path: str, token: str, connections: int) -> dict[str, float]:
    """Ask as fast as answers come, on so many connections at once."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    begin = time.perf_counter() + WARM_UP_S
    end = begin + MEASURED_S
    latencies: list[float] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        while (asked := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            if asked >= begin:
                latencies.append(time.perf_counter() - asked)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    latencies.sort()
    return {
        "requests_per_s": round(len(latencies) / MEASURED_S),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 2),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1000, 2),
    }


def measure(pid: int, url: str, token: str) -> dict[str, dict[str, float]]:
    """The figures for each number of connections, and the server's processor time for a request."""
    parts = urlsplit(url)
    found = {}
    for connections in CONNECTIONS:
        before = psutil.Process(pid).cpu_times()
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.benchmarks.bench_http",
                *(str(parts.hostname), str(parts.port), parts.path, token, str(connections)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        after = psutil.Process(pid).cpu_times()
        figures = json.loads(done.stdout)
        used_s = after.user + after.system - before.user - before.system
        # The warm-up is paid for as well.
        asked = figures["requests_per_s"] * (WARM_UP_S + MEASURED_S)
        found[str(connections)] = {**figures, "cpu_ms": round(used_s / asked * 1000, 3)}
    return found


def main() -> None:
    figures: dict[str, object] = {"benchmark": "http", "cores": psutil.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        server = run_server(Path(folder) / "lab")
        try:
            run = server.client.post("runs", json={"name": "benchmark"}).json()["id"]
            answer = server.client.get(f"runs/{run}").text
            api = f"{server.url}mlship/api"
            figures["run"] = measure(server.process.pid, f"{api}/runs/{run}", server.token)
            figures["health"] = measure(server.process.pid, f"{api}/health", server.token)
        finally:
            server.stop()
    bare = subprocess.Popen([sys.executable, "-c", BARE, answer], stdout=subprocess.PIPE, text=True)
    try:
        assert bare.stdout is not None
        figures["bare_tornado"] = measure(
            bare.pid, f"http://127.0.0.1:{bare.stdout.readline().strip()}/", "none"
        )
    finally:
        bare.kill()
        bare.wait()
    print(json.dumps(figures))


if __name__ == "__main__":
    if len(sys.argv) == 6:
        host, port, path, token, connections = sys.argv[1:]
        print(json.dumps(asyncio.run(load(host, int(port), path, token, int(connections)))))
    else:
        main()
