"""AI Manager's socket tells of a run as it goes on, to those who may see it."""

import asyncio
import json

import pytest
import websockets

from tests.server.dialects.programs import Json, Program, is_time


def socket_address(program: Program, run: int) -> str:
    return f"{program.base.replace('http', 'ws', 1)}/ws/{run}"


@pytest.mark.parametrize("by", ["header", "query"])
def test_the_socket_tells_of_each_metric_and_of_the_end(ada, by):
    run = ada.run(ada.project(f"socket by {by}"))
    bearer = {"Authorization": f"Bearer {ada.token}"}

    async def listen() -> list[Json]:
        address = socket_address(ada, run) + ("" if by == "header" else f"?token={ada.token}")
        heard = []
        async with websockets.connect(address, additional_headers=bearer if by == "header" else {}) as socket:
            for request in (
                ("POST", f"metrics/{run}", {"name": "loss", "value": 0.5, "step": 1}),
                ("POST", f"metrics/{run}/batch", {"metrics": {"loss": 0.4, "accuracy": 0.9}, "step": 2}),
                ("PUT", f"runs/{run}", {"tags": ["no news"]}),
                ("PUT", f"runs/{run}", {"status": "completed"}),
            ):
                assert (await asyncio.to_thread(ada, *request)).status in (200, 201)
            while len(heard) < 4:
                heard.append(json.loads(await asyncio.wait_for(socket.recv(), 10)))
        return heard

    heard = asyncio.run(listen())
    assert all(is_time(message.pop("timestamp")) for message in heard[:-1])
    assert heard == [
        {"type": "metric", "run_id": run, "name": "loss", "value": 0.5, "step": 1},
        {"type": "metric", "run_id": run, "name": "loss", "value": 0.4, "step": 2},
        {"type": "metric", "run_id": run, "name": "accuracy", "value": 0.9, "step": 2},
        {"type": "run", "run_id": run, "status": "completed"},
    ]


def test_the_socket_opens_only_for_who_may_see_the_run(ada, bob):
    run = ada.run(ada.project("closed socket"))

    async def status(address: str, token: str = "") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with websockets.connect(address, additional_headers=headers) as socket:
                await asyncio.wait_for(socket.recv(), 2)
        except websockets.InvalidStatus as refused:
            return refused.response.status_code
        except websockets.ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 0
        except TimeoutError:
            return 101
        return 101

    address = socket_address(ada, run)
    assert asyncio.run(status(address)) in (401, 1008)
    assert asyncio.run(status(address, "wrong")) in (401, 1008)
    assert asyncio.run(status(address, bob.token)) in (404, 1008)
    assert asyncio.run(status(f"{address}?token={bob.token}")) in (404, 1008)
    assert asyncio.run(status(socket_address(ada, 999_999), ada.token)) in (404, 1008)
    assert asyncio.run(status(address, ada.token)) == 101
