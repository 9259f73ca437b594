import numpy as np
import pytest

from modelship_lab.learning.split import check_trainable, split_rows
from modelship_lab.records.errors import InvalidData
from tests.learning.snapshots import texts

CLASSES = ("ham", "spam")


def split(labels, ids=None, held_out=(0.15, 0.15), seed=0, classes=CLASSES, given=()):
    labels = np.asarray(labels)
    return split_rows(labels, np.arange(len(labels)) if ids is None else ids, classes, held_out, seed, given)


def test_every_row_is_in_one_part_and_each_part_has_the_classes_in_proportion():
    labels = np.array([0] * 900 + [1] * 100)
    found = split(labels)
    rows = np.concatenate([found.train, found.validation, found.test])
    assert sorted(rows) == list(range(1000))
    assert [len(found.train), len(found.validation), len(found.test)] == [700, 150, 150]
    assert labels[found.test].sum() == labels[found.validation].sum() == 15


def test_validation_and_test_have_shares_of_their_own():
    found = split(np.arange(200) % 2, held_out=(0.3, 0.1))
    assert [len(found.train), len(found.validation), len(found.test)] == [120, 60, 20]


def test_what_is_held_out_leaves_something_to_train_on():
    found = split(np.array([0] * 4 + [1] * 4), held_out=(0.4, 0.4))
    assert [len(found.train), len(found.validation), len(found.test)] == [4, 2, 2]


def test_the_seed_decides_and_repeats():
    labels = np.arange(200) % 2
    assert (split(labels, seed=3).test == split(labels, seed=3).test).all()
    assert set(split(labels, seed=3).test) != set(split(labels, seed=4).test)


def test_more_labels_leave_most_samples_in_their_part():
    ids = np.random.default_rng(0).permutation(2000)
    labels = ids % 2
    fewer, more = split(labels[:1000], ids[:1000]), split(labels, ids)
    kept = set(ids[fewer.test]) & set(ids[more.test])
    assert len(kept) > 0.85 * len(fewer.test)


def test_a_class_with_three_labels_is_in_all_parts_and_a_rarer_one_is_trained_on():
    labels = np.array([0] * 20 + [1] * 3 + [2] * 2)
    found = split(labels, classes=("a", "b", "c"))
    for part in (found.train, found.validation, found.test):
        assert 1 in labels[part]
    assert 2 not in labels[found.test]
    assert (labels[found.train] == 2).sum() == 2


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([], "no labels to train on"),
        ([0] * 50, "ham 50, spam 0"),
        ([0] * 50 + [1] * 2, "spam 2"),
    ],
)
def test_too_few_labels_are_refused_with_what_to_label(labels, words):
    with pytest.raises(InvalidData, match=words):
        check_trainable(texts(["x"] * len(labels), labels, CLASSES).info)
    with pytest.raises(InvalidData, match=r"[Ll]abel"):
        split(np.array(labels, np.int64))


def test_splits_that_the_snapshot_gives_are_kept_and_what_nobody_gave_is_held_out():
    labels = np.arange(200) % 2
    given = ["test" if row < 40 else "train" if row < 150 else None for row in range(200)]
    found = split(labels, given=given)
    assert list(found.test) == list(range(40))
    assert len(found.validation) == 24  # 15 % of those that are not tested on
    assert sorted([*found.train, *found.validation]) == list(range(40, 200))
    both = split(
        labels, given=["validation" if row % 10 == 1 else "test" if row < 50 else None for row in range(200)]
    )
    assert all(row % 10 == 1 for row in both.validation)
    assert len(both.train) + len(both.test) == 180
    with pytest.raises(InvalidData, match="'eval' is none"):
        split(labels, given=["eval"] * 200)
