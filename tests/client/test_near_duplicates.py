"""Samples that are nearly the same are found, and kept together."""

import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from modelship_lab import client
from modelship_lab.client.near_duplicates import near_texts
from modelship_lab.records.errors import InvalidInput

LONG = "the quick brown fox jumps over the lazy dog while nobody in the old garden looks at it at all"


def test_texts_that_share_most_of_their_words_are_near_and_others_are_not() -> None:
    texts = pl.Series(
        [LONG, "something else entirely", f"{LONG.upper()}!", f"{LONG} today", "hello", "you won"]
    )
    pairs, shares = near_texts(texts, 0.7)
    found = {tuple(pair): share for pair, share in zip(pairs.tolist(), shares.tolist(), strict=True)}
    assert {place for pair in found for place in pair} == {0, 2, 3}
    assert found[0, 2] == 1
    # 17 shingles of 18: what is estimated lies close to what is counted.
    assert all(abs(found.get(pair, 17 / 18) - 17 / 18) < 0.12 for pair in ((0, 3), (2, 3)))


def test_near_duplicates_become_groups_that_keep_what_belonged_together(lab: client.Lab) -> None:
    project = lab.new_project("twins", task="text_classification", classes=["a", "b"])
    frame = pl.DataFrame(
        {"text": [LONG, "something else", f"{LONG} today", "another one", "nothing like it"]}
    )
    project.import_frame(frame)
    ids = project.samples()["id"].to_list()
    found = project.near_duplicates()
    assert found.select("group", "sample_id").rows() == [(1, ids[0]), (1, ids[2])]
    path = f"projects/{project.id}/groups"
    lab.connection.request("PUT", path, json={"groups": [{"name": "ann", "sample_ids": [ids[2], ids[3]]}]})
    assert project.group_near_duplicates() == 3
    assert project.samples()["group"].to_list() == ["ann", None, "ann", "ann", None]
    assert project.count_samples(group="ann") == 3
    with pytest.raises(InvalidInput):
        project.near_duplicates(threshold=0)


def test_an_image_is_near_its_smaller_copy(lab: client.Lab) -> None:
    project = lab.new_project("pictures", task="image_classification", classes=["a", "b"])
    across, down = np.meshgrid(np.linspace(0, 6, 64), np.linspace(0, 5, 64))
    shapes = [np.sin(across) * np.cos(down), np.sin(across * down / 2)]
    pictures = [Image.fromarray(((shape + 1) * 127).astype(np.uint8)) for shape in shapes]
    files = []
    for picture in (pictures[0], pictures[1], pictures[0].resize((40, 40))):
        file = io.BytesIO()
        picture.save(file, "PNG")
        files.append(file.getvalue())
    project.import_frame(pl.DataFrame({"image": files}))
    ids = project.samples()["id"].to_list()
    assert project.near_duplicates(0.9)["sample_id"].to_list() == [ids[0], ids[2]]
