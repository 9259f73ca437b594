"""What training needs of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

__all__ = ["RunLog", "as_params"]

_LONGEST_KEY = 250


class RunLog(Protocol):
    """Where training logs to; `client.RunHandle` has it."""

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None: ...

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def save_artifact(
        self, name: str, content: bytes | str | Path, content_type: str | None = None
    ) -> Any: ...

    def upload_bundle(self, tar: Path) -> Any: ...


def as_params(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Settings as the parameters of a run: what is nested gets names with dots.

    Args:
        settings: a mapping, or an object whose attributes are meant.
        prefix: what their names begin with.
    """
    params: dict[str, Any] = {}
    for key, value in (settings if isinstance(settings, Mapping) else vars(settings)).items():
        name = f"{prefix}{key}"[:_LONGEST_KEY]
        if isinstance(value, Mapping) and value:
            params |= as_params(value, f"{name}.")
        else:
            params[name] = value
    return params
