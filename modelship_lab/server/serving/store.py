"""Deployments and their versions in the database: every change of state with its event."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from modelship_lab.records.base import Page
from modelship_lab.records.errors import NotFound
from modelship_lab.records.events import EventType
from modelship_lab.records.serving import Deployment, DeploymentStatus, DeploymentVersion, NewDeployment
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import LAB, Caller, Ownership
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now, placeholders

Result = TypeVar("Result")


@dataclass(frozen=True)
class Plan:
    """A deployment's version as it should be served."""

    deployment_id: int
    name: str
    owner_id: int
    is_public: bool
    key: str
    version: int
    model: str
    bundle: str
    timeout_s: float
    max_batch: int
    max_queue: int
    status: DeploymentStatus
    address: str | None
    """Where its worker was last."""
    is_current: bool
    error: str


_PLAN = """
    SELECT d.id AS deployment_id, d.name, d.owner_id, d.is_public, d.key, v.version, m.name || '/' || mv.version AS model, mv.bundle,
           v.timeout_s, v.max_batch, v.max_queue, v.status, v.address, v.error,
           v.version = d.current_version AS is_current
    FROM deployment_versions v
    JOIN deployments d ON d.id = v.deployment_id
    JOIN model_versions mv ON mv.id = v.model_version_id
    JOIN models m ON m.id = mv.model_id
    WHERE NOT d.deleted
"""

_VERSIONS = """
    SELECT v.deployment_id, v.version, v.status, v.address, v.restarts, v.error, v.cold_start_ms,
           v.created_at, m.name || '/' || mv.version AS model, mv.manifest->>'task' AS task,
           mv.manifest->'classes' AS classes
    FROM deployment_versions v
    JOIN model_versions mv ON mv.id = v.model_version_id
    JOIN models m ON m.id = mv.model_id
"""


class DeploymentStore:
    """What the database knows of deployments."""

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database = database
        self._events = events

    async def add(self, new: NewDeployment, model_version_id: int, key: str, caller: Caller) -> Plan:
        """Write a version that is about to start: the next of the caller's deployment, or the first.

        Args:
            key: the credential that a new deployment gets; one that is there keeps its own.
        """

        def work(transaction: Transaction) -> Plan:
            moment = now()
            deployment_id = transaction.value(
                "SELECT id FROM deployments WHERE name = ? AND owner_id = ? AND NOT deleted",
                new.name,
                caller.account_id,
            )
            if deployment_id is None:
                deployment_id = transaction.value(
                    "INSERT INTO deployments (name, owner_id, is_public, key, current_version, created_at, "
                    "updated_at) VALUES (?, ?, ?, ?, 1, ?, ?) RETURNING id",
                    new.name,
                    caller.account_id,
                    bool(new.is_public),
                    key,
                    moment,
                    moment,
                )
                self._record(
                    transaction,
                    "deployment.created",
                    deployment_id,
                    caller,
                    caller.account_id,
                    name=new.name,
                )
            elif new.is_public is not None:
                transaction.execute(
                    "UPDATE deployments SET is_public = ? WHERE id = ?", new.is_public, deployment_id
                )
            version = 1 + transaction.value(
                "SELECT coalesce(max(version), 0) FROM deployment_versions WHERE deployment_id = ?",
                deployment_id,
            )
            transaction.execute(
                """INSERT INTO deployment_versions (deployment_id, version, model_version_id, timeout_s,
                                                    max_batch, max_queue, status, author, created_at,
                                                    updated_at)
                   VALUES (?, ?, ?, ?, ?, ?, 'starting', ?, ?, ?)""",
                deployment_id,
                version,
                model_version_id,
                new.timeout_s,
                new.max_batch,
                new.max_queue,
                caller.name,
                moment,
                moment,
            )
            self._record(
                transaction,
                "deployment.starting",
                deployment_id,
                caller,
                caller.account_id,
                version=version,
                model=new.model,
            )
            row = transaction.row(f"{_PLAN} AND d.id = ? AND v.version = ?", deployment_id, version)
            assert row is not None
            return Plan(**row)

        return await self._write(work)

    async def plans(self) -> list[Plan]:
        """All versions of living deployments, in ascending order."""
        return await self._database.read(
            lambda cursor: [Plan(**row) for row in cursor.rows(f"{_PLAN} ORDER BY d.id, v.version")]
        )

    async def start_again(self, plans: list[Plan]) -> None:
        """Note that versions which were ready are started again, as the lab server itself was away."""

        def work(transaction: Transaction) -> None:
            for plan in plans:
                _set_version(transaction, plan, status="starting", pid=None)
                self._record(
                    transaction,
                    "deployment.starting",
                    plan.deployment_id,
                    LAB,
                    plan.owner_id,
                    version=plan.version,
                )

        await self._write(work)

    async def ready(self, plan: Plan, address: str, pid: int, cold_start_ms: dict[str, float]) -> None:
        """A version answers, and is from now on the current one."""

        def work(transaction: Transaction) -> None:
            _set_ready(transaction, plan, address, pid, cold_start_ms)
            transaction.execute(
                "UPDATE deployment_versions SET status = 'stopped', pid = NULL, error = '', updated_at = ? "
                "WHERE deployment_id = ? AND version < ? AND status IN ('ready', 'starting')",
                now(),
                plan.deployment_id,
                plan.version,
            )
            transaction.execute(
                "UPDATE deployments SET current_version = ? WHERE id = ?", plan.version, plan.deployment_id
            )
            self._record(
                transaction,
                "deployment.ready",
                plan.deployment_id,
                LAB,
                plan.owner_id,
                version=plan.version,
                model=plan.model,
                address=address,
            )

        await self._write(work)

    async def died(self, plan: Plan, reason: str) -> None:
        """The worker of the current version is gone and will be started again."""

        def work(transaction: Transaction) -> None:
            _set_version(transaction, plan, status="starting", pid=None, error=reason)
            transaction.execute(
                "UPDATE deployment_versions SET restarts = restarts + 1 "
                "WHERE deployment_id = ? AND version = ?",
                plan.deployment_id,
                plan.version,
            )

        await self._write(work)

    async def restarted(self, plan: Plan, address: str, pid: int, cold_start_ms: dict[str, float]) -> None:
        """The worker of the current version answers again."""

        def work(transaction: Transaction) -> None:
            _set_ready(transaction, plan, address, pid, cold_start_ms)
            restarts = transaction.value(
                "SELECT restarts FROM deployment_versions WHERE deployment_id = ? AND version = ?",
                plan.deployment_id,
                plan.version,
            )
            self._record(
                transaction,
                "deployment.restarted",
                plan.deployment_id,
                LAB,
                plan.owner_id,
                version=plan.version,
                address=address,
                restarts=restarts,
            )

        await self._write(work)

    async def failed(self, plan: Plan, error: str) -> None:
        """A version did not start, or died again and again."""

        def work(transaction: Transaction) -> None:
            _set_version(transaction, plan, status="failed", pid=None, error=error)
            self._record(
                transaction,
                "deployment.failed",
                plan.deployment_id,
                LAB,
                plan.owner_id,
                version=plan.version,
                error=error,
            )

        await self._write(work)

    async def superseded(self, plan: Plan) -> None:
        """A version was overtaken by a newer one before it started."""
        await self._write(
            lambda transaction: _set_version(
                transaction,
                plan,
                status="stopped",
                pid=None,
                error="A newer version was deployed before it started.",
            )
        )

    async def delete(self, deployment_id: int, caller: Caller) -> None:
        """Mark a deployment as deleted; its name is free again.

        Raises:
            NotFound: there is none for the caller.
            PermissionDenied: it is somebody else's.
        """

        def work(transaction: Transaction) -> None:
            moment = now()
            row = transaction.row(
                "SELECT id, owner_id, is_public FROM deployments WHERE id = ? AND NOT deleted", deployment_id
            )
            if row is None:
                raise NotFound(f"There is no deployment {deployment_id}.")
            ownership = Ownership(**row)
            policy.require(caller, "deploy", ownership, f"deployment {deployment_id}")
            transaction.execute(
                "UPDATE deployments SET deleted = true, updated_at = ? WHERE id = ?", moment, deployment_id
            )
            transaction.execute(
                "UPDATE deployment_versions SET status = 'stopped', pid = NULL, updated_at = ? "
                "WHERE deployment_id = ? AND status IN ('ready', 'starting')",
                moment,
                deployment_id,
            )
            self._record(transaction, "deployment.deleted", deployment_id, caller, ownership.owner_id)

        await self._write(work)

    async def get(self, deployment_id: int, caller: Caller) -> Deployment:
        """A living deployment.

        Raises:
            NotFound: there is none for the caller.
        """
        page = await self.page(caller, deployment_id)
        if not page.items:
            raise NotFound(f"There is no deployment {deployment_id}.")
        return page.items[0]

    async def page(self, caller: Caller, deployment_id: int | None = None) -> Page[Deployment]:
        """The caller's and public living deployments by name, or only the one with this id."""
        condition, parameters = policy.visible(caller)
        if deployment_id is not None:
            condition += " AND id = ?"
            parameters.append(deployment_id)

        def work(cursor: Cursor) -> Page[Deployment]:
            found = cursor.rows(
                f"SELECT * FROM deployments WHERE NOT deleted AND {condition} ORDER BY name, id", *parameters
            )
            versions: dict[int, list[dict[str, Any]]] = {row["id"]: [] for row in found}
            if versions:
                for row in cursor.rows(
                    f"{_VERSIONS} WHERE v.deployment_id IN ({placeholders(list(versions))}) "
                    "ORDER BY v.version",
                    *versions,
                ):
                    versions[row["deployment_id"]].append(row)
            items = tuple(_record(row, versions[row["id"]], caller) for row in found)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)

    async def _write(self, work: Callable[[Transaction], Result]) -> Result:
        """Write what has happened, also if whoever noticed it is told to stop meanwhile."""
        return await asyncio.shield(self._database.write(work))

    def _record(
        self,
        transaction: Transaction,
        type: EventType,
        deployment_id: int,
        caller: Caller,
        owner_id: int,
        **payload: Any,
    ) -> None:
        self._events.record(transaction, type, f"deployment:{deployment_id}", caller, owner_id, **payload)


def _set_ready(
    transaction: Transaction, plan: Plan, address: str, pid: int, cold_start_ms: dict[str, float]
) -> None:
    """Note that the worker of a version answers, and how its start went."""
    _set_version(
        transaction,
        plan,
        status="ready",
        address=address,
        pid=pid,
        error="",
        cold_start_ms=orjson.dumps(cold_start_ms).decode(),
    )


def _set_version(transaction: Transaction, plan: Plan, **columns: Any) -> None:
    columns["updated_at"] = now()
    assignments = ", ".join(f"{name} = ?" for name in columns)
    transaction.execute(
        f"UPDATE deployment_versions SET {assignments} WHERE deployment_id = ? AND version = ?",
        *columns.values(),
        plan.deployment_id,
        plan.version,
    )
    transaction.execute(
        "UPDATE deployments SET updated_at = ? WHERE id = ?", columns["updated_at"], plan.deployment_id
    )


def _record(row: dict[str, Any], versions: list[dict[str, Any]], caller: Caller) -> Deployment:
    ownership = Ownership(row["owner_id"], row["is_public"])
    with_key = "deploy" in caller.permissions and policy.may_change(caller, ownership)
    current = next(version for version in versions if version["version"] == row["current_version"])
    newest = versions[-1]
    error = current["error"]
    if newest is not current and newest["status"] == "failed":
        error = f"v{newest['version']} ({newest['model']}) did not take over: {newest['error']}"
    return Deployment(
        id=row["id"],
        name=row["name"],
        owner_id=row["owner_id"],
        is_public=row["is_public"],
        status="starting" if newest["status"] == "starting" else current["status"],
        model=current["model"],
        version=current["version"],
        task=current["task"],
        classes=orjson.loads(current["classes"]),
        address=current["address"] if current["status"] == "ready" else None,
        key=row["key"] if with_key else None,
        restarts=current["restarts"],
        error=error,
        cold_start_ms=orjson.loads(current["cold_start_ms"]),
        versions=tuple(
            DeploymentVersion(
                version=version["version"],
                model=version["model"],
                status=version["status"],
                is_current=version is current,
                error=version["error"],
                created_at=version["created_at"],
            )
            for version in versions
        ),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
