"""Logins: begun with a password, renewed, and ended."""

import hashlib
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from modelship_lab.records.base import as_utc, utc_now
from modelship_lab.records.errors import InvalidInput, PermissionDenied, Unauthenticated
from modelship_lab.records.identity import (
    Account,
    AccountChange,
    Login,
    PasswordChange,
    Refresh,
    Tokens,
)
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.accounts import Accounts, compared
from modelship_lab.server.identity.attempts import Attempts
from modelship_lab.server.identity.passwords import Passwords
from modelship_lab.server.identity.policy import OWNER_ID, Caller
from modelship_lab.server.identity.tokens import TokenSigner
from modelship_lab.server.storage.database import Database, Transaction, now

_FORGET_EVERY = timedelta(hours=1)

CREDENTIAL = "session:"
"""What the audit log calls a token begins with this; the session's id follows."""

PASSWORD = "password"  # noqa: S105
"""The credential of who tries to log in, as the audit log tells it."""

WRONG = "The username or the password is wrong."

Reason = Literal["logout", "reuse", "password", "deactivated", "administrator"]


@dataclass(frozen=True)
class _Session:
    """A login that goes on."""

    id: str
    account_id: int
    refresh_id: str
    """Of the only refresh token that counts."""
    expires_at: datetime


class Sessions:
    """Logins with a password, and the tokens that they give.

    The sessions that go on are kept in memory: a token of any other is not valid, so a session ends
    with its revocation and not with its tokens.

    Args:
        key: signs the tokens.
        lab_id: which lab gives them; the tokens of another one are not valid here.
        access_minutes: how long an access token is valid.
        days: how long a login lasts.
    """

    def __init__(
        self,
        database: Database,
        events: EventLog,
        accounts: Accounts,
        passwords: Passwords,
        *,
        key: bytes,
        lab_id: str,
        access_minutes: int = 60,
        days: int = 30,
    ) -> None:
        self._database = database
        self._events = events
        self._accounts = accounts
        self._passwords = passwords
        self._attempts = Attempts()
        self._signer = TokenSigner(key, lab_id)
        self._access_minutes = access_minutes
        self._days = days
        found = database.read_now(
            lambda cursor: cursor.rows(
                "SELECT id, account_id, refresh_id, expires_at FROM sessions "
                "WHERE revoked_at IS NULL AND expires_at > ?",
                now(),
            )
        )
        # Changed by the writer thread only, and read by key only.
        self._sessions = {row["id"]: _session(row) for row in found}
        self._looked_for_expired = utc_now()

    def caller(self, token: str) -> Caller | None:
        """Whose access token this is; None when it is not valid, or no longer."""
        try:
            claims = self._signer.access(token)
        except Unauthenticated:
            return None
        session = self._sessions.get(claims.session_id)
        if session is None or session.account_id != claims.account_id or claims.expires_at <= time.time():
            return None
        account = self._accounts.active(session.account_id)
        if account is None:
            return None
        return _caller(account, session)

    async def login(
        self, login: Login, *, address: str, request_id: str, access_minutes: int | None = None
    ) -> Tokens:
        """Check a password and begin a session.

        Args:
            address: where the try comes from.
            request_id: of its request.
            access_minutes: how long the access token is valid, for clients that cannot refresh it.

        Raises:
            Unauthenticated: the username or the password is wrong; it is not said which.
            RateLimitExceeded: there were too many failures; the password was not looked at.
            TooManyRequests: too many passwords are being checked.
        """
        found = self._accounts.named(login.username)
        account = found if found is not None and found.is_active else None
        who = _attempts_at(found, login.username)
        password = login.password.get_secret_value()
        if not await self._is_right(found, who, password, address) or account is None:
            name = found.username if found is not None else ""
            failed = Caller(found.id if found else 0, name, frozenset(), PASSWORD, address, request_id)
            await self._record_failure(failed, found)
            raise Unauthenticated(WRONG)
        kept = self._accounts.password_hash(account.id)
        if kept is not None and self._passwords.is_outdated(kept):
            await self._accounts.rehash(account, password, kept, address)
        self._attempts.succeeded(who, address)
        moment = utc_now()
        session = _Session(
            secrets.token_hex(12), account.id, secrets.token_hex(16), moment + timedelta(days=self._days)
        )

        def work(transaction: Transaction) -> None:
            if moment - self._looked_for_expired > _FORGET_EVERY:
                transaction.execute("DELETE FROM sessions WHERE expires_at < ?", now())
                transaction.after_commit(self._forget_expired)
            transaction.execute(
                "INSERT INTO sessions (id, account_id, refresh_id, created_at, expires_at) "
                "VALUES (?, ?, ?, ?, ?)",
                session.id,
                session.account_id,
                session.refresh_id,
                moment.replace(tzinfo=None),
                session.expires_at.replace(tzinfo=None),
            )
            transaction.after_commit(lambda: self._keep(session))
            caller = _caller(account, session).at(address, request_id)
            topic = f"account:{account.id}"
            self._events.record(transaction, "login.succeeded", topic, caller, account.id, session=session.id)

        await self._database.write(work)
        return self._tokens(session, access_minutes)

    async def refresh(
        self, refresh: Refresh, *, address: str, request_id: str, access_minutes: int | None = None
    ) -> Tokens:
        """New tokens for a refresh token, which is good for this one time.

        A second use means that two have it, one of them a thief: then the session ends for both.

        Raises:
            Unauthenticated: the token is not valid, or no longer.
        """
        claims = self._signer.refresh(refresh.refresh_token.get_secret_value())
        session = self._sessions.get(claims.session_id)
        account = self._accounts.active(session.account_id) if session is not None else None
        if session is None or account is None:
            raise Unauthenticated("This login has ended: log in again.")
        caller = _caller(account, session).at(address, request_id)

        def work(transaction: Transaction) -> _Session | None:
            row = transaction.row(
                "UPDATE sessions SET refresh_id = ? WHERE id = ? AND refresh_id = ? AND revoked_at IS NULL "
                "RETURNING id, account_id, refresh_id, expires_at",
                secrets.token_hex(16),
                session.id,
                claims.refresh_id,
            )
            if row is None:
                self.revoke(transaction, caller, account.id, "reuse", session.id)
                return None
            renewed = _session(row)
            transaction.after_commit(lambda: self._keep(renewed))
            return renewed

        renewed = await self._database.write(work)
        if renewed is None:
            raise Unauthenticated("This refresh token was used before, so the login has ended: log in again.")
        return self._tokens(renewed, access_minutes)

    async def logout(self, caller: Caller) -> None:
        """End the session that the caller's token belongs to.

        Raises:
            InvalidInput: the credential is not of a login.
        """
        if not caller.credential.startswith(CREDENTIAL):
            raise InvalidInput("This credential does not come from a login, so there is nothing to log out.")
        session_id = caller.credential.removeprefix(CREDENTIAL)
        await self._database.write(
            lambda transaction: self.revoke(transaction, caller, caller.account_id, "logout", session_id)
        )

    async def end(self, account: Account, caller: Caller) -> None:
        """End all sessions of an account.

        Raises:
            PermissionDenied: the caller is no administrator.
        """
        caller.require("admin")
        await self._database.write(
            lambda transaction: self.revoke(transaction, caller, account.id, "administrator")
        )

    async def change_account(self, account: Account, change: AccountChange, caller: Caller) -> Account:
        """`Accounts.change`, which ends the account's sessions with its password or when it is deactivated."""
        reason: Reason | None = None
        if change.is_active is False:
            reason = "deactivated"
        elif change.password is not None:
            reason = "password"

        def end(transaction: Transaction) -> None:
            if reason is not None:
                self.revoke(transaction, caller, account.id, reason)

        return await self._accounts.change(account, change, caller, end)

    async def change_password(self, change: PasswordChange, caller: Caller) -> None:
        """Give the caller's account a new password. All its sessions end.

        Raises:
            PermissionDenied: the old password is wrong, or the credential is an API key.
            RateLimitExceeded: there were too many failures.
        """
        policy.require_may_manage_credentials(caller)
        account = self._accounts.get(caller.account_id)
        who = _attempts_at(account, "")
        if not await self._is_right(account, who, change.old.get_secret_value(), caller.address):
            await self._record_failure(caller, account)
            raise PermissionDenied("The old password is wrong.")
        self._attempts.succeeded(who, caller.address)
        await self._accounts.set_password(
            account,
            change.new.get_secret_value(),
            caller,
            lambda transaction: self.revoke(transaction, caller, account.id, "password"),
        )

    def revoke(
        self,
        transaction: Transaction,
        caller: Caller,
        account_id: int,
        reason: Reason,
        session_id: str | None = None,
    ) -> None:
        """End one session of an account, or all of them, in the transaction of what is the cause."""
        ended = transaction.column(
            "UPDATE sessions SET revoked_at = ? WHERE account_id = ? AND (id = ? OR ? IS NULL) "
            "AND revoked_at IS NULL RETURNING id",
            now(),
            account_id,
            session_id,
            session_id,
        )
        if not ended:
            return
        # Before the event is published: whoever hears of it must find them ended.
        transaction.after_commit(lambda: self._forget(ended))
        self._events.record(
            transaction,
            "session.revoked",
            f"account:{account_id}",
            caller,
            account_id,
            sessions=sorted(ended),
            reason=reason,
        )

    async def _is_right(self, account: Account | None, who: str, password: str, address: str) -> bool:
        # At once for who must wait: they shall not stand in the way of others.
        self._attempts.require_allowed(who, address)
        kept = self._accounts.password_hash(account.id) if account is not None else None

        def check() -> bool:
            # Again, now that it is this one's turn: others that were sent with it may have failed.
            self._attempts.require_allowed(who, address)
            right = self._passwords.matches(password, kept) and account is not None and account.is_active
            if not right:
                self._attempts.failed(who, address)
            return right

        return await self._passwords.run(check, address)

    async def _record_failure(self, caller: Caller, account: Account | None) -> None:
        """Write the event of a wrong password, without what was typed."""
        topic = f"account:{account.id}" if account else "login"
        owner_id = account.id if account else OWNER_ID
        await self._database.write(
            lambda transaction: self._events.record(transaction, "login.failed", topic, caller, owner_id)
        )

    def _tokens(self, session: _Session, access_minutes: int | None) -> Tokens:
        span = timedelta(minutes=access_minutes or self._access_minutes)
        return self._signer.tokens(
            session.account_id, session.id, session.refresh_id, span, session.expires_at
        )

    def _keep(self, session: _Session) -> None:
        self._sessions[session.id] = session

    def _forget(self, ended: Collection[str]) -> None:
        for session_id in ended:
            self._sessions.pop(session_id, None)

    def _forget_expired(self) -> None:
        moment = self._looked_for_expired = utc_now()
        self._forget([key for key, one in self._sessions.items() if one.expires_at <= moment])


def _session(row: dict[str, Any]) -> _Session:
    return _Session(row["id"], row["account_id"], row["refresh_id"], as_utc(row["expires_at"]))


def _caller(account: Account, session: _Session) -> Caller:
    return Caller.of(account, f"{CREDENTIAL}{session.id}")


def _attempts_at(account: Account | None, name: str) -> str:
    """What the failures at an account are counted by; for a name that nobody has, its digest."""
    if account is not None:
        return f"account:{account.id}"
    # Spelled as names of accounts are compared, or counting would tell which names there are.
    return hashlib.sha256(compared(name).encode()).hexdigest()
