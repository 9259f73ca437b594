"""Models, their versions and stages."""

from typing import Any, Literal

from pydantic import Field

from modelship_lab.records.base import Name, Record, UtcTime

Stage = Literal["None", "Staging", "Production", "Archived"]


class NewModelVersion(Record):
    """Register a run's exported bundle as the next version of a model."""

    name: Name
    run_id: int
    stage: Stage = "None"
    description: str = Field(default="", max_length=10_000)
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    """Further facts, as JSON."""
    is_public: bool | None = None
    """Whether every account may see the model and use its versions; None: as it is, and a new one is private."""


class StageChange(Record):
    stage: Stage
    comment: str = Field(default="", max_length=10_000)
    """Why, for those who read the history."""


class StageEntry(Record):
    """One entry of a model version's stage history."""

    stage: Stage
    comment: str
    author: str
    created_at: UtcTime


class ModelVersion(Record):
    id: int
    model_id: int
    model: str
    version: int
    owner_id: int
    is_public: bool
    """As its model is."""
    stage: Stage
    description: str
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    run_id: int
    snapshot_id: int | None
    project_id: int | None
    bundle: str
    """The digest of the bundle."""
    manifest: dict[str, Any]
    metrics: dict[str, float]
    created_at: UtcTime


class Model(Record):
    id: int
    name: str
    owner_id: int
    is_public: bool
    latest: int
    stages: dict[str, int]
    """The newest version in each stage."""
    created_at: UtcTime
