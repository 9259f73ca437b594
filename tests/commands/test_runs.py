"""Runs are deleted from a shell, and only by who means it."""

from tests.commands.conftest import Shell
from tests.conftest import LabServer


def test_a_run_goes_with_all_that_are_nested_in_it_when_that_is_meant(
    mlship: Shell, lab_server: LabServer
) -> None:
    lab = lab_server.client
    parent = lab.post("runs", json={"name": "sweep"}).json()["id"]
    parts = [
        lab.post("runs", json={"name": f"part {at}", "parent_id": parent}).json()["id"] for at in range(2)
    ]
    asked = mlship("runs", "delete", str(parent))
    assert asked.returncode == 2
    assert "all that are nested in it" in asked.stderr
    assert f"runs export FOLDER --run {parent}" in asked.stderr
    assert lab.get(f"runs/{parent}").status_code == 200, "nothing was deleted yet"
    done = mlship("runs", "delete", str(parent), str(parts[0]), "--yes")
    assert done.returncode == 0, done.stderr
    assert "3 runs deleted" in done.stdout
    assert [lab.get(f"runs/{one}").status_code for one in (parent, *parts)] == [404] * 3
    assert "1 run deleted" not in done.stdout
    assert mlship("runs", "delete", str(parent), "--yes").returncode == 2
