"""Credits: what requests cost, what comes back, and that nobody spends what they have not."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import run_server

PROGRAM = str(Path(__file__).parents[1] / "api" / "example_dialect.py")

SETTINGS = """
c.ModelShipLab.credits = True
c.ModelShipLab.credit_costs = {"predict": 2, "work": 1}
c.ModelShipLab.upgrade_url = "https://example.org/plans"
"""


@pytest.fixture(scope="module")
def paid_server(tmp_path_factory, template):
    folder = tmp_path_factory.mktemp("paid")
    (folder / "jupyter_server_config.py").write_text(SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_CONFIG_DIR", str(folder))
        server = run_server(folder / "data", template=template, program=PROGRAM)
    yield server
    server.stop()


@pytest.fixture
def customer(paid_server, person):
    return person(paid_server)


def give(server, person, amount):
    return server.client.post(f"accounts/{person.account['id']}/credits", json={"amount": amount})


def left(person):
    return person.client.get("auth/credits").raise_for_status().json()["available"]


def work(server, person, end="well"):
    return httpx.post(
        f"{server.url}mlship/boxed/v1/work/{end}", headers=dict(person.client.headers), timeout=60
    )


def test_a_request_is_paid_for_and_without_credits_refused(paid_server, customer):
    refused = customer.client.post("deployments/none/predict", json={"inputs": ["x"]})
    assert refused.status_code == 402
    error = refused.json()["error"]
    assert error["code"] == "INSUFFICIENT_CREDITS"
    assert error["details"] == [{"required": 2, "available": 0, "upgrade_url": "https://example.org/plans"}]
    assert give(paid_server, customer, 3).json()["available"] == 3
    assert work(paid_server, customer).status_code == 200
    assert left(customer) == 2
    ledger = customer.client.get("auth/credits").json()
    assert [(one["amount"], one["reason"], one["author"]) for one in ledger["entries"]] == [
        (-1, "work", customer.account["username"]),
        (3, "", "owner"),
    ]


def test_what_the_server_fails_at_costs_nothing(paid_server, customer):
    give(paid_server, customer, 10)
    assert work(paid_server, customer, "broken").status_code == 500
    assert left(customer) == 10
    headers = dict(customer.client.headers)
    assert httpx.post(f"{paid_server.url}mlship/boxed/v1/forwarded/503", headers=headers).status_code == 503
    assert left(customer) == 10
    # The ledger has the way there and back.
    amounts = [one["amount"] for one in customer.client.get("auth/credits").json()["entries"]]
    assert amounts == [1, -1, 1, -1, 10]
    # The caller's own fault is paid for; what is refused before it begins is not.
    assert work(paid_server, customer, "conflict").status_code == 409
    assert left(customer) == 9
    httpx.post(f"{paid_server.url}mlship/boxed/v1/forwarded/abc", headers=headers)
    assert left(customer) == 9


def test_nobody_spends_what_they_have_not_however_many_ask_at_once(paid_server, customer):
    give(paid_server, customer, 20)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: work(paid_server, customer).status_code, range(60)))
    assert found.count(200) == 20
    assert found.count(402) == 40
    assert left(customer) == 0


def test_credits_are_given_and_taken_by_administrators_alone(paid_server, customer):
    path = f"accounts/{customer.account['username']}/credits"
    assert customer.client.post(path, json={"amount": 5}).status_code == 403
    assert customer.client.get(path).status_code == 403
    assert paid_server.client.post(path, json={"amount": 5, "reason": "welcome"}).json()["available"] == 5
    assert paid_server.client.post(path, json={"amount": -2}).json()["available"] == 3
    too_much = paid_server.client.post(path, json={"amount": -4})
    assert (too_much.status_code, too_much.json()["error"]["code"]) == (409, "CONFLICT")
    assert left(customer) == 3
    assert paid_server.client.post("accounts/nobody/credits", json={"amount": 5}).status_code == 404


def test_administrators_pay_nothing(paid_server):
    answer = httpx.post(
        f"{paid_server.url}mlship/boxed/v1/work/well", headers=dict(paid_server.client.headers)
    )
    assert answer.status_code == 200
    assert paid_server.client.get("auth/credits").json()["entries"] == []


def test_credits_are_off_until_somebody_wants_them(lab_server, person):
    someone = person()
    assert someone.client.post("deployments/none/predict", json={"inputs": ["x"]}).status_code == 404
    assert someone.client.get("auth/credits").json() == {
        "account_id": someone.account["id"],
        "available": 0,
        "entries": [],
    }


@pytest.mark.parametrize("costs", ["{'nonsense': 1}", "{'predict': -1}", "{'predict': 'much'}"])
def test_wrong_prices_keep_the_server_from_starting(tmp_path, monkeypatch, template, costs):
    (tmp_path / "jupyter_server_config.py").write_text(f"c.ModelShipLab.credit_costs = {costs}")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    with pytest.raises(AssertionError, match=r"ModelShipLab\.credit_costs"):
        run_server(tmp_path / "data", template=template)
