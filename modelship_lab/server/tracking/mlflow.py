"""The MLflow tracking server that `MLFLOW_TRACKING_URI` names, as the lab server speaks to it."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from modelship_lab.records.errors import InvalidInput, LabError, NotFound, PermissionDenied, Unavailable
from modelship_lab.records.tracking import MLFLOW_ORIGIN, MLFLOW_TAG, Run, RunChange
from modelship_lab.server.identity.policy import LAB
from modelship_lab.server.tracking.runs import Runs

VARIABLE = "MLFLOW_TRACKING_URI"
_TIMEOUT_S = 5.0
"""Somebody may be waiting, who wants something else."""
_CHUNK = 1 << 20

log = logging.getLogger(__name__)


class Mlflow:
    """The tracking server, if one is named; its credentials are those of MLflow's own client.

    Args:
        lab_id: the lab's, which marks what is its own there.
    """

    def __init__(self, lab_id: str) -> None:
        self.lab_id = lab_id
        url = os.environ.get(VARIABLE, "")
        self._url = url.rstrip("/") if urlsplit(url).scheme in ("http", "https") else ""

    @property
    def is_named(self) -> bool:
        return bool(self._url)

    async def begin_run(self, run: Run, runs: Runs) -> Run:
        """Make a run there, so that its id is known before its process begins, which then fills it.

        Returns:
            The run with the tag that has this id; without, if there is no such server, or it is away: the process
            that trains tries again.
        """
        if not self.is_named:
            return run
        try:
            made = await self.post(
                "runs/create",
                experiment_id=await self._experiment(run.project or "Default"),
                start_time=round(run.started_at.timestamp() * 1000),
                run_name=run.name,
                tags=[{"key": MLFLOW_ORIGIN, "value": f"{self.lab_id}/{run.id}"}],
            )
        except LabError as error:
            log.warning("Run %d is not at the MLflow server yet: %s", run.id, error.message)
            return run
        tag = f"{MLFLOW_TAG}{made['run']['info']['run_id']}"
        return await runs.change(run.id, RunChange(tags=(*run.tags, tag)), LAB)

    async def _experiment(self, name: str) -> str:
        try:
            found = await self.get("experiments/get-by-name", experiment_name=name)
            return str(found["experiment"]["experiment_id"])
        except NotFound:
            return str((await self.post("experiments/create", name=name))["experiment_id"])

    async def get(self, path: str, **params: str) -> Any:
        """One question."""
        return await self._send("GET", f"mlflow/{path}", params=params)

    async def post(self, path: str, **body: Any) -> Any:
        """One order."""
        return await self._send("POST", f"mlflow/{path}", json=body)

    async def delete(self, path: str, **body: Any) -> None:
        """One order of that kind."""
        await self._send("DELETE", f"mlflow/{path}", json=body)

    async def upload(self, path: str, file: Path, size: int) -> None:
        """Store a file as an artifact."""
        await self._send(
            "PUT",
            f"mlflow-artifacts/artifacts/{quote(path)}",
            content=_pieces(file),
            headers={"Content-Length": str(size)},
        )

    async def _send(self, method: str, path: str, **arguments: Any) -> Any:
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        username = os.environ.get("MLFLOW_TRACKING_USERNAME")
        password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
        if token and not username:
            arguments["headers"] = {**arguments.get("headers", {}), "Authorization": f"Bearer {token}"}
        try:
            async with httpx.AsyncClient(
                auth=(username, password) if username else None, timeout=_TIMEOUT_S, trust_env=False
            ) as http:
                answer = await http.request(method, f"{self._url}/api/2.0/{path}", **arguments)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"No MLflow server answers ({type(error).__name__}).") from error
        try:
            said = answer.json()
        except ValueError:
            said = {}
        if answer.status_code < 400:
            return said
        raise _failure(answer.status_code, said if isinstance(said, dict) else {})


def _failure(status: int, said: dict[str, Any]) -> LabError:
    message = f"The MLflow server says: {str(said.get('message', f'HTTP status {status}'))[:500]}"
    if status == 404 or said.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
        return NotFound(message)
    if status in (401, 403):
        return PermissionDenied(message)
    if status == 429 or status >= 500:
        return Unavailable(message)
    return InvalidInput(message)


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while piece := await asyncio.to_thread(source.read, _CHUNK):
            yield piece
