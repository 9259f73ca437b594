"""Accounts of a lab: who may come in, and what they may do."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from modelship_lab.client.checked import checked
from modelship_lab.client.projects import quoted
from modelship_lab.records.base import Page
from modelship_lab.records.identity import Account, AccountChange, NewAccount, PasswordChange, Permission

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab


class Users:
    """The accounts of a lab; all but one's own password is for administrators.

    Calling it lists them: `lab.users()`.
    """

    def __init__(self, lab: "Lab") -> None:
        self._lab = lab

    def __call__(self) -> list[Account]:
        """All accounts."""
        return self._lab.pages(Page[Account], "accounts")

    def get(self, user: str | int) -> Account:
        """An account by its username or id.

        Raises:
            NotFound: there is none.
        """
        return self._lab.connection.record(Account, "GET", f"accounts/{quoted(user)}")

    def me(self) -> Account:
        """The account that this connection speaks for."""
        return self._lab.connection.record(Account, "GET", "auth/me")

    def new(
        self,
        username: str,
        password: str | None = None,
        *,
        email: str | None = None,
        full_name: str = "",
        permissions: Iterable[Permission] | None = None,
    ) -> Account:
        """Create an account.

        Args:
            password: at least 8 characters; without one nobody logs in until one is set.
            permissions: what it may do; default: all but run others' code and administer the lab.

        Raises:
            Conflict: the username or the email address is taken.
        """
        new = checked(
            NewAccount,
            username=username,
            full_name=full_name,
            **_given(password=password, email=email, permissions=_listed(permissions)),
        )
        return self._lab.connection.record(Account, "POST", "accounts", json=new)

    def change(
        self,
        user: str | int,
        *,
        email: str | None = None,
        full_name: str | None = None,
        permissions: Iterable[Permission] | None = None,
        password: str | None = None,
        is_active: bool | None = None,
    ) -> Account:
        """Change an account; what is left out stays as it is."""
        change = checked(
            AccountChange,
            **_given(
                email=email,
                full_name=full_name,
                permissions=_listed(permissions),
                password=password,
                is_active=is_active,
            ),
        )
        return self._lab.connection.record(Account, "PATCH", f"accounts/{quoted(user)}", json=change)

    def change_own_password(self, old: str, new: str) -> None:
        """Change the password of the account that this connection speaks for.

        Raises:
            PermissionDenied, Unauthenticated: the old password is another.
        """
        change = checked(PasswordChange, old=old, new=new)
        self._lab.connection.request("POST", "auth/password", json=change)

    def log_out(self, user: str | int) -> None:
        """End every login of an account. Its API keys go on."""
        self._lab.connection.request("DELETE", f"accounts/{quoted(user)}/sessions")


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _listed(permissions: Iterable[Permission] | None) -> tuple[Permission, ...] | None:
    return None if permissions is None else tuple(permissions)
