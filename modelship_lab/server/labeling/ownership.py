"""Whose a project is, and so what lies in it."""

from modelship_lab.records.identity import Permission
from modelship_lab.records.labeling import Project
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.database import Database


def require(caller: Caller, permission: Permission, project: Project) -> None:
    """Let the caller read or change a project, or what lies in it.

    Raises:
        NotFound: they may not see it.
        PermissionDenied: they may only read it, or their credential lacks the permission.
    """
    policy.require(caller, permission, project, f"project '{project.name}'")


def may_label(caller: Caller, project: Project) -> bool:
    """Whether the caller is one of those who label in a project."""
    labels = policy.may_change(caller, project) or policy.may_label(caller, project)
    return labels and "label" in caller.permissions


async def is_held(database: Database, table: str, column: str, digest: str, caller: Caller) -> bool:
    """Whether a project that the caller may see has this digest in a column of one of its tables."""
    condition, parameters = policy.visible(caller, "p.owner_id", "p.is_public", "p.labeler_ids")
    found = await database.read(
        lambda cursor: cursor.value(
            f"SELECT 1 FROM {table} t JOIN projects p ON p.id = t.project_id "
            f"WHERE t.{column} = ? AND {condition} LIMIT 1",
            digest,
            *parameters,
        )
    )
    return found is not None
