"""Accounts: made, found by id or username, changed, deactivated."""

import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from modelship_lab.records.base import Page, as_id
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from modelship_lab.records.events import EventType
from modelship_lab.records.identity import Account, AccountChange, NewAccount, Permission
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.passwords import Passwords
from modelship_lab.server.identity.policy import ALL, LAB, OWNER_ID, REGISTERED, Caller
from modelship_lab.server.storage.database import Database, Transaction, now

MIN_PASSWORD = 8
"""Characters."""

REGISTRATION = "registration"
"""The credential of who registers by themselves, as the audit log tells it."""


@dataclass(frozen=True)
class _Kept:
    """An account with what never leaves the server."""

    account: Account
    password_hash: str | None
    identity: str | None
    names: frozenset[str]
    """The username and the email address as they are compared."""

    def __repr__(self) -> str:
        return f"<account {self.account.id}>"


class Accounts:
    """The accounts of the lab.

    All of them are kept in memory, replaced as a whole after each commit that changes one: every
    request asks for one.

    Args:
        open_registration: whether anybody may register.
    """

    def __init__(
        self, database: Database, events: EventLog, passwords: Passwords, open_registration: bool = False
    ) -> None:
        self._database = database
        self._events = events
        self._passwords = passwords
        self._open_registration = open_registration
        found = database.read_now(lambda cursor: cursor.rows("SELECT * FROM accounts ORDER BY id"))
        self._replace({row["id"]: _kept(row) for row in found})

    def _replace(self, accounts: dict[int, _Kept]) -> None:
        # A reader on another thread sees the old or the new of each; what has a name must have an account.
        self._accounts = accounts
        self._by_name = {name: kept for kept in accounts.values() for name in kept.names}
        self._by_identity = {kept.identity: kept for kept in accounts.values() if kept.identity is not None}

    def _keep(self, kept: _Kept) -> None:
        self._replace({**self._accounts, kept.account.id: kept})

    def get(self, account: str | int) -> Account:
        """The account with this id or username.

        Raises:
            NotFound: there is none.
        """
        named, account_id = str(account), as_id(account)
        if account_id is not None and account_id in self._accounts:
            return self._accounts[account_id].account
        kept = self._by_name.get(compared(named))
        if kept is None or compared(kept.account.username) != compared(named):
            raise NotFound(f"There is no account '{named[:100]}'.")
        return kept.account

    def named(self, name: str) -> Account | None:
        """The account with this username or email address, if there is one."""
        kept = self._by_name.get(compared(name))
        return kept.account if kept else None

    def active(self, account_id: int) -> Account | None:
        """The account with this id, unless it was deactivated."""
        kept = self._accounts.get(account_id)
        return kept.account if kept is not None and kept.account.is_active else None

    def is_admin(self, account_id: int) -> bool:
        """Whether this account administrates the lab."""
        account = self.active(account_id)
        return account is not None and "admin" in account.permissions

    def of_identity(self, identity: str) -> Account | None:
        """The account that belongs to a user of the JupyterHub, if they have been here before."""
        kept = self._by_identity.get(identity)
        return kept.account if kept else None

    def password_hash(self, account_id: int) -> str | None:
        """What the account's password is checked against; None: it has none."""
        return self._accounts[account_id].password_hash

    def page(self, search: str, limit: int, offset: int) -> Page[Account]:
        """Accounts whose username, name or email address contains `search` in any case, oldest first."""
        wanted = search.casefold()
        found = [
            one
            for one in (kept.account for kept in self._accounts.values())
            if wanted in f"{one.username}\n{one.full_name}\n{one.email or ''}".casefold()
        ]
        return Page(items=tuple(found[offset : offset + limit]), total=len(found), limit=limit, offset=offset)

    async def create(
        self,
        new: NewAccount,
        caller: Caller | None,
        address: str = "",
        request_id: str = "",
        min_password: int = MIN_PASSWORD,
    ) -> Account:
        """Make an account.

        Args:
            caller: who makes it; None: somebody who registers by themselves.
            address: where that somebody is.
            request_id: of their request.
            min_password: the characters that a password must have.

        Raises:
            PermissionDenied: registration is closed and the caller no administrator, or they give
                permissions that are not theirs to give.
            Conflict: the username or the email address is taken.
            InvalidInput: the username consists of digits, as an id does, or the password is too short.
        """
        is_admin = caller is not None and caller.is_admin
        if not is_admin and not self._open_registration:
            raise PermissionDenied(
                "Registration is closed: ask an administrator of this lab for an account. "
                "(They open it with `mlship serve --open-registration`.)"
            )
        if new.permissions is not None:
            policy.require_may_allow(caller, new.permissions)
        if new.username.isdecimal():
            raise InvalidInput(
                f"'{new.username[:100]}' cannot be a username: it would be mistaken for an id. Add a letter.",
                [{"field": "username", "reason": "consists of digits only"}],
            )
        self._require_free(new.username, new.email)
        password_hash = None
        if new.password is not None:
            password = new.password.get_secret_value()
            where = caller.address if caller is not None else address
            password_hash = await self._hashed(password, where, min_password)
        permissions = _with_read(REGISTERED if new.permissions is None else new.permissions)

        def work(transaction: Transaction) -> Account:
            kept = self._insert(transaction, new, password_hash, permissions, None)
            author = caller or Caller(
                kept.account.id, kept.account.username, frozenset(), REGISTRATION, address, request_id
            )
            self._record(transaction, "account.created", kept, author)
            return kept.account

        return await self._database.write(work)

    async def create_for_identity(self, identity: str, username: str) -> Account:
        """The account of a user of the JupyterHub, made when they come for the first time.

        Args:
            identity: the hub's name for them.
            username: the one they get, with a number if it is taken.
        """
        wanted = re.sub(r"[^\w.@+\-]", "-", username)[:90].lstrip(".@+-") or "user"
        if wanted.isdecimal():
            wanted = f"user-{wanted}"

        def work(transaction: Transaction) -> Account:
            if (known := self.of_identity(identity)) is not None:
                return known
            row = transaction.row("SELECT * FROM accounts WHERE identity = ?", identity)
            if row is not None:
                # Made in this very transaction, for a request that came at the same time.
                return _kept(row).account
            number, free = 1, wanted
            while _is_taken(transaction, free):
                number += 1
                free = f"{wanted}-{number}"
            kept = self._insert(
                transaction, NewAccount(username=free), None, _with_read(REGISTERED), identity
            )
            self._record(transaction, "account.created", kept, LAB)
            return kept.account

        return await self._database.write(work)

    async def change(
        self,
        account: Account,
        change: AccountChange,
        caller: Caller,
        also: Callable[[Transaction], None] = lambda transaction: None,
    ) -> Account:
        """Change what is given of an account.

        Args:
            also: done in the same transaction, e.g. ending its sessions.

        Raises:
            PermissionDenied: the caller is no administrator, or lacks permissions that they would
                give or, with a new password, take over.
            Conflict: the email address is taken, or the lab's owner would no longer be its administrator.
            InvalidInput: the password is too short.
        """
        caller.require("admin")
        if change.permissions is not None:
            policy.require_may_allow(caller, set(change.permissions) - set(account.permissions))
        if change.password is not None:
            policy.require_may_allow(caller, account.permissions)
        keeps_owner = change.is_active is not False and (
            change.permissions is None or set(change.permissions) >= ALL
        )
        if account.id == OWNER_ID and not keeps_owner:
            # So there always is an administrator, and it is who has the lab's token.
            raise Conflict("The lab's owner stays active and keeps all permissions.")
        self._require_free(None, change.email, but=account.id)
        password_hash = None
        if change.password is not None:
            password_hash = await self._hashed(change.password.get_secret_value(), caller.address)
        permissions = None if change.permissions is None else _with_read(change.permissions)

        def work(transaction: Transaction) -> Account:
            if change.email is not None and _is_taken(transaction, change.email, but=account.id):
                raise _taken("email", change.email)
            kept = self._update(
                transaction,
                account.id,
                "email = coalesce(?, email), full_name = coalesce(?, full_name), "
                "password_hash = coalesce(?, password_hash), permissions = coalesce(?, permissions), "
                "is_active = coalesce(?, is_active), updated_at = ?",
                change.email,
                change.full_name,
                password_hash,
                permissions,
                change.is_active,
                now(),
            )
            changed = sorted(change.model_dump(exclude_none=True))
            self._record(transaction, "account.changed", kept, caller, changed=changed)
            also(transaction)
            return kept.account

        return await self._database.write(work)

    async def set_password(
        self, account: Account, password: str, caller: Caller, also: Callable[[Transaction], None]
    ) -> None:
        """Give an account the new password that its own user chose.

        Args:
            also: done in the same transaction, e.g. ending its sessions.

        Raises:
            InvalidInput: the password is too short.
        """
        password_hash = await self._hashed(password, caller.address)

        def work(transaction: Transaction) -> None:
            kept = self._update(
                transaction, account.id, "password_hash = ?, updated_at = ?", password_hash, now()
            )
            self._record(transaction, "account.changed", kept, caller, changed=["password"])
            also(transaction)

        await self._database.write(work)

    async def rehash(self, account: Account, password: str, replaced: str, address: str) -> None:
        """Keep a password that was just checked by a hash with today's parameters, unless it was changed."""
        password_hash = await self._passwords.run(lambda: self._passwords.hash(password), address)

        def work(transaction: Transaction) -> None:
            sql = "SELECT password_hash FROM accounts WHERE id = ?"
            if transaction.value(sql, account.id) == replaced:
                self._update(transaction, account.id, "password_hash = ?", password_hash)

        await self._database.write(work)

    async def _hashed(self, password: str, address: str, least: int = MIN_PASSWORD) -> str:
        """The hash of a password that somebody sets."""
        if len(password) < least:
            raise InvalidInput(
                f"The password is too short: it needs at least {least} characters.",
                [{"field": "password", "reason": "is too short"}],
            )
        return await self._passwords.run(lambda: self._passwords.hash(password), address)

    def _insert(
        self,
        transaction: Transaction,
        new: NewAccount,
        password_hash: str | None,
        permissions: list[Permission],
        identity: str | None,
    ) -> _Kept:
        if _is_taken(transaction, new.username):
            raise _taken("username", new.username)
        if new.email is not None and _is_taken(transaction, new.email):
            raise _taken("email", new.email)
        moment = now()
        row = transaction.row(
            "INSERT INTO accounts (username, email, full_name, password_hash, permissions, identity, "
            "created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
            new.username,
            new.email,
            new.full_name,
            password_hash,
            permissions,
            identity,
            moment,
            moment,
        )
        assert row is not None
        kept = _kept(row)
        transaction.after_commit(lambda: self._keep(kept))
        return kept

    def _update(self, transaction: Transaction, account_id: int, assignments: str, *values: Any) -> _Kept:
        row = transaction.row(
            f"UPDATE accounts SET {assignments} WHERE id = ? RETURNING *", *values, account_id
        )
        assert row is not None
        kept = _kept(row)
        # Before the event is published: whoever hears of it must find the account as it is now.
        transaction.after_commit(lambda: self._keep(kept))
        return kept

    def _record(
        self, transaction: Transaction, type: EventType, kept: _Kept, caller: Caller, **payload: Any
    ) -> None:
        account = kept.account
        self._events.record(
            transaction,
            type,
            f"account:{account.id}",
            caller,
            account.id,
            username=account.username,
            permissions=list(account.permissions),
            is_active=account.is_active,
            **payload,
        )

    def _require_free(self, username: str | None, email: str | None, but: int = 0) -> None:
        """Say at once what is taken, before a password is hashed; the transaction looks again."""
        for field, name in (("username", username), ("email", email)):
            other = self.named(name) if name else None
            if other is not None and other.id != but:
                raise _taken(field, name)


def _kept(row: dict[str, Any]) -> _Kept:
    password_hash, identity = row.pop("password_hash"), row.pop("identity")
    account = Account(**row, has_password=password_hash is not None)
    names = {compared(account.username), *([compared(account.email)] if account.email else [])}
    return _Kept(account, password_hash, identity, frozenset(names))


def compared(name: str) -> str:
    """A username or an email address as it is compared: in any case, and however its letters are encoded."""
    return unicodedata.normalize("NFKC", name).casefold()


def _is_taken(transaction: Transaction, name: str, but: int = 0) -> bool:
    """Whether another account has this username or email address.

    Nobody's username may be somebody else's email address either: both can be used to log in.
    """
    wanted = compared(name)
    return any(
        wanted in (compared(row["username"]), compared(row["email"] or ""))
        for row in transaction.rows("SELECT username, email FROM accounts WHERE id <> ?", but)
    )


def _taken(field: str, name: str | None) -> Conflict:
    words = {"username": "username", "email": "email address"}[field]
    return Conflict(
        f"The {words} '{name}' is taken. Choose another one, or log in.",
        [{"field": field, "reason": "is taken"}],
    )


def _with_read(permissions: Collection[Permission]) -> list[Permission]:
    return sorted({"read", *permissions})
