"""Runs in runs of somebody else."""

from tests.server.ownership.conftest import Belongings, Somebody, made
from tests.server.tracking.test_runs import new_run


def test_a_run_stays_while_a_model_comes_from_one_that_is_nested_in_it(alice: Somebody, private: Belongings):
    parent = new_run(alice.client)
    child = new_run(alice.client, parent_id=parent["id"])
    bundle = alice.client.get(f"runs/{private.run}/bundle").content
    alice.client.put(f"runs/{child['id']}/bundle", content=bundle).raise_for_status()
    made(alice.client, "models", name=f"model of {child['id']}", run_id=child["id"])
    answer = alice.client.delete(f"runs/{parent['id']}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")
    assert alice.client.get(f"runs/{parent['id']}").json()["children"] == 1


def test_nobody_nests_runs_in_what_is_another_s(bob: Somebody, private: Belongings, public: Belongings):
    assert bob.client.post("runs", json={"parent_id": private.run}).status_code == 404
    assert bob.client.post("runs", json={"parent_id": public.run}).status_code == 403


def test_what_an_administrator_nests_belongs_to_the_parent_s_owner(lab_server, alice: Somebody):
    parent = new_run(alice.client)
    assert new_run(lab_server.client, parent_id=parent["id"])["owner_id"] == alice.account_id
