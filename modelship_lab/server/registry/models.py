"""Registered models: numbered versions of a name, each with a bundle, a lineage and a stage."""

import asyncio
from typing import Any

import orjson

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, NotFound
from modelship_lab.records.registry import (
    Model,
    ModelVersion,
    NewModelVersion,
    Stage,
    StageChange,
    StageEntry,
)
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.registry.bundles import BundleStore
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

_SELECT = """
    SELECT v.id, m.name AS model, v.version, v.description, v.tags, v.run_id, v.snapshot_id, v.project_id,
           v.bundle, v.manifest, v.created_at,
           (SELECT arg_max(s.stage, s.id) FROM stage_changes s WHERE s.model_version_id = v.id) AS stage
    FROM model_versions v JOIN models m ON m.id = v.model_id
"""


class Models:
    """The models of the lab. Versions are immutable; stages are a history whose newest entry counts."""

    def __init__(self, database: Database, events: EventLog, bundles: BundleStore) -> None:
        self._database = database
        self._events = events
        self._bundles = bundles

    async def register(self, new: NewModelVersion, caller: Caller) -> ModelVersion:
        """Make a run's exported bundle the next version of a model; the first one makes the model.

        Raises:
            NotFound: there is no such run, or its bundle is gone.
            Conflict: the run has no bundle yet.
            InvalidData: the bundle is damaged.
        """
        bundle = await self._database.read(lambda cursor: _bundle_of(cursor, new.run_id))
        manifest = await asyncio.to_thread(self._bundles.manifest, bundle)

        def work(transaction: Transaction) -> ModelVersion:
            run = transaction.row("SELECT snapshot_id, project_id FROM runs WHERE id = ?", new.run_id)
            if run is None:
                raise NotFound(f"There is no run {new.run_id}.")
            moment = now()
            model_id = transaction.value("SELECT id FROM models WHERE name = ?", new.name)
            if model_id is None:
                model_id = transaction.value(
                    "INSERT INTO models (name, created_at) VALUES (?, ?) RETURNING id", new.name, moment
                )
            version = 1 + transaction.value(
                "SELECT coalesce(max(version), 0) FROM model_versions WHERE model_id = ?", model_id
            )
            identity = transaction.value(
                """INSERT INTO model_versions (model_id, version, run_id, snapshot_id, project_id, bundle,
                                               manifest, description, tags, author, created_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
                model_id,
                version,
                new.run_id,
                run["snapshot_id"],
                run["project_id"],
                bundle,
                manifest.model_dump_json(),
                new.description,
                list(new.tags),
                caller.name,
                moment,
            )
            _enter_stage(transaction, identity, new.stage, caller)
            self._events.record(
                transaction,
                "model.registered",
                f"model:{model_id}",
                caller,
                caller.account_id,
                model=new.name,
                version=version,
                run_id=new.run_id,
                stage=new.stage,
            )
            return _version(transaction, model_id, version)

        return await self._database.write(work)

    async def page(self) -> Page[Model]:
        """All models, by name."""

        def work(cursor: Cursor) -> Page[Model]:
            found = cursor.rows("SELECT * FROM models ORDER BY name")
            stages: dict[int, list[dict[str, Any]]] = {}
            for row in cursor.rows(_STAGES):
                stages.setdefault(row["model_id"], []).append(row)
            items = tuple(_model(row, stages[row["id"]]) for row in found)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)

    async def get(self, model: str) -> Model:
        """One model, by id or name.

        Raises:
            NotFound: there is none.
        """

        def work(cursor: Cursor) -> Model:
            model_id = _model_id(cursor, model)
            row = cursor.row("SELECT * FROM models WHERE id = ?", model_id)
            assert row is not None
            versions = [entry for entry in cursor.rows(_STAGES) if entry["model_id"] == model_id]
            return _model(row, versions)

        return await self._database.read(work)

    async def versions(self, model: str) -> Page[ModelVersion]:
        """All versions of a model, the newest first.

        Raises:
            NotFound: there is no such model.
        """

        def work(cursor: Cursor) -> Page[ModelVersion]:
            model_id = _model_id(cursor, model)
            found = cursor.rows(f"{_SELECT} WHERE v.model_id = ? ORDER BY v.version DESC", model_id)
            items = tuple(_record(row) for row in found)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)

    async def version(self, model: str, version: int) -> ModelVersion:
        """One version of a model, by the model's id or name.

        Raises:
            NotFound: there is no such model or version.
        """
        return await self._database.read(lambda cursor: _version(cursor, _model_id(cursor, model), version))

    async def change_stage(
        self, model: str, version: int, change: StageChange, caller: Caller
    ) -> ModelVersion:
        """Move a version to a stage. Another version may be in that stage too; the newest is the one meant.

        Raises:
            NotFound: there is no such model or version.
        """

        def work(transaction: Transaction) -> ModelVersion:
            model_id = _model_id(transaction, model)
            before = _version(transaction, model_id, version)
            if before.stage == change.stage:
                return before
            _enter_stage(transaction, before.id, change.stage, caller)
            self._events.record(
                transaction,
                "model.stage_changed",
                f"model:{model_id}",
                caller,
                caller.account_id,
                model=before.model,
                version=version,
                stage=change.stage,
                before=before.stage,
            )
            return before.model_copy(update={"stage": change.stage})

        return await self._database.write(work)

    async def stage_history(self, model: str, version: int) -> Page[StageEntry]:
        """Every stage a version was in, the first one first.

        Raises:
            NotFound: there is no such model or version.
        """

        def work(cursor: Cursor) -> Page[StageEntry]:
            found = _version(cursor, _model_id(cursor, model), version)
            entries = cursor.rows(
                "SELECT stage, author, created_at FROM stage_changes WHERE model_version_id = ? ORDER BY id",
                found.id,
            )
            items = tuple(StageEntry(**entry) for entry in entries)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)


_STAGES = """
    SELECT v.model_id, v.version,
           (SELECT arg_max(s.stage, s.id) FROM stage_changes s WHERE s.model_version_id = v.id) AS stage
    FROM model_versions v ORDER BY v.version
"""


def _bundle_of(cursor: Cursor, run_id: int) -> str:
    row = cursor.row("SELECT bundle FROM runs WHERE id = ?", run_id)
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    if row["bundle"] is None:
        raise Conflict(f"Run {run_id} has no bundle to register: export it first.")
    return str(row["bundle"])


def _enter_stage(transaction: Transaction, model_version_id: int, stage: Stage, caller: Caller) -> None:
    transaction.execute(
        "INSERT INTO stage_changes (model_version_id, stage, author, created_at) VALUES (?, ?, ?, ?)",
        model_version_id,
        stage,
        caller.name,
        now(),
    )


def _model_id(cursor: Cursor, model: str) -> int:
    found = cursor.value("SELECT id FROM models WHERE name = ?", model)
    if found is None and model.isdecimal() and len(model) <= 18:
        found = cursor.value("SELECT id FROM models WHERE id = ?", int(model))
    if found is None:
        raise NotFound(f"There is no model '{model}'.")
    return int(found)


def _version(cursor: Cursor, model_id: int, version: int) -> ModelVersion:
    # A number that no column can hold is not a version either.
    row = (
        cursor.row(f"{_SELECT} WHERE v.model_id = ? AND v.version = ?", model_id, version)
        if 0 < version < 1 << 63
        else None
    )
    if row is None:
        name = cursor.value("SELECT name FROM models WHERE id = ?", model_id)
        raise NotFound(f"Model '{name}' has no version {version}.")
    return _record(row)


def _record(row: dict[str, Any]) -> ModelVersion:
    row["manifest"] = orjson.loads(row["manifest"])
    return ModelVersion(**row, metrics=row["manifest"]["metrics"])


def _model(row: dict[str, Any], versions: list[dict[str, Any]]) -> Model:
    """A model from its row and its versions in ascending order, so that the newest of a stage is kept."""
    return Model(
        id=row["id"],
        name=row["name"],
        latest=versions[-1]["version"],
        stages={entry["stage"]: entry["version"] for entry in versions},
        created_at=row["created_at"],
    )
