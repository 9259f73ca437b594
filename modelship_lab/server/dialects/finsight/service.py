"""Health, status and API keys."""

from typing import Annotated, Any

from pydantic import Field

from modelship_lab.records.base import UtcTime, utc_now
from modelship_lab.records.identity import ApiKey, NewApiKey, Permission
from modelship_lab.server.api.endpoint import Dressed, Offset, PageSize
from modelship_lab.server.api.services import Services
from modelship_lab.server.dialects.finsight.dialect import FINSIGHT
from modelship_lab.server.dialects.finsight.words import Answer, Body, duration, page_of, share, time_of
from modelship_lab.server.identity.policy import Caller
from modelship_lab.version import __version__

KeyId = Annotated[int, Dressed("key-id-")]


class KeyIn(Body):
    name: str = Field(min_length=1, max_length=200)
    permissions: tuple[Permission, ...] | None = None
    expires_at: UtcTime | None = None


@FINSIGHT.endpoint("GET", "api/v1/health", permission=None)
async def health(services: Services) -> Answer:
    """Check service health and dependencies."""
    state = await services.machine.state()
    mlflow = await services.machine.has_mlflow()
    storage = await services.machine.is_storage_writable()
    return Answer.model_validate(
        {
            "status": "healthy" if storage and mlflow is not False else "degraded",
            "timestamp": time_of(utc_now()),
            "version": __version__,
            "dependencies": {
                "mlflow": {None: "not configured", True: "connected", False: "disconnected"}[mlflow],
                "gpu": "unavailable" if state.gpu_percent is None else "available",
                "storage": "accessible" if storage else "inaccessible",
            },
        }
    )


@FINSIGHT.endpoint("GET", "api/v1/status", permission="read")
async def status(services: Services, caller: Caller) -> Answer:
    """Get detailed service status."""
    state = await services.machine.state()
    active = await services.jobs.everybodys("training", "running", 1, 0, caller)
    return Answer.model_validate(
        {
            "service": "sentiment-model-builder",
            "version": __version__,
            "uptime": duration((utc_now() - services.info.started_at).total_seconds(), seconds_too=True),
            "active_training_jobs": active.total,
            "gpu_utilization": state.gpu_percent,
            "memory_usage": share(state.memory_used, state.memory_total),
            "disk_usage": share(state.disk_used, state.disk_total),
        }
    )


@FINSIGHT.endpoint("POST", "api/v1/auth/generate-key", permission="admin", status=201)
async def generate_key(services: Services, caller: Caller, body: KeyIn) -> Answer:
    """Generate a new API key."""
    new = NewApiKey(name=body.name, permissions=body.permissions, expires_at=body.expires_at)
    made = await services.keys.create(new, caller)
    return Answer.model_validate({**_key(made), "key": made.key, "api_key": made.key})


@FINSIGHT.endpoint("GET", "api/v1/auth/keys", permission="admin")
async def list_keys(services: Services, caller: Caller, limit: PageSize = 100, offset: Offset = 0) -> Answer:
    """List the API keys that are active."""
    page = services.keys.page(caller, True, 10**6, 0)
    active = [
        key
        for key in page.items
        if key.revoked_at is None and (key.expires_at is None or key.expires_at > utc_now())
    ]
    items = [_key(key) for key in active[offset : offset + limit]]
    return page_of(items, len(active), limit, offset)


@FINSIGHT.endpoint("DELETE", "api/v1/auth/keys/{key_id}", permission="admin")
async def revoke_key(services: Services, caller: Caller, key_id: KeyId) -> Answer:
    """Revoke an API key."""
    await services.keys.revoke(key_id, caller)
    return Answer.model_validate({"id": f"key-id-{key_id}", "revoked": True})


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": f"key-id-{key.id}",
        "key_id": f"key-id-{key.id}",
        "name": key.name,
        "prefix": key.prefix,
        "permissions": key.permissions,
        "created_at": time_of(key.created_at),
        "expires_at": None if key.expires_at is None else time_of(key.expires_at),
    }
