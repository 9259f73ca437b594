"""Settings, snapshots and quality from a shell."""

from tests.commands.conftest import Shell
from tests.conftest import LabServer


def test_a_project_is_set_up_frozen_and_compared(mlship: Shell, lab_server: LabServer, tmp_path) -> None:
    done = mlship(
        "new", "tickets", "--type", "text_classification", "--classes", "bug,wish,other", "--multilabel"
    )
    assert done.returncode == 0, done.stderr
    guidelines = tmp_path / "guidelines.md"
    guidelines.write_text("# Tickets\nA crash is a *bug*.")
    words = ("settings", "tickets", "--set", 'keys={"bug": "b"}', "--set", "threshold=0.9")
    told = mlship(*words, "--guidelines", str(guidelines))
    assert told.returncode == 0, told.stderr
    assert '{"bug":"b"}' in told.stdout
    assert "A crash is a *bug*." in told.stdout
    # One setting is changed, the others stay.
    assert "0.9" in mlship("settings", "tickets", "--set", "overlap=2").stdout
    refused = mlship("settings", "tickets", "--set", 'keys={"bug": "b", "wish": "b"}')
    assert refused.returncode != 0
    assert "same key 'b'" in refused.stderr

    texts = tmp_path / "texts.csv"
    texts.write_text("text\nit crashes\nplease add\nhello\n")
    assert mlship("import", "tickets", str(texts)).returncode == 0
    project = lab_server.client.get("projects/tickets").json()["id"]
    samples = [one["id"] for one in lab_server.client.get(f"projects/{project}/samples").json()["items"]]

    def save(sample: int, labels: list[str], key: str) -> None:
        body = {"labels": [{"sample_id": sample, "labels": labels, "key": key}]}
        lab_server.client.post(f"projects/{project}/labels", json=body).raise_for_status()

    save(samples[0], ["bug"], "tickets-1")
    first = mlship("snapshot", "tickets", "--split", "train=0.5", "--split", "test=0.5")
    assert first.returncode == 0, first.stderr
    save(samples[0], ["bug", "wish"], "tickets-2")
    save(samples[1], [], "tickets-3")
    assert mlship("snapshot", "tickets").returncode == 0
    listed = lab_server.client.get(f"projects/{project}/snapshots").json()["items"]
    told = mlship("diff", str(listed[1]["id"]), str(listed[0]["id"]))
    assert told.returncode == 0, told.stderr
    assert "bug, wish" in told.stdout
    assert "labeled differently" in told.stdout
    assert "train" not in mlship("snapshots", "tickets").stderr
    assert "0 samples labeled by several people" in mlship("quality", "tickets").stdout
