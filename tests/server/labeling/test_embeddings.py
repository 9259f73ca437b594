"""Embeddings: made by a job, with a place on the map for each sample."""

import numpy as np
import pyarrow as pa

from tests.server.labeling.conftest import ipc


def test_samples_that_are_alike_lie_close(new_project):
    project = new_project(task="tabular_classification")
    rows = {"size": [1.0, 1.1, 9.0, 9.1, None], "color": ["red", "red", "blue", "blue", "red"]}
    project.import_file(ipc(pa.table(rows)), format="arrow")
    job = project.client.post(f"{project.path}/jobs", json={"kind": "embeddings"}).json()
    job = project.client.get(f"jobs/{job['id']}", params={"wait_s": 60}).json()
    assert job["status"] == "finished", job["error"]
    assert job["result"] == {"samples": 5, "encoder": "hashed"}
    table = project.table("embeddings", vectors=True)
    assert table["sample_id"].to_pylist() == [one["id"] for one in project.samples()]
    vectors = np.array(table["vector"].to_pylist())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > likeness[0, 2]
    assert likeness[2, 3] > likeness[1, 3]
    places = np.column_stack([table["x"], table["y"]])
    assert np.linalg.norm(places[0] - places[1]) < np.linalg.norm(places[0] - places[2])
    assert project.table("embeddings").column_names == ["sample_id", "x", "y"]


def test_there_are_none_before_they_are_made(project):
    assert project.table("embeddings").num_rows == 0
