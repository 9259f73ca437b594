"""Registered models: numbered versions of a name, each with a bundle, a lineage and a stage."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from modelship_lab.records.base import Page, as_id
from modelship_lab.records.errors import Conflict, NotFound
from modelship_lab.records.identity import Permission
from modelship_lab.records.registry import (
    Model,
    ModelVersion,
    NewModelVersion,
    Stage,
    StageChange,
    StageEntry,
)
from modelship_lab.records.tracking import Run
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller, Ownership
from modelship_lab.server.registry.bundles import BundleStore
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

FindRun = Callable[[int, Caller], Awaitable[Run]]
"""From a run's id to the run, if the caller may see it."""

_SELECT = """
    SELECT v.id, v.model_id, m.name AS model, v.version, m.owner_id, m.is_public, v.description, v.tags, v.metadata, v.run_id, v.snapshot_id, v.project_id,
           v.bundle, v.manifest, v.created_at,
           (SELECT arg_max(s.stage, s.id) FROM stage_changes s WHERE s.model_version_id = v.id) AS stage
    FROM model_versions v JOIN models m ON m.id = v.model_id
"""


class Models:
    """The models of the lab. Versions are immutable; stages are a history whose newest entry counts.

    A model belongs to who registered its first version; of another owner, the same name is another model.
    """

    def __init__(self, database: Database, events: EventLog, bundles: BundleStore, find_run: FindRun) -> None:
        self._database = database
        self._events = events
        self._bundles = bundles
        self._find_run = find_run

    async def register(self, new: NewModelVersion, caller: Caller) -> ModelVersion:
        """Make a run's exported bundle the next version of the caller's model; the first one makes the model.

        Raises:
            NotFound: there is no such run for the caller, or its bundle is gone.
            Conflict: the run has no bundle yet.
            InvalidData: the bundle is damaged.
        """
        caller.require("register")
        run = await self._find_run(new.run_id, caller)
        bundle = run.bundle
        if bundle is None:
            raise Conflict(f"Run {new.run_id} has no bundle to register: export it first.")
        manifest = await asyncio.to_thread(self._bundles.manifest, bundle)

        def work(transaction: Transaction) -> ModelVersion:
            if transaction.value("SELECT id FROM runs WHERE id = ?", new.run_id) is None:
                raise NotFound(f"There is no run {new.run_id}.")
            moment = now()
            model_id = transaction.value(
                "SELECT id FROM models WHERE name = ? AND owner_id = ?", new.name, caller.account_id
            )
            if model_id is None:
                model_id = transaction.value(
                    "INSERT INTO models (name, owner_id, is_public, created_at) VALUES (?, ?, ?, ?) "
                    "RETURNING id",
                    new.name,
                    caller.account_id,
                    bool(new.is_public),
                    moment,
                )
            elif new.is_public is not None:
                transaction.execute("UPDATE models SET is_public = ? WHERE id = ?", new.is_public, model_id)
            # A number that was deleted is not given again: addresses keep meaning what they meant.
            version = 1 + transaction.value(
                "SELECT greatest(m.last_version, (SELECT coalesce(max(version), 0) FROM model_versions "
                "WHERE model_id = m.id)) FROM models m WHERE m.id = ?",
                model_id,
            )
            transaction.execute("UPDATE models SET last_version = ? WHERE id = ?", version, model_id)
            identity = transaction.value(
                """INSERT INTO model_versions (model_id, version, run_id, snapshot_id, project_id, bundle,
                                               manifest, description, tags, metadata, author, created_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
                model_id,
                version,
                new.run_id,
                run.snapshot_id,
                run.project_id,
                bundle,
                manifest.model_dump_json(),
                new.description,
                list(new.tags),
                orjson.dumps(new.metadata).decode(),
                caller.name,
                moment,
            )
            _enter_stage(transaction, identity, new.stage, "", caller)
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

    async def page(self, caller: Caller) -> Page[Model]:
        """The caller's and public models, by name."""
        condition, parameters = policy.visible(caller)

        def work(cursor: Cursor) -> Page[Model]:
            found = cursor.rows(f"SELECT * FROM models WHERE {condition} ORDER BY name, id", *parameters)
            stages: dict[int, list[dict[str, Any]]] = {}
            for row in cursor.rows(_STAGES):
                stages.setdefault(row["model_id"], []).append(row)
            items = tuple(_model(row, stages[row["id"]]) for row in found)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)

    async def get(self, model: str | int, caller: Caller) -> Model:
        """One model, by name or id; a number is an id.

        Of several with one name it is the caller's own, else the oldest that they may see.

        Raises:
            NotFound: there is none for the caller.
        """

        def work(cursor: Cursor) -> Model:
            model_id = _find(cursor, model, caller).id
            row = cursor.row("SELECT * FROM models WHERE id = ?", model_id)
            assert row is not None
            versions = [entry for entry in cursor.rows(_STAGES) if entry["model_id"] == model_id]
            return _model(row, versions)

        return await self._database.read(work)

    async def versions(self, model: str | int, caller: Caller) -> Page[ModelVersion]:
        """All versions of a model, the newest first.

        Raises:
            NotFound: there is no such model for the caller.
        """

        def work(cursor: Cursor) -> Page[ModelVersion]:
            model_id = _find(cursor, model, caller).id
            found = cursor.rows(f"{_SELECT} WHERE v.model_id = ? ORDER BY v.version DESC", model_id)
            items = tuple(_record(row) for row in found)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)

    async def version(self, model: str | int, version: int, caller: Caller) -> ModelVersion:
        """One version of a model, by the model's name or id.

        Raises:
            NotFound: there is no such model or version for the caller.
        """
        return await self._database.read(
            lambda cursor: _version(cursor, _find(cursor, model, caller).id, version)
        )

    async def change_stage(
        self, model: str | int, version: int, change: StageChange, caller: Caller
    ) -> ModelVersion:
        """Move a version to a stage. Another version may be in that stage too; the newest is the one meant.

        Raises:
            NotFound: there is no such model or version for the caller.
            PermissionDenied: the model is somebody else's.
        """

        def work(transaction: Transaction) -> ModelVersion:
            found = _find(transaction, model, caller, "register")
            before = _version(transaction, found.id, version)
            if before.stage == change.stage:
                return before
            _enter_stage(transaction, before.id, change.stage, change.comment, caller)
            self._events.record(
                transaction,
                "model.stage_changed",
                f"model:{found.id}",
                caller,
                found.owner_id,
                model=before.model,
                version=version,
                stage=change.stage,
                before=before.stage,
            )
            return before.model_copy(update={"stage": change.stage})

        return await self._database.write(work)

    async def every_version(
        self, caller: Caller, name: str | None, stage: Stage | None, limit: int, offset: int
    ) -> Page[ModelVersion]:
        """The versions of all models that the caller may see, the newest first.

        Args:
            name, stage: of these alone.
        """
        visible, parameters = policy.visible(caller, "m.owner_id", "m.is_public")
        chosen = (
            f"FROM ({_SELECT} WHERE {visible}) WHERE (?::VARCHAR IS NULL OR model = ?) "
            "AND (?::VARCHAR IS NULL OR stage = ?)"
        )
        parameters = [*parameters, name, name, stage, stage]

        def work(cursor: Cursor) -> Page[ModelVersion]:
            total = cursor.value(f"SELECT count(*) {chosen}", *parameters)
            rows = cursor.rows(
                f"SELECT * {chosen} ORDER BY id DESC LIMIT {limit:d} OFFSET {offset:d}", *parameters
            )
            return Page(items=tuple(map(_record, rows)), total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def delete_version(self, model: str | int, version: int, caller: Caller) -> ModelVersion:
        """Delete a version, and the model with its last one; its bundle stays with its run.

        Raises:
            NotFound: there is no such model or version for the caller.
            PermissionDenied: the model is somebody else's.
            Conflict: it is deployed; says where.
        """

        def work(transaction: Transaction) -> ModelVersion:
            found = _find(transaction, model, caller, "register")
            gone = _version(transaction, found.id, version)
            serving = transaction.rows(
                "SELECT DISTINCT d.name FROM deployment_versions v JOIN deployments d ON d.id = v.deployment_id "
                "WHERE v.model_version_id = ? AND NOT d.deleted ORDER BY d.name",
                gone.id,
            )
            if serving:
                names = ", ".join(f"'{row['name']}'" for row in serving)
                raise Conflict(
                    f"{gone.model}/{version} is deployed as {names}: end that first, or deploy another version there."
                )
            transaction.execute("DELETE FROM stage_changes WHERE model_version_id = ?", gone.id)
            transaction.execute("DELETE FROM model_versions WHERE id = ?", gone.id)
            self._events.record(
                transaction,
                "model.deleted",
                f"model:{found.id}",
                caller,
                found.owner_id,
                model=gone.model,
                version=version,
            )
            if not transaction.value("SELECT count(*) FROM model_versions WHERE model_id = ?", found.id):
                transaction.execute("DELETE FROM models WHERE id = ?", found.id)
            return gone

        return await self._database.write(work)

    async def stage_history(self, model: str | int, version: int, caller: Caller) -> Page[StageEntry]:
        """Every stage a version was in, the first one first.

        Raises:
            NotFound: there is no such model or version for the caller.
        """

        def work(cursor: Cursor) -> Page[StageEntry]:
            found = _version(cursor, _find(cursor, model, caller).id, version)
            entries = cursor.rows(
                "SELECT stage, comment, author, created_at FROM stage_changes WHERE model_version_id = ? ORDER BY id",
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


def _enter_stage(
    transaction: Transaction, model_version_id: int, stage: Stage, comment: str, caller: Caller
) -> None:
    transaction.execute(
        "INSERT INTO stage_changes (model_version_id, stage, comment, author, created_at) VALUES (?, ?, ?, ?, ?)",
        model_version_id,
        stage,
        comment,
        caller.name,
        now(),
    )


def _find(cursor: Cursor, model: str | int, caller: Caller, permission: Permission = "read") -> Ownership:
    """The model that is meant, for what `permission` lets the caller do with it."""

    def those(column: str, value: str | int) -> list[Ownership]:
        rows = cursor.rows(f"SELECT id, owner_id, is_public FROM models WHERE {column} = ?", value)
        return [Ownership(**row) for row in rows]

    found = policy.meant(caller, those("name", model)) if isinstance(model, str) else None
    named, model_id = str(model), as_id(model)
    if found is None and model_id is not None:
        found = policy.meant(caller, those("id", model_id))
    if found is None:
        raise NotFound(f"There is no model '{named[:200]}'.")
    policy.require(caller, permission, found, f"model '{named}'")
    return found


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
    row["manifest"], row["metadata"] = orjson.loads(row["manifest"]), orjson.loads(row["metadata"])
    return ModelVersion(**row, metrics=row["manifest"]["metrics"])


def _model(row: dict[str, Any], versions: list[dict[str, Any]]) -> Model:
    """A model from its row and its versions in ascending order, so that the newest of a stage is kept."""
    return Model(
        id=row["id"],
        name=row["name"],
        owner_id=row["owner_id"],
        is_public=row["is_public"],
        latest=versions[-1]["version"],
        stages={entry["stage"]: entry["version"] for entry in versions},
        created_at=row["created_at"],
    )
