"""The lab server as a process: alone, beside a second one, and inside a Jupyter server."""

import json
import os
import subprocess
import sys

import httpx
import pytest

from tests.conftest import run_server


def serve(data_dir, *options):
    return subprocess.run(
        [sys.executable, "-m", "modelship_lab.server", "--port", "0", "--data-dir", str(data_dir), *options],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "api/kernels"),
        ("POST", "api/sessions"),
        ("POST", "api/terminals"),
        ("GET", "api/contents"),
        ("GET", "files/server.json"),
        ("GET", "view/server.json"),
        ("GET", "api/config/x"),
    ],
)
def test_a_server_alone_has_neither_kernels_nor_files(lab_server, method, path):
    headers = {"Authorization": f"token {lab_server.token}"}
    answer = httpx.request(method, f"{lab_server.url}{path}", json={}, headers=headers)
    assert answer.status_code in (404, 405), answer.text[:300]


def test_what_a_server_writes_is_for_its_user_only(start_server, tmp_path):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    start_server(folder).client.post("projects", json={"name": "x"}).raise_for_status()
    # The log and the workspace are those of the test.
    written = [one for one in folder.rglob("*") if one.name not in ("server.log", "workspace")]
    assert folder / "lab.duckdb" in written
    assert [one for one in written if one.stat().st_mode & 0o077] == []


def test_a_second_process_is_told_who_has_the_data(lab_server):
    second = serve(lab_server.data_dir)
    assert second.returncode == 1
    last = second.stderr.strip().splitlines()[-1]
    assert f"process {lab_server.process.pid} at {lab_server.url}" in last
    assert lab_server.token not in second.stderr
    assert lab_server.client.get("lab").status_code == 200


def test_a_stopped_server_leaves_its_data_and_no_announcement(tmp_path, start_server):
    first = run_server(tmp_path)
    lab = first.client.get("lab").json()
    run = first.client.post("runs", json={"name": "kept"}).json()
    first.stop()
    assert first.process.returncode == 0
    assert not (tmp_path / "server.json").exists()
    second = start_server(tmp_path)
    assert second.client.get("lab").json()["lab_id"] == lab["lab_id"]
    assert second.client.get(f"runs/{run['id']}").json()["name"] == "kept"


def test_everything_is_below_the_base_url(tmp_path, start_server):
    server = start_server(tmp_path, "--base-url", "/hub/user/ada/")
    assert server.url.endswith("/hub/user/ada/")
    assert server.client.get("lab").json()["url"] == server.url
    paths = server.client.get(f"{server.url}mlship/openapi.json").json()["paths"]
    assert all(path.startswith("/hub/user/ada/mlship/api/") for path in paths)


def test_the_damaged_database_stops_the_server_with_one_clear_line(tmp_path):
    (tmp_path / "lab.duckdb").write_bytes(b"no database" * 1000)
    failed = serve(tmp_path)
    assert failed.returncode == 1
    assert "cannot be opened" in failed.stderr.splitlines()[-1]


def test_jupyter_lists_both_extensions_as_enabled():
    """After `pip install`, without a further command."""
    jupyter = os.path.join(os.path.dirname(sys.executable), "jupyter")
    server = subprocess.run(
        [jupyter, "server", "extension", "list"], capture_output=True, text=True, timeout=60
    )
    listed = server.stdout + server.stderr
    assert "modelship_lab" in listed
    assert any("modelship_lab" in line and "enabled" in line for line in listed.splitlines())
    lab = subprocess.run([jupyter, "labextension", "list"], capture_output=True, text=True, timeout=60)
    listed = lab.stdout + lab.stderr
    assert any("modelship-lab" in line and "enabled" in line and "OK" in line for line in listed.splitlines())


def test_a_jupyter_server_whose_data_is_open_elsewhere_still_starts(lab_server, tmp_path):
    """Its own pages work, and every address of the lab says where the lab is."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyter_server",
            "--port=0",
            "--ServerApp.port_retries=0",
            "--allow-root",
            "--no-browser",
        ],
        env={
            **os.environ,
            "MLSHIP_HOME": str(lab_server.data_dir),
            "JUPYTER_TOKEN": "jupyter-token",
            "JUPYTER_RUNTIME_DIR": str(tmp_path),
        },
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = wait_for_jupyter(tmp_path, process)
        headers = {"Authorization": "token jupyter-token"}
        assert httpx.get(f"{url}api/status", headers=headers).status_code == 200
        answer = httpx.get(f"{url}mlship/api/lab", headers=headers)
        assert answer.status_code == 409
        assert lab_server.url in answer.json()["error"]["message"]
    finally:
        process.terminate()
        process.wait(20)


def wait_for_jupyter(runtime_dir, process, timeout_s=90):
    import time

    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert process.poll() is None, "the Jupyter server ended"
        for file in runtime_dir.glob("jpserver-*.json"):
            try:
                url = json.loads(file.read_text())["url"]
                httpx.get(f"{url}api")
            except (ValueError, httpx.HTTPError):
                continue
            return url
        time.sleep(0.1)
    raise AssertionError("the Jupyter server did not start")
