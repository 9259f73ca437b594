"""Who is it: from what a request shows to the caller."""

import hmac
from collections.abc import Callable
from dataclasses import replace

from jupyter_server.auth.identity import User

from modelship_lab.records.errors import PermissionDenied
from modelship_lab.records.events import Event
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import job_tokens, keys
from modelship_lab.server.identity.accounts import Accounts
from modelship_lab.server.identity.job_tokens import JobTokens
from modelship_lab.server.identity.keys import ApiKeys
from modelship_lab.server.identity.policy import OWNER, Caller
from modelship_lab.server.identity.sessions import Sessions

MAX_TOKEN = 8192
"""Characters; nothing longer is looked at."""

JUPYTER = "jupyter"
"""What the audit log calls Jupyter's own identity."""

_CHANGES = frozenset({"account.changed", "session.revoked", "key.revoked"})


class Credentials:
    """Tells the kinds of credentials apart and has each checked.

    Args:
        lab_token: the credential of the lab's owner.
        hub_owner: the user of the JupyterHub whose server this is; empty when there is no hub.
    """

    def __init__(
        self,
        events: EventLog,
        accounts: Accounts,
        sessions: Sessions,
        api_keys: ApiKeys,
        jobs: JobTokens,
        *,
        lab_token: str,
        hub_owner: str = "",
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._keys = api_keys
        self._jobs = jobs
        self._lab_token = lab_token.encode()
        self._hub_owner = hub_owner
        self._listeners: list[Callable[[], None]] = []
        events.listen(self._hear)

    def changed(self, call: Callable[[], None]) -> None:
        """Have `call` run, on the writer thread, after a credential was revoked or an account changed."""
        self._listeners.append(call)

    def _hear(self, event: Event) -> None:
        if event.type in _CHANGES:
            for call in self._listeners:
                call()

    def caller(self, token: str) -> Caller | None:
        """Who has this lab token, API key, job's or access token; None when it is not valid, or no longer."""
        if len(token) > MAX_TOKEN:
            return None
        # With what cannot be encoded replaced: it is nobody's.
        if hmac.compare_digest(token.encode(errors="replace"), self._lab_token):
            return OWNER
        if not token.isascii():
            return None
        if token.startswith(job_tokens.PREFIX):
            return self._jobs.caller(token)
        if token.startswith(keys.PREFIX):
            return self._keys.caller(token)
        return self._sessions.caller(token)

    async def jupyter(self, user: User, anonymous: bool) -> Caller:
        """Who has Jupyter's own identity.

        Args:
            user: whom Jupyter takes them for.
            anonymous: whether all who have Jupyter's token or password are the same to it.

        Raises:
            PermissionDenied: the account of this user of the JupyterHub was deactivated.
        """
        kind = getattr(user, "hub_user", {}).get("kind", "user")
        # A service of the hub may have the name of a user.
        identity = user.username if kind == "user" else f"{kind}:{user.username}"
        if anonymous or (self._hub_owner and identity == self._hub_owner):
            return replace(OWNER, credential=JUPYTER)
        account = self._accounts.of_identity(identity)
        if account is None:
            account = await self._accounts.create_for_identity(identity, user.username)
        if not account.is_active:
            raise PermissionDenied(f"The account '{account.username}' is deactivated.")
        return Caller.of(account, JUPYTER)

    def jupyter_now(self, caller: Caller) -> Caller | None:
        """Who had Jupyter's own identity when a socket was opened, with what they may do by now.

        None when the account was deactivated, or when it was another credential.
        """
        account = self._accounts.active(caller.account_id) if caller.credential == JUPYTER else None
        return None if account is None else Caller.of(account, JUPYTER)
