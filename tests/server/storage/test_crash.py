"""What was acknowledged survives SIGKILL, once."""

import threading
import time
import uuid
from collections import Counter

import httpx
import pytest

CLIENTS = 4
SAMPLES = 4000


class Worker(threading.Thread):
    """Saves labels one after the other and remembers what the server has acknowledged."""

    def __init__(self, server, samples):
        super().__init__()
        self._client = httpx.Client(
            base_url=server.client.base_url, headers={"Authorization": f"Bearer {server.token}"}, timeout=10
        )
        self._samples = samples
        self.sent = {}
        self.acknowledged = {}

    def run(self):
        with self._client:
            for number, sample in enumerate(self._samples):
                label = {"sample_id": sample, "label": "ab"[number % 2], "key": uuid.uuid4().hex}
                self.sent[label["key"]] = label
                try:
                    answer = self._client.post("projects/p/labels", json={"labels": [label]})
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    self.acknowledged[label["key"]] = label


@pytest.mark.parametrize("wait_s", [0.4, 1.3])
def test_every_acknowledged_label_survives_a_kill_exactly_once(start_server, tmp_path, wait_s):
    server = start_server(tmp_path)
    server.client.post("projects", json={"name": "p", "task": "text_classification", "classes": ["a", "b"]})
    content = b"text\n" + b"".join(b"text number %d\n" % row for row in range(SAMPLES))
    begun = server.client.post("projects/p/imports", params={"format": "csv"}, content=content).json()
    assert (
        server.client.get(f"imports/{begun['id']}", params={"wait_s": 30}).json()["samples_added"] == SAMPLES
    )
    first = server.client.get("projects/p/samples", params={"limit": 1}).json()["items"][0]["id"]

    workers = [Worker(server, range(first + number, first + SAMPLES, CLIENTS)) for number in range(CLIENTS)]
    for worker in workers:
        worker.start()
    time.sleep(wait_s)
    server.kill()
    for worker in workers:
        worker.join(20)

    acknowledged = {key: label for worker in workers for key, label in worker.acknowledged.items()}
    sent = {key: label for worker in workers for key, label in worker.sent.items()}
    assert all(worker.acknowledged for worker in workers), "the server was killed before anybody was served"
    assert len(sent) < SAMPLES, "the server was killed too late"

    again = start_server(tmp_path).client
    stored = []
    while True:
        page = again.get("projects/p/labels", params={"limit": 1000, "offset": len(stored)}).json()
        stored += page["items"]
        if not page["items"]:
            break
    times = Counter(label["key"] for label in stored)
    assert set(times.values()) == {1}
    assert acknowledged.keys() <= times.keys() <= sent.keys()
    for label in stored:
        assert (label["sample_id"], label["label"]) == (
            sent[label["key"]]["sample_id"],
            sent[label["key"]]["label"],
        )

    # What counts now agrees with what was stored, to the last one.
    progress = again.get("projects/p/progress").json()
    assert progress["labeled"] == len(stored)
    assert progress["unlabeled"] == SAMPLES - len(stored)

    # Sending everything again, as clients do that had no answer, stores only what was not there.
    missing = [label for key, label in sent.items() if key not in times]
    answer = again.post("projects/p/labels", json={"labels": list(sent.values())}).json()
    assert (answer["saved"], answer["duplicates"]) == (len(missing), len(stored))
    assert answer["progress"]["labeled"] == len(sent)


def test_a_deleted_project_stays_deleted_after_a_kill(start_server, tmp_path):
    server = start_server(tmp_path)
    for name in ("kept", "deleted"):
        body = {"name": name, "task": "text_classification", "classes": ["a", "b"]}
        server.client.post("projects", json=body)
        path = f"projects/{name}/imports"
        begun = server.client.post(path, params={"format": "csv"}, content=b"text\none\ntwo\n").json()
        server.client.get(f"imports/{begun['id']}", params={"wait_s": 30})
        sample = server.client.get(f"projects/{name}/samples").json()["items"][0]["id"]
        label = {"sample_id": sample, "label": "a", "key": uuid.uuid4().hex}
        assert server.client.post(f"projects/{name}/labels", json={"labels": [label]}).json()["saved"] == 1
    assert server.client.delete("projects/deleted").status_code == 204
    server.kill()
    again = start_server(tmp_path).client
    assert again.get("projects/deleted").status_code == 404
    assert again.get("projects/kept/progress").json()["labeled"] == 1
    assert again.get("projects/kept/labels").json()["total"] == 1
