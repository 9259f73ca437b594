"""Credits: what accounts have left to spend."""

from typing import TYPE_CHECKING

from modelship_lab.client.checked import checked
from modelship_lab.client.projects import quoted
from modelship_lab.records.identity import CreditGrant, Credits

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab


class AccountCredits:
    """The credits of accounts. Calling it tells one's own: `lab.credits()`."""

    def __init__(self, lab: "Lab") -> None:
        self._lab = lab

    def __call__(self, user: str | int | None = None) -> Credits:
        """What an account has left, with its newest entries.

        Args:
            user: whose, for administrators; default: one's own.
        """
        path = "auth/credits" if user is None else f"accounts/{quoted(user)}/credits"
        return self._lab.connection.record(Credits, "GET", path)

    def grant(self, user: str | int, amount: int, reason: str = "") -> Credits:
        """Give an account credits, or take them away by a negative amount; for administrators."""
        grant = checked(CreditGrant, amount=amount, reason=reason)
        return self._lab.connection.record(Credits, "POST", f"accounts/{quoted(user)}/credits", json=grant)
