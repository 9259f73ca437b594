"""Credits: a ledger of what accounts were given and what their requests cost.

Off unless an administrator switches it on. A request is paid for before it is done, and what it
cost comes back when the server fails at it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from modelship_lab.records.errors import Conflict, InsufficientCredits, InvalidInput
from modelship_lab.records.identity import CreditEntry, CreditGrant, Credits
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

MAX_ENTRIES = 100
"""Newest entries that are shown with what is left."""


@dataclass(frozen=True)
class Charge:
    """What a request has paid."""

    account_id: int
    amount: int
    reason: str
    author: str


class Ledger:
    """All accounts' credits. The writer thread does one thing at a time, so none is spent twice.

    Args:
        enabled: whether requests cost anything.
        costs: for each class of cost the price of a request.
        upgrade_url: where somebody without enough is sent.
    """

    def __init__(
        self,
        database: Database,
        events: EventLog,
        *,
        enabled: bool,
        costs: Mapping[str, int],
        upgrade_url: str,
    ) -> None:
        self._database = database
        self._events = events
        self._costs = costs if enabled else {}
        self._upgrade_url = upgrade_url

    async def charge(self, caller: Caller, cost: str) -> Charge | None:
        """Take what a request of this class costs; on disk when this returns.

        Returns:
            What `refund` gives back; None when nothing was taken: administrators pay nothing.

        Raises:
            InsufficientCredits: the account has less; nothing was taken.
        """
        price = self._costs.get(cost, 0)
        if price == 0 or caller.is_admin:
            return None
        charge = Charge(caller.account_id, price, cost, caller.name)

        def work(transaction: Transaction) -> None:
            available = _available(transaction, charge.account_id)
            if available < price:
                raise InsufficientCredits(
                    f"This costs {price} credits and the account has {available}.",
                    [{"required": price, "available": available, "upgrade_url": self._upgrade_url}],
                )
            _enter(transaction, charge.account_id, -price, cost, charge.author)

        await self._database.write(work)
        return charge

    async def refund(self, charge: Charge) -> None:
        """Give back what a request has paid that the server failed at."""
        await self._database.write(
            lambda transaction: _enter(
                transaction, charge.account_id, charge.amount, f"refund: {charge.reason}", charge.author
            )
        )

    async def grant(self, account_id: int, grant: CreditGrant, caller: Caller) -> Credits:
        """Give an account credits, or take some away.

        Raises:
            Conflict: it has not as many as are to be taken.
        """

        def work(transaction: Transaction) -> Credits:
            available = _available(transaction, account_id)
            if available + grant.amount < 0:
                raise Conflict(f"The account has {available} credits: {-grant.amount} cannot be taken away.")
            _enter(transaction, account_id, grant.amount, grant.reason, caller.name)
            self._events.record(
                transaction,
                "credits.granted",
                f"account:{account_id}",
                caller,
                account_id,
                amount=grant.amount,
                reason=grant.reason,
            )
            return _credits(transaction, account_id)

        return await self._database.write(work)

    async def of(self, account_id: int) -> Credits:
        """What an account has, with its newest entries."""
        return await self._database.read(lambda cursor: _credits(cursor, account_id))


def checked_costs(costs: Mapping[str, Any], classes: Collection[str]) -> dict[str, int]:
    """Prices as an administrator set them.

    Raises:
        InvalidInput: no endpoint has such a class, or a price is no whole number from 0 upwards.
    """
    for cost, price in costs.items():
        if cost not in classes:
            raise InvalidInput(
                f"ModelShipLab.credit_costs: nothing costs {cost!r}; there are {', '.join(sorted(classes))}."
            )
        if isinstance(price, bool) or not isinstance(price, int) or price < 0:
            raise InvalidInput(f"ModelShipLab.credit_costs[{cost!r}] must be a whole number from 0 upwards.")
    return dict(costs)


def _available(cursor: Cursor, account_id: int) -> int:
    total = cursor.value("SELECT sum(amount) FROM credit_entries WHERE account_id = ?", account_id)
    return int(total or 0)


def _enter(transaction: Transaction, account_id: int, amount: int, reason: str, author: str) -> None:
    transaction.execute(
        "INSERT INTO credit_entries (account_id, amount, reason, author, created_at) VALUES (?, ?, ?, ?, ?)",
        account_id,
        amount,
        reason,
        author,
        now(),
    )


def _credits(cursor: Cursor, account_id: int) -> Credits:
    rows = cursor.rows(
        "SELECT id, amount, reason, author, created_at FROM credit_entries "
        f"WHERE account_id = ? ORDER BY id DESC LIMIT {MAX_ENTRIES:d}",
        account_id,
    )
    return Credits(
        account_id=account_id,
        available=_available(cursor, account_id),
        entries=tuple(CreditEntry(**row) for row in rows),
    )
