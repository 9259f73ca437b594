"""What accounts have left to spend."""

from modelship_lab.records.identity import CreditGrant, Credits
from modelship_lab.server.api.endpoint import endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller


@endpoint("GET", "auth/credits", permission="read")
async def read_own_credits(services: Services, caller: Caller) -> Credits:
    """The caller's credits and the newest entries of their ledger."""
    return await services.credits.of(caller.account_id)


@endpoint("GET", "accounts/{account}/credits", permission="admin")
async def read_credits(services: Services, account: str) -> Credits:
    """An account's credits, by its id or username."""
    return await services.credits.of(services.accounts.get(account).id)


@endpoint("POST", "accounts/{account}/credits", permission="admin")
async def grant_credits(services: Services, caller: Caller, account: str, body: CreditGrant) -> Credits:
    """Give an account credits; a negative amount takes some away."""
    return await services.credits.grant(services.accounts.get(account).id, body, caller)
