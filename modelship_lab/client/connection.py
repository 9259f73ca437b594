"""HTTP to one lab server: credentials, retries with back-off, errors of the lab's own tree."""

import itertools
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, TypeVar

import httpx
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import to_json

from modelship_lab.client.discovery import Address, is_local
from modelship_lab.records.errors import LabError, TimedOut, Unavailable, error_from_code
from modelship_lab.version import __version__

ARROW = "application/vnd.apache.arrow.stream"

Body = bytes | Callable[[], Iterable[bytes]]
"""The bytes of a request, or what makes them anew for each attempt."""

RecordType = TypeVar("RecordType", bound=BaseModel)

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_MOST_RENEWALS = 2
"""For one request: another process may have renewed the credential so long ago that it has ended again."""


class Credential(Protocol):
    """A credential that changes."""

    def token(self) -> str:
        """What to send now."""

    def renew(self, refused: str) -> None:
        """See that there is another token than the one that was refused.

        Raises:
            Unauthenticated: there is none any more.
        """


class Connection:
    """Requests to the native API of one lab server. May be used from any thread.

    Args:
        address: the server and the credential.
        locate: says where the server is now; asked after a failed attempt, because a lab server that
            was restarted usually has another port. None: it is never anywhere else.
        patience_s: how long a request is repeated while the server is away.
        credential: takes the place of the address's own.
    """

    def __init__(
        self,
        address: Address,
        locate: Callable[[], Address | None] | None = None,
        patience_s: float = 10.0,
        credential: Credential | None = None,
    ) -> None:
        self._address = address
        self._locate = locate
        self._credential = credential
        self.patience_s = patience_s
        self._open()
        _connections.add(self)

    def _open(self) -> None:
        """Begin with no socket."""
        self._lock = threading.Lock()
        self._http = self._client(self._address)

    def __repr__(self) -> str:
        return f"Connection({self._address.url!r})"

    @property
    def url(self) -> str:
        """Base address of the server, with a slash at the end."""
        return self._address.url

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        content: Body | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        timeout_s: float = 60.0,
        patience_s: float | None = None,
    ) -> httpx.Response:
        """One request below `mlship/api/`, repeated while the server is away.

        Args:
            path: relative to the API, e.g. `projects/spam/queue`; names in it are already quoted.
            params: query parameters; those that are None are left out, sequences are repeated.
            json: a record or JSON value for the body.
            content: raw bytes for the body.
            repeatable: whether the server may safely see the request twice. Default: yes for GET,
                PUT and DELETE. What is not repeatable is only sent again if it never arrived.
            timeout_s: longest wait for an answer of one attempt.
            patience_s: longest time for all attempts.

        Raises:
            LabError: what the server answered, with `request_id`.
            Unavailable: the server could not be reached.
            TimedOut: the server did not answer in time.
        """
        if repeatable is None:
            repeatable = method in _REPEATABLE
        arguments = _arguments(params, json, headers)
        deadline = time.monotonic() + (self.patience_s if patience_s is None else patience_s)
        pause_s = _FIRST_PAUSE_S
        renewals = 0
        while True:
            http, url = self._http, self.url
            token = self._token()
            arguments["headers"].update(_authorization(token))
            failure: LabError
            try:
                body = content() if callable(content) else content
                if body is not None:
                    arguments["content"] = body
                response = http.request(
                    method, f"{url}mlship/api/{path}", timeout=_timeout(timeout_s), **arguments
                )
                if response.status_code == 401 and self._credential and renewals < _MOST_RENEWALS:
                    renewals += 1
                    self._credential.renew(token)
                    continue
                if response.status_code != 503:
                    return _checked(response)
                failure = _error_of(response)
                may_repeat = True
                pause_s = max(pause_s, min(_seconds(response.headers.get("Retry-After")), _LONGEST_PAUSE_S))
            except httpx.ReadTimeout:
                failure = TimedOut(f"The lab server at {url} did not answer within {timeout_s:g} s.")
                may_repeat = False
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
                failure = _away(url)
                may_repeat = True
            except httpx.TransportError as error:
                failure = Unavailable(
                    f"The connection to the lab server at {url} broke ({type(error).__name__})."
                )
                may_repeat = repeatable
            self._follow()
            if not may_repeat or time.monotonic() + pause_s > deadline:
                raise failure
            time.sleep(pause_s * random.uniform(0.7, 1.0))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def record(self, kind: type[RecordType], method: str, path: str, **arguments: Any) -> RecordType:
        """`request`, with the answer as a record.

        Raises:
            LabError: as `request`; or the answer is not what this version of the client knows.
        """
        response = self.request(method, path, **arguments)
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise LabError(
                f"The lab server at {self.url} is of another version than this client ({__version__}): "
                "restart JupyterLab or `mlship serve`, and the kernel."
            ) from error

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = 120.0
    ) -> Iterator[Iterator[bytes]]:
        """GET a large answer in pieces."""
        try:
            with ExitStack() as opened:
                for renewals in itertools.count():
                    token = self._token()
                    response = opened.enter_context(
                        self._http.stream(
                            "GET",
                            f"{self.url}mlship/api/{path}",
                            headers={**(headers or {}), **_authorization(token)},
                            timeout=_timeout(timeout_s),
                        )
                    )
                    if response.status_code != 401 or self._credential is None or renewals == _MOST_RENEWALS:
                        break
                    self._credential.renew(token)
                if response.status_code >= 400:
                    response.read()
                    raise _error_of(response)
                yield response.iter_bytes(1 << 20)
        except httpx.TransportError as error:
            raise Unavailable(
                f"The connection to the lab server at {self.url} broke: {type(error).__name__}."
            ) from error

    def close(self) -> None:
        """Give the sockets back; the connection cannot be used afterwards."""
        self._http.close()

    def _token(self) -> str:
        return self._credential.token() if self._credential is not None else self._address.token

    def _follow(self) -> None:
        """Turn to the address that the server has announced last."""
        address = self._locate() if self._locate is not None else None
        if address is None or address == self._address:
            return
        with self._lock:
            if address != self._address:
                self._http = self._client(address)
                self._address = address

    def _client(self, address: Address) -> httpx.Client:
        return httpx.Client(
            trust_env=not is_local(address.url),
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=30),
        )


_connections: "weakref.WeakSet[Connection]" = weakref.WeakSet()


def _after_fork() -> None:
    # The sockets are the parent's: two processes that speak on one of them get each other's answers.
    for connection in list(_connections):
        connection._open()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _arguments(
    params: Mapping[str, Any] | None, json: Any, headers: Mapping[str, str] | None
) -> dict[str, Any]:
    arguments: dict[str, Any] = {"headers": dict(headers or {})}
    if params:
        arguments["params"] = {name: value for name, value in params.items() if value is not None}
    if isinstance(json, BaseModel):
        # What was not set stays unsaid: in a change it means "leave as it is".
        arguments["content"] = _with_secrets(json)
        arguments["headers"].setdefault("Content-Type", "application/json")
    elif json is not None:
        arguments["json"] = json
    return arguments


def _with_secrets(record: BaseModel) -> bytes:
    """A record as JSON. Pydantic masks secrets everywhere; on their way to the lab they must be readable."""
    secrets = {name: value.get_secret_value() for name, value in record if isinstance(value, SecretStr)}
    if not secrets:
        return record.model_dump_json(exclude_unset=True).encode()
    return to_json({**record.model_dump(mode="json", exclude_unset=True), **secrets})


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _timeout(timeout_s: float) -> httpx.Timeout:
    return httpx.Timeout(timeout_s, connect=5.0, pool=10.0)


def _seconds(header: str | None) -> float:
    try:
        return float(header or 0)
    except ValueError:
        return 0.0


def _away(url: str) -> Unavailable:
    return Unavailable(f"No lab server answers at {url}. Start it with `mlship serve`, or open JupyterLab.")


def _checked(response: httpx.Response) -> httpx.Response:
    if response.status_code >= 400:
        raise _error_of(response)
    return response


def _error_of(response: httpx.Response) -> LabError:
    """The error that the answer names, or one that says what came instead of an answer of ours."""
    try:
        body = response.json()
        said = body["error"]
        error = error_from_code(said["code"], said["message"], said.get("details") or ())
        error.request_id = str(body.get("request_id") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        where = f"{response.request.method} {response.request.url.path}"
        kind = Unavailable if response.status_code in (502, 503, 504) else LabError
        error = kind(f"{where} was answered with HTTP status {response.status_code}, not by a lab server.")
    return error
