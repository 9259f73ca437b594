"""Artifacts: the files of a run."""

from modelship_lab.records.base import Record, UtcTime


class Artifact(Record):
    id: int
    run_id: int
    name: str
    size: int
    digest: str
    content_type: str
    created_at: UtcTime
