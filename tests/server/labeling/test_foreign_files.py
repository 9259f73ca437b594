"""Files as other programs write them."""

import io
import json
import zipfile

import pyarrow as pa
import pytest

from tests.server.labeling.test_exports import png


def packed_files(files):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


def said(project, kind, *more):
    return [tuple(one[name] for name in ("name", kind, *more)) for one in project.samples()]


def problems(done):
    return [problem["reason"] for problem in done["problems"]]


def label_studio_task(text, *choices, predicted=None, cancelled=False):
    def results(names):
        return [{"type": "choices", "from_name": "x", "to_name": "y", "value": {"choices": list(names)}}]

    return {
        "id": 7,
        "data": {"text": text, "meta": 3},
        "annotations": [{"id": 1, "result": results(choices), "was_cancelled": cancelled}] if choices else [],
        "predictions": [{"result": results([predicted]), "score": 0.9}] if predicted else [],
    }


def test_choices_and_predictions_of_label_studio(project):
    tasks = [
        label_studio_task("one", "ham", predicted="spam"),
        label_studio_task("two", predicted="ham"),
        label_studio_task("three", "spam", cancelled=True),
        label_studio_task("four", "ham", "spam"),
        label_studio_task("five", "eggs"),
        ["no task"],
    ]
    done = project.import_file(json.dumps(tasks).encode(), filename="project-1.json")
    assert (done["samples_added"], done["labels_added"], done["suggestions_added"]) == (3, 1, 2), done
    for reason, part in zip(problems(done), ["several", "'eggs' is not a class", "with `data`"], strict=True):
        assert part in reason
    assert [one["label"] for one in project.samples()] == ["ham", None, None]
    assert project.samples()[1]["suggestion"]["confidence"] == 0.9


def test_spans_that_a_browser_has_counted_in_utf16(new_project):
    project = new_project("token_classification", ("PER",))
    value = {"start": 3, "end": 6, "text": "Ada", "labels": ["PER"]}
    task = {"data": {"body": "🎉 Ada"}, "annotations": [{"result": [{"type": "labels", "value": value}]}]}
    project.import_file(json.dumps([task]).encode(), format="label_studio")
    assert project.samples()[0]["spans"] == [{"start": 2, "end": 5, "label": "PER"}]


def test_rectangles_of_label_studio_find_their_images(new_project):
    project = new_project("object_detection", ("cat",))

    def task(image, rotation=0):
        value = {
            "x": 10,
            "y": 20,
            "width": 50,
            "height": 40,
            "rotation": rotation,
            "rectanglelabels": ["cat"],
        }
        return {
            "data": {"image": image},
            "annotations": [{"result": [{"type": "rectanglelabels", "value": value}]}],
        }

    tasks = [
        task("/data/upload/3/a%20b.png"),
        task("s3://bucket/c.png", rotation=5),
        task("http://x/gone.png"),
    ]
    content = packed_files(
        {"export.json": json.dumps(tasks), "images/a b.png": png("red"), "images/c.png": png("blue")}
    )
    done = project.import_file(content, filename="export.zip")
    assert (done["samples_added"], done["bad_rows"]) == (1, 2), done
    assert "turned" in problems(done)[0] and "gone.png: its image is not in the archive" in problems(done)[1]
    assert project.samples()[0]["boxes"] == [
        {"x": 0.1, "y": 0.2, "width": 0.5, "height": 0.4, "label": "cat"}
    ]


def test_doccano_of_classes_and_of_sequences(new_project):
    project = new_project("text_classification", ("ham", "spam"), multilabel=True)
    lines = [{"id": 1, "data": "one", "label": ["ham", "spam"]}, {"id": 2, "data": "two", "label": []}]
    project.import_file("\n".join(map(json.dumps, lines)).encode(), format="doccano")
    assert said(project, "labels", "status") == [
        ("1", ["ham", "spam"], "labeled"),
        ("2", None, "unlabeled"),
    ]
    project = new_project("token_classification", ("PER", "LOC"))
    lines = [
        {"text": "Ada in Rome", "label": [[0, 3, "PER"], [7, 11, "LOC"]]},
        {"text": "Bob", "label": None},
        {"text": "Eve", "label": [[0, 3, "THING"]]},
    ]
    done = project.import_file("\n".join(map(json.dumps, lines)).encode(), format="doccano")
    assert [len(one["spans"] or ()) for one in project.samples()] == [2, 0]
    assert "'THING' is not a class" in problems(done)[0]
    entity = {"id": 1, "start_offset": 0, "end_offset": 3, "label": "PER"}
    project.import_file(json.dumps({"text": "Kim", "entities": [entity]}).encode(), format="doccano")
    assert project.samples()[2]["spans"] == [{"start": 0, "end": 3, "label": "PER"}]


CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP I-ORG
rejects VBZ B-VP O
German JJ B-NP I-MISC
call NN I-NP I-MISC
. . O O

Peter NNP B-NP I-PER
Blackburn NNP I-NP I-PER
Bonn NNP I-NP B-PER

lonely
"""


def test_conll_2003(new_project):
    project = new_project("token_classification", ("ORG", "MISC", "PER"))
    done = project.import_file(CONLL_2003.encode(), filename="eng.conll")
    assert (done["samples_added"], done["bad_rows"]) == (2, 1), done
    first, second = project.samples()
    assert first["text"] == "EU rejects German call ."
    assert [first["text"][span["start"] : span["end"]] for span in first["spans"]] == ["EU", "German call"]
    assert [span["end"] for span in second["spans"]] == [15, 20]


def coco(**changes):
    document = {
        "info": {"year": 2024},
        "images": [
            {"id": 1, "file_name": "a.png", "width": 8, "height": 6},
            {"id": 2, "file_name": "sub/b.png"},
            {"id": 3, "file_name": "c.png", "width": 8, "height": 6},
            {"id": 1, "file_name": "d.png", "width": 8, "height": 6},
            {"id": 5, "file_name": "../../etc/passwd", "width": 8, "height": 6},
            {"id": 6, "file_name": "e.png", "width": 8, "height": 6},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 9, "bbox": [4, 3, 4.01, 3], "iscrowd": 0},
            {"id": 2, "image_id": 2, "category_id": 4, "bbox": [2, 1, 10, 5]},
            {"id": 3, "image_id": 3, "category_id": 77, "bbox": [0, 0, 1, 1]},
            {"id": 4, "image_id": 6, "category_id": 4, "bbox": [0, 0, 80, 1]},
        ],
        # Behind what needs them, as often.
        "categories": [{"id": 4, "name": "dog"}, {"id": 9, "name": "cat"}],
        **changes,
    }
    images = {
        f"train2017/{name}": png(color)
        for name, color in zip(
            ("a.png", "c.png", "d.png", "e.png"), ("red", "green", "gray", "white"), strict=True
        )
    }
    return {
        "annotations/instances_train2017.json": json.dumps(document),
        **images,
        "train2017/sub/b.png": png("blue", (20, 10)),
    }


def test_coco_with_its_images(new_project):
    project = new_project("object_detection", ("cat", "dog"))
    done = project.import_file(packed_files(coco()), format="coco")
    assert (done["samples_added"], done["bad_rows"]) == (2, 4), done
    assert said(project, "split", "boxes") == [
        ("a.png", "train", [{"x": 0.5, "y": 0.5, "width": 0.5, "height": 0.5, "label": "cat"}]),
        ("sub/b.png", "train", [{"x": 0.1, "y": 0.1, "width": 0.5, "height": 0.5, "label": "dog"}]),
    ]
    for part in (
        "'category 77' is not a class",
        "earlier image",
        "not in the archive",
        "width: Input should be",
    ):
        assert any(part in reason for reason in problems(done)), part
    refused = project.import_file(packed_files({"x.json": "{"}), format="coco")
    assert refused["status"] == "failed" and "not JSON" in refused["error"]


def test_yolo_as_roboflow_packs_it(new_project):
    project = new_project("object_detection", ("cat", "dog"))
    files = {
        "data.yaml": "names: ['dog', 'cat']\nnc: 2\ntrain: ../train/images\n",
        "train/images/a.png": png("red"),
        "train/labels/a.txt": "1 0.5 0.5 0.25 0.5\n",
        "valid/images/b.png": png("blue"),
        "valid/labels/b.txt": "",
        "test/images/c.png": png("green"),
        "test/images/d.png": png("white"),
        "test/labels/d.txt": "7 0.5 0.5 0.1 0.1\n",
        "test/images/e.png": png("gray"),
        "test/labels/e.txt": "1 0.1 0.1 0.9 0.1 0.5 0.8\n",
    }
    done = project.import_file(packed_files(files), format="zip")
    assert (done["samples_added"], done["labels_added"], done["bad_rows"]) == (3, 2, 2), done
    boxes = {one["split"]: (one["boxes"], one["status"]) for one in project.samples()}
    assert boxes == {
        "train": ([{"x": 0.375, "y": 0.25, "width": 0.25, "height": 0.5, "label": "cat"}], "labeled"),
        "validation": ([], "labeled"),
        "test": (None, "unlabeled"),
    }


def test_tags_of_tokens_in_a_folder_of_hugging_face(new_project):
    project = new_project("token_classification", ("PER", "LOC"))
    tags = {"names": ["O", "B-PER", "I-PER", "B-LOC"], "_type": "ClassLabel"}
    features = {
        "tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
        "ner_tags": {"feature": tags, "_type": "Sequence"},
    }
    files = {"conll/dataset_dict.json": '{"splits": ["train", "validation"]}'}
    for split, tokens, numbers in (
        ("train", ["Ada", "Lovelace", "in", "Rome"], [1, 2, 0, 3]),
        ("validation", ["x"], [0]),
    ):
        table = pa.table({"tokens": [tokens], "ner_tags": [numbers]})
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        files[f"conll/{split}/data-00000-of-00001.arrow"] = sink.getvalue()
        files[f"conll/{split}/state.json"] = json.dumps(
            {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
        )
        files[f"conll/{split}/dataset_info.json"] = json.dumps({"features": features})
    done = project.import_file(packed_files(files), filename="conll.zip")
    assert done["samples_added"] == 2, done
    first, second = project.samples()
    assert (first["text"], first["split"], second["split"]) == ("Ada Lovelace in Rome", "train", "validation")
    assert first["spans"] == [
        {"start": 0, "end": 12, "label": "PER"},
        {"start": 16, "end": 20, "label": "LOC"},
    ]


@pytest.mark.parametrize("separator", ["|", ", "])
def test_classes_with_a_separator_between_them(new_project, separator):
    project = new_project("text_classification", ("new", "old", "odd"), multilabel=True)
    content = f'text\ttags\none\tnew{separator}odd\ntwo\t"[""old""]"\nthree\t\nfour\tnew{separator}bad\n'
    done = project.import_file(content.encode(), format="tsv", label="tags", separator=separator)
    assert [one["labels"] for one in project.samples()] == [["new", "odd"], ["old"], None]
    assert "'bad' is not a class" in problems(done)[0]


def test_tables_of_a_folder_are_its_splits(project):
    files = {"data/train.csv": "text,label\none,ham\n", "data/test.csv": "text,label\ntwo,spam\nthree\n"}
    done = project.import_file(packed_files(files), filename="data.zip", label="label", text="text")
    assert said(project, "label", "split") == [(None, "spam", "test"), (None, "ham", "train")], done
    assert problems(done) == ["2 columns expected, 1 found"] and done["problems"][0]["row"] == 2
