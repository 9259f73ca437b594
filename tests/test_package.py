"""The wheel: it carries its JavaScript, so that installing it needs no Node."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built where no Node is to be found."""
    target = tmp_path_factory.mktemp("wheel")
    empty = tmp_path_factory.mktemp("bin")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)],
        env={**os.environ, "PATH": str(empty)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = target.glob("*.whl")
    return built


def test_the_wheel_has_the_widgets_and_the_extension_where_jupyter_looks(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    data = next(name.split("/")[0] for name in names if ".data/" in name)
    for expected in (
        "modelship_lab/notebook/static/widgets.js",
        "modelship_lab/notebook/static/loader.js",
        "modelship_lab/server/storage/migrations/0001_initial.sql",
        f"{data}/data/share/jupyter/labextensions/modelship-lab/package.json",
        f"{data}/data/share/jupyter/labextensions/modelship-lab/install.json",
        f"{data}/data/etc/jupyter/jupyter_server_config.d/modelship_lab.json",
    ):
        assert expected in names
    assert any(
        name.startswith(f"{data}/data/share/jupyter/labextensions/modelship-lab/static/remoteEntry")
        for name in names
    )
    assert not any(
        name.startswith(("tests/", "js/", "notebooks/")) or "node_modules" in name for name in names
    )


def test_an_installed_wheel_starts_without_its_sources(wheel: Path, tmp_path: Path) -> None:
    """The shell command of the wheel, not of the checkout, says its version and finds its own files."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(tmp_path),
            str(wheel),
        ],
        check=True,
        timeout=120,
    )
    code = (
        "import modelship_lab, pathlib; from modelship_lab.server.storage import migrations; "
        "print(modelship_lab.__file__, len(migrations.available()) > 0)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.split()
    assert said == [str(tmp_path / "modelship_lab" / "__init__.py"), "True"]
    shutil.rmtree(tmp_path)
