"""Data goes in and comes out as it was, and what is wrong with it is said."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from modelship_lab import client
from modelship_lab.client.imports import ImportProgress
from modelship_lab.records.errors import Conflict, InvalidData, InvalidInput, NotFound, Unavailable


@pytest.fixture
def spam(lab: client.Lab, request: pytest.FixtureRequest) -> client.ProjectHandle:
    name = re.sub(r"\W", "-", request.node.name)
    return lab.new_project(name, "text_classification", ["ham", "spam"])


def test_a_file_is_imported_with_its_labels_and_every_row_is_accounted_for(
    spam: client.ProjectHandle, tmp_path: Path
) -> None:
    path = tmp_path / "mails.csv"
    path.write_text("body,group\nhello,ham\nwin money,spam\nhello,ham\nodd,wrong\n,ham\n")
    sent = []
    result = spam.import_file(path, text="body", label="group", on_progress=sent.append)
    assert (result.rows_read, result.samples_added, result.labels_added) == (5, 2, 2)
    assert (result.duplicates, result.bad_rows) == (1, 2)
    assert [problem.row for problem in result.problems] == [3, 4, 5]
    assert sent[0].bytes_sent == sent[0].bytes_total == path.stat().st_size
    assert spam.samples()["text"].to_list() == ["hello", "win money"]


def test_what_cannot_be_read_adds_nothing(spam: client.ProjectHandle, tmp_path: Path) -> None:
    path = tmp_path / "mails.csv"
    path.write_text("body\nhello\n")
    with pytest.raises(InvalidInput, match="Did you mean 'body'"):
        spam.import_file(path, text="bdy")
    with pytest.raises(InvalidInput, match="--format"):
        spam.import_file(tmp_path / "mails.xyz", text="body")
    with pytest.raises(InvalidData, match="cannot be read"):
        spam.import_file(tmp_path / "absent.csv", text="body")
    with pytest.raises(InvalidData, match="no frame"):
        spam.import_frame({"body": ["hello"]}, text="body")
    assert spam.progress().total == 0


@pytest.mark.parametrize("kind", ["polars", "pandas", "arrow", "lazy"])
def test_frames_of_all_kinds_are_imported(spam: client.ProjectHandle, kind: str) -> None:
    frame = pl.DataFrame({"body": ["one", "two"], "group": ["ham", None]})
    frames = {"polars": frame, "pandas": frame.to_pandas(), "arrow": frame.to_arrow(), "lazy": frame.lazy()}
    result = spam.import_frame(frames[kind], text="body", label="group")
    assert (result.samples_added, result.labels_added) == (2, 1)


def test_a_frame_of_mixed_types_is_refused_with_the_column(lab: client.Lab) -> None:
    table = lab.new_project("mixed", "tabular_classification", ["a", "b"])
    with pytest.raises(InvalidData, match="odd"):
        table.import_frame(pd.DataFrame({"odd": [1, "two", object()]}))


def test_a_folder_of_images_gives_samples_with_the_names_of_its_subfolders(
    lab: client.Lab, tmp_path: Path
) -> None:
    for name, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        (tmp_path / "colors" / name).mkdir(parents=True)
        for size in (4, 5):
            Image.new("RGB", (size, 4), color).save(tmp_path / "colors" / name / f"{size}.png")
    (tmp_path / "colors" / "red" / "notes.txt").write_text("no image")
    Image.new("RGB", (9, 9)).save(tmp_path / "colors" / "unlabeled.png")
    project = lab.new_project("colors", "image_classification", ["red", "blue"])
    result = project.import_file(tmp_path / "colors")
    assert (result.samples_added, result.labels_added) == (5, 4)
    snapshot = project.snapshot()
    images = snapshot.images()
    digests = snapshot.table()["image"].to_pylist()
    assert len(digests) == 4
    files = {path.read_bytes() for path in (tmp_path / "colors").glob("*/*.png")}
    assert {images[digest] for digest in digests} == files
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidData, match="no image"):
        project.import_images(tmp_path / "empty")


def test_labels_go_out_as_a_folder_that_comes_in_again(lab: client.Lab, tmp_path: Path) -> None:
    (tmp_path / "in" / "labels").mkdir(parents=True)
    (tmp_path / "in" / "images").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "in" / "images" / "a.png")
    (tmp_path / "in" / "labels" / "a.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    (tmp_path / "in" / "classes.txt").write_text("cat\ndog\n")
    project = lab.new_project("pets", "object_detection", ["dog", "cat"])
    assert project.import_file(tmp_path / "in").labels_added == 1
    assert project.export(tmp_path / "out", format="yolo").rows_written == 1
    assert (tmp_path / "out" / "labels" / "train" / "a.txt").read_text() == "0 0.5 0.5 0.25 0.5\n"
    assert project.export(tmp_path / "out.zip", format="coco").filename == "pets-coco.zip"
    again = lab.new_project("pets again", "object_detection", ["dog", "cat"])
    assert again.import_file(tmp_path / "out.zip").labels_added == 1
    with pytest.raises(InvalidInput, match="something in it"):
        project.export(tmp_path / "out", format="yolo")
    with pytest.raises(InvalidInput, match="coco, yolo"):
        project.export(tmp_path / "out.txt")
    assert {path.name for path in tmp_path.iterdir()} >= {"in", "out", "out.zip"}
    assert not list(tmp_path.glob(".out*"))


def test_a_broken_download_goes_on_where_it_was(
    spam: client.ProjectHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"text": ["a", "b", "c"], "label": ["ham", "spam", "ham"]})
    spam.import_frame(frame, text="text", label="label")
    stream, asked = spam.lab.connection.stream, []

    @contextmanager
    def breaking(path: str, *, headers: dict[str, str], timeout_s: float = 9) -> Iterator[Iterator[bytes]]:
        asked.append(headers["Range"])
        with stream(path, headers=headers) as pieces:

            def some() -> Iterator[bytes]:
                yield next(pieces)[:20]
                raise Unavailable("The connection broke.")

            yield some() if len(asked) < 3 else pieces

    monkeypatch.setattr(spam.lab.connection, "stream", breaking)
    moved: list[int] = []
    spam.export(tmp_path / "spam.csv", on_progress=lambda progress: moved.append(progress.bytes_sent))
    assert asked == ["bytes=0-", "bytes=20-", "bytes=40-"]
    assert pl.read_csv(tmp_path / "spam.csv")["label"].to_list() == ["ham", "spam", "ham"]
    assert moved[-1] == (tmp_path / "spam.csv").stat().st_size


def test_a_broken_upload_is_sent_again(spam: client.ProjectHandle, tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text("text\n" + "".join(f"{row} {'x' * 1000}\n" for row in range(3000)))
    broken: list[int] = []

    def breaks(progress: ImportProgress) -> None:
        if progress.bytes_sent < progress.bytes_total and len(broken) < 2:
            broken.append(progress.bytes_sent)
            raise httpx.WriteError("The network is gone.")

    assert spam.import_file(tmp_path / "long.csv", on_progress=breaks).samples_added == 3000
    assert len(broken) == 2

    def always(progress: ImportProgress) -> None:
        raise httpx.WriteError("The network is gone.")

    with pytest.raises(Unavailable, match="Nothing was imported"):
        spam.import_file(tmp_path / "long.csv", on_progress=always)


def test_labels_are_saved_once_shown_in_the_progress_and_undone(spam: client.ProjectHandle) -> None:
    spam.import_frame(pl.DataFrame({"text": ["a", "b", "c"]}), text="text")
    first, second, third = spam.queue(order="sequential").samples
    saved = spam.save_labels(
        [(first.id, "ham"), {"sample_id": second.id, "action": "skip", "key": "a-key-of-my-own"}]
    )
    assert (saved.saved, saved.progress.labeled, saved.progress.skipped) == (2, 1, 1)
    again = spam.save_labels([{"sample_id": second.id, "action": "skip", "key": "a-key-of-my-own"}])
    assert (again.saved, again.duplicates) == (0, 1)
    assert spam.queue().samples[0].id == third.id
    assert spam.undo().sample.id == second.id
    assert spam.labels()["undone"].to_list() == [False, True]
    with pytest.raises(InvalidInput):
        spam.save_labels({third.id: "no such class"})
    with pytest.raises(InvalidInput, match=r"key: .* at least 8"):
        spam.save_labels([{"sample_id": third.id, "label": "ham", "key": "short"}])
    with pytest.raises(InvalidInput, match="no label"):
        spam.save_labels([])


def test_suggestions_come_as_records_or_as_a_frame_and_order_the_queue(spam: client.ProjectHandle) -> None:
    spam.import_frame(pl.DataFrame({"text": ["sure", "unsure"]}), text="text")
    sure, unsure = spam.queue(order="sequential").samples
    frame = pl.DataFrame(
        {"sample_id": [sure.id, unsure.id], "label": ["ham", "spam"], "confidence": [0.99, 0.51]}
    )
    assert spam.suggest_labels(frame, source="a test").saved == 2
    assert [sample.id for sample in spam.queue(order="uncertainty").samples] == [unsure.id, sure.id]
    spam.suggest_labels([{"sample_id": sure.id, "label": "spam", "confidence": 0.4}], source="a test")
    assert spam.sample(sure.id).suggestion.label == "spam"


def test_what_is_asked_for_and_known_answers_come_in_the_queue(spam: client.ProjectHandle) -> None:
    spam.import_frame(pl.DataFrame({"text": ["one", "two", "three"]}), text="text")
    one, two, three = (sample.id for sample in spam.queue(order="sequential").samples)
    assert spam.queue(holder="another").samples == ()
    assert spam.release() == 3
    assert len(spam.queue(purpose="label", holder="another").samples) == 3
    spam.save_labels({one: "ham"})
    saved = spam.request("error", detail="it looks odd", status=["labeled"])
    assert (saved.added, [batch.waiting for batch in spam.requests()]) == (1, [1])
    (sample,) = spam.queue(purpose="error").samples
    assert (sample.id, sample.reason, sample.detail) == (one, "the label may be wrong", "it looks odd")
    assert spam.withdraw(saved.batch) == 1
    assert spam.requests() == []
    assert spam.add_gold({two: "spam", three: "ham"}).progress.labeled == 3
    with pytest.raises(InvalidInput, match="no answer"):
        spam.add_gold({})
    with pytest.raises(InvalidInput, match="colour"):
        spam.request(colour="red")


def test_a_snapshot_is_downloaded_once_checked_and_stays_the_same(
    spam: client.ProjectHandle, lab: client.Lab
) -> None:
    spam.import_frame(pl.DataFrame({"text": ["a", "b"], "y": ["ham", "spam"]}), text="text", label="y")
    snapshot = spam.snapshot("first")
    assert snapshot.table()["text"].to_pylist() == ["a", "b"]
    changed_at = snapshot.path.stat().st_mtime_ns
    spam.import_frame(pl.DataFrame({"text": ["c"], "y": ["ham"]}), text="text", label="y")
    again = lab.snapshot(snapshot.info.id)
    assert again.table().num_rows == again.info.rows == 2
    assert again.path.stat().st_mtime_ns == changed_at
    assert [one.number for one in spam.snapshots()] == [1]


def test_a_project_is_taken_again_only_if_it_is_the_same(lab: client.Lab) -> None:
    lab.new_project("twice", "text_classification", ["a", "b"])
    with pytest.raises(Conflict):
        lab.new_project("twice", "text_classification", ["a", "b"])
    assert lab.new_project("twice", "text_classification", ["a", "b"], exist_ok=True).name == "twice"
    with pytest.raises(Conflict, match="other classes"):
        lab.new_project("twice", "text_classification", ["a", "c"], exist_ok=True)


def test_names_with_odd_characters_and_unknown_names(lab: client.Lab) -> None:
    lab.new_project("ünïcode - 1.0 x", "text_classification", ["a", "b"])
    assert lab.project("ünïcode - 1.0 x").record.task == "text_classification"
    with pytest.raises(NotFound) as caught:
        lab.project("no/such/../thing")
    assert caught.value.request_id
