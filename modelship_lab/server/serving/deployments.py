"""Deployments: made from registered models, asked for predictions, deleted."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Unavailable
from modelship_lab.records.registry import ModelVersion
from modelship_lab.records.serving import Deployment, NewDeployment
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.serving.store import DeploymentStore
from modelship_lab.server.serving.supervisor import LiveDeployment, Supervisor
from modelship_lab.server.serving.worker import Answer, Worker

FindModel = Callable[[str, int, Caller], Awaitable[ModelVersion]]
"""From a model's name and version to what is registered, if the caller may see it."""

PATIENCE_S = 2.0
"""How long a request waits for a worker that is just being started again."""

MARGIN_S = 5.0
"""A worker says by itself that it took too long; the lab server waits a little longer for that."""


class Deployments:
    """The deployments of the lab."""

    def __init__(self, store: DeploymentStore, supervisor: Supervisor, find_model: FindModel) -> None:
        self._store = store
        self._supervisor = supervisor
        self._find_model = find_model
        self._deploying = asyncio.Lock()

    async def start(self) -> None:
        """Take over the workers that live and start those that should."""
        await self._supervisor.start()

    async def stop(self) -> None:
        """Stop all workers once they have answered what they have."""
        await self._supervisor.stop()

    def workers(self) -> list[Worker]:
        """Every worker that may have answered lately."""
        return self._supervisor.workers()

    async def deploy(self, new: NewDeployment, caller: Caller) -> Deployment:
        """Begin to serve a registered model version: as a new deployment, or as the next version of one.

        A new version takes over once it is warm; if it does not start, the one before stays.

        Raises:
            NotFound: there is no such model version for the caller.
        """
        caller.require("deploy")
        name, _, number = new.model.rpartition("/")
        model = await self._find_model(name, int(number[:18]), caller)
        # The id or name that was asked for becomes the name in full.
        new = new.model_copy(update={"model": f"{model.model}/{model.version}"})
        # In the order of the commits, or an older version could be taken for the newest.
        async with self._deploying:
            plan = await self._store.add(new, model.id, secrets.token_urlsafe(32), caller)
            live = self._supervisor.roll_out(plan)
        return await self._store.get(live.id, caller)

    async def get(self, deployment: str | int, caller: Caller, wait_s: float = 0.0) -> Deployment:
        """A deployment by id or name; waits so long for it to be no longer starting.

        Of several with one name it is the caller's own, else the oldest that they may see.

        Raises:
            NotFound: there is none for the caller.
        """
        live = self._supervisor.find(deployment, caller)
        until = time.monotonic() + wait_s
        while True:
            seen = live.revision
            found = await self._store.get(live.id, caller)
            left = until - time.monotonic()
            if found.status != "starting" or left <= 0:
                return found
            await live.change(left, after=seen)

    async def page(self, caller: Caller) -> Page[Deployment]:
        """The caller's and public deployments, by name."""
        return await self._store.page(caller)

    async def delete(self, deployment: str | int, caller: Caller) -> None:
        """Delete a deployment and stop its worker once that has answered what it has.

        Raises:
            NotFound: there is none for the caller.
            PermissionDenied: it is somebody else's.
        """
        async with self._deploying:
            live = self._supervisor.find(deployment, caller, "deploy")
            await self._store.delete(live.id, caller)
            self._supervisor.remove(live)

    async def predict(self, deployment: str | int, caller: Caller, body: bytes, content_type: str) -> Answer:
        """Forward a predict request to the current version's worker, and hand back what it answers.

        A prediction changes nothing, so one whose worker went away is asked for once more; and one
        that finds nobody waits a moment for the worker that is being started.

        Raises:
            NotFound: there is no such deployment for the caller.
            Unavailable: nobody answers, or will not for a while.
            TimedOut: no answer in time.
        """
        live = self._supervisor.find(deployment, caller)
        until: float | None = None
        lost = False
        while True:
            worker, plan = live.worker, live.plan
            if worker is not None and plan is not None:
                try:
                    with worker.used():
                        answer = await worker.predict(body, content_type, plan.timeout_s + MARGIN_S)
                    if answer.status != 503:
                        return answer
                except ConnectionResetError:
                    if lost:
                        # Twice is no accident: it may be this very request that ends the worker.
                        raise Unavailable(
                            f"The model worker of '{live.name}' went away twice during this request."
                        ) from None
                    lost = True
                except ConnectionError:
                    pass
                live.look()
            elif live.given_up:
                raise Unavailable(f"Deployment '{live.name}' does not answer: {live.given_up}")
            now = time.monotonic()
            until = until if until is not None else now + PATIENCE_S
            if now >= until:
                raise _not_yet(live)
            # While there is a worker that has just failed, wait only until it was looked at.
            await live.change(min(until - now, 0.05) if worker is not None else until - now)


def _not_yet(live: LiveDeployment) -> Unavailable:
    return Unavailable(f"Deployment '{live.name}' is starting; try again in a few seconds.")
