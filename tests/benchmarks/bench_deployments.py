"""Predictions through the lab server, next to the worker's direct address and to the lab's cheapest answer.

Run as `python -m tests.benchmarks.bench_deployments [--seconds 3]`; prints one JSON line. For 1 and 16
keep-alive connections: requests per second, and p50 and p99 in milliseconds, of predictions through the
lab server (`lab`), of the same at the model worker (`direct`), and of `GET health` (`health`), which is
what the lab server's Tornado gives at best. Besides: the cold start in its parts, the time from a
SIGKILL of the worker to the next prediction, and from deploying a new version to its first answer.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp

from tests.conftest import LabServer, run_server
from tests.server.shipping import deployed, registered, worker_processes

CONNECTIONS = (1, 16)
BODY = b'{"data": "you won a prize"}'


async def load(method: str, url: str, key: str, connections: int, seconds: float) -> dict[str, float]:
    latencies: list[float] = []
    end = perf_counter() + seconds
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = BODY if method == "POST" else None

    async def ask(session: aiohttp.ClientSession) -> None:
        while (begun := perf_counter()) < end:
            async with session.request(method, url, data=body) as answer:
                await answer.read()
                answer.raise_for_status()
            latencies.append(perf_counter() - begun)

    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(ask(session) for _ in range(connections)))
    latencies.sort()
    return {
        "requests_per_s": round(len(latencies) / seconds),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 2),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 2),
    }


def measure(lab: LabServer, folder: Path, seconds: float) -> dict[str, Any]:
    client, api = lab.client, f"{lab.url}mlship/api"
    models = [registered(client, folder, "model", seed) for seed in (0, 1)]
    deployment = deployed(client, models[0], "api")
    targets = {
        "lab": ("POST", f"{api}/deployments/api/predict", lab.token),
        "direct": ("POST", f"{deployment['address']}/predict", deployment["key"]),
        "health": ("GET", f"{api}/health", lab.token),
    }
    result: dict[str, Any] = {"cold_start_ms": deployment["cold_start_ms"]}
    for name, target in targets.items():
        result[name] = {
            connections: asyncio.run(load(*target, connections, seconds)) for connections in CONNECTIONS
        }
    result["killed_to_answer_ms"] = _after(lambda: worker_processes(lab.data_dir)[0].kill(), lab, "v1")
    result["deployed_to_answer_ms"] = _after(
        lambda: client.post("deployments", json={"model": models[1], "name": "api"}), lab, "v2"
    )
    return result


def _after(act: Any, lab: LabServer, version: str) -> float:
    act()
    begun = perf_counter()
    while perf_counter() - begun < 30:
        answer = lab.client.post("deployments/api/predict", content=BODY)
        if answer.status_code == 200 and answer.json()["model_version"] == version:
            return round((perf_counter() - begun) * 1000)
    raise AssertionError(f"{version} did not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3, help="of each load (default: %(default)s)")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        lab = run_server(Path(folder) / "lab")
        try:
            result = measure(lab, Path(folder), seconds)
        finally:
            lab.stop()
    print(json.dumps({"benchmark": "deployments", **result}))


if __name__ == "__main__":
    main()
