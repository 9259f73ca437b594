"""API keys: credentials for programs, with permissions and an end of their own."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from modelship_lab.client.checked import checked
from modelship_lab.records.base import Page, utc_now
from modelship_lab.records.errors import Conflict, NotFound
from modelship_lab.records.identity import ApiKey, CreatedApiKey, NewApiKey, Permission

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab


class Keys:
    """The API keys of an account. Calling it lists them: `lab.keys()`."""

    def __init__(self, lab: "Lab") -> None:
        self._lab = lab

    def __call__(self, *, everybody: bool = False) -> list[ApiKey]:
        """The keys of the account that this connection speaks for.

        Args:
            everybody: those of all accounts; for administrators.
        """
        return self._lab.pages(Page[ApiKey], "auth/keys", {"all": "true"} if everybody else None)

    def new(
        self,
        name: str,
        permissions: Iterable[Permission] | None = None,
        expires_at: datetime | None = None,
    ) -> CreatedApiKey:
        """Make a key. Its `key` is told this once and never again; it is kept out of the repr.

        Args:
            name: what it is for.
            permissions: what it may do, at most what its account may; default: all of that.
            expires_at: when it ends; default: never.
        """
        new = checked(
            NewApiKey,
            name=name,
            permissions=None if permissions is None else tuple(permissions),
            expires_at=expires_at,
        )
        return self._lab.connection.record(CreatedApiKey, "POST", "auth/keys", json=new)

    def revoke(self, key: str | int) -> ApiKey:
        """End a key, at once and for good.

        Args:
            key: its id, its name or its first characters.

        Raises:
            NotFound: no key that goes on is meant.
            Conflict: several are.
        """
        found = self._meant(str(key))
        self._lab.connection.request("DELETE", f"auth/keys/{found.id}")
        return found

    def _meant(self, text: str) -> ApiKey:
        """The key that is meant: one's own first; an administrator may mean somebody else's."""
        mine = self()
        for keys in (mine, self._others(mine)):
            going_on = [key for key in keys if is_valid(key)]
            by_id = [key for key in going_on if str(key.id) == text]
            by_name = [key for key in going_on if key.name == text]
            by_prefix = [
                key for key in going_on if len(text) >= len(key.prefix) and text.startswith(key.prefix)
            ]
            found = by_id or by_name or by_prefix
            if len(found) > 1:
                listed = ", ".join(f"{key.id} ({key.prefix}… of {key.username})" for key in found)
                raise Conflict(f"Several keys are called '{text}': say which by its id: {listed}.")
            if found:
                return found[0]
        # The text is not said again: somebody may have pasted the whole key.
        raise NotFound("There is no valid key of this id, name or prefix: `mlship keys` lists them.")

    def _others(self, mine: list[ApiKey]) -> list[ApiKey]:
        if not self._lab.users.me().permissions.count("admin"):
            return []
        known = {key.id for key in mine}
        return [key for key in self(everybody=True) if key.id not in known]


def is_valid(key: ApiKey) -> bool:
    """Whether a key has neither been revoked nor ended."""
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > utc_now())
