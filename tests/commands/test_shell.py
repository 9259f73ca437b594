"""The verbs in a shell: what they print, and one helpful line for every mistake."""

from pathlib import Path

import click
import pytest

from modelship_lab.commands.main import mlship as group
from tests.commands.conftest import Shell
from tests.conftest import LabServer

REVIEWS = Path("notebooks/data/reviews.csv")


@pytest.mark.slow
def test_the_whole_loop_in_a_shell(training_mlship: Shell, tmp_path: Path) -> None:
    def done(*words: str) -> str:
        result = training_mlship(*words)
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "Project shell" in done(
        "new", "shell", "--type", "text_classification", "--classes", "negative,positive"
    )
    assert "2,982 samples added" in done(
        "import", "shell", str(REVIEWS), "--text", "text", "--label", "label"
    )
    assert "2,982 of 2,982 samples done" in done("progress", "shell")
    assert "2,982 samples" in done("export", "shell", str(tmp_path / "labels.jsonl"))
    trained = done("train", "shell", "--epochs", "2", "--set", "learning_rate=0.02", "--name", "quick")
    assert "finished" in trained
    assert "Worst errors" in trained
    assert "learning_rate" in trained
    assert "quick" in done("runs", "shell")
    run = next(line.split()[1] for line in trained.splitlines() if line.startswith("Run "))
    assert "label flips" in done("export", run)
    assert "shell-model/1" in done("register", run, "--name", "shell-model", "--stage", "staging")
    assert "Production" in done("stage", "shell-model/1", "Production")
    assert "ready" in done("deploy", "shell-model", "--name", "shell-api")
    predicted = done("predict", "shell-api", "What a wonderful film", "--explain")
    assert predicted.startswith("positive")
    assert "wonderful" in predicted
    assert "2 predictions" in done("predict", "shell-api", "good", "bad")
    assert "p95" in done("watch", "shell-api", "--once")
    assert "shell-api" in done("deployments")
    assert "gone" in done("undeploy", "shell-api")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "x"], "There is no verb 'trian'. Did you mean 'train'?"),
        (["train", "x", "--recpe", "y"], "--recipe"),
        (
            ["train", "x", "--recipe", "bert"],
            "'image-cnn', 'image-backbone', 'tabular-mlp', 'tabular-sklearn'",
        ),
        (["train", "x", "--set", "rate"], "name=value"),
        (["new", "x", "--type", "text_classification"], "--classes"),
        (["new", "x", "--type", "text_classification", "--classes", "one"], "at least two classes"),
        (["run", "abc"], "`mlship runs` lists them"),
        (["progress", "mistake-projekt"], "Did you mean 'mistake-project'?"),
        (["import", "mistake-project", "/no/such/file.csv"], "no file, folder or variable"),
        (["predict", "no-such-api", "text"], "There is no deployment 'no-such-api'"),
        (["deploy", "no-such-model", "--name", "x"], "There is no model 'no-such-model'"),
        (["stop"], "--server"),
        (["run", "987654321"], "[NOT_FOUND, request "),
    ],
)
def test_a_mistake_is_one_helpful_line(mlship: Shell, words: list[str], said: str) -> None:
    mlship("new", "mistake-project", "--type", "text_classification", "--classes", "a,b", "--exist-ok")
    result = mlship(*words)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.startswith("mlship: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_server_that_is_away_is_one_line_and_another_exit_code(mlship: Shell) -> None:
    result = mlship("projects", MLSHIP_URL="http://127.0.0.1:9/")
    assert result.returncode == 1
    assert "No lab server answers" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_without_words_and_for_every_verb(mlship: Shell) -> None:
    assert "Label data" in mlship().stdout
    explained(group, mlship("--help").stdout)
    recipe = mlship("train", "--help").stdout
    assert "learning_rate=0.05" in recipe


def explained(verbs: click.Group, shown: str) -> None:
    for name, verb in verbs.commands.items():
        assert f"  {name} " in shown
        assert verb.help, f"{name} does not explain itself"
        for parameter in verb.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{name} {parameter.opts[0]} does not explain itself"
        if isinstance(verb, click.Group):
            explained(verb, verb.get_help(click.Context(verb)))


def test_the_shell_completes_verbs_and_names(mlship: Shell) -> None:
    def completed(line: str, word: int) -> list[str]:
        # What the script that click makes for bash asks.
        out = mlship(_MLSHIP_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(word)).stdout
        return [entry.partition(",")[2] for entry in out.splitlines()]

    assert "undeploy" in completed("mlship un", 1)


def test_no_output_carries_the_credential(mlship: Shell, lab_server: LabServer) -> None:
    for words in (["status"], ["deployments"], ["run", "987654321"]):
        result = mlship(*words)
        assert lab_server.token not in result.stdout + result.stderr
