"""The caller of a request and the one place that decides what they may do."""

from typing import Literal, get_args

from modelship_lab.records.base import Record
from modelship_lab.records.errors import PermissionDenied

Permission = Literal[
    "read", "write", "label", "train", "export", "register", "deploy", "deploy_code", "admin"
]

ALL_PERMISSIONS: frozenset[Permission] = frozenset(get_args(Permission))


class Caller(Record):
    """Somebody whose credential was checked."""

    name: str
    """Written as the author of what they do."""
    permissions: frozenset[Permission]

    def require(self, permission: Permission) -> None:
        """Let the caller pass or raise PermissionDenied. Everything that needs a permission asks here."""
        if permission not in self.permissions:
            raise PermissionDenied(f"This needs the permission '{permission}', which this credential lacks.")


OWNER = Caller(name="owner", permissions=ALL_PERMISSIONS)
"""Jupyter's own identity and the lab's token: the lab is theirs."""
