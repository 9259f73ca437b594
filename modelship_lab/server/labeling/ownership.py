"""Whose a project is, and so what lies in it."""

from modelship_lab.records.identity import Permission
from modelship_lab.records.labeling import Project
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller


def require(caller: Caller, permission: Permission, project: Project) -> None:
    """Let the caller read or change a project, or what lies in it.

    Raises:
        NotFound: they may not see it.
        PermissionDenied: they may only read it, or their credential lacks the permission.
    """
    policy.require(caller, permission, project, f"project '{project.name}'")
