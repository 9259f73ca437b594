import json
import subprocess
import sys

from modelship_lab.client import environment


def test_what_is_known_of_the_surroundings_is_json(tmp_path):
    found = json.loads(json.dumps(environment.collect(tmp_path)))
    assert found["packages"]["torch"].startswith("2.")
    assert found["python"].count(".") == 2
    assert found["cores"] >= 1
    assert found["memory_gb"] > 0
    assert found["git"] is None


def test_the_commit_and_whether_it_was_changed(tmp_path):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "first")
    clean = environment.collect(tmp_path)["git"]
    (tmp_path / "file").write_text("two")
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    assert environment.collect(tmp_path)["git"]["dirty"] is True


def test_starting_to_train_does_not_wait_for_torch():
    code = (
        "import sys; from modelship_lab.client import environment; from modelship_lab.learning import train; environment.collect(); "
        "assert not {'torch', 'lightning', 'sklearn', 'polars', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
