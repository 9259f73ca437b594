"""What all its endpoints have in common: codes of errors, the envelope, what is sent and what is answered."""

from collections.abc import Mapping
from typing import Any

from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import (
    Conflict,
    ExportFailed,
    InvalidData,
    InvalidInput,
    InvalidOptions,
    LabError,
    MissingDependency,
    NotFound,
    PermissionDenied,
    TooManyRequests,
    TrainingFailed,
    Unauthenticated,
)
from modelship_lab.server.api.dialect import Dialect
from modelship_lab.server.api.endpoint import Endpoint, InvalidRequest, Problem
from modelship_lab.server.dialects.finsight.words import time_of
from modelship_lab.server.identity.limits import Limit

_CODES: tuple[tuple[type[LabError], str], ...] = (
    (InvalidData, "DATA_ERROR"),
    (MissingDependency, "CONFIGURATION_ERROR"),
    (InvalidOptions, "CONFIGURATION_ERROR"),
    (InvalidInput, "VALIDATION_ERROR"),
    (Unauthenticated, "AUTHENTICATION_ERROR"),
    (PermissionDenied, "AUTHORIZATION_ERROR"),
    (NotFound, "RESOURCE_NOT_FOUND"),
    (Conflict, "RESOURCE_CONFLICT"),
    (TrainingFailed, "TRAINING_ERROR"),
    (ExportFailed, "EXPORT_ERROR"),
    (TooManyRequests, "RATE_LIMITED"),
)

_MESSAGES = {
    "health": "Service is healthy",
    "status": "Service status retrieved successfully",
    "generate_key": "API key generated; it is shown this once",
    "list_keys": "API keys retrieved successfully",
    "revoke_key": "API key revoked",
    "start_training": "Training job started",
    "get_training": "Training status retrieved successfully",
    "get_training_logs": "Training logs retrieved successfully",
    "cancel_training": "Training job is being cancelled",
    "export_model": "Model export answered; its status tells how it went",
    "get_export": "Export status retrieved successfully",
    "register_model": "Model registered successfully",
    "list_models": "Models retrieved successfully",
    "transition_stage": "Model stage changed successfully",
    "delete_version": "Model version deleted successfully",
    "validate_data": "Dataset examined",
    "report_data": "Dataset report generated",
}


class RegistryFailed(LabError):
    code = "REGISTRY_ERROR"


class ConfigurationFailed(LabError):
    """Each field of a configuration is what it should be, but it cannot be trained like this."""

    code = "CONFIGURATION_ERROR"


def _error(error: LabError, request_id: str) -> tuple[int, Any, Mapping[str, str]]:
    code = code_of(error) or error.code
    if isinstance(error, InvalidRequest) and all(map(_is_of_whole_configuration, error.problems)):
        code = "CONFIGURATION_ERROR"
    status = 500 if code in ("DATA_ERROR", "CONFIGURATION_ERROR") else error.status
    details: dict[str, Any] = {}
    problems = [
        {"field": _field(str(one.get("field", ""))), "issue": str(one.get("reason", ""))}
        for one in error.details
        if "reason" in one
    ]
    if problems:
        details = {**problems[0], "problems": problems}
    if isinstance(error, InvalidRequest) and problems:
        details["path"] = str(error.details[0].get("field", ""))
    body = {
        "success": False,
        "error": {"code": code, "message": error.message, "details": details},
        "correlation_id": request_id,
        "timestamp": time_of(utc_now()),
    }
    return status, body, {}


def code_of(error: LabError) -> str | None:
    """The document's code for an error, if it has one."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)


def _is_of_whole_configuration(problem: Problem) -> bool:
    """Whether fields of a configuration do not go together, each of which is what it should be."""
    return problem.path[:1] == ("config",) and problem.type == "value_error"


def _field(path: str) -> str:
    """The name of the field at the end of a path; a place in a list is none."""
    return next((name for name in reversed(path.split(".")) if not name.isdecimal()), "")


def _envelope(answer: Any, endpoint: Endpoint, request_id: str) -> Any:
    return {
        "success": True,
        "data": answer,
        "message": _MESSAGES.get(endpoint.name, endpoint.summary),
        "correlation_id": request_id,
        "timestamp": time_of(utc_now()),
    }


_ENVELOPE: dict[str, Any] = {
    "success": {"type": "boolean"},
    "correlation_id": {"type": "string"},
    "timestamp": {"type": "string"},
}

FINSIGHT = Dialect(
    name="finsight",
    title="FinSight Model Builder",
    version="1.0.0",
    error=_error,
    error_schema={
        "type": "object",
        "required": ["success", "error", "correlation_id", "timestamp"],
        "properties": {
            **_ENVELOPE,
            "error": {
                "type": "object",
                "required": ["code", "message", "details"],
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "details": {"type": "object"},
                },
            },
        },
    },
    envelope=_envelope,
    envelope_schema=lambda answer: {
        "type": "object",
        "required": ["success", "data", "message", "correlation_id"],
        "properties": {**_ENVELOPE, "data": answer, "message": {"type": "string"}},
    },
    limits={"default": (Limit(1200, 60),)},
    lenient=True,
)
