"""Logging in, the caller's own account, password and API keys."""

from modelship_lab.records.base import Id, Page
from modelship_lab.records.identity import (
    Account,
    ApiKey,
    CreatedApiKey,
    Login,
    NewAccount,
    NewApiKey,
    PasswordChange,
    Refresh,
    Tokens,
)
from modelship_lab.server.api.endpoint import Offset, PageSize, Request, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller


@endpoint("POST", "auth/login", permission=None, limit="auth")
async def login(services: Services, request: Request, body: Login) -> Tokens:
    """Log in with a username or email address and a password."""
    return await services.sessions.login(body, address=request.address, request_id=request.id)


@endpoint("POST", "auth/refresh", permission=None, limit="auth")
async def refresh(services: Services, request: Request, body: Refresh) -> Tokens:
    """New tokens for a refresh token, which is good for one time."""
    return await services.sessions.refresh(body, address=request.address, request_id=request.id)


@endpoint("POST", "auth/register", permission=None, status=201, limit="auth")
async def register(services: Services, caller: Caller | None, request: Request, body: NewAccount) -> Account:
    """Register an account, where registration is open; administrators may everywhere."""
    return await services.accounts.create(body, caller, request.address, request.id)


@endpoint("POST", "auth/logout", permission="read")
async def logout(services: Services, caller: Caller) -> None:
    """End the login that the token belongs to."""
    await services.sessions.logout(caller)


@endpoint("GET", "auth/me", permission="read")
async def read_me(services: Services, caller: Caller) -> Account:
    """The caller's own account."""
    return services.accounts.get(caller.account_id)


@endpoint("POST", "auth/password", permission="read", limit="auth")
async def change_password(services: Services, caller: Caller, body: PasswordChange) -> None:
    """Change the caller's own password. All logins of the account end."""
    await services.sessions.change_password(body, caller)


@endpoint("POST", "auth/keys", permission="read", status=201)
async def create_api_key(services: Services, caller: Caller, body: NewApiKey) -> CreatedApiKey:
    """Make an API key for the caller's account. It is shown this once."""
    return await services.keys.create(body, caller)


@endpoint("GET", "auth/keys", permission="read")
async def list_api_keys(
    services: Services, caller: Caller, all: bool = False, limit: PageSize = 100, offset: Offset = 0
) -> Page[ApiKey]:
    """The caller's API keys, the newest first; everybody's with `all`, for administrators."""
    return services.keys.page(caller, all, limit, offset)


@endpoint("DELETE", "auth/keys/{key_id}", permission="read")
async def revoke_api_key(services: Services, caller: Caller, key_id: Id) -> None:
    """End an API key at once."""
    await services.keys.revoke(key_id, caller)
