"""The recipe on a tiny encoder of one layer, and on MiniLM where only that will do."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.models.bert.modeling_bert import BertIntermediate

from modelship_lab import client
from modelship_lab.bundles.explain import explain
from modelship_lab.bundles.run import BundleModel
from modelship_lab.learning.checkpoint import NAME, Checkpoint
from modelship_lab.learning.export import write_bundle
from modelship_lab.learning.fit import fit
from modelship_lab.records.bundle import Lineage
from modelship_lab.records.errors import InvalidInput
from tests.learning.encoders import tiny_encoder
from tests.learning.snapshots import Recorder, texts
from tests.server.shipping import served

GOOD = ["a good film", "really good fun and good music", "good", "I had good luck with it today"]
BAD = ["a bad film", "really bad fun and bad music", "bad", "I had bad luck with it today"]


def judged(rows=80):
    sentences = [(GOOD if row % 2 else BAD)[row // 2 % 4] + f" number {row}" for row in range(rows)]
    return texts(sentences, [row % 2 for row in range(rows)], ["bad", "good"])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoder"), [*GOOD, *BAD, *map(str, range(100))])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch, request):
    monkeypatch.setenv("MLSHIP_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def probe(encoder):
    run = Recorder()
    fit(run, judged(), "text-encoder", {"encoder": str(encoder), "epochs": 20, "max_length": 16})
    return Checkpoint.from_bytes(run.artifacts[NAME])


@pytest.fixture(scope="module")
def bundle(probe, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "bundle"
    manifest = write_bundle(folder, probe, judged(), Lineage(recipe="text-encoder"), {})
    assert manifest.parity.label_flips == 0
    return folder


@pytest.mark.parametrize("mode", ["probe", "frozen", "full"])
def test_each_mode_learns_and_says_the_same_after_it_was_saved(encoder, mode):
    run = Recorder()
    options = {"encoder": str(encoder), "mode": mode, "epochs": 20, "learning_rate": 0.03}
    result = fit(run, judged(), "text-encoder", options)
    assert result.evaluation.accuracy > 0.8
    saved = Checkpoint.from_bytes(run.artifacts[NAME])
    assert ("encoder.embeddings.word_embeddings.weight" in saved.weights) == (mode == "full")
    tokens = torch.randint(1, 50, (3, 7))
    with torch.inference_mode():
        first, second = (one.network()(tokens=tokens) for one in (result.checkpoint, saved))
    assert torch.equal(first, second)
    assert first.std() > 0


def test_activations_that_are_computed_again_lead_to_the_same_weights(encoder, monkeypatch):
    calls = []
    forward = BertIntermediate.forward

    def counted(self, states):
        calls.append(self.training)
        return forward(self, states)

    monkeypatch.setattr(BertIntermediate, "forward", counted)
    options = {"encoder": str(encoder), "mode": "full", "epochs": 2}
    weights, steps = [], []
    for is_saving in (False, True):
        calls.clear()
        result = fit(Recorder(), judged(), "text-encoder", {**options, "gradient_checkpointing": is_saving})
        weights.append(result.checkpoint.weights)
        steps.append(sum(calls))
    assert steps[1] > steps[0] > 0
    for name, wanted in weights[0].items():
        assert torch.allclose(weights[1][name], wanted, atol=1e-6), name
    with pytest.raises(InvalidInput, match="mode=full"):
        fit(
            Recorder(), judged(), "text-encoder", {**options, "mode": "probe", "gradient_checkpointing": True}
        )


def test_texts_are_read_once_and_only_new_ones_again(encoder, monkeypatch):
    from modelship_lab.learning.recipes.text_encoder import TextEncoder

    read = []
    vectors = TextEncoder._vectors
    monkeypatch.setattr(
        TextEncoder,
        "_vectors",
        lambda self, lists, check: read.append(len(lists)) or vectors(self, lists, check),
    )
    options = {"encoder": str(encoder), "epochs": 1}
    weights = [
        fit(Recorder(), judged(rows), "text-encoder", options).checkpoint.weights for rows in (60, 60, 80)
    ]
    assert read == [60, 20]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_stop_while_texts_are_read_ends_at_once(encoder):
    from modelship_lab.records.errors import Interrupted

    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        fit(Recorder(), judged(), "text-encoder", {"encoder": str(encoder)}, stop)


def test_a_bundle_answers_from_raw_text_without_torch_and_transformers(bundle):
    code = f"""
import sys
from pathlib import Path
from modelship_lab.bundles.run import BundleModel
model = BundleModel(Path({str(bundle)!r}))
print([one.prediction for one in model.predict(["a good film number 3", "bad", ""])])
assert not {{"torch", "transformers", "lightning"}} & set(sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.startswith("['good', 'bad', ")


def test_a_deployment_of_an_encoder_answers(bundle, lab_server, tmp_path):
    lab = client.connect(lab_server.url, lab_server.token, data_dir=tmp_path)
    sentences = ["a good film number 3", "bad", "fun"]
    with served(lab_server.client, bundle, "tiny-encoder"):
        found = lab.predict("tiny-encoder", sentences)
        told = lab.predict("tiny-encoder", sentences[0], explain=True).explanation
    assert [one.prediction for one in found[:2]] == ["good", "bad"]
    expected = BundleModel(bundle).probabilities(sentences)
    assert np.allclose([one.probabilities for one in found], expected, atol=1e-5)
    assert told.base + sum(told.values) == pytest.approx(told.probability, abs=1e-4)


def test_what_a_bundle_says_is_what_the_torch_model_says_however_long_the_text(bundle, probe):
    from modelship_lab.bundles.preprocessing import encode

    model, network = BundleModel(bundle), probe.network()
    said = ["good " * 100, "", "so bad", "ünknown 漢字", " \n "]
    tokens = encode(model.manifest.preprocessing, said)["tokens"]
    assert tokens.shape == (5, 16)
    with torch.inference_mode():
        expected = probe.objective.activation(network(tokens=torch.from_numpy(tokens))).numpy()
    assert np.abs(model.probabilities(said) - expected).max() < 1e-4


def test_words_explain_a_prediction(bundle):
    model = BundleModel(bundle)
    found = explain(model, "really good fun")
    assert found.parts == ("really", "good", "fun")
    assert sum(found.values) == pytest.approx(found.probability - found.base, abs=1e-5)
    assert found.label == "good"
    # The tokenizer cuts it to pieces; to people it is one word.
    assert explain(model, "good weather").parts == ("good", "weather")


@pytest.mark.parametrize("bad", [3, None, "half \ud800"])
def test_bad_input_is_named(bundle, bad):
    with pytest.raises(InvalidInput, match="input 1"):
        BundleModel(bundle).predict(["fine", bad])


def test_an_encoder_that_has_changed_is_not_taken_for_the_old_one(encoder, probe, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(encoder, copy)
    run = Recorder()
    fit(run, judged(), "text-encoder", {"encoder": str(copy), "epochs": 1})
    tiny_encoder(copy, GOOD + BAD, size=16)
    with pytest.raises(InvalidInput, match="has changed"):
        Checkpoint.from_bytes(run.artifacts[NAME]).network()


def test_minilm_knows_what_words_mean():
    """Words of the test never occur in training: only a pretrained encoder knows them."""
    known = [
        "a dog",
        "a cat",
        "the horse",
        "my parrot",
        "two cows",
        "a lion",
        "apples",
        "some bread",
        "rice",
        "soup",
    ]
    animals = [1] * 6 + [0] * 4
    new = ["a wolf", "the hamster", "cheese", "noodles"]
    sentences = known * 3 + new
    data = texts(sentences, animals * 3 + [1, 1, 0, 0], ["food", "animal"])
    split = ["train"] * 20 + ["validation"] * 10 + ["test"] * 4
    placed = type(data)(data.info, data.content.append_column("split", [split]), data.encoded)
    result = fit(Recorder(), placed, "text-encoder", {"epochs": 30})
    assert result.evaluation.accuracy == 1
