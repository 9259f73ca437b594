"""Many samples in a notebook: the grid as a table, and the map whose lasso selects."""

import polars as pl
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from modelship_lab import client
from modelship_lab.notebook import widgets

if not (widgets._STATIC / "loader.js").exists():
    pytest.skip("the JavaScript is not built", allow_module_level=True)


@pytest.fixture
def mails(lab: client.Lab) -> client.ProjectHandle:
    project = lab.new_project(
        "mails in a notebook", task="text_classification", classes=["ham", "spam"], exist_ok=True
    )
    if not project.count_samples():
        texts = [f"{'win a prize' if number % 2 else 'lunch at noon'} {number}" for number in range(12)]
        project.import_frame(pl.DataFrame({"text": texts}))
    return project


def test_a_list_of_samples_is_a_frame_and_a_view(
    shell: InteractiveShell, mails: client.ProjectHandle
) -> None:
    table = shell.run_line_magic(
        "mlship", "samples 'mails in a notebook' --search prize --status unlabeled --sort -id --save prizes"
    )
    assert table["text"].to_list()[0] == "win a prize 11"
    data, _ = shell.display_formatter.format(table)
    shown = data[widgets.VIEW_TYPE]
    assert (shown["view"], shown["samples"], shown["sort"]) == ("samples", {"selection": "prizes"}, "-id")
    mails.delete_selection("prizes")


def test_many_are_labeled_by_a_line_that_names_their_number(
    shell: InteractiveShell, mails: client.ProjectHandle
) -> None:
    with pytest.raises(UsageError, match=r"6 samples would be labeled spam\. `--expected 6`"):
        shell.run_line_magic("mlship", "bulk 'mails in a notebook' spam --search prize")
    assert mails.progress().labeled == 0
    with pytest.raises(UsageError):
        shell.run_line_magic("mlship", "bulk 'mails in a notebook' spam --search prize --expected 5")
    shell.run_line_magic("mlship", "bulk 'mails in a notebook' spam --search prize --expected 6")
    assert mails.progress().by_class["spam"] == 6
    told = shell.run_line_magic("mlship", "undo 'mails in a notebook'").message
    assert "6 samples labeled spam" in told
    assert mails.progress().labeled == 0


def test_acts_are_taken_back_one_after_the_other_in_words(
    shell: InteractiveShell, mails: client.ProjectHandle
) -> None:
    first, second, *_ = mails.samples()["id"].to_list()
    mails.save_labels({first: "ham"})
    mails.save_labels([{"sample_id": first, "action": "skip"}])
    (kept,) = mails.save_labels({second: "spam"}).labels
    undo = "undo 'mails in a notebook'"
    told = shell.run_line_magic("mlship", f"{undo} --label {kept.id}").message
    assert f"sample {second} labeled spam" in told
    assert told.endswith("It is unlabeled now.")
    told = shell.run_line_magic("mlship", undo).message
    assert f"sample {first} skipped" in told
    assert told.endswith("It is labeled: ham now.")
    shell.run_line_magic("mlship", undo)
    with pytest.raises(UsageError, match="nothing to undo"):
        shell.run_line_magic("mlship", undo)
    with pytest.raises(UsageError, match="not both"):
        shell.run_line_magic("mlship", f"{undo} --label 1 --batch x")


def test_labels_that_may_be_wrong_come_with_their_samples(shell: InteractiveShell, lab: client.Lab) -> None:
    pytest.importorskip("cleanlab")
    project = lab.new_project("mislabeled mails", task="text_classification", classes=["ham", "spam"])
    texts = [f"{('lunch at noon', 'win a prize')[number % 2]} {number}" for number in range(60)]
    labels = [("ham", "spam")[(number + (number in (6, 9))) % 2] for number in range(60)]
    project.import_frame(pl.DataFrame({"text": texts, "label": labels}), label="label")
    found = shell.run_line_magic("mlship", "mislabeled 'mislabeled mails'")
    said = found.table.select("label", "likely", "preview").rows()
    assert set(said) == {("spam", "ham", "lunch at noon 6"), ("ham", "spam", "win a prize 9")}
    data, _ = shell.display_formatter.format(found)
    assert "2 labels of &#x27;mislabeled mails&#x27; may be wrong" in data["text/html"]
    assert "win a prize 9" in data["text/html"]


def test_what_the_lasso_encloses_is_labeled(shell: InteractiveShell, mails: client.ProjectHandle) -> None:
    pytest.importorskip("jscatter")
    mails.embed()
    view = shell.run_line_magic("mlship", "map 'mails in a notebook' --by suggested --most 10")
    assert "10 of 12 samples, chosen at random" in view.note.value
    view.scatter.widget.selection = [0, 2, 5]
    assert view.ask.description == "Label 3 samples as ham…"
    view.ask.click()
    # The count is shown before anything is saved.
    assert mails.progress().labeled == 0
    view.ask.click()
    assert mails.progress().by_class["ham"] == 3
    assert set(mails.samples(label="ham")["id"]) == set(view.selected)
    assert view.save("enclosed").count == 3
    view.queue.click()
    assert "3 sent to the queue" in view.answer.value
