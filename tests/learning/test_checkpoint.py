import io
import os
import pickle

import pytest
import torch

from modelship_lab.learning import recipes
from modelship_lab.learning.checkpoint import Checkpoint
from modelship_lab.learning.objectives import OneClass
from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.errors import InvalidData
from modelship_lab.records.recipes import RECIPES


def made():
    recipe = RECIPES["image-cnn"]
    options = recipe.checked({"width": 8})
    spec = ImageScaling(height=8, width=8, channels=1)
    network = recipes.network(recipe, options, spec, 2).eval()
    checkpoint = Checkpoint(
        recipe, options, spec, OneClass(classes=("a", "b")), network.state_dict(), {"val_loss": 0.5}
    )
    return checkpoint, network


def test_a_checkpoint_is_the_same_network_again():
    checkpoint, network = made()
    read = Checkpoint.from_bytes(checkpoint.to_bytes())
    pixels = torch.randint(0, 256, (3, 8, 8, 1), dtype=torch.uint8)
    assert torch.equal(read.network()(pixels), network(pixels))
    assert (read.options, read.preprocessing, read.classes) == (
        checkpoint.options,
        checkpoint.preprocessing,
        ("a", "b"),
    )


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_checkpoint_from_anybody_executes_nothing(tmp_path):
    sprung = tmp_path / "sprung"
    file = io.BytesIO()
    torch.save({"about": "{}", "weights": Trap(str(sprung))}, file)
    for content in (file.getvalue(), pickle.dumps(Trap(str(sprung)), protocol=2)):
        with pytest.raises(InvalidData):
            Checkpoint.from_bytes(content)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * 99]
)
def test_a_damaged_checkpoint_says_so(damage):
    with pytest.raises(InvalidData, match="cannot be read"):
        Checkpoint.from_bytes(damage(made()[0].to_bytes()))
