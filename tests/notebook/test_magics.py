"""`%mlship` in a notebook's shell."""

import time
from pathlib import Path

import polars as pl
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from modelship_lab import client
from tests.conftest import LabServer


def run(shell: InteractiveShell, line: str):
    return shell.run_line_magic("mlship", line)


def test_a_verb_returns_its_value(shell: InteractiveShell) -> None:
    project = run(shell, "new magic --type text_classification --classes ham,spam")
    assert isinstance(project, client.ProjectHandle)
    assert "magic" in run(shell, "projects")["name"].to_list()


def test_runs_are_a_frame_that_shows_as_a_table(shell: InteractiveShell, lab: client.Lab) -> None:
    with lab.start_run("tabled") as made:
        made.set_summary({"val_loss": 0.123456789})
    runs = run(shell, "runs --limit 1")
    assert isinstance(runs, pl.DataFrame)
    assert runs.columns[:2] == ["id", "name"]
    assert runs["summary.val_loss"].to_list() == [0.123456789]
    shown, _ = shell.display_formatter.format(runs)
    for text in (shown["text/html"], shown["text/plain"]):
        assert "tabled" in text
        assert "0.1235" in text
        assert "f64" not in text


def test_a_frame_and_variables_of_the_notebook_are_used(shell: InteractiveShell) -> None:
    run(shell, "new frames --type text_classification --classes ham,spam")
    shell.user_ns["mails"] = pl.DataFrame({"body": ["a", "b"], "group": ["ham", "spam"]})
    shell.user_ns["options"] = {"column": "body"}
    shell.user_ns["project"] = "frames"
    imported = run(shell, "import $project mails --text {options['column']} --label group")
    assert (imported.samples_added, imported.labels_added) == (2, 2)
    assert run(shell, "progress frames").progress.labeled == 2


def test_braces_of_json_and_dollars_of_prices_are_left_alone(shell: InteractiveShell) -> None:
    magics = shell.magics_manager.registry["LabMagics"]
    shell.user_ns["row"] = {"age": 3}
    shell.user_ns["a"] = 1
    shell.user_ns["text"] = 'it\'s "quoted" {a}'
    assert magics._words("""predict api "it's" '{"a": 1}'""") == ["predict", "api", "it's", '{"a": 1}']
    assert magics._words("{a:1} $5 {unknown} $unknown") == ["{a:1}", "$5", "{unknown}", "$unknown"]
    assert magics._words("{row} {row['age']}/$a {text}") == ['{"age": 3}', "3/1", 'it\'s "quoted" {a}']
    with pytest.raises(UsageError, match="KeyError"):
        magics._words("{row['x']}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trian x", "Did you mean 'train'"),
        ("progress no-such-project-here", "There is no project"),
        ("new x --type text_classification", "--classes"),
        ('predict "unclosed', "closing quotation"),
        ("run 987654321", "NOT_FOUND, request"),
        ("serve", "terminal"),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(
    shell: InteractiveShell, capsys: pytest.CaptureFixture, line: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        run(shell, line)
    assert type(caught.value) is UsageError
    shell.run_cell(f"%mlship {line}")
    shown = capsys.readouterr().err
    assert shown.startswith("UsageError: ")
    assert shown.count("\n") == 1


def test_help_is_printed_and_the_kernel_lives(shell: InteractiveShell, capsys: pytest.CaptureFixture) -> None:
    assert run(shell, "train --help") is None
    assert "learning_rate=" in capsys.readouterr().out
    assert run(shell, "") is None
    assert "undeploy" in capsys.readouterr().out


def completions(shell: InteractiveShell, line: str) -> list[str]:
    with provisionalcompleter():
        found = list(shell.Completer.completions(line, len(line)))
    return [completion.text for completion in found]


def test_the_tab_key_completes_verbs_options_values_and_names(
    shell: InteractiveShell, lab: client.Lab
) -> None:
    lab.new_project("tabbed", "text_classification", ["a", "b"])
    with lab.start_run("tab run") as done:
        pass
    assert completions(shell, "%mlship sna") == ["snapshot", "snapshots"]
    assert "--recipe" in completions(shell, "%mlship train tabbed --re")
    assert completions(shell, "%mlship train tabbed --recipe te") == ["text-encoder", "text-linear"]
    assert completions(shell, "%mlship train tabbed --recipe text-linear --set learn") == ["learning_rate="]
    assert completions(shell, "%mlship label tabbed --order se") == ["sequential"]
    assert completions(shell, "%mlship progress tabb") == ["tabbed"]
    assert str(done.id) in completions(shell, "result = %mlship run ")
    assert "Staging" in completions(shell, "%mlship register 1 --stage S")


def test_the_tab_key_quotes_a_name_of_two_words(shell: InteractiveShell, lab: client.Lab) -> None:
    from modelship_lab.commands import parameters

    parameters._cache.clear()
    lab.new_project("in two words", "text_classification", ["a", "b"])
    assert completions(shell, "%mlship progress in") == ["'in two words'"]


def test_the_tab_key_is_quick_and_silent_when_the_lab_is_away(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MLSHIP_URL", "http://127.0.0.1:9/")
    from modelship_lab.commands import parameters

    parameters._cache.clear()
    started = time.monotonic()
    assert completions(shell, "%mlship progress nothing-like-this") == []
    # A command would wait 10 seconds for the lab to come back.
    assert time.monotonic() - started < 6
    assert capsys.readouterr().err == ""


def test_other_lines_are_completed_as_ever(shell: InteractiveShell) -> None:
    shell.user_ns["mlship_variable"] = 1
    assert "mlship_variable" in completions(shell, "mlship_var")


def test_a_tracked_cell_becomes_a_run(
    shell: InteractiveShell, lab: client.Lab, capsys: pytest.CaptureFixture
) -> None:
    shell.user_ns["run"] = "mine"
    cell = "x = 2\nprint('hello')\nfor step in range(3):\n    run.log({'loss': x - step})\nx * 21"
    shell.run_cell_magic("mlship", "run tracked --param depth=3 --tag try", cell)
    assert shell.user_ns["x"] == 2
    assert shell.user_ns["run"] == "mine"
    assert "hello" in capsys.readouterr().out
    record = lab.run_records(limit=1)[0]
    assert (record.name, record.status, record.params, record.tags) == (
        "tracked",
        "finished",
        {"depth": 3},
        ("cell", "try"),
    )
    assert record.environment["python"]
    tracked = lab.run(record.id)
    assert tracked.artifact("cell.py").decode() == cell
    output = tracked.artifact("output.txt").decode()
    assert output.startswith("hello\n")
    assert output.endswith("42\n")
    assert tracked.metrics_frame()["value"].to_list() == [2.0, 1.0, 0.0]


def test_an_error_in_a_tracked_cell_fails_the_run_and_is_shown_as_ever(
    shell: InteractiveShell, lab: client.Lab, capsys: pytest.CaptureFixture
) -> None:
    shell.run_cell_magic("mlship", "run broken", "print('before')\n1 / 0")
    shown = capsys.readouterr().out
    assert "before" in shown
    assert "ZeroDivisionError" in shown
    record = lab.run_records(limit=1)[0]
    assert (record.status, record.error) == ("failed", "ZeroDivisionError: division by zero")


def test_a_tracked_cell_is_executed_when_the_lab_is_away(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MLSHIP_URL", "http://127.0.0.1:9/")
    shell.run_cell_magic("mlship", "run lonely", "run.log({'loss': 1}); run.set_summary({}); done = 5")
    assert shell.user_ns["done"] == 5
    assert "not tracked" in capsys.readouterr().err


def test_no_output_of_a_notebook_carries_the_credential(
    shell: InteractiveShell, at_lab: LabServer, capsys: pytest.CaptureFixture
) -> None:
    for line in ("status", "deployments", "projects"):
        value = run(shell, line)
        data, _ = shell.display_formatter.format(value)
        assert at_lab.token not in str(data)


def test_runs_come_in_and_go_out_in_a_notebook(shell: InteractiveShell, tmp_path: Path) -> None:
    file = tmp_path / "curves.csv"
    file.write_text("run,name,step,value\nnotebook,loss,1,0.5\nnotebook,loss,2,0.25\n")
    came = run(shell, f"runs import {file}")
    assert (came.runs, came.points) == (1, 2)
    went = run(shell, f"runs export {tmp_path / 'out'}")
    assert went.runs >= 1 and went.points >= 2
    shown, _ = shell.display_formatter.format(went)
    assert "points" in shown["text/html"]
