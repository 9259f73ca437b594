import numpy as np
import torch

from modelship_lab.bundles.preprocessing import encode
from modelship_lab.learning.rows import Batches, Rows, TokenLists
from modelship_lab.learning.samples import Samples, encode_samples
from modelship_lab.records.bundle import TextHashing
from tests.learning.snapshots import digits, reviews, texts

SPEC = TextHashing(buckets=1000, max_ngram=2, max_length=20)


def test_texts_are_encoded_as_they_are_in_serving():
    samples = Samples.of_snapshot(reviews(50))
    rows = encode_samples(SPEC, samples).take(torch.arange(50))
    assert (rows["tokens"].numpy() == encode(SPEC, samples.texts())["tokens"]).all()


def test_rows_are_padded_to_their_own_longest():
    samples = Samples.of_snapshot(texts(["one", "", "one two three"], [0, 1, 0], ["a", "b"]))
    rows = encode_samples(SPEC, samples)
    assert rows.take(torch.tensor([0, 1]))["tokens"].shape == (2, 1)
    assert rows.take(torch.tensor([1]))["tokens"].tolist() == [[0]]
    assert rows.take(torch.tensor([2, 0]))["tokens"].shape == (2, 5)


def test_only_empty_texts_can_be_encoded():
    samples = Samples.of_snapshot(texts(["", " "], [0, 1], ["a", "b"]))
    assert encode_samples(SPEC, samples).take(torch.tensor([0, 1]))["tokens"].tolist() == [[0], [0]]


def test_a_pass_has_every_chosen_row_once_in_an_order_of_its_own():
    rows = Rows({"numeric": torch.arange(100.0)[:, None]})
    labels = torch.arange(100)
    chosen = np.arange(10, 77)
    batches = Batches(rows, labels, chosen, 32, seed=0)
    passes = [[label for _, batch in batches for label in batch.tolist()] for _ in range(2)]
    assert len(batches) == 3
    assert sorted(passes[0]) == sorted(passes[1]) == chosen.tolist()
    assert passes[0] != passes[1]
    again = Batches(rows, labels, chosen, 32, seed=0)
    assert [label for _, batch in again for label in batch.tolist()] == passes[0]
    for inputs, batch in batches:
        assert (inputs["numeric"][:, 0].long() == batch).all()


def test_no_batch_is_tiny():
    rows = Rows({"numeric": torch.zeros(65, 1)})
    sizes = [len(labels) for _, labels in Batches(rows, torch.zeros(65).long(), np.arange(65), 32)]
    assert sizes == [22, 22, 21]


def test_images_too_large_for_memory_lie_in_a_file(monkeypatch):
    from modelship_lab.learning import samples as module
    from modelship_lab.records.bundle import ImageScaling

    spec = ImageScaling(height=8, width=8, channels=1)
    samples = Samples.of_snapshot(digits(40))
    in_memory = encode_samples(spec, samples).inputs["pixels"]
    monkeypatch.setattr(module, "MEMORY_BYTES", 100)
    in_file = encode_samples(spec, samples).inputs["pixels"]
    assert torch.equal(in_memory, in_file)
    assert in_memory.float().std() > 0


def test_token_lists_can_be_empty():
    lists = TokenLists(torch.zeros(0, dtype=torch.int32), torch.tensor([0]))
    assert len(lists) == 0
    assert lists.take(torch.zeros(0, dtype=torch.int64)).shape == (0, 1)
