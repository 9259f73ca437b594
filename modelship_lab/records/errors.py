"""The tree of errors; every error of the lab is one of these.

    LabError                     500 INTERNAL_ERROR
    ├── InvalidInput             422 INVALID_INPUT        the request or command is not understood
    │   ├── InvalidData          422 INVALID_DATA         a file, row or frame cannot be read
    │   └── InvalidOptions       422 INVALID_OPTIONS      a recipe has no such option, or does not take its value
    ├── Unauthenticated          401 UNAUTHENTICATED      no credential, or not a valid one
    ├── InsufficientCredits      402 INSUFFICIENT_CREDITS the account has not the credits that this costs
    ├── PermissionDenied         403 PERMISSION_DENIED    a valid credential that may not do this
    ├── NotFound                 404 NOT_FOUND            no such thing, or not for this caller
    ├── MethodNotAllowed         405 METHOD_NOT_ALLOWED   the address exists, but not for this method
    ├── RequestTimeout           408 REQUEST_TIMEOUT      the rest of the request did not come
    ├── Conflict                 409 CONFLICT             the thing exists or is in the wrong state
    │   └── AlreadyOpen          409 ALREADY_OPEN         another process owns the data directory
    ├── PayloadTooLarge          413 PAYLOAD_TOO_LARGE    more bytes than the lab takes at once
    ├── UnsupportedMediaType     415 UNSUPPORTED_MEDIA_TYPE  a body in a form that is not read here
    ├── TooManyRequests          429 TOO_MANY_REQUESTS    a queue is full; try again later
    │   └── RateLimitExceeded    429 RATE_LIMIT_EXCEEDED  more requests than the account has in this window
    ├── Interrupted              499 INTERRUPTED          the user stopped it
    ├── TrainingFailed           500 TRAINING_FAILED      training could not go on
    ├── ExportFailed             500 EXPORT_FAILED        the exported model disagrees with its source
    ├── DeploymentFailed         500 DEPLOYMENT_FAILED    a model worker could not be started
    ├── PredictionFailed         500 PREDICTION_FAILED    a model raised on a valid input
    ├── StorageFailed            500 STORAGE_FAILED       the database or the disk refused
    ├── MissingDependency        501 MISSING_DEPENDENCY   an optional package is not installed
    ├── Unavailable              503 UNAVAILABLE          a process is starting, stopping or away
    └── TimedOut                 504 TIMED_OUT            no answer within the limit

A message says what was wrong, where, and what to do next. It never carries a secret, a stack
trace, or a path outside the lab's folders.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

__all__ = [
    "AlreadyOpen",
    "Conflict",
    "DeploymentFailed",
    "ExportFailed",
    "InsufficientCredits",
    "Interrupted",
    "InvalidData",
    "InvalidInput",
    "InvalidOptions",
    "LabError",
    "MethodNotAllowed",
    "MissingDependency",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "PredictionFailed",
    "RateLimitExceeded",
    "RequestTimeout",
    "StorageFailed",
    "TimedOut",
    "TooManyRequests",
    "TrainingFailed",
    "Unauthenticated",
    "Unavailable",
    "UnsupportedMediaType",
    "error_from_code",
]


class LabError(Exception):
    """The root of all errors of the lab.

    Args:
        message: one or two sentences for the person who reads it.
        details: further facts, one mapping for each, e.g. every invalid field of a request as
            `{"field": "classes", "reason": "at least two are needed"}`.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[int] = 500

    request_id: str = ""
    """The server's id of the request that failed; empty when the error did not come from a server."""

    def __init__(self, message: str, details: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = list(details)


class InvalidInput(LabError):
    code = "INVALID_INPUT"
    status = 422


class InvalidData(InvalidInput):
    code = "INVALID_DATA"


class InvalidOptions(InvalidInput):
    """`details` name the options of a recipe that are wrong."""

    code = "INVALID_OPTIONS"


class Unauthenticated(LabError):
    code = "UNAUTHENTICATED"
    status = 401


class InsufficientCredits(LabError):
    """`details` has one mapping with `required`, `available` and `upgrade_url`."""

    code = "INSUFFICIENT_CREDITS"
    status = 402


class PermissionDenied(LabError):
    code = "PERMISSION_DENIED"
    status = 403


class NotFound(LabError):
    code = "NOT_FOUND"
    status = 404


class MethodNotAllowed(LabError):
    code = "METHOD_NOT_ALLOWED"
    status = 405


class RequestTimeout(LabError):
    code = "REQUEST_TIMEOUT"
    status = 408


class Conflict(LabError):
    code = "CONFLICT"
    status = 409


class AlreadyOpen(Conflict):
    code = "ALREADY_OPEN"


class PayloadTooLarge(LabError):
    code = "PAYLOAD_TOO_LARGE"
    status = 413


class UnsupportedMediaType(LabError):
    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415


class TooManyRequests(LabError):
    code = "TOO_MANY_REQUESTS"
    status = 429


class RateLimitExceeded(TooManyRequests):
    """`details` has one mapping with `limit` (requests), `window` (in words) and `retry_after` (seconds)."""

    code = "RATE_LIMIT_EXCEEDED"


class Interrupted(LabError):
    code = "INTERRUPTED"
    status = 499


class TrainingFailed(LabError):
    code = "TRAINING_FAILED"


class ExportFailed(LabError):
    code = "EXPORT_FAILED"


class DeploymentFailed(LabError):
    code = "DEPLOYMENT_FAILED"


class PredictionFailed(LabError):
    code = "PREDICTION_FAILED"


class StorageFailed(LabError):
    code = "STORAGE_FAILED"


class MissingDependency(LabError):
    code = "MISSING_DEPENDENCY"
    status = 501


class Unavailable(LabError):
    code = "UNAVAILABLE"
    status = 503


class TimedOut(LabError):
    code = "TIMED_OUT"
    status = 504


_BY_CODE = {
    name.code: name
    for name in [
        value for value in globals().values() if isinstance(value, type) and issubclass(value, LabError)
    ]
}


def error_from_code(code: str, message: str, details: Sequence[dict[str, Any]] = ()) -> LabError:
    """The error that a server's answer names, so that a client raises what the server raised."""
    return _BY_CODE.get(code, LabError)(message, details)
