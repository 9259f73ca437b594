"""Samples that are nearly the same are found, and kept together."""

import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from modelship_lab import client
from modelship_lab.client.near_duplicates import groups_of, near_images, near_texts
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


def test_of_many_images_nearly_all_near_pairs_are_found_without_comparing_each_with_all() -> None:
    mixed = np.random.default_rng(3)
    hashes = mixed.integers(0, 1 << 64, 20_000, dtype=np.uint64, endpoint=False)
    planted = np.arange(1000)
    for copy in planted:
        # Of 64 bits, 6 are another: just near enough.
        flipped = mixed.choice(64, 6, replace=False).astype(np.uint64)
        hashes[10_000 + copy] = hashes[copy] ^ np.bitwise_or.reduce(np.uint64(1) << flipped)
    hashes[15_000] = hashes[14_000]
    pairs, shares = near_images(hashes, 0.9)
    groups = groups_of(len(hashes), pairs)
    assert np.mean(groups[10_000 + planted] == planted) > 0.97
    assert groups[15_000] == 14_000
    # Others of so many bits are that near by chance once in ten thousand times.
    assert len(pairs) <= 1002
    assert shares.min() >= 0.9
    assert shares.max() == 1


def test_a_crowd_of_images_that_are_alike_is_one_group() -> None:
    mixed = np.random.default_rng(4)
    hashes = np.repeat(mixed.integers(0, 1 << 64, 2, dtype=np.uint64, endpoint=False), 3000)
    for _ in range(3):
        hashes ^= np.uint64(1) << mixed.integers(0, 64, len(hashes), dtype=np.uint64)
    pairs, _ = near_images(hashes, 0.9)
    assert len(np.unique(groups_of(len(hashes), pairs))) == 2
