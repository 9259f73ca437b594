"""Finding encoders, on a machine whose hub is never reached."""

import json

import pytest

from modelship_lab.learning.encoders import MINILM, encoder_folder, offline_encoders
from modelship_lab.records.errors import InvalidInput, MissingDependency


@pytest.fixture(autouse=True)
def _without_the_hub(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_minilm_is_there_by_any_of_its_names():
    assert MINILM in offline_encoders()
    folder = encoder_folder("minilm")
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 384
    assert encoder_folder(MINILM) == encoder_folder("all-MiniLM-L6-v2") == folder


def test_what_only_the_hub_has_is_refused_with_what_there_is():
    with pytest.raises(MissingDependency, match=rf"ProsusAI/finbert.*cannot be reached.*{MINILM}"):
        encoder_folder("ProsusAI/finbert")


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a name with blanks", "a/b/c"])
def test_a_name_that_cannot_be_one_is_refused(name):
    with pytest.raises(InvalidInput, match=MINILM):
        encoder_folder(name)


def test_a_folder_without_an_encoder_is_refused_with_what_it_needs(tmp_path):
    with pytest.raises(InvalidInput, match=r"config\.json"):
        encoder_folder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert encoder_folder(str(tmp_path)) == tmp_path
