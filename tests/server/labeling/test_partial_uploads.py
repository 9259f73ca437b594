"""Files that come in parts: what they may be, and what becomes of those that are given up."""

import os
import time

from modelship_lab.records.labeling import PART_SIZE
from tests.server.ownership.conftest import newcomer

CONTENT = b"text\nfirst\nsecond\n"


def test_parts_come_in_any_length_and_more_than_once(project):
    client = project.client
    begun = client.post("uploads", json={"size": len(CONTENT)}).raise_for_status().json()
    path = f"uploads/{begun['id']}"

    def send(start: int, end: int) -> tuple[int, int]:
        answer = client.put(path, params={"offset": start}, content=CONTENT[start:end])
        return answer.status_code, answer.json().get("received", 0)

    assert send(0, 7) == (200, 7)
    assert send(9, 12) == (409, 0)
    whole = {"format": "csv", "uploaded": begun["id"]}
    assert client.post(f"{project.path}/imports", params=whole).status_code == 409
    # What has come is passed over, whatever of it is sent again.
    assert send(0, 7) == (200, 7)
    assert send(5, 12) == (200, 12)
    beyond = client.put(path, params={"offset": 12}, content=CONTENT[12:] + b"more")
    assert beyond.status_code == 422
    assert client.get(path).json() == {"id": begun["id"], "size": len(CONTENT), "received": 12}
    assert send(12, len(CONTENT)) == (200, len(CONTENT))
    # A refused import leaves the file where it is.
    assert client.post(
        f"{project.path}/imports", params={**whole, "text": "absent", "encoding": "none"}
    ).is_error
    done = client.post(f"{project.path}/imports", params=whole).raise_for_status().json()
    done = client.get(f"imports/{done['id']}", params={"wait_s": 30}).json()
    assert (done["status"], done["samples_added"], done["bytes_total"]) == ("finished", 2, len(CONTENT))
    assert client.get(path).status_code == 404


def test_what_is_under_way_is_bounded_and_forgotten_after_a_day(lab_server):
    client = newcomer(lab_server, "uploader").client
    assert client.post("uploads", json={"size": 65 << 30}).status_code == 422
    first = client.post("uploads", json={"size": 60 << 30}).raise_for_status().json()["id"]
    assert client.post("uploads", json={"size": 5 << 30}).status_code == 429
    for _ in range(15):
        client.post("uploads", json={"size": 1}).raise_for_status()
    assert client.post("uploads", json={"size": 1}).status_code == 429
    long = client.put(f"uploads/{first}", params={"offset": 0}, content=b"x" * (PART_SIZE + 1))
    assert long.status_code == 413
    content = lab_server.data_dir / "partial_uploads" / f"{first}.part"
    os.utime(content, (time.time() - 90_000,) * 2)
    assert client.post("uploads", json={"size": 5 << 30}).status_code == 201
    assert client.get(f"uploads/{first}").status_code == 404
    assert not content.exists()
