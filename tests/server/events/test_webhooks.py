"""Webhooks of a real lab server, told to a real receiver."""

import base64
import hashlib
import hmac
import itertools
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import httpx
import pytest
from standardwebhooks import Webhook as Verifier

from tests.server.events.receiver import receiving, reply
from tests.server.tracking.test_runs import new_run


def new_webhook(client, url, *events, **more):
    answer = client.post("webhooks", json={"url": url, "events": list(events or ["run.changed"]), **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def change(client, run, notes="x"):
    client.patch(f"runs/{run['id']}", json={"notes": notes}).raise_for_status()


def deliveries(client, webhook, **query):
    return client.get(f"webhooks/{webhook['id']}/deliveries", params=query).json()["items"]


def at_key(client, key):
    return httpx.Client(base_url=client.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


def until(condition, timeout=15):
    """What a condition comes to, once it is true."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


@pytest.fixture
def client(lab_server):
    return lab_server.client


@pytest.fixture(autouse=True)
def _no_webhook_is_left(lab_server):
    yield
    for one in lab_server.client.get("webhooks").json()["items"]:
        lab_server.client.delete(f"webhooks/{one['id']}")


def test_an_event_is_told_with_what_it_is_and_a_signature_that_verifies(client):
    run = new_run(client)
    with receiving() as receiver:
        webhook = new_webhook(client, receiver.url)
        change(client, run)
        (told,) = receiver.wait(1)
    assert webhook["secret"].startswith("whsec_")
    payload = Verifier(webhook["secret"]).verify(told.body, told.headers)
    event = client.get("events", params={"topic": f"run:{run['id']}", "limit": 10}).json()["items"][-1]
    assert payload == {key: event[key] for key in ("id", "type", "topic", "payload", "author", "created_at")}
    assert told.headers["content-type"] == "application/json"
    done = until(lambda: deliveries(client, webhook, status="delivered"))[0]
    assert (done["attempts"], done["response_status"], done["event"]) == (1, 204, "run.changed")
    assert done["payload"] == payload
    assert done["event_id"] == event["id"]
    assert told.delivery.endswith(f"-{done['id']}")


def test_only_events_that_were_asked_for(client):
    run = new_run(client)
    with receiving() as some, receiving() as all_of_them:
        new_webhook(client, some.url, "run.stop_requested", "project.created")
        new_webhook(client, all_of_them.url, "*")
        change(client, run)
        client.post(f"runs/{run['id']}/stop")
        (told,) = some.wait(1)
        assert told.json["type"] == "run.stop_requested"
        # The second webhook is there before any of this.
        assert [one.json["type"] for one in all_of_them.wait(2)] == ["run.changed", "run.stop_requested"]
        assert len(some.received) == 1


def test_events_arrive_in_their_order_over_one_connection(client):
    run = new_run(client)
    with receiving() as receiver:
        new_webhook(client, receiver.url)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: change(client, run, str(number)), range(100)))
        told = receiver.wait(100)
    ids = [one.json["id"] for one in told]
    assert ids == sorted(set(ids))
    assert len({one.client for one in told}) == 1


def test_what_fails_is_tried_again_and_what_comes_after_waits(client):
    run = new_run(client)
    answers = [500, 503, 302]
    with receiving(lambda handler: reply(handler, answers.pop(0) if answers else 200)) as receiver:
        webhook = new_webhook(client, receiver.url)
        change(client, run, "first")
        change(client, run, "second")
        told = receiver.wait(5)
        until(lambda: len(deliveries(client, webhook, status="delivered")) == 2)
    assert len({one.delivery for one in told[:4]}) == 1
    assert told[4].delivery != told[0].delivery
    # 1, 2 and 4 seconds, a quarter more or less.
    pauses = [later.at - earlier.at for earlier, later in itertools.pairwise(told[:4])]
    for pause, expected in zip(pauses, (1, 2, 4), strict=True):
        assert 0.7 * expected < pause < 1.25 * expected + 1
    second, first = deliveries(client, webhook)
    assert (first["attempts"], second["attempts"]) == (4, 1)


def test_a_receiver_says_when_to_come_back(client):
    run = new_run(client)
    answers = [429]

    def busy(handler):
        reply(handler, answers.pop(), Retry_After="3") if answers else reply(handler, 200)

    with receiving(busy) as receiver:
        webhook = new_webhook(client, receiver.url)
        change(client, run)
        waiting = until(lambda: [one for one in deliveries(client, webhook) if one["attempts"]])[0]
        assert (waiting["status"], waiting["response_status"]) == ("pending", 429)
        assert waiting["error"] == "The receiver answered 429."
        assert client.get(f"webhooks/{webhook['id']}").json()["pending"] == 1
        first, second = receiver.wait(2)
    assert second.at - first.at >= 2.9


@pytest.mark.parametrize("nonsense", ["Mon, 20 Nov 1995 19:12:08 +99999999999999999999", "soon", "1e9", "²"])
def test_a_receiver_that_talks_nonsense_of_its_return_is_tried_again(client, nonsense):
    run = new_run(client)
    answers = [429]

    def busy(handler):
        reply(handler, answers.pop(), Retry_After=nonsense) if answers else reply(handler, 200)

    with receiving(busy) as receiver:
        webhook = new_webhook(client, receiver.url)
        change(client, run)
        receiver.wait(2)
        (done,) = until(lambda: deliveries(client, webhook, status="delivered"))
    assert (done["attempts"], done["response_status"]) == (2, 200)


def test_a_dead_receiver_slows_nobody_else(client):
    run = new_run(client)
    release = threading.Event()

    def never(handler):
        release.wait(30)
        reply(handler, 200)

    with receiving(never) as dead, receiving() as alive:
        for _ in range(20):
            new_webhook(client, dead.url)
        new_webhook(client, alive.url)
        start = time.monotonic()
        for number in range(20):
            change(client, run, str(number))
        assert time.monotonic() - start < 20
        alive.wait(20, timeout=20)
        dead.wait(20)
        release.set()


@pytest.mark.slow
def test_a_slow_answer_is_cut_and_counts_as_a_failure(client):
    run = new_run(client)

    def trickle(handler):
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 300:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.1)

    with receiving(trickle) as receiver:
        webhook = new_webhook(client, receiver.url)
        change(client, run)
        failed = until(lambda: [one for one in deliveries(client, webhook) if one["attempts"]], 20)[0]
    assert failed["error"] == "There was no answer within 10 seconds."
    assert 9_000 < failed["duration_ms"] < 13_000


def test_gone_ends_it_until_it_is_enabled_again(client):
    run = new_run(client)
    with receiving(410) as receiver:
        webhook = new_webhook(client, receiver.url)
        address = f"webhooks/{webhook['id']}"
        change(client, run, "1")
        until(lambda: client.get(address).json()["disabled_reason"])
        event = client.get("events", params={"topic": f"webhook:{webhook['id']}"}).json()["items"][-1]
        assert event["type"] == "webhook.disabled"
        assert until(lambda: deliveries(client, webhook, status="failed"))[0]["response_status"] == 410
        change(client, run, "2")
        assert client.post(f"{address}/test").status_code == 409
        delivery = deliveries(client, webhook)[0]
        assert client.post(f"{address}/deliveries/{delivery['id']}/replay").status_code == 409
        receiver.answer = 200
        assert client.post(f"{address}/enable").json()["disabled_reason"] == ""
        change(client, run, "3")
        told = receiver.wait(2)
        until(lambda: deliveries(client, webhook, status="delivered"))
    # What happened while it was disabled was not queued.
    assert len(told) == len(receiver.received) == 2


def test_a_test_and_a_replay_are_deliveries_of_their_own(client):
    run = new_run(client)
    with receiving() as receiver:
        webhook = new_webhook(client, receiver.url)
        address = f"webhooks/{webhook['id']}"
        tried = client.post(f"{address}/test")
        assert tried.status_code == 202
        (test,) = receiver.wait(1)
        assert test.json["type"] == tried.json()["event"] == "webhook.test"
        assert tried.json()["event_id"] is None
        Verifier(webhook["secret"]).verify(test.body, test.headers)
        change(client, run)
        first = receiver.wait(2)[1]
        old = deliveries(client, webhook)[0]
        again = client.post(f"{address}/deliveries/{old['id']}/replay")
        assert again.status_code == 202
        second = receiver.wait(3)[2]
    assert second.body == first.body
    assert second.delivery != first.delivery
    assert (again.json()["event_id"], again.json()["payload"]) == (old["event_id"], old["payload"])
    assert client.post(f"{address}/deliveries/999999/replay").status_code == 404


def test_what_is_deleted_hears_nothing_more(client):
    run = new_run(client)
    with receiving(500) as receiver:
        webhook = new_webhook(client, receiver.url)
        change(client, run)
        receiver.wait(1)
        assert client.delete(f"webhooks/{webhook['id']}").status_code == 204
        change(client, run)
        count = len(receiver.received)
        time.sleep(2.5)
        assert len(receiver.received) == count
    for answer in (
        client.get(f"webhooks/{webhook['id']}"),
        client.delete(f"webhooks/{webhook['id']}"),
        client.get(f"webhooks/{webhook['id']}/deliveries"),
        client.post(f"webhooks/{webhook['id']}/test"),
        client.post(f"webhooks/{webhook['id']}/enable"),
    ):
        assert answer.status_code == 404


def test_the_secret_is_told_once_and_nowhere_else(client, lab_server):
    secret = "whsec_" + base64.b64encode(b"a secret of at least 24 bytes").decode()
    with receiving(500) as receiver:
        path = "/path-that-is-a-credential"
        webhook = new_webhook(client, f"http://127.0.0.1:{receiver.port}{path}", "*", secret=secret)
        assert webhook["secret"] == secret
        client.post(f"webhooks/{webhook['id']}/test")
        receiver.wait(1)
        until(lambda: deliveries(client, webhook)[0]["attempts"])
        told = receiver.received[0]
        shown = [
            client.get("webhooks").text,
            client.get(f"webhooks/{webhook['id']}").text,
            client.get(f"webhooks/{webhook['id']}/deliveries").text,
            client.get("events", params={"topic": f"webhook:{webhook['id']}"}).text,
            str(told),
            lab_server.log_file.read_text(),
        ]
    for text in shown:
        assert secret not in text
        assert secret.removeprefix("whsec_") not in text
    for text in (shown[3], shown[5]):
        assert path not in text


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"events": ["run.exploded"]}, "events"),
        ({"events": []}, "events"),
        ({"url": "ftp://hooks.example/"}, "url"),
        ({"url": "http://user:secret@hooks.example/"}, "url"),
        ({"secret": "short"}, "secret"),
        ({"secret": "whsec_c2hvcnQ="}, "secret"),
        ({"secret": "whsec_nobase64nobase64nobase64nobase64nobase6!"}, "secret"),
    ],
)
def test_what_cannot_be_registered_says_why(client, wrong, field):
    answer = client.post("webhooks", json={"url": "http://127.0.0.1:9/x", "events": ["*"], **wrong})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == field


def test_an_account_hears_of_its_own_things_and_calls_public_addresses_only(
    client, person, start_server, tmp_path
):
    someone = person()
    for host in ("127.0.0.1", "localhost", "169.254.169.254", "[::1]", "2130706433", "10.0.0.1"):
        answer = someone.client.post("webhooks", json={"url": f"http://{host}:9/x", "events": ["*"]})
        assert answer.status_code == 422, host
        assert answer.json()["error"]["details"][0]["field"] == "url"
    with receiving() as owners, receiving() as receiver:
        server = start_server(tmp_path / "lab", "--webhook-target=127.0.0.0/8")
        mine, other = person(server), person(server)
        new_webhook(mine.client, receiver.url, "run.created")
        new_webhook(server.client, owners.url, "run.created")
        theirs, own = new_run(other.client), new_run(mine.client)
        assert receiver.wait(1)[0].json["topic"] == f"run:{own['id']}"
        assert [one.json["topic"] for one in owners.wait(2)] == [f"run:{theirs['id']}", f"run:{own['id']}"]
        assert len(receiver.received) == 1


def test_what_was_made_with_an_administrators_lesser_key_hears_of_their_own_things_only(client, person):
    key = client.post("auth/keys", json={"name": "hooks", "permissions": ["write"]}).json()["key"]
    with at_key(client, key) as limited:
        refused = limited.post("webhooks", json={"url": "http://127.0.0.1:9/x", "events": ["*"]})
        assert refused.status_code == 422
        made = limited.post("webhooks", json={"url": "http://8.8.8.8:9/x", "events": ["run.created"]})
        assert made.status_code == 201, made.text
        new_run(person().client)
        assert limited.get(f"webhooks/{made.json()['id']}/deliveries").json()["total"] == 0
        new_run(client)
        assert limited.get(f"webhooks/{made.json()['id']}/deliveries").json()["total"] == 1


def test_webhooks_of_others_do_not_exist(client, person):
    mine, other = person(), person()
    body = {"url": "http://8.8.8.8:9/x", "events": ["run.changed"]}
    made = mine.client.post("webhooks", json=body).json()
    path = f"webhooks/{made['id']}"
    assert [one["id"] for one in mine.client.get("webhooks").json()["items"]] == [made["id"]]
    assert other.client.get("webhooks").json()["items"] == []
    for method, address in (
        ("GET", path),
        ("DELETE", path),
        ("POST", f"{path}/test"),
        ("POST", f"{path}/enable"),
        ("GET", f"{path}/deliveries"),
        ("POST", f"{path}/deliveries/1/replay"),
    ):
        assert other.client.request(method, address).status_code == 404, address
    assert client.get(path).status_code == 200


def test_a_deactivated_accounts_webhooks_are_silent(person, start_server, tmp_path):
    server = start_server(tmp_path / "lab", "--webhook-target=127.0.0.1")
    someone = person(server)
    run = new_run(someone.client)
    with receiving() as receiver:
        new_webhook(someone.client, receiver.url)
        change(server.client, run)
        receiver.wait(1)
        account = f"accounts/{someone.account['id']}"
        server.client.patch(account, json={"is_active": False}).raise_for_status()
        change(server.client, run)
        time.sleep(1)
        assert len(receiver.received) == 1
        server.client.patch(account, json={"is_active": True}).raise_for_status()
        receiver.wait(2)


def test_another_apis_webhooks_get_its_names_its_payloads_and_its_signature(start_server, tmp_path):
    program = Path(__file__).parent.parent / "api" / "example_dialect.py"
    server = start_server(tmp_path / "lab", program=str(program))
    run = new_run(server.client)
    boxed = httpx.Client(base_url=f"{server.url}mlship/boxed/", headers=server.client.headers)
    with boxed, receiving() as receiver:
        hook = {"url": receiver.url, "events": ["thing.changed"], "secret": "any secret"}
        answer = boxed.post("v1/webhooks", json=hook)
        assert answer.status_code == 200, answer.text
        webhook = answer.json()["data"]
        assert webhook["api"] == "boxed"
        refused = boxed.post("v1/webhooks", json={**hook, "events": ["run.changed"]})
        assert refused.status_code == 422
        client = server.client
        client.post(f"runs/{run['id']}/stop").raise_for_status()
        change(client, run)
        client.post(f"webhooks/{webhook['id']}/test").raise_for_status()
        told, test = receiver.wait(2)
    assert told.json == {"type": "thing.changed", "thing": f"run_{run['id']}"}
    assert test.json["type"] == "webhook.test"
    for one in (told, test):
        expected = hmac.new(b"any secret", one.body, hashlib.sha256).hexdigest()
        assert one.headers["x-modelship-signature"] == expected


def test_the_check_that_the_readme_shows_takes_what_is_sent_and_nothing_else(client):
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    (check,) = re.findall(r"```python\n(import base64.*?)```", readme, re.DOTALL)
    given: dict = {}
    exec(check, given)
    is_signed = given["is_signed"]
    with receiving() as receiver:
        webhook = new_webhook(client, receiver.url)
        change(client, new_run(client))
        (told,) = receiver.wait(1)
    assert is_signed(told.headers, told.body, webhook["secret"])
    assert not is_signed(told.headers, told.body + b" ", webhook["secret"])
    assert not is_signed(told.headers, told.body, "whsec_" + base64.b64encode(b"x" * 32).decode())


def test_an_account_has_a_limit(client):
    for _ in range(100):
        new_webhook(client, "http://127.0.0.1:9/x")
    answer = client.post("webhooks", json={"url": "http://127.0.0.1:9/x", "events": ["*"]})
    assert answer.status_code == 409


def test_nothing_is_lost_when_the_server_is_killed_in_the_middle(start_server, tmp_path):
    first = start_server(tmp_path / "lab")
    run = new_run(first.client)
    killed = threading.Event()
    # So slow that the server is behind when it is killed, however slow the changes are made.
    with receiving(lambda handler: (killed.wait(0.05), reply(handler, 200))) as receiver:
        webhook = new_webhook(first.client, receiver.url)
        acknowledged = []

        def make(number):
            try:
                change(first.client, run, str(number))
                acknowledged.append(number)
            except httpx.HTTPError:
                pass

        with ThreadPoolExecutor(4) as pool:
            for number in range(300):
                pool.submit(make, number)
            receiver.wait(20)
            first.process.kill()
        before = len(receiver.received)
        killed.set()
        second = start_server(tmp_path / "lab")
        events = [
            event["id"]
            for event in second.client.get("events", params={"topic": f"run:{run['id']}"}).json()["items"]
            if event["type"] == "run.changed"
        ]
        assert len(events) >= len(acknowledged) > 0
        until(lambda: {one.json["id"] for one in receiver.received} == set(events), 30)
        until(lambda: second.client.get(f"webhooks/{webhook['id']}").json()["pending"] == 0)
        told = list(receiver.received)
    assert before < len(events), "the server was killed too late for this test to say anything"
    # One delivery for each event, and each run of the server in order.
    assert len({one.delivery for one in told}) == len(events)
    assert len({(one.delivery, one.json["id"]) for one in told}) == len(events)
    for part in (told[:before], told[before:]):
        ids = [one.json["id"] for one in part]
        assert ids == sorted(set(ids))


def test_a_delivery_is_given_up_after_a_day_and_the_next_one_goes_on(start_server, tmp_path):
    server = start_server(tmp_path / "lab")
    run = new_run(server.client)
    with receiving(500) as receiver:
        webhook = new_webhook(server.client, receiver.url)
        change(server.client, run, "old")
        change(server.client, run, "new")
        receiver.wait(1)
        until(lambda: deliveries(server.client, webhook)[1]["attempts"])
        server.stop()
        with duckdb.connect(str(tmp_path / "lab" / "lab.duckdb")) as database:
            database.execute(
                "UPDATE deliveries SET created_at = created_at - INTERVAL 25 HOUR, next_attempt_at = NULL "
                "WHERE id = (SELECT min(id) FROM deliveries)"
            )
        count = len(receiver.received)
        receiver.answer = lambda handler: reply(handler, 500 if len(receiver.received) == count + 1 else 200)
        server = start_server(tmp_path / "lab")
        until(lambda: deliveries(server.client, webhook, status="delivered"))
        new, old = deliveries(server.client, webhook)
    assert (old["status"], new["status"]) == ("failed", "delivered")
    assert old["finished_at"] and old["next_attempt_at"] is None


def test_old_deliveries_are_removed_and_waiting_ones_kept(start_server, tmp_path):
    server = start_server(tmp_path / "lab")
    webhook = new_webhook(server.client, "http://127.0.0.1:9/x")
    server.stop()
    with duckdb.connect(str(tmp_path / "lab" / "lab.duckdb")) as database:
        database.execute(
            "INSERT INTO deliveries (webhook_id, event, payload, status, created_at, finished_at, next_attempt_at) "
            "SELECT ?, 'x', '{}', CASE WHEN i % 2 = 0 THEN 'delivered' ELSE 'failed' END, now()::TIMESTAMP, "
            "now()::TIMESTAMP - CASE WHEN i >= 10200 THEN INTERVAL 31 DAY ELSE INTERVAL 1 HOUR END, NULL "
            "FROM range(10300) t(i)",
            [webhook["id"]],
        )
        database.execute(
            "INSERT INTO deliveries (webhook_id, event, payload, status, created_at, next_attempt_at) "
            "VALUES (?, 'x', '{}', 'pending', now()::TIMESTAMP - INTERVAL 1 HOUR, now()::TIMESTAMP + INTERVAL 1 HOUR)",
            [webhook["id"]],
        )
    server = start_server(tmp_path / "lab")

    def total(**query):
        address = f"webhooks/{webhook['id']}/deliveries"
        return server.client.get(address, params={"limit": 1, **query}).json()["total"]

    # Of the newest 10,000 finished ones a hundred are too old.
    until(lambda: total() == 9_900 + 1)
    assert total(status="pending") == 1
