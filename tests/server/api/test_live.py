"""The live socket of a real lab server."""

import json
import time
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.server.api.example_dialect import MISSED_AT_ONCE
from tests.server.tracking.test_runs import log, new_run, stream


@contextmanager
def live(lab_server, *topics, after=None):
    address = lab_server.url.replace("http", "ws", 1) + "mlship/live"
    with connect(address, additional_headers={"Authorization": f"Bearer {lab_server.token}"}) as socket:
        say(socket, op="subscribe", topics=topics, after=after)
        assert hear(socket)["type"] == "subscribed"
        yield socket


def say(socket, **message):
    socket.send(json.dumps(message))


def hear(socket, timeout=5):
    return json.loads(socket.recv(timeout=timeout))


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_nobody_listens_without_a_credential(lab_server, headers):
    address = lab_server.url.replace("http", "ws", 1) + "mlship/live"
    with pytest.raises(InvalidStatus) as refused, connect(address, additional_headers=headers):
        pass
    assert refused.value.response.status_code == 401


def test_a_page_of_another_site_cannot_listen_with_the_cookie(lab_server):
    address = lab_server.url.replace("http", "ws", 1) + "mlship/live"
    with pytest.raises(InvalidStatus) as refused, connect(address, origin="http://evil.example"):
        pass
    assert refused.value.response.status_code in (401, 403)


def test_metric_deltas_arrive_in_order_and_name_what_they_follow(lab_server):
    run = new_run(lab_server.client)
    with live(lab_server, f"run:{run['id']}") as socket:
        for sequence in range(1, 4):
            log(lab_server.client, run, stream(["loss"], [sequence], [sequence / 2]), sequence=sequence)
        seen, steps = 0, []
        while seen < 3:
            message = hear(socket)
            assert message["type"] == "metrics"
            assert message["from"] == seen
            seen = message["sequence"]
            steps += message["series"][0]["steps"]
        assert steps == [1, 2, 3]


def test_metric_deltas_tell_contexts_apart_and_what_is_not_finite(lab_server):
    run = new_run(lab_server.client)
    points = [
        {"name": "loss", "value": 1, "step": 1},
        {"name": "loss", "value": 2, "step": 1, "context": {"subset": "val"}},
        {"name": "loss", "value": "NaN", "step": 2},
    ]
    with live(lab_server, f"run:{run['id']}") as socket:
        lab_server.client.post(f"runs/{run['id']}/metrics", json={"points": points})
        plain, val = hear(socket)["series"]
        assert (plain["name"], plain["context"], plain["steps"]) == ("loss", {}, [1, 2])
        assert plain["values"] == [1.0, None] and plain["nonfinite"][0]["kind"] == "nan"
        assert (val["context"], val["steps"], val["nonfinite"]) == ({"subset": "val"}, [1], [])
        # What was told before has changed: it has to be asked for.
        lab_server.client.post(f"runs/{run['id']}/metrics", json={"points": points[:1]})
        message = hear(socket)
        assert (message["gap"], message["series"], message["sequence"]) == (True, [], 2)


def test_only_topics_that_were_asked_for(lab_server):
    mine, other = new_run(lab_server.client), new_run(lab_server.client)
    with live(lab_server, f"run:{mine['id']}") as socket:
        log(lab_server.client, other, stream(["loss"], [1], [1.0]))
        lab_server.client.post(f"runs/{mine['id']}/stop")
        message = hear(socket)
        assert (message["event"]["type"], message["event"]["topic"]) == (
            "run.stop_requested",
            f"run:{mine['id']}",
        )
        say(socket, op="unsubscribe", topics=[f"run:{mine['id']}"])
        say(socket, op="ping")
        assert hear(socket)["type"] == "pong"
        lab_server.client.patch(f"runs/{mine['id']}", json={"notes": "x"})
        say(socket, op="ping")
        assert hear(socket)["type"] == "pong"


def test_who_comes_back_misses_no_event(lab_server):
    parent = new_run(lab_server.client)["id"]
    run = new_run(lab_server.client, parent_id=parent)
    topic = f"run:{run['id']}"
    with live(lab_server, topic, after=0) as socket:
        last = hear(socket)["event"]
        assert (last["type"], last["payload"]["parent_id"]) == ("run.created", parent)
    for number in range(5):
        lab_server.client.patch(f"runs/{run['id']}", json={"notes": str(number)})
    with live(lab_server, topic, after=last["id"]) as socket:
        missed = [hear(socket)["event"] for _ in range(5)]
    assert [event["type"] for event in missed] == ["run.changed"] * 5
    assert [event["id"] for event in missed] == sorted(event["id"] for event in missed)


def test_a_very_large_batch_is_announced_as_a_gap(lab_server):
    run = new_run(lab_server.client)
    with live(lab_server, f"run:{run['id']}") as socket:
        log(lab_server.client, run, stream(["loss"] * 6000, list(range(6000)), [1.0] * 6000))
        message = hear(socket)
        assert message["gap"] is True
        assert message["series"] == []
        assert message["sequence"] == 1


def test_nonsense_is_answered_and_the_connection_lives(lab_server):
    with live(lab_server) as socket:
        for nonsense in ("", "{", "[]", '{"op": "drop tables"}', '{"op": "subscribe", "topics": "run:1"}'):
            socket.send(nonsense)
            assert hear(socket)["type"] == "error"
        say(socket, op="ping")
        assert hear(socket)["type"] == "pong"


def test_who_was_away_for_very_long_gets_every_event_in_several_visits(example_server):
    client, run = example_server.client, new_run(example_server.client)
    after = client.get("events", params={"topic": f"run:{run['id']}"}).json()["items"][-1]["id"]
    changes = MISSED_AT_ONCE + 5
    for number in range(changes):
        client.patch(f"runs/{run['id']}", json={"notes": f"{number}"}).raise_for_status()
    address = example_server.url.replace("http", "ws", 1) + "mlship/live"
    seen, closings = [], []
    for _ in range(3):
        with connect(
            address, additional_headers={"Authorization": f"Bearer {example_server.token}"}
        ) as socket:
            say(socket, op="subscribe", topics=[f"run:{run['id']}"], after=seen[-1] if seen else after)
            try:
                while len(seen) < changes:
                    message = hear(socket)
                    if message["type"] == "event":
                        seen.append(message["event"]["id"])
            except ConnectionClosed as closed:
                closings.append(closed.rcvd.code)
    assert closings == [1013]
    assert len(seen) == changes
    assert seen == sorted(set(seen))


def test_what_a_session_had_in_hand_is_handed_out_again_when_its_browser_is_gone(lab_server):
    client = lab_server.client
    new = {"name": "left alone", "task": "text_classification", "classes": ["ham", "spam"]}
    path = f"projects/{client.post('projects', json=new).json()['id']}"
    begun = client.post(f"{path}/imports", params={"format": "csv"}, content=b"text\na\nb\n").json()
    client.get(f"imports/{begun['id']}", params={"wait_s": 30})

    def take(holder):
        found = client.get(f"{path}/queue", params={"order": "sequential", "limit": 2, "holder": holder})
        return [one["text"] for one in found.json()["samples"]]

    with live(lab_server, "holder:first"):
        assert take("first") == ["a", "b"]
    with live(lab_server, "holder:first"):
        # It was only the connection that broke.
        time.sleep(6)
        assert take("second") == []
    deadline = time.monotonic() + 30
    while take("second") != ["a", "b"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
