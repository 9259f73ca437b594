"""`mlship sweep` in a shell."""

import pytest

from tests.commands.conftest import Shell


def test_what_cannot_be_read_is_one_helpful_line(mlship: Shell) -> None:
    mlship("new", "sweep-mistakes", "--type", "text_classification", "--classes", "a,b", "--exist-ok")
    for words, said in (
        (["--range", "learning_rate=0.1"], "name=low..high"),
        (["--range", "learning_rate=1..0.1"], "up to a number"),
        (["--grid", "learning_rate"], "name=value"),
        ([], "nothing to sweep"),
        (["--grid", "rate=1,2"], "no such option"),
        (["--range", "learning_rate=0.1..1"], "say how many `trials`"),
    ):
        result = mlship("sweep", "sweep-mistakes", *words)
        assert result.returncode == 2
        assert said in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_sweep_in_a_shell_tells_each_trial_and_ends_with_a_table(mlship: Shell, tmp_path) -> None:
    file = tmp_path / "texts.csv"
    rows = [
        f"{word} {number},{label}"
        for number in range(20)
        for word, label in (("awful", "bad"), ("great", "good"))
    ]
    file.write_text("\n".join(["text,label", *rows]))
    mlship("new", "swept", "--type", "text_classification", "--classes", "bad,good")
    mlship("import", "swept", str(file), "--text", "text", "--label", "label")
    result = mlship(
        "sweep", "swept", "--grid", "learning_rate=0.01,0.1", "--set", "epochs=1", "--metric", "val_accuracy"
    )
    assert result.returncode == 0, result.stderr
    assert "finished  learning_rate=0.01" in result.stdout
    assert "greatest val_accuracy" in result.stdout
    assert "Trials by val_accuracy" in result.stdout
    # Once more, the lab knows that there is nothing left to do.
    again = mlship(
        "sweep",
        "swept",
        "--grid",
        "learning_rate=0.01,0.1",
        "--set",
        "epochs=1",
        "--metric",
        "val_accuracy",
        "--resume",
    )
    assert again.returncode == 0, again.stderr
    assert result.stdout[result.stdout.index("Sweep ") :].splitlines()[0] in again.stdout
