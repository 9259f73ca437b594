"""Where a run belongs: in which project and in which other run, and so to whom."""

from collections.abc import Sequence

from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.records.tracking import MAX_DEPTH, NewRun
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller, Ownership
from modelship_lab.server.storage.database import Cursor, placeholders
from modelship_lab.server.tracking.stored_runs import project_of, run_of


def home_of(cursor: Cursor, new: NewRun, caller: Caller) -> tuple[int | None, int]:
    """In which project a new run is, and whose it is.

    Raises:
        NotFound: no such project, snapshot or parent for the caller.
        PermissionDenied: the project or the parent is somebody else's.
        InvalidInput: the parent is nested too deep.
    """
    project = None
    if new.project is not None:
        project = project_of(cursor, new.project, caller)
        policy.require(caller, "train", project, f"project '{new.project}'")
    if new.snapshot_id is not None:
        filed = _project_of_snapshot(cursor, new.snapshot_id, caller)
        # Who trains on somebody else's public samples has a run of their own, in no project.
        if project is None and policy.may_change(caller, filed):
            project = filed
    if new.parent_id is not None:
        parent = run_of(cursor, new.parent_id)
        policy.require(caller, "train", parent, f"run {new.parent_id}")
        if _depth_of(cursor, new.parent_id) >= MAX_DEPTH:
            raise InvalidInput(
                f"Runs are nested at most {MAX_DEPTH} deep: give run {new.parent_id} no more parts.",
                [{"field": "parent_id", "reason": "too deep"}],
            )
        return parent.project_id, parent.owner_id
    if project is None:
        return None, caller.account_id
    return project.id, project.owner_id


def with_descendants(cursor: Cursor, run_ids: Sequence[int]) -> list[int]:
    """Runs and all that are nested in them, those that are outside first."""
    found = dict.fromkeys(run_ids)
    level = list(found)
    while level:
        children = cursor.column(
            f"SELECT id FROM runs WHERE parent_id IN ({placeholders(level)}) ORDER BY id", *level
        )
        level = [run_id for run_id in children if run_id not in found]
        found.update(dict.fromkeys(level))
    return list(found)


def _depth_of(cursor: Cursor, run_id: int) -> int:
    """In how many runs a run is nested, itself included."""
    depth = 0
    above: int | None = run_id
    while above is not None and depth < MAX_DEPTH:
        depth += 1
        above = cursor.value("SELECT parent_id FROM runs WHERE id = ?", above)
    return depth


def _project_of_snapshot(cursor: Cursor, snapshot_id: int, caller: Caller) -> Ownership:
    row = cursor.row(
        "SELECT p.id, p.owner_id, p.is_public FROM snapshots s JOIN projects p ON p.id = s.project_id "
        "WHERE s.id = ?",
        snapshot_id,
    )
    if row is None:
        raise NotFound(f"There is no snapshot {snapshot_id}.")
    found = Ownership(**row)
    policy.require(caller, "read", found, f"snapshot {snapshot_id}")
    return found
