"""Labels of before there were values of other kinds and automatic labels keep what they say, and say who said it."""

from datetime import datetime

from tests.server.storage.older_database import older_database

MOMENT = datetime(2026, 1, 2, 3, 4, 5)


def test_labels_of_rules_are_automatic_and_everything_else_is_as_it_was(start_server, tmp_path):
    path = tmp_path / "lab.duckdb"
    connection = older_database(path, schema=4)
    connection.execute(
        "INSERT INTO projects (name, task, classes, description, created_at, updated_at) "
        "VALUES ('old', 'text_classification', ['ham', 'spam'], '', ?, ?)",
        [MOMENT, MOMENT],
    )
    for number, (action, label, source, status) in enumerate(
        [
            ("label", "ham", "human", "labeled"),
            ("label", "spam", "rule", "labeled"),
            ("label", "spam", "import", "labeled"),
            ("skip", None, "human", "skipped"),
        ],
        start=1,
    ):
        connection.execute(
            "INSERT INTO samples (project_id, import_id, content_hash, text, created_at) VALUES (1, 1, ?, ?, ?)",
            [f"hash {number}", f"text {number}", MOMENT],
        )
        connection.execute(
            "INSERT INTO labels (project_id, sample_id, action, label, source, author, key, created_at) "
            "VALUES (1, ?, ?, ?, ?, 'owner', ?, ?)",
            [number, action, label, source, f"key {number}", MOMENT],
        )
        connection.execute(
            "INSERT INTO sample_states VALUES (?, 1, ?, ?, ?, ?)", [number, status, label, number, MOMENT]
        )
    connection.close()

    lab = start_server(tmp_path).client
    project = lab.get("projects/old").json()
    assert (project["multilabel"], project["settings"]["overlap"], project["labelers"]) == (False, 1, [])
    progress = lab.get("projects/old/progress").json()
    assert (progress["labeled"], progress["auto"], progress["skipped"]) == (2, 1, 1)
    assert (progress["by_class"], progress["auto_by_class"]["spam"]) == ({"ham": 1, "spam": 1}, 1)
    # The newest acts of a person: what rules and imports did is none.
    undone = lab.post("projects/old/labels/undo", json={"key": "first undo"}).json()
    assert (undone["label"]["sample_id"], undone["sample"]["status"]) == (4, "unlabeled")
    undone = lab.post("projects/old/labels/undo", json={"key": "second undo"}).json()
    assert (undone["label"]["label"], undone["progress"]["by_class"]["ham"]) == ("ham", 0)
