"""All accounts, and the audit log; for administrators."""

from modelship_lab.records.base import Id, Page
from modelship_lab.records.events import EventType
from modelship_lab.records.identity import Account, AccountChange, AuditEntry, NewAccount
from modelship_lab.server.api.endpoint import Offset, PageSize, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller


@endpoint("GET", "accounts", permission="admin")
async def list_accounts(
    services: Services, search: str = "", limit: PageSize = 100, offset: Offset = 0
) -> Page[Account]:
    """Accounts whose username, name or email address contains `search`, oldest first."""
    return services.accounts.page(search, limit, offset)


@endpoint("POST", "accounts", permission="admin", status=201)
async def create_account(services: Services, caller: Caller, body: NewAccount) -> Account:
    """Make an account."""
    return await services.accounts.create(body, caller)


@endpoint("GET", "accounts/{account}", permission="admin")
async def read_account(services: Services, account: str) -> Account:
    """One account, by id or username."""
    return services.accounts.get(account)


@endpoint("PATCH", "accounts/{account}", permission="admin")
async def change_account(services: Services, caller: Caller, account: str, body: AccountChange) -> Account:
    """Change or deactivate an account. A new password and deactivation end its logins."""
    return await services.sessions.change_account(services.accounts.get(account), body, caller)


@endpoint("DELETE", "accounts/{account}/sessions", permission="admin")
async def end_sessions(services: Services, caller: Caller, account: str) -> None:
    """End all logins of an account. Its API keys stay."""
    await services.sessions.end(services.accounts.get(account), caller)


@endpoint("GET", "audit", permission="admin")
async def list_audit_entries(
    services: Services,
    caller: Caller,
    account: str | None = None,
    type: EventType | None = None,
    topic: str | None = None,
    before: Id | None = None,
    limit: PageSize = 100,
) -> Page[AuditEntry]:
    """What was done by whom, the newest first; `account` is an id or a username."""
    account_id = services.accounts.get(account).id if account is not None else None
    return await services.audit.page(caller, account_id, type, topic, before, limit)
