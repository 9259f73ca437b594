"""The credentials of background jobs: each good for one project and run, and only until the job ends."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from modelship_lab.records.identity import Permission
from modelship_lab.server.identity.accounts import Accounts
from modelship_lab.server.identity.policy import Caller, Scope
from modelship_lab.server.storage.database import Database

PREFIX = "mlship_job_"

PERMISSIONS: frozenset[Permission] = frozenset({"read", "train", "export"})
"""The most that a job may do; of these, what the account may do that began it."""


@dataclass(frozen=True)
class JobIdentity:
    """In whose name a job acts, and on what."""

    job_id: int
    owner_id: int
    """The account that the project belongs to: what the job makes is theirs."""
    author_id: int
    """The account that began it: what this may not do any more, the job may not either."""
    author: str
    scope: Scope


class JobTokens:
    """The tokens of the jobs that go on, in memory by their digest."""

    def __init__(self, database: Database, accounts: Accounts) -> None:
        self._accounts = accounts
        rows = database.read_now(
            lambda cursor: cursor.rows(
                "SELECT * FROM jobs WHERE token_digest IS NOT NULL AND status IN ('waiting', 'running')"
            )
        )
        self._by_digest = {row["token_digest"]: identity_of(row) for row in rows}

    def caller(self, token: str) -> Caller | None:
        """The job that has this token; None when it is not valid, or no longer."""
        found = self._by_digest.get(digest_of(token))
        if found is None:
            return None
        author = self._accounts.active(found.author_id)
        if author is None or "train" not in author.permissions:
            return None
        return Caller(
            found.owner_id,
            found.author,
            PERMISSIONS.intersection(author.permissions),
            f"job:{found.job_id}",
            scope=found.scope,
        )

    def give(self, identity: JobIdentity, token: str) -> None:
        """Let a job in from now on."""
        self._by_digest = {**self._by_digest, digest_of(token): identity}

    def revoke(self, job_id: int) -> None:
        """Let a job in no more."""
        self._by_digest = {
            digest: identity for digest, identity in self._by_digest.items() if identity.job_id != job_id
        }


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    # 32 random bytes: nobody finds one by trying.
    return hashlib.sha256(token.encode()).hexdigest()


def identity_of(row: Mapping[str, object]) -> JobIdentity:
    """In whose name the job of a row of the table acts."""
    params = orjson.loads(str(row["params"]))
    return JobIdentity(
        job_id=int(str(row["id"])),
        owner_id=int(str(row["owner_id"])),
        author_id=int(str(row["author_id"])),
        author=str(row["author"]),
        scope=Scope(
            job_id=int(str(row["id"])),
            project_id=int(str(row["project_id"])),
            run_id=int(str(row["run_id"])),
            snapshot_id=params.get("snapshot_id"),
        ),
    )
