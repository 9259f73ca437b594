"""Two accounts, one of which has something of everything: once for itself and once for everybody."""

import io
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.conftest import LabServer
from tests.server.identity.conftest import PASSWORD, at, login
from tests.server.labeling.conftest import LabeledProject, ipc, new_key
from tests.server.shipping import settled, text_bundle

EVALUATION = {
    "task": "text_classification",
    "classes": ["ham", "spam"],
    "rows": 2,
    "accuracy": 1.0,
    "macro_f1": 1.0,
    "log_loss": 0.1,
    "baseline_accuracy": 0.5,
    "confusion": [[1, 0], [0, 1]],
    "per_class": [],
    "roc": [],
    "precision_recall": [],
    "worst": [],
}


@dataclass
class Belongings:
    """One thing of each kind, all of one owner."""

    mark: str
    """Stands in the name of each."""
    project: int
    sample: int
    label: int
    digest: str
    """Of an image."""
    import_: int
    snapshot: int
    export: str
    job: int
    run: int
    model: int
    deployment: int
    batch: str
    """Of samples that were sent to the queue."""
    webhook: int
    key: int
    upload: str

    def of(self, parameter: str) -> Any:
        """What stands for a parameter in a path."""
        return {
            "project": self.project,
            "sample_id": self.sample,
            "digest": self.digest,
            "import_id": self.import_,
            "snapshot_id": self.snapshot,
            "other_id": self.snapshot,
            "export_id": self.export,
            "job_id": self.job,
            "run_id": self.run,
            "name": "notes.txt",
            "table": "rows.parquet",
            "model": self.model,
            "version": 1,
            "deployment": self.deployment,
            "batch": self.batch,
            "webhook_id": self.webhook,
            "delivery_id": 1,
            "key_id": self.key,
            "account": 1,
            "upload_id": self.upload,
        }[parameter]


@dataclass
class Somebody:
    account_id: int
    client: httpx.Client


def newcomer(server: LabServer, name: str) -> Somebody:
    """A new account with what an account may do that registered by itself."""
    username = f"{name}-{uuid.uuid4().hex[:8]}"
    account = server.client.post("accounts", json={"username": username, "password": PASSWORD})
    token = login(server, username, PASSWORD).raise_for_status().json()["access_token"]
    return Somebody(account.raise_for_status().json()["id"], at(server, token))


def made(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    return client.post(path, json=body).raise_for_status().json()


def png(color: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), color).save(file, "PNG")
    return file.getvalue()


def arrow_file(table: pa.Table) -> bytes:
    content = pa.BufferOutputStream()
    with pa.ipc.new_file(content, table.schema) as writer:
        writer.write_table(table)
    return content.getvalue().to_pybytes()


def fill(client: httpx.Client, folder: Path, is_public: bool) -> Belongings:
    """Make one thing of each kind."""
    mark = f"mark{uuid.uuid4().hex[:10]}"
    task = {"task": "text_classification", "classes": ["ham", "spam"], "is_public": is_public}
    texts = LabeledProject(client, made(client, "projects", name=f"{mark} texts", **task))
    imported = texts.import_file(ipc(pa.table({"text": [f"{mark} one", f"{mark} two"]})), format="arrow")
    sample = texts.samples()[0]["id"]
    label = texts.label(sample, "ham")["labels"][0]["id"]
    snapshot = made(client, f"{texts.path}/snapshots")
    task["task"] = "image_classification"
    pictures = LabeledProject(client, made(client, "projects", name=f"{mark} pictures", **task))
    color = uuid.uuid4().bytes[:3]
    pictures.import_file(ipc(pa.table({"image": [png((color[0], color[1], color[2]))]})), format="arrow")
    run = made(client, "runs", name=f"{mark} run", project=texts.id, params={mark: 1})["id"]
    client.put(f"runs/{run}/artifacts/notes.txt", content=mark.encode()).raise_for_status()
    rows = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": [mark]}), rows)
    client.put(f"runs/{run}/artifacts/rows.parquet", content=rows.getvalue().to_pybytes()).raise_for_status()
    client.put(f"runs/{run}/artifacts/evaluation.json", json=EVALUATION).raise_for_status()
    predictions = pa.table({"sample_id": [1], "actual": [mark], "predicted": [mark]})
    client.put(f"runs/{run}/artifacts/predictions.arrow", content=arrow_file(predictions)).raise_for_status()
    client.put(f"runs/{run}/bundle", content=text_bundle(folder / mark)).raise_for_status()
    model = made(client, "models", name=f"{mark} model", run_id=run, is_public=is_public)
    named = {"name": f"{mark} api", "model": f"{mark} model/1", "is_public": is_public}
    deployment = made(client, "deployments", **named)
    assert settled(client, deployment["name"])["status"] == "ready"
    return Belongings(
        mark=mark,
        project=texts.id,
        sample=sample,
        label=label,
        digest=pictures.samples()[0]["image"],
        import_=imported["id"],
        snapshot=snapshot["id"],
        export=made(client, f"{texts.path}/exports", format="csv")["id"],
        job=made(client, f"{texts.path}/jobs", kind="light_model")["id"],
        run=run,
        model=model["model_id"],
        deployment=deployment["id"],
        batch=made(client, f"{texts.path}/queue/requests", samples={}, detail=mark)["batch"],
        webhook=made(client, "webhooks", url=f"https://93.184.216.34/{mark}", events=["webhook.disabled"])[
            "id"
        ],
        key=made(client, "auth/keys", name=f"{mark} key")["id"],
        upload=made(client, "uploads", size=5)["id"],
    )


@pytest.fixture(scope="session")
def alice(lab_server: LabServer) -> Somebody:
    """Who has something of everything."""
    return newcomer(lab_server, "alice")


@pytest.fixture(scope="session")
def bob(lab_server: LabServer) -> Somebody:
    """Who has nothing."""
    return newcomer(lab_server, "bob")


@pytest.fixture(scope="session")
def private(alice: Somebody, tmp_path_factory: pytest.TempPathFactory) -> Belongings:
    return fill(alice.client, tmp_path_factory.mktemp("private"), is_public=False)


@pytest.fixture(scope="session")
def public(alice: Somebody, tmp_path_factory: pytest.TempPathFactory) -> Belongings:
    return fill(alice.client, tmp_path_factory.mktemp("public"), is_public=True)


@pytest.fixture
def key() -> str:
    return new_key()
