"""Logins of this user at labs elsewhere, kept in a file that only they can read.

    <data dir>/logins.json    the logins by the address of their lab, and which of them the shell uses
    <data dir>/logins.lock    held while one of them is renewed

A refresh token is good for one refresh, and showing it twice ends the login. So one thread of one
process refreshes at a time, and the next token is on disk before anybody uses what came with it.
"""

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from filelock import FileLock, Timeout
from pydantic import Field, SecretStr, ValidationError

from modelship_lab.client.connection import Connection
from modelship_lab.client.discovery import Address, with_slash
from modelship_lab.records.base import Record, UtcTime, utc_now
from modelship_lab.records.errors import InvalidInput, Unauthenticated, Unavailable
from modelship_lab.records.identity import Login, Refresh, Tokens

_LOCK_TIMEOUT_S = 60.0
_EARLY = timedelta(seconds=10)
"""An access token is renewed this long before it ends: a large upload that is refused is a broken connection."""


class StoredLogin(Record):
    """A login at one lab."""

    url: str
    username: str
    access_token: str = Field(default="", repr=False)
    refresh_token: str = Field(default="", repr=False)
    """Empty when the login has ended; then its address is kept, so that nothing goes to another lab instead."""
    expires_at: UtcTime

    def renewed(self, tokens: Tokens, asked_at: datetime) -> "StoredLogin":
        """The login with what the lab has answered."""
        return self.model_copy(
            update={
                "access_token": tokens.access_token,
                "refresh_token": tokens.refresh_token,
                "expires_at": asked_at + timedelta(seconds=tokens.expires_in),
            }
        )

    def ended(self) -> "StoredLogin":
        """The login without its tokens."""
        return self.model_copy(update={"access_token": "", "refresh_token": ""})


class _Content(Record):
    current: str | None = None
    logins: dict[str, StoredLogin] = {}


class Logins:
    """The file of logins.

    Args:
        data_dir: this user's data directory.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "logins.json"

    @property
    def current(self) -> StoredLogin | None:
        """The login that the shell uses, if it uses one."""
        content = self._read()
        return content.logins.get(content.current) if content.current else None

    def get(self, url: str) -> StoredLogin | None:
        """The login at the lab at `url`."""
        return self._read().logins.get(url)

    def save(self, login: StoredLogin, *, current: bool = False) -> None:
        """Keep a login in place of an earlier one at the same lab.

        Args:
            current: whether the shell uses it from now on.
        """
        with self.lock():
            content = self._read()
            chosen = login.url if current else content.current
            self._write(_Content(current=chosen, logins={**content.logins, login.url: login}))

    def forget(self, url: str) -> None:
        """Remove the login at the lab at `url`; the shell no longer uses it."""
        with self.lock():
            content = self._read()
            left = {known: login for known, login in content.logins.items() if known != url}
            self._write(_Content(current=None if content.current == url else content.current, logins=left))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from reading and changing logins meanwhile. May be nested in one thread.

        Raises:
            Unavailable: another process holds it for too long.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(self._path.with_suffix(".lock"), timeout=_LOCK_TIMEOUT_S, is_singleton=True)
        try:
            with lock:
                yield
        except Timeout:
            raise Unavailable("Another process takes too long to renew the login; try again.") from None

    def _read(self) -> _Content:
        try:
            return _Content.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Content()
        except (OSError, ValidationError):
            raise InvalidInput(
                f"The logins in {self._path} cannot be read: delete the file and log in again."
            ) from None

    def _write(self, content: _Content) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex[:8]}")
        # Nobody else may read it, not even before it has its name.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.model_dump_json(indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)


class LoginCredential:
    """The access token of a login, renewed when it ends. May be used from any thread.

    Args:
        login: as it is known now.
        logins: where it is kept and other processes find it; None: only this process knows it.
    """

    def __init__(self, login: StoredLogin, logins: Logins | None = None) -> None:
        self._login = login
        self._logins = logins
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Login of {self._login.username} at {self._login.url}"

    def token(self) -> str:
        """An access token that has not ended yet, as far as this machine's clock can tell.

        Raises:
            Unauthenticated: the login has ended.
        """
        login = self._login
        if login.expires_at - utc_now() < _EARLY:
            self.renew(login.access_token)
        return self._login.access_token

    def renew(self, refused: str) -> None:
        """See that there is another access token than `refused`.

        Raises:
            Unauthenticated: the login has ended.
        """
        with self._lock:
            if self._login.access_token == refused:
                with self._alone():
                    self._login = self._renewed(refused)

    def _alone(self) -> AbstractContextManager[None]:
        return self._logins.lock() if self._logins is not None else nullcontext()

    def _renewed(self, refused: str) -> StoredLogin:
        login = self._login if self._logins is None else self._logins.get(self._login.url)
        if login is None or login.username != self._login.username:
            raise self._over("it was logged out")
        if login.access_token != refused and login.expires_at - utc_now() > _EARLY:
            return login
        if not login.refresh_token:
            raise self._over("it has ended")
        refresh = Refresh(refresh_token=SecretStr(login.refresh_token))
        asked_at = utc_now()
        try:
            tokens = Connection(Address(login.url, "")).record(Tokens, "POST", "auth/refresh", json=refresh)
        except Unauthenticated as error:
            self._keep(login.ended())
            raise self._over(error.message.rstrip(".")) from error
        return self._keep(login.renewed(tokens, asked_at))

    def _keep(self, login: StoredLogin) -> StoredLogin:
        if self._logins is not None:
            self._logins.save(login)
        return login

    def _over(self, why: str) -> Unauthenticated:
        login = self._login
        again = (
            f"log in again with `mlship login {login.url}`" if self._logins is not None else "connect again"
        )
        return Unauthenticated(
            f"The login of {login.username} at {login.url} is over: {again}. The reason: {why}."
        )


def log_in(url: str, username: str, password: str) -> StoredLogin:
    """Log in with a username, or an email address, and a password.

    Raises:
        Unauthenticated: they do not fit.
        Unavailable: no lab answers at `url`.
    """
    asked_at = utc_now()
    given = Login(username=username, password=SecretStr(password))
    tokens = Connection(Address(url, "")).record(Tokens, "POST", "auth/login", json=given)
    return StoredLogin(url=url, username=username, expires_at=asked_at).renewed(tokens, asked_at)


def lab_address(text: str) -> str:
    """The base address of a lab as somebody writes it, with a slash at the end.

    Raises:
        InvalidInput: it is no address of a server.
    """
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidInput("Write the address of the lab whole, e.g. https://lab.example.org/.")
    if url.userinfo or url.query or url.fragment:
        raise InvalidInput("Write the address of the lab without a password, `?` and `#`.")
    return with_slash(str(url))
