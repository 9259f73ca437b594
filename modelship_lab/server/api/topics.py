"""Who may hear of what: a topic of events is as visible as the thing that it is about."""

from modelship_lab.records.base import as_id
from modelship_lab.records.errors import NotFound
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller

HOLDER = "holder"
"""The kind of the topic by which a session of labeling shows that it is there: `holder:` and its holder."""


async def require_topic(services: Services, caller: Caller, topic: str) -> None:
    """Let the caller hear of a topic, e.g. `run:12`; of `*`, which is everything of theirs, all may.

    Raises:
        NotFound: there is no such thing for the caller.
    """
    if topic == "*" or caller.is_admin:
        # Who administers may ask for what was deleted, too.
        return
    kind, _, number = topic.partition(":")
    if kind == HOLDER:
        # Nothing is told under it: who hears it says that they are there.
        return
    identity = as_id(number)
    if identity is None:
        raise NotFound(f"There is no topic '{topic[:200]}'.")
    match kind:
        case "project":
            services.projects.get(identity, caller)
        case "run":
            await services.runs.get(identity, caller)
        case "model":
            await services.models.get(identity, caller)
        case "deployment":
            await services.deployments.get(identity, caller)
        case "webhook":
            await services.webhooks.get(identity, caller)
        case "account" if identity == caller.account_id:
            return
        case _:
            raise NotFound(f"There is no topic '{topic[:200]}'.")
