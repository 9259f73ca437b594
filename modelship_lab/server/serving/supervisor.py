"""Keeps the worker of every deployment alive, and changes it without a moment in which nobody answers."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelship_lab.records.base import as_id
from modelship_lab.records.errors import LabError, NotFound
from modelship_lab.records.identity import Permission
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.serving.engine import Found, Launch, LocalEngine, port_of
from modelship_lab.server.serving.store import DeploymentStore, Plan
from modelship_lab.server.serving.worker import Worker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long the supervisor bears with what."""

    look_every_s: float = 0.2
    """Between two looks at whether a process lives; a failed request looks at once."""
    ask_every_s: float = 5.0
    """Between two questions whether a worker answers."""
    answer_within_s: float = 10.0
    unanswered: int = 3
    """Questions in a row without an answer after which a worker counts as hung."""
    quick_s: float = 10.0
    """A worker that dies sooner after it was ready has died quickly."""
    quick_deaths: int = 5
    """Quick deaths or failed starts in a row after which a version is given up."""
    back_off_s: float = 0.5
    """Before the second start in a row; doubled each time. The first one is at once."""
    grace_s: float = 10.0
    """For a worker to finish what it has, once it was told to stop."""


class LiveDeployment:
    """A deployment with the worker that has its traffic."""

    def __init__(self, plan: Plan) -> None:
        self.id = plan.deployment_id
        self.name = plan.name
        self.owner_id = plan.owner_id
        self.is_public = plan.is_public
        self.plan: Plan | None = None
        """The current version, once one was ready."""
        self.worker: Worker | None = None
        """Who answers; None while there is nobody."""
        self.given_up = ""
        """Why nobody will answer, if so."""
        self.newest = 0
        """The newest version that was asked for."""
        self.turn = asyncio.Lock()
        """Versions start one after the other."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.revision = 0
        """Counts the changes."""
        self._change = asyncio.Event()
        self._look = asyncio.Event()

    def changed(self) -> None:
        """Wake everybody who waits for a change."""
        self.revision += 1
        self._change.set()
        self._change = asyncio.Event()
        self._look.set()

    async def change(self, timeout_s: float | None = None, after: int | None = None) -> None:
        """Wait for the next change, or for one after the revision `after`; at most so long."""
        if after is None or after == self.revision:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._change.wait(), timeout_s)

    def look(self) -> None:
        """Have the supervisor look at the worker now: a request has just failed."""
        self._look.set()

    async def next_look(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._look.wait(), timeout_s)
        self._look.clear()


class Supervisor:
    """The living deployments of the lab.

    Args:
        store: where every change is written.
        engine: what runs the workers.
        bundle_folder: from a bundle's digest to its folder.
        farewell: called with a worker that has no more requests, before it is stopped.
    """

    def __init__(
        self,
        store: DeploymentStore,
        engine: LocalEngine,
        bundle_folder: Callable[[str], Path],
        farewell: Callable[[Worker], Awaitable[None]],
        patience: Patience = Patience(),
    ) -> None:
        self._store = store
        self._engine = engine
        self._bundle_folder = bundle_folder
        self._farewell = farewell
        self._patience = patience
        self._live: dict[int, LiveDeployment] = {}
        self._retiring: dict[asyncio.Task[None], Worker] = {}

    async def start(self) -> None:
        """Take over the workers that live, and start those that should."""
        await self._engine.open()
        plans = await self._store.plans()
        found = await self._engine.find()
        wanted = {
            (plan.deployment_id, plan.version): plan
            for plan in plans
            if plan.is_current and plan.status in ("ready", "starting")
        }
        adopted = await asyncio.gather(*(self._adopt(one, wanted) for one in found))
        workers = {(worker.deployment_id, worker.version): worker for worker in adopted if worker is not None}
        again = [plan for key, plan in wanted.items() if plan.address is not None and key not in workers]
        await self._store.start_again(again)
        for plan in plans:
            live = self._live.get(plan.deployment_id) or self._enter(plan)
            live.newest = plan.version
            worker = workers.get((plan.deployment_id, plan.version))
            if worker is not None:
                log.info("Deployment %s v%d: took over worker %d", plan.name, plan.version, worker.pid)
                live.plan, live.worker = plan, worker
                if plan.status == "starting":
                    # Its death was written, its return was not.
                    await self._store.restarted(plan, worker.address, worker.pid, worker.cold_start_ms)
            elif plan.is_current and plan.status in ("ready", "starting") and plan.address is not None:
                live.plan = plan
            elif plan.is_current and plan.status == "failed":
                live.plan, live.given_up = plan, plan.error
            elif plan.status == "starting":
                self.roll_out(plan)
        for live in self._live.values():
            live.changed()

    async def _adopt(self, found: Found, wanted: dict[tuple[int, int], Plan]) -> Worker | None:
        """A living worker that is still wanted and answers; others are ended."""
        plan = wanted.get((found.deployment_id, found.version))
        worker = await self._engine.adopt(found, plan.key) if plan is not None else None
        if worker is None:
            await self._engine.clear(found)
        return worker

    def _enter(self, plan: Plan) -> LiveDeployment:
        live = self._live[plan.deployment_id] = LiveDeployment(plan)
        _begin(live, self._supervise(live))
        return live

    def find(self, deployment: str | int, caller: Caller, permission: Permission = "read") -> LiveDeployment:
        """A living deployment by name or id, for what `permission` lets the caller do with it.

        A number is an id. Of several with one name it is the caller's own, else the oldest that they may see.

        Raises:
            NotFound: there is none for them.
            PermissionDenied: it is somebody else's, or their credential lacks the permission.
        """
        named = str(deployment)
        found = None
        if isinstance(deployment, str):
            found = policy.meant(caller, [live for live in self._live.values() if live.name == deployment])
        if found is None and (deployment_id := as_id(deployment)) is not None:
            by_id = self._live.get(deployment_id)
            found = policy.meant(caller, [by_id] if by_id is not None else [])
        if found is None:
            raise NotFound(f"There is no deployment '{named[:200]}'.")
        policy.require(caller, permission, found, f"deployment '{found.name}'")
        return found

    def owner_of(self, deployment_id: int) -> int:
        """The account that a living deployment belongs to; 0, which is nobody's, when there is none."""
        live = self._live.get(deployment_id)
        return live.owner_id if live is not None else 0

    def workers(self) -> list[Worker]:
        """Every worker that may have answered lately."""
        serving = [live.worker for live in self._live.values() if live.worker is not None]
        return [*serving, *self._retiring.values()]

    def roll_out(self, plan: Plan) -> LiveDeployment:
        """Begin to start a version, which takes the traffic as soon as it is warm."""
        live = self._live.get(plan.deployment_id) or self._enter(plan)
        live.newest = max(live.newest, plan.version)
        live.is_public = plan.is_public
        _begin(live, self._roll_out(live, plan))
        return live

    async def _roll_out(self, live: LiveDeployment, plan: Plan) -> None:
        try:
            async with live.turn:
                if plan.version < live.newest:
                    await self._store.superseded(plan)
                    return
                try:
                    worker = await self._start(plan, port=0)
                    try:
                        await self._store.ready(plan, worker.address, worker.pid, worker.cold_start_ms)
                    except BaseException:
                        await asyncio.shield(worker.stop(0.0))
                        raise
                except Exception as error:
                    await self._fail(live, plan, _reason(error))
                    return
                before, live.worker = live.worker, worker
                was, live.plan, live.given_up = live.plan, replace(plan, address=worker.address), ""
                if before is not None and was is not None:
                    self._retire(before, was.timeout_s + self._patience.grace_s)
        except Exception:
            log.exception("Deployment %s v%d was not rolled out", plan.name, plan.version)
        finally:
            live.changed()

    async def _fail(self, live: LiveDeployment, plan: Plan, message: str) -> None:
        log.warning("Deployment %s v%d failed: %s", plan.name, plan.version, message)
        if live.plan is None or live.plan.version == plan.version:
            live.plan, live.given_up = plan, message
        await self._store.failed(plan, message)

    async def _start(self, plan: Plan, port: int) -> Worker:
        launch = Launch(
            deployment_id=plan.deployment_id,
            name=plan.name,
            version=plan.version,
            bundle=self._bundle_folder(plan.bundle),
            key=plan.key,
            timeout_s=plan.timeout_s,
            max_batch=plan.max_batch,
            max_queue=plan.max_queue,
            port=port,
        )
        return await self._engine.start(launch)

    def _retire(self, worker: Worker, grace_s: float) -> None:
        """Stop a worker that gets no more requests, once it has answered those it has."""
        task = asyncio.create_task(self._see_off(worker, grace_s))
        self._retiring[task] = worker
        task.add_done_callback(self._retiring.pop)

    async def _see_off(self, worker: Worker, grace_s: float) -> None:
        try:
            await worker.idle()
            await self._farewell(worker)
        finally:
            await asyncio.shield(worker.stop(grace_s))

    async def _supervise(self, live: LiveDeployment) -> None:
        """Start the current version's worker again whenever it is gone."""
        deaths = 0
        while True:
            plan, worker = live.plan, live.worker
            try:
                if worker is not None:
                    reason = await self._until_dead(live, worker)
                    if not reason or plan is None or live.worker is not worker:
                        # Another version has taken over.
                        deaths = 0
                        continue
                    lived_s = time.monotonic() - worker.ready_at
                    deaths = deaths + 1 if lived_s < self._patience.quick_s else 1
                    live.worker = None
                    live.changed()
                    log.warning("Deployment %s v%d: %s", plan.name, plan.version, reason)
                    await worker.stop(0.0)
                    await self._store.died(plan, reason)
                elif plan is None or live.given_up:
                    deaths = 0
                    await live.change()
                else:
                    deaths = await self._start_again(live, plan, deaths)
            except Exception:
                log.exception("Supervising deployment %s failed", live.name)
                await asyncio.sleep(self._patience.back_off_s)

    async def _until_dead(self, live: LiveDeployment, worker: Worker) -> str:
        """Wait until a worker is dead or hangs; says which. Empty if it is not the current one any more."""
        asked, unanswered = time.monotonic(), 0
        while live.worker is worker:
            if not worker.alive():
                return await worker.cause_of_death()
            if time.monotonic() - asked > self._patience.ask_every_s:
                answers = await worker.healthy(self._patience.answer_within_s)
                unanswered = 0 if answers else unanswered + 1
                asked = time.monotonic()
                if unanswered >= self._patience.unanswered and worker.alive():
                    return "The model worker did not answer any more and was ended."
            await live.next_look(self._patience.look_every_s)
        return ""

    async def _start_again(self, live: LiveDeployment, plan: Plan, deaths: int) -> int:
        """One more try to start the current version's worker; returns the quick deaths in a row."""
        if deaths > self._patience.quick_deaths:
            await self._fail(
                live, plan, f"The model worker died {deaths} times in a row and was given up; deploy again."
            )
            live.changed()
            return 0
        if deaths > 1:
            await live.change(self._patience.back_off_s * 2 ** (deaths - 2))
        if live.plan is not plan or live.worker is not None:
            return 0
        try:
            # The first try takes the old port: who calls the worker directly need not notice.
            worker = await self._start(plan, port_of(plan.address) if deaths <= 1 else 0)
        except Exception as error:
            if deaths >= self._patience.quick_deaths:
                await self._fail(live, plan, _reason(error))
                live.changed()
            return deaths + 1
        if live.plan is not plan or live.worker is not None:
            # Another version has taken over meanwhile.
            await worker.stop(0.0)
            return 0
        live.worker = worker
        live.plan = replace(plan, address=worker.address)
        live.changed()
        written = self._store.restarted if deaths else self._store.ready
        await written(plan, worker.address, worker.pid, worker.cold_start_ms)
        # Again, for those who wait for what is written.
        live.changed()
        return deaths

    def remove(self, live: LiveDeployment) -> None:
        """Forget a deployment; its worker ends by itself once it has answered what it has."""
        self._live.pop(live.id, None)
        worker, live.worker = live.worker, None
        timeout_s = live.plan.timeout_s if live.plan is not None else 0.0
        live.given_up = "The deployment was deleted."
        for task in live.tasks:
            task.cancel()
        live.changed()
        if worker is not None:
            self._retire(worker, timeout_s + self._patience.grace_s)

    async def stop(self) -> None:
        """Stop all workers; they are started again at the next start."""
        for live in self._live.values():
            if live.worker is not None:
                worker, live.worker = live.worker, None
                self._retire(worker, self._patience.grace_s)
        tasks = [task for live in self._live.values() for task in live.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._retiring, return_exceptions=True)
        await self._engine.close()


def _reason(error: Exception) -> str:
    """Why a worker did not start, for its deployment's record; what nobody foresaw goes to the log."""
    if isinstance(error, LabError):
        return error.message
    log.error("A model worker could not be started", exc_info=error)
    return "The lab server met an error of its own while it started the model worker; its log says more."


def _begin(live: LiveDeployment, work: Coroutine[Any, Any, None]) -> None:
    """Run something for a deployment until it is done or the deployment goes."""
    task = asyncio.create_task(work)
    live.tasks.add(task)
    task.add_done_callback(live.tasks.discard)
