"""Accounts, logins, API keys, credits, and the audit log."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from modelship_lab.records.base import Record, UtcTime
from modelship_lab.records.events import Event

Permission = Literal[
    "read", "write", "label", "train", "export", "register", "deploy", "deploy_code", "admin"
]
"""What a credential may do; the server's `identity/policy.py` says what each lets."""

Username = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w][\w.@+\-]*$")]
Email = Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^\s@]+@[^\s@]+$")]
Password = Annotated[SecretStr, Field(max_length=1000)]
"""A password to be set, of at least 8 characters. Kept out of reprs and logs."""


class NewAccount(Record):
    """What is needed to register an account. Only administrators say what it may do."""

    username: Username
    password: Password | None = None
    """Without one nobody can log in until an administrator sets it."""
    email: Email | None = None
    full_name: str = Field(default="", max_length=200)
    permissions: tuple[Permission, ...] | None = None


class AccountChange(Record):
    """Fields of an account that an administrator can change; what is left out stays as it is."""

    email: Email | None = None
    full_name: str | None = Field(default=None, max_length=200)
    password: Password | None = None
    permissions: tuple[Permission, ...] | None = None
    is_active: bool | None = None


class Account(Record):
    """Somebody who may use the lab."""

    id: int
    username: str
    email: str | None
    full_name: str
    permissions: tuple[Permission, ...]
    is_active: bool
    has_password: bool
    created_at: UtcTime
    updated_at: UtcTime


class Login(Record):
    """What a login is asked for by."""

    username: str = Field(min_length=1, max_length=254)
    """The username or the email address."""
    password: SecretStr = Field(max_length=1000)


class Refresh(Record):
    """What new tokens are asked for by."""

    refresh_token: SecretStr = Field(max_length=4000)


class PasswordChange(Record):
    """Somebody's new password, and the one they have."""

    old: SecretStr = Field(max_length=1000)
    new: Password


class Tokens(Record):
    """The answer to a login. Each refresh token is good for one refresh."""

    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int
    """Seconds until the access token ends."""


class NewApiKey(Record):
    """What is needed to make an API key."""

    name: str = Field(min_length=1, max_length=200)
    permissions: tuple[Permission, ...] | None = None
    """At most those of the account; None: all of them. Every key may read."""
    expires_at: UtcTime | None = None


class ApiKey(Record):
    """An API key as it is listed; the key itself is shown once, when it is made."""

    id: int
    account_id: int
    username: str
    name: str
    prefix: str
    """The first characters of the key."""
    permissions: tuple[Permission, ...]
    created_at: UtcTime
    expires_at: UtcTime | None
    last_used_at: UtcTime | None
    revoked_at: UtcTime | None


class CreatedApiKey(ApiKey):
    """An API key as it is told to who made it."""

    key: str = Field(repr=False)
    """The credential. It is not stored and cannot be shown again."""


class CreditGrant(Record):
    """Credits that an administrator gives an account or takes away."""

    amount: int = Field(ge=-(10**12), le=10**12)
    """How many credits are added; negative: taken away."""
    reason: str = Field(default="", max_length=1000)


class CreditEntry(Record):
    """One line of an account's ledger."""

    id: int
    amount: int
    reason: str
    author: str
    created_at: UtcTime


class Credits(Record):
    """What an account has left, and its newest entries."""

    account_id: int
    available: int
    entries: tuple[CreditEntry, ...]


class AuditEntry(Event):
    """An event with who did it and how they came in."""

    account_id: int
    credential: str
    """`jupyter`, `lab token`, `session:<id>`, `key:<id>`, or `lab` for what the lab does by itself.

    `password` for who tries to log in, `registration` for who makes an account of their own.
    """
    address: str
    request_id: str
