"""What may be done by whom. This file decides; the native API, the dialects and the sockets ask it.

Who somebody is comes from one of five credentials:

| credential                        | account               | permissions                                |
|-----------------------------------|-----------------------|--------------------------------------------|
| Jupyter's own identity, lab token | the lab's owner       | all                                        |
| another user of a JupyterHub      | one of their own      | those of the account                       |
| token from a login (JWT)          | who logged in         | those of the account                       |
| API key                           | who made the key      | those of the key that the account has, too |
| token of a background job         | the project's owner   | train, export, of those of who began it    |

Every credential may read. What else it may do is one permission for each endpoint:

| permission    | lets                                                              |
|---------------|-------------------------------------------------------------------|
| `read`        | see things, ask deployments for predictions                       |
| `write`       | make, change and delete projects, imports, snapshots and webhooks |
| `label`       | save and undo labels, save suggestions                            |
| `train`       | make, change and delete runs, log metrics, save artifacts         |
| `export`      | save bundles                                                      |
| `register`    | register models and move versions between stages                  |
| `deploy`      | make and delete deployments                                       |
| `deploy_code` | have somebody's code run: pickles, scripts, requirements          |
| `admin`       | see and change what belongs to others, manage accounts and limits |

And everything belongs to somebody: projects, models and deployments to who made them, runs to the
owner of their project, or to who made them when they have none; what is inside of these (samples,
labels, snapshots, metrics, artifacts, versions) to the owner of what it is in.

- Who has `admin` sees and changes everything.
- Others see what is theirs and what is public, and change what is theirs.
- Who is named as a labeler of a project sees it and labels in it.
- What somebody may not see does not exist for them (404); what they see but may not change is
  refused (403).
- Unasked, somebody hears of the events about what is theirs, and who has `admin` of all of them.
- Who may train may train on a file of the workspace: importing it into a project of theirs is part of that.
- A background job reaches its own project, run and snapshot through the native API, and nothing else.
- Nobody gives away what they may not do themselves, and only an administrator says what an account
  may do. API keys make no API keys and change no passwords, unless an administrator made them.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, get_args

from modelship_lab.records.errors import NotFound, PermissionDenied
from modelship_lab.records.identity import Account, Permission

ALL: frozenset[Permission] = frozenset(get_args(Permission))

REGISTERED: frozenset[Permission] = ALL - {"deploy_code", "admin"}
"""What an account may do that somebody registered by themselves."""

WITHOUT_CREDENTIAL: dict[str, frozenset[str]] = {
    "api": frozenset({"health", "login", "refresh", "register"}),
    "ai-manager": frozenset({"login", "register"}),
    "finsight": frozenset({"health"}),
}
"""The endpoints of each API that answer without a credential. All others need one, and a test holds them to it."""

API_KEY = "key:"
"""What the audit log calls an API key begins with this; the key's id follows."""

OWNER_ID = 1
"""The account that every lab has from its first start."""


class Owned(Protocol):
    """Something that belongs to an account."""

    @property
    def owner_id(self) -> int: ...

    @property
    def is_public(self) -> bool: ...


class Named(Owned, Protocol):
    """One of those things whose names are unique among what their owner has."""

    @property
    def id(self) -> int: ...


Thing = TypeVar("Thing", bound=Named)


@dataclass(frozen=True)
class Ownership:
    """Whose something is, where its record is not at hand."""

    owner_id: int
    is_public: bool
    id: int = 0


@dataclass(frozen=True)
class Scope:
    """All that the credential of a background job is good for."""

    job_id: int
    project_id: int
    run_id: int
    snapshot_id: int | None

    def covers(self, method: str, path: str, named: Mapping[str, str]) -> bool:
        """Whether a request is the job's business. What is not listed here is not.

        Args:
            path: as the endpoint of the native API declares it.
            named: what stands in its place in the request.
        """
        kind, *rest = path.split("/")
        one = named.get(rest[0].strip("{}"), "") if rest else ""
        if kind == "runs" and one == str(self.run_id):
            return method != "DELETE" or len(rest) > 1
        if method != "GET":
            return False
        of_kind = {
            "projects": (self.project_id,) if len(rest) == 1 else (),
            "snapshots": (self.snapshot_id,),
            "jobs": (self.job_id,),
        }
        return path == "lab" or one in [str(id) for id in of_kind.get(kind, ()) if id is not None]


@dataclass(frozen=True)
class Caller:
    """Somebody whose credential was checked, in one request."""

    account_id: int
    name: str
    """Written as the author of what they do."""
    permissions: frozenset[Permission]
    credential: str
    """What they showed, as the audit log tells it: `jupyter`, `lab token`, `session:<id>`, `key:<id>`, `job:<id>`."""
    address: str = ""
    request_id: str = ""
    scope: Scope | None = None
    """What it is good for, if that is not everything that is the account's."""

    @classmethod
    def of(cls, account: Account, credential: str) -> "Caller":
        """Somebody with all that their account may do."""
        return cls(account.id, account.username, frozenset(account.permissions), credential)

    @property
    def is_admin(self) -> bool:
        """Whether everything is theirs to see and change."""
        return "admin" in self.permissions

    def at(self, address: str, request_id: str) -> "Caller":
        """The same caller in one request."""
        return replace(self, address=address, request_id=request_id)

    def training_on_file(self) -> "Caller":
        """The same caller, while a file that they train on is imported.

        Raises:
            PermissionDenied: they may not train.
        """
        self.require("train")
        return replace(self, permissions=self.permissions | {"write"})

    def require(self, permission: Permission) -> None:
        """Let the caller pass.

        Raises:
            PermissionDenied: the credential lacks the permission.
        """
        if permission not in self.permissions:
            raise PermissionDenied(f"This needs the permission '{permission}', which this credential lacks.")


LAB = Caller(account_id=0, name="lab", permissions=ALL, credential="lab")
"""What the lab server does by itself."""

OWNER = Caller(account_id=OWNER_ID, name="owner", permissions=ALL, credential="lab token")
"""Who comes with Jupyter's own identity or the lab's token."""


def may_label(caller: Caller, thing: Owned) -> bool:
    """Whether the caller is one of those who label in a project of somebody else's."""
    return caller.account_id in getattr(thing, "labeler_ids", ())


def may_see(caller: Caller, thing: Owned) -> bool:
    """Whether a thing exists for the caller."""
    return (
        caller.is_admin or thing.is_public or thing.owner_id == caller.account_id or may_label(caller, thing)
    )


def may_change(caller: Caller, thing: Owned) -> bool:
    """Whether a thing is the caller's to change, if their credential has the permission."""
    return caller.is_admin or thing.owner_id == caller.account_id


def hears_of(caller: Caller) -> int | None:
    """The account whose events somebody hears who asks for all of theirs; None: everybody's."""
    return None if caller.is_admin else caller.account_id


def require_may_give(caller: Caller, permissions: Collection[Permission]) -> None:
    """Let the caller hand permissions on, e.g. to an API key.

    Raises:
        PermissionDenied: their credential lacks some of them.
    """
    if missing := sorted(set(permissions) - caller.permissions):
        raise PermissionDenied(f"This credential lacks what it would give: {', '.join(missing)}.")


def require_may_allow(caller: Caller | None, permissions: Collection[Permission]) -> None:
    """Let the caller say what an account may do.

    Args:
        caller: None: somebody who has no account yet.
        permissions: what the account gets.

    Raises:
        PermissionDenied: they are no administrator, or lack what they would give.
    """
    if caller is None or not caller.is_admin:
        raise PermissionDenied("Only an administrator says what an account may do: leave 'permissions' out.")
    require_may_give(caller, permissions)


def require_may_manage_credentials(caller: Caller) -> None:
    """Let the caller make and revoke API keys and change their password.

    Raises:
        PermissionDenied: they are an API key, and none of an administrator's.
    """
    if caller.credential.startswith(API_KEY) and not caller.is_admin:
        raise PermissionDenied("An API key manages no API keys and no passwords: log in to do that.")


def require(caller: Caller, permission: Permission, thing: Owned, what: str) -> None:
    """Let the caller read or change a thing.

    Args:
        permission: what they are about to do; `read` needs to see the thing, all others to change it.
        what: the thing in words, e.g. `project 3`.

    Raises:
        NotFound: the caller may not see it; said as if there were none.
        PermissionDenied: they see it, but it is somebody else's, or the credential lacks the permission.
    """
    caller.require(permission)
    if not may_see(caller, thing):
        raise NotFound(f"There is no {what}.")
    if permission == "label" and may_label(caller, thing):
        return
    if permission != "read" and not may_change(caller, thing):
        raise PermissionDenied(
            f"{what[:1].upper()}{what[1:]} belongs to somebody else: you may only read it."
        )


def meant(caller: Caller, of_one_name: Iterable[Thing]) -> Thing | None:
    """Which of the things of one name somebody means: their own, else the oldest that they may see."""
    seen = [one for one in of_one_name if may_see(caller, one)]
    return min(seen, key=lambda one: (one.owner_id != caller.account_id, one.id), default=None)


def visible(
    caller: Caller, owner: str = "owner_id", public: str = "is_public", labelers: str | None = None
) -> tuple[str, list[Any]]:
    """`may_see` as an SQL condition with its parameters, for lists.

    Args:
        owner: the SQL expression of the owner's id.
        public: the SQL expression that is true for what is public.
        labelers: the SQL expression of the list of those who may label in it, for what lies in a project.
    """
    if caller.is_admin:
        return "true", []
    if labelers is None:
        return f"({owner} = ? OR {public})", [caller.account_id]
    return f"({owner} = ? OR {public} OR list_contains({labelers}, ?))", [caller.account_id] * 2
