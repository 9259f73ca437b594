"""Snapshots of what is labeled."""

from modelship_lab.records.base import Page
from modelship_lab.records.labeling import NewSnapshot, Snapshot, SnapshotDiff
from modelship_lab.server.api.endpoint import ARROW, FileContent, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller

ARROW_FILE = "application/vnd.apache.arrow.file"


@endpoint("POST", "projects/{project}/snapshots", permission="train", status=201)
async def create_snapshot(services: Services, caller: Caller, project: str, body: NewSnapshot) -> Snapshot:
    """Copy what is labeled now, for good."""
    return await services.snapshots.create(services.projects.get(project, caller), body, caller)


@endpoint("GET", "projects/{project}/snapshots", permission="read")
async def list_snapshots(services: Services, caller: Caller, project: str) -> Page[Snapshot]:
    """All snapshots of a project, the newest first."""
    return await services.snapshots.page(services.projects.get(project, caller), caller)


@endpoint("GET", "snapshots/{snapshot_id}", permission="read")
async def read_snapshot(services: Services, caller: Caller, snapshot_id: int) -> Snapshot:
    """One snapshot."""
    return await services.snapshots.get(snapshot_id, caller)


@endpoint("GET", "snapshots/{snapshot_id}/diff/{other_id}", permission="read")
async def diff_snapshots(services: Services, caller: Caller, snapshot_id: int, other_id: int) -> SnapshotDiff:
    """What changed from the first to the second snapshot."""
    return await services.snapshots.diff(snapshot_id, other_id, caller)


@endpoint("GET", "snapshots/{snapshot_id}/data", permission="read")
async def read_snapshot_data(services: Services, caller: Caller, snapshot_id: int) -> FileContent:
    """The Arrow IPC file of a snapshot."""
    return FileContent(await services.snapshots.data(snapshot_id, caller), ARROW_FILE, immutable=True)


@endpoint("GET", "snapshots/{snapshot_id}/blobs", permission="read")
async def read_snapshot_images(services: Services, caller: Caller, snapshot_id: int) -> FileContent:
    """All images of a snapshot, as an Arrow IPC stream with the columns digest and data."""
    return FileContent(await services.snapshots.images(snapshot_id, caller), ARROW, temporary=True)
