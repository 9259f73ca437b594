"""Registered models, their versions and stages."""

from modelship_lab.records.base import Page
from modelship_lab.records.registry import Model, ModelVersion, NewModelVersion, StageChange, StageEntry
from modelship_lab.server.api.endpoint import endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller


@endpoint("POST", "models", permission="register", status=201)
async def register_model(services: Services, caller: Caller, body: NewModelVersion) -> ModelVersion:
    """Register a run's exported bundle as the next version of a model."""
    return await services.models.register(body, caller)


@endpoint("GET", "models", permission="read")
async def list_models(services: Services, caller: Caller) -> Page[Model]:
    """The caller's and public models, by name."""
    return await services.models.page(caller)


@endpoint("GET", "models/{model}", permission="read")
async def read_model(services: Services, caller: Caller, model: str) -> Model:
    """One model, by id or name."""
    return await services.models.get(model, caller)


@endpoint("GET", "models/{model}/versions", permission="read")
async def list_model_versions(services: Services, caller: Caller, model: str) -> Page[ModelVersion]:
    """All versions of a model, the newest first."""
    return await services.models.versions(model, caller)


@endpoint("GET", "models/{model}/versions/{version}", permission="read")
async def read_model_version(services: Services, caller: Caller, model: str, version: int) -> ModelVersion:
    """One version of a model."""
    return await services.models.version(model, version, caller)


@endpoint("DELETE", "models/{model}/versions/{version}", permission="register", status=204)
async def delete_model_version(services: Services, caller: Caller, model: str, version: int) -> None:
    """Delete a version of a model, if it is deployed nowhere."""
    await services.models.delete_version(model, version, caller)


@endpoint("PUT", "models/{model}/versions/{version}/stage", permission="register")
async def change_stage(
    services: Services, caller: Caller, model: str, version: int, body: StageChange
) -> ModelVersion:
    """Move a version to a stage."""
    return await services.models.change_stage(model, version, body, caller)


@endpoint("GET", "models/{model}/versions/{version}/stages", permission="read")
async def list_stages(services: Services, caller: Caller, model: str, version: int) -> Page[StageEntry]:
    """Every stage a version was in, the first one first."""
    return await services.models.stage_history(model, version, caller)
