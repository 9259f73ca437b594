"""Projects to label in, each with a name of its own on the shared server."""

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pyarrow as pa
import pytest

ARROW = "application/vnd.apache.arrow.stream"


class LabeledProject:
    """A project on a real server, spoken to by its HTTP API."""

    def __init__(self, client: httpx.Client, record: dict[str, Any]) -> None:
        self.client = client
        self.id = record["id"]
        self.name = record["name"]
        self.path = f"projects/{self.id}"

    def send(self, content: bytes, **options: Any) -> httpx.Response:
        return self.client.post(f"{self.path}/imports", params=options, content=content)

    def import_file(self, content: bytes, **options: Any) -> dict[str, Any]:
        """Import and wait for the end of it."""
        begun = self.send(content, **options)
        assert begun.status_code == 202, begun.text
        done = self.client.get(f"imports/{begun.json()['id']}", params={"wait_s": 30}).json()
        assert done["status"] != "running"
        if done["status"] == "finished":
            # Every row that was read is accounted for.
            assert done["samples_added"] + done["duplicates"] + done["bad_rows"] == done["rows_read"]
        return done

    def import_texts(self, *texts: str) -> list[int]:
        """Import texts; returns the ids of all samples of the project, in order."""
        table = pa.table({"text": list(texts)})
        assert self.import_file(ipc(table), format="arrow")["status"] == "finished"
        return [one["id"] for one in self.samples()]

    def samples(self, **filters: Any) -> list[dict[str, Any]]:
        return self.client.get(f"{self.path}/samples", params=filters).json()["items"]

    def table(self, path: str, **query: Any) -> pa.Table:
        answer = self.client.get(f"{self.path}/{path}", params=query, headers={"Accept": ARROW})
        assert answer.headers["content-type"] == ARROW
        return pa.ipc.open_stream(answer.content).read_all()

    def queue(self, **query: Any) -> list[int]:
        answer = self.client.get(f"{self.path}/queue", params=query)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["samples"]]

    def save(self, *labels: dict[str, Any]) -> httpx.Response:
        complete = [{"key": new_key(), **one} for one in labels]
        return self.client.post(f"{self.path}/labels", json={"labels": complete})

    def label(self, sample_id: int, label: str, **fields: Any) -> dict[str, Any]:
        answer = self.save({"sample_id": sample_id, "label": label, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def undo(self, **fields: Any) -> httpx.Response:
        return self.client.post(f"{self.path}/labels/undo", json={"key": new_key(), **fields})

    def progress(self) -> dict[str, Any]:
        return self.client.get(f"{self.path}/progress").json()

    def suggest(self, *suggestions: dict[str, Any], source: str = "model") -> httpx.Response:
        body = {"source": source, "suggestions": suggestions}
        return self.client.put(f"{self.path}/suggestions", json=body)


def new_key() -> str:
    return uuid.uuid4().hex


def ipc(table: pa.Table) -> bytes:
    """A table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def new_project(lab_server) -> Callable[..., LabeledProject]:
    def create(
        task: str = "text_classification", classes: tuple[str, ...] = ("ham", "spam"), **others: Any
    ) -> LabeledProject:
        body = {"name": f"p-{uuid.uuid4().hex[:12]}", "task": task, "classes": classes, **others}
        answer = lab_server.client.post("projects", json=body)
        assert answer.status_code == 201, answer.text
        return LabeledProject(lab_server.client, answer.json())

    return create


@pytest.fixture
def project(new_project) -> LabeledProject:
    """An empty text project with the classes ham and spam."""
    return new_project()


@pytest.fixture
def arrow_bytes() -> Callable[[pa.Table], bytes]:
    return ipc
