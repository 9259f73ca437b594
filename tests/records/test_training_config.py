from modelship_lab.records.training_config import TrainingConfig


def test_each_share_of_a_split_is_the_recipes_own():
    said = TrainingConfig.model_validate({"data": {"train_split": 0.7, "val_split": 0.2, "test_split": 0.1}})
    options = said.options()
    assert (options["validation"], options["holdout"]) == (0.2, 0.1)
    assert not {"validation", "holdout"} & set(TrainingConfig().options())
