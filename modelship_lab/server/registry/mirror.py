"""Registered models mirrored to the registry of an MLflow server.

What is there is compared with what is here whenever a model changes, and when the lab server starts: so a server that
was away misses nothing. A version there has the tag `VERSION_TAG`, which says whose it is.
"""

import asyncio
import contextlib
import logging
import posixpath
from typing import Any
from urllib.parse import urlsplit

import orjson

from modelship_lab.records.errors import InvalidInput, LabError, NotFound, Unavailable
from modelship_lab.records.events import Event
from modelship_lab.records.registry import ModelVersion
from modelship_lab.records.tracking import mlflow_id
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import LAB
from modelship_lab.server.registry.bundles import BundleStore
from modelship_lab.server.registry.models import Models
from modelship_lab.server.tracking.mlflow import Mlflow
from modelship_lab.server.tracking.runs import Runs

VERSION_TAG = "mlship.version"
_METADATA_TAG = "mlship.metadata"
_CHANGES = frozenset({"model.registered", "model.stage_changed", "model.deleted"})
_MOST = 10_000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0

log = logging.getLogger(__name__)


class ModelMirror:
    """Brings an MLflow server's registry to the state of the lab's, model by model, beside everything else."""

    def __init__(
        self, mlflow: Mlflow, models: Models, runs: Runs, bundles: BundleStore, events: EventLog
    ) -> None:
        self._mlflow = mlflow
        self._models = models
        self._runs = runs
        self._bundles = bundles
        self._due: dict[str, None] = {}
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        events.listen(self._hear)

    async def start(self) -> None:
        """Begin with what changed while no server ran."""
        if not self._mlflow.is_named:
            return
        self._loop = asyncio.get_running_loop()
        for model in (await self._models.page(LAB)).items:
            self._want(model.name)
        self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _hear(self, event: Event) -> None:
        """Called on the writer thread."""
        if event.type in _CHANGES and self._loop is not None:
            self._loop.call_soon_threadsafe(self._want, event.payload["model"])

    def _want(self, name: str) -> None:
        self._due[name] = None
        self._news.set()

    async def _go_on(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._news.wait()
            self._news.clear()
            while self._due:
                name = next(iter(self._due))
                del self._due[name]
                try:
                    await self._mirror(name)
                    pause_s = _FIRST_PAUSE_S
                except Unavailable as error:
                    log.warning("The model %s is not mirrored to MLflow yet: %s", name, error.message)
                    self._due.setdefault(name)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                except LabError as error:
                    log.warning("The model %s cannot be mirrored to MLflow: %s", name, error.message)
                except Exception:
                    log.exception("The model %s cannot be mirrored to MLflow", name)

    async def _mirror(self, name: str) -> None:
        page = await self._models.every_version(LAB, name, None, _MOST, 0)
        there = await self._there(name)
        ours = {found: one for one in there if (found := self._mark_of(one))}
        if page.items and not there:
            await self._make_model(name)
        for version in reversed(page.items):
            known = ours.pop(self._mark(version), None) or await self._make(version)
            if known["current_stage"] != version.stage:
                await self._mlflow.post(
                    "model-versions/transition-stage",
                    name=name,
                    version=known["version"],
                    stage=version.stage,
                    archive_existing_versions=False,
                )
        for gone in ours.values():
            await self._mlflow.delete("model-versions/delete", name=name, version=gone["version"])
        if not page.items and there and len(ours) == len(there):
            await self._mlflow.delete("registered-models/delete", name=name)

    def _mark(self, version: ModelVersion) -> str:
        return f"{self._mlflow.lab_id}/{version.id}"

    def _mark_of(self, known: dict[str, Any]) -> str:
        """By what a version there is one of this lab's; empty: it is somebody else's."""
        marks = [tag["value"] for tag in known.get("tags", []) if tag["key"] == VERSION_TAG]
        return next((mark for mark in marks if mark.startswith(f"{self._mlflow.lab_id}/")), "")

    async def _there(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            asked = {"page_token": token} if token else {}
            answer = await self._mlflow.get("model-versions/search", filter=f"name='{name}'", **asked)
            found += answer.get("model_versions", [])
            token = answer.get("next_page_token", "")
            if not token:
                return found

    async def _make_model(self, name: str) -> None:
        # Refused if somebody made it, without versions; what else may be wrong shows at the version.
        with contextlib.suppress(InvalidInput):
            await self._mlflow.post("registered-models/create", name=name)

    async def _make(self, version: ModelVersion) -> dict[str, Any]:
        tags = {VERSION_TAG: self._mark(version)}
        for tag in version.tags:
            key, _, value = tag.partition("=")
            tags.setdefault(key, value)
        if version.metadata:
            tags[_METADATA_TAG] = orjson.dumps(version.metadata).decode()
        source, run_id = await self._artifacts(version)
        made = await self._mlflow.post(
            "model-versions/create",
            name=version.model,
            source=source,
            description=version.description,
            tags=[{"key": key, "value": value} for key, value in tags.items()],
            **({"run_id": run_id} if run_id else {}),
        )
        created: dict[str, Any] = made["model_version"]
        return created

    async def _artifacts(self, version: ModelVersion) -> tuple[str, str | None]:
        """Where the version's files are there, and the run that has them.

        They go to the run's artifacts; a run that is not mirrored, or keeps its artifacts elsewhere, has none, and
        the address names the lab.
        """
        here = f"mlship:/{self._mlflow.lab_id}/models/{version.model}/{version.version}"
        try:
            run_id = mlflow_id((await self._runs.get(version.run_id, LAB)).tags)
            if run_id is None:
                return here, None
            uri = str((await self._mlflow.get("runs/get", run_id=run_id))["run"]["info"]["artifact_uri"])
            folder = await asyncio.to_thread(self._bundles.folder, version.bundle)
        except NotFound:
            return here, None
        if urlsplit(uri).scheme != "mlflow-artifacts":
            return here, None
        place = f"models/{version.bundle[:12]}"
        root = posixpath.join(urlsplit(uri).path.lstrip("/"), place)
        for file in await asyncio.to_thread(lambda: sorted(folder.rglob("*"))):
            if file.is_file():
                path = posixpath.join(root, file.relative_to(folder).as_posix())
                await self._mlflow.upload(path, file, file.stat().st_size)
        return f"{uri}/{place}", run_id
