"""Sockets of real lab servers: who may listen to what, for how long, and how many of them."""

import asyncio
import json
import socket as plain
import struct
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.server.identity.conftest import at
from tests.server.tracking.test_runs import log, new_run, stream


def address(server, path="live"):
    return f"{server.url.replace('http', 'ws', 1)}mlship/{path}"


@contextmanager
def live(server, token, *topics, after=None):
    with connect(address(server), additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        say(socket, op="subscribe", topics=topics, after=after)
        yield socket


def say(socket, **message):
    socket.send(json.dumps(message))


def hear(socket, timeout=5):
    return json.loads(socket.recv(timeout=timeout))


def closing(socket, timeout=10):
    """How a socket was closed."""
    deadline = time.monotonic() + timeout
    try:
        while True:
            hear(socket, max(0.1, deadline - time.monotonic()))
    except ConnectionClosed as closed:
        return closed.rcvd.code, closed.rcvd.reason


def token_of(someone):
    return someone.tokens["access_token"]


def project(client, name, **more):
    body = {"name": name, "task": "text_classification", "classes": ["a", "b"], **more}
    answer = client.post("projects", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_nobody_hears_of_what_they_may_not_see(lab_server, person):
    mine, other = person(), person()
    secret = new_run(other.client)
    own = new_run(mine.client)
    with live(lab_server, token_of(mine), f"run:{secret['id']}", f"run:{own['id']}") as socket:
        refused = hear(socket)
        assert (refused["type"], refused["topic"]) == ("error", f"run:{secret['id']}")
        assert refused["error"]["code"] == "NOT_FOUND"
        assert hear(socket) == {"type": "subscribed", "topics": [f"run:{own['id']}"]}
        log(other.client, secret, stream(["loss"], [1], [1.0]))
        other.client.patch(f"runs/{secret['id']}", json={"notes": "x"})
        say(socket, op="ping")
        assert hear(socket)["type"] == "pong"


def test_everything_is_what_belongs_to_oneself_and_all_for_administrators(lab_server, person):
    mine, other = person(), person()
    with (
        live(lab_server, token_of(mine), "*") as socket,
        live(lab_server, lab_server.token, "*") as admins,
    ):
        assert hear(socket)["type"] == hear(admins)["type"] == "subscribed"
        theirs = new_run(other.client)
        log(other.client, theirs, stream(["loss"], [1], [1.0]))
        own = new_run(mine.client)
        log(mine.client, own, stream(["loss"], [1], [1.0]))
        topics = [hear(socket) for _ in range(2)]
        assert [(one["type"], one.get("topic") or one["event"]["topic"]) for one in topics] == [
            ("event", f"run:{own['id']}"),
            ("metrics", f"run:{own['id']}"),
        ]
        heard = set()
        while heard < {f"run:{theirs['id']}", f"run:{own['id']}"}:
            message = hear(admins)
            if message["type"] == "metrics":
                heard.add(message["topic"])


def test_what_was_missed_is_only_ones_own(lab_server, person):
    mine, other = person(), person()
    new_run(other.client)
    own = new_run(mine.client)
    with live(lab_server, token_of(mine), "*", after=0) as socket:
        assert hear(socket)["type"] == "subscribed"
        owners = {hear(socket)["event"]["owner_id"]}
        say(socket, op="ping")
        while (message := hear(socket))["type"] == "event":
            owners.add(message["event"]["owner_id"])
    assert owners == {mine.account["id"]}
    assert own


@pytest.mark.parametrize("way", ["header", "query"])
def test_the_token_is_taken_from_header_or_query_and_never_logged(lab_server, person, way):
    token = token_of(person())
    headers = {"Authorization": f"Bearer {token}"} if way == "header" else {}
    query = f"?token={token}" if way == "query" else ""
    # With its token in the address a page of any site may open it: no cookie is needed.
    with connect(
        address(lab_server) + query, additional_headers=headers, origin="https://else.example"
    ) as socket:
        say(socket, op="ping")
        assert hear(socket)["type"] == "pong"
    assert token not in lab_server.log_file.read_text()


def test_without_a_credential_the_refusal_has_the_apis_shape(lab_server):
    for query in ("", "?token=wrong"):
        with pytest.raises(InvalidStatus) as refused, connect(address(lab_server) + query):
            pass
        response = refused.value.response
        assert response.status_code == 401
        assert json.loads(response.body)["error"]["code"] == "UNAUTHENTICATED"


def test_a_request_that_is_no_websocket_is_told_so(lab_server):
    answer = at(lab_server, lab_server.token).get(f"{lab_server.url}mlship/live")
    assert answer.status_code == 422
    assert "WebSocket" in answer.json()["error"]["message"]


def test_a_socket_ends_with_its_credential(lab_server, person):
    someone = person()
    key = someone.client.post("auth/keys", json={"name": "socket"}).json()
    with (
        live(lab_server, key["key"], "*") as by_key,
        live(lab_server, token_of(someone), "*") as by_login,
        live(lab_server, lab_server.token, "*") as owners,
    ):
        assert hear(by_key)["type"] == hear(by_login)["type"] == hear(owners)["type"] == "subscribed"
        assert someone.client.delete(f"auth/keys/{key['id']}").status_code == 204
        assert closing(by_key)[0] == 1008
        lab_server.client.patch(f"accounts/{someone.account['id']}", json={"is_active": False})
        assert closing(by_login)[0] == 1008
        say(owners, op="ping")
        while hear(owners)["type"] != "pong":
            pass


def test_a_socket_ends_when_its_topic_is_not_public_any_more(lab_server, person):
    owner, guest = person(), person()
    made = project(owner.client, f"open {time.time_ns()}", is_public=True)
    with (
        live(lab_server, token_of(guest), f"project:{made['id']}") as socket,
        live(lab_server, token_of(owner), f"project:{made['id']}") as owners,
    ):
        assert hear(socket)["type"] == hear(owners)["type"] == "subscribed"
        changed = owner.client.patch(f"projects/{made['id']}", json={"is_public": False})
        assert changed.status_code == 200, changed.text
        assert closing(socket)[0] == 1008
        while hear(owners)["type"] != "event":
            pass
        say(owners, op="ping")
        assert hear(owners)["type"] == "pong"


def test_a_huge_message_ends_the_socket_and_nothing_else(lab_server):
    with live(lab_server, lab_server.token) as socket, live(lab_server, lab_server.token) as other:
        assert hear(socket)["type"] == hear(other)["type"] == "subscribed"
        socket.send("x" * (300 << 10))
        assert closing(socket)[0] == 1009
        say(other, op="ping")
        assert hear(other)["type"] == "pong"


def deaf(server, *topics):
    """A socket whose client never reads."""
    parts = urlsplit(server.url)
    connection = plain.create_connection((parts.hostname, parts.port), 10)
    connection.setsockopt(plain.SOL_SOCKET, plain.SO_RCVBUF, 4096)
    connection.sendall(
        f"GET {parts.path}mlship/live HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {server.token}\r\n\r\n".encode()
    )
    assert b" 101 " in connection.recv(4096)
    text = json.dumps({"op": "subscribe", "topics": topics}).encode()
    connection.sendall(b"\x81" + struct.pack("!B", 0x80 | len(text)) + bytes(4) + text)
    return connection


def test_clients_that_never_read_hold_up_nobody(lab_server):
    run = new_run(lab_server.client)
    topic = f"run:{run['id']}"
    silent = [deaf(lab_server, topic) for _ in range(20)]
    try:
        with live(lab_server, lab_server.token, topic) as socket:
            assert hear(socket)["type"] == "subscribed"
            # More than what fits into the buffers between the server and a silent client.
            for number in range(300):
                big = {"notes": f"{number} " + "x" * 9000}
                assert lab_server.client.patch(f"runs/{run['id']}", json=big).status_code == 200
                if number % 10 == 9:
                    # As it goes: a client whose buffer is full of what it has not read sees no pings either.
                    heard = 0
                    while heard < 10:
                        heard += hear(socket)["type"] == "event"
    finally:
        for one in silent:
            one.close()


@pytest.mark.slow
def test_an_account_has_a_limit_and_the_server_stays_responsive(lab_server, person):
    someone = person()
    headers = {"Authorization": f"Bearer {token_of(someone)}"}

    async def crowd():
        sockets = []
        gate = asyncio.Semaphore(50)

        async def one():
            async with gate:
                sockets.append(
                    await connect_async(
                        address(lab_server), additional_headers=headers, open_timeout=60, ping_interval=None
                    )
                )

        try:
            await asyncio.gather(*(one() for _ in range(2000)))
            start = time.monotonic()
            answer = await asyncio.to_thread(lab_server.client.get, "runs")
            assert answer.status_code == 200
            assert time.monotonic() - start < 2
            async with connect_async(address(lab_server), additional_headers=headers) as more:
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(more.recv(), 10)
                assert closed.value.rcvd.code == 1013
            await sockets.pop().close()
            async with connect_async(address(lab_server), additional_headers=headers) as again:
                await again.send('{"op": "ping"}')
                assert json.loads(await asyncio.wait_for(again.recv(), 10))["type"] == "pong"
        finally:
            await asyncio.gather(*(one.close() for one in sockets))

    asyncio.run(crowd())


def test_no_event_overtakes_the_metrics_before_it(lab_server):
    for _ in range(5):
        run = new_run(lab_server.client)
        with live(lab_server, lab_server.token, f"run:{run['id']}") as socket:
            assert hear(socket)["type"] == "subscribed"
            for sequence in (1, 2):
                log(lab_server.client, run, stream(["loss"], [sequence], [1.0]), sequence=sequence)
            lab_server.client.patch(f"runs/{run['id']}", json={"notes": "the end"})
            heard = []
            while not heard or heard[-1]["type"] != "event":
                heard.append(hear(socket))
            assert heard[-2]["sequence"] == 2


def test_an_idle_socket_stays_open_while_its_client_answers_pings(example_server):
    # Which come every half second on this server.
    with live(example_server, example_server.token) as socket:
        assert hear(socket)["type"] == "subscribed"
        with pytest.raises(TimeoutError):
            socket.recv(timeout=3)
        say(socket, op="ping")
        assert hear(socket)["type"] == "pong"


def test_a_client_that_answers_no_ping_is_gone(example_server):
    connection = deaf(example_server)
    try:
        connection.settimeout(10)
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    finally:
        connection.close()


def things(server, run, **query):
    path = f"boxed/ws/things/run_{run['id']}"
    more = "&".join(f"{name}={value}" for name, value in query.items())
    return address(server, path) + (f"?{more}" if more else "")


def test_a_dialects_socket_speaks_its_own_words(example_server):
    run = new_run(example_server.client)
    last = example_server.client.get("events", params={"topic": f"run:{run['id']}"}).json()["items"][-1]["id"]
    # Whether the change comes before the server listens or after, it is heard.
    with connect(things(example_server, run, token=example_server.token, after=last)) as socket:
        socket.send("anything")
        example_server.client.patch(f"runs/{run['id']}", json={"notes": "x"})
        said = hear(socket)
        assert said["thing"] == run["name"]
        assert said["said"]["event"]["type"] == "run.changed"


def test_a_dialects_socket_is_refused_in_its_own_shape(example_server, person):
    run = new_run(example_server.client)
    stranger = token_of(person(example_server))
    cases = [
        (things(example_server, run), 401, "AUTHENTICATION_ERROR"),
        (things(example_server, {"id": 999999}, token=example_server.token), 404, "RESOURCE_NOT_FOUND"),
        (things(example_server, run, token=stranger), 404, "RESOURCE_NOT_FOUND"),
        (things(example_server, run, token=example_server.token, after="x"), 422, "VALIDATION_ERROR"),
    ]
    for url, status, code in cases:
        with pytest.raises(InvalidStatus) as refused, connect(url):
            pass
        assert refused.value.response.status_code == status, url
        assert json.loads(refused.value.response.body)["error"]["code"] == code


def test_who_comes_back_to_a_dialects_socket_misses_no_event(example_server):
    run = new_run(example_server.client)
    with connect(things(example_server, run, token=example_server.token, after=0)) as socket:
        last = hear(socket)["said"]["event"]
        assert last["type"] == "run.created"
    for number in range(3):
        example_server.client.patch(f"runs/{run['id']}", json={"notes": str(number)})
    with connect(things(example_server, run, token=example_server.token, after=last["id"])) as socket:
        missed = [hear(socket)["said"]["event"] for _ in range(3)]
    assert [event["type"] for event in missed] == ["run.changed"] * 3


def test_a_dialects_socket_ends_with_its_credential(example_server, person):
    someone = person(example_server)
    run = new_run(someone.client)
    with connect(things(example_server, run, token=token_of(someone))) as socket:
        example_server.client.delete(f"accounts/{someone.account['id']}/sessions")
        assert closing(socket)[0] == 1008
