"""Accounts of a lab server as their users see them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from random import randint
from uuid import uuid4

import httpx
import pytest

PASSWORD = "correct horse battery"


@dataclass
class Person:
    """Somebody with an account."""

    account: dict
    password: str
    tokens: dict
    client: httpx.Client
    """With the access token of a login."""


def somewhere() -> str:
    """One of this machine's addresses that nobody else uses, so that nobody else's logins count with ours."""
    return f"127.{randint(1, 254)}.{randint(1, 254)}.{randint(1, 254)}"


def at(server, credential: str | None = None, source: str | None = None, **headers: str) -> httpx.Client:
    """A client of a server's native API, with one credential and from one of this machine's addresses."""
    if credential is not None:
        headers["Authorization"] = f"Bearer {credential}"
    return httpx.Client(
        base_url=f"{server.url}mlship/api/",
        headers=headers,
        transport=httpx.HTTPTransport(local_address=source),
        timeout=60,
    )


def login(server, username: str, password: str, source: str | None = None, **headers: str) -> httpx.Response:
    """Try to log in, from `source` or from an address of its own."""
    with at(server, source=source or somewhere(), **headers) as client:
        return client.post("auth/login", json={"username": username, "password": password})


def new_name(stem: str = "ada") -> str:
    return f"{stem}-{uuid4().hex[:8]}"


@pytest.fixture
def person(lab_server) -> Iterator[Callable[..., Person]]:
    """Make accounts, each with a login; on the common server unless another one is given."""
    with ExitStack() as stack:

        def make(server=lab_server, **fields) -> Person:
            new = {"username": new_name(), "password": PASSWORD, **fields}
            answer = server.client.post("accounts", json=new)
            assert answer.status_code == 201, answer.text
            answered = login(server, new["username"], new["password"])
            assert answered.status_code == 200, answered.text
            client = stack.enter_context(at(server, answered.json()["access_token"]))
            return Person(answer.json(), new["password"], answered.json(), client)

        yield make
